//! What a run has saved and under which names: a small database in the run directory, so that neither
//! needs memory, and the same command again knows what is there.
//!
//! A name belongs to the first item that claims it, in the order of the source; a pass is one reading
//! of the whole source. Rows are written before files get their names, in the same step that makes
//! those files durable: a row says what should be there, the file itself whether it is.
//!
//! Names and URLs are found by their hashes, which lie all over a tree: written there one by one, every
//! commit would write most of its pages again. New rows are held in memory, go to the end of a table of
//! their own with each commit, as one text, and are put into the tree in its order, many at a time.

use std::fs::File;
use std::path::{Path, PathBuf};

use haul_core::Fault;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::absent::knows_absent;
use super::filter::Filter;
use super::recent::Recent;
use super::rows::{
    COLUMNS, FORMAT, Row, SCHEMA, Saved, format, is_blank, read_recent, signed, to_text, write,
};

/// Rows that are written as one text.
const ROWS_AT_ONCE: usize = 512;

/// Claims and rows of files.
pub(super) struct Catalog {
    pub(super) conn: Connection,
    pub(super) path: PathBuf,
    pass: i64,
    /// A transaction is open.
    open: bool,
    /// Rows that the tree does not have yet; they replace those of the tree.
    recent: Recent,
    /// Names of rows that changed since the last commit.
    changed: Vec<u64>,
    /// Names and URLs of the tree, which most files are not in; none when an earlier process wrote some.
    of_tree: Option<Filter>,
    /// Some file is known not to exist.
    pub(super) knows_absent: bool,
}

impl Catalog {
    /// Opens the catalog at a path, for one reading of the source.
    pub(super) fn open(path: &Path, pass: u64) -> Result<Catalog, Fault> {
        let is_new = !path.exists();
        let conn = Connection::open(path).and_then(|c| {
            // One sync for all of its making.
            c.pragma_update(None, "synchronous", if is_new { "OFF" } else { "NORMAL" })?;
            match format(&c)? {
                FORMAT => {}
                // New, or whoever made it came no further.
                0 if is_blank(&c)? => c.pragma_update(None, "user_version", FORMAT)?,
                _ => return Ok(c),
            }
            c.execute_batch(SCHEMA)?;
            if is_new && !path.as_os_str().is_empty() {
                File::open(path).and_then(|f| f.sync_all()).map_err(|_| rusqlite::Error::InvalidQuery)?;
                c.pragma_update(None, "synchronous", "NORMAL")?;
            }
            // The next process does that as well, and the syncs of the last commit are enough.
            c.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            c.set_prepared_statement_cache_capacity(16);
            Ok(c)
        });
        Catalog::with(conn, path, pass)
    }

    /// A catalog of this process alone, which goes with it; what does not fit into memory is on disk.
    pub(super) fn temporary() -> Result<Catalog, Fault> {
        Catalog::open(Path::new(""), 1)
    }

