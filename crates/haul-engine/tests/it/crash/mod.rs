//! What is left after a process was killed, a disk broke or filled up, and the power went.
//!
//! Children are this test binary again, running [`child`] with its orders in the environment.

mod broken;
mod power;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use haul_core::ledger::{Ledger, Why};
use haul_core::watermark::Settled;
use haul_core::{Counts, Outcome, Seq, SliceId, UnixMs};
use haul_engine::ledger::{LEDGER_FILE, MemoryLedger, NewRun, SqliteLedger};
use haul_engine::rundir::{Intended, RunName, StateDir};

use crate::ledger::{at, commit, keys, quick_dir, row};
use crate::powercut::PowerCut;

/// Seqs read by one commit.
const BATCH: u64 = 20;

/// What the n-th commit of every run here says: most items are done, some fail, some are parked and
/// done by the commit after; one of each batch ends a commit late.
fn nth(n: u64, fence: u64) -> haul_core::ledger::Commit {
    let mut settled = Settled::default();
    let mut counts = Counts::default();
    let mut c = commit(fence);
    for i in 0..=n {
        let (from, to) = (i * BATCH, (i + 1) * BATCH);
        c.exceptions.clear();
        c.cleared.clear();
        settled.take_changed();
        if i > 0 {
            assert!(settled.insert(Seq(from - BATCH)));
            counts.add(Outcome::Done, 1);
            c.cleared.push((SliceId(0), Seq(from - 2)));
            counts.waiting -= 1;
            counts.add(Outcome::Done, 1);
        }
        (from + 1..to).for_each(|s| assert!(settled.insert(Seq(s))));
        counts.add(Outcome::Done, BATCH as i64 - 3);
        counts.add(Outcome::Failed, 1);
        counts.waiting += 1;
        c.exceptions.push(row(0, to - 1, Why::Failed, 0));
        c.exceptions.push(row(0, to - 2, Why::Parked, 5));
        c.exceptions[1].memos = vec![("user".into(), vec![b'm'; 300].into())];
    }
    c.slices = vec![at(0, settled.watermark().0, counts)];
    c.slices[0].chunks = settled.take_changed();
    c.slices[0].keys = keys(n * BATCH..(n + 1) * BATCH);
    c.slices[0].keys_from = Seq(n * BATCH);
    c
}

/// How many commits a ledger holds; fails when it holds anything but the first so many.
fn holds(dir: &Path) -> u64 {
    let mut ledger = SqliteLedger::open(&dir.join(LEDGER_FILE)).unwrap();
    let r = ledger.recover().unwrap();
    let Some(s) = r.slices.first() else { return 0 };
    let n = s.keys / BATCH;
    // The same commits in a ledger that has no disk to lose.
    let mut want = MemoryLedger::new();
    let fence = want.recover().unwrap().fence;
    for i in 0..n {
        want.commit(&nth(i, fence)).unwrap();
    }
    let w = want.recover().unwrap();
    let seen = (&s.counts, s.watermark, &s.chunks, s.keys, &s.resume);
    let w = &w.slices[0];
    assert_eq!(seen, (&w.counts, w.watermark, &w.chunks, w.keys, &w.resume));
    assert_eq!(ledger.keys(SliceId(0), Seq(0), usize::MAX >> 1).unwrap(), keys(0..n * BATCH));
    let all = |l: &mut dyn Ledger| l.rows(SliceId(0), Seq(0), usize::MAX >> 1).unwrap();
    assert_eq!(all(&mut ledger), all(&mut want));
    let due = |l: &mut dyn Ledger| format!("{:?}", l.take_due(UnixMs(9), usize::MAX >> 1).unwrap());
    assert_eq!(due(&mut ledger), due(&mut want));
    n
}

/// The child: commits until it has done all, dies, or is refused. Says `ack N` after the N-th commit.
fn work(dir: &Path, commits: u64, say: &mut dyn FnMut(String)) {
    let path = dir.join(LEDGER_FILE);
    let opened = match path.exists() {
        true => SqliteLedger::open(&path),
        false => SqliteLedger::create(&path, &NewRun::new("00ff", "crash", "1")),
    };
    let start = opened.and_then(|mut l| l.recover().map(|r| (l, r)));
    let (mut ledger, r) = match start {
        Ok(start) => start,
        Err(e) => return say(format!("err {e}")),
    };
    let done = r.slices.first().map_or(0, |s| s.keys / BATCH);
    for n in done..commits {
        if let Err(e) = ledger.commit(&nth(n, r.fence)) {
            return say(format!("err {e}"));
        }
        say(format!("ack {}", n + 1));
        if let Some(e) = ledger.low() {
            say(format!("low {} {e}", n + 1));
        }
    }
}

