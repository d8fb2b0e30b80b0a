//! Mergeable summaries: most-common, top, stats.

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::item::{Position, SliceId};
use crate::record::Record;

/// Where an observation stands: ties are decided by it, so that results do not depend on timing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct At {
    /// The slice of the item.
    pub slice: SliceId,
    /// Byte offset or seq in the slice.
    pub offset: u64,
}

impl At {
    /// From an item's slice and position.
    pub fn new(slice: SliceId, position: Position) -> Self {
        At { slice, offset: position.offset }
    }
}

/// State of an aggregate as the ledger stores it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Saved {
    /// The whole state, at most 64 KiB.
    Small(Vec<u8>),
    /// A log file of the run directory and its durable length.
    Log {
        /// File name within the run directory.
        file: String,
        /// Durable length in bytes.
        len: u64,
    },
}

/// A result as rows of JSON values under named columns.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Table {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows, best first; each value is JSON text, kept as it stood in the input.
    pub rows: Vec<Vec<String>>,
}

/// A mergeable summary. Any split of the input and any order of merging gives the same result.
pub trait Aggregate: Send {
    /// Adds one record.
    fn add(&mut self, record: &Record, at: At) -> Result<(), Fault>;
    /// Makes the state durable (the ledger stores what is returned in the commit that follows).
    fn sync(&mut self) -> Result<Saved, Fault>;
    /// Goes back to a saved state; what a log holds beyond its length is cut off.
    fn restore(&mut self, saved: Saved) -> Result<(), Fault>;
    /// Adds the saved state of another aggregate of the same kind.
    fn merge(&mut self, other: Saved) -> Result<(), Fault>;
    /// The result so far, exact.
    fn result(&mut self) -> Result<Table, Fault>;
    /// Up to `n` values that lead right now with their counts, roughly, for progress; cheap.
    fn leading(&self, n: usize) -> Vec<(String, u64)> {
        let _ = n;
        Vec::new()
    }
}
