//! A worker carries one item through all its steps in one call stack: "is it done?" is a return
//! value.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{join, join_all};
use haul_core::aggregate::At;
use haul_core::budget::Account;
use haul_core::cx::{Memo, NoMemo, RunKey};
use haul_core::job::Delivery;
use haul_core::ledger::{Exception, FaultNote, IN_WORK, Why};
use haul_core::pace::backoff::{Retry, Tried, after_fault};
use haul_core::rank::{Rank, Ranks};
use haul_core::step::Render;
use haul_core::{
    Applied, Budget, Clock, Cx, Effect, Fault, FaultClass, Flow, Item, Moment, Step, UnixMs, limits,
};
use tokio::sync::oneshot;

use crate::closing::{Attempt, Closing};
use crate::inbox::{Inbox, Judgement, Note, Settled};
use crate::lanes::{LaneSet, StepLanes};
use crate::meter::Meter;
use crate::orders::Policy;
use crate::reach::Reach;
use crate::view::StepView;

/// An item on its way, and what it has been through.
pub(crate) struct Work {
    pub(crate) item: Item,
    /// How urgent it is.
    pub(crate) rank: Rank,
    /// When it was read, or first tried by an earlier process.
    pub(crate) read: UnixMs,
    /// Attempts charged before this one.
    pub(crate) attempts: u32,
    pub(crate) uncharged: Duration,
    /// First attempt, when there was one before.
    pub(crate) first: Option<UnixMs>,
    /// When it was parked, if the wait since then is not to be charged.
    pub(crate) uncharged_since: Option<UnixMs>,
    /// It has a row in the ledger.
    pub(crate) had_row: bool,
    /// Host and port of the fault it was parked for.
    pub(crate) parked_at: String,
    /// Bytes it takes in the window.
    pub(crate) bytes: usize,
}

/// One step and the lanes as it sees them.
pub(crate) struct StepSlot {
    pub(crate) step: Arc<dyn Step>,
    pub(crate) lanes: StepLanes,
}

/// What all workers share.
pub(crate) struct Shop {
    pub(crate) run: RunKey,
    pub(crate) stages: Vec<Vec<StepSlot>>,
    pub(crate) render: Option<Arc<dyn Render>>,
    pub(crate) observe: bool,
    pub(crate) ranks: Option<Arc<dyn Ranks>>,
    pub(crate) policy: Policy,
    pub(crate) budget: Budget,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lanes: Arc<LaneSet>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) closing: Closing,
    pub(crate) tally: Tally,
    pub(crate) source_meter: Arc<Meter>,
    pub(crate) meters: Vec<Arc<Meter>>,
    pub(crate) started: Moment,
}

/// Counts for the view.
#[derive(Default)]
pub(crate) struct Tally {
    /// Shared with what reads: pages fail as items do.
    pub(crate) faults: Arc<AtomicU64>,
    pub(crate) retries: AtomicU64,
    pub(crate) memo_saved: AtomicU64,
    pub(crate) goal: Option<Reach>,
}

/// How the steps ended.
enum End {
    Done,
    Skipped,
    Fault { fault: Fault, unsafe_effect: bool },
}

