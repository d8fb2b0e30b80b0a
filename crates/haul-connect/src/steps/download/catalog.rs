//! What a run has saved and under which names: a small database in the run directory, so that neither
//! needs memory, and the same command again knows what is there.
//!
//! A name belongs to the first item that claims it, in the order of the source; a pass is one reading
//! of the whole source. Rows are written before files get their names, in the same step that makes
//! those files durable: a row says what should be there, the file itself whether it is.

use std::fs::File;
use std::path::{Path, PathBuf};

use haul_core::Fault;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

/// Claims and rows of files.
pub(super) struct Catalog {
    conn: Connection,
    path: PathBuf,
    pass: i64,
    /// A transaction is open.
    open: bool,
}

/// A name as the catalog knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// Who has it: a hash of the item's key and which of its files it is.
    pub(super) owner: u64,
    /// Of this reading of the source, or an earlier one.
    pub(super) is_now: bool,
    /// Hash of the URL that it is claimed for.
    pub(super) claimed: u64,
    /// What was saved under it.
    pub(super) saved: Option<Saved>,
    /// It was saved in this reading of the source.
    pub(super) saved_now: bool,
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

const SCHEMA: &str = "
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
    CREATE TABLE IF NOT EXISTS log (name TEXT PRIMARY KEY, len INTEGER NOT NULL);
";

/// SQLite has signed integers only.
fn signed(n: u64) -> i64 {
    n as i64
}

impl Catalog {
    /// Opens the catalog at a path, for one reading of the source.
    pub(super) fn open(path: &Path, pass: u64) -> Result<Catalog, Fault> {
        let is_new = !path.exists();
        let conn = Connection::open(path).and_then(|c| {
            // One sync for all of its making.
            c.pragma_update(None, "synchronous", if is_new { "OFF" } else { "NORMAL" })?;
            c.execute_batch(SCHEMA)?;
            if is_new && !path.as_os_str().is_empty() {
                File::open(path).and_then(|f| f.sync_all()).map_err(|_| rusqlite::Error::InvalidQuery)?;
                c.pragma_update(None, "synchronous", "NORMAL")?;
            }
            // The next process does that as well, and the syncs of the last commit are enough.
            c.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            Ok(c)
        });
        let conn = conn.map_err(|e| fault(path, &e))?;
        conn.set_prepared_statement_cache_capacity(16);
        Ok(Catalog { conn, path: path.to_owned(), pass: signed(pass), open: false })
    }

    /// A catalog of this process alone, which goes with it; what does not fit into its cache is on disk.
    pub(super) fn temporary() -> Result<Catalog, Fault> {
        Catalog::open(Path::new(""), 1)
    }

    /// What a run knows, to look at.
    pub(super) fn read_only(path: &Path) -> Result<Catalog, Fault> {
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let conn = conn.map_err(|e| fault(path, &e))?;
        Ok(Catalog { conn, path: path.to_owned(), pass: 0, open: false })
    }

    /// Reads begin a transaction as well: each would otherwise lock the file for itself.
    fn begin(&mut self) -> Result<(), Fault> {
        if !self.open {
            self.conn.execute_batch("BEGIN").map_err(|e| fault(&self.path, &e))?;
            self.open = true;
        }
        Ok(())
    }