/// The same with a bare database, in a journal mode that the ledger does not use.
fn bare(dir: &Path, synchronous: &str, commits: u64, say: &mut dyn FnMut(String)) {
    let conn = rusqlite::Connection::open(dir.join("bare.db")).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.pragma_update(None, "synchronous", synchronous).unwrap();
    conn.execute_batch("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)").unwrap();
    for n in 1..=commits {
        conn.execute("INSERT INTO t VALUES (?1)", [n as i64]).unwrap();
        say(format!("ack {n}"));
    }
}

fn claim(dir: &Path, say: &mut dyn FnMut(String)) {
    let name = RunName::parse("crash").unwrap();
    let run = Intended { name: &name, identity: "00ff", job: "haul = 1\n", version: "1", fresh: false };
    match StateDir::within(dir).claim(&run) {
        Ok(_) => say("ack 1".into()),
        Err(e) => say(format!("err {e}")),
    }
}

/// Runs what the environment orders; without orders, in a directory of its own, and nothing fails.
#[test]
fn child() {
    let own = tempfile::tempdir().unwrap();
    let var = |name: &str| std::env::var(name).ok();
    let dir = var("CRASH_DIR").map_or(own.path().to_owned(), PathBuf::from);
    let commits = var("CRASH_COMMITS").map_or(7, |n| n.parse().unwrap());
    let mut said = Vec::new();
    let mut say = |line: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
        said.push(line);
    };
    let mode = var("CRASH_WORK");
    if mode.is_some() {
        // The harness has begun a line already.
        say(String::new());
    }
    match mode.as_deref() {
        Some("claim") => claim(&dir, &mut say),
        Some(mode @ ("NORMAL" | "FULL")) => bare(&dir, mode, commits, &mut say),
        Some(_) => work(&dir, commits, &mut say),
        None => {
            work(&dir, commits, &mut say);
            assert_eq!(said.len(), 7);
            assert_eq!(holds(&dir), 7);
        }
    }
}

/// What a child said: the last commit it acknowledged, and its other words.
#[derive(Default, Debug)]
struct Said {
    acked: u64,
    err: Option<String>,
    low: Vec<String>,
    died: bool,
}

fn run(cut: &PowerCut, dir: &Path, mode: &str, commits: u64) -> Said {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::child", "--nocapture", "--test-threads=1"]);
    command.env("CRASH_DIR", dir).env("CRASH_WORK", mode).env("CRASH_COMMITS", commits.to_string());
    let Output { status, stdout, stderr } = cut.watch(&mut command).output().unwrap();
    let mut said = Said { died: !status.success(), ..Said::default() };
    for line in String::from_utf8_lossy(&stdout).lines() {
        match line.split_once(' ') {
            Some(("ack", n)) => said.acked = n.parse().unwrap(),
            Some(("err", e)) => said.err = Some(e.to_owned()),
            Some(("low", e)) => said.low.push(e.to_owned()),
            _ => {}
        }
    }
    use std::os::unix::process::ExitStatusExt;
    assert!(!said.died || status.signal() == Some(9), "{status}: {}", String::from_utf8_lossy(&stderr));
    said
}

fn disk() -> (tempfile::TempDir, PathBuf, PowerCut) {
    let base = quick_dir();
    let dir = base.path().canonicalize().unwrap().join("disk");
    std::fs::create_dir(&dir).unwrap();
    let cut = PowerCut::new(&dir);
    (base, dir, cut)
}

/// A ledger with one commit, closed.
fn begun() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    work(dir.path(), 1, &mut drop);
    std::fs::read(dir.path().join(LEDGER_FILE)).unwrap()
}

fn disk_with(ledger: &[u8]) -> (tempfile::TempDir, PathBuf, PowerCut) {
    let (base, dir, _) = disk();
    std::fs::write(dir.join(LEDGER_FILE), ledger).unwrap();
    let cut = PowerCut::new(&dir);
    (base, dir, cut)
}
