//! Looking at a run while it works, and telling it what to do. Views never block the engine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::budget::{ACCOUNTS, Account, Budget};
use haul_core::job::Concurrency;
use haul_core::ledger::Change;
use haul_core::pace::Rate;
use haul_core::{Counts, UnixMs};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

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

/// What a person asks of a run while it works.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Send nothing more until it is resumed.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Another pace.
    Tune(Tune),
    /// It is about to be told to stop: only noted.
    Stop(Stop),
}

/// A pace laid over that of a run; what is `None` or empty stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tune {
    /// Ceilings of the rate: of one host (with port, or without where that is clear), or of all.
    pub rates: Vec<(Option<String>, Rate)>,
    /// Requests in flight to each service.
    pub concurrency: Option<Concurrency>,
    /// Bytes held for everything that grows.
    pub memory: Option<u64>,
}

/// An order, who gives it, and where the answer goes.
pub(crate) struct Asked {
    pub(crate) order: Order,
    pub(crate) who: String,
    pub(crate) answer: oneshot::Sender<Result<Vec<Change>, String>>,
}

/// What the outside holds of a run: it can look, and it can tell it what to do.
#[derive(Clone)]
pub struct Handle {
    stop: Arc<watch::Sender<Stop>>,
    orders: mpsc::UnboundedSender<Asked>,
    view: Arc<View>,
}

/// What the engine holds of the same.
pub struct Control {
    pub(crate) stop: watch::Receiver<Stop>,
    pub(crate) orders: mpsc::UnboundedReceiver<Asked>,
    pub(crate) view: Arc<View>,
}

/// Makes the two ends.
pub fn control() -> (Control, Handle) {
    let (tx, rx) = watch::channel(Stop::Go);
    let (orders, asked) = mpsc::unbounded_channel();
    let view = Arc::new(View::default());
    let control = Control { stop: rx, orders: asked, view: view.clone() };
    (control, Handle { stop: Arc::new(tx), orders, view })
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

    /// Gives an order in somebody's name; answers with what changed by it, which is in the ledger with
    /// the next commit.
    ///
    /// # Errors
    /// A sentence for a person: what the order names does not exist, or the run is ending.
    pub async fn order(&self, order: Order, who: &str) -> Result<Vec<Change>, String> {
        let ending = || "the run is ending".to_owned();
        let (answer, answered) = oneshot::channel();
        let asked = Asked { order, who: who.to_owned(), answer };
        self.orders.send(asked).map_err(|_| ending())?;
        answered.await.unwrap_or_else(|_| Err(ending()))
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

/// By aggregate: the values that lead with their counts.
pub type Leading = Vec<(String, Vec<(String, u64)>)>;

/// Everything a progress line, a summary or a status needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
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
    /// Since when a person has it paused.
    pub paused_since: Option<UnixMs>,
    /// Bad input since this process began: the first few items, and the latest.
    pub rejects: Vec<RejectView>,
    /// The latency goal, and whether this process meets it.
    pub goal: Option<GoalView>,
    /// Reasons why nothing moves: `videos:8001 refuses connections since 02:14; probe every 30 s`.
    pub waiting_for: Vec<String>,
    /// Bytes held now by the budget, and the most ever held.
    pub memory: (u64, u64),
    /// Bytes that may be held.
    pub memory_limit: u64,
    /// The same by what bytes are held for; accounts that never held anything are left out.
    pub accounts: Vec<AccountView>,
    /// Durable commits made.
    pub commits: u64,
    /// By aggregate: the values that lead, roughly, with their counts.
    pub leading: Leading,
}

/// An item that was rejected.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectView {
    /// `pairs.csv:1042: user_id "abc" is not an integer`.
    pub message: String,
    /// How many were rejected so far in the whole run, this one included.
    pub count: u64,
}

/// Bytes held for one purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountView {
    /// `items read and not committed`.
    pub name: String,
    /// Bytes held now.
    pub held: u64,
    /// The most ever held.
    pub peak: u64,
}

impl AccountView {
    /// What a budget holds, by account.
    pub(crate) fn all(budget: &Budget) -> Vec<AccountView> {
        let view = |a: &Account| AccountView {
            name: a.as_str().to_owned(),
            held: budget.held(*a),
            peak: budget.peak_of(*a),
        };
        ACCOUNTS.iter().map(view).filter(|a| a.peak > 0).collect()
    }
}

/// A latency goal and what is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GoalView {
    /// `p95 < 5s`.
    pub goal: String,
    /// Whether that share of the items was settled soon enough.
    pub met: bool,
    /// Microseconds from reading to settling that this share needed at most (within 1 %).
    pub reached_us: u64,
    /// Items settled.
    pub items: u64,
}

/// One step's traffic.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
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
    /// Requests not sent because an identical one was in flight.
    pub coalesced: u64,
    /// Requests not sent because their result was kept.
    pub cached: u64,
    /// Latency in microseconds: median, 95th and 99th percentile (within 1 %).
    pub latency_us: (u64, u64, u64),
}

/// One lane's state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneView {
    /// Host and port.
    pub name: String,
    /// Requests in flight.
    pub in_flight: u32,
    /// Most allowed at once.
    pub limit: u32,
    /// Why, when it was found: `all used; replies take 20 ms, 20 ms without load`. Empty: it is fixed.
    pub limit_why: String,
    /// Slots a second, where limited.
    pub rate: Option<f64>,
    /// Why, when the service states it. Empty: the job does.
    pub rate_why: String,
    /// Requests sent.
    pub requests: u64,
    /// Requests that were answered with 429 or 503.
    pub throttled: u64,
}
