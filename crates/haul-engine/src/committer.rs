//! The only one that moves truth: sinks append → aggregates add → sync → effects finish → ledger commit (one
//! transaction) → release window → publish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_core::aggregate::At;
use haul_core::finish::Finish;
use haul_core::ledger::{Commit, Exception, Ledger, LedgerError, SliceState};
use haul_core::sink::Row;
use haul_core::{Aggregate, Counts, Record, Seq, Sink, SliceId, UnixMs};
use tokio::sync::{mpsc, oneshot};

use crate::book::Book;
use crate::ending::EngineError;
use crate::inbox::{Inbox, Judgement, Note, Settled, Whole};
use crate::view::{Leading, View};

/// What the driver learns after a commit.
pub(crate) enum Notice {
    /// These left the window durably.
    Committed { items: u64, bytes: usize, parked: u64, next_due: Option<UnixMs> },
    /// Parked items that are due; an answer to [`Note::TakeDue`].
    Due(Vec<Exception>),
    /// The commit lives on room kept for this: the run must end now, and what is under way may still
    /// be committed.
    Low(LedgerError),
    /// The run cannot go on.
    Failed(EngineError),
}

/// Everything only the committer touches.
pub(crate) struct Committer {
    pub(crate) ledger: Box<dyn Ledger>,
    pub(crate) fence: u64,
    pub(crate) books: BTreeMap<SliceId, Book>,
    pub(crate) sink: Option<(String, Box<dyn Sink>)>,
    pub(crate) finish: Option<Box<dyn Finish>>,
    pub(crate) aggregates: Vec<(String, Box<dyn Aggregate>)>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) notices: mpsc::UnboundedSender<Notice>,
    pub(crate) view: Arc<View>,
    /// The disk is full, and that has been told.
    pub(crate) low: bool,
    /// When the leaders of the aggregates were last published.
    pub(crate) led: Option<Instant>,
}

/// How often the leaders of the aggregates are published.
const LEAD: Duration = Duration::from_secs(1);
/// How many of them.
const LEADERS: usize = 3;

/// What one batch of messages adds up to.
#[derive(Default)]
struct Batch {
    commit: Commit,
    rows: Vec<Row>,
    /// Items that become done; only where effects are to be finished.
    done: Vec<(SliceId, Seq)>,
    observed: Vec<(Record, At)>,
    whole: Vec<Vec<(bytes::Bytes, At)>>,
    durable: Vec<oneshot::Sender<()>>,
    due: Option<(UnixMs, usize)>,
    released: (u64, usize),
    settled: u64,
    close: bool,
    tell: bool,
}

impl Committer {
    /// Works until it is told to close or the ledger fails. The end of its notices is its end.
    pub(crate) fn run(mut self) {
        loop {
            let notes = self.inbox.take();
            let batch = self.gather(notes);
            let close = batch.close;
            if let Err(error) = self.apply(batch) {
                // The driver may be gone already; then nobody is left to tell.
                let _ = self.notices.send(Notice::Failed(error));
                return;
            }
            if close {
                return;
            }
        }
    }

    fn gather(&mut self, notes: Vec<Note>) -> Batch {
        let mut batch = Batch::default();
        for note in notes {
            match note {
                Note::Page(page) => {
                    batch.tell |= page.items == 0;
                    if let Some(book) = self.books.get_mut(&page.slice) {
                        book.page(page);
                    }
                }
                Note::Whole(whole) => self.whole(*whole, &mut batch),
                Note::Split { parent, child, durable } => {
                    if let Some(book) = self.books.get_mut(&parent) {
                        book.lower(child.lo.clone());
                    }
                    self.books.insert(child.id, Book::new(child));
                    batch.durable.push(durable);
                }
                Note::Settled(settled) => self.settle(settled, &mut batch),
                Note::ReadAll(id) => {
                    batch.tell = true;
                    if let Some(book) = self.books.get_mut(&id) {
                        book.set_state(SliceState::Read);
                    }
                }
                Note::Intent { exception, had_row, durable } => {
                    if let Some(book) = self.books.get_mut(&exception.slice) {
                        book.intend(&exception, had_row);
                    }
                    batch.commit.exceptions.push(*exception);
                    batch.durable.push(durable);
                }
                Note::TakeDue { now, most } => batch.due = Some((now, most)),
                Note::Tick(tick) => batch.commit.ticks.push(*tick),
                Note::Lane(note) => batch.commit.lanes.push(note),
                Note::Change(change) => batch.commit.changes.push(change),
                Note::Close => batch.close = true,
            }
        }
        batch
    }

