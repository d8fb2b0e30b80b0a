//! The lanes of a request that has its permit already.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use haul_core::Fault;
use haul_core::lane::{LaneId, Lanes, Origin, Permit, Saved};
use haul_core::pace::hint::Stated;

/// The first request uses the permit, those after it ask for their own.
pub(crate) struct Granted<'a> {
    lanes: &'a dyn Lanes,
    lane: LaneId,
    permit: Mutex<Option<Permit>>,
    /// The request under way may have been sent.
    pub(crate) sent: AtomicBool,
}

impl<'a> Granted<'a> {
    pub(crate) fn new(lanes: &'a dyn Lanes, permit: Permit) -> Self {
        let lane = permit.lane();
        Granted { lanes, lane, permit: Mutex::new(Some(permit)), sent: AtomicBool::new(false) }
    }

    /// The lane of the permit.
    pub(crate) fn lane(&self) -> LaneId {
        self.lane
    }

    /// The permit, if it is of one of these lanes; of another it would be the wrong one, and is given back.
    fn take(&self, lanes: &[LaneId]) -> Option<Permit> {
        let granted = self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        granted.filter(|permit| lanes.contains(&permit.lane()))
    }
}

#[async_trait]
impl Lanes for Granted<'_> {
    fn lane(&self, origin: &Origin) -> LaneId {
        self.lanes.lane(origin)
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        let permit = match self.take(&[lane]) {
            Some(permit) => permit,
            None => self.lanes.enter(lane).await,
        };
        self.sent.store(true, Ordering::Relaxed);
        permit
    }

    async fn enter_any(&self, lanes: &[LaneId]) -> Permit {
        let permit = match self.take(lanes) {
            Some(permit) => permit,
            None => self.lanes.enter_any(lanes).await,
        };
        self.sent.store(true, Ordering::Relaxed);
        permit
    }

    async fn closed(&self) {
        self.lanes.closed().await;
    }

    fn stated(&self, lane: LaneId, limits: &[Stated]) {
        self.lanes.stated(lane, limits);
    }

    fn saved(&self, how: Saved) {
        self.lanes.saved(how);
    }

    fn failed(&self, fault: &Fault) {
        self.lanes.failed(fault);
    }
}
