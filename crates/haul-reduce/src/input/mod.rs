//! Reads whole lines out of files and streams, on all cores, and says where a bad one stands.
//!
//! Files are read in blocks that threads claim from a counter; everything else (pipes, compressed
//! files) is read by one thread and handed over in pieces. Either way a line is seen by one
//! [`Lines`], complete, or in parts when it is too long to be held.

mod blocks;
pub(crate) mod feed;
mod open;
mod scan;

pub use open::{Input, OpenError, Origin};
pub use scan::{BadLine, Progress, ScanError};
pub(crate) use scan::{Places, scan, threads};

/// Whole lines of one input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    /// Each line ends with a newline, also the last of an input that lacks it.
    pub(crate) text: &'a [u8],
    /// Which input.
    pub(crate) input: u32,
    /// Where the text starts in the (decoded) input.
    pub(crate) at: u64,
    /// 1-based number of the first line; 0 where it is counted only when asked for.
    pub(crate) line: u64,
}

/// What some programs put before the first line.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Piece<'_> {
    /// Without the byte-order mark that an input may start with.
    fn without_mark(self) -> Self {
        match self.text.strip_prefix(BYTE_ORDER_MARK) {
            Some(text) if self.at == 0 => Piece { text, at: BYTE_ORDER_MARK.len() as u64, ..self },
            _ => self,
        }
    }
}

/// Why a line is invalid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bad {
    /// Which input.
    pub(crate) input: u32,
    /// Where the line starts in the (decoded) input.
    pub(crate) at: u64,
    /// 1-based number of the line; 0: not counted yet.
    pub(crate) line: u64,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// Not the line's doing: nothing can go on.
    pub(crate) fatal: bool,
}

impl Bad {
    /// A bad line of a piece: its start within the text, and the reason.
    pub(crate) fn new(piece: &Piece<'_>, start: usize, reason: String) -> Self {
        let before = piece.text.get(..start).unwrap_or_default();
        let line = match piece.line {
            0 => 0,
            first => first + memchr::memchr_iter(b'\n', before).count() as u64,
        };
        Bad { input: piece.input, at: piece.at + start as u64, line, reason, fatal: false }
    }
}

/// What is done with lines; one for each thread.
pub(crate) trait Lines: Send {
    /// Takes whole lines. An error stops the scan; what was before it in the input is still seen
    /// by somebody, so that the first bad line is known whatever the timing.
    fn take(&mut self, piece: Piece<'_>) -> Result<(), Bad>;
    /// The start of a line that is too long to be held.
    fn long_start(&mut self, input: u32, at: u64, line: u64);
    /// The next bytes of it, without the newline.
    fn long_part(&mut self, bytes: &[u8]);
    /// The end of it.
    fn long_end(&mut self) -> Result<(), Bad>;
}

/// How lines are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Split {
    /// At each newline.
    Lines,
    /// At newlines outside of quoted fields (CSV); the byte between fields.
    Quoted(u8),
}