impl Shop {
    /// One attempt at an item, from its first open step to its outcome. `true`: what it was parked
    /// for is overcome (it may have met another fault since).
    pub(crate) async fn carry(&self, mut work: Work) -> (Note, bool) {
        let began = self.clock.wall();
        let first = *work.first.get_or_insert(began);
        if let Some(since) = work.uncharged_since {
            work.uncharged += began.since(since);
        }
        if work.attempts > 0 || work.had_row {
            self.tally.retries.fetch_add(1, Ordering::Relaxed);
        }
        let end = self.steps(&mut work).await;
        if let End::Fault { .. } = &end {
            work.uncharged += self.lanes.gate.shut_between(began, self.clock.wall());
        }
        let overcome = match &end {
            End::Done | End::Skipped => true,
            End::Fault { fault, .. } => fault.origin() != Some(work.parked_at.as_str()),
        };
        let judgement = match end {
            End::Done => self.done(&work, first),
            End::Skipped => Judgement::Skipped,
            End::Fault { fault, unsafe_effect } => {
                // No reply came: the connection may have been cut by a standstill of this machine.
                let spoiled = fault.status().is_none() && self.lanes.stood_still(began);
                let fault = if spoiled { fault.uncharged() } else { fault };
                let mut judgement = self.fault(&work, first, fault, unsafe_effect);
                self.let_go(&work.item, &mut judgement).await;
                judgement
            }
        };
        if let Some(reach) = self.tally.goal.as_ref().filter(|_| judgement.is_outcome()) {
            reach.settled(self.clock.wall().since(work.read));
        }
        let note = Note::Settled(Settled {
            slice: work.item.slice,
            seq: work.item.seq,
            judgement,
            had_row: work.had_row,
            bytes: work.bytes,
        });
        (note, overcome)
    }

    /// Traffic of the source, where it has any, and of every step, in order.
    pub(crate) fn step_views(&self) -> Vec<StepView> {
        let source = Some(self.source_meter.view()).filter(|view| view.requests > 0);
        source.into_iter().chain(self.meters.iter().map(|m| m.view())).collect()
    }

    async fn steps(&self, work: &mut Work) -> End {
        for stage in &self.stages {
            let before = work.item.record.len();
            let end = match stage.as_slice() {
                [slot] if slot.step.effect().is_write() => self.write(slot, work).await,
                [slot] => {
                    if self.has_memo(slot, &work.item) {
                        continue;
                    }
                    let applied = self.apply(slot, &work.item).await;
                    take(slot, applied, &mut work.item)
                }
                slots => self.side_by_side(slots, &mut work.item).await,
            };
            let grown = work.item.record.len().saturating_sub(before);
            work.bytes += grown;
            self.budget.add(Account::Window, grown);
            if let Some(end) = end {
                return end;
            }
        }
        End::Done
    }

    /// Lookups that do not name each other run at once; what worked is kept when another failed.
    async fn side_by_side(&self, slots: &[StepSlot], item: &mut Item) -> Option<End> {
        let open: Vec<&StepSlot> = slots.iter().filter(|s| !self.has_memo(s, item)).collect();
        let results = match open.as_slice() {
            // Two lookups are the usual case, and need no list of futures.
            [a, b] => {
                let (a, b) = join(self.apply(a, item), self.apply(b, item)).await;
                Vec::from([a, b])
            }
            open => join_all(open.iter().map(|slot| self.apply(slot, item))).await,
        };
        let mut worst = None;
        for (slot, applied) in open.iter().zip(results) {
            let end = take(slot, applied, item);
            worst = match (worst, end) {
                // A skip is final whatever else went wrong; a permanent fault outweighs a transient.
                (_, Some(End::Skipped)) | (Some(End::Skipped), _) => Some(End::Skipped),
                (Some(a), Some(b)) => Some(worse(a, b)),
                (a, b) => a.or(b),
            };
        }
        worst
    }

    fn has_memo(&self, slot: &StepSlot, item: &Item) -> bool {
        let has = item.record.attached(slot.step.name()).is_some();
        if has && slot.step.effect() == Effect::Read {
            self.tally.memo_saved.fetch_add(1, Ordering::Relaxed);
        }
        has
    }

    async fn apply(&self, slot: &StepSlot, item: &Item) -> Result<Applied, Fault> {
        self.apply_keeping(slot, item, &NoMemo).await
    }

    async fn apply_keeping(&self, slot: &StepSlot, item: &Item, memo: &dyn Memo) -> Result<Applied, Fault> {
        let attempt = Attempt::new(&slot.lanes, &self.closing);
        let cx = Cx { lanes: &attempt, clock: &*self.clock, budget: &self.budget, run: &self.run, memo };
        let mut applied = slot.step.apply(item, &cx);
        let applied = poll_fn(|task| match applied.as_mut().poll(task) {
            Poll::Pending => attempt.held_back().map_or(Poll::Pending, |fault| Poll::Ready(Err(fault))),
            ready => ready,
        })
        .await;
        if let Err(fault) = &applied {
            self.lanes.failed(fault);
        }
        applied
    }

