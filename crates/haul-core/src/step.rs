//! What workers do to an item: lookup, map, filter, or an effect.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::cx::Cx;
use crate::fault::Fault;
use crate::item::Item;

/// What a step does to the world: decides delivery, memo, and what may run beside what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Touches nothing outside (map, filter).
    Pure,
    /// Reads from a service; its result is kept as a memo when a later step fails.
    Read,
    /// Writes to a service, and doing it twice is the same as once (put).
    IdempotentWrite,
    /// Writes to a service, and doing it twice may matter (post).
    UnsafeWrite,
}

impl Effect {
    /// True for network writes.
    pub fn is_write(self) -> bool {
        matches!(self, Effect::IdempotentWrite | Effect::UnsafeWrite)
    }
}

/// Where an item goes after a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flow {
    /// To the next step.
    Next,
    /// It needs nothing more; the reason is counted.
    Skip(Arc<str>),
    /// It is done without the steps that follow.
    Done,
}

/// What a step that succeeded leaves.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Where the item goes.
    pub flow: Flow,
    /// A JSON value to attach to the record under the step's name.
    pub attach: Option<Bytes>,
}

impl Applied {
    /// On to the next step, nothing attached.
    pub fn next() -> Self {
        Applied { flow: Flow::Next, attach: None }
    }

    /// On to the next step with a value for the record.
    pub fn attach(value: Bytes) -> Self {
        Applied { flow: Flow::Next, attach: Some(value) }
    }

    /// The item is skipped.
    pub fn skip(why: impl Into<Arc<str>>) -> Self {
        Applied { flow: Flow::Skip(why.into()), attach: None }
    }

    /// The item is done.
    pub fn done() -> Self {
        Applied { flow: Flow::Done, attach: None }
    }
}

/// One step of a job.
#[async_trait]
pub trait Step: Send + Sync {
    /// Unique in the job; names what it attaches.
    fn name(&self) -> &Arc<str>;

    /// What it does to the world.
    fn effect(&self) -> Effect;

    /// Names of record members it reads that other steps attach; `None`: it may read any. Steps that
    /// stand side by side, read, and do not name each other run at the same time.
    fn reads(&self) -> Option<&[Arc<str>]>;

    /// Items that one of its requests may carry. Above 1, `apply` waits a bounded time for company, and
    /// returns what became of its own item alone; the engine has more items in work then.
    fn gathers(&self) -> u32 {
        1
    }

    /// One attempt, any number of requests. Never retries: only the engine does.
    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Result<Applied, Fault>;

    /// The item has failed, and what was kept of it ([`crate::cx::Memo`]) is not gone on with: whatever that
    /// left with others is cleared away.
    async fn abandon(&self, item: &Item, cx: &Cx<'_>) {
        let _ = (item, cx);
    }
}

/// Turns a done item into the row a sink gets: one JSON object, no newline.
pub trait Render: Send + Sync {
    /// Appends the row.
    fn render(&self, item: &Item, out: &mut Vec<u8>) -> Result<(), Fault>;
}
