//! A polite stop reaches the workers: requests in flight end, requests that still wait for their
//! permit or slot are not sent.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use haul_core::lane::Saved;
use haul_core::pace::hint::Stated;
use haul_core::{Fault, LaneId, Lanes, Origin, Permit};
use tokio::sync::Notify;

use crate::lanes::StepLanes;

/// Whether the run is being stopped.
#[derive(Default)]
pub(crate) struct Closing {
    closed: AtomicBool,
    wake: Notify,
}

impl Closing {
    /// From now on nothing more is sent.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.wake.notify_waiters();
    }

    /// Returns when nothing more is to be sent.
    pub(crate) async fn wait(&self) {
        loop {
            let woken = self.wake.notified();
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            woken.await;
        }
    }
}

/// The lanes as one attempt at a step sees them.
pub(crate) struct Attempt<'a> {
    lanes: &'a StepLanes,
    closing: &'a Closing,
    held_back: OnceLock<Fault>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(lanes: &'a StepLanes, closing: &'a Closing) -> Self {
        Attempt { lanes, closing, held_back: OnceLock::new() }
    }

    async fn unless_closed(&self, permit: impl Future<Output = Result<Permit, Fault>>) -> Permit {
        if self.closing.closed.load(Ordering::Relaxed) {
            return self.hold_back(stopped()).await;
        }
        tokio::select! {
            biased;
            permit = permit => match permit {
                Ok(permit) => permit,
                Err(shut) => self.hold_back(shut).await,
            },
            () = self.closing.wait() => self.hold_back(stopped()).await,
        }
    }

    /// The attempt's fault when its next request was held back by a stop, or by a lane that is shut for
    /// long: it waits for a permit that does not come, and is to be dropped.
    pub(crate) fn held_back(&self) -> Option<Fault> {
        self.held_back.get().cloned()
    }

    async fn hold_back(&self, why: Fault) -> Permit {
        // The first reason stands.
        let _ = self.held_back.set(why);
        std::future::pending().await
    }
}

fn stopped() -> Fault {
    Fault::transient("stopped", "the run was stopped before this was sent").uncharged()
}

#[async_trait]
impl Lanes for Attempt<'_> {
    fn lane(&self, origin: &Origin) -> LaneId {
        self.lanes.lane(origin)
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        self.unless_closed(self.lanes.permit(lane)).await
    }

    async fn enter_any(&self, lanes: &[LaneId]) -> Permit {
        self.unless_closed(self.lanes.permit_of(lanes)).await
    }

    fn stated(&self, lane: LaneId, limits: &[Stated]) {
        self.lanes.stated(lane, limits);
    }

    fn saved(&self, how: Saved) {
        self.lanes.saved(how);
    }

    async fn closed(&self) {
        self.closing.wait().await;
    }
}
