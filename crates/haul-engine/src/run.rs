//! From orders to an ending: recovers, sets everything up, lets the driver run, and closes.

use std::sync::Arc;

use haul_core::ledger::{Commit, Ledger, Recovered};
use haul_core::{Clock, Counts, Cx, Fault, Opener, SliceId, limits};
use tokio::sync::mpsc;

use crate::closing::Closing;
use crate::committer::{Committer, Notice};
use crate::driver::{Driver, ReadSoFar, State};
use crate::ending::{Ending, EngineError, Why};
use crate::inbox::{Inbox, Note};
use crate::lanes::{LaneSet, StepLanes};
use crate::meter::Meter;
use crate::orders::{Orders, Output};
use crate::queue::Queue;
use crate::reach::Reach;
use crate::reader::{self, SourceCx};
use crate::resume::{self, Reading, Situation, Standing};
use crate::retries::Retries;
use crate::staff::Staff;
use crate::view::{Control, Stop, View};
use crate::worker::{Shop, StepSlot, Tally};

/// Carries every item of a source through its steps, once, whatever happens.
///
/// Runs on the current tokio runtime (a current-thread one serves best), with one thread more for
/// the committer. Returns when the source is at its end and nothing waits, when told to stop, or when
/// going on is impossible; what was committed until then stays in every case.
///
/// # Errors
/// See [`EngineError`]. After an error the same orders over the same ledger go on.
pub async fn run(
    mut orders: Orders,
    mut ledger: Box<dyn Ledger>,
    clock: Arc<dyn Clock>,
    control: Control,
) -> Result<Ending, EngineError> {
    let recovered = ledger.recover()?;
    restore_outputs(&mut orders, &recovered, &mut *ledger)?;
    let lanes =
        LaneSet::new(clock.clone(), std::mem::take(&mut orders.lanes), orders.lane_default, &recovered.lanes);
    let meters = meters(&orders);
    let source_meter = Arc::new(Meter::new("source"));
    let scx = SourceCx {
        lanes: StepLanes::new(lanes.clone(), source_meter.clone()),
        clock: clock.clone(),
        budget: orders.budget.clone(),
        run: orders.run,
        attempts: orders.policy.retry.attempts,
        faults: Arc::default(),
    };
    let standing = stand(&recovered, &orders, &mut *ledger, &scx.cx()).await?;
    let parts = Parts { recovered, lanes, meters, source_meter, clock, scx };
    Running::start(orders, ledger, control, standing, parts).finish().await
}

/// Things made before the run starts.
struct Parts {
    recovered: Recovered,
    lanes: Arc<LaneSet>,
    meters: Vec<Arc<Meter>>,
    source_meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    scx: SourceCx,
}

async fn stand(
    recovered: &Recovered,
    orders: &Orders,
    ledger: &mut dyn Ledger,
    cx: &Cx<'_>,
) -> Result<Standing, EngineError> {
    if recovered.slices.is_empty() {
        return Ok(resume::fresh(&*orders.opener));
    }
    let mut situation = Situation {
        opener: &*orders.opener,
        ledger,
        if_changed: orders.policy.if_changed,
        key_log: orders.policy.key_log,
        cx,
    };
    resume::resume(recovered, &mut situation).await
}

/// Sinks and aggregates go back to what the ledger knows of them: what came after was never
/// committed. Where a sink begins is committed before its first row is written.
fn restore_outputs(
    orders: &mut Orders,
    recovered: &Recovered,
    ledger: &mut dyn Ledger,
) -> Result<(), EngineError> {
    if let Some(Output { name, sink, .. }) = &mut orders.output {
        match recovered.marks.iter().find(|(n, _)| n == name) {
            Some((_, mark)) => sink.cut(mark).map_err(EngineError::Fault)?,
            None => {
                let mark = sink.sync().map_err(EngineError::Fault)?;
                let marks = vec![(name.clone(), mark)];
                ledger.commit(&Commit { fence: recovered.fence, marks, ..Commit::default() })?;
            }
        }
    }
    for (name, aggregate) in &mut orders.aggregates {
        if let Some((_, saved)) = recovered.aggregates.iter().find(|(n, _)| n == name) {
            aggregate.restore(saved.clone()).map_err(EngineError::Fault)?;
        }
    }
    Ok(())
}

fn meters(orders: &Orders) -> Vec<Arc<Meter>> {
    orders.stages.iter().flatten().map(|step| Arc::new(Meter::new(step.name()))).collect()
}

