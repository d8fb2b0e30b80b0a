//! Lanes for a few requests one after the other: every permit is granted at once.

use std::sync::Arc;

use async_trait::async_trait;
use haul_core::lane::LaneEnd;
use haul_core::{LaneId, Lanes, Moment, Origin, Permit, Verdict};

/// See the module.
#[derive(Default)]
pub struct FreeLanes(std::sync::Mutex<Vec<Origin>>);

struct NoEnd;

impl LaneEnd for NoEnd {
    fn end(&self, _: LaneId, _: Moment, _: Option<Verdict>) {}
}

#[async_trait]
impl Lanes for FreeLanes {
    fn lane(&self, origin: &Origin) -> LaneId {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = known.iter().position(|o| o == origin).unwrap_or_else(|| {
            known.push(origin.clone());
            known.len() - 1
        });
        LaneId(at as u32)
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        Permit::new(lane, Moment(0), Arc::new(NoEnd))
    }
}
