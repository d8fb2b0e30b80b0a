//! The durable record of a run: a watermark plus exceptions.
//!
//! Per item, only a bit. Rows exist for exceptions alone: failed, rejected, in doubt, parked, and
//! intents of at-most-once effects.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::aggregate::Saved;
use crate::clock::UnixMs;
use crate::fault::Fault;
use crate::item::{Key, KeyHash, Position, Seq, SliceId};
use crate::outcome::{Counts, Outcome};
use crate::sink::Mark;
use crate::source::{Cursor, Slice};
use crate::watermark::Chunk;

/// When an item is due that is in work and of which something is kept: never in this process. When it ended,
/// the next one takes it at once.
pub const IN_WORK: UnixMs = UnixMs(i64::MAX / 2);

/// Why an item has a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Set aside until it is due.
    Parked,
    /// Its effect was about to be sent (at-most-once); without an outcome it is in doubt.
    Intent,
    /// See [`Outcome::Failed`].
    Failed,
    /// See [`Outcome::Rejected`].
    Rejected,
    /// See [`Outcome::InDoubt`].
    InDoubt,
}

impl Why {
    /// The word used in the ledger and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Parked => "parked",
            Why::Intent => "intent",
            Why::Failed => "failed",
            Why::Rejected => "rejected",
            Why::InDoubt => "in_doubt",
        }
    }

    /// The inverse of [`Why::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        [Why::Parked, Why::Intent, Why::Failed, Why::Rejected, Why::InDoubt]
            .into_iter()
            .find(|w| w.as_str() == word)
    }

    /// The outcome it stands for; `None` for items that are still waiting.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Why::Parked | Why::Intent => None,
            Why::Failed => Some(Outcome::Failed),
            Why::Rejected => Some(Outcome::Rejected),
            Why::InDoubt => Some(Outcome::InDoubt),
        }
    }
}

/// What is known of the fault that made an item an exception.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FaultNote {
    /// Groups equal failures; see [`Fault::signature`].
    pub signature: String,
    /// Step it happened in; empty for bad input.
    pub step: String,
    /// Host and port; empty where none.
    pub origin: String,
    /// Short stable word.
    pub code: String,
    /// Status of the reply.
    pub status: Option<u16>,
    /// For a person.
    pub message: String,
}

impl From<&Fault> for FaultNote {
    fn from(f: &Fault) -> Self {
        FaultNote {
            signature: f.signature(),
            step: f.step().unwrap_or_default().to_owned(),
            origin: f.origin().unwrap_or_default().to_owned(),
            code: f.code().to_owned(),
            status: f.status(),
            message: f.message().chars().take(crate::limits::MESSAGE_CHARS).collect(),
        }
    }
}

/// An item with a row of its own.
#[derive(Clone, Debug)]
pub struct Exception {
    /// The slice.
    pub slice: SliceId,
    /// Its place in the slice.
    pub seq: Seq,
    /// Why it has a row.
    pub why: Why,
    /// What the user calls it.
    pub key: Key,
    /// Where it stands in the source.
    pub position: Position,
    /// The record as it was read (raw bytes for rejected input).
    pub record: Bytes,
    /// Attempts charged so far.
    pub attempts: u32,
    /// Milliseconds spent waiting that are not charged to `within`.
    pub uncharged_ms: u64,
    /// The last fault.
    pub fault: FaultNote,
    /// First attempt.
    pub first: UnixMs,
    /// Last attempt.
    pub last: UnixMs,
    /// When a parked item may go on; [`IN_WORK`] of one that is being worked on.
    pub due: UnixMs,
    /// Results of steps that succeeded: (step, JSON value).
    pub memos: Vec<(Arc<str>, Bytes)>,
}

/// Whether a slice is read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceState {
    /// There may be more to read.
    Open,
    /// Read to its end.
    Read,
    /// Its input changed; a later slice reads the new one.
    Superseded,
}

