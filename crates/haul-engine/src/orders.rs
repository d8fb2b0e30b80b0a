//! What the engine is given: live objects and policies, nothing of flags or files.

use std::sync::Arc;
use std::time::Duration;

use haul_core::finish::Finish;
use haul_core::job::{Delivery, Goal, IfChanged, OnInvalid, RetrySpec};
use haul_core::lane::{LanePolicy, Origin};
use haul_core::pace::{Backoff, Concurrency};
use haul_core::rank::Ranks;
use haul_core::step::Render;
use haul_core::{Aggregate, Budget, Opener, Sink, Step, limits};

use haul_core::cx::RunKey;

/// Steps that run side by side on one item.
pub type Stage = Vec<Arc<dyn Step>>;

/// A sink, the name the ledger knows it by, and how a done item becomes a row.
pub struct Output {
    /// Name in the ledger.
    pub name: String,
    /// The file.
    pub sink: Box<dyn Sink>,
    /// Makes rows.
    pub render: Arc<dyn Render>,
}

/// Everything a run needs.
pub struct Orders {
    /// Names the run in idempotency keys.
    pub run: RunKey,
    /// The source.
    pub opener: Arc<dyn Opener>,
    /// What is done to each item: stages in order, the steps of a stage at once. A write stands
    /// alone in its stage.
    pub stages: Vec<Stage>,
    /// Where done items are written.
    pub output: Option<Output>,
    /// Makes visible what the effects of done items have prepared.
    pub finish: Option<Box<dyn Finish>>,
    /// Summaries by name.
    pub aggregates: Vec<(String, Box<dyn Aggregate>)>,
    /// Pace of the origins that the job names. A run ends when one of them refuses from the first
    /// request on; any other fails its own items.
    pub lanes: Vec<(Origin, LanePolicy)>,
    /// Pace of every other origin.
    pub lane_default: LanePolicy,
    /// How urgent items are; None: all alike.
    pub ranks: Option<Arc<dyn Ranks>>,
    /// Byte accounting.
    pub budget: Budget,
    /// Everything else.
    pub policy: Policy,
}

/// Policies of a run.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Attempts and time per item.
    pub retry: RetrySpec,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Latency that is aimed at.
    pub goal: Option<Goal>,
    /// What happens to an effect whose reply was lost.
    pub delivery: Delivery,
    /// Items in work at once: so many when it is fixed, else as many as the lanes have room for.
    pub concurrency: Concurrency,
    /// What to do with bad input.
    pub on_invalid: OnInvalid,
    /// What to do when the input changed since it was last read.
    pub if_changed: IfChanged,
    /// Stop reading after so many items.
    pub limit: Option<u64>,
    /// Keep a log of key hashes, to notice changed input and to skip by key.
    pub key_log: bool,
    /// Items read and not committed.
    pub window_items: usize,
    /// Bytes of records in the window.
    pub window_bytes: usize,
    /// Longest that an outcome waits for company before its commit starts.
    pub linger: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            retry: RetrySpec::default(),
            backoff: Backoff::default(),
            goal: None,
            delivery: Delivery::default(),
            concurrency: Concurrency::default(),
            on_invalid: OnInvalid::default(),
            if_changed: IfChanged::Stop,
            limit: None,
            key_log: true,
            window_items: limits::WINDOW_ITEMS,
            window_bytes: limits::WINDOW_BYTES,
            linger: limits::COMMIT_LINGER,
        }
    }
}
