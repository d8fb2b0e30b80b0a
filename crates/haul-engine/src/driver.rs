//! The one owner of a run's course: it admits items into the window, brings parked ones back when
//! they are due, and knows when everything is done. Every event passes through its loop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haul_core::budget::Account;
use haul_core::job::OnInvalid;
use haul_core::ledger::{Exception, FaultNote, TickRow, Why as RowWhy};
use haul_core::source::NewItem;
use haul_core::watermark::Settled;
use haul_core::{Fault, Item, KeyHash, Moment, Position, Record, Seq, SliceId, UnixMs, limits};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::committer::Notice;
use crate::ending::{EngineError, Why};
use crate::inbox::{self, Judgement, Note, PageRead};
use crate::queue::Queue;
use crate::reader::Read;
use crate::retries::Retries;
use crate::view::{Asked, Stop, View};
use crate::worker::{Shop, Work};

/// How often the view is published, and how often while nothing moves.
const PUBLISH: Duration = Duration::from_millis(250);
const PUBLISH_IDLE: Duration = Duration::from_secs(2);
/// What an item takes in the window beside its bytes.
const ITEM_OVERHEAD: usize = 256;

/// See the module.
pub(crate) struct Driver {
    pub(crate) shop: Arc<Shop>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) retries: Arc<Retries>,
    pub(crate) notices: mpsc::UnboundedReceiver<Notice>,
    pub(crate) pages: mpsc::Receiver<Read>,
    pub(crate) workers: JoinSet<()>,
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) orders: mpsc::UnboundedReceiver<Asked>,
    pub(crate) view: Arc<View>,
    pub(crate) source_name: String,
    /// Keys to skip, by slice, as often as counted.
    pub(crate) skip: HashMap<SliceId, HashMap<KeyHash, u32>>,
    /// What earlier processes settled, by slice: dropped when it is read again.
    pub(crate) behind: HashMap<SliceId, Settled>,
    /// Slices not yet read to their end.
    pub(crate) reading: usize,
    /// Items read so far, and those of them whose keys are logged, by slice.
    pub(crate) read: HashMap<SliceId, ReadSoFar>,
    pub(crate) state: State,
}

/// How far a slice was read.
#[derive(Clone, Copy, Default)]
pub(crate) struct ReadSoFar {
    pub(crate) items: u64,
    pub(crate) logged: u64,
}

/// What changes as the run goes on.
#[derive(Default)]
pub(crate) struct State {
    /// Items of the page at hand that wait for room.
    pub(crate) pending: VecDeque<(SliceId, Seq, NewItem)>,
    /// Items in the window.
    pub(crate) window: u64,
    pub(crate) window_bytes: usize,
    pub(crate) parked: u64,
    pub(crate) next_due: Option<UnixMs>,
    /// Parked items at hand that wait for room and for the retry budget.
    pub(crate) due: VecDeque<Exception>,
    pub(crate) asked_due: bool,
    pub(crate) retry_at: Option<Moment>,
    /// Why nothing more can be read.
    pub(crate) failed: Option<Fault>,
    /// An item is new in this process.
    pub(crate) anything_new: bool,
    pub(crate) last_tick: Option<Moment>,
    pub(crate) ticked: (u64, u64),
    pub(crate) published: (u64, u64),
}

impl Driver {
    /// Runs to the end, or until told to stop.
    pub(crate) async fn run(&mut self) -> Result<Why, EngineError> {
        let clock = self.shop.clock.clone();
        let mut alarm = self.shop.lanes.alarm();
        self.publish();
        let mut publish_at = clock.now() + PUBLISH;
        loop {
            if let Some(why) = self.advance()? {
                return Ok(why);
            }
            let wake = self.wake_at().map_or(publish_at, |w| w.min(publish_at));
            tokio::select! {
                biased;
                changed = self.stop.changed() => match changed {
                    Ok(()) => return Ok(Why::Stopped),
                    // Nobody can tell us anything any more; go on to the end.
                    Err(_) => self.stop = watch::Sender::new(Stop::Go).subscribe(),
                },
                Ok(()) = alarm.changed() => {
                    if let Some(fault) = alarm.borrow_and_update().clone() {
                        return Err(EngineError::Fault(fault));
                    }
                }
                Some(asked) = self.orders.recv() => self.obey(asked),
                Some(notice) = self.notices.recv() => self.on_notice(notice)?,
                Some(read) = self.pages.recv(), if self.wants_page() => {
                    if let Some(why) = self.on_read(read)? {
                        return Ok(why);
                    }
                }
                Some(ended) = self.workers.join_next() => {
                    let reason = ended.err().map_or_else(String::new, |e| e.to_string());
                    return Err(EngineError::Fault(Fault::fatal("bug", format!("a worker ended: {reason}"))));
                }
                () = clock.sleep_until(wake) => {
                    if clock.now() >= publish_at {
                        let moved = self.publish();
                        publish_at = clock.now() + if moved { PUBLISH } else { PUBLISH_IDLE };
                    }
                }
            }
        }
    }

