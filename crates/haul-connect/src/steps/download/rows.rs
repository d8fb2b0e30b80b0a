//! The rows of a catalog, and how SQLite holds them.

use rusqlite::{Connection, params};

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
    /// The reading of the source in which it was saved.
    pub(super) saved_in: Option<i64>,
}

/// A file that was saved.
#[derive(Clone, PartialEq, Eq, Debug)]
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

pub(super) const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA cache_size = -1024;
    PRAGMA wal_autocheckpoint = 2000;
    CREATE TABLE IF NOT EXISTS file (
        path INTEGER PRIMARY KEY,
        owner INTEGER NOT NULL,
        pass INTEGER NOT NULL,
        claimed INTEGER NOT NULL,
        name TEXT, url INTEGER, bytes INTEGER, mtime INTEGER, crc INTEGER, checksum TEXT, saved_in INTEGER
    );
    CREATE INDEX IF NOT EXISTS file_url ON file (url) WHERE url IS NOT NULL;
    CREATE TABLE IF NOT EXISTS recent (
        n INTEGER PRIMARY KEY,
        path INTEGER NOT NULL,
        owner INTEGER NOT NULL,
        pass INTEGER NOT NULL,
        claimed INTEGER NOT NULL,
        name TEXT, url INTEGER, bytes INTEGER, mtime INTEGER, crc INTEGER, checksum TEXT, saved_in INTEGER
    );
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

    /// Bytes of its texts.
    pub(super) fn texts(&self) -> usize {
        self.saved.as_ref().map_or(0, |saved| saved.name.len() + saved.checksum.len())
    }
}

/// False in a catalog of an earlier version that is only looked at.
pub(super) fn has_table(conn: &Connection, name: &str) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = ?1)", [name], |r| r.get(0))
}

/// The rows that are not in the tree, the later after the earlier.
pub(super) fn recent_of(conn: &Connection) -> rusqlite::Result<Vec<(u64, Row)>> {
    if !has_table(conn, "recent")? {
        return Ok(Vec::new());
    }
    conn.prepare(&format!("SELECT {COLUMNS} FROM recent ORDER BY n"))?.query_map([], Row::read)?.collect()
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