    async fn write(&self, slot: &StepSlot, work: &mut Work) -> Option<End> {
        let once = self.policy.delivery == Delivery::AtMostOnce && slot.step.effect() == Effect::UnsafeWrite;
        if once {
            let (durable, committed) = oneshot::channel();
            let exception = Box::new(self.row(work, Why::Intent, work.first, &intent(slot)));
            self.inbox.push(Note::Intent { exception, had_row: work.had_row, durable });
            work.had_row = true;
            if committed.await.is_err() {
                // The committer is gone: the run is ending with an error, and nothing was sent.
                return Some(End::Fault { fault: intent(slot), unsafe_effect: false });
            }
        }
        let keeper = Keeper { shop: self, slot, work, kept: Mutex::default() };
        let applied = self.apply_keeping(slot, &work.item, &keeper).await;
        if let Some(kept) = keeper.kept.into_inner().unwrap_or_else(PoisonError::into_inner) {
            work.had_row = true;
            work.item.record.attach(slot.step.name().clone(), kept);
        }
        match take(slot, applied, &mut work.item) {
            Some(End::Fault { fault, .. }) => Some(End::Fault { fault, unsafe_effect: once }),
            end => end,
        }
    }

    /// Has the step clear away what it kept of an item that has failed.
    async fn let_go(&self, item: &Item, judgement: &mut Judgement) {
        let Judgement::Exception(row) = judgement else { return };
        let Some([slot]) = self.stages.last().map(Vec::as_slice) else { return };
        let name = slot.step.name();
        if row.why != Why::Failed || !slot.step.effect().is_write() || item.record.attached(name).is_none() {
            return;
        }
        let attempt = Attempt::new(&slot.lanes, &self.closing);
        let memo = &NoMemo;
        let cx = Cx { lanes: &attempt, clock: &*self.clock, budget: &self.budget, run: &self.run, memo };
        let mut abandon = slot.step.abandon(item, &cx);
        poll_fn(|task| match abandon.as_mut().poll(task) {
            // The run is being stopped; it stays with the row, for a retry.
            Poll::Pending if attempt.held_back().is_some() => Poll::Ready(()),
            polled => polled,
        })
        .await;
        drop(abandon);
        if attempt.held_back().is_none() {
            row.memos.retain(|(memo, _)| memo != name);
        }
    }

    fn done(&self, work: &Work, first: UnixMs) -> Judgement {
        let mut row = None;
        if let Some(render) = &self.render {
            let mut out = Vec::with_capacity(work.item.record.len() + 64);
            if let Err(fault) = render.render(&work.item, &mut out) {
                return self.fault(work, first, fault.with_step("output".into()), false);
            }
            row = Some(Bytes::from(out));
        }
        let observed = self
            .observe
            .then(|| Box::new((work.item.record.clone(), At::new(work.item.slice, work.item.position))));
        Judgement::Done { row, observed }
    }

