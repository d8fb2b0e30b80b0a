//! Files that need not be there: a status said so, and the job that it is skipped.

use haul_core::Fault;
use rusqlite::{Connection, OptionalExtension, params};

use super::catalog::{Catalog, fault};
use super::rows::signed;

/// True when there is one.
pub(super) fn knows_absent(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM absent)", [], |r| r.get(0))
}

impl Catalog {
    /// Notes that a status said that there is no file of this URL, and that none is needed.
    pub(super) fn absent(&mut self, path: u64, url: u64, status: u16) -> Result<(), Fault> {
        self.begin()?;
        self.knows_absent = true;
        let sql = "REPLACE INTO absent VALUES (?1, ?2, ?3)";
        let values = params![signed(path), signed(url), status];
        let done = self.conn.prepare_cached(sql).and_then(|mut s| s.execute(values));
        done.map(drop).map_err(|e| fault(&self.path, &e))
    }

    /// Which status said that no file of this URL is needed under a name.
    pub(super) fn absence(&mut self, path: u64, url: u64) -> Result<Option<u16>, Fault> {
        if !self.knows_absent {
            return Ok(None);
        }
        let sql = "SELECT status FROM absent WHERE path = ?1 AND url = ?2";
        let values = [signed(path), signed(url)];
        let found =
            self.conn.prepare_cached(sql).and_then(|mut s| s.query_row(values, |r| r.get(0)).optional());
        found.map_err(|e| fault(&self.path, &e))
    }

    /// A file of this name is saved.
    pub(super) fn not_absent(&mut self, path: u64) -> Result<(), Fault> {
        if !self.knows_absent {
            return Ok(());
        }
        self.begin()?;
        let sql = "DELETE FROM absent WHERE path = ?1";
        let done = self.conn.prepare_cached(sql).and_then(|mut s| s.execute([signed(path)]));
        done.map(drop).map_err(|e| fault(&self.path, &e))
    }
}
