//! CSV and TSV (RFC 4180): one record a line, or several lines where a quoted field holds newlines.

use std::sync::Arc;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{BadLines, Refusal, Row, Take, Written};
use crate::input::{Bad, Lines, Piece};
use crate::json::text;

/// How an input is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Names of the columns.
    pub(crate) columns: Vec<String>,
    /// Places of the wanted ones.
    pub(crate) wanted: Vec<usize>,
    /// The first record names the columns.
    pub(crate) header: bool,
}

/// The fields of the first record of `head`; `None` when it does not end there.
pub(crate) fn first_record(head: &[u8], delimiter: u8) -> Option<Vec<String>> {
    let head = head.strip_prefix(crate::input::BYTE_ORDER_MARK).unwrap_or(head);
    let mut fields = Fields::new(delimiter);
    let terminated: Vec<u8> = head.iter().copied().chain([b'\n']).collect();
    let (_, complete) = fields.read(&terminated);
    let fields =
        (0..fields.len()).map(|i| String::from_utf8_lossy(fields.get(i).unwrap_or_default()).into_owned());
    complete.then(|| fields.collect())
}

/// Reads CSV into a [`Take`].
pub(crate) struct CsvLines<const K: usize, T> {
    layouts: Arc<[Layout]>,
    fields: Fields,
    record: Vec<u8>,
    pub(crate) take: T,
    pub(crate) bad: BadLines,
}

impl<const K: usize, T: Take<K>> CsvLines<K, T> {
    /// One layout for each input.
    pub(crate) fn new(layouts: Arc<[Layout]>, delimiter: u8, take: T, skip: bool) -> Self {
        let (fields, bad) = (Fields::new(delimiter), BadLines::new(skip));
        CsvLines { layouts, fields, record: Vec::new(), take, bad }
    }

    /// Takes the record at `start`; returns where the next starts, and what is wrong with this one.
    fn record(&mut self, piece: &Piece<'_>, start: usize) -> (usize, Result<(), Refusal>) {
        let rest = piece.text.get(start..).unwrap_or_default();
        let (used, complete) = self.fields.read(rest);
        let next = start + used.max(1);
        let Some(layout) = self.layouts.get(piece.input as usize) else { return (next, Ok(())) };
        if !complete {
            return (piece.text.len(), Err(invalid("a quote is not closed before the end")));
        }
        let is_header =
            layout.header && piece.at + start as u64 <= crate::input::BYTE_ORDER_MARK.len() as u64;
        if self.fields.is_blank() || (is_header && start == 0) {
            return (next, Ok(()));
        }
        if self.fields.len() != layout.columns.len() {
            let (found, want) = (self.fields.len(), layout.columns.len());
            return (next, Err(invalid(&format!("{found} fields where there are {want} columns"))));
        }
        let mut values = [None; K];
        for (value, column) in values.iter_mut().zip(&layout.wanted) {
            *value = self.fields.get(*column);
        }
        if values.iter().flatten().any(|v| simdutf8::basic::from_utf8(v).is_err()) {
            return (next, Err(invalid("a field is not valid UTF-8")));
        }
        self.record.clear();
        if self.take.wants_record()
            && let Err(reason) = self.fields.write_object(&layout.columns, &mut self.record)
        {
            return (next, Err(Refusal::Invalid(reason)));
        }
        let at = piece.at + start as u64;
        let row = Row { values, written: Written::Text, record: &self.record, input: piece.input, at };
        (next, self.take.take(row))
    }
}

impl<const K: usize, T: Take<K>> Lines for CsvLines<K, T> {
    fn take(&mut self, piece: Piece<'_>) -> Result<(), Bad> {
        let mut start = 0;
        loop {
            // Blank lines are no records; skipped here, they do not shift the number of the next line.
            let rest = piece.text.get(start..).unwrap_or_default();
            start += rest.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
            if start >= piece.text.len() {
                return Ok(());
            }
            let (next, result) = self.record(&piece, start);
            if let Err(why) = result {
                self.bad.refuse(&piece, start, why)?;
            }
            start = next;
        }
    }

    // Records over 1 MiB are refused where they are cut out; see `Split::Quoted`.
    fn long_start(&mut self, _: u32, _: u64, _: u64) {}
    fn long_part(&mut self, _: &[u8]) {}
    fn long_end(&mut self) -> Result<(), Bad> {
        Ok(())
    }
}

fn invalid(reason: &str) -> Refusal {
    Refusal::Invalid(reason.to_owned())
}

/// The fields of one record, unquoted.
struct Fields {
    reader: Box<Reader>,
    text: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
}

impl Fields {
    fn new(delimiter: u8) -> Self {
        let reader = Box::new(ReaderBuilder::new().delimiter(delimiter).build());
        Fields { reader, text: vec![0; 4096], ends: vec![0; 64], count: 0 }
    }

    fn len(&self) -> usize {
        self.count
    }

    fn is_blank(&self) -> bool {
        self.count == 0 || (self.count == 1 && self.get(0).is_some_and(|f| f.trim_ascii().is_empty()))
    }

    fn get(&self, i: usize) -> Option<&[u8]> {
        if i >= self.count {
            return None;
        }
        let start = if i == 0 { 0 } else { *self.ends.get(i - 1)? };
        self.text.get(start..*self.ends.get(i)?)
    }

    /// Reads one record from the start of `input`; returns how many bytes it took, and whether it
    /// ended there.
    fn read(&mut self, input: &[u8]) -> (usize, bool) {
        self.reader.reset();
        let (mut used, mut written, mut ended) = (0, 0, 0);
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let text = self.text.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(ended..).unwrap_or_default();
            if rest.is_empty() {
                self.count = 0;
                return (used, false);
            }
            let (result, took, wrote, fields) = self.reader.read_record(rest, text, ends);
            used += took;
            written += wrote;
            ended += fields;
            match result {
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => {
                    self.count = ended;
                    return (used, true);
                }
            }
        }
    }

    /// Appends the record as a JSON object.
    fn write_object(&self, columns: &[String], out: &mut Vec<u8>) -> Result<(), String> {
        out.push(b'{');
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            text::encode(column.as_bytes(), out);
            out.push(b':');
            let field = self.get(i).unwrap_or_default();
            if simdutf8::basic::from_utf8(field).is_err() {
                return Err(format!("column {column} is not valid UTF-8"));
            }
            write_text(field, out);
        }
        out.push(b'}');
        Ok(())
    }
}

/// Appends text as JSON: integers in their usual form as numbers, anything else as a string.
pub(crate) fn write_text(field: &[u8], out: &mut Vec<u8>) {
    if is_integer(field) {
        out.extend_from_slice(field);
    } else {
        text::encode(field, out);
    }
}

/// True for an integer as JSON writes it: no sign but `-`, no leading zeros, no `-0`.
pub(crate) fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}