    /// What a run knows, to look at.
    pub(super) fn read_only(path: &Path) -> Result<Catalog, Fault> {
        Catalog::with(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY), path, 0)
    }

    fn with(conn: rusqlite::Result<Connection>, path: &Path, pass: u64) -> Result<Catalog, Fault> {
        let broken = |e: rusqlite::Error| fault(path, &e);
        let conn = conn.map_err(broken)?;
        let found = format(&conn).map_err(broken)?;
        if found != FORMAT {
            let path = path.display();
            let message =
                format!("{path}: it has format {found}, this Haul knows {FORMAT}: use the one that wrote it");
            return Err(Fault::fatal("catalog", message));
        }
        let mut recent = Recent::default();
        read_recent(&conn, |path, row| recent.put(path, row)).map_err(broken)?;
        let has_tree = conn.query_row("SELECT EXISTS (SELECT 1 FROM file)", [], |r| r.get::<_, bool>(0));
        let of_tree = (!has_tree.map_err(broken)?).then(Filter::default);
        let knows_absent = knows_absent(&conn).map_err(broken)?;
        let (path, pass) = (path.to_owned(), signed(pass));
        Ok(Catalog { conn, path, pass, open: false, recent, changed: Vec::new(), of_tree, knows_absent })
    }

    /// Reads begin a transaction as well: each would otherwise lock the file for itself.
    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        if !self.open {
            self.conn.execute_batch("BEGIN").map_err(|e| fault(&self.path, &e))?;
            self.open = true;
        }
        Ok(())
    }

    /// Makes everything since the last time visible to a later process. It is durable only once the
    /// file system was synced.
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        if !self.changed.is_empty() {
            self.begin()?;
            self.changed.sort_unstable();
            self.changed.dedup();
            self.append().map_err(|e| fault(&self.path, &e))?;
            self.changed.clear();
        }
        if self.open {
            self.conn.execute_batch("COMMIT").map_err(|e| fault(&self.path, &e))?;
            self.open = false;
        }
        Ok(())
    }

    /// Writes what changed to the end of its table.
    fn append(&self) -> rusqlite::Result<()> {
        let mut insert = self.conn.prepare_cached("INSERT INTO recent (rows) VALUES (?1)")?;
        for paths in self.changed.chunks(ROWS_AT_ONCE) {
            let rows = paths.iter().filter_map(|path| Some((*path, self.recent.get(*path)?)));
            let text = to_text(rows).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
            insert.execute([ToSqlOutput::Borrowed(ValueRef::Text(&text))])?;
        }
        Ok(())
    }

    /// Notes a row of this reading; when there are many, all of them go into the tree, in its order.
    fn change(&mut self, path: u64, row: Row) -> Result<(), Fault> {
        self.recent.put(path, row);
        self.changed.push(path);
        if !self.recent.is_full() {
            return Ok(());
        }
        self.begin()?;
        self.merge().map_err(|e| fault(&self.path, &e))?;
        if let Some(filter) = &mut self.of_tree {
            self.recent.paths().chain(self.recent.urls()).for_each(|hash| {
                filter.insert(hash);
            });
        }
        self.changed.clear();
        self.recent.clear();
        Ok(())
    }

    fn merge(&self) -> rusqlite::Result<()> {
        let mut paths: Vec<_> = self.recent.paths().map(signed).collect();
        paths.sort_unstable();
        let sql =
            format!("REPLACE INTO file ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
        let mut replace = self.conn.prepare_cached(&sql)?;
        for path in paths {
            if let Some(row) = self.recent.get(path as u64) {
                write(&mut replace, path as u64, &row)?;
            }
        }
        self.conn.execute("DELETE FROM recent", []).map(drop)
    }

    /// Claims a name for an owner and a URL, unless it was claimed in this pass; the row is what is known of
    /// it then. What an owner saved under it in an earlier pass stays known; what another did does not.
    pub(super) fn claim(&mut self, path: u64, owner: u64, url: u64) -> Result<Row, Fault> {
        let before = self.row(path)?;
        match before {
            Some(row) if row.pass == self.pass => Ok(row),
            before => {
                let own = before.filter(|row| row.owner == owner);
                let (saved, saved_in) = own.map_or((None, None), |row| (row.saved, row.saved_in));
                let row = Row { owner, pass: self.pass, claimed: url, saved, saved_in };
                self.change(path, row.clone())?;
                Ok(row)
            }
        }
    }

    /// True when what a row tells of was saved in this reading of the source.
    pub(super) fn is_saved_now(&self, row: &Row) -> bool {
        row.saved.is_some() && row.saved_in == Some(self.pass)
    }

    /// Whether the tree may have something of this name or URL.
    fn may_have(&self, hash: u64) -> bool {
        self.of_tree.as_ref().is_none_or(|filter| filter.may_have(hash))
    }

    /// What is known of a name.
    pub(super) fn row(&mut self, path: u64) -> Result<Option<Row>, Fault> {
        if let Some(row) = self.recent.get(path) {
            return Ok(Some(row));
        }
        if !self.may_have(path) {
            return Ok(None);
        }
        self.begin()?;
        let sql = format!("SELECT {COLUMNS} FROM file WHERE path = ?1");
        let found = self
            .conn
            .prepare_cached(&sql)
            .and_then(|mut s| s.query_row([signed(path)], Row::read).optional());
        found.map(|row| row.map(|(_, row)| row)).map_err(|e| fault(&self.path, &e))
    }

    /// A file that was saved from a URL.
    pub(super) fn of_url(&mut self, url: u64) -> Result<Option<Saved>, Fault> {
        if let Some(found) = self.recent.of_url(url) {
            return Ok(Some(found));
        }
        if !self.may_have(url) {
            return Ok(None);
        }
        self.begin()?;
        let sql = format!("SELECT {COLUMNS} FROM file WHERE url = ?1 AND bytes IS NOT NULL LIMIT 1");
        let found =
            self.conn.prepare_cached(&sql).and_then(|mut s| s.query_row([signed(url)], Row::read).optional());
        let found = found.map_err(|e| fault(&self.path, &e))?;
        Ok(found.filter(|(path, _)| self.recent.get(*path).is_none()).and_then(|(_, row)| row.saved))
    }

    /// Notes a file that is about to get its name, which its owner has claimed.
    pub(super) fn save(&mut self, path: u64, owner: u64, file: Saved) -> Result<(), Fault> {
        let pass = self.pass;
        self.not_absent(path)?;
        self.change(path, Row { owner, pass, claimed: file.url, saved: Some(file), saved_in: Some(pass) })
    }

    /// Forgets what was saved under a name, which stays claimed.
    pub(super) fn forget(&mut self, path: u64) -> Result<(), Fault> {
        match self.row(path)? {
            Some(row) => self.change(path, Row { saved: None, saved_in: None, ..row }),
            None => Ok(()),
        }
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

pub(super) fn fault(path: &Path, e: &rusqlite::Error) -> Fault {
    let full = e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let code = if full { "disk_full" } else { "catalog" };
    Fault::fatal(code, format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use haul_core::limits::CATALOG_ROWS;

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
        let row = c.claim(1, 11, 101).unwrap();
        assert_eq!((row.owner, row.claimed, row.saved), (10, 100, None));
        c.save(1, 10, file(100)).unwrap();
        let row = c.claim(1, 11, 101).unwrap();
        assert!(c.is_saved_now(&row));
        c.commit().unwrap();
        assert_eq!(c.row(1).unwrap().unwrap().saved, Some(file(100)));
        assert_eq!(c.of_url(100).unwrap(), Some(file(100)));
        drop(c);

        // The next pass: the owner keeps what it saved, even with another URL.
        let mut c = Catalog::open(&path, 2).unwrap();
        let row = c.claim(1, 10, 102).unwrap();
        assert!(!c.is_saved_now(&row));
        assert_eq!((row.claimed, row.saved), (102, Some(file(100))));
        c.commit().unwrap();
        drop(c);

        // Another owner does not.
        let mut c = Catalog::open(&path, 3).unwrap();
        let row = c.claim(1, 12, 100).unwrap();
        assert_eq!((row.owner, row.saved), (12, None));
        assert_eq!(c.of_url(100).unwrap(), None);
        c.absent(1, 100, 404).unwrap();
        assert_eq!((c.absence(1, 100).unwrap(), c.absence(1, 101).unwrap()), (Some(404), None));
        c.save(1, 12, file(100)).unwrap();
        assert_eq!(c.absence(1, 100).unwrap(), None);
        c.set_log_len("x", 9).unwrap();
        assert_eq!((c.log_len("x").unwrap(), c.log_len("y").unwrap()), (9, 0));
    }

    /// Names lie all over the tree, as hashes do.
    fn name(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn stands(c: &mut Catalog, n: u64, saved: Option<Saved>) {
        let row = c.row(name(n)).unwrap().unwrap();
        assert_eq!((row.owner, &row.saved), (n, &saved), "{n}");
        if let Some(saved) = saved {
            assert_eq!(c.of_url(saved.url).unwrap(), Some(saved), "{n}");
        }
    }

    #[test]
    fn more_than_memory_holds_is_found_in_this_process_and_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("files.db");
        let all = 2 * CATALOG_ROWS as u64 + 100;
        let mut c = Catalog::open(&path, 1).unwrap();
        for n in 0..all {
            c.claim(name(n), n, n).unwrap();
            if !n.is_multiple_of(3) {
                c.save(name(n), n, file(n)).unwrap();
            }
            if n.is_multiple_of(1000) {
                c.commit().unwrap();
            }
        }
        c.commit().unwrap();
        c.claim(name(all), all, all).unwrap();
        let saved = |n: u64| (!n.is_multiple_of(3)).then(|| file(n));
        (0..all).step_by(7).for_each(|n| stands(&mut c, n, saved(n)));
        drop(c);

        let mut seen = Catalog::read_only(&path).unwrap();
        assert!(seen.row(name(all)).unwrap().is_none(), "it was not committed");
        (0..all).step_by(7).for_each(|n| stands(&mut seen, n, saved(n)));
        drop(seen);

        // A row that is new again hides that of the tree, by its name and by its URL.
        let mut c = Catalog::open(&path, 2).unwrap();
        c.claim(name(1), 5, 1).unwrap();
        assert_eq!(c.row(name(1)).unwrap().map(|row| (row.owner, row.saved)), Some((5, None)));
        assert_eq!(c.of_url(1).unwrap(), None);
        stands(&mut c, 2, saved(2));
    }

    #[test]
    fn a_catalog_of_another_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("files.db");
        let c = Catalog::open(&path, 1).unwrap();
        c.conn.pragma_update(None, "user_version", FORMAT + 1).unwrap();
        drop(c);
        for opened in [Catalog::open(&path, 2), Catalog::read_only(&path)] {
            let fault = opened.err().unwrap();
            assert!(fault.message().contains("format 2"), "{fault}");
        }
        // Whoever began it was killed before anything was written.
        let begun = dir.path().join("begun.db");
        File::create(&begun).unwrap();
        Catalog::open(&begun, 1).unwrap().claim(1, 10, 100).unwrap();
    }
}
