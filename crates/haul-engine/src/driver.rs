//! The one owner of a run's course: it admits items into the window, brings parked ones back when
//! they are due, and knows when everything is done. Every event passes through its loop.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use haul_core::budget::Account;
use haul_core::job::OnInvalid;
use haul_core::ledger::Exception;
use haul_core::source::NewItem;
use haul_core::watermark::Settled;
use haul_core::{Fault, KeyHash, Moment, Record, Seq, SliceId, UnixMs, limits};
use tokio::sync::{mpsc, watch};

use crate::committer::Notice;
use crate::ending::{EngineError, Why};
use crate::inbox::{Note, PageRead};
use crate::queue::Queue;
use crate::reader::Read;
use crate::retries::Retries;
use crate::staff::Staff;
use crate::view::{Asked, RejectView, Stop, View};
use crate::worker::Shop;

mod admit;
mod publish;
mod whole;

/// How often the view is published, and how often while nothing moves.
const PUBLISH: Duration = Duration::from_millis(250);
const PUBLISH_IDLE: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Driver {
    pub(crate) shop: Arc<Shop>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) retries: Arc<Retries>,
    pub(crate) notices: mpsc::UnboundedReceiver<Notice>,
    pub(crate) pages: mpsc::Receiver<Read>,
    pub(crate) staff: Staff,
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) orders: mpsc::UnboundedReceiver<Asked>,
    pub(crate) view: Arc<View>,
    pub(crate) source_name: String,
    /// Positions mean the same in every slice.
    pub(crate) global_positions: bool,
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

/// Retries that the budget of their lane holds back.
pub(crate) struct Held {
    /// The lane.
    pub(crate) origin: String,
    pub(crate) since: Moment,
    /// When that was so last.
    pub(crate) last: Moment,
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
    pub(crate) held: Option<Held>,
    /// `--limit` was reached.
    pub(crate) at_limit: bool,
    /// Why nothing more can be read.
    pub(crate) failed: Option<Fault>,
    /// Items that had failed, were rejected or in doubt before this process began.
    pub(crate) open_before: u64,
    /// Items rejected so far in the whole run.
    pub(crate) rejected: u64,
    /// More failed than may.
    pub(crate) too_many: Option<Why>,
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
                broken = self.staff.keep() => return Err(EngineError::Fault(broken)),
                () = clock.sleep_until(wake) => {
                    if clock.now() >= publish_at {
                        let moved = self.publish();
                        if let Some(why) = self.gives_up() {
                            return Ok(why);
                        }
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
        if let Some(why) = s.too_many.take() {
            return Ok(Some(why));
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

    fn wants_page(&self) -> bool {
        self.reading > 0
            && self.state.pending.is_empty()
            && self.state.parked < limits::PARKED_ROWS
            && self.has_room()
    }

    /// Whether a service has refused everything for longer than it may.
    fn gives_up(&self) -> Option<Why> {
        let most = self.shop.policy.retry.give_up_after?;
        self.shop.lanes.refused_for(most).map(|message| Why::GaveUp { message })
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
                self.count_failures();
            }
            Notice::Due(rows) => {
                s.asked_due = false;
                s.due.extend(rows);
                if let Some(ranks) = &self.shop.ranks {
                    let urgency = |row: &Exception| ranks.rank(&Record::new(row.record.clone()));
                    s.due.make_contiguous().sort_by_cached_key(|row| Reverse(urgency(row)));
                }
            }
            Notice::Low(low) => return Err(EngineError::Ledger(low)),
            Notice::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Notes when more has failed than may, since this process began.
    fn count_failures(&mut self) {
        let Some(bound) = self.shop.policy.retry.max_failed else { return };
        let (open, settled) = {
            let view = self.view.lock();
            (view.counts.failed + view.counts.rejected + view.counts.in_doubt, view.settled_now)
        };
        let failed = open.saturating_sub(self.state.open_before);
        if bound.is_exceeded(failed, settled) {
            self.state.too_many = Some(Why::TooManyFailed { failed, settled });
        }
    }

    fn on_read(&mut self, read: Read) -> Result<Option<Why>, EngineError> {
        match read {
            // What was read before is carried to its end: a file that was cut off is good up to there.
            Read::Failed(fault) => self.state.failed = Some(fault),
            Read::End(slice) => {
                self.reading -= 1;
                self.shop.inbox.push(Note::ReadAll(slice));
            }
            Read::Split { parent, child, durable } => {
                self.reading += 1;
                self.shop.inbox.push(Note::Split { parent, child, durable });
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
        let read = PageRead {
            slice,
            start,
            first,
            items: passed + items.len() as u64,
            next: cut.is_none().then_some(page.next),
            keys,
            keys_from: Seq(keys_from),
            bytes: page.bytes,
        };
        self.show_rejected(slice, from, &items);
        match self.settle_whole(read, from, &items) {
            None => {}
            Some(read) => {
                self.shop.inbox.push(Note::Page(read));
                let behind = self.behind.get(&slice);
                let items = items.into_iter().zip((from..).map(Seq));
                let open = items.filter(|(_, seq)| !behind.is_some_and(|b| b.contains(*seq)));
                self.state.pending.extend(open.map(|(item, seq)| (slice, seq, item)));
            }
        }
        if cut.is_some() {
            self.state.at_limit = true;
            self.reading = 0;
            self.pages.close();
        }
        None
    }

    /// Puts bad input that was not read before into the view.
    fn show_rejected(&mut self, slice: SliceId, from: u64, items: &[NewItem]) {
        let behind = self.behind.get(&slice);
        for (item, seq) in items.iter().zip((from..).map(Seq)) {
            let Err(invalid) = &item.record else { continue };
            if behind.is_some_and(|b| b.contains(seq)) {
                continue;
            }
            self.state.rejected += 1;
            let message = self.place_of(item, &invalid.reason);
            let shown = &mut self.view.lock().rejects;
            if shown.len() == limits::REJECTS_SHOWN {
                // The first ones show best what is wrong with a whole file.
                shown.remove(limits::REJECTS_SHOWN / 2);
            }
            shown.push(RejectView { message, count: self.state.rejected });
        }
    }

    fn place_of(&self, item: &NewItem, reason: &str) -> String {
        format!("{}:{}: {reason}", self.source_name, item.position.line)
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
            Some(Why::Invalid { message: self.place_of(item, reason) })
        })
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
