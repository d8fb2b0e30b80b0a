//! What the ledger costs: processor time, bytes and syncs per settled item, and the time to recover.
//!
//! `cargo run --release -p haul-engine --example ledger_bench -- DIR [ITEMS] [PARKED_PERCENT]`; see
//! `bench/ledger/run`. DIR is on the disk to be measured and must not hold a ledger yet.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use haul_core::ledger::{Commit, Exception, FaultNote, Ledger, Resume, SliceCommit, SliceState, Why};
use haul_core::source::Slice;
use haul_core::watermark::Settled;
use haul_core::{Counts, Key, Position, Seq, SliceId, UnixMs};
use haul_engine::ledger::{LEDGER_FILE, NewRun, SqliteLedger};

/// Items in one commit.
const BATCH: u64 = haul_core::limits::COMMIT_ITEMS as u64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: ledger_bench DIR [ITEMS] [PARKED_PERCENT]")?;
    let items: u64 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let percent: u64 = args.next().map_or(Ok(0), |n| n.parse())?;
    let path = Path::new(&dir).join(LEDGER_FILE);

    let mut ledger = SqliteLedger::create(&path, &NewRun::new("00ff", "bench", "0"))?;
    let fence = ledger.recover()?.fence;
    let commits = commits(items, percent, fence);

    let (wall, cpu) = (Instant::now(), cpu_time());
    for c in &commits {
        ledger.commit(c)?;
        if percent > 0 {
            // As an engine does: what is due is taken and ends with the next commits.
            ledger.take_due(UnixMs(i64::MAX), 1)?;
        }
    }
    let (wall, cpu) = (wall.elapsed(), cpu_time() - cpu);
    let wal = path.with_extension("db-wal").metadata()?.len();
    drop(ledger);

    let start = Instant::now();
    let mut ledger = SqliteLedger::open(&path)?;
    let recovered = ledger.recover()?;
    let recovery = start.elapsed();
    if recovered.slices.iter().map(|s| s.counts.read()).sum::<u64>() != items {
        return Err("what was recovered is not what was committed".into());
    }
    report(items, commits.len(), (wall, cpu, recovery), (path.metadata()?.len(), wal))
}

/// Everything that is committed, made beforehand so that only the ledger is measured. Every 20th item
/// ends one commit late: there is always a bitmap above the watermark.
fn commits(items: u64, percent: u64, fence: u64) -> Vec<Commit> {
    let mut settled = Settled::default();
    let mut late: Vec<u64> = Vec::new();
    let mut counts = Counts::default();
    let mut parked: Vec<u64> = Vec::new();
    let mut commits = Vec::new();
    for from in (0..items).step_by(BATCH as usize) {
        let to = (from + BATCH).min(items);
        let mut c = Commit { fence, ..Commit::default() };
        for seq in parked.drain(..) {
            c.cleared.push((SliceId(0), Seq(seq)));
            counts.waiting -= 1;
            counts.done += 1;
        }
        let last = to == items;
        let mut ends = std::mem::take(&mut late);
        late.extend((from..to).filter(|s| s % 20 == 0 && !last));
        ends.extend((from..to).filter(|s| s % 20 != 0 || last));
        for seq in ends {
            settled.insert(Seq(seq));
            if seq % 100 < percent {
                counts.waiting += 1;
                parked.push(seq);
                c.exceptions.push(row(seq));
            } else {
                counts.done += 1;
            }
        }
        c.slices = vec![SliceCommit {
            slice: Slice::whole(),
            resume: Resume { cursor: None, first: Seq(from) },
            watermark: settled.watermark(),
            chunks: settled.take_changed(),
            counts,
            keys: (from..to).map(|s| Key::from(format!("{s},{}", s * 7)).hash()).collect(),
            keys_from: Seq(from),
            state: SliceState::Open,
            bytes: to * 20,
        }];
        commits.push(c);
    }
    commits
}

/// A parked item with the memo of one lookup.
fn row(seq: u64) -> Exception {
    Exception {
        slice: SliceId(0),
        seq: Seq(seq),
        why: Why::Parked,
        key: Key::from(format!("{seq},{}", seq * 7)),
        position: Position { line: seq + 1, offset: seq * 20 },
        record: Bytes::from(format!("{{\"user_id\":{seq},\"video_id\":{}}}", seq * 7)),
        attempts: 1,
        uncharged_ms: 0,
        fault: FaultNote {
            signature: "video localhost:8001 503 service unavailable".into(),
            step: "video".into(),
            origin: "localhost:8001".into(),
            code: "status".into(),
            status: Some(503),
            message: "service unavailable".into(),
        },
        first: UnixMs(seq as i64),
        last: UnixMs(seq as i64),
        due: UnixMs(seq as i64 + 1000),
        memos: vec![("user".into(), Bytes::from(vec![b'x'; 120]))],
    }
}

/// Processor time of this process so far: user and system, in ticks of 10 ms (Linux).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn report(
    items: u64,
    commits: usize,
    (wall, cpu, recovery): (Duration, Duration, Duration),
    (db, wal): (u64, u64),
) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "items              {items} in {commits} commits")?;
    writeln!(out, "wall               {:.3} s", wall.as_secs_f64())?;
    writeln!(out, "items a second     {:.0}", items as f64 / wall.as_secs_f64())?;
    writeln!(out, "processor an item  {:.3} us", cpu.as_secs_f64() * 1e6 / items as f64)?;
    writeln!(out, "ledger.db          {:.2} MB", db as f64 / 1e6)?;
    writeln!(out, "  of it key log    {:.2} MB", items as f64 * 16.0 / 1e6)?;
    writeln!(out, "write-ahead log    {:.2} MB", wal as f64 / 1e6)?;
    writeln!(out, "open and recover   {:.4} s", recovery.as_secs_f64())?;
    Ok(())
}
