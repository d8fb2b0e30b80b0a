//! One conformance suite for every ledger, and what only the one on disk can show.

/// Runs tests `fn(&mut dyn Kept)` for every kind of ledger.
macro_rules! for_each_ledger {
    ($($name:ident),* $(,)?) => {
        mod in_memory { $(#[test] fn $name() { super::$name(&mut crate::ledger::InMemory::default()); })* }
        mod on_disk { $(#[test] fn $name() { super::$name(&mut crate::ledger::OnDisk::new()); })* }
    };
}

mod amend;
mod conformance;
mod disk;
mod model;
mod read;
mod views;

use std::path::PathBuf;

use bytes::Bytes;
use haul_core::ledger::{
    Commit, Exception, FaultNote, LaneNote, Ledger, Resume, SliceCommit, SliceState, TickRow, Why,
};
use haul_core::source::{Cursor, Slice};
use haul_core::{Counts, Key, KeyHash, Position, Seq, SliceId, UnixMs};
use haul_engine::ledger::read::Selection;
use haul_engine::ledger::{LEDGER_FILE, MemoryLedger, NewRun, Reader, SqliteLedger};

/// A ledger that can be opened again and again, as processes come and go.
pub(crate) trait Kept {
    fn open(&mut self) -> Box<dyn Ledger>;
    fn exceptions(&mut self) -> Vec<Exception>;
    fn ticks(&mut self) -> Vec<TickRow>;
    fn lanes(&mut self) -> Vec<LaneNote>;
}

#[derive(Default)]
pub(crate) struct InMemory(MemoryLedger);

impl Kept for InMemory {
    fn open(&mut self) -> Box<dyn Ledger> {
        Box::new(self.0.reopen())
    }
    fn exceptions(&mut self) -> Vec<Exception> {
        self.0.exceptions()
    }
    fn ticks(&mut self) -> Vec<TickRow> {
        self.0.ticks()
    }
    fn lanes(&mut self) -> Vec<LaneNote> {
        self.0.lanes()
    }
}

/// A directory in memory where there is plenty, else on disk: what is tested needs no real sync, and
/// hundreds of them would wait for one another.
pub(crate) fn quick_dir() -> tempfile::TempDir {
    #[cfg(target_os = "linux")]
    if rustix::fs::statvfs("/dev/shm").is_ok_and(|s| s.f_bavail * s.f_frsize > 1 << 30)
        && let Ok(dir) = tempfile::tempdir_in("/dev/shm")
    {
        return dir;
    }
    tempfile::tempdir().unwrap()
}

pub(crate) struct OnDisk(tempfile::TempDir);

impl OnDisk {
    pub(crate) fn new() -> Self {
        let dir = quick_dir();
        drop(SqliteLedger::create(&dir.path().join(LEDGER_FILE), &NewRun::new("00ff", "test", "1")).unwrap());
        OnDisk(dir)
    }
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join(LEDGER_FILE)
    }
    pub(crate) fn sqlite(&self) -> SqliteLedger {
        SqliteLedger::open(&self.path()).unwrap()
    }
    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.0.path()).unwrap()
    }
}

impl Kept for OnDisk {
    fn open(&mut self) -> Box<dyn Ledger> {
        Box::new(self.sqlite())
    }
    fn exceptions(&mut self) -> Vec<Exception> {
        self.reader().exceptions(&Selection::default(), None, usize::MAX >> 1).unwrap()
    }
    fn ticks(&mut self) -> Vec<TickRow> {
        self.reader().ticks(UnixMs(i64::MIN)).unwrap()
    }
    fn lanes(&mut self) -> Vec<LaneNote> {
        self.reader().lanes(usize::MAX >> 1).unwrap()
    }
}

pub(crate) fn slice(id: u32) -> Slice {
    Slice { id: SliceId(id), lo: format!("{id}"), hi: String::new(), parent: (id > 0).then_some(SliceId(0)) }
}

/// A slice that stands at a watermark with nothing above it.
pub(crate) fn at(id: u32, watermark: u64, counts: Counts) -> SliceCommit {
    SliceCommit {
        slice: slice(id),
        resume: Resume { cursor: Some(Cursor(format!("c{watermark}"))), first: Seq(watermark) },
        watermark: Seq(watermark),
        chunks: Vec::new(),
        counts,
        keys: Vec::new(),
        keys_from: Seq(0),
        state: SliceState::Open,
        bytes: watermark * 10,
    }
}

pub(crate) fn row(id: u32, seq: u64, why: Why, due: i64) -> Exception {
    Exception {
        slice: SliceId(id),
        seq: Seq(seq),
        why,
        key: Key::from(format!("k{seq}")),
        position: Position { line: seq + 1, offset: seq * 20 },
        record: Bytes::from(format!("{{\"id\":{seq}}}")),
        attempts: 3,
        uncharged_ms: 250,
        fault: FaultNote {
            signature: "index localhost:8002 503 busy".into(),
            step: "index".into(),
            origin: "localhost:8002".into(),
            code: "status".into(),
            status: Some(503),
            message: format!("busy ({seq})"),
        },
        first: UnixMs(1000),
        last: UnixMs(2000 + seq as i64),
        due: UnixMs(due),
        memos: Vec::new(),
    }
}

pub(crate) fn keys(range: std::ops::Range<u64>) -> Vec<KeyHash> {
    range.map(|n| Key::from(format!("k{n}")).hash()).collect()
}

pub(crate) fn commit(fence: u64) -> Commit {
    Commit { fence, ..Commit::default() }
}

/// Everything an exception says, for comparing.
pub(crate) fn text(items: &[Exception]) -> Vec<String> {
    items.iter().map(|e| format!("{e:?}")).collect()
}
