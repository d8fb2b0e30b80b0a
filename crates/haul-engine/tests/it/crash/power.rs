//! The power goes at every point.

use std::path::Path;

use haul_core::ledger::{Ledger, LedgerError};
use haul_engine::ledger::{LEDGER_FILE, Reader, SqliteLedger};
use haul_engine::rundir::{Intended, RunName, StateDir};

use super::{BATCH, disk, holds, run};
use crate::powercut::PowerCut;
#[test]
fn the_shim_sees_everything() {
    let (_base, dir, mut cut) = disk();
    let said = run(&cut, &dir, "ledger", 30);
    assert_eq!((said.acked, said.died), (30, false));
    cut.verify().unwrap();
    assert!(cut.records() > 100);
    // Done and closed: nothing is pending but names nobody depends on.
    cut.cut(1);
    assert_eq!(holds(&dir), 30);
}

#[test]
fn one_sync_makes_a_commit_durable() {
    let (_base, dir, mut cut) = disk();
    run(&cut, &dir, "ledger", 1);
    cut.records();
    let syncs = |cut: &mut PowerCut, dir: &Path, commits| {
        let before = cut.syncs();
        run(cut, dir, "ledger", commits);
        cut.records();
        cut.syncs() - before
    };
    let few = syncs(&mut cut, &dir, 11);
    let many = syncs(&mut cut, &dir, 11 + 10 + 40);
    assert_eq!(many - few, 50 - 10, "opening and closing cost the same");
}

#[test]
fn no_acknowledged_commit_is_lost_wherever_the_power_goes() {
    const COMMITS: u64 = 8;
    let (_base, dir, mut cut) = disk();
    run(&cut, &dir, "ledger", COMMITS);
    let all = cut.records();
    assert!(all > 60, "{all}");
    let mut cuts = 0;
    for after in (1..all).step_by(3) {
        let (_base, dir, mut cut) = disk();
        cut.kill_after(after);
        let said = run(&cut, &dir, "ledger", COMMITS);
        assert!(said.died, "killed after {after} of {all} records");
        cut.cut(after);
        cuts += 1;
        if !dir.join(LEDGER_FILE).exists() || std::fs::metadata(dir.join(LEDGER_FILE)).unwrap().len() == 0 {
            assert_eq!(said.acked, 0, "after {after} records");
            continue;
        }
        match SqliteLedger::open(&dir.join(LEDGER_FILE)) {
            // Before its first sync a ledger is nothing yet: run directories appear only complete.
            Err(LedgerError::Corrupt { .. }) => assert_eq!(said.acked, 0, "after {after} records"),
            Err(e) => panic!("{e}"),
            Ok(_) => {
                let n = holds(&dir);
                assert!(
                    n == said.acked || n == said.acked + 1,
                    "{n} of {} after {after} records",
                    said.acked
                );
            }
        }
    }
    assert!(cuts > 25, "{cuts}");
}

#[test]
fn a_run_cut_again_and_again_ends_with_everything() {
    const COMMITS: u64 = 40;
    let (_base, dir, mut cut) = disk();
    run(&cut, &dir, "ledger", 1);
    cut.records();
    cut.cut(0);
    let mut rng = fastrand::Rng::with_seed(17);
    let mut acked = 1;
    for round in 0..60 {
        cut.calm().kill_after(rng.u64(5..60));
        let said = run(&cut, &dir, "ledger", COMMITS);
        acked = acked.max(said.acked);
        cut.cut(rng.u64(..));
        let n = holds(&dir);
        assert!(n >= acked && n <= acked + 1, "round {round}: {n} of {acked}");
        acked = n;
        // What this look wrote is durable: it closed the ledger in peace.
        cut = PowerCut::new(&dir);
        if !said.died {
            assert_eq!(n, COMMITS);
            return;
        }
    }
    panic!("60 processes did not get through, {acked} commits");
}

#[test]
fn a_killed_run_can_be_read_at_once() {
    let (_base, dir, mut cut) = disk();
    cut.kill_after(150);
    let said = run(&cut, &dir, "ledger", 50);
    assert!(said.died && said.acked > 3);
    let reader = Reader::open(&dir).unwrap();
    let n = reader.slices().unwrap()[0].keys / BATCH;
    assert!(n == said.acked || n == said.acked + 1, "{n} of {}", said.acked);
    assert_eq!(reader.groups().unwrap().groups[0].count, n);
    assert_eq!(Reader::glance(&dir).unwrap().counts().unwrap(), reader.counts().unwrap());
}

/// Counts acknowledged commits lost in cuts of a bare database.
fn lost_by(mode: &str) -> (u64, u64) {
    let (mut lost_in, mut cuts) = (0, 0);
    for seed in 0..12 {
        let (_base, dir, mut cut) = disk();
        // Made in peace, so that only the commits differ.
        run(&cut, &dir, mode, 0);
        cut.records();
        cut.cut(seed);
        cut.kill_after(30 + 7 * seed);
        let said = run(&cut, &dir, mode, 200);
        assert!(said.died && said.acked > 3, "{said:?}");
        cut.cut(seed);
        let conn = rusqlite::Connection::open(dir.join("bare.db")).unwrap();
        let n: i64 = conn.query_row("SELECT coalesce(max(n), 0) FROM t", [], |r| r.get(0)).unwrap();
        lost_in += u64::from((n as u64) < said.acked);
        cuts += 1;
    }
    (lost_in, cuts)
}

#[test]
fn the_cut_has_teeth() {
    // kill -9 cannot tell these two apart.
    let (lost, cuts) = lost_by("NORMAL");
    assert!(lost * 2 > cuts, "NORMAL lost commits in {lost} of {cuts} cuts");
    let (lost, cuts) = lost_by("FULL");
    assert_eq!(lost, 0, "of {cuts}");
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let mut lost = 0;
    for seed in 0..6 {
        let (_base, dir, mut cut) = disk();
        run(&cut, &dir, "ledger", 2);
        cut.records();
        cut.cut(seed);
        cut.lie().kill_after(150);
        let said = run(&cut, &dir, "ledger", 50);
        assert!(said.died && said.acked > 4);
        cut.cut(seed);
        lost += u64::from(holds(&dir) < said.acked);
    }
    assert!(lost > 0, "the suite would not notice a missing sync");
}

#[test]
fn a_run_directory_appears_whole_or_not_at_all() {
    let (_base, dir, mut cut) = disk();
    assert_eq!(run(&cut, &dir, "claim", 0).acked, 1);
    cut.verify().unwrap();
    let all = cut.records();
    cut.cut(5);
    assert!(StateDir::within(&dir).get("crash").is_some(), "what was claimed is durable");
    for after in 1..all {
        let (_base, dir, mut cut) = disk();
        cut.kill_after(after);
        let said = run(&cut, &dir, "claim", 0);
        cut.cut(after);
        let state = StateDir::within(&dir);
        let there = state.get("crash").is_some();
        assert!(there || said.acked == 0, "after {after} of {all}");
        if there {
            let run = state.get("crash").unwrap();
            assert_eq!(run.job_text().unwrap(), "haul = 1\n", "after {after}");
            assert!(run.spill().is_dir() && run.out().is_dir());
            SqliteLedger::open(&run.ledger()).unwrap().recover().unwrap();
        }
        let name = RunName::parse("crash").unwrap();
        let again = Intended { name: &name, identity: "00ff", job: "haul = 1\n", version: "1", fresh: false };
        assert_eq!(state.claim(&again).unwrap().is_new, !there);
    }
}
