//! What people change after a run: `haul retry` and `haul settle`.

use bytes::Bytes;
use haul_core::ledger::{Ledger, Why};
use haul_core::{Counts, UnixMs};
use haul_engine::ledger::amend::{Amend, Reopened, Settled};
use haul_engine::ledger::read::Selection;
use haul_engine::ledger::{Reader, SqliteLedger};
use haul_engine::rundir::{Claimed, Intended, RunName, StateDir};

use super::{at, commit, row};

/// Slice 0: 3 failed (one with a memo), 1 in doubt, 1 rejected. Slice 1: 2 failed, 1 intent, 4 done.
fn run() -> (tempfile::TempDir, Claimed) {
    let dir = tempfile::tempdir().unwrap();
    let name = RunName::parse("amend").unwrap();
    let intended = Intended { name: &name, identity: "00ff", job: "haul = 1\n", version: "1", fresh: false };
    let claimed = StateDir::within(dir.path()).claim(&intended).unwrap();
    let mut ledger = SqliteLedger::open(&claimed.dir.ledger()).unwrap();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![
        at(0, 5, Counts { failed: 3, in_doubt: 1, rejected: 1, ..Counts::default() }),
        at(1, 6, Counts { failed: 2, done: 4, ..Counts::default() }),
    ];
    c.exceptions = (0..3).map(|s| row(0, s, Why::Failed, 0)).collect();
    c.exceptions[0].memos = vec![("user".into(), Bytes::from_static(b"{\"id\":7}"))];
    c.exceptions.push(row(0, 3, Why::InDoubt, 0));
    c.exceptions.push(row(0, 4, Why::Rejected, 0));
    let mut other = row(1, 0, Why::Failed, 0);
    other.fault.signature = "another one".into();
    c.exceptions.extend([other, row(1, 1, Why::Failed, 0), row(1, 6, Why::Intent, 0)]);
    ledger.commit(&c).unwrap();
    (dir, claimed)
}

fn counts(c: &Claimed) -> Counts {
    Reader::open(c.dir.path()).unwrap().counts().unwrap()
}

#[test]
fn retry_parks_failed_items_again_with_their_memos() {
    let (_dir, c) = run();
    let now = UnixMs(777);
    let n = Amend::open(&c.lock).unwrap().reopen(&Selection::default(), now).unwrap();
    assert_eq!(n, Reopened { items: 5, rejected: 0 });
    assert_eq!(counts(&c), Counts { done: 4, in_doubt: 2, rejected: 1, waiting: 5, ..Counts::default() });
    let mut ledger = SqliteLedger::open(&c.dir.ledger()).unwrap();
    let r = ledger.recover().unwrap();
    assert_eq!(r.next_due, Some(now));
    assert_eq!((r.slices[0].counts.waiting, r.slices[1].counts.waiting), (3, 2));
    let due = ledger.take_due(now, 9).unwrap();
    assert_eq!(due.len(), 5);
    assert!(due.iter().all(|e| (e.attempts, e.uncharged_ms, e.first) == (0, 0, now)));
    assert_eq!(due[0].memos, [("user".into(), Bytes::from_static(b"{\"id\":7}"))]);
    assert_eq!(due[0].fault.message, "busy (0)", "what went wrong stays known");
}

#[test]
fn retry_of_a_group_leaves_the_others() {
    let (_dir, c) = run();
    let mut amend = Amend::open(&c.lock).unwrap();
    let groups = amend.groups().unwrap().groups;
    let told: Vec<_> =
        groups.iter().map(|g| (g.why, g.count, g.signature.split(' ').next().unwrap())).collect();
    assert_eq!(
        told,
        [
            (Why::Failed, 4, "index"),
            (Why::Failed, 1, "another"),
            (Why::InDoubt, 1, "index"),
            (Why::InDoubt, 1, "index"),
            (Why::Rejected, 1, "index"),
        ],
        "the intent of the dead process is in doubt"
    );
    let only = Selection::groups([&groups[1], &groups[4]]);
    let n = amend.reopen(&only, UnixMs(1)).unwrap();
    assert_eq!(n, Reopened { items: 1, rejected: 1 }, "bad input is named, not parked");
    let only = Selection { whys: vec![Why::InDoubt], ..Selection::default() };
    assert_eq!(amend.reopen(&only, UnixMs(1)).unwrap().items, 2);
    assert_eq!(counts(&c), Counts { done: 4, failed: 4, rejected: 1, waiting: 3, ..Counts::default() });
}

