//! The ledger of a run directory: SQLite, write-ahead log, one sync a commit.

use std::collections::HashSet;
use std::path::Path;

use haul_core::ledger::{Commit, Exception, IN_WORK, Ledger, LedgerError, Recovered, Why};
use haul_core::limits::LEDGER_RESERVE;
use haul_core::{KeyHash, Seq, SliceId, UnixMs};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::Place;
use super::reserve::Reserve;
use super::rows::{self, signed, unsigned};
use super::run::{self, NewRun, RunEnd, RunInfo};
use super::write::{Bounds, Refused};
use super::{recover, schema, ticks, write};

/// Place of a parked row in order of becoming due.
type Due = (i64, u32, u64);

/// A ledger in a file. One per run; the run's lock keeps a second process away, and the fence would
/// refuse its commits.
#[derive(Debug)]
pub struct SqliteLedger {
    conn: Connection,
    place: Place,
    reserve: Reserve,
    low: bool,
    bounds: Bounds,
    /// Parked rows that this process works on. At most a window of them.
    taken: HashSet<(SliceId, Seq)>,
    /// Parked rows up to here are all taken, so that each take starts where the last one ended.
    taken_to: Option<Due>,
    ticks: usize,
    thin_to: (i64, i64),
}

impl SqliteLedger {
    /// Makes the ledger of a new run. The file must not exist; its directory is made durable by the
    /// caller.
    pub fn create(path: &Path, run: &NewRun) -> Result<Self, LedgerError> {
        let place = Place::new(path);
        std::fs::File::create_new(path).map_err(|e| place.file(&e))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags).map_err(|e| place.error(e))?;
        schema::create(&mut conn, run).map_err(|e| place.error(e))?;
        drop(conn);
        Self::open(path)
    }

    /// Opens the ledger of a run that exists. Refuses, and leaves as it is, what is no ledger, is
    /// damaged, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let place = Place::new(path);
        let conn = schema::open(path, &place)?;
        Ok(SqliteLedger {
            conn,
            reserve: Reserve::beside(path, LEDGER_RESERVE),
            place,
            low: false,
            bounds: Bounds::default(),
            taken: HashSet::new(),
            taken_to: None,
            ticks: 0,
            thin_to: (i64::MIN, i64::MIN),
        })
    }

    /// Keeps only the newest keys of each slice from now on: for input that may never end, whose key
    /// log would grow without bound.
    pub fn keep_keys(&mut self, newest: u64) {
        self.bounds.keys_kept = newest;
    }

    /// Says that a process of this version starts to drive the run.
    pub fn start_run(&mut self, version: &str, at: UnixMs) -> Result<(), LedgerError> {
        run::start(&self.conn, version, at).map_err(|e| self.place.error(e))
    }

    /// Says how the process that drove the run left it.
    pub fn end_run(&mut self, end: &RunEnd) -> Result<(), LedgerError> {
        let result = self.conn.unchecked_transaction().and_then(|tx| {
            run::end(&tx, end)?;
            tx.commit()
        });
        result.map_err(|e| self.place.error(e))
    }

    /// The `run` table.
    pub fn run(&self) -> Result<RunInfo, LedgerError> {
        let info = run::info(&self.conn).map_err(|e| self.place.error(e))?;
        info.ok_or_else(|| self.place.corrupt("it does not say which run it is of"))
    }

    fn write(&mut self, c: &Commit) -> Result<(), Refused> {
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)?;
        write::commit(&tx, c, self.bounds)?;
        let mut thin_to = self.thin_to;
        let thin = self.ticks + c.ticks.len() >= ticks::THIN_EVERY;
        if let (true, Some(newest)) = (thin, c.ticks.last()) {
            thin_to = ticks::thin_stored(&tx, newest.at, thin_to)?;
        }
        tx.commit()?;
        self.thin_to = thin_to;
        self.ticks = if thin { 0 } else { self.ticks + c.ticks.len() };
        Ok(())
    }

    /// What was committed may be taken again, if it is parked.
    fn give_back(&mut self, c: &Commit) {
        for (slice, seq) in &c.cleared {
            self.taken.remove(&(*slice, *seq));
        }
        for e in &c.exceptions {
            self.taken.remove(&(e.slice, e.seq));
            let due = (e.due.0, e.slice.0, e.seq.0);
            if e.why == Why::Parked && self.taken_to.is_some_and(|to| due <= to) {
                // It stands among those that were taken: look from there on again.
                self.taken_to = Some(before(due));
            }
        }
    }

    /// Parked rows that were not taken, earliest first, due by `now`.
    fn parked(&self, now: i64, limit: usize) -> rusqlite::Result<Vec<Due>> {
        let (due, slice, seq) = self.taken_to.unwrap_or((i64::MIN, 0, 0));
        let mut query = self.conn.prepare_cached(
            "SELECT due, slice, seq FROM item INDEXED BY item_due
             WHERE why = 'parked' AND due <= ?1 AND (due, slice, seq) > (?2, ?3, ?4) ORDER BY due, slice, seq",
        )?;
        let rows = query
            .query_map((now, due, slice, signed(seq)), |r| Ok((r.get(0)?, r.get(1)?, unsigned(r.get(2)?))))?;
        let mut found = Vec::new();
        for row in rows {
            let place: Due = row?;
            if found.len() == limit {
                break;
            }
            if !self.taken.contains(&(SliceId(place.1), Seq(place.2))) {
                found.push(place);
            }
        }
        Ok(found)
    }

    fn take(&mut self, now: UnixMs, limit: usize) -> rusqlite::Result<Vec<Exception>> {
        let places = self.parked(now.0, limit)?;
        let mut items = Vec::with_capacity(places.len());
        for &(_, slice, seq) in &places {
            let sql = format!("SELECT {} FROM item WHERE slice = ?1 AND seq = ?2", rows::ITEM);
            let mut query = self.conn.prepare_cached(&sql)?;
            let mut item = query.query_row((slice, signed(seq)), rows::exception)?;
            item.memos = rows::memos(&self.conn, item.slice, item.seq)?;
            items.push(item);
        }
        if let Some(last) = places.last() {
            self.taken_to = self.taken_to.max(Some(*last));
        }
        self.taken.extend(items.iter().map(|e| (e.slice, e.seq)));
        Ok(items)
    }

    fn read_keys(&self, slice: SliceId, from: Seq, limit: usize) -> rusqlite::Result<Vec<KeyHash>> {
        let mut query = self.conn.prepare_cached(
            "SELECT first, hashes FROM key WHERE slice = ?1 AND first >=
               coalesce((SELECT max(first) FROM key WHERE slice = ?1 AND first <= ?2), 0) ORDER BY first",
        )?;
        let mut rows = query.query((slice.0, signed(from.0)))?;
        let mut keys = Vec::new();
        while let (true, Some(row)) = (keys.len() < limit, rows.next()?) {
            let first = unsigned(row.get(0)?);
            let (hashes, _) = row.get_ref(1)?.as_blob()?.as_chunks::<16>();
            let skip = usize::try_from(from.0.saturating_sub(first)).unwrap_or(usize::MAX);
            let room = limit - keys.len();
            keys.extend(hashes.iter().skip(skip).take(room).map(|h| KeyHash(*h)));
        }
        Ok(keys)
    }
}

