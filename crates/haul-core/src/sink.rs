//! Local files that can be cut back to a mark. Only the committer writes them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// How far a sink was durable: which file, its length, and how it ended there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Identifies the file (inode on Unix), so that another file under the same name is noticed.
    pub file: u64,
    /// Durable length in bytes.
    pub len: u64,
    /// Check of the last [`crate::limits::TAIL`] bytes before `len` (CRC-32C), so that a file that was
    /// written by another is noticed; 0: nobody looked.
    #[serde(default)]
    pub tail: u32,
}

/// One row for a sink: a JSON object without a newline.
#[derive(Clone, Debug)]
pub struct Row(pub Bytes);

/// A local file that rows are appended to.
pub trait Sink: Send {
    /// Appends rows; may buffer.
    fn append(&mut self, rows: &[Row]) -> Result<(), Fault>;
    /// Makes everything appended durable and says how far that is.
    fn sync(&mut self) -> Result<Mark, Fault>;
    /// Cuts the file back to a mark: what came after it was never committed. A file that is shorter
    /// than its mark, or another file, is a fatal fault.
    fn cut(&mut self, to: &Mark) -> Result<(), Fault>;
}