#[test]
fn settling_gives_an_outcome_and_keeps_the_reason() {
    let (_dir, c) = run();
    let mut amend = Amend::open(&c.lock).unwrap().by("ada");
    let doubt = Selection { whys: vec![Why::InDoubt], ..Selection::default() };
    let n =
        amend.settle(&doubt, Settled::Done, "seen in the index\nby Ada", UnixMs(1_700_000_000_000)).unwrap();
    assert_eq!(n, 2);
    assert_eq!(counts(&c), Counts { done: 6, failed: 5, rejected: 1, ..Counts::default() });
    let rejected = Selection { whys: vec![Why::Rejected], ..Selection::default() };
    assert_eq!(amend.settle(&rejected, Settled::Skipped, "header", UnixMs(0)).unwrap(), 1);
    assert_eq!(amend.settle(&rejected, Settled::Skipped, "header", UnixMs(0)).unwrap(), 0);
    let reader = Reader::open(c.dir.path()).unwrap();
    let changes = reader.changes(9).unwrap();
    let told: Vec<_> = changes.iter().map(|c| (c.at.0, &*c.who, &*c.what, &*c.old, &*c.new)).collect();
    assert_eq!(
        told,
        [
            (1_700_000_000_000, "ada", "settle", "2 in doubt", "2 done: seen in the index by Ada: k3 k6"),
            (0, "ada", "settle", "1 rejected", "1 skipped: header: k4"),
        ]
    );
    assert_eq!(reader.exceptions(&Selection::default(), None, 99).unwrap().len(), 5);
}

#[test]
fn settling_as_failed_keeps_the_rows_with_the_reason_as_message() {
    let (_dir, c) = run();
    let mut amend = Amend::open(&c.lock).unwrap();
    let doubt = Selection { whys: vec![Why::InDoubt], ..Selection::default() };
    assert_eq!(amend.settle(&doubt, Settled::Failed, "not in the index", UnixMs(0)).unwrap(), 2);
    assert_eq!(counts(&c), Counts { done: 4, failed: 7, rejected: 1, ..Counts::default() });
    let groups = Reader::open(c.dir.path()).unwrap().groups().unwrap().groups;
    let ours = groups.iter().find(|g| g.signature == "settled not in the index").unwrap();
    assert_eq!(
        (ours.count, ours.why, ours.messages.as_slice()),
        (2, Why::Failed, &["not in the index".to_owned()][..])
    );
}

#[test]
fn words_of_as_are_read() {
    assert_eq!(Settled::from_word("done"), Some(Settled::Done));
    assert_eq!(Settled::from_word("skipped"), Some(Settled::Skipped));
    assert_eq!(Settled::from_word("failed"), Some(Settled::Failed));
    assert_eq!(Settled::from_word("in_doubt"), None);
}

#[test]
fn some_are_tried_before_the_others() {
    let (_dir, c) = run();
    let mut amend = Amend::open(&c.lock).unwrap().by("ada");
    assert_eq!(amend.reopen_some(&Selection::default(), 2, UnixMs(5)).unwrap().items, 2);
    assert_eq!(
        counts(&c),
        Counts { done: 4, failed: 3, in_doubt: 2, rejected: 1, waiting: 2, ..Counts::default() }
    );
    let reader = Reader::open(c.dir.path()).unwrap();
    assert_eq!(reader.run().unwrap().counts, counts(&c), "the run's own row says so too");
    let parked = Selection { whys: vec![Why::Parked], ..Selection::default() };
    let seqs: Vec<_> =
        reader.exceptions(&parked, None, 9).unwrap().iter().map(|e| (e.slice.0, e.seq.0)).collect();
    assert_eq!(seqs, [(0, 0), (0, 1)], "in the order of the input");
    let change = reader.changes(9).unwrap().pop().unwrap();
    assert_eq!((&*change.what, &*change.old, &*change.new), ("retry", "2 failed, 0 in doubt", "2 waiting"));
}

#[test]
fn the_id_of_a_kind_of_failure_holds_for_ever() {
    let (_dir, c) = run();
    let mut amend = Amend::open(&c.lock).unwrap();
    let ids = |amend: &Amend<'_>| -> Vec<(String, u64)> {
        let groups = amend.groups().unwrap().groups;
        groups.iter().map(|g| (g.id.to_string(), g.count)).collect()
    };
    assert_eq!(ids(&amend)[..2], [("e1".to_owned(), 4), ("e4".to_owned(), 1)], "in order of first happening");
    let first = Selection::groups([&amend.groups().unwrap().groups[0]]);
    amend.reopen(&first, UnixMs(0)).unwrap();
    assert_eq!(ids(&amend)[0].0, "e4", "the others keep theirs");
    let mut ledger = SqliteLedger::open(&c.dir.ledger()).unwrap();
    let mut again = commit(ledger.recover().unwrap().fence);
    again.exceptions = vec![row(0, 0, Why::Failed, 0)];
    ledger.commit(&again).unwrap();
    assert!(ids(&amend).contains(&("e1".to_owned(), 1)), "what fails in the same way again has its old id");
}