    /// Makes everything since the last time visible to a later process. It is durable only once the
    /// file system was synced.
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        if self.open {
            self.conn.execute_batch("COMMIT").map_err(|e| fault(&self.path, &e))?;
            self.open = false;
        }
        Ok(())
    }

    /// Claims a name for an owner and a URL, unless it was claimed in this pass. What an owner saved
    /// under it in an earlier pass stays known; what another did does not.
    pub(super) fn claim(&mut self, path: u64, owner: u64, url: u64) -> Result<(), Fault> {
        self.begin()?;
        let sql = "INSERT INTO file (path, owner, pass, claimed) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (path) DO UPDATE SET owner = ?2, pass = ?3, claimed = ?4,
                url = CASE WHEN owner = ?2 THEN url END, bytes = CASE WHEN owner = ?2 THEN bytes END
            WHERE pass <> ?3";
        let done = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(params![signed(path), signed(owner), self.pass, signed(url)]));
        done.map(drop).map_err(|e| fault(&self.path, &e))
    }

    /// What is known of a name.
    pub(super) fn row(&mut self, path: u64) -> Result<Option<Row>, Fault> {
        self.begin()?;
        let sql = "SELECT owner, pass, claimed, name, url, bytes, mtime, crc, checksum, saved_in FROM file
            WHERE path = ?1";
        let read = |r: &rusqlite::Row<'_>| {
            Ok(Row {
                owner: r.get::<_, i64>(0)? as u64,
                is_now: r.get::<_, i64>(1)? == self.pass,
                claimed: r.get::<_, i64>(2)? as u64,
                saved: saved(r, 3)?,
                saved_now: r.get::<_, Option<i64>>(9)? == Some(self.pass),
            })
        };
        let found =
            self.conn.prepare_cached(sql).and_then(|mut s| s.query_row([signed(path)], read).optional());
        found.map_err(|e| fault(&self.path, &e))
    }

    /// A file that was saved from a URL.
    pub(super) fn of_url(&mut self, url: u64) -> Result<Option<Saved>, Fault> {
        self.begin()?;
        let sql = "SELECT name, url, bytes, mtime, crc, checksum FROM file WHERE url = ?1 AND bytes IS NOT NULL LIMIT 1";
        let found = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut s| s.query_row([signed(url)], |r| saved(r, 0)).optional());
        found.map(Option::flatten).map_err(|e| fault(&self.path, &e))
    }

    /// Notes a file that is about to get its name, which its owner has claimed.
    pub(super) fn save(&mut self, path: u64, owner: u64, file: &Saved) -> Result<(), Fault> {
        self.begin()?;
        let sql = "INSERT INTO file (path, owner, pass, claimed, name, url, bytes, mtime, crc, checksum, saved_in)
            VALUES (?1, ?2, ?3, ?5, ?4, ?5, ?6, ?7, ?8, ?9, ?3)
            ON CONFLICT (path) DO UPDATE SET owner = ?2, pass = ?3, name = ?4, claimed = ?5, url = ?5, bytes = ?6,
                mtime = ?7, crc = ?8, checksum = ?9, saved_in = ?3";
        let done = self.conn.prepare_cached(sql).and_then(|mut s| {
            s.execute(params![
                signed(path),
                signed(owner),
                self.pass,
                file.name,
                signed(file.url),
                signed(file.bytes),
                file.mtime,
                file.crc,
                file.checksum
            ])
        });
        done.map(drop).map_err(|e| fault(&self.path, &e))
    }

    /// How long a log was at the last commit.
    pub(super) fn log_len(&self, name: &str) -> Result<u64, Fault> {
        let found = self
            .conn
            .query_row("SELECT len FROM log WHERE name = ?1", [name], |r| r.get::<_, i64>(0))
            .optional();
        found.map(|n| n.unwrap_or(0) as u64).map_err(|e| fault(&self.path, &e))
    }

    /// How long a log is with this commit.
    pub(super) fn set_log_len(&mut self, name: &str, len: u64) -> Result<(), Fault> {
        self.begin()?;
        let sql = "INSERT INTO log VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET len = ?2";
        let done = self.conn.prepare_cached(sql).and_then(|mut s| s.execute(params![name, signed(len)]));
        done.map(drop).map_err(|e| fault(&self.path, &e))
    }
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

fn fault(path: &Path, e: &rusqlite::Error) -> Fault {
    let full = e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let code = if full { "disk_full" } else { "catalog" };
    Fault::fatal(code, format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(url: u64) -> Saved {
        Saved { name: "a.png".into(), url, bytes: 5, mtime: 7, crc: u32::MAX, checksum: String::new() }
    }

    #[test]
    fn a_name_belongs_to_its_first_claim_of_a_pass() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("files.db");
        let mut c = Catalog::open(&path, u64::MAX).unwrap();
        c.claim(1, 10, 100).unwrap();
        c.claim(1, 11, 101).unwrap();
        assert_eq!(c.row(1).unwrap().map(|r| (r.owner, r.claimed, r.saved)), Some((10, 100, None)));
        c.save(1, 10, &file(100)).unwrap();
        c.claim(1, 11, 101).unwrap();
        c.commit().unwrap();
        assert_eq!(c.row(1).unwrap().unwrap().saved, Some(file(100)));
        assert_eq!(c.of_url(100).unwrap(), Some(file(100)));
        drop(c);

        // The next pass: the owner keeps what it saved, even with another URL.
        let mut c = Catalog::open(&path, 2).unwrap();
        assert!(!c.row(1).unwrap().unwrap().is_now);
        c.claim(1, 10, 102).unwrap();
        let row = c.row(1).unwrap().unwrap();
        assert_eq!((row.is_now, row.claimed, row.saved), (true, 102, Some(file(100))));
        c.commit().unwrap();
        drop(c);

        // Another owner does not.
        let mut c = Catalog::open(&path, 3).unwrap();
        c.claim(1, 12, 100).unwrap();
        assert_eq!(c.row(1).unwrap().map(|r| (r.owner, r.saved)), Some((12, None)));
        assert_eq!(c.of_url(100).unwrap(), None);
        c.set_log_len("x", 9).unwrap();
        assert_eq!((c.log_len("x").unwrap(), c.log_len("y").unwrap()), (9, 0));
    }
}