    /// Does everything that can be done without waiting.
    fn advance(&mut self) -> Result<Option<Why>, EngineError> {
        self.admit_due();
        self.admit_new();
        let read = self.reading == 0 || self.state.failed.is_some();
        let tail = read && self.state.pending.is_empty() && !self.queue.has_fresh();
        self.shop.lanes.at_tail(tail);
        let s = &mut self.state;
        let now = self.shop.clock.wall();
        let is_due = s.failed.is_none() && s.next_due.is_some_and(|due| due <= now);
        if is_due && s.due.is_empty() && !s.asked_due && s.window < self.shop.policy.window_items as u64 {
            s.asked_due = true;
            self.shop.inbox.push(Note::TakeDue { now, most: limits::DUE_ITEMS });
        }
        if s.window == 0
            && s.pending.is_empty()
            && s.due.is_empty()
            && !s.asked_due
            && let Some(fault) = s.failed.take()
        {
            return Err(EngineError::Fault(fault));
        }
        let nothing_left =
            self.reading == 0 && s.pending.is_empty() && s.window == 0 && s.parked == 0 && s.due.is_empty();
        Ok(nothing_left.then_some(Why::Finished))
    }

    fn wake_at(&self) -> Option<Moment> {
        let s = &self.state;
        let clock = &self.shop.clock;
        let may_ask = !s.asked_due && s.due.is_empty() && s.failed.is_none();
        let due = s.next_due.filter(|_| may_ask).map(|due| {
            // A window without room is woken by the next commit, not by the clock.
            clock.now() + due.since(clock.wall()).max(Duration::from_millis(1))
        });
        [due, s.retry_at].into_iter().flatten().min()
    }

    fn has_room(&self) -> bool {
        let (s, p, budget) = (&self.state, &self.shop.policy, &self.shop.budget);
        // The window may not take all of the memory: bodies and pages need some of it.
        let window_bytes = p.window_bytes.min(usize::try_from(budget.limit() / 2).unwrap_or(usize::MAX));
        s.window < p.window_items as u64
            && s.window_bytes < window_bytes
            && (s.window == 0 || !budget.is_over())
    }

    fn wants_page(&self) -> bool {
        self.reading > 0
            && self.state.pending.is_empty()
            && self.state.parked < limits::PARKED_ROWS
            && self.has_room()
    }

    fn admit_new(&mut self) {
        if self.state.pending.is_empty() {
            return;
        }
        let mut works = Vec::with_capacity(self.state.pending.len());
        while self.has_room() {
            let Some((slice, seq, new)) = self.state.pending.pop_front() else { break };
            self.state.anything_new = true;
            if let Some(work) = self.admit_one(slice, seq, new) {
                works.push(work);
            }
        }
        self.retries.first_attempts(works.len());
        self.queue.extend(works);
    }

    /// Counts an item into the window; rejected and skipped ones go straight to the committer.
    fn admit_one(&mut self, slice: SliceId, seq: Seq, new: NewItem) -> Option<Work> {
        let NewItem { key, position, record } = new;
        self.state.window += 1;
        let record = match record {
            Ok(record) => record,
            Err(rejection) => {
                let name = &self.source_name;
                let fault = Fault::permanent("input", rejection.reason);
                let row =
                    rejected(slice, seq, key, position, rejection.raw, &fault, name, self.shop.clock.wall());
                self.settle(slice, seq, Judgement::Exception(Box::new(row)));
                return None;
            }
        };
        if let Some(n) = self.skip.get_mut(&slice).and_then(|s| s.get_mut(&key.hash())).filter(|n| **n > 0) {
            *n -= 1;
            self.settle(slice, seq, Judgement::Skipped);
            return None;
        }
        let item = Item { slice, seq, key, position, record };
        Some(self.count_in(item, None))
    }

    fn settle(&self, slice: SliceId, seq: Seq, judgement: Judgement) {
        self.shop.inbox.push(Note::Settled(inbox::Settled {
            slice,
            seq,
            judgement,
            had_row: false,
            bytes: 0,
        }));
    }

