//! How many slices wait for a permit, and how many use one: what decides whether more are opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use haul_core::lane::Saved;
use haul_core::pace::hint::Stated;
use haul_core::{Fault, LaneId, Lanes, Origin, Permit};
use tokio::sync::Notify;

use crate::lanes::StepLanes;

/// Counts of all slices.
#[derive(Default)]
pub(super) struct Traffic(Arc<Counts>);

#[derive(Default)]
struct Counts {
    asking: AtomicUsize,
    sent: AtomicUsize,
    moved: Notify,
}

impl Traffic {
    /// A page is about to be asked for.
    pub(super) fn ask(&self) -> Asking {
        self.0.asking.fetch_add(1, Relaxed);
        Asking { counts: self.0.clone(), sent: AtomicBool::new(false) }
    }

    /// Pages that wait for their permit.
    pub(super) fn asking(&self) -> usize {
        self.0.asking.load(Relaxed)
    }

    /// Pages on their way.
    pub(super) fn sent(&self) -> usize {
        self.0.sent.load(Relaxed)
    }

    /// Returns after a permit was granted.
    pub(super) async fn moved(&self) {
        self.0.moved.notified().await;
    }
}

/// One page being asked for, until it came or failed.
pub(super) struct Asking {
    counts: Arc<Counts>,
    sent: AtomicBool,
}

impl Asking {
    /// The lanes, which tell when the permit was granted.
    pub(super) fn lanes<'a>(&'a self, lanes: &'a StepLanes) -> AskingLanes<'a> {
        AskingLanes { asking: self, lanes }
    }

    fn granted(&self) {
        if !self.sent.swap(true, Relaxed) {
            self.counts.asking.fetch_sub(1, Relaxed);
            self.counts.sent.fetch_add(1, Relaxed);
            self.counts.moved.notify_one();
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let count = if *self.sent.get_mut() { &self.counts.sent } else { &self.counts.asking };
        count.fetch_sub(1, Relaxed);
    }
}

/// The lanes as one page sees them.
pub(super) struct AskingLanes<'a> {
    asking: &'a Asking,
    lanes: &'a StepLanes,
}

#[async_trait]
impl Lanes for AskingLanes<'_> {
    fn lane(&self, origin: &Origin) -> LaneId {
        self.lanes.lane(origin)
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        let permit = self.lanes.enter(lane).await;
        self.asking.granted();
        permit
    }

    async fn enter_any(&self, lanes: &[LaneId]) -> Permit {
        let permit = self.lanes.enter_any(lanes).await;
        self.asking.granted();
        permit
    }

    fn saved(&self, how: Saved) {
        self.lanes.saved(how);
    }

    fn stated(&self, lane: LaneId, limits: &[Stated]) {
        self.lanes.stated(lane, limits);
    }

    fn failed(&self, fault: &Fault) {
        self.lanes.failed(fault);
    }
}
