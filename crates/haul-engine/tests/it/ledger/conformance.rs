//! What every ledger must do.

use std::sync::Arc;

use bytes::Bytes;
use haul_core::aggregate::Saved;
use haul_core::ledger::{IN_WORK, LedgerError, SliceState, Why};
use haul_core::watermark::{CHUNK_BITS, Settled};
use haul_core::{Counts, Key, Mark, Seq, SliceId, UnixMs};

use super::{Kept, at, commit, keys, row, slice, text};

for_each_ledger!(
    a_fresh_ledger_knows_nothing,
    a_commit_is_all_there_after_reopening,
    exceptions_keep_every_field,
    keys_and_records_need_not_be_text,
    parked_rows_are_taken_once_and_in_order,
    a_row_parked_again_is_taken_again_even_if_earlier,
    a_crash_gives_taken_rows_back,
    what_was_in_work_is_due_for_the_next_process,
    intents_become_in_doubt,
    intents_of_items_that_were_parked_are_counted_once,
    a_stale_fence_is_refused_and_changes_nothing,
    the_key_log_is_one_stream,
    a_gap_in_the_key_log_is_refused_whole,
    rows_come_in_pages,
    bitmaps_below_the_watermark_go,
    a_split_lowers_the_end_of_its_parent,
    clearing_drops_memos,
    seqs_may_be_large,
);

fn parked(waiting: u64) -> Counts {
    Counts { waiting, ..Counts::default() }
}

fn a_fresh_ledger_knows_nothing(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let r = ledger.recover().unwrap();
    assert_eq!((r.fence, r.resumed, r.slices.len(), r.next_due), (1, false, 0, None));
    assert!(ledger.take_due(UnixMs(i64::MAX), 10).unwrap().is_empty());
    assert_eq!(ledger.next_due().unwrap(), None);
    assert!(ledger.keys(SliceId(0), Seq(0), 10).unwrap().is_empty());
    assert!(ledger.rows(SliceId(0), Seq(0), 10).unwrap().is_empty());
    assert!(ledger.low().is_none());
    let again = kept.open().recover().unwrap();
    assert_eq!((again.fence, again.resumed), (2, true));
}

fn a_commit_is_all_there_after_reopening(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let fence = ledger.recover().unwrap().fence;
    let counts = Counts { done: 5, skipped: 1, failed: 2, rejected: 1, in_doubt: 1, waiting: 1 };
    let mut settled = Settled::restore(Seq(7), []);
    [9u64, 8000].into_iter().for_each(|s| assert!(settled.insert(Seq(s))));
    let mut c = commit(fence);
    c.slices = vec![at(0, 7, counts)];
    c.slices[0].chunks = settled.take_changed();
    c.slices[0].state = SliceState::Read;
    c.slices.push(at(3, 0, Counts::default()));
    c.slices[1].resume.cursor = None;
    c.marks = vec![("out.jsonl".into(), Mark { file: u64::MAX, len: 77, tail: u32::MAX })];
    let log = Saved::Log { file: "foods.log".into(), len: 1 << 40 };
    c.aggregates = vec![("foods".into(), log.clone()), ("stats".into(), Saved::Small(vec![0, 1, 255]))];
    ledger.commit(&c).unwrap();
    drop(ledger);

    let r = kept.open().recover().unwrap();
    assert!(r.resumed);
    assert_eq!(r.fence, fence + 1);
    assert_eq!(r.marks, c.marks);
    assert_eq!(r.aggregates, c.aggregates);
    assert_eq!(r.slices.len(), 2);
    let s = &r.slices[0];
    assert_eq!((&s.slice, &s.resume, s.watermark), (&slice(0), &c.slices[0].resume, Seq(7)));
    assert_eq!((s.counts, s.state, s.bytes), (counts, SliceState::Read, 70));
    let back = Settled::restore(s.watermark, s.chunks.iter().cloned());
    assert!(back.contains(Seq(9)) && back.contains(Seq(8000)) && !back.contains(Seq(8)));
    assert_eq!((r.slices[1].slice.parent, r.slices[1].resume.cursor.clone()), (Some(SliceId(0)), None));
}

