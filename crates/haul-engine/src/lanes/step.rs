//! The lanes as one step sees them: its requests are metered under its name.

use std::sync::Arc;

use async_trait::async_trait;
use haul_core::lane::{LaneEnd, Saved};
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
    pub(crate) async fn permit(&self, lane: LaneId) -> Permit {
        let sent = self.0.set.enter(lane).await;
        Permit::new(lane, sent, self.0.clone())
    }

    /// As [`StepLanes::permit`], of lanes that stand in for each other.
    pub(crate) async fn permit_of(&self, lanes: &[LaneId]) -> Permit {
        let (lane, sent) = self.0.set.enter_any(lanes).await;
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
        self.permit(lane).await
    }

    async fn enter_any(&self, lanes: &[LaneId]) -> Permit {
        self.permit_of(lanes).await
    }

    fn saved(&self, how: Saved) {
        self.0.meter.saved(how);
    }

    fn failed(&self, fault: &Fault) {
        self.0.set.failed(fault);
    }
}
