//! Looking at a run: while it works, and afterwards.

use haul_core::ledger::{Ledger, LedgerError, Why};
use haul_core::{Counts, Seq, SliceId, UnixMs};
use haul_engine::ledger::read::{GroupId, Selection};
use haul_engine::ledger::run::wall;
use haul_engine::ledger::{LEDGER_FILE, NewRun, Reader, RunEnd, RunState, SqliteLedger};

use super::{Kept, OnDisk, at, commit, row};

/// 5 × busy, 2 × not found, 1 × in doubt with the signature of the first, 1 rejected, 2 parked.
fn with_failures() -> (OnDisk, haul_engine::ledger::SqliteLedger) {
    let kept = OnDisk::new();
    let mut ledger = kept.sqlite();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(
        0,
        11,
        Counts { done: 3, failed: 7, rejected: 1, in_doubt: 1, waiting: 2, ..Counts::default() },
    )];
    for seq in 0..5 {
        c.exceptions.push(row(0, seq, Why::Failed, 0));
    }
    for seq in 5..7 {
        let mut e = row(0, seq, Why::Failed, 0);
        e.fault.signature = "video localhost:8001 404 not found".into();
        e.fault.status = Some(404);
        e.fault.message = "not found".into();
        c.exceptions.push(e);
    }
    c.exceptions.push(row(0, 7, Why::InDoubt, 0));
    let mut bad = row(0, 8, Why::Rejected, 0);
    bad.fault.signature = "csv \"…\" is not an integer".into();
    c.exceptions.push(bad);
    c.exceptions.extend([row(0, 9, Why::Parked, 50), row(0, 10, Why::Parked, 40)]);
    ledger.commit(&c).unwrap();
    (kept, ledger)
}

#[test]
fn failures_are_grouped_with_short_ids() {
    let (kept, _alive) = with_failures();
    let all = kept.reader().groups().unwrap();
    let told: Vec<_> = all.groups.iter().map(|g| (g.id.to_string(), g.why, g.count, g.status)).collect();
    assert_eq!(
        told,
        [
            ("e1".to_owned(), Why::Failed, 5, Some(503)),
            ("e2".to_owned(), Why::Failed, 2, Some(404)),
            ("e3".to_owned(), Why::InDoubt, 1, Some(503)),
            ("e4".to_owned(), Why::Rejected, 1, Some(503)),
        ]
    );
    let first = &all.groups[0];
    let keys: Vec<String> = first.keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["k0", "k1", "k2"]);
    assert_eq!(first.messages, ["busy (0)", "busy (1)", "busy (2)"]);
    assert_eq!((first.first, first.last), (UnixMs(1000), UnixMs(2004)));
    assert_eq!(all.groups[1].messages, ["not found"]);
    assert_eq!(all.unlisted, 0);
}

#[test]
fn exceptions_are_listed_by_group_in_pages() {
    let (kept, _alive) = with_failures();
    let reader = kept.reader();
    let groups = reader.groups().unwrap().groups;
    let which = Selection::groups(groups.iter().filter(|g| [1, 3].contains(&g.id.0)));
    let mut seqs = Vec::new();
    let mut after = None;
    loop {
        let page = reader.exceptions(&which, after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.slice, last.seq));
        seqs.extend(page.iter().map(|e| e.seq.0));
    }
    assert_eq!(seqs, [0, 1, 2, 3, 4, 7]);
    let parked = Selection { whys: vec![Why::Parked], ..Selection::default() };
    assert_eq!(reader.exceptions(&parked, None, 9).unwrap().len(), 2);
    assert_eq!(reader.next_due().unwrap(), Some(UnixMs(40)));
    assert_eq!(reader.exceptions(&parked, Some((SliceId(0), Seq(10))), 9).unwrap().len(), 0);
}

#[test]
fn a_reader_follows_a_run_that_works() {
    let (kept, mut ledger) = with_failures();
    let reader = kept.reader();
    assert_eq!(reader.counts().unwrap().read(), 14);
    let mut c = commit(1);
    c.slices = vec![at(0, 12, Counts { done: 5, failed: 7, rejected: 1, in_doubt: 1, ..Counts::default() })];
    c.cleared = vec![(SliceId(0), Seq(9)), (SliceId(0), Seq(10))];
    ledger.commit(&c).unwrap();
    assert_eq!(reader.counts().unwrap().done, 5);
    assert_eq!(reader.next_due().unwrap(), None);
    assert_eq!(reader.slices().unwrap()[0].watermark, Seq(12));
}

