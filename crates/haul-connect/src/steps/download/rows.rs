//! The rows of a catalog, and how SQLite holds them.

use rusqlite::types::Type;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize, Serializer};

/// A name as the catalog knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// Who has it: a hash of the item's key and which of its files it is.
    pub(super) owner: u64,
    /// The reading of the source that claimed it last.
    pub(super) pass: i64,
    /// Hash of the URL that it is claimed for.
    pub(super) claimed: u64,
    /// What was saved under it.
    pub(super) saved: Option<Saved>,
    /// The reading of the source in which it was saved, if anything was.
    pub(super) saved_in: Option<i64>,
}

/// A file that was saved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Relative to the destination.
    pub(super) name: String,
    /// Hash of its URL.
    pub(super) url: u64,
    pub(super) bytes: u64,
    /// Nanoseconds since 1970.
    pub(super) mtime: i64,
    /// CRC-32C.
    pub(super) crc: u32,
    /// The checksum that the manifest had for it; empty for none.
    pub(super) checksum: String,
}

/// Version of the tables, in `PRAGMA user_version`.
pub(super) const FORMAT: u32 = 1;

pub(super) const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA cache_size = -512;
    PRAGMA wal_autocheckpoint = 2000;
    CREATE TABLE IF NOT EXISTS file (
        path INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL,
        pass INTEGER NOT NULL,
        claimed INTEGER NOT NULL,
        name TEXT, url INTEGER, bytes INTEGER, mtime INTEGER, crc INTEGER, checksum TEXT, saved_in INTEGER
    );
    CREATE INDEX IF NOT EXISTS file_url ON file (url) WHERE url IS NOT NULL;
    CREATE TABLE IF NOT EXISTS recent (n INTEGER PRIMARY KEY, rows TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS absent (path INTEGER PRIMARY KEY, url INTEGER NOT NULL, status INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS log (name TEXT PRIMARY KEY, len INTEGER NOT NULL);
";

/// The columns of a row, in the order in which [`Row::read`] has them.
pub(super) const COLUMNS: &str =
    "path, owner, pass, claimed, name, url, bytes, mtime, crc, checksum, saved_in";

/// SQLite has signed integers only.
pub(super) fn signed(n: u64) -> i64 {
    n as i64
}

impl Row {
    /// See [`COLUMNS`].
    pub(super) fn read(r: &rusqlite::Row<'_>) -> rusqlite::Result<(u64, Row)> {
        let row = Row {
            owner: r.get::<_, i64>(1)? as u64,
            pass: r.get(2)?,
            claimed: r.get::<_, i64>(3)? as u64,
            saved: saved(r, 4)?,
            saved_in: r.get(10)?,
        };
        Ok((r.get::<_, i64>(0)? as u64, row))
    }
}

/// The version of the tables.
pub(super) fn format(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |r| r.get(0))
}

/// True when nothing was ever written.
pub(super) fn is_blank(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)", [], |r| r.get(0))
}

/// A row that is not in the tree: its name, and the row.
#[derive(Serialize, Deserialize)]
struct Noted<S>(u64, u64, i64, u64, Option<S>, Option<i64>);

/// Rows for the end of `recent`: the text of a statement for each would cost more than the row.
pub(super) fn to_text(rows: impl Iterator<Item = (u64, Row)>) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    let recent = rows.map(|(path, r)| Noted(path, r.owner, r.pass, r.claimed, r.saved, r.saved_in));
    serde_json::Serializer::new(&mut text).collect_seq(recent)?;
    Ok(text)
}

/// Hands on the rows that are not in the tree, the later after the earlier.
pub(super) fn read_recent(conn: &Connection, mut put: impl FnMut(u64, Row)) -> rusqlite::Result<()> {
    let mut statement = conn.prepare("SELECT rows FROM recent ORDER BY n")?;
    let mut texts = statement.query([])?;
    while let Some(text) = texts.next()? {
        let rows: Vec<Noted<Saved>> = serde_json::from_str(text.get_ref(0)?.as_str()?)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))?;
        for Noted(path, owner, pass, claimed, saved, saved_in) in rows {
            put(path, Row { owner, pass, claimed, saved, saved_in });
        }
    }
    Ok(())
}

/// Binds a row to a statement that takes [`COLUMNS`], and runs it.
pub(super) fn write(statement: &mut rusqlite::Statement<'_>, path: u64, row: &Row) -> rusqlite::Result<()> {
    let saved = row.saved.as_ref();
    let done = statement.execute(params![
        signed(path),
        signed(row.owner),
        row.pass,
        signed(row.claimed),
        saved.map(|s| s.name.as_str()),
        saved.map(|s| signed(s.url)),
        saved.map(|s| signed(s.bytes)),
        saved.map(|s| s.mtime),
        saved.map(|s| s.crc),
        saved.map(|s| s.checksum.as_str()),
        row.saved_in
    ]);
    done.map(drop)
}

fn saved(r: &rusqlite::Row<'_>, from: usize) -> rusqlite::Result<Option<Saved>> {
    let Some(bytes) = r.get::<_, Option<i64>>(from + 2)? else { return Ok(None) };
    Ok(Some(Saved {
        name: r.get(from)?,
        url: r.get::<_, Option<i64>>(from + 1)?.unwrap_or_default() as u64,
        bytes: bytes as u64,
        mtime: r.get::<_, Option<i64>>(from + 3)?.unwrap_or_default(),
        crc: r.get::<_, Option<u32>>(from + 4)?.unwrap_or_default(),
        checksum: r.get::<_, Option<String>>(from + 5)?.unwrap_or_default(),
    }))
}