/// A run that nobody drives needs no room; the next process takes it again.
impl Drop for SqliteLedger {
    fn drop(&mut self) {
        self.reserve.release();
    }
}

/// The place just before another one.
fn before((due, slice, seq): Due) -> Due {
    match (slice, seq) {
        (slice, 1..) => (due, slice, seq - 1),
        (1.., 0) => (due, slice - 1, u64::MAX >> 1),
        (0, 0) => (due.saturating_sub(1), u32::MAX, u64::MAX >> 1),
    }
}

impl Ledger for SqliteLedger {
    fn recover(&mut self) -> Result<Recovered, LedgerError> {
        self.reserve.take().map_err(|e| self.place.file(&e))?;
        self.low = false;
        self.taken.clear();
        self.taken_to = None;
        let result = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate).and_then(|tx| {
            let fence = recover::take_over(&tx)?;
            let recovered = recover::read(&tx, fence, run::wall())?;
            tx.commit()?;
            Ok(recovered)
        });
        result.map_err(|e| self.place.error(e))
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), LedgerError> {
        let mut result = self.write(commit);
        if matches!(&result, Err(Refused::Sql(e)) if self.place.is_full(e)) && self.reserve.release() {
            self.low = true;
            result = self.write(commit);
        }
        match result {
            Ok(()) => {
                self.give_back(commit);
                Ok(())
            }
            Err(Refused::Sql(e)) => Err(self.place.write_error(e)),
            Err(Refused::Fenced(stored)) => Err(LedgerError::Fenced(self.place.path(), stored, commit.fence)),
            Err(Refused::Gap(slice, end, from)) => Err(self.place.io(format!(
                "the key log of slice {slice} ends at item {end}, the next keys are of item {from}"
            ))),
        }
    }

    fn low(&self) -> Option<LedgerError> {
        self.low.then(|| self.place.full())
    }

    fn take_due(&mut self, now: UnixMs, limit: usize) -> Result<Vec<Exception>, LedgerError> {
        self.take(now, limit).map_err(|e| self.place.error(e))
    }

    fn next_due(&mut self) -> Result<Option<UnixMs>, LedgerError> {
        let first = self.parked(IN_WORK.0 - 1, 1).map_err(|e| self.place.error(e))?;
        Ok(first.first().map(|(due, _, _)| UnixMs(*due)))
    }

    fn keys(&mut self, slice: SliceId, from: Seq, limit: usize) -> Result<Vec<KeyHash>, LedgerError> {
        self.read_keys(slice, from, limit).map_err(|e| self.place.error(e))
    }

    fn rows(&mut self, slice: SliceId, from: Seq, limit: usize) -> Result<Vec<Seq>, LedgerError> {
        let read = || -> rusqlite::Result<Vec<Seq>> {
            let mut query = self.conn.prepare_cached(
                "SELECT seq FROM item WHERE slice = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
            )?;
            let rows =
                query.query_map((slice.0, signed(from.0), limit as i64), |r| Ok(Seq(unsigned(r.get(0)?))))?;
            rows.collect()
        };
        read().map_err(|e| self.place.error(e))
    }
}

