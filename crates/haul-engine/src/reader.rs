//! Pulls pages from the source, one slice after the other, a page ahead of the window.

use std::sync::Arc;

use haul_core::cx::RunKey;
use haul_core::source::Slice;
use haul_core::{Budget, Clock, Cursor, Cx, Fault, FaultClass, Opener, Page, Seq, SliceId, Source};
use tokio::sync::mpsc;

use crate::lanes::StepLanes;
use crate::resume::{Opened, PartPage, Reading};

/// Attempts at one page before the run stops (it can be resumed).
const ATTEMPTS: u32 = 10;

/// What the reader brings.
pub(crate) enum Read {
    /// A page; `passed` items at its beginning are known and not in it.
    Page { slice: SliceId, start: Option<Cursor>, first: Seq, passed: u64, page: Page },
    /// A slice is at its end.
    End(SliceId),
    /// It cannot be read on.
    Failed(Fault),
}

/// What a source needs to reach.
pub(crate) struct SourceCx {
    pub(crate) lanes: StepLanes,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) budget: Budget,
    pub(crate) run: RunKey,
}

impl SourceCx {
    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx { lanes: &self.lanes, clock: &*self.clock, budget: &self.budget, run: &self.run }
    }
}

/// Reads every slice to its end, or until nobody listens.
pub(crate) async fn read(
    opener: Arc<dyn Opener>,
    reading: Vec<Reading>,
    scx: SourceCx,
    out: mpsc::Sender<Read>,
) {
    for reading in reading {
        let id = reading.slice.id;
        let end = match slice(&*opener, reading, &scx, &out).await {
            Ok(true) => Read::End(id),
            Ok(false) => return,
            Err(fault) => Read::Failed(fault),
        };
        if out.send(end).await.is_err() {
            return;
        }
    }
}

/// `Ok(false)`: nobody listens any more.
async fn slice(
    opener: &dyn Opener,
    reading: Reading,
    scx: &SourceCx,
    out: &mpsc::Sender<Read>,
) -> Result<bool, Fault> {
    let Reading { slice, from, first, opened, .. } = reading;
    let Opened { mut source, page, at } = match opened {
        Some(opened) => opened,
        None => {
            let source = open(opener, &slice, from.as_ref(), scx).await?;
            Opened { source, page: None, at: from }
        }
    };
    let (mut at, mut first) = (at, first);
    if let Some(PartPage { start, passed, page }) = page {
        let (items, next) = (page.items.len() as u64, page.next.clone());
        let read = Read::Page { slice: slice.id, start, first: Seq(first.0 - passed), passed, page };
        if out.send(read).await.is_err() {
            return Ok(false);
        }
        first = Seq(first.0 + items);
        at = Some(next);
    }
    while let Some(page) = next_page(&mut *source, &scx.cx()).await? {
        let (items, next) = (page.items.len() as u64, page.next.clone());
        let read = Read::Page { slice: slice.id, start: at, first, passed: 0, page };
        if out.send(read).await.is_err() {
            return Ok(false);
        }
        first = Seq(first.0 + items);
        at = Some(next);
    }
    Ok(true)
}

async fn open(
    opener: &dyn Opener,
    slice: &Slice,
    from: Option<&Cursor>,
    scx: &SourceCx,
) -> Result<Box<dyn Source>, Fault> {
    let mut attempt = 0;
    loop {
        match opener.open(slice, from, &scx.cx()).await {
            Ok(source) => return Ok(source),
            Err(fault) => back_off(fault, &mut attempt, &scx.cx()).await?,
        }
    }
}

/// The next page; backs off and calls again while the fault is transient.
pub(crate) async fn next_page(source: &mut dyn Source, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
    let mut attempt = 0;
    loop {
        match source.next_page(cx).await {
            Ok(page) => return Ok(page),
            Err(fault) => back_off(fault, &mut attempt, cx).await?,
        }
    }
}

async fn back_off(fault: Fault, attempt: &mut u32, cx: &Cx<'_>) -> Result<(), Fault> {
    *attempt += 1;
    cx.lanes.failed(&fault);
    let hopeless = matches!(fault.class(), FaultClass::Fatal | FaultClass::Permanent);
    if hopeless || *attempt >= ATTEMPTS {
        return Err(fault);
    }
    let jittered = haul_core::pace::Backoff::default().wait(*attempt, fastrand::f64());
    let wait = fault.retry_after().unwrap_or_default().max(jittered);
    cx.clock.sleep_until(cx.clock.now() + wait).await;
    Ok(())
}