fn exceptions_keep_every_field(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 2, Counts { failed: 1, waiting: 1, ..Counts::default() })];
    c.exceptions = vec![row(0, 0, Why::Failed, 0), row(0, 1, Why::Parked, 9)];
    c.exceptions[1].fault.status = None;
    c.exceptions[1].memos = vec![
        (Arc::from("video"), Bytes::from_static(b"{\"b\":[1.0e400]}")),
        (Arc::from("a"), Bytes::from_static(b"null")),
    ];
    ledger.commit(&c).unwrap();
    let taken = ledger.take_due(UnixMs(9), 5).unwrap();
    assert_eq!(text(&taken), text(&c.exceptions[1..]));
    let mut seen = kept.exceptions();
    seen[1].memos = c.exceptions[1].memos.clone();
    assert_eq!(text(&seen), text(&c.exceptions));
    // A later row of the same item replaces the whole row.
    c.exceptions = vec![row(0, 1, Why::Failed, 0)];
    ledger.commit(&c).unwrap();
    assert_eq!(text(&kept.exceptions()), text(&[row(0, 0, Why::Failed, 0), row(0, 1, Why::Failed, 0)]));
}

fn keys_and_records_need_not_be_text(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 1, parked(1))];
    let mut e = row(0, 0, Why::Parked, 0);
    e.key = Key::from(&b"a\xff\0b"[..]);
    e.record = Bytes::from_static(b"with\0nul");
    e.memos = vec![("s".into(), Bytes::from_static(b"\x80"))];
    c.exceptions = vec![e.clone()];
    ledger.commit(&c).unwrap();
    assert_eq!(text(&ledger.take_due(UnixMs(0), 1).unwrap()), text(&[e]));
}

fn parked_rows_are_taken_once_and_in_order(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 10, parked(5))];
    for (seq, due) in [(0, 50), (1, 20), (2, 20), (3, 99), (4, 10)] {
        c.exceptions.push(row(0, seq, Why::Parked, due));
    }
    c.exceptions.push(row(0, 5, Why::Failed, 0));
    ledger.commit(&c).unwrap();
    assert_eq!(ledger.next_due().unwrap(), Some(UnixMs(10)));
    let mut take = |now, limit| -> Vec<u64> {
        ledger.take_due(UnixMs(now), limit).unwrap().iter().map(|e| e.seq.0).collect()
    };
    assert_eq!(take(9, 9), [0u64; 0]);
    assert_eq!(take(50, 2), [4, 1]);
    assert_eq!(take(50, 9), [2, 0]);
    assert_eq!(take(50, 9), [0u64; 0]);
    assert_eq!(ledger.next_due().unwrap(), Some(UnixMs(99)));
    assert_eq!(ledger.take_due(UnixMs(99), 1).unwrap().len(), 1);
    assert_eq!(ledger.next_due().unwrap(), None);
}

fn a_row_parked_again_is_taken_again_even_if_earlier(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 3, parked(3))];
    c.exceptions = (0..3).map(|s| row(0, s, Why::Parked, 100 + s as i64)).collect();
    ledger.commit(&c).unwrap();
    assert_eq!(ledger.take_due(UnixMs(500), 9).unwrap().len(), 3);
    // One goes back behind what was taken, one is done, one stays in work.
    c.exceptions = vec![row(0, 1, Why::Parked, 7)];
    c.cleared = vec![(SliceId(0), Seq(2))];
    ledger.commit(&c).unwrap();
    assert_eq!(ledger.next_due().unwrap(), Some(UnixMs(7)));
    let again: Vec<u64> = ledger.take_due(UnixMs(500), 9).unwrap().iter().map(|e| e.seq.0).collect();
    assert_eq!(again, [1]);
    assert_eq!(ledger.next_due().unwrap(), None);
}

fn a_crash_gives_taken_rows_back(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 2, parked(2))];
    c.exceptions = vec![row(0, 0, Why::Parked, 1), row(0, 1, Why::Parked, 2)];
    ledger.commit(&c).unwrap();
    assert_eq!(ledger.take_due(UnixMs(5), 9).unwrap().len(), 2);
    drop(ledger);
    let mut ledger = kept.open();
    assert_eq!(ledger.recover().unwrap().next_due, Some(UnixMs(1)));
    assert_eq!(ledger.take_due(UnixMs(5), 9).unwrap().len(), 2);
}

fn what_was_in_work_is_due_for_the_next_process(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 1, parked(1))];
    let mut in_work = row(0, 0, Why::Parked, 0);
    (in_work.due, in_work.last) = (IN_WORK, UnixMs(7));
    in_work.memos = vec![("copy".into(), Bytes::from_static(b"{\"upload\":\"1\"}"))];
    c.exceptions = vec![in_work];
    ledger.commit(&c).unwrap();
    assert_eq!(ledger.next_due().unwrap(), None);
    assert!(ledger.take_due(UnixMs(8), 9).unwrap().is_empty());
    drop(ledger);
    let mut ledger = kept.open();
    assert_eq!(ledger.recover().unwrap().next_due, Some(UnixMs(7)));
    let taken = ledger.take_due(UnixMs(8), 9).unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(&*taken[0].memos[0].1, b"{\"upload\":\"1\"}");
}

