//! A polite stop reaches the workers: requests in flight end, requests that still wait for their
//! permit or slot are not sent.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use haul_core::lane::Saved;
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
    held_back: AtomicBool,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(lanes: &'a StepLanes, closing: &'a Closing) -> Self {
        Attempt { lanes, closing, held_back: AtomicBool::new(false) }
    }

    async fn unless_closed(&self, permit: impl Future<Output = Permit>) -> Permit {
        if self.closing.closed.load(Ordering::Relaxed) {
            self.held_back.store(true, Ordering::Relaxed);
            return std::future::pending().await;
        }
        tokio::select! {
            biased;
            permit = permit => permit,
            () = self.closing.wait() => {
                self.held_back.store(true, Ordering::Relaxed);
                std::future::pending().await
            }
        }
    }

    /// The attempt's fault when its next request was held back by a stop: it waits for a permit that
    /// will never come, and is to be dropped.
    pub(crate) fn held_back(&self) -> Option<Fault> {
        let held = self.held_back.load(Ordering::Relaxed);
        held.then(|| Fault::transient("stopped", "the run was stopped before this was sent").uncharged())
    }
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

    fn saved(&self, how: Saved) {
        self.lanes.saved(how);
    }

    async fn closed(&self) {
        self.closing.wait().await;
    }
}
