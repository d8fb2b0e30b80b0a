//! Pulls pages from the slices of a source: as many side by side as permits can be used. A slice that
//! ends is replaced by the next, and when there is none, by the end of the one with the most before it.

mod traffic;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use haul_core::cx::{NoMemo, RunKey};
use haul_core::source::{Extent, Given, Slice};
use haul_core::{
    Budget, Clock, Cursor, Cx, Fault, FaultClass, Lanes, Opener, Page, Seq, SliceId, Source, limits,
};
use tokio::sync::{mpsc, oneshot};

use crate::lanes::StepLanes;
use crate::resume::{Opened, PartPage, Reading};
use traffic::{Asking, Traffic};

/// Attempts at one page while a resumed source is compared.
const ATTEMPTS: u32 = 10;

/// Slices that may wait after a failure, beside as many as ask for pages.
const RESTING: usize = 8;

/// Pages that wait to be taken, at which nobody else begins to read: the driver is behind.
const WAITING_PAGES: usize = 4;

/// What the reader brings.
pub(crate) enum Read {
    /// A page; `passed` items at its beginning are known and not in it.
    Page { slice: SliceId, start: Option<Cursor>, first: Seq, passed: u64, page: Page },
    /// A slice gave away its end; the child is opened once that is durable.
    Split { parent: SliceId, child: Slice, durable: oneshot::Sender<()> },
    /// A slice is at its end.
    End(SliceId),
    /// It cannot be read on.
    Failed(Fault),
}

/// What a source needs to reach.
pub(crate) struct SourceCx {
    pub(crate) lanes: StepLanes,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) budget: Budget,
    pub(crate) run: RunKey,
    /// Attempts that a page gets.
    pub(crate) attempts: u32,
    /// Attempts that failed.
    pub(crate) faults: Arc<AtomicU64>,
}

impl SourceCx {
    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx { lanes: &self.lanes, clock: &*self.clock, budget: &self.budget, run: &self.run, memo: &NoMemo }
    }
}

/// Reads every slice to its end, or until nobody listens. New slices get ids from `next_id` on.
pub(crate) async fn read(
    opener: Arc<dyn Opener>,
    reading: Vec<Reading>,
    next_id: u32,
    scx: SourceCx,
    out: mpsc::Sender<Read>,
) {
    let mut room = Room {
        common: Arc::new(Common { opener, scx, traffic: Traffic::default() }),
        waiting: reading.into(),
        turns: FuturesUnordered::new(),
        extents: HashMap::new(),
        splits: FuturesUnordered::new(),
        ready: VecDeque::new(),
        next_id,
        any_page: false,
        fault: None,
    };
    room.run(&out).await;
}

/// What all turns share.
struct Common {
    opener: Arc<dyn Opener>,
    scx: SourceCx,
    traffic: Traffic,
}

/// A slice that is open.
struct Desk {
    slice: SliceId,
    source: Box<dyn Source>,
    /// Where its next page begins, and the seq of that page's first item.
    at: Option<Cursor>,
    first: Seq,
}

/// How a turn of one slice ended.
enum Turn {
    Page(Desk, Page),
    Opened(Desk, Option<PartPage>),
    End(SliceId),
    Failed(SliceId, Fault),
}

/// Where slices are read.
struct Room {
    common: Arc<Common>,
    /// Slices that nobody reads yet.
    waiting: VecDeque<Reading>,
    turns: FuturesUnordered<BoxFuture<'static, Turn>>,
    extents: HashMap<SliceId, Arc<dyn Extent>>,
    /// Children that wait until their split is durable.
    splits: FuturesUnordered<BoxFuture<'static, Option<Slice>>>,
    /// For the driver, in order; whoever brought a page goes on once it was handed over.
    ready: VecDeque<(Read, Option<Desk>)>,
    next_id: u32,
    any_page: bool,
    /// A slice that cannot be read on; the others are read to their ends first.
    fault: Option<Fault>,
}