fn intents_become_in_doubt(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 2, Counts { done: 2, ..Counts::default() })];
    c.exceptions = vec![row(0, 2, Why::Intent, 0), row(0, 4, Why::Intent, 0)];
    ledger.commit(&c).unwrap();
    // An intent is not parked.
    assert!(ledger.take_due(UnixMs(i64::MAX), 9).unwrap().is_empty());
    // The outcome of one arrives in time.
    c.cleared = vec![(SliceId(0), Seq(2))];
    c.exceptions.clear();
    c.slices = vec![at(0, 3, Counts { done: 3, ..Counts::default() })];
    ledger.commit(&c).unwrap();
    drop(ledger);
    let r = kept.open().recover().unwrap();
    assert_eq!(r.slices[0].counts, Counts { done: 3, in_doubt: 1, ..Counts::default() });
    let settled = Settled::restore(r.slices[0].watermark, r.slices[0].chunks.clone());
    assert!(settled.contains(Seq(4)) && !settled.contains(Seq(3)), "in doubt is behind us");
    let rows = kept.exceptions();
    assert_eq!((rows.len(), rows[0].why, rows[0].seq), (1, Why::InDoubt, Seq(4)));
    assert_eq!((rows[0].fault.code.as_str(), rows[0].fault.status), ("lost", None));
    assert!(rows[0].fault.signature.starts_with("index localhost:8002 lost "), "{:?}", rows[0].fault);
    // The next process does not count it again.
    assert_eq!(kept.open().recover().unwrap().slices[0].counts.in_doubt, 1);
}

fn intents_of_items_that_were_parked_are_counted_once(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 3, parked(2)), at(1, 1, parked(1))];
    c.exceptions = vec![row(0, 0, Why::Parked, 0), row(0, 1, Why::Intent, 0), row(1, 0, Why::Parked, 0)];
    c.slices[0].counts.done = 1;
    ledger.commit(&c).unwrap();
    drop(ledger);
    let r = kept.open().recover().unwrap();
    assert_eq!(r.slices[0].counts, Counts { done: 1, in_doubt: 1, waiting: 1, ..Counts::default() });
    assert_eq!(r.slices[1].counts, parked(1));
}

fn a_stale_fence_is_refused_and_changes_nothing(kept: &mut dyn Kept) {
    let mut old = kept.open();
    let stale = old.recover().unwrap().fence;
    let mut new = kept.open();
    let fence = new.recover().unwrap().fence;
    let mut c = commit(stale);
    c.slices = vec![at(0, 5, Counts { done: 5, ..Counts::default() })];
    c.exceptions = vec![row(0, 1, Why::Failed, 0)];
    let refused = old.commit(&c).unwrap_err();
    assert!(matches!(refused, LedgerError::Fenced(_, f, s) if (f, s) == (fence, stale)), "{refused}");
    assert!(kept.exceptions().is_empty());
    c.fence = fence;
    new.commit(&c).unwrap();
    assert_eq!(kept.exceptions().len(), 1);
}

fn the_key_log_is_one_stream(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    for (from, to) in [(0u64, 3u64), (3, 1000), (1000, 1001), (1001, 1300)] {
        c.slices = vec![at(0, 0, Counts::default()), at(1, 0, Counts::default())];
        c.slices[0].keys = keys(from..to);
        c.slices[0].keys_from = Seq(from);
        ledger.commit(&c).unwrap();
    }
    // Read again after a crash: what is there already is passed over.
    c.slices = vec![at(0, 0, Counts::default())];
    c.slices[0].keys = keys(1250..1310);
    c.slices[0].keys_from = Seq(1250);
    ledger.commit(&c).unwrap();
    c.slices[0].keys = keys(0..2);
    c.slices[0].keys_from = Seq(0);
    ledger.commit(&c).unwrap();
    for (from, n) in [(0, 1310), (2, 5), (999, 3), (1309, 9), (1310, 9), (7, 1200)] {
        let end = (from + n as u64).min(1310);
        assert_eq!(ledger.keys(SliceId(0), Seq(from), n).unwrap(), keys(from..end), "{from} {n}");
    }
    assert!(ledger.keys(SliceId(1), Seq(0), 9).unwrap().is_empty());
    let r = kept.open().recover().unwrap();
    assert_eq!((r.slices[0].keys, r.slices[0].keys_from, r.slices[1].keys), (1310, Seq(0), 0));
}