#[test]
fn a_reader_in_the_middle_of_a_long_look_does_not_hold_up_commits() {
    let (kept, mut ledger) = with_failures();
    let looking = rusqlite::Connection::open(kept.path()).unwrap();
    looking.execute_batch("BEGIN; SELECT count(*) FROM item;").unwrap();
    let start = std::time::Instant::now();
    for n in 0..50 {
        let mut c = commit(1);
        c.slices = vec![at(0, 100 + n, Counts::default())];
        ledger.commit(&c).unwrap();
    }
    assert!(start.elapsed() < haul_core::limits::LEDGER_BUSY / 4, "{:?}", start.elapsed());
    let n: i64 = looking.query_row("SELECT watermark FROM slice", [], |r| r.get(0)).unwrap();
    assert_eq!(n, 11, "and it still sees what it began with");
}

#[test]
fn the_run_table_tells_its_story() {
    let kept = OnDisk::new();
    let info = kept.reader().run().unwrap();
    assert_eq!((info.state, info.started, info.processes), (RunState::Created, None, 0));
    assert_eq!((info.identity.as_str(), info.name.as_str()), ("00ff", "test"));
    let mut ledger = kept.sqlite();
    ledger.start_run("1.2.3", UnixMs(5000)).unwrap();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![
        at(0, 4, Counts { done: 4, ..Counts::default() }),
        at(1, 2, Counts { failed: 2, ..Counts::default() }),
    ];
    ledger.commit(&c).unwrap();
    assert_eq!(kept.reader().run().unwrap().state, RunState::Running);
    let end =
        RunEnd { state: RunState::Stopped, at: UnixMs(9000), exit_status: 4, rss_peak: 9 << 20, cpu_ms: 30 };
    ledger.end_run(&end).unwrap();
    ledger.start_run("1.2.4", UnixMs(10_000)).unwrap();
    let again = kept.reader().run().unwrap();
    assert_eq!((again.state, again.started, again.ended), (RunState::Running, Some(UnixMs(5000)), None));
    ledger.end_run(&RunEnd { state: RunState::Finished, exit_status: 3, rss_peak: 1, ..end }).unwrap();
    let last = kept.reader().run().unwrap();
    assert_eq!((last.exit_status, last.rss_peak, last.cpu_ms), (Some(3), Some(9 << 20), Some(60)));
    assert_eq!((last.processes, last.driven_by.as_deref()), (2, Some("1.2.4")));
    assert_eq!(last.counts, Counts { done: 4, failed: 2, ..Counts::default() });
    assert_eq!(last.key, info.key, "made once");
    assert_ne!(last.key, OnDisk::new().reader().run().unwrap().key);
    assert!(wall() > last.created);
}

#[test]
fn a_group_id_is_read_as_it_is_shown() {
    assert_eq!("e17".parse(), Ok(GroupId(17)));
    for bad in ["e0", "e", "17", "e-1", "E1x", ""] {
        let e = bad.parse::<GroupId>().unwrap_err();
        assert!(e.ends_with("they look like e1"), "{e}");
    }
}

#[test]
fn a_glance_makes_no_file_and_sees_the_same() {
    let dir = tempfile::tempdir().unwrap();
    // Characters that mean something in a URI.
    let run = dir.path().join("50% of?a #run ä");
    std::fs::create_dir(&run).unwrap();
    let path = run.join(LEDGER_FILE);
    let mut ledger = SqliteLedger::create(&path, &NewRun::new("00ff", "test", "1")).unwrap();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 2, Counts { done: 2, ..Counts::default() })];
    ledger.commit(&c).unwrap();
    assert_eq!(Reader::glance(&run).unwrap().counts().unwrap().done, 2, "what was not moved yet, too");
    drop(ledger);
    assert_eq!(Reader::glance(&run).unwrap().counts().unwrap().done, 2);
    let files: Vec<_> = std::fs::read_dir(&run).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files, [LEDGER_FILE]);
}

#[test]
fn what_is_no_ledger_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(LEDGER_FILE);
    assert!(matches!(Reader::open(dir.path()), Err(LedgerError::Io { .. })));
    assert!(!path.exists(), "nothing is made by looking");
    for content in [
        &b"some text that somebody put here, longer than a header of SQLite would be: 100 bytes, with a tail"
            [..],
        b"",
    ] {
        std::fs::write(&path, content).unwrap();
        let read = Reader::open(dir.path()).unwrap_err();
        assert!(matches!(read, LedgerError::Corrupt { .. }), "{read}");
        let write = haul_engine::ledger::SqliteLedger::open(&path).unwrap_err();
        assert!(matches!(write, LedgerError::Corrupt { .. }), "{write}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    // Another program's database.
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let e = Reader::open(dir.path()).unwrap_err().to_string();
    assert!(e.contains("it is not a ledger of haul") && e.contains("nothing was changed"), "{e}");
}

#[test]
fn a_newer_format_is_named() {
    let mut kept = OnDisk::new();
    drop(kept.open());
    rusqlite::Connection::open(kept.path()).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let e = haul_engine::ledger::SqliteLedger::open(&kept.path()).unwrap_err();
    assert!(matches!(e, LedgerError::Newer { found: 2, known: 1, .. }), "{e}");
}
