//! Inputs: streams that follow from a seed, in constant memory.

mod ids;
mod manifest;
mod pairs;
mod scores;

use std::io::{self, Write};

pub use ids::Ids;
pub use manifest::{Form, Manifest};
pub use pairs::Pairs;
pub use scores::{Flaw, Order, Scores};

use crate::limits;

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// Lines, a header not counted; of a document its records.
    pub lines: u64,
    /// Of these, lines that are invalid on purpose.
    pub bad: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The request is impossible; says what would be possible.
    #[error("{0}")]
    Spec(String),
    /// The output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Lines gathered into large writes.
struct Lines<'a> {
    out: &'a mut dyn Write,
    block: Vec<u8>,
    number: itoa::Buffer,
    written: Written,
}

impl<'a> Lines<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Lines {
            out,
            block: Vec::with_capacity(limits::BLOCK_BYTES + 4096),
            number: itoa::Buffer::new(),
            written: Written::default(),
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.block.extend_from_slice(text);
    }

    fn number(&mut self, n: u64) {
        self.block.extend_from_slice(self.number.format(n).as_bytes());
    }

    /// Ends a record of a document.
    fn part(&mut self) -> io::Result<()> {
        self.written.lines += 1;
        if self.block.len() >= limits::BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Ends a line.
    fn end(&mut self) -> io::Result<()> {
        self.block.push(b'\n');
        self.part()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.block)?;
        self.written.bytes += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Writes what is left.
    fn finish(mut self) -> Result<Written, GenerateError> {
        self.flush()?;
        self.out.flush()?;
        Ok(self.written)
    }
}
