//! Why there is no result.

use crate::input::{OpenError, ScanError};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ReduceError {
    /// An input cannot be opened, or the columns are not there.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// See [`ScanError`].
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The disk did not take what does not fit into memory.
    #[error("{0}")]
    Disk(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
}
