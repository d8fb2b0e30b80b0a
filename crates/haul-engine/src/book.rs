//! What the committer keeps of one slice between commits: which items are behind us, which pages
//! still have an open item, counts, and keys not yet logged.

use std::collections::VecDeque;

use haul_core::ledger::{Exception, RecoveredSlice, Resume, SliceCommit, SliceState, Why};
use haul_core::source::Slice;
use haul_core::{Counts, Cursor, KeyHash, Outcome, Seq};

use crate::inbox::{Judgement, PageRead};

/// See the module.
pub(crate) struct Book {
    slice: Slice,
    settled: haul_core::watermark::Settled,
    /// Pages with an open item, oldest first.
    pages: VecDeque<OpenPage>,
    /// Where reading goes on once every page is behind us.
    next: Resume,
    counts: Counts,
    keys: Vec<KeyHash>,
    keys_from: Seq,
    state: SliceState,
    bytes: u64,
    moved: bool,
}

struct OpenPage {
    start: Option<Cursor>,
    first: Seq,
    end: Seq,
}

impl Book {
    /// A slice that begins now.
    pub(crate) fn new(slice: Slice) -> Self {
        Book {
            slice,
            settled: Default::default(),
            pages: VecDeque::new(),
            next: Resume::default(),
            counts: Counts::default(),
            keys: Vec::new(),
            keys_from: Seq(0),
            state: SliceState::Open,
            bytes: 0,
            moved: true,
        }
    }

    /// A slice that begins now, not at its own beginning.
    pub(crate) fn begun_at(slice: Slice, cursor: Option<Cursor>) -> Self {
        Book { next: Resume { cursor, first: Seq(0) }, ..Book::new(slice) }
    }

    /// A slice that the ledger knows. `rows` are the seqs that have a row: they are behind us even
    /// where the bitmaps do not say so (an intent that never got its outcome).
    pub(crate) fn restore(slice: &RecoveredSlice, rows: &[Seq]) -> Self {
        let mut settled =
            haul_core::watermark::Settled::restore(slice.watermark, slice.chunks.iter().cloned());
        for seq in rows {
            settled.insert(*seq);
        }
        Book {
            slice: slice.slice.clone(),
            settled,
            pages: VecDeque::new(),
            next: slice.resume.clone(),
            counts: slice.counts,
            keys: Vec::new(),
            keys_from: Seq(slice.keys),
            state: slice.state,
            bytes: slice.bytes,
            moved: false,
        }
    }

    /// True when the item is settled or parked.
    pub(crate) fn is_behind(&self, seq: Seq) -> bool {
        self.settled.contains(seq)
    }

    /// What is behind us, as of now.
    pub(crate) fn settled(&self) -> &haul_core::watermark::Settled {
        &self.settled
    }

    /// Counts; `waiting` are rows that are parked.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether it is read to its end.
    pub(crate) fn state(&self) -> SliceState {
        self.state
    }

    /// Sets whether it is read to its end.
    pub(crate) fn set_state(&mut self, state: SliceState) {
        self.moved |= self.state != state;
        self.state = state;
    }

    /// Bytes of input read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Items up to `end` that are still open are found again by reopening at `resume`.
    pub(crate) fn hold(&mut self, resume: Resume, end: Seq) {
        if self.settled.watermark() < end {
            self.pages.push_back(OpenPage { start: resume.cursor, first: resume.first, end });
        }
    }

    /// A page was read; its items will be settled one by one.
    pub(crate) fn page(&mut self, page: PageRead) {
        let end = Seq(page.first.0 + page.items);
        self.next = match page.next {
            Some(next) => Resume { cursor: Some(next), first: end },
            None => Resume { cursor: page.start.clone(), first: page.first },
        };
        self.pages.push_back(OpenPage { start: page.start, first: page.first, end });
        if !page.keys.is_empty() {
            debug_assert_eq!(page.keys_from.0, self.keys_from.0 + self.keys.len() as u64);
            self.keys.extend(page.keys);
        }
        self.bytes += page.bytes;
        self.moved = true;
    }