#[cfg(test)]
mod tests {
    use haul_core::ledger::{LaneNote, Resume, SliceCommit, SliceState};
    use haul_core::source::Slice;
    use haul_core::{Counts, Key};

    use super::*;
    use crate::ledger::LEDGER_FILE;

    fn ledger(bounds: Bounds) -> (tempfile::TempDir, SqliteLedger) {
        let dir = tempfile::tempdir().unwrap();
        let run = NewRun::new("00ff", "test", "1");
        let mut ledger = SqliteLedger::create(&dir.path().join(LEDGER_FILE), &run).unwrap();
        ledger.bounds = bounds;
        ledger.recover().unwrap();
        (dir, ledger)
    }

    #[test]
    fn the_key_log_of_an_endless_source_keeps_the_last_keys() {
        let (_dir, mut ledger) = ledger(Bounds { keys_kept: 100, ..Bounds::default() });
        let key = |n: u64| Key::from(n.to_string()).hash();
        for from in (0..1000u64).step_by(30) {
            let slice = SliceCommit {
                slice: Slice::whole(),
                resume: Resume::default(),
                watermark: Seq(0),
                chunks: Vec::new(),
                counts: Counts::default(),
                keys: (from..from + 30).map(key).collect(),
                keys_from: Seq(from),
                state: SliceState::Open,
                bytes: 0,
            };
            ledger.commit(&Commit { fence: 1, slices: vec![slice], ..Commit::default() }).unwrap();
        }
        let s = ledger.recover().unwrap().slices.remove(0);
        assert_eq!(s.keys, 1020);
        assert!((890..=920).contains(&s.keys_from.0), "{}", s.keys_from);
        let kept = ledger.keys(SliceId(0), Seq(0), 1000).unwrap();
        assert_eq!(kept, (s.keys_from.0..1020).map(key).collect::<Vec<_>>());
        let rows: i64 = ledger.conn.query_row("SELECT count(*) FROM key", [], |r| r.get(0)).unwrap();
        assert!(rows <= 5, "{rows}");
    }

    #[test]
    fn the_history_of_lanes_is_bounded() {
        let (_dir, mut ledger) = ledger(Bounds { lane_rows: 10, ..Bounds::default() });
        for n in 0..50 {
            let note = LaneNote {
                lane: "a:80".into(),
                at: run::wall(),
                what: "rate",
                value: f64::from(n),
                reason: "429".into(),
            };
            ledger.commit(&Commit { fence: 1, lanes: vec![note], ..Commit::default() }).unwrap();
        }
        let rows: i64 = ledger.conn.query_row("SELECT count(*) FROM lane", [], |r| r.get(0)).unwrap();
        assert_eq!(rows, 10);
        assert_eq!(ledger.recover().unwrap().lanes[0].value, 49.0);
    }

    #[test]
    fn its_cache_stays_small_and_it_syncs_fully() {
        let (_dir, ledger) = ledger(Bounds::default());
        let number =
            |name: &str| -> i64 { ledger.conn.pragma_query_value(None, name, |r| r.get(0)).unwrap() };
        assert_eq!(number("synchronous"), 2);
        assert_eq!(number("mmap_size"), 0);
        assert!((-1024..0).contains(&number("cache_size")), "KiB, at most 1 MiB");
        let mode: String = ledger.conn.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
}
