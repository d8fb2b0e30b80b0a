//! What the outside sees of a run: the view, and a row of the `tick` table a second.

use std::sync::atomic::Ordering;
use std::time::Duration;

use haul_core::ledger::{LaneNote, TickRow};

use super::Driver;
use super::admit::HELD_GAP;
use crate::inbox::Note;
use crate::view::AccountView;

/// Retries that are held back for less are not told of.
const HELD_TOLD: Duration = Duration::from_secs(2);

impl Driver {
    /// Publishes the view, and once a second the tick. False: nothing moved since the last time.
    pub(crate) fn publish(&mut self) -> bool {
        let shop = &self.shop;
        shop.lanes.look_at_clocks();
        let mut waiting_for = shop.lanes.waiting_for();
        waiting_for.extend(self.held_back());
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
            view.goal = shop.tally.goal.as_ref().map(|reach| reach.view());
            view.lanes = lanes;
            view.memory = (shop.budget.used(), shop.budget.peak());
            view.memory_limit = shop.budget.limit();
            view.accounts = AccountView::all(&shop.budget);
            view.paused_since = shop.lanes.gate.since();
            view.elapsed_ms = shop.clock.now().since(shop.started).as_millis() as u64;
            (view.settled_now, view.faults)
        };
        self.tick(settled, faults);
        let moved = (settled, requests) != self.state.published;
        self.state.published = (settled, requests);
        moved
    }

    /// Told once nothing is left to read: before that, retries beside other work are no reason to be slow.
    fn held_back(&self) -> Option<String> {
        let held = self.state.held.as_ref().filter(|_| self.reading == 0)?;
        let (now, long) = (self.shop.clock.now(), held.last.since(held.since));
        (long >= HELD_TOLD && now.since(held.last) <= HELD_GAP).then(|| {
            format!(
                "{} fails most of what it is asked again, so retries are sent slowly; {} items wait for their turn",
                held.origin, self.state.parked
            )
        })
    }

    /// Keeps in the ledger whether the goal was met.
    pub(crate) fn note_goal(&self) {
        let Some(g) = self.shop.tally.goal.as_ref().map(|reach| reach.view()).filter(|g| g.items > 0) else {
            return;
        };
        let reason = format!("{}: {} over {} items", g.goal, if g.met { "met" } else { "missed" }, g.items);
        let (at, value) = (self.shop.clock.wall(), g.reached_us as f64 / 1000.0);
        self.shop.inbox.push(Note::Lane(LaneNote { lane: String::new(), at, what: "goal", value, reason }));
    }

    fn tick(&mut self, settled: u64, faults: u64) {
        let now = self.shop.clock.now();
        let last = *self.state.last_tick.get_or_insert(now);
        let span = now.since(last);
        if span < Duration::from_secs(1) {
            return;
        }
        self.state.last_tick = Some(now);
        for note in self.shop.lanes.take_notes() {
            self.shop.inbox.push(Note::Lane(note));
        }
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
