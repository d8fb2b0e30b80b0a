//! The lanes as one step sees them: its requests are metered under its name.

use std::sync::Arc;

use async_trait::async_trait;
use haul_core::lane::{LaneEnd, Saved};
use haul_core::pace::hint::Stated;
use haul_core::{Fault, LaneId, Lanes, Moment, Origin, Permit, Verdict};

use super::LaneSet;
use crate::meter::Meter;

/// See the module.
pub(crate) struct StepLanes(Arc<StepEnd>);

struct StepEnd {
    set: Arc<LaneSet>,
    meter: Arc<Meter>,
}

impl StepLanes {
    /// All lanes of the run.
    pub(crate) fn set(&self) -> &LaneSet {
        &self.0.set
    }

    pub(crate) fn new(set: Arc<LaneSet>, meter: Arc<Meter>) -> Self {
        StepLanes(Arc::new(StepEnd { set, meter }))
    }

    /// As [`Lanes::enter`], without a future on the heap.
    ///
    /// # Errors
    /// The lane is shut for long.
    pub(crate) async fn permit(&self, lane: LaneId) -> Result<Permit, Fault> {
        let sent = self.0.set.enter(lane, false).await?;
        Ok(Permit::new(lane, sent, self.0.clone()))
    }

    /// As [`StepLanes::permit`], of lanes that stand in for each other.
    ///
    /// # Errors
    /// All of them are shut for long.
    pub(crate) async fn permit_of(&self, lanes: &[LaneId]) -> Result<Permit, Fault> {
        let (lane, sent) = self.0.set.enter_any(lanes, false).await?;
        Ok(Permit::new(lane, sent, self.0.clone()))
    }

    /// Who is patient is never told that a lane is shut.
    fn granted(&self, lane: LaneId, entered: Result<(LaneId, Moment), Fault>) -> Permit {
        let (lane, sent) = entered.unwrap_or_else(|_| (lane, self.0.set.clock.now()));
        Permit::new(lane, sent, self.0.clone())
    }
}

impl LaneEnd for StepEnd {
    fn end(&self, lane: LaneId, sent: Moment, verdict: Option<Verdict>) {
        if let Some(v) = &verdict {
            self.meter.record(v);
        }
        self.set.end(lane, sent, verdict.as_ref());
    }
}

#[async_trait]
impl Lanes for StepLanes {
    fn lane(&self, origin: &Origin) -> LaneId {
        self.0.set.lane_of(origin)
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        // Only sources come this way: they have nothing else to do.
        let entered = self.0.set.enter(lane, true).await;
        self.granted(lane, entered.map(|sent| (lane, sent)))
    }

    fn stated(&self, lane: LaneId, limits: &[Stated]) {
        self.0.set.stated(lane, limits);
    }

    async fn enter_any(&self, lanes: &[LaneId]) -> Permit {
        let first = lanes.first().copied().unwrap_or(LaneId(0));
        self.granted(first, self.0.set.enter_any(lanes, true).await)
    }

    fn saved(&self, how: Saved) {
        self.0.meter.saved(how);
    }

    fn failed(&self, fault: &Fault) {
        self.0.set.failed(fault);
    }
}
