//! Builds a page: one buffer that keys and records are slices of, instead of an allocation each.

use std::ops::Range;

use bytes::Bytes;
use haul_core::item::{Key, Position};
use haul_core::limits::{PAGE_BYTES, PAGE_ITEMS, REJECTED_BYTES};
use haul_core::record::Record;
use haul_core::source::{Cursor, NewItem, Page, Rejection};

/// A page that is being filled.
#[derive(Default)]
pub(crate) struct PageBuf {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Capacity that the last page needed.
    usual: usize,
    records: usize,
}

struct Entry {
    position: Position,
    key: Range<usize>,
    /// Of the record, or of the rejected input.
    body: Range<usize>,
    /// Why it is no record.
    reason: Option<String>,
}

impl PageBuf {
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= PAGE_ITEMS || self.bytes.len() >= PAGE_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True when at least one item is a record.
    pub(crate) fn has_records(&self) -> bool {
        self.records > 0
    }

    /// The buffer, to write a key or a record at its end. What is not [pushed](PageBuf::push) must
    /// be cut off again.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(self.usual);
        }
        &mut self.bytes
    }

    /// Adds an item whose key and record stand in the buffer.
    pub(crate) fn push(&mut self, position: Position, key: Range<usize>, record: Range<usize>) {
        self.records += 1;
        self.entries.push(Entry { position, key, body: record, reason: None });
    }

    /// Adds bad input under its line number.
    pub(crate) fn reject(&mut self, position: Position, raw: &[u8], reason: String) {
        let start = self.bytes().len();
        self.bytes.extend_from_slice(format!("line {}", position.line).as_bytes());
        let end = self.bytes.len();
        self.bytes.extend_from_slice(&raw[..raw.len().min(REJECTED_BYTES)]);
        let body = end..self.bytes.len();
        self.entries.push(Entry { position, key: start..end, body, reason: Some(reason) });
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<NewItem>()
    }

    /// The page, and an empty buffer for the next one.
    pub(crate) fn take(&mut self, next: Cursor, bytes: u64) -> Page {
        self.usual = self.bytes.len() + self.bytes.len() / 8;
        self.records = 0;
        let buffer = Bytes::from(std::mem::take(&mut self.bytes));
        let items = self.entries.drain(..).map(|entry| {
            let body = buffer.slice(entry.body);
            NewItem {
                key: Key(buffer.slice(entry.key)),
                position: entry.position,
                record: match entry.reason {
                    None => Ok(Record::new(body)),
                    Some(reason) => Err(Rejection { reason, raw: body }),
                },
            }
        });
        Page { items: items.collect(), bytes, next }
    }
}