    /// The end of the slice was given away.
    pub(crate) fn lower(&mut self, hi: String) {
        self.slice.hi = hi;
        self.moved = true;
    }

    /// Items that needed no work are done.
    pub(crate) fn settle_all(&mut self, from: Seq, count: u64) {
        self.moved = true;
        self.settled.insert_all(from, count);
        self.counts.done += count;
    }

    /// An item gets its outcome, or is parked.
    pub(crate) fn settle(&mut self, seq: Seq, judgement: &Judgement, had_row: bool) {
        self.moved = true;
        if had_row {
            self.counts.waiting = self.counts.waiting.saturating_sub(1);
        } else {
            self.settled.insert(seq);
        }
        match judgement {
            Judgement::Done { .. } => self.counts.add(Outcome::Done, 1),
            Judgement::Skipped => self.counts.add(Outcome::Skipped, 1),
            Judgement::Exception(e) => self.count_row(e),
        }
    }

    /// An at-most-once effect is about to be sent, or something is kept of an item in work.
    pub(crate) fn intend(&mut self, exception: &Exception, had_row: bool) {
        self.moved = true;
        if !had_row {
            self.settled.insert(exception.seq);
            self.counts.waiting += 1;
        }
    }

    fn count_row(&mut self, exception: &Exception) {
        match exception.why.outcome() {
            Some(outcome) => self.counts.add(outcome, 1),
            None => {
                debug_assert!(matches!(exception.why, Why::Parked | Why::Intent));
                self.counts.waiting += 1;
            }
        }
    }

    /// What the next commit says of this slice; `None` when nothing moved.
    pub(crate) fn commit(&mut self) -> Option<SliceCommit> {
        if !std::mem::take(&mut self.moved) {
            return None;
        }
        let watermark = self.settled.watermark();
        while self.pages.front().is_some_and(|p| p.end <= watermark) {
            self.pages.pop_front();
        }
        let resume = match self.pages.front() {
            Some(page) => Resume { cursor: page.start.clone(), first: page.first },
            None => self.next.clone(),
        };
        let keys = std::mem::take(&mut self.keys);
        let keys_from = self.keys_from;
        self.keys_from = Seq(keys_from.0 + keys.len() as u64);
        Some(SliceCommit {
            slice: self.slice.clone(),
            resume,
            watermark,
            chunks: self.settled.take_changed(),
            counts: self.counts,
            keys,
            keys_from,
            state: self.state,
            bytes: self.bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(first: u64, items: u64) -> PageRead {
        PageRead {
            slice: Default::default(),
            start: (first > 0).then(|| Cursor(format!("at {first}"))),
            first: Seq(first),
            items,
            next: Some(Cursor(format!("at {}", first + items))),
            keys: Vec::new(),
            keys_from: Seq(first),
            bytes: 10,
        }
    }

    fn done() -> Judgement {
        Judgement::Done { row: None, observed: None }
    }

    #[test]
    fn the_stored_cursor_is_that_of_the_oldest_page_with_an_open_item() {
        let mut b = Book::new(Slice::whole());
        b.page(page(0, 10));
        b.page(page(10, 10));
        for seq in 1..20 {
            b.settle(Seq(seq), &done(), false);
        }
        let c = b.commit().unwrap();
        assert_eq!(c.resume, Resume { cursor: None, first: Seq(0) });
        assert_eq!((c.watermark, c.chunks.len()), (Seq(0), 1));
        b.settle(Seq(0), &done(), false);
        let c = b.commit().unwrap();
        assert_eq!(c.resume, Resume { cursor: Some(Cursor("at 20".into())), first: Seq(20) });
        assert_eq!(c.watermark, Seq(20));
        assert_eq!(c.counts.read(), 20);
        assert!(b.commit().is_none());
    }

    #[test]
    fn an_empty_page_moves_the_cursor() {
        let mut b = Book::new(Slice::whole());
        b.page(page(0, 0));
        let c = b.commit().unwrap();
        assert_eq!(c.resume.cursor, Some(Cursor("at 0".into())));
    }
}
