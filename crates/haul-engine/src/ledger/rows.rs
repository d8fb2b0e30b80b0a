//! Rows as the words of Haul, and back.

use std::sync::Arc;

use bytes::Bytes;
use haul_core::ledger::{Exception, FaultNote, Why};
use haul_core::{Key, Position, Seq, SliceId, UnixMs};
use rusqlite::types::{FromSqlError, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, Row};

/// SQLite's integers are signed. Values above `i64::MAX` (inode numbers) keep their bits.
pub(super) fn signed(n: u64) -> i64 {
    n as i64
}

/// The inverse of [`signed`].
pub(super) fn unsigned(n: i64) -> u64 {
    n as u64
}

/// Bytes as TEXT where they are UTF-8, so that people can read them, else as BLOB.
pub(super) struct Readable<'a>(pub(super) &'a [u8]);

impl rusqlite::ToSql for Readable<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match std::str::from_utf8(self.0) {
            Ok(_) => ValueRef::Text(self.0),
            Err(_) => ValueRef::Blob(self.0),
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// The inverse of [`Readable`].
pub(super) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    match row.get_ref(column)? {
        ValueRef::Text(b) | ValueRef::Blob(b) => Ok(Bytes::copy_from_slice(b)),
        ValueRef::Null => Ok(Bytes::new()),
        // Somebody wrote a number into it with another tool: its text is what they meant.
        ValueRef::Integer(n) => Ok(Bytes::from(n.to_string())),
        other => Err(wrong(column, other.data_type(), "neither text nor bytes")),
    }
}

fn wrong(column: usize, kind: Type, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, FromSqlError::Other(what.into()).into())
}

/// A column that holds one of a few words.
pub(super) fn word<T>(row: &Row<'_>, column: &str, read: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    read(&text).ok_or_else(|| {
        let index = row.as_ref().column_index(column).unwrap_or(0);
        wrong(index, Type::Text, &format!("{column} is {text:?}"))
    })
}

/// Columns of `item` in the order that [`exception`] reads and the ledger writes them.
pub(super) const ITEM: &str = "slice, seq, why, key, line, offset, record, attempts, uncharged_ms, \
     signature, step, origin, code, status, message, first, last, due";

/// A row of `item`, without its memos.
pub(super) fn exception(r: &Row<'_>) -> rusqlite::Result<Exception> {
    Ok(Exception {
        slice: SliceId(r.get(0)?),
        seq: Seq(unsigned(r.get(1)?)),
        why: word(r, "why", Why::from_word)?,
        key: Key(bytes(r, 3)?),
        position: Position { line: unsigned(r.get(4)?), offset: unsigned(r.get(5)?) },
        record: bytes(r, 6)?,
        attempts: r.get(7)?,
        uncharged_ms: unsigned(r.get(8)?),
        fault: FaultNote {
            signature: r.get(9)?,
            step: r.get(10)?,
            origin: r.get(11)?,
            code: r.get(12)?,
            status: r.get(13)?,
            message: r.get(14)?,
        },
        first: UnixMs(r.get(15)?),
        last: UnixMs(r.get(16)?),
        due: UnixMs(r.get(17)?),
        memos: Vec::new(),
    })
}

/// The memos of one item, by step.
pub(super) fn memos(conn: &Connection, slice: SliceId, seq: Seq) -> rusqlite::Result<Vec<(Arc<str>, Bytes)>> {
    let mut query =
        conn.prepare_cached("SELECT step, value FROM memo WHERE slice = ?1 AND seq = ?2 ORDER BY rowid")?;
    let rows = query
        .query_map((slice.0, signed(seq.0)), |r| Ok((Arc::from(r.get_ref(0)?.as_str()?), bytes(r, 1)?)))?;
    rows.collect()
}
