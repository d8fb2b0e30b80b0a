//! The `run` table: what the run is, who drives it, what it cost.

use std::time::{SystemTime, UNIX_EPOCH};

use haul_core::cx::RunKey;
use haul_core::{Counts, UnixMs};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{signed, unsigned};

/// Wall-clock now, as the ledger stores it.
pub fn wall() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// What a run is from its first moment on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRun {
    /// Part of every idempotency key. Made once, never changed.
    pub key: RunKey,
    /// Hash of source, steps, output and aggregates, as hex.
    pub identity: String,
    /// Name of the run directory when it was made.
    pub name: String,
    /// Version of haul that made it.
    pub version: String,
    /// When.
    pub at: UnixMs,
}

impl NewRun {
    /// A run made now, with a key of its own.
    pub fn new(identity: &str, name: &str, version: &str) -> Self {
        let at = wall();
        NewRun {
            key: new_key(identity, at),
            identity: identity.into(),
            name: name.into(),
            version: version.into(),
            at,
        }
    }
}

/// 16 bytes that no other run has: a hash over identity, time, process and 256 random bits.
fn new_key(identity: &str, at: UnixMs) -> RunKey {
    use sha2::{Digest, Sha256};
    let mut h = Sha256::new();
    h.update(identity.as_bytes());
    h.update(at.0.to_be_bytes());
    h.update(std::process::id().to_be_bytes());
    for _ in 0..4 {
        // Each generator is seeded from the operating system's randomness.
        h.update(fastrand::Rng::new().u64(..).to_be_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&h.finalize()[..16]);
    RunKey(key)
}

/// What was last said of a run. Whether a process still drives it, only its lock can tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RunState {
    /// Made; nothing was done yet.
    Created,
    /// A process started on it and has not said how it ended.
    Running,
    /// Everything was read, and every item has an outcome.
    Finished,
    /// It stopped before the end and can be resumed.
    Stopped,
    /// It could not go on.
    Failed,
}

impl RunState {
    /// The word used in the ledger and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Created => "created",
            RunState::Running => "running",
            RunState::Finished => "finished",
            RunState::Stopped => "stopped",
            RunState::Failed => "failed",
        }
    }

    /// The inverse of [`RunState::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        [RunState::Created, RunState::Running, RunState::Finished, RunState::Stopped, RunState::Failed]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// How a process that drove a run left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunEnd {
    /// Finished, stopped or failed.
    pub state: RunState,
    /// When.
    pub at: UnixMs,
    /// Exit status of the process.
    pub exit_status: u8,
    /// Most resident memory the process ever had, bytes.
    pub rss_peak: u64,
    /// Processor time it used, milliseconds.
    pub cpu_ms: u64,
}

/// The `run` table's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunInfo {
    /// See [`NewRun::key`].
    pub key: RunKey,
    /// See [`NewRun::identity`].
    pub identity: String,
    /// See [`NewRun::name`]; the directory may have been renamed since.
    pub name: String,
    /// See [`RunState`].
    pub state: RunState,
    /// Fence of the last process.
    pub fence: u64,
    /// When it was made.
    pub created: UnixMs,
    /// Version that made it.
    pub created_by: String,
    /// When the first process started on it.
    pub started: Option<UnixMs>,
    /// Version of the last process.
    pub driven_by: Option<String>,
    /// How many processes started on it.
    pub processes: u64,
    /// When the last process ended; none while one works or after it was killed.
    pub ended: Option<UnixMs>,
    /// Exit status of the last process that ended by itself.
    pub exit_status: Option<u8>,
    /// Counts at the last end.
    pub counts: Counts,
    /// Most resident memory of any process so far, bytes.
    pub rss_peak: Option<u64>,
    /// Processor time of all processes that ended by themselves, milliseconds.
    pub cpu_ms: Option<u64>,
}

pub(super) fn insert(conn: &Connection, run: &NewRun) -> rusqlite::Result<()> {
    conn.execute(
        "INSERT INTO run (id, key, identity, name, state, fence, created, created_by)
         VALUES (1, ?1, ?2, ?3, 'created', 0, ?4, ?5)",
        params![run.key.0, run.identity, run.name, run.at.0, run.version],
    )?;
    Ok(())
}