impl SliceState {
    /// The word used in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            SliceState::Open => "open",
            SliceState::Read => "read",
            SliceState::Superseded => "superseded",
        }
    }

    /// The inverse of [`SliceState::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        [SliceState::Open, SliceState::Read, SliceState::Superseded].into_iter().find(|s| s.as_str() == word)
    }
}

/// A page start: reopening here yields the item `first` next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resume {
    /// Where to reopen; `None`: the start of the slice.
    pub cursor: Option<Cursor>,
    /// Seq of the first item that the page holds.
    pub first: Seq,
}

/// What a commit says of one slice.
#[derive(Clone, Debug)]
pub struct SliceCommit {
    /// The slice itself; written when it is new.
    pub slice: Slice,
    /// Where to reopen: the oldest page with an open item.
    pub resume: Resume,
    /// Every seq below is settled or has a row.
    pub watermark: Seq,
    /// Bitmaps above the watermark that changed.
    pub chunks: Vec<Chunk>,
    /// Counts of the slice after this commit. `waiting` counts parked rows only.
    pub counts: Counts,
    /// Key hashes to append to the key log; the first is of item `keys_from`.
    pub keys: Vec<KeyHash>,
    /// Seq of the first of `keys`.
    pub keys_from: Seq,
    /// Whether it is read to its end.
    pub state: SliceState,
    /// Bytes of input read so far.
    pub bytes: u64,
}

/// Throughput and the like over one interval, for later looking.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TickRow {
    /// End of the interval.
    pub at: UnixMs,
    /// Length of the interval, ms.
    pub span_ms: u32,
    /// Items settled in it.
    pub settled: u64,
    /// Attempts that failed in it.
    pub faults: u64,
    /// Requests sent in it.
    pub requests: u64,
    /// Bytes received in it, on the wire.
    pub wire_in: u64,
    /// Bytes sent in it.
    pub wire_out: u64,
    /// Requests in flight at its end.
    pub in_flight: u32,
    /// Sum of the concurrency limits at its end.
    pub limit: u32,
    /// Latency of requests in it, microseconds: median.
    pub p50_us: u32,
    /// 95th percentile.
    pub p95_us: u32,
    /// 99th percentile.
    pub p99_us: u32,
    /// Resident memory at its end, bytes.
    pub rss: u64,
}

/// A change of what is known about a lane, with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneNote {
    /// Host and port; empty for the run as a whole.
    pub lane: String,
    /// When.
    pub at: UnixMs,
    /// What changed: `rate`, `concurrency`, `pause`, `breaker`; or `goal`, when a process ends.
    pub what: &'static str,
    /// The new value: requests a second, requests in flight, seconds, 1 for open; milliseconds.
    pub value: f64,
    /// Why.
    pub reason: String,
}

/// What a person changed, with who and when.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: UnixMs,
    /// Who: `ada (process 4711)`.
    pub who: String,
    /// What: `pause`, `rate localhost:8001`, `settle`.
    pub what: String,
    /// How it was.
    pub old: String,
    /// How it is now.
    pub new: String,
}

/// Everything one commit makes durable, in one transaction. An item appears in it once.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// A commit with a fence below the stored one is refused: somebody else owns the run.
    pub fence: u64,
    /// Slices that moved.
    pub slices: Vec<SliceCommit>,
    /// Rows to write (a row of the same item is replaced).
    pub exceptions: Vec<Exception>,
    /// Rows to remove: the item is now done or skipped.
    pub cleared: Vec<(SliceId, Seq)>,
    /// Sinks and how far they are durable.
    pub marks: Vec<(String, Mark)>,
    /// Aggregates and their durable state.
    pub aggregates: Vec<(String, Saved)>,
    /// Interval rows.
    pub ticks: Vec<TickRow>,
    /// Changes of lanes.
    pub lanes: Vec<LaneNote>,
    /// What people changed.
    pub changes: Vec<Change>,
}