    fn whole(&mut self, whole: Whole, batch: &mut Batch) {
        let Whole { page, from, settled, rows, observed, bytes } = whole;
        batch.released.0 += settled;
        batch.released.1 += bytes;
        batch.settled += settled;
        batch.rows.extend(rows.into_iter().map(Row));
        if !observed.is_empty() {
            batch.whole.push(observed);
        }
        if let Some(book) = self.books.get_mut(&page.slice) {
            book.page(page);
            book.settle_all(from, settled);
        }
    }

    fn settle(&mut self, settled: Settled, batch: &mut Batch) {
        let Settled { slice, seq, judgement, had_row, bytes } = settled;
        batch.released.0 += 1;
        batch.released.1 += bytes;
        if let Some(book) = self.books.get_mut(&slice) {
            book.settle(seq, &judgement, had_row);
        }
        match judgement {
            Judgement::Done { row, observed } => {
                batch.settled += 1;
                if self.finish.is_some() {
                    batch.done.push((slice, seq));
                }
                batch.rows.extend(row.map(Row));
                batch.observed.extend(observed.map(|o| *o));
                if had_row {
                    batch.commit.cleared.push((slice, seq));
                }
            }
            Judgement::Skipped => {
                batch.settled += 1;
                if had_row {
                    batch.commit.cleared.push((slice, seq));
                }
            }
            Judgement::Exception(e) => {
                batch.settled += u64::from(e.why.outcome().is_some());
                batch.commit.exceptions.push(*e);
            }
        }
    }

    fn apply(&mut self, mut batch: Batch) -> Result<(), EngineError> {
        self.write_sinks(&mut batch)?;
        if let Some(finish) = &mut self.finish {
            finish.finish(&batch.done).map_err(EngineError::Fault)?;
        }
        let commit = &mut batch.commit;
        commit.fence = self.fence;
        commit.slices = self.books.values_mut().filter_map(Book::commit).collect();
        let moved = !commit.slices.is_empty()
            || !commit.exceptions.is_empty()
            || !commit.ticks.is_empty()
            || !commit.lanes.is_empty()
            || !commit.changes.is_empty()
            || !commit.marks.is_empty();
        if moved {
            self.ledger.commit(commit)?;
            if let Some(low) = self.ledger.low().filter(|_| !self.low) {
                self.low = true;
                let _ = self.notices.send(Notice::Low(low));
            }
        }
        for durable in batch.durable.drain(..) {
            // The worker may have been dropped by an urgent stop: the intent then stays in doubt.
            let _ = durable.send(());
        }
        let taken = match batch.due {
            Some((now, most)) => Some(self.ledger.take_due(now, most)?),
            None => None,
        };
        self.publish(moved, batch.settled);
        if batch.released.0 > 0 || batch.tell || taken.is_some() {
            let notice = Notice::Committed {
                items: batch.released.0,
                bytes: batch.released.1,
                parked: self.counts().waiting,
                next_due: self.ledger.next_due()?,
            };
            let _ = self.notices.send(notice);
        }
        if let Some(due) = taken {
            let _ = self.notices.send(Notice::Due(due));
        }
        Ok(())
    }

    fn write_sinks(&mut self, batch: &mut Batch) -> Result<(), EngineError> {
        if let Some((name, sink)) = self.sink.as_mut().filter(|_| !batch.rows.is_empty()) {
            sink.append(&batch.rows).map_err(EngineError::Fault)?;
            let mark = sink.sync().map_err(EngineError::Fault)?;
            batch.commit.marks.push((name.clone(), mark));
        }
        if !batch.observed.is_empty() || !batch.whole.is_empty() {
            for (name, aggregate) in &mut self.aggregates {
                for (record, at) in &batch.observed {
                    aggregate.add(record, *at).map_err(EngineError::Fault)?;
                }
                for (record, at) in batch.whole.iter().flatten() {
                    aggregate.add(&Record::new(record.clone()), *at).map_err(EngineError::Fault)?;
                }
                let saved = aggregate.sync().map_err(EngineError::Fault)?;
                batch.commit.aggregates.push((name.clone(), saved));
            }
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for book in self.books.values() {
            counts.merge(&book.counts());
        }
        counts
    }

    /// Who leads, now and then.
    fn leading(&mut self) -> Option<Leading> {
        if self.aggregates.is_empty() || self.led.is_some_and(|at| at.elapsed() < LEAD) {
            return None;
        }
        self.led = Some(Instant::now());
        Some(self.aggregates.iter().map(|(name, a)| (name.clone(), a.leading(LEADERS))).collect())
    }

    fn publish(&mut self, moved: bool, settled: u64) {
        let counts = self.counts();
        let leading = self.leading();
        let mut view = self.view.lock();
        view.counts = counts;
        view.parked = counts.waiting;
        view.commits += u64::from(moved);
        view.settled_now += settled;
        if let Some(leading) = leading {
            view.leading = leading;
        }
        view.bytes_read = self.books.values().map(Book::bytes).sum();
    }
}
