//! Any interleaving of commits, takes, work dropped without a commit, and reopening leaves a ledger as
//! it leaves a model of it.

use std::collections::{BTreeMap, BTreeSet};

use haul_core::ledger::{Commit, Exception, Ledger, Why};
use haul_core::watermark::Settled;
use haul_core::{Counts, Outcome, Seq, SliceId, UnixMs};
use proptest::prelude::*;

use super::{InMemory, Kept, OnDisk, at, keys, row, text};

/// What became of an item in one commit.
#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    Failed,
    Intent,
    Parked(i64),
}

#[derive(Clone, Debug)]
enum Move {
    /// New items of a slice are read and end, the first `hold` of them later than the others.
    Read { slice: u32, ends: Vec<End>, hold: usize },
    /// Parked items are taken and end.
    Retry { now: i64, ends: Vec<End> },
    /// Parked items are taken and forgotten.
    Drop { now: i64, limit: usize },
    /// The process dies; the next one takes over.
    Reopen,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Done),
        1 => Just(End::Failed),
        1 => Just(End::Intent),
        2 => (0..100i64).prop_map(End::Parked),
    ]
}

fn step() -> impl Strategy<Value = Move> {
    let ends = |most| prop::collection::vec(end(), 0..most);
    prop_oneof![
        5 => (0..2u32, ends(12), 0..4usize).prop_map(|(slice, ends, hold)| Move::Read { slice, ends, hold }),
        4 => (0..120i64, ends(6)).prop_map(|(now, ends)| Move::Retry { now, ends }),
        1 => (0..120i64, 0..4usize).prop_map(|(now, limit)| Move::Drop { now, limit }),
        2 => Just(Move::Reopen),
    ]
}

/// One slice as an engine keeps it.
#[derive(Clone, Default)]
struct Book {
    settled: Settled,
    counts: Counts,
    read: u64,
    /// Read, and not ended yet.
    open: BTreeSet<u64>,
    keys: u64,
}

/// What the ledger must know, and what its process works on.
#[derive(Default)]
struct Model {
    books: BTreeMap<u32, Book>,
    rows: BTreeMap<(u32, u64), Exception>,
    taken: BTreeSet<(u32, u64)>,
    fence: u64,
}

impl Model {
    /// Items end: the commit that says so, and the same done to the model.
    fn end(&mut self, ends: &[((u32, u64), End)]) -> Commit {
        let mut c = Commit { fence: self.fence, ..Commit::default() };
        for &(place, end) in ends {
            let (slice, seq) = place;
            let old = self.rows.remove(&place).map(|e| e.why);
            self.taken.remove(&place);
            let book = self.books.entry(slice).or_default();
            book.open.remove(&seq);
            if old == Some(Why::Parked) {
                book.counts.waiting -= 1;
            }
            let why = match end {
                End::Done => {
                    c.cleared.push((SliceId(slice), Seq(seq)));
                    book.counts.add(Outcome::Done, 1);
                    book.settled.insert(Seq(seq));
                    continue;
                }
                End::Failed => {
                    book.counts.add(Outcome::Failed, 1);
                    book.settled.insert(Seq(seq));
                    row(slice, seq, Why::Failed, 0)
                }
                // Announced only: it is still in work.
                End::Intent => row(slice, seq, Why::Intent, 0),
                End::Parked(due) => {
                    book.counts.waiting += 1;
                    book.settled.insert(Seq(seq));
                    row(slice, seq, Why::Parked, due)
                }
            };
            self.rows.insert(place, why.clone());
            c.exceptions.push(why);
        }
        for (id, book) in &mut self.books {
            let mut s = at(*id, book.settled.watermark().0, book.counts);
            s.chunks = book.settled.take_changed();
            s.keys_from = Seq(book.keys);
            s.keys = keys(book.keys..book.read);
            book.keys = book.read;
            c.slices.push(s);
        }
        c
    }

    /// The process dies: work in hand is forgotten, intents are in doubt.
    fn reopen(&mut self) {
        self.fence += 1;
        self.taken.clear();
        for (place, e) in self.rows.iter_mut().filter(|(_, e)| e.why == Why::Intent) {
            e.why = Why::InDoubt;
            let book = self.books.entry(place.0).or_default();
            book.counts.add(Outcome::InDoubt, 1);
            book.settled.insert(Seq(place.1));
        }
    }

    fn due(&self, now: i64, limit: usize) -> Vec<(u32, u64)> {
        let mut due: Vec<_> =
            self.rows.iter().filter(|(p, e)| e.why == Why::Parked && !self.taken.contains(p)).collect();
        due.retain(|(_, e)| e.due.0 <= now);
        due.sort_by_key(|(p, e)| (e.due, **p));
        due.into_iter().take(limit).map(|(p, _)| *p).collect()
    }
}

