//! How long people wait for `haul errors`, `haul retry` and `haul runs` when there is much to look at.
//!
//! `cargo run --release -p haul-engine --example look_bench -- DIR [FAILED] [RUNS]`; see
//! `bench/ledger/run`. DIR must be empty.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use haul_core::ledger::{Commit, Exception, FaultNote, Ledger, Resume, SliceCommit, SliceState, Why};
use haul_core::source::Slice;
use haul_core::{Counts, Key, Position, Seq, SliceId, UnixMs};
use haul_engine::ledger::read::Selection;
use haul_engine::ledger::{Amend, Reader, SqliteLedger};
use haul_engine::rundir::{Claimed, Intended, RunName, StateDir, list};

/// Different signatures among the failures.
const GROUPS: u64 = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: look_bench DIR [FAILED] [RUNS]")?;
    let failed: u64 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let runs: u32 = args.next().map_or(Ok(1000), |n| n.parse())?;
    let state = StateDir::within(Path::new(&dir));
    let run = claim(&state, "failures")?;
    timed(&format!("{failed} failed rows written"), || fill(&run, failed))?;
    let reader = Reader::open(run.dir.path())?;
    let groups = timed("haul errors: groups", || Ok(reader.groups()?.groups))?;
    let rare = Selection::groups(groups.last());
    timed("haul errors --list: 100 items of a group", || {
        Ok(reader.exceptions(&rare, None, 100).map(drop)?)
    })?;
    drop(reader);
    let mut amend = Amend::open(&run.lock)?;
    timed("haul retry: one group", || Ok(amend.reopen(&rare, UnixMs(1)).map(drop)?))?;
    timed("haul retry: the rest", || Ok(amend.reopen(&Selection::default(), UnixMs(1)).map(drop)?))?;
    drop(amend);
    timed("recovery with them parked", || Ok(SqliteLedger::open(&run.dir.ledger())?.recover().map(drop)?))?;
    for n in 0..runs {
        claim(&state, &format!("run{n}"))?;
    }
    timed(&format!("haul runs: {runs} runs"), || {
        if list(&state, None).len() != runs as usize + 1 {
            return Err("a run is missing".into());
        }
        Ok(())
    })
}

fn timed<T>(what: &str, f: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
    let start = Instant::now();
    let value = f()?;
    writeln!(std::io::stdout(), "{:8.3} s  {what}", start.elapsed().as_secs_f64())?;
    Ok(value)
}

fn claim(state: &StateDir, name: &str) -> Result<Claimed, Box<dyn Error>> {
    let name = RunName::parse(name)?;
    let run = Intended { name: &name, identity: "00ff", job: "haul = 1\n", version: "0", fresh: false };
    Ok(state.claim(&run)?)
}

fn fill(run: &Claimed, failed: u64) -> Result<(), Box<dyn Error>> {
    let mut ledger = SqliteLedger::open(&run.dir.ledger())?;
    let fence = ledger.recover()?.fence;
    for from in (0..failed).step_by(1000) {
        let to = (from + 1000).min(failed);
        let slice = SliceCommit {
            slice: Slice::whole(),
            resume: Resume { cursor: None, first: Seq(to) },
            watermark: Seq(to),
            chunks: Vec::new(),
            counts: Counts { failed: to, ..Counts::default() },
            keys: Vec::new(),
            keys_from: Seq(0),
            state: SliceState::Open,
            bytes: to * 20,
        };
        let exceptions = (from..to).map(row).collect();
        ledger.commit(&Commit { fence, slices: vec![slice], exceptions, ..Commit::default() })?;
    }
    Ok(())
}

fn row(seq: u64) -> Exception {
    // Uneven: half of them in one group.
    let group = if seq.is_multiple_of(2) { 0 } else { seq % GROUPS };
    Exception {
        slice: SliceId(0),
        seq: Seq(seq),
        why: Why::Failed,
        key: Key::from(format!("{seq},{}", seq * 7)),
        position: Position { line: seq + 1, offset: seq * 20 },
        record: Bytes::from(format!("{{\"user_id\":{seq},\"video_id\":{}}}", seq * 7)),
        attempts: 8,
        uncharged_ms: 0,
        fault: FaultNote {
            signature: format!("index localhost:8002 503 shard {group} is unavailable"),
            step: "index".into(),
            origin: "localhost:8002".into(),
            code: "status".into(),
            status: Some(503),
            message: format!("shard {group} is unavailable"),
        },
        first: UnixMs(seq as i64),
        last: UnixMs(seq as i64),
        due: UnixMs(0),
        memos: Vec::new(),
    }
}
