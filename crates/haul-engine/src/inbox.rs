//! What workers and the driver tell the committer.
//!
//! A plain list under a lock: handing over an outcome costs no wake-up unless the committer sleeps
//! with nothing to do, or a whole commit's worth has gathered.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use haul_core::aggregate::At;
use haul_core::ledger::{Change, Exception, LaneNote, TickRow};
use haul_core::source::Slice;
use haul_core::{Cursor, KeyHash, Record, Seq, SliceId, UnixMs, limits};
use tokio::sync::oneshot;

/// What became of an item.
pub(crate) enum Judgement {
    /// Every step succeeded; what the sink and the aggregates get.
    Done { row: Option<Bytes>, observed: Option<Box<(Record, At)>> },
    /// It needs nothing.
    Skipped,
    /// It gets a row: failed, rejected, in doubt, or parked.
    Exception(Box<Exception>),
}

impl Judgement {
    /// Whether the item has its outcome: what is parked is yet to get one.
    pub(crate) fn is_outcome(&self) -> bool {
        match self {
            Judgement::Done { .. } | Judgement::Skipped => true,
            Judgement::Exception(row) => row.why.outcome().is_some(),
        }
    }
}

/// An item leaves the window.
pub(crate) struct Settled {
    pub(crate) slice: SliceId,
    pub(crate) seq: Seq,
    pub(crate) judgement: Judgement,
    /// It had a row (parked, or an intent) when its work began.
    pub(crate) had_row: bool,
    /// Bytes of window room it gives back.
    pub(crate) bytes: usize,
}

/// A page was read.
pub(crate) struct PageRead {
    pub(crate) slice: SliceId,
    /// Where to reopen to read this page again; `None`: the start of the slice.
    pub(crate) start: Option<Cursor>,
    /// Seq of its first item, and how many it has.
    pub(crate) first: Seq,
    pub(crate) items: u64,
    /// Where the next page starts; `None`: this one was not taken to its end.
    pub(crate) next: Option<Cursor>,
    /// Hashes of the keys that are not in the key log yet; the first is of item `keys_from`.
    pub(crate) keys: Vec<KeyHash>,
    pub(crate) keys_from: Seq,
    pub(crate) bytes: u64,
}

/// A page whose items need no work: they are settled together, where they are committed.
pub(crate) struct Whole {
    pub(crate) page: PageRead,
    /// Seq of the first item that is settled, and how many are.
    pub(crate) from: Seq,
    pub(crate) settled: u64,
    /// What the sink gets.
    pub(crate) rows: Vec<Bytes>,
    /// What the aggregates get.
    pub(crate) observed: Vec<(Bytes, At)>,
    /// Bytes of window room they give back.
    pub(crate) bytes: usize,
}

/// One message.
pub(crate) enum Note {
    Page(PageRead),
    Whole(Box<Whole>),
    /// A slice gave away its end: answered when that is durable.
    Split {
        parent: SliceId,
        child: Slice,
        durable: oneshot::Sender<()>,
    },
    Settled(Settled),
    /// The slice is at its end.
    ReadAll(SliceId),
    /// An at-most-once effect is about to be sent, or something is kept of an item in work: answered when
    /// that is durable.
    Intent {
        exception: Box<Exception>,
        had_row: bool,
        durable: oneshot::Sender<()>,
    },
    /// Parked items that are due are wanted.
    TakeDue {
        now: UnixMs,
        most: usize,
    },
    Tick(Box<TickRow>),
    Lane(LaneNote),
    /// A person changed something.
    Change(Change),
    /// Nothing more will come.
    Close,
}

impl Note {
    /// Worth a commit at once rather than in company.
    fn is_urgent(&self) -> bool {
        matches!(self, Note::Intent { .. } | Note::Split { .. } | Note::TakeDue { .. } | Note::Close)
    }
}

#[derive(Default)]
struct Waiting {
    notes: Vec<Note>,
    urgent: bool,
    asleep: bool,
}

/// The list, and the committer's sleep.
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    linger: Duration,
}

impl Inbox {
    /// A message waits for company for so long, at most.
    pub(crate) fn new(linger: Duration) -> Self {
        Inbox { waiting: Mutex::default(), wake: Condvar::new(), linger }
    }

    /// What waits is to be committed now: there is no room for more.
    pub(crate) fn hurry(&self) {
        let mut w = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !w.notes.is_empty() && !w.urgent {
            w.urgent = true;
            drop(w);
            self.wake.notify_one();
        }
    }

    /// Hands a message over. Never blocks for long, never fails.
    pub(crate) fn push(&self, note: Note) {
        let mut w = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let urgent = note.is_urgent();
        w.urgent |= urgent;
        w.notes.push(note);
        if w.asleep || urgent || w.notes.len() == limits::COMMIT_ITEMS {
            w.asleep = false;
            drop(w);
            self.wake.notify_one();
        }
    }

    /// Waits for a first message, then for company: as long as it may linger, or until a
    /// commit's worth is there. Returns everything that waits; the window bounds how much that is.
    pub(crate) fn take(&self) -> Vec<Note> {
        let mut w = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while w.notes.is_empty() {
            w.asleep = true;
            w = self.wake.wait(w).unwrap_or_else(PoisonError::into_inner);
        }
        w.asleep = false;
        let until = Instant::now() + self.linger;
        while !w.urgent && w.notes.len() < limits::COMMIT_ITEMS {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            w = self.wake.wait_timeout(w, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        w.urgent = false;
        // The old list's room goes with it; the next one starts as large as this one was needed.
        let room = w.notes.len().min(limits::COMMIT_ITEMS);
        std::mem::replace(&mut w.notes, Vec::with_capacity(room))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn done(seq: u64) -> Note {
        Note::Settled(Settled {
            slice: SliceId(0),
            seq: Seq(seq),
            judgement: Judgement::Skipped,
            had_row: false,
            bytes: 0,
        })
    }

    #[test]
    fn messages_keep_their_order_and_arrive_in_company() {
        let inbox = Arc::new(Inbox::new(limits::COMMIT_LINGER));
        let sender = inbox.clone();
        let thread = std::thread::spawn(move || {
            for seq in 0..5000 {
                sender.push(done(seq));
            }
            sender.push(Note::Close);
        });
        let (mut next, mut takes, mut open) = (0, 0, true);
        while open {
            takes += 1;
            for note in inbox.take() {
                match note {
                    Note::Settled(s) => {
                        assert_eq!(s.seq, Seq(next));
                        next += 1;
                    }
                    _ => open = false,
                }
            }
        }
        thread.join().unwrap();
        assert_eq!(next, 5000);
        assert!(takes < 200, "{takes} takes for 5000 messages");
    }

    #[test]
    fn an_urgent_message_does_not_wait_for_company() {
        let inbox = Arc::new(Inbox::new(limits::COMMIT_LINGER));
        let sender = inbox.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..20 {
                sender.push(Note::TakeDue { now: UnixMs(0), most: 1 });
                std::thread::sleep(Duration::from_millis(1));
            }
            sender.push(Note::Close);
        });
        let started = Instant::now();
        loop {
            if inbox.take().iter().any(|n| matches!(n, Note::Close)) {
                break;
            }
        }
        thread.join().unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