struct Play<'a> {
    kept: &'a mut dyn Kept,
    ledger: Box<dyn Ledger>,
    model: Model,
}

impl Play<'_> {
    fn step(&mut self, m: &Move) {
        match m {
            Move::Read { slice, ends, hold } => {
                let book = self.model.books.entry(*slice).or_default();
                let from = book.read;
                book.read += ends.len() as u64;
                book.open.extend(from..book.read);
                // Out of order: those held back end with the next read of the slice.
                let ready: Vec<u64> =
                    book.open.iter().copied().filter(|s| *s < from || s - from >= *hold as u64).collect();
                let all: Vec<_> =
                    ready.iter().zip(ends.iter().cycle()).map(|(s, e)| ((*slice, *s), *e)).collect();
                self.commit(&all);
            }
            Move::Retry { now, ends } => {
                let taken = self.take(*now, ends.len());
                let all: Vec<_> = taken.into_iter().zip(ends.iter().copied()).collect();
                self.commit(&all);
            }
            Move::Drop { now, limit } => drop(self.take(*now, *limit)),
            Move::Reopen => {
                self.ledger = self.kept.open();
                self.model.reopen();
                self.recover();
            }
        }
        let next = self.model.due(i64::MAX, 1).first().map(|p| self.model.rows[p].due);
        assert_eq!(self.ledger.next_due().unwrap(), next);
    }

    fn commit(&mut self, ends: &[((u32, u64), End)]) {
        // An intent that is announced again stays an intent; the model forgets nothing.
        let c = self.model.end(ends);
        self.ledger.commit(&c).unwrap();
    }

    fn take(&mut self, now: i64, limit: usize) -> Vec<(u32, u64)> {
        let want = self.model.due(now, limit);
        let got = self.ledger.take_due(UnixMs(now), limit).unwrap();
        let places: Vec<_> = got.iter().map(|e| (e.slice.0, e.seq.0)).collect();
        assert_eq!(places, want);
        let rows: Vec<Exception> = want.iter().map(|p| self.model.rows[p].clone()).collect();
        assert_eq!(text(&got), text(&rows));
        self.model.taken.extend(&want);
        want
    }

    /// The next process finds what the model knows.
    fn recover(&mut self) {
        let r = self.ledger.recover().unwrap();
        assert_eq!(r.fence, self.model.fence);
        let ids: Vec<u32> = r.slices.iter().map(|s| s.slice.id.0).collect();
        let committed: Vec<u32> = self.model.books.keys().copied().collect();
        assert_eq!(ids, committed);
        for s in &r.slices {
            let book = self.model.books.get_mut(&s.slice.id.0).unwrap();
            assert_eq!(s.counts, book.counts, "slice {}", s.slice.id);
            assert_eq!(s.watermark, book.settled.watermark());
            let back = Settled::restore(s.watermark, s.chunks.iter().cloned());
            for seq in 0..book.read + 3 {
                assert_eq!(back.contains(Seq(seq)), book.settled.contains(Seq(seq)), "seq {seq}");
            }
            let log = self.ledger.keys(s.slice.id, Seq(0), usize::MAX >> 1).unwrap();
            assert_eq!(log, keys(0..book.keys));
            // Bitmaps that the dead process held and the ledger has need not be written again.
            book.settled = back;
        }
        let mut want: Vec<Exception> = self.model.rows.values().cloned().collect();
        let got = self.kept.exceptions();
        for (w, g) in want.iter_mut().zip(&got).filter(|(w, _)| w.why == Why::InDoubt) {
            w.fault = g.fault.clone();
        }
        assert_eq!(text(&got), text(&want));
        for (id, book) in &self.model.books {
            let rows = self.ledger.rows(SliceId(*id), Seq(0), usize::MAX >> 1).unwrap();
            let want: Vec<Seq> = self.model.rows.keys().filter(|p| p.0 == *id).map(|p| Seq(p.1)).collect();
            assert_eq!(rows, want);
            let total: u64 = book.counts.read();
            let behind = (0..book.read).filter(|s| book.settled.contains(Seq(*s))).count() as u64;
            assert_eq!(total, behind, "read = done + failed + in doubt + waiting");
        }
    }
}

fn play(kept: &mut dyn Kept, moves: &[Move]) {
    let ledger = kept.open();
    let mut play = Play { kept, ledger, model: Model { fence: 1, ..Model::default() } };
    play.recover();
    moves.iter().for_each(|m| play.step(m));
    play.step(&Move::Reopen);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn in_memory(moves in prop::collection::vec(step(), 0..30)) {
        play(&mut InMemory::default(), &moves);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn on_disk(moves in prop::collection::vec(step(), 0..30)) {
        play(&mut OnDisk::new(), &moves);
    }
}