/// The first id that no slice has.
fn next_slice(recovered: &Recovered, reading: &[Reading]) -> u32 {
    let known = recovered.slices.iter().map(|s| s.slice.id);
    known.chain(reading.iter().map(|r| r.slice.id)).map(|id| id.0 + 1).max().unwrap_or(0)
}

/// What a run begins with.
fn state_of(recovered: &Recovered) -> State {
    let sum = |of: fn(&Counts) -> u64| recovered.slices.iter().map(|s| of(&s.counts)).sum();
    State {
        parked: sum(|c| c.waiting),
        next_due: recovered.next_due,
        rejected: sum(|c| c.rejected),
        open_before: sum(|c| c.failed + c.rejected + c.in_doubt),
        ..State::default()
    }
}

/// A run with its threads and tasks.
struct Running {
    driver: Driver,
    committer: Option<std::thread::JoinHandle<()>>,
    recovered: Recovered,
    lost: u64,
    remarks: Vec<String>,
    opener: Arc<dyn Opener>,
}

impl Running {
    fn start(
        orders: Orders,
        ledger: Box<dyn Ledger>,
        control: Control,
        standing: Standing,
        parts: Parts,
    ) -> Running {
        let Parts { recovered, lanes, meters, source_meter, clock, scx } = parts;
        let inbox = Arc::new(Inbox::new(orders.policy.linger));
        let (notices_in, notices) = mpsc::unbounded_channel();
        let Control { stop, orders: asked, view } = control;
        first_look(&view, &orders, &recovered, &standing);
        let behind = standing.books.iter().map(|(id, b)| (*id, b.settled().clone())).collect();
        let pending = standing.again.into();
        let (render, sink) = match orders.output {
            Some(o) => (Some(o.render), Some((o.name, o.sink))),
            None => (None, None),
        };
        let shop = Arc::new(Shop {
            run: orders.run,
            stages: slots(&orders.stages, &lanes, &meters),
            render,
            observe: !orders.aggregates.is_empty(),
            ranks: orders.ranks,
            tally: Tally {
                faults: scx.faults.clone(),
                goal: orders.policy.goal.map(Reach::new),
                ..Tally::default()
            },
            policy: orders.policy,
            budget: orders.budget,
            started: clock.now(),
            clock,
            lanes,
            inbox: inbox.clone(),
            closing: Closing::default(),
            source_meter,
            meters,
        });
        let committer = Committer {
            ledger,
            fence: recovered.fence,
            books: standing.books,
            sink,
            finish: orders.finish,
            aggregates: orders.aggregates,
            inbox,
            notices: notices_in,
            view: view.clone(),
            low: false,
            led: None,
        };
        let (queue, retries) = (Arc::new(Queue::new()), Arc::new(Retries::default()));
        let staff = Staff::new(shop.clone(), queue.clone(), retries.clone());
        let mut reading = standing.reading;
        let skip = reading.iter_mut().map(|r| (r.slice.id, std::mem::take(&mut r.skip))).collect();
        let read = read_so_far(&recovered, &reading);
        let slices = reading.len();
        let (pages_in, pages) = mpsc::channel(limits::PAGES_AHEAD);
        let source_name = orders.opener.name().to_owned();
        let opener = orders.opener.clone();
        let next_slice = next_slice(&recovered, &reading);
        tokio::spawn(reader::read(orders.opener, reading, next_slice, scx, pages_in));
        let state = State { pending, ..state_of(&recovered) };
        let driver = Driver {
            shop,
            queue,
            retries,
            notices,
            pages,
            staff,
            stop,
            orders: asked,
            view,
            source_name,
            global_positions: opener.positions_are_global(),
            skip,
            behind,
            reading: slices,
            read,
            state,
        };
        let thread = std::thread::Builder::new().name("committer".into()).stack_size(1 << 20);
        let committer = thread.spawn(move || committer.run()).ok();
        Running { driver, committer, recovered, lost: standing.lost, remarks: standing.remarks, opener }
    }

