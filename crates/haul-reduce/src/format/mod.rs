//! How lines are written, and what is done with the records in them.

pub(crate) mod csv;
pub(crate) mod jsonl;
pub(crate) mod plain;
pub(crate) mod table;

use crate::input::{Bad, Piece};
use crate::limits;

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    /// JSON.
    Json,
    /// Text, as in a CSV field or a plain line.
    Text,
}

/// One record, of which `K` values are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a, const K: usize> {
    /// The wanted values; `None` where the record has none.
    pub(crate) values: [Option<&'a [u8]>; K],
    /// How they are written.
    pub(crate) written: Written,
    /// The record as it stands.
    pub(crate) record: &'a [u8],
    /// Which input.
    pub(crate) input: u32,
    /// Where the line starts in it.
    pub(crate) at: u64,
}

/// Why a record was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The record is wrong.
    Invalid(String),
    /// Not the record's doing (the disk is full): nothing can go on.
    Fatal(String),
}

impl Refusal {
    fn is_fatal(&self) -> bool {
        matches!(self, Refusal::Fatal(_))
    }

    fn reason(self) -> String {
        match self {
            Refusal::Invalid(reason) | Refusal::Fatal(reason) => reason,
        }
    }
}

/// What is done with records; one for each thread.
pub(crate) trait Take<const K: usize>: Send {
    /// Takes a record, or says what is wrong with it.
    fn take(&mut self, row: Row<'_, K>) -> Result<(), Refusal>;

    /// True when [`Row::record`] is looked at.
    fn wants_record(&self) -> bool {
        false
    }
}

/// What is done about bad lines, and those that were passed over.
#[derive(Clone, Debug, Default)]
pub(crate) struct BadLines {
    /// Pass over them instead of stopping.
    pub(crate) skip: bool,
    /// The first of them.
    pub(crate) first: Vec<Bad>,
    /// How many there are.
    pub(crate) count: u64,
}

impl BadLines {
    pub(crate) fn new(skip: bool) -> Self {
        BadLines { skip, first: Vec::new(), count: 0 }
    }

    /// A bad line: an error, or noted.
    pub(crate) fn note(&mut self, bad: Bad) -> Result<(), Bad> {
        if bad.fatal || !self.skip {
            return Err(bad);
        }
        self.count += 1;
        // A thread sees its lines in the order of the input: the first ones are the first.
        if self.first.len() < limits::BAD_LINES {
            self.first.push(bad);
        }
        Ok(())
    }

    /// A line that was refused: an error, or noted.
    #[cold]
    pub(crate) fn refuse(&mut self, piece: &Piece<'_>, start: usize, why: Refusal) -> Result<(), Bad> {
        let fatal = why.is_fatal();
        let mut bad = Bad::new(piece, start, why.reason());
        bad.fatal = fatal;
        self.note(bad)
    }

    /// Adds what another thread passed over.
    pub(crate) fn merge(&mut self, other: BadLines) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.sort_by_key(|b| (b.input, b.at));
        self.first.truncate(limits::BAD_LINES);
    }
}

/// The line of a piece that starts at `start`, without its newline; and where the next starts.
pub(crate) fn line_at<'a>(piece: &Piece<'a>, start: usize) -> (&'a [u8], usize) {
    let rest = piece.text.get(start..).unwrap_or_default();
    match memchr::memchr(b'\n', rest) {
        Some(len) => (rest.get(..len).unwrap_or_default(), start + len + 1),
        None => (rest, piece.text.len()),
    }
}