fn a_gap_in_the_key_log_is_refused_whole(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 0, Counts::default())];
    // An empty log may begin anywhere.
    c.slices[0].keys = keys(5..9);
    c.slices[0].keys_from = Seq(5);
    ledger.commit(&c).unwrap();
    c.slices[0].keys_from = Seq(10);
    c.slices[0].watermark = Seq(100);
    c.exceptions = vec![row(0, 1, Why::Failed, 0)];
    let e = ledger.commit(&c).unwrap_err().to_string();
    assert!(e.contains("the key log of slice 0 ends at item 9, the next keys are of item 10"), "{e}");
    assert!(kept.exceptions().is_empty());
    let r = kept.open().recover().unwrap();
    assert_eq!((r.slices[0].watermark, r.slices[0].keys_from, r.slices[0].keys), (Seq(0), Seq(5), 9));
    assert_eq!(kept.open().keys(SliceId(0), Seq(0), 2).unwrap(), keys(5..7));
}

fn rows_come_in_pages(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 9, Counts::default()), at(1, 9, Counts::default())];
    for seq in [1, 5, 6, 8] {
        c.exceptions.push(row(0, seq, Why::Failed, 0));
    }
    c.exceptions.push(row(1, 2, Why::Parked, 0));
    ledger.commit(&c).unwrap();
    let mut rows = |s, from, n| -> Vec<u64> {
        ledger.rows(SliceId(s), Seq(from), n).unwrap().iter().map(|s| s.0).collect()
    };
    assert_eq!(rows(0, 0, 2), [1, 5]);
    assert_eq!(rows(0, 6, 9), [6, 8]);
    assert_eq!(rows(1, 0, 9), [2]);
    assert_eq!(rows(2, 0, 9), [0u64; 0]);
}

fn bitmaps_below_the_watermark_go(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let fence = ledger.recover().unwrap().fence;
    let mut settled = Settled::default();
    for batch in [1..9000u64, 0..1, 9000..9001] {
        batch.for_each(|s| assert!(settled.insert(Seq(s))));
        let mut c = commit(fence);
        c.slices = vec![at(0, settled.watermark().0, Counts::default())];
        c.slices[0].chunks = settled.take_changed();
        ledger.commit(&c).unwrap();
    }
    drop(ledger);
    let r = kept.open().recover().unwrap();
    assert_eq!(r.slices[0].watermark, Seq(9001));
    assert!(r.slices[0].chunks.iter().all(|c| (c.index + 1) * CHUNK_BITS > 9001));
    assert!(r.slices[0].chunks.len() <= 1);
}

fn a_split_lowers_the_end_of_its_parent(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 0, Counts::default())];
    c.slices[0].slice.hi = "1000".into();
    ledger.commit(&c).unwrap();
    c.slices[0].slice.hi = "500".into();
    c.slices.push(at(1, 0, Counts::default()));
    ledger.commit(&c).unwrap();
    let r = kept.open().recover().unwrap();
    assert_eq!((r.slices[0].slice.hi.as_str(), r.slices[1].slice.parent), ("500", Some(SliceId(0))));
}

fn clearing_drops_memos(kept: &mut dyn Kept) {
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(0, 1, parked(1))];
    c.exceptions = vec![row(0, 0, Why::Parked, 0)];
    c.exceptions[0].memos = vec![("user".into(), Bytes::from_static(b"1"))];
    ledger.commit(&c).unwrap();
    let mut clear = commit(c.fence);
    clear.cleared = vec![(SliceId(0), Seq(0)), (SliceId(0), Seq(44))];
    ledger.commit(&clear).unwrap();
    c.exceptions[0].memos.clear();
    ledger.commit(&c).unwrap();
    assert!(ledger.take_due(UnixMs(0), 1).unwrap()[0].memos.is_empty());
}

fn seqs_may_be_large(kept: &mut dyn Kept) {
    let big = 1u64 << 50;
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.slices = vec![at(u32::MAX, big, parked(1))];
    c.slices[0].keys = keys(0..2);
    c.slices[0].keys_from = Seq(big);
    c.exceptions = vec![row(u32::MAX, big, Why::Parked, i64::MAX)];
    ledger.commit(&c).unwrap();
    assert_eq!(ledger.take_due(UnixMs(i64::MAX), 1).unwrap()[0].seq, Seq(big));
    assert_eq!(ledger.keys(SliceId(u32::MAX), Seq(big + 1), 5).unwrap(), keys(1..2));
    assert_eq!(kept.open().recover().unwrap().slices[0].watermark, Seq(big));
}