    async fn finish(mut self) -> Result<Ending, EngineError> {
        if self.committer.is_none() {
            return Err(EngineError::Fault(Fault::fatal("thread", "no thread could be started for commits")));
        }
        let was_waiting = self.driver.state.parked > 0;
        let result = match *self.driver.stop.borrow() {
            Stop::Go => None,
            _ => Some(Ok(Why::Stopped)),
        };
        let result = match result {
            Some(result) => result,
            None => self.driver.run().await,
        };
        self.driver.pages.close();
        let dropped = self.driver.queue.clear();
        if result.as_ref().map_or_else(EngineError::is_disk_full, |_| true) {
            self.drain().await;
        }
        self.driver.staff.dismiss().await;
        self.driver.note_goal();
        self.driver.shop.inbox.push(Note::Close);
        let failed = self.close().await;
        let why = result?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.driver.publish();
        let state = &self.driver.state;
        let open = (dropped as u64).max(state.window) + state.pending.len() as u64 + self.lost;
        let last = self.driver.view.lock().clone();
        let counts = Counts { waiting: last.parked, ..last.counts };
        let nothing_new =
            why == Why::Finished && !self.recovered.slices.is_empty() && !state.anything_new && !was_waiting;
        let mut remarks = self.remarks;
        remarks.extend(self.opener.remarks(why == Why::Finished && !state.at_limit));
        if let Some(limit) = self.driver.shop.policy.limit.filter(|_| state.at_limit) {
            remarks.push(format!("reading ended at the limit of {limit} items"));
        }
        Ok(Ending {
            why,
            counts,
            settled_now: last.settled_now,
            resumed: self.recovered.resumed,
            nothing_new,
            open,
            remarks,
            last,
        })
    }

    /// Lets attempts in flight end, for a bounded time or until told to stop at once.
    async fn drain(&mut self) {
        self.driver.shop.closing.close();
        let clock = self.driver.shop.clock.clone();
        let until = clock.now() + limits::DRAIN;
        let queue = self.driver.queue.clone();
        let mut stop = self.driver.stop.clone();
        tokio::select! {
            () = queue.idle() => {}
            () = clock.sleep_until(until) => {}
            Ok(_) = stop.wait_for(|s| *s == Stop::Now) => {}
        }
    }

    /// Waits for the last commit; what it says counts.
    async fn close(&mut self) -> Option<EngineError> {
        let mut failed = None;
        while let Some(notice) = self.driver.notices.recv().await {
            match notice {
                Notice::Committed { items, .. } => {
                    let state = &mut self.driver.state;
                    state.window = state.window.saturating_sub(items);
                }
                Notice::Due(_) | Notice::Low(_) => {}
                Notice::Failed(error) => failed = Some(error),
            }
        }
        // The channel is closed, so the thread is at its end.
        let thread = self.committer.take()?;
        match thread.join() {
            Ok(()) => failed,
            Err(_) => Some(EngineError::Fault(Fault::fatal("bug", "the committer panicked"))),
        }
    }
}

fn first_look(view: &View, orders: &Orders, recovered: &Recovered, standing: &Standing) {
    let mut view = view.lock();
    view.source = orders.opener.name().to_owned();
    view.bytes_total = orders.opener.size_hint();
    view.next_due = recovered.next_due;
    for slice in &recovered.slices {
        view.counts.merge(&slice.counts);
        view.bytes_read += slice.bytes;
    }
    view.parked = view.counts.waiting;
    view.read_all = standing.reading.is_empty();
}

fn slots(stages: &[crate::orders::Stage], lanes: &Arc<LaneSet>, meters: &[Arc<Meter>]) -> Vec<Vec<StepSlot>> {
    let mut meters = meters.iter();
    let mut slot = |step: &Arc<dyn haul_core::Step>| {
        let meter = meters.next().cloned().unwrap_or_else(|| Arc::new(Meter::new(step.name())));
        StepSlot { step: step.clone(), lanes: StepLanes::new(lanes.clone(), meter) }
    };
    stages.iter().map(|stage| stage.iter().map(&mut slot).collect()).collect()
}

fn read_so_far(recovered: &Recovered, reading: &[Reading]) -> std::collections::HashMap<SliceId, ReadSoFar> {
    let known = recovered.slices.iter().map(|s| {
        // A slice whose input changed ended where its child begins.
        let mut children = recovered.slices.iter().filter(|c| c.slice.parent == Some(s.slice.id));
        let ended = children.find_map(|child| crate::resume::parent_end(&child.slice));
        let end = ended.map_or(s.keys.max(s.resume.first.0), |end| end.0);
        (s.slice.id, ReadSoFar { items: end, logged: s.keys })
    });
    let mut read: std::collections::HashMap<_, _> = known.collect();
    let before: std::collections::HashSet<_> = recovered.slices.iter().map(|s| s.slice.id).collect();
    // One that this process made, since it found the input changed.
    for r in reading.iter().filter(|r| !before.contains(&r.slice.id)) {
        if let Some(parent) = r.slice.parent.and_then(|p| read.get_mut(&p)) {
            parent.items = crate::resume::parent_end(&r.slice).map_or(parent.items, |end| end.0);
        }
    }
    read
}