    fn count_in(&mut self, item: Item, row: Option<&Exception>) -> Work {
        let bytes = item.record.len() + item.key.0.len() + ITEM_OVERHEAD;
        self.state.window_bytes += bytes;
        self.shop.budget.add(Account::Window, bytes);
        // A lane that waited, or asked to be left alone, is not the item's doing; nor is a pause.
        let uncharged_since = row
            .filter(|r| r.due.since(r.last) > self.shop.policy.backoff.cap || r.attempts == 0)
            .map(|r| r.last);
        let paused = row
            .filter(|_| uncharged_since.is_none())
            .map_or(Duration::ZERO, |r| self.shop.lanes.gate.shut_between(r.last, self.shop.clock.wall()));
        Work {
            item,
            attempts: row.map_or(0, |r| r.attempts),
            uncharged: Duration::from_millis(row.map_or(0, |r| r.uncharged_ms)) + paused,
            first: row.map(|r| r.first),
            uncharged_since,
            had_row: row.is_some(),
            parked_at: row.map_or_else(String::new, |r| r.fault.origin.clone()),
            bytes,
        }
    }

    /// Parked items come first, as far as the retry budget of their lane allows.
    fn admit_due(&mut self) {
        self.state.retry_at = None;
        while self.has_room() {
            let Some(row) = self.state.due.front() else { return };
            let now = self.shop.clock.now();
            if let Err(wait) = self.retries.may_retry(&row.fault.origin, now) {
                self.state.retry_at = Some(now + wait);
                return;
            }
            let Some(row) = self.state.due.pop_front() else { return };
            self.state.window += 1;
            let mut record = Record::new(row.record.clone());
            for (step, value) in &row.memos {
                record.attach(step.clone(), value.clone());
            }
            let (slice, seq, position) = (row.slice, row.seq, row.position);
            let item = Item { slice, seq, key: row.key.clone(), position, record };
            let work = self.count_in(item, Some(&row));
            self.queue.push_front(work);
        }
    }

