//! What became of an item, and the line that must always add up.

use serde::{Deserialize, Serialize};

/// `done` and `skipped` are final; `failed`, `rejected` and `in doubt` are open: a retry or a person
/// may replace them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step succeeded.
    Done,
    /// A rule said that this item needs nothing.
    Skipped,
    /// Attempts ran out, or trying again cannot help.
    Failed,
    /// The input itself is bad.
    Rejected,
    /// The effect may or may not have happened; a person settles it.
    InDoubt,
}

impl Outcome {
    /// The word used in the ledger and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Skipped => "skipped",
            Outcome::Failed => "failed",
            Outcome::Rejected => "rejected",
            Outcome::InDoubt => "in_doubt",
        }
    }

    /// The inverse of [`Outcome::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        [Outcome::Done, Outcome::Skipped, Outcome::Failed, Outcome::Rejected, Outcome::InDoubt]
            .into_iter()
            .find(|o| o.as_str() == word)
    }

    /// True for outcomes that a retry may replace.
    pub fn is_open(self) -> bool {
        !matches!(self, Outcome::Done | Outcome::Skipped)
    }
}

/// How many items have which outcome. `read` is the sum of all the others, always.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// See [`Outcome::Done`].
    pub done: u64,
    /// See [`Outcome::Skipped`].
    pub skipped: u64,
    /// See [`Outcome::Failed`].
    pub failed: u64,
    /// See [`Outcome::Rejected`].
    pub rejected: u64,
    /// See [`Outcome::InDoubt`].
    pub in_doubt: u64,
    /// Parked, or in the window.
    pub waiting: u64,
}

impl Counts {
    /// Items read so far: the reconciliation line.
    pub fn read(&self) -> u64 {
        self.done + self.skipped + self.failed + self.rejected + self.in_doubt + self.waiting
    }

    /// Items with an outcome.
    pub fn settled(&self) -> u64 {
        self.read() - self.waiting
    }

    /// Adds `n` to the count of an outcome (`n` may be negative: an open outcome was replaced).
    pub fn add(&mut self, outcome: Outcome, n: i64) {
        let slot = match outcome {
            Outcome::Done => &mut self.done,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Failed => &mut self.failed,
            Outcome::Rejected => &mut self.rejected,
            Outcome::InDoubt => &mut self.in_doubt,
        };
        *slot = slot.saturating_add_signed(n);
    }

    /// Adds every count of `other`.
    pub fn merge(&mut self, other: &Counts) {
        self.done += other.done;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.in_doubt += other.in_doubt;
        self.waiting += other.waiting;
    }

    /// True when something failed, was rejected or is in doubt: exit status 3.
    pub fn has_open(&self) -> bool {
        self.failed + self.rejected + self.in_doubt > 0
    }
}
