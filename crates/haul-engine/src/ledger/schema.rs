//! Tables, format version and connection settings of `ledger.db`.

use std::path::Path;

use haul_core::ledger::LedgerError;
use haul_core::limits;
use rusqlite::{Connection, OpenFlags};

use super::error::Place;
use super::run::{self, NewRun};

/// Version of the tables, in `PRAGMA user_version`.
pub(super) const FORMAT: u32 = 1;

/// `PRAGMA application_id`: "haul" in ASCII, so that `file ledger.db` and this program can tell it
/// from any other SQLite database.
const APPLICATION: u32 = 0x6861_756c;

/// All times are milliseconds since the Unix epoch. Keys, records and memos are TEXT where they are
/// UTF-8 and BLOB where not, so that any SQLite tool shows them.
const TABLES: &str = "
CREATE TABLE run (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  key BLOB NOT NULL,
  identity TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  fence INTEGER NOT NULL,
  created INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  started INTEGER,
  driven_by TEXT,
  processes INTEGER NOT NULL DEFAULT 0,
  ended INTEGER,
  exit_status INTEGER,
  done INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  rejected INTEGER NOT NULL DEFAULT 0,
  in_doubt INTEGER NOT NULL DEFAULT 0,
  waiting INTEGER NOT NULL DEFAULT 0,
  rss_peak INTEGER,
  cpu_ms INTEGER
);
CREATE TABLE change (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  old TEXT NOT NULL,
  new TEXT NOT NULL
);
CREATE TABLE slice (
  id INTEGER PRIMARY KEY,
  lo TEXT NOT NULL,
  hi TEXT NOT NULL,
  parent INTEGER,
  state TEXT NOT NULL,
  cursor TEXT,
  first INTEGER NOT NULL,
  watermark INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  done INTEGER NOT NULL,
  skipped INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  in_doubt INTEGER NOT NULL,
  waiting INTEGER NOT NULL,
  keys_from INTEGER NOT NULL DEFAULT 0,
  keys_end INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE settled (
  slice INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  bits BLOB NOT NULL,
  PRIMARY KEY (slice, chunk)
) WITHOUT ROWID;
CREATE TABLE key (
  slice INTEGER NOT NULL,
  first INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (slice, first)
) WITHOUT ROWID;
CREATE TABLE item (
  slice INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  why TEXT NOT NULL,
  key,
  line INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  record,
  attempts INTEGER NOT NULL,
  uncharged_ms INTEGER NOT NULL,
  signature TEXT NOT NULL,
  step TEXT NOT NULL,
  origin TEXT NOT NULL,
  code TEXT NOT NULL,
  status INTEGER,
  message TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  due INTEGER NOT NULL,
  PRIMARY KEY (slice, seq)
);
CREATE INDEX item_due ON item (due, slice, seq) WHERE why = 'parked';
CREATE INDEX item_intent ON item (slice, seq) WHERE why = 'intent';
CREATE INDEX item_open ON item (why, signature, first, last) WHERE why IN ('failed', 'in_doubt', 'rejected');
CREATE TABLE kind (
  id INTEGER PRIMARY KEY,
  why TEXT NOT NULL,
  signature TEXT NOT NULL
);
CREATE UNIQUE INDEX kind_of ON kind (why, signature);
CREATE TRIGGER item_written AFTER INSERT ON item WHEN new.why IN ('failed', 'in_doubt', 'rejected') BEGIN
  INSERT INTO kind (why, signature) SELECT new.why, new.signature
  WHERE NOT EXISTS (SELECT 1 FROM kind WHERE why = new.why AND signature = new.signature)
    AND coalesce((SELECT max(id) FROM kind), 0) < 1000;
END;
CREATE TRIGGER item_changed AFTER UPDATE OF why, signature ON item
WHEN new.why IN ('failed', 'in_doubt', 'rejected') BEGIN
  INSERT INTO kind (why, signature) SELECT new.why, new.signature
  WHERE NOT EXISTS (SELECT 1 FROM kind WHERE why = new.why AND signature = new.signature)
    AND coalesce((SELECT max(id) FROM kind), 0) < 1000;
END;
CREATE TABLE memo (
  slice INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  step TEXT NOT NULL,
  value,
  PRIMARY KEY (slice, seq, step)
);
CREATE TABLE tick (
  at INTEGER PRIMARY KEY,
  span_ms INTEGER NOT NULL,
  settled INTEGER NOT NULL,
  faults INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  wire_in INTEGER NOT NULL,
  wire_out INTEGER NOT NULL,
  in_flight INTEGER NOT NULL,
  concurrency INTEGER NOT NULL,
  p50_us INTEGER NOT NULL,
  p95_us INTEGER NOT NULL,
  p99_us INTEGER NOT NULL,
  rss INTEGER NOT NULL
);
CREATE TABLE lane (
  id INTEGER PRIMARY KEY,
  lane TEXT NOT NULL,
  at INTEGER NOT NULL,
  what TEXT NOT NULL,
  value REAL NOT NULL,
  reason TEXT NOT NULL
);
CREATE TABLE aggregate (
  name TEXT PRIMARY KEY,
  state BLOB,
  file TEXT,
  len INTEGER
);
CREATE TABLE sink (
  name TEXT PRIMARY KEY,
  file INTEGER NOT NULL,
  len INTEGER NOT NULL,
  tail INTEGER NOT NULL
);
";

/// Page cache of the writing connection. It counts in `--memory`; the pages of one commit of 1,000
/// items take about 60 KiB.
const CACHE_KIB: u32 = 768;

/// Pages after which a commit also moves the write-ahead log into the database (two more syncs).
/// 1,000 pages are 4 MiB: about every 70th commit of 1,000 items.
const CHECKPOINT_PAGES: u32 = 1000;

/// The write-ahead log is cut back to this many bytes once it has been moved.
const WAL_BYTES: u64 = 16 * 1024 * 1024;

/// Makes the tables in an empty database: one transaction under a rollback journal, so that the file
/// is either empty or complete whatever happens; write-ahead logging starts only then.
pub(super) fn create(conn: &mut Connection, run: &NewRun) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.execute_batch(TABLES)?;
    run::insert(&tx, run)?;
    tx.commit()
}

/// Opens for writing and refuses everything that is not a ledger this version can write.
pub(super) fn open(path: &Path, place: &Place) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| place.write_error(e))?;
    conn.busy_timeout(limits::LEDGER_BUSY).map_err(|e| place.error(e))?;
    check(&conn, place)?;
    settle_in(&conn).map_err(|e| place.write_error(e))?;
    Ok(conn)
}

/// Settings of a connection that commits.
fn settle_in(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(48);
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // Only macOS knows it: there a plain fsync does not reach the medium.
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", WAL_BYTES as i64)
}

/// Refuses files that are not a ledger or of a newer format. Reads only.
pub(super) fn check(conn: &Connection, place: &Place) -> Result<(), LedgerError> {
    let number = |name: &str| -> Result<u32, LedgerError> {
        conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0))
            .map(|v| v as u32)
            .map_err(|e| place.write_error(e))
    };
    if number("application_id")? != APPLICATION {
        return Err(place.corrupt("it is not a ledger of haul"));
    }
    match number("user_version")? {
        FORMAT => Ok(()),
        found => Err(LedgerError::Newer { path: place.path(), found, known: FORMAT }),
    }
}