    fn fault(&self, work: &Work, first: UnixMs, fault: Fault, unsafe_effect: bool) -> Judgement {
        if fault.class() == FaultClass::Fatal {
            // The run ends; what becomes of this item is for the next process.
            self.lanes.raise(fault.clone());
        }
        self.tally.faults.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.wall();
        if unsafe_effect && fault.is_ambiguous() {
            return Judgement::Exception(Box::new(self.row(work, Why::InDoubt, Some(first), &fault)));
        }
        let waiting = fault.origin().is_some_and(|o| {
            let expired = fault.status() == Some(401) && self.lanes.is_expired(o, !work.had_row);
            expired || self.lanes.is_waiting(o)
        });
        let fault = if waiting { fault.uncharged() } else { fault };
        let unsent = fault.code() == "connect" || fault.code() == "timeout" && fault.status().is_none();
        let fault = match self.lanes.without_network().filter(|_| unsent) {
            Some(wait) => fault.uncharged().with_retry_after(Some(wait)),
            None => fault,
        };
        let attempts = work.attempts + u32::from(!fault.is_uncharged());
        let tried = Tried { attempts, first, uncharged: work.uncharged };
        let unit = fastrand::f64();
        // Refused credentials may be renewed; when nothing is answered any more, the breaker opens long
        // before attempts run out. Among answers, a refusal means this item.
        let mut policy = self.policy.retry;
        if matches!(fault.status(), Some(401 | 403)) {
            policy.attempts = policy.attempts.min(limits::DENIED_ATTEMPTS);
        }
        let decision = after_fault(&fault, tried, &policy, &self.policy.backoff, now, unit);
        let mut row = match decision {
            Retry::At(due) => Exception { due, ..self.row(work, Why::Parked, Some(first), &fault) },
            Retry::Fail => self.row(work, Why::Failed, Some(first), &fault),
        };
        row.attempts = attempts;
        Judgement::Exception(Box::new(row))
    }

    /// A row for the ledger: the record as it was read, and what steps brought so far as memos.
    fn row(&self, work: &Work, why: Why, first: Option<UnixMs>, fault: &Fault) -> Exception {
        let now = self.clock.wall();
        let item = &work.item;
        Exception {
            slice: item.slice,
            seq: item.seq,
            why,
            key: item.key.clone(),
            position: item.position,
            record: item.record.base().clone(),
            attempts: work.attempts,
            uncharged_ms: u64::try_from(work.uncharged.as_millis()).unwrap_or(u64::MAX),
            fault: FaultNote::from(fault),
            first: first.unwrap_or(now),
            last: now,
            due: now,
            memos: item.record.members().map(|(n, v)| (n.clone(), v.clone())).collect(),
        }
    }
}

/// Keeps partial work of an item: it gets a row, as if it were parked, that the next process goes on with.
struct Keeper<'a> {
    shop: &'a Shop,
    slot: &'a StepSlot,
    work: &'a Work,
    kept: Mutex<Option<Bytes>>,
}

#[async_trait]
impl Memo for Keeper<'_> {
    async fn keep(&self, value: Bytes) {
        let before =
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).replace(value.clone()).is_some();
        let fault = Fault::transient("in_work", "it was in work when the run was cut off")
            .with_step(self.slot.step.name().clone())
            .uncharged();
        let mut row = self.shop.row(self.work, Why::Parked, self.work.first, &fault);
        row.due = IN_WORK;
        row.memos.retain(|(name, _)| name != self.slot.step.name());
        row.memos.push((self.slot.step.name().clone(), value));
        let (durable, committed) = oneshot::channel();
        let had_row = before || self.work.had_row;
        self.shop.inbox.push(Note::Intent { exception: Box::new(row), had_row, durable });
        // When the committer is gone the run ends with its error.
        let _ = committed.await;
    }
}

/// What an intent's row says should it never get an outcome.
fn intent(slot: &StepSlot) -> Fault {
    Fault::transient("intent", "it was about to be sent when the run was cut off")
        .with_step(slot.step.name().clone())
        .ambiguous()
}

fn take(slot: &StepSlot, applied: Result<Applied, Fault>, item: &mut Item) -> Option<End> {
    match applied {
        Ok(Applied { flow, attach }) => {
            if let Some(value) = attach {
                item.record.attach(slot.step.name().clone(), value);
            }
            match flow {
                Flow::Next => None,
                Flow::Skip(_) => Some(End::Skipped),
                Flow::Done => Some(End::Done),
            }
        }
        Err(fault) => {
            let fault = fault.with_step(slot.step.name().clone());
            Some(End::Fault { fault, unsafe_effect: false })
        }
    }
}

fn worse(a: End, b: End) -> End {
    use haul_core::FaultClass::{Fatal, Permanent};
    match (&a, &b) {
        (End::Fault { fault, .. }, _) if matches!(fault.class(), Permanent | Fatal) => a,
        (_, End::Fault { .. }) => b,
        _ => a,
    }
}
