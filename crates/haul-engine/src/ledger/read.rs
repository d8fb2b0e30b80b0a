//! What people and reports ask of a ledger: while the run works, and after it died.
//!
//! A reader never writes and never waits for the run; each call sees one consistent state.

use std::path::Path;

use haul_core::aggregate::Saved;
use haul_core::ledger::{Change, Exception, IN_WORK, LaneNote, LedgerError, RecoveredSlice, TickRow, Why};
use haul_core::{Counts, Seq, SliceId, UnixMs};
use rusqlite::{Connection, OpenFlags, params_from_iter, types::Value};

pub use super::groups::{GROUPS, Group, GroupId, Groups, SAMPLES};

use super::error::Place;
use super::rows::{self, signed};
use super::run::{self, RunInfo};
use super::{LEDGER_FILE, changes, groups, recover, schema, ticks};

/// Page cache of a reader.
const CACHE_KIB: i64 = 512;

/// Which items are meant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// Only items that have a row for one of these reasons; empty: any.
    pub whys: Vec<Why>,
    /// Only items of one of these outcomes and signatures (those of groups); empty: any.
    pub signatures: Vec<(Why, String)>,
}

impl Selection {
    /// The items of some groups.
    pub fn groups<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Self {
        let signatures = groups.into_iter().map(|g| (g.why, g.signature.clone())).collect();
        Selection { whys: Vec::new(), signatures }
    }

    /// As a condition on `item` with its values in order of appearance.
    pub(super) fn sql(&self) -> (String, Vec<Value>) {
        let mut sql = String::from("1");
        let mut values = Vec::new();
        if !self.whys.is_empty() {
            let marks = vec!["?"; self.whys.len()].join(", ");
            sql.push_str(&format!(" AND why IN ({marks})"));
            values.extend(self.whys.iter().map(|w| Value::from(w.as_str().to_owned())));
        }
        if !self.signatures.is_empty() {
            let marks = vec!["(?, ?)"; self.signatures.len()].join(", ");
            sql.push_str(&format!(" AND (why, signature) IN (VALUES {marks})"));
            for (why, signature) in &self.signatures {
                values.push(Value::from(why.as_str().to_owned()));
                values.push(Value::from(signature.clone()));
            }
        }
        (sql, values)
    }
}

/// What a run has summed up, and of what.
#[derive(Clone, Debug)]
pub struct SummedUp {
    /// States of the aggregates by name.
    pub aggregates: Vec<(String, Saved)>,
    /// The slices they stand for, as of the same commit.
    pub slices: Vec<RecoveredSlice>,
}

/// A ledger, opened for reading.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    place: Place,
}

impl Reader {
    /// Opens the ledger of a run directory, whether or not a process drives the run.
    pub fn open(run_dir: &Path) -> Result<Self, LedgerError> {
        let path = run_dir.join(LEDGER_FILE);
        let place = Place::new(&path);
        match Self::connect(&path, &place, "") {
            // SQLite wants to make files beside a database that it reads. Where it may not, and none
            // hold anything, the file alone tells everything.
            Err(e) if !may_write(run_dir) && is_closed(&path) => {
                Self::connect(&path, &place, "?immutable=1").map_err(|_| e)
            }
            opened => opened,
        }
    }

    /// Opens the ledger of a run that nobody drives, for a short look: where the last process closed
    /// it in peace, no file is made, which is several times faster.
    pub fn glance(run_dir: &Path) -> Result<Self, LedgerError> {
        let path = run_dir.join(LEDGER_FILE);
        if !is_closed(&path) {
            return Self::open(run_dir);
        }
        Self::connect(&path, &Place::new(&path), "?immutable=1")
    }