impl Room {
    async fn run(&mut self, out: &mpsc::Sender<Read>) {
        let common = self.common.clone();
        loop {
            self.staff();
            if self.turns.is_empty() && self.splits.is_empty() && self.ready.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = out.closed() => return,
                permit = out.reserve(), if !self.ready.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some((read, desk)) = self.ready.pop_front() {
                        permit.send(read);
                        if let Some(desk) = desk {
                            self.turn(desk);
                        }
                    }
                }
                Some(turn) = self.turns.next(), if !self.turns.is_empty() => {
                    if !self.on_turn(turn) {
                        break;
                    }
                }
                Some(child) = self.splits.next(), if !self.splits.is_empty() => {
                    self.waiting.extend(child.map(|child| Reading::at(child, None, Seq(0))));
                }
                () = common.traffic.moved() => {}
            }
        }
        if let Some(fault) = self.fault.take() {
            // Nobody listens: then nobody has to be told.
            let _ = out.send(Read::Failed(fault)).await;
        }
    }

    /// Opens slices until enough wait for a permit: half as many as are in use.
    fn staff(&mut self) {
        loop {
            let coming = self.common.traffic.asking() + self.splits.len();
            let sent = self.common.traffic.sent();
            let open = self.turns.len() + self.splits.len();
            // Slices that wait after a failure are replaced, but not when all fail.
            let most = (2 * (coming + sent) + RESTING).min(limits::SLICES_OPEN);
            let behind = self.ready.len() >= WAITING_PAGES;
            if coming >= sent.div_ceil(2).max(1) || open >= most || behind {
                return;
            }
            match self.waiting.pop_front() {
                Some(reading) => self.open(reading),
                None if self.split() => {}
                None => return,
            }
        }
    }

    /// Takes the end of the slice with the most before it; false when none is worth it.
    fn split(&mut self) -> bool {
        let mut most: Option<(f64, SliceId)> = None;
        for (id, extent) in &self.extents {
            let spare = extent.spare_pages();
            if spare > most.map_or(0.0, |(other, _)| other) {
                most = Some((spare, *id));
            }
        }
        let Some((_, parent)) = most else { return false };
        let Some(Given { lo, hi }) = self.extents.get(&parent).and_then(|e| e.give_away()) else {
            return false;
        };
        let child = Slice { id: SliceId(self.next_id), lo, hi, parent: Some(parent) };
        self.next_id += 1;
        let (durable, done) = oneshot::channel();
        let opened = child.clone();
        self.splits.push(Box::pin(async move { done.await.ok().map(|()| opened) }));
        // Before the pages that the parent brings from now on.
        self.ready.push_back((Read::Split { parent, child, durable }, None));
        true
    }

    fn open(&mut self, reading: Reading) {
        let Reading { slice, from, first, opened, .. } = reading;
        let (common, asking) = (self.common.clone(), self.common.traffic.ask());
        self.turns.push(Box::pin(async move {
            let id = slice.id;
            if let Some(Opened { source, page, at }) = opened {
                return Turn::Opened(Desk { slice: id, source, at, first }, page);
            }
            match open(&common, &slice, from.as_ref(), asking).await {
                Ok(source) => Turn::Opened(Desk { slice: id, source, at: from, first }, None),
                Err(fault) => Turn::Failed(id, fault),
            }
        }));
    }

    /// Asks for the next page of a slice.
    fn turn(&mut self, desk: Desk) {
        let (common, asking) = (self.common.clone(), self.common.traffic.ask());
        self.turns.push(Box::pin(turn(common, desk, asking)));
    }

    /// False when nothing more is to be read.
    fn on_turn(&mut self, turn: Turn) -> bool {
        match turn {
            Turn::Opened(desk, page) => {
                if let Some(extent) = desk.source.extent() {
                    self.extents.insert(desk.slice, extent);
                }
                match page {
                    None => self.turn(desk),
                    Some(part) => self.known_before(desk, part),
                }
            }
            Turn::Page(mut desk, page) => {
                self.any_page = true;
                let start = desk.at.replace(page.next.clone());
                let first = desk.first;
                desk.first = Seq(first.0 + page.items.len() as u64);
                let read = Read::Page { slice: desk.slice, start, first, passed: 0, page };
                self.ready.push_back((read, Some(desk)));
            }
            Turn::End(slice) => {
                self.extents.remove(&slice);
                self.ready.push_back((Read::End(slice), None));
            }
            Turn::Failed(slice, fault) => {
                self.extents.remove(&slice);
                let hopeless = fault.class() == FaultClass::Fatal || !self.any_page;
                self.fault.get_or_insert(fault);
                return !hopeless;
            }
        }
        true
    }

    /// A page that was compared with what an earlier process read.
    fn known_before(&mut self, mut desk: Desk, part: PartPage) {
        let PartPage { start, passed, page } = part;
        self.any_page = true;
        desk.at = Some(page.next.clone());
        let first = Seq(desk.first.0 - passed);
        desk.first = Seq(desk.first.0 + page.items.len() as u64);
        let read = Read::Page { slice: desk.slice, start, first, passed, page };
        self.ready.push_back((read, Some(desk)));
    }
}

