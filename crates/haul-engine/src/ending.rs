//! How a run ended, or why it could not go on.

use haul_core::ledger::LedgerError;
use haul_core::{Counts, Fault};

use crate::view::Snapshot;

/// Why the engine returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The source is at its end and nothing waits.
    Finished,
    /// It was told to stop; the same command goes on.
    Stopped,
    /// A service has refused everything for as long as it may; the same command goes on.
    GaveUp {
        /// `videos:8001 cannot be reached (connection refused) for 6 h`.
        message: String,
    },
    /// More items failed than may.
    TooManyFailed {
        /// Items that failed, were rejected or are in doubt since this process began.
        failed: u64,
        /// Items that it settled.
        settled: u64,
    },
    /// Bad input, and the policy is to stop at it.
    Invalid {
        /// `pairs.csv:1042: user_id "abc" is not an integer`.
        message: String,
    },
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Why the engine returned.
    pub why: Why,
    /// Counts of the whole run, earlier processes included.
    pub counts: Counts,
    /// Items that this process settled.
    pub settled_now: u64,
    /// True when an earlier process worked on the run.
    pub resumed: bool,
    /// True when the run was finished before and its source had nothing new.
    pub nothing_new: bool,
    /// Items that were read and not committed when it stopped: they are read again.
    pub open: u64,
    /// What people should know of how reading went and why it ended.
    pub remarks: Vec<String>,
    /// Last look at everything.
    pub last: Snapshot,
}

/// Why the engine could not start or go on. Everything committed stays; the same command goes on
/// once the cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The source, a sink or a service made going on impossible.
    #[error("{0}")]
    Fault(Fault),
    /// The input is not what was read before.
    #[error("{source_name} is not what it was: item {seq} differs from what this run read before")]
    Changed {
        /// What messages call the source.
        source_name: String,
        /// First item that differs, 1-based.
        seq: u64,
    },
}

impl EngineError {
    /// True when the disk is full: the run stopped before its end and can be resumed.
    pub fn is_disk_full(&self) -> bool {
        match self {
            EngineError::Ledger(e) => e.is_disk_full(),
            EngineError::Fault(f) => f.code() == "disk_full",
            _ => false,
        }
    }
}