    fn connect(path: &Path, place: &Place, query: &str) -> Result<Self, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = match query {
            "" => Connection::open_with_flags(path, flags),
            query => Connection::open_with_flags(uri(path) + query, flags | OpenFlags::SQLITE_OPEN_URI),
        };
        let conn = opened.map_err(|e| place.error(e))?;
        let settings = || {
            conn.busy_timeout(haul_core::limits::LEDGER_BUSY)?;
            conn.pragma_update(None, "mmap_size", 0)?;
            conn.pragma_update(None, "cache_size", -CACHE_KIB)
        };
        settings().map_err(|e| place.error(e))?;
        schema::check(&conn, place)?;
        Ok(Reader { conn, place: place.clone() })
    }

    fn ask<T>(&self, what: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        what(&self.conn).map_err(|e| self.place.error(e))
    }

    /// What the run is and how it was left.
    pub fn run(&self) -> Result<RunInfo, LedgerError> {
        self.ask(run::info)?.ok_or_else(|| self.place.corrupt("it does not say which run it is of"))
    }

    /// Counts over all slices, as of the last commit.
    pub fn counts(&self) -> Result<Counts, LedgerError> {
        self.ask(run::counts)
    }

    /// All slices, as of the last commit.
    pub fn slices(&self) -> Result<Vec<RecoveredSlice>, LedgerError> {
        self.ask(|conn| {
            let tx = conn.unchecked_transaction()?;
            recover::slices(&tx)
        })
    }

    /// States of the aggregates and the slices they stand for, as of the same commit.
    pub fn summed_up(&self) -> Result<SummedUp, LedgerError> {
        self.ask(|conn| {
            let tx = conn.unchecked_transaction()?;
            Ok(SummedUp { aggregates: recover::aggregates(&tx)?, slices: recover::slices(&tx)? })
        })
    }

    /// Effects that were announced and have no outcome yet: in doubt, if no process drives the run.
    pub fn intents(&self) -> Result<u64, LedgerError> {
        self.ask(|conn| {
            conn.query_row("SELECT count(*) FROM item WHERE why = 'intent'", [], |r| {
                Ok(rows::unsigned(r.get(0)?))
            })
        })
    }

    /// Failed, rejected and in-doubt items by signature.
    pub fn groups(&self) -> Result<Groups, LedgerError> {
        self.ask(|conn| {
            let tx = conn.unchecked_transaction()?;
            groups::read(&tx)
        })
    }

    /// Up to `limit` rows after a place, in order of slice and seq, without their memos. Call again
    /// with the last one's place for more.
    pub fn exceptions(
        &self,
        which: &Selection,
        after: Option<(SliceId, Seq)>,
        limit: usize,
    ) -> Result<Vec<Exception>, LedgerError> {
        self.ask(|conn| {
            let (condition, mut values) = which.sql();
            let mut sql = format!("SELECT {} FROM item WHERE {condition}", rows::ITEM);
            if let Some((slice, seq)) = after {
                sql.push_str(" AND (slice, seq) > (?, ?)");
                values.extend([Value::from(slice.0), Value::from(signed(seq.0))]);
            }
            sql.push_str(" ORDER BY slice, seq LIMIT ?");
            values.push(Value::from(limit as i64));
            let mut query = conn.prepare_cached(&sql)?;
            query.query_map(params_from_iter(values), rows::exception)?.collect()
        })
    }

    /// Interval rows from a time on, oldest first.
    pub fn ticks(&self, since: UnixMs) -> Result<Vec<TickRow>, LedgerError> {
        self.ask(|conn| {
            let mut query = conn.prepare_cached("SELECT * FROM tick WHERE at >= ?1 ORDER BY at")?;
            query.query_map([since.0], ticks::from_row)?.collect()
        })
    }

    /// The newest `limit` changes of lanes, oldest first.
    pub fn lanes(&self, limit: usize) -> Result<Vec<LaneNote>, LedgerError> {
        self.ask(|conn| {
            let mut query = conn
                .prepare_cached("SELECT lane, at, what, value, reason FROM lane ORDER BY id DESC LIMIT ?1")?;
            let notes: Vec<Option<LaneNote>> =
                query.query_map([limit as i64], recover::lane)?.collect::<Result<_, _>>()?;
            Ok(notes.into_iter().rev().flatten().collect())
        })
    }

    /// The newest `limit` changes by people, oldest first.
    pub fn changes(&self, limit: usize) -> Result<Vec<Change>, LedgerError> {
        self.ask(|conn| changes::newest(conn, limit))
    }

    /// When the earliest parked item is due.
    pub fn next_due(&self) -> Result<Option<UnixMs>, LedgerError> {
        self.ask(|conn| {
            let sql = "SELECT min(due) FROM item WHERE why = 'parked' AND due < ?1";
            conn.query_row(sql, [IN_WORK.0], |r| Ok(r.get::<_, Option<i64>>(0)?.map(UnixMs)))
        })
    }
}

/// Whether all of a ledger is in its main file.
fn is_closed(path: &Path) -> bool {
    path.with_extension("db-wal").metadata().map_or(true, |m| m.len() == 0)
}

/// Whether files can be made in a directory.
fn may_write(dir: &Path) -> bool {
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    let made = std::fs::File::create(&probe).is_ok();
    drop(std::fs::remove_file(probe));
    made
}

/// A path as SQLite reads it in a URI.
fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &b in path.as_os_str().as_encoded_bytes() {
        match b {
            b'\\' if cfg!(windows) => uri.push('/'),
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(b)),
            b => uri.push_str(&format!("%{b:02X}")),
        }
    }
    uri
}