async fn open(
    common: &Common,
    slice: &Slice,
    from: Option<&Cursor>,
    first: Asking,
) -> Result<Box<dyn Source>, Fault> {
    let scx = &common.scx;
    let (mut attempt, mut asking) = (0, Some(first));
    loop {
        let asked = asking.take().unwrap_or_else(|| common.traffic.ask());
        let lanes = asked.lanes(&scx.lanes);
        let opened = common.opener.open(slice, from, &Cx { lanes: &lanes, ..scx.cx() }).await;
        drop(asked);
        match opened {
            Ok(source) => return Ok(source),
            Err(fault) => back_off(fault, &mut attempt, scx).await?,
        }
    }
}

/// One page of a slice; a transient fault is waited out.
async fn turn(common: Arc<Common>, mut desk: Desk, first: Asking) -> Turn {
    let scx = &common.scx;
    let (mut attempt, mut asking) = (0, Some(first));
    loop {
        let asked = asking.take().unwrap_or_else(|| common.traffic.ask());
        let lanes = asked.lanes(&scx.lanes);
        let page = desk.source.next_page(&Cx { lanes: &lanes, ..scx.cx() }).await;
        drop(asked);
        match page {
            Ok(Some(page)) => return Turn::Page(desk, page),
            Ok(None) => return Turn::End(desk.slice),
            Err(fault) => {
                if let Err(fault) = back_off(fault, &mut attempt, scx).await {
                    return Turn::Failed(desk.slice, fault);
                }
            }
        }
    }
}

/// Waits before the next attempt; gives the fault back when there is to be none.
async fn back_off(fault: Fault, attempt: &mut u32, scx: &SourceCx) -> Result<(), Fault> {
    scx.lanes.failed(&fault);
    scx.faults.fetch_add(1, Ordering::Relaxed);
    // A lane that waits as a whole, or credentials that may be renewed, are not the page's doing.
    let lanes = scx.lanes.set();
    let waits = fault.origin().is_some_and(|o| {
        fault.status() == Some(401) && lanes.is_expired(o, *attempt == 0) || lanes.is_waiting(o)
    });
    if !fault.is_uncharged() && !waits {
        *attempt += 1;
    }
    let most = match fault.status() {
        Some(401 | 403) => scx.attempts.min(limits::DENIED_ATTEMPTS),
        _ => scx.attempts,
    };
    let hopeless = matches!(fault.class(), FaultClass::Fatal | FaultClass::Permanent);
    if hopeless || *attempt >= most {
        return Err(fault);
    }
    wait(&fault, (*attempt).max(1), &*scx.clock).await;
    Ok(())
}

/// The next page; backs off and calls again while the fault is transient.
pub(crate) async fn next_page(source: &mut dyn Source, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
    let mut attempt = 0;
    loop {
        match source.next_page(cx).await {
            Ok(page) => return Ok(page),
            Err(fault) => {
                cx.lanes.failed(&fault);
                attempt += 1;
                let hopeless = matches!(fault.class(), FaultClass::Fatal | FaultClass::Permanent);
                if hopeless || attempt >= ATTEMPTS {
                    return Err(fault);
                }
                wait(&fault, attempt, cx.clock).await;
            }
        }
    }
}

/// Waits as long as the service asks for, at least as long as one more failure deserves.
async fn wait(fault: &Fault, attempt: u32, clock: &dyn Clock) {
    let jittered = haul_core::pace::Backoff::default().wait(attempt, fastrand::f64());
    let wait = fault.retry_after().unwrap_or_default().max(jittered);
    clock.sleep_until(clock.now() + wait).await;
}