    fn on_notice(&mut self, notice: Notice) -> Result<(), EngineError> {
        let s = &mut self.state;
        match notice {
            Notice::Committed { items, bytes, parked, next_due } => {
                s.window = s.window.saturating_sub(items);
                s.window_bytes = s.window_bytes.saturating_sub(bytes);
                self.shop.budget.give(Account::Window, bytes);
                s.parked = parked;
                s.next_due = next_due;
            }
            Notice::Due(rows) => {
                s.asked_due = false;
                s.due.extend(rows);
            }
            Notice::Low(low) => return Err(EngineError::Ledger(low)),
            Notice::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn on_read(&mut self, read: Read) -> Result<Option<Why>, EngineError> {
        match read {
            // What was read before is carried to its end: a file that was cut off is good up to there.
            Read::Failed(fault) => self.state.failed = Some(fault),
            Read::End(slice) => {
                self.reading -= 1;
                self.shop.inbox.push(Note::ReadAll(slice));
            }
            Read::Page { slice, start, first, passed, page } => {
                return Ok(self.on_page(PageHere { slice, start, first, passed, page }));
            }
        }
        Ok(None)
    }

    fn on_page(&mut self, here: PageHere) -> Option<Why> {
        let PageHere { slice, start, first, passed, page } = here;
        let from = first.0 + passed;
        let mut items = page.items;
        let cut = self.cut_at_limit(slice, from, items.len());
        if let Some(cut) = cut {
            items.truncate(cut);
        }
        let so_far = self.read.entry(slice).or_default();
        let end = from + items.len() as u64;
        so_far.items = so_far.items.max(end);
        let keys_from = so_far.logged.max(from);
        let keys: Vec<KeyHash> = match self.shop.policy.key_log {
            true => items.iter().skip((keys_from - from) as usize).map(|i| i.key.hash()).collect(),
            false => Vec::new(),
        };
        so_far.logged = keys_from + keys.len() as u64;
        if let Some(why) = self.first_invalid(&items) {
            return Some(why);
        }
        self.shop.inbox.push(Note::Page(PageRead {
            slice,
            start,
            first,
            items: passed + items.len() as u64,
            next: cut.is_none().then_some(page.next),
            keys,
            keys_from: Seq(keys_from),
            bytes: page.bytes,
        }));
        let behind = self.behind.get(&slice);
        let items = items.into_iter().zip((from..).map(Seq));
        let open = items.filter(|(_, seq)| !behind.is_some_and(|b| b.contains(*seq)));
        self.state.pending.extend(open.map(|(item, seq)| (slice, seq, item)));
        if cut.is_some() {
            self.reading = 0;
            self.pages.close();
        }
        None
    }

    /// How many of `len` items may still be read, when `--limit` is reached within or just after them.
    fn cut_at_limit(&self, slice: SliceId, from: u64, len: usize) -> Option<usize> {
        let limit = self.shop.policy.limit?;
        let others: u64 = self.read.iter().filter(|(id, _)| **id != slice).map(|(_, r)| r.items).sum();
        let left = usize::try_from(limit.saturating_sub(others + from)).unwrap_or(usize::MAX);
        (left <= len).then_some(left)
    }

    fn first_invalid(&self, items: &[NewItem]) -> Option<Why> {
        if self.shop.policy.on_invalid != OnInvalid::Stop {
            return None;
        }
        items.iter().find_map(|item| {
            let reason = &item.record.as_ref().err()?.reason;
            Some(Why::Invalid { message: format!("{}:{}: {reason}", self.source_name, item.position.line) })
        })
    }

    /// Publishes the view, and once a second the tick. False: nothing moved since the last time.
    pub(crate) fn publish(&mut self) -> bool {
        let shop = &self.shop;
        for note in shop.lanes.take_notes() {
            shop.inbox.push(Note::Lane(note));
        }
        let waiting_for = shop.lanes.waiting_for();
        let lanes = shop.lanes.views();
        let requests = lanes.iter().map(|l| l.requests).sum();
        let (settled, faults) = {
            let mut view = self.view.lock();
            view.window = self.state.window;
            view.in_work = self.queue.in_work();
            view.next_due = self.state.next_due;
            view.read_all = self.reading == 0;
            view.faults = shop.tally.faults.load(Ordering::Relaxed);
            view.retries = shop.tally.retries.load(Ordering::Relaxed);
            view.memo_saved = shop.tally.memo_saved.load(Ordering::Relaxed);
            view.read = self.read.values().map(|r| r.items).sum();
            view.steps = shop.step_views();
            view.waiting_for = waiting_for;
            view.lanes = lanes;
            view.memory = (shop.budget.used(), shop.budget.peak());
            view.memory_limit = shop.budget.limit();
            view.paused_since = shop.lanes.gate.since();
            view.elapsed_ms = shop.clock.now().since(shop.started).as_millis() as u64;
            (view.settled_now, view.faults)
        };
        self.tick(settled, faults);
        let moved = (settled, requests) != self.state.published;
        self.state.published = (settled, requests);
        moved
    }

    fn tick(&mut self, settled: u64, faults: u64) {
        let now = self.shop.clock.now();
        let last = *self.state.last_tick.get_or_insert(now);
        let span = now.since(last);
        if span < Duration::from_secs(1) {
            return;
        }
        self.state.last_tick = Some(now);
        let (was_settled, was_faults) = std::mem::replace(&mut self.state.ticked, (settled, faults));
        let lanes = self.shop.lanes.views();
        let tick = self.shop.lanes.take_interval(|i| {
            let (p50, p95, p99) = i.latency.quantiles();
            TickRow {
                at: self.shop.clock.wall(),
                span_ms: span.as_millis() as u32,
                settled: settled - was_settled,
                faults: faults - was_faults,
                requests: i.requests,
                wire_in: i.wire_in,
                wire_out: i.wire_out,
                in_flight: lanes.iter().map(|l| l.in_flight).sum(),
                limit: lanes.iter().map(|l| l.limit).sum(),
                p50_us: p50 as u32,
                p95_us: p95 as u32,
                p99_us: p99 as u32,
                rss: crate::system::resident(),
            }
        });
        // An idle run does not write a row, and a sync, every second.
        if tick.requests > 0 || tick.settled > 0 {
            self.shop.inbox.push(Note::Tick(Box::new(tick)));
        }
    }
}

/// A page as the reader brought it.
struct PageHere {
    slice: SliceId,
    start: Option<haul_core::Cursor>,
    first: Seq,
    passed: u64,
    page: haul_core::Page,
}

/// The row of bad input.
#[allow(clippy::too_many_arguments, reason = "the fields of one row, made in one place")]
fn rejected(
    slice: SliceId,
    seq: Seq,
    key: haul_core::Key,
    position: Position,
    raw: bytes::Bytes,
    fault: &Fault,
    source: &str,
    now: UnixMs,
) -> Exception {
    let mut note = FaultNote::from(fault);
    note.step = "source".into();
    note.message = format!("{source}:{}: {}", position.line, note.message);
    Exception {
        slice,
        seq,
        why: RowWhy::Rejected,
        key,
        position,
        record: raw,
        attempts: 0,
        uncharged_ms: 0,
        fault: note,
        first: now,
        last: now,
        due: now,
        memos: Vec::new(),
    }
}