pub(super) fn start(conn: &Connection, version: &str, at: UnixMs) -> rusqlite::Result<()> {
    conn.execute(
        "UPDATE run SET state = 'running', started = coalesce(started, ?1), driven_by = ?2,
         processes = processes + 1, ended = NULL, exit_status = NULL",
        params![at.0, version],
    )?;
    Ok(())
}

pub(super) fn end(conn: &Connection, end: &RunEnd) -> rusqlite::Result<()> {
    let c = counts(conn)?;
    conn.execute(
        "UPDATE run SET state = ?1, ended = ?2, exit_status = ?3,
         rss_peak = max(coalesce(rss_peak, 0), ?4), cpu_ms = coalesce(cpu_ms, 0) + ?5,
         done = ?6, skipped = ?7, failed = ?8, rejected = ?9, in_doubt = ?10, waiting = ?11",
        params![
            end.state.as_str(),
            end.at.0,
            end.exit_status,
            signed(end.rss_peak),
            signed(end.cpu_ms),
            signed(c.done),
            signed(c.skipped),
            signed(c.failed),
            signed(c.rejected),
            signed(c.in_doubt),
            signed(c.waiting),
        ],
    )?;
    Ok(())
}

/// Brings the counts of the last end up to date after a person changed outcomes.
pub(super) fn recount(conn: &Connection) -> rusqlite::Result<()> {
    let c = counts(conn)?;
    conn.execute(
        "UPDATE run SET done = ?1, skipped = ?2, failed = ?3, rejected = ?4, in_doubt = ?5, waiting = ?6",
        params![
            signed(c.done),
            signed(c.skipped),
            signed(c.failed),
            signed(c.rejected),
            signed(c.in_doubt),
            signed(c.waiting),
        ],
    )?;
    Ok(())
}

/// Sum over all slices.
pub(super) fn counts(conn: &Connection) -> rusqlite::Result<Counts> {
    conn.query_row(
        "SELECT total(done), total(skipped), total(failed), total(rejected), total(in_doubt), total(waiting)
         FROM slice",
        [],
        |r| {
            // total() gives a float: exact up to 2^53, and 0.0 without rows.
            let n = |i| -> rusqlite::Result<u64> { Ok(r.get::<_, f64>(i)? as u64) };
            Ok(Counts {
                done: n(0)?,
                skipped: n(1)?,
                failed: n(2)?,
                rejected: n(3)?,
                in_doubt: n(4)?,
                waiting: n(5)?,
            })
        },
    )
}

pub(super) fn info(conn: &Connection) -> rusqlite::Result<Option<RunInfo>> {
    conn.query_row("SELECT * FROM run", [], from_row).optional()
}

fn from_row(r: &Row<'_>) -> rusqlite::Result<RunInfo> {
    let time = |name| -> rusqlite::Result<Option<UnixMs>> { Ok(r.get::<_, Option<i64>>(name)?.map(UnixMs)) };
    let count = |name| -> rusqlite::Result<u64> { Ok(unsigned(r.get(name)?)) };
    let some = |name| -> rusqlite::Result<Option<u64>> { Ok(r.get::<_, Option<i64>>(name)?.map(unsigned)) };
    Ok(RunInfo {
        key: RunKey(r.get("key")?),
        identity: r.get("identity")?,
        name: r.get("name")?,
        state: super::rows::word(r, "state", RunState::from_word)?,
        fence: count("fence")?,
        created: UnixMs(r.get("created")?),
        created_by: r.get("created_by")?,
        started: time("started")?,
        driven_by: r.get("driven_by")?,
        processes: count("processes")?,
        ended: time("ended")?,
        exit_status: r.get("exit_status")?,
        counts: Counts {
            done: count("done")?,
            skipped: count("skipped")?,
            failed: count("failed")?,
            rejected: count("rejected")?,
            in_doubt: count("in_doubt")?,
            waiting: count("waiting")?,
        },
        rss_peak: some("rss_peak")?,
        cpu_ms: some("cpu_ms")?,
    })
}
