//! Looking at a run while it works, and telling it to stop. Views never block the engine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::{Counts, UnixMs};
use tokio::sync::watch;

/// How urgently a run is told to stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stop {
    /// Not at all.
    Go,
    /// Read no more, let attempts in flight end, commit.
    Drain,
    /// Drop attempts in flight; what is committed stays right.
    Now,
}

/// What the outside holds of a run: it can look and it can tell it to stop.
#[derive(Clone)]
pub struct Handle {
    stop: Arc<watch::Sender<Stop>>,
    view: Arc<View>,
}

/// What the engine holds of the same.
pub struct Control {
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) view: Arc<View>,
}

/// Makes the two ends.
pub fn control() -> (Control, Handle) {
    let (tx, rx) = watch::channel(Stop::Go);
    let view = Arc::new(View::default());
    (Control { stop: rx, view: view.clone() }, Handle { stop: Arc::new(tx), view })
}

impl Handle {
    /// Tells the run to stop; a more urgent word replaces a less urgent one.
    pub fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|now| {
            let more = how > *now;
            *now = (*now).max(how);
            more
        });
    }

    /// The state of the run as of its last commit and the last fraction of a second.
    pub fn snapshot(&self) -> Snapshot {
        let mut now = self.view.lock().clone();
        // A parked item that is being tried again is in the window and has a row: counted once.
        now.counts.waiting = now.read.saturating_sub(now.counts.settled()).max(now.parked);
        now
    }
}

/// The shared, last published state.
#[derive(Default)]
pub(crate) struct View(Mutex<Snapshot>);

impl View {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // A panicked view must not stop the engine: the numbers are plain data.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything a progress line, a summary or a status needs.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What messages call the source.
    pub source: String,
    /// Counts of the whole run as committed; `waiting` are parked items plus the open window.
    pub counts: Counts,
    /// Items of the whole run read so far.
    pub read: u64,
    /// Items settled by this process.
    pub settled_now: u64,
    /// Items set aside until they are due.
    pub parked: u64,
    /// Earliest time one of them is due.
    pub next_due: Option<UnixMs>,
    /// Items read and not committed.
    pub window: u64,
    /// Items being worked on.
    pub in_work: u64,
    /// Bytes of input behind the last page read.
    pub bytes_read: u64,
    /// Bytes of the whole input, where known.
    pub bytes_total: Option<u64>,
    /// True when the source is at its end.
    pub read_all: bool,
    /// Milliseconds since this process began.
    pub elapsed_ms: u64,
    /// Attempts that ended in a fault, and were parked or failed.
    pub faults: u64,
    /// Attempts that were retries.
    pub retries: u64,
    /// Requests not sent because a memo had their result.
    pub memo_saved: u64,
    /// Per step, in order.
    pub steps: Vec<StepView>,
    /// Per lane, in order of first use.
    pub lanes: Vec<LaneView>,
    /// Reasons why nothing moves: `videos:8001 refuses connections since 02:14; probe every 30 s`.
    pub waiting_for: Vec<String>,
    /// Bytes held now by the budget, and the most ever held.
    pub memory: (u64, u64),
    /// Durable commits made.
    pub commits: u64,
}

/// One step's traffic.
#[derive(Clone, Debug, Default)]
pub struct StepView {
    /// Name of the step.
    pub name: String,
    /// Requests sent.
    pub requests: u64,
    /// Bytes received on the wire.
    pub wire_in: u64,
    /// Bytes received, decoded.
    pub decoded_in: u64,
    /// Bytes sent.
    pub wire_out: u64,
    /// Latency in microseconds: median, 95th and 99th percentile (within 1 %).
    pub latency_us: (u64, u64, u64),
}

/// One lane's state.
#[derive(Clone, Debug, Default)]
pub struct LaneView {
    /// Host and port.
    pub name: String,
    /// Requests in flight.
    pub in_flight: u32,
    /// Most allowed at once.
    pub limit: u32,
    /// Slots a second, where limited.
    pub rate: Option<f64>,
    /// Requests sent.
    pub requests: u64,
    /// Requests that were answered with 429 or 503.
    pub throttled: u64,
}