/// One slice as the ledger knows it.
#[derive(Clone, Debug)]
pub struct RecoveredSlice {
    /// The slice.
    pub slice: Slice,
    /// Where to reopen.
    pub resume: Resume,
    /// See [`SliceCommit::watermark`].
    pub watermark: Seq,
    /// All stored bitmaps.
    pub chunks: Vec<Chunk>,
    /// Counts; `waiting` is the number of parked rows.
    pub counts: Counts,
    /// End of its key log: it has the keys of the items `keys_from..keys` (0 where none is kept).
    pub keys: u64,
    /// Its first item: above 0 once the log of an endless source was trimmed.
    pub keys_from: Seq,
    /// Whether it is read to its end.
    pub state: SliceState,
    /// Bytes of input read so far.
    pub bytes: u64,
}

/// What a ledger knows when it is opened. Intents without an outcome are already `in doubt`.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The fence of this opening, one above the last.
    pub fence: u64,
    /// All slices; empty for a fresh run.
    pub slices: Vec<RecoveredSlice>,
    /// Marks of the sinks.
    pub marks: Vec<(String, Mark)>,
    /// States of the aggregates.
    pub aggregates: Vec<(String, Saved)>,
    /// Earliest time a parked item is due.
    pub next_due: Option<UnixMs>,
    /// True when an earlier process worked on this run.
    pub resumed: bool,
    /// The newest value of everything learned about every lane in the last 24 hours.
    pub lanes: Vec<LaneNote>,
}

/// Why the ledger cannot go on. Always stops the run.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process took the run over.
    #[error("{0} is now driven by another process (fence {1} > {2})")]
    Fenced(String, u64, u64),
    /// Written by a newer version.
    #[error("{path} has ledger format {found}; this haul reads up to {known}: use a newer haul")]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// No room left.
    #[error("no room for the ledger in {path}: free at least {needed} and run the same command again")]
    Full {
        /// The directory.
        path: String,
        /// What to free, for a person.
        needed: String,
    },
    /// It is damaged.
    #[error(
        "{path} is damaged ({reason}); nothing was changed: put back a copy, or start over with --fresh (the old run is kept)"
    )]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Anything else the storage said.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl LedgerError {
    /// True when the disk is full: nothing is lost, and the same command goes on once there is room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, LedgerError::Full { .. })
    }
}

/// The durable record of a run. One thread owns it.
pub trait Ledger: Send {
    /// Reads the state, raises the fence, turns intents into `in doubt`.
    fn recover(&mut self) -> Result<Recovered, LedgerError>;

    /// Makes a commit durable, all or nothing, with one sync.
    fn commit(&mut self, commit: &Commit) -> Result<(), LedgerError>;

    /// After a commit that succeeded only because room kept for this was given back: why the run must
    /// stop reading now, let attempts in flight end, and commit what they leave. Further commits
    /// succeed as long as that room lasts.
    fn low(&self) -> Option<LedgerError> {
        None
    }

    /// Up to `limit` parked items that are due at `now`, earliest first, with their memos. Each is
    /// returned once by this process until a commit writes or clears its row again; after a crash
    /// it is parked as before.
    fn take_due(&mut self, now: UnixMs, limit: usize) -> Result<Vec<Exception>, LedgerError>;

    /// When the earliest parked item that was not taken is due.
    fn next_due(&mut self) -> Result<Option<UnixMs>, LedgerError>;

    /// Up to `limit` entries of the key log of a slice, from `from` on (from its start, where that was
    /// trimmed beyond `from`).
    fn keys(&mut self, slice: SliceId, from: Seq, limit: usize) -> Result<Vec<KeyHash>, LedgerError>;

    /// Seqs of a slice that have a row, ascending, from `from` on, at most `limit`.
    fn rows(&mut self, slice: SliceId, from: Seq, limit: usize) -> Result<Vec<Seq>, LedgerError>;
}
