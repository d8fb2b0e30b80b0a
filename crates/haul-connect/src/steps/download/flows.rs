//! What comes of large files, by the origin it comes from: what decides over how many connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use haul_core::Moment;
use haul_core::limits::LANES;
use haul_core::pace::Spread;

use super::depot::lock;
use crate::http::Url;

/// All origins from which large files come.
#[derive(Default)]
pub(super) struct Flows(Mutex<HashMap<String, Arc<Flow>>>);

/// One of them.
#[derive(Default)]
pub(super) struct Flow {
    came: AtomicU64,
    /// Connections over which large files come.
    open: AtomicU32,
    /// These, and those that wait for their turn.
    asked: AtomicU32,
    spread: Mutex<Spread>,
}

impl Flows {
    /// That of a URL.
    pub(super) fn of(&self, url: &Url) -> Arc<Flow> {
        let mut flows = lock(&self.0);
        if flows.len() >= LANES {
            // What nobody uses is found anew.
            flows.retain(|_, flow| Arc::strong_count(flow) > 1);
        }
        Arc::clone(flows.entry(url.base().to_string()).or_default())
    }
}

impl Flow {
    /// Bytes came.
    pub(super) fn came(&self, bytes: usize) {
        self.came.fetch_add(bytes as u64, Relaxed);
    }

    /// How many connections there should be.
    pub(super) fn look(&self, now: Moment) -> u32 {
        lock(&self.spread).look(now, self.came.load(Relaxed), self.open.load(Relaxed))
    }

    /// A connection did not get what it asked for.
    pub(super) fn refused(&self, now: Moment) {
        lock(&self.spread).refused(now);
    }

    /// Connections that there are, or that wait for their turn.
    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Relaxed)
    }

    /// Counts a connection for as long as it lives.
    pub(super) fn ask(self: &Arc<Self>) -> Counted {
        Counted::new(self, |flow| &flow.asked)
    }

    /// The same, from when something comes over it.
    pub(super) fn open(self: &Arc<Self>) -> Counted {
        Counted::new(self, |flow| &flow.open)
    }
}

/// One in a count.
pub(super) struct Counted {
    flow: Arc<Flow>,
    count: fn(&Flow) -> &AtomicU32,
}

impl Counted {
    fn new(flow: &Arc<Flow>, count: fn(&Flow) -> &AtomicU32) -> Self {
        count(flow).fetch_add(1, Relaxed);
        Counted { flow: Arc::clone(flow), count }
    }

    /// Where it is counted.
    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.count)(&self.flow).fetch_sub(1, Relaxed);
    }
}
