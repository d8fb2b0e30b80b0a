//! Looks on while a probe works: when items pass, how much of the input they stand for, how large their
//! rows are. Nothing that passes is changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use haul_core::sink::Row;
use haul_core::source::{Extent, Rereading};
use haul_core::{
    Applied, Cursor, Cx, Effect, Fault, Fingerprint, Item, Mark, Opener, Page, Sink, Slice, Source, Step,
};
use haul_engine::Handle;
use haul_engine::view::Stop;

use super::course::Course;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// When an item passed the first step.
    pub passed: Course,
    /// When a page came.
    pub paged: Course,
    /// Records in the pages.
    pub records: u64,
    /// How much of the input the pages stand for.
    pub units: u64,
    /// Bytes of rows.
    pub row_bytes: u64,
}

/// Shared by everything that looks on.
#[derive(Clone, Debug, Default)]
pub struct Eyes(Arc<Mutex<Seen>>);

impl Eyes {
    fn see(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at how items pass, or at how pages come.
    pub fn course<T>(&self, pages: bool, look: impl FnOnce(&Course) -> T) -> T {
        let seen = self.see();
        look(if pages { &seen.paged } else { &seen.passed })
    }

    /// What was seen; nothing is left.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.see())
    }
}

/// A step whose items are noted as they pass.
pub struct Passing {
    pub step: Arc<dyn Step>,
    pub eyes: Eyes,
}

#[async_trait]
impl Step for Passing {
    fn name(&self) -> &Arc<str> {
        self.step.name()
    }

    fn effect(&self) -> Effect {
        self.step.effect()
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        self.step.reads()
    }

    fn gathers(&self) -> u32 {
        self.step.gathers()
    }

    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Result<Applied, Fault> {
        let applied = self.step.apply(item, cx).await;
        if applied.is_ok() {
            self.eyes.see().passed.note();
        }
        applied
    }
}

/// A source whose pages are noted; after so many of them the run is told to stop.
pub struct Paging {
    pub opener: Arc<dyn Opener>,
    pub eyes: Eyes,
    pub most: Option<usize>,
    pub handle: Handle,
}

#[async_trait]
impl Opener for Paging {
    fn slices(&self) -> Vec<Slice> {
        self.opener.slices()
    }

    async fn open(
        &self,
        slice: &Slice,
        from: Option<&Cursor>,
        cx: &Cx<'_>,
    ) -> Result<Box<dyn Source>, Fault> {
        let source = self.opener.open(slice, from, cx).await?;
        let (eyes, handle) = (self.eyes.clone(), self.handle.clone());
        Ok(Box::new(PagingSource { source, eyes, most: self.most, handle }))
    }

    async fn fingerprint(&self, upto: &Cursor, cx: &Cx<'_>) -> Result<Fingerprint, Fault> {
        self.opener.fingerprint(upto, cx).await
    }

    fn remembered(&self, cursor: &Cursor) -> Fingerprint {
        self.opener.remembered(cursor)
    }

    fn rereading(&self) -> Rereading {
        self.opener.rereading()
    }

    fn name(&self) -> &str {
        self.opener.name()
    }

    fn size_hint(&self) -> Option<u64> {
        self.opener.size_hint()
    }

    fn positions_are_global(&self) -> bool {
        self.opener.positions_are_global()
    }

    fn remarks(&self, at_end: bool) -> Vec<String> {
        self.opener.remarks(at_end)
    }
}

struct PagingSource {
    source: Box<dyn Source>,
    eyes: Eyes,
    most: Option<usize>,
    handle: Handle,
}

#[async_trait]
impl Source for PagingSource {
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let page = self.source.next_page(cx).await?;
        if let Some(page) = &page {
            let mut seen = self.eyes.see();
            seen.paged.note();
            seen.records += page.items.len() as u64;
            seen.units += page.bytes;
            if self.most.is_some_and(|most| seen.paged.len() >= most) {
                self.handle.stop(Stop::Now);
            }
        }
        Ok(page)
    }

    fn extent(&self) -> Option<Arc<dyn Extent>> {
        self.source.extent()
    }
}

/// A sink that only measures what it is given.
pub struct Scales(pub Eyes);

impl Sink for Scales {
    fn append(&mut self, rows: &[Row]) -> Result<(), Fault> {
        self.0.see().row_bytes += rows.iter().map(|row| row.0.len() as u64 + 1).sum::<u64>();
        Ok(())
    }

    fn sync(&mut self) -> Result<Mark, Fault> {
        Ok(Mark::default())
    }

    fn cut(&mut self, _to: &Mark) -> Result<(), Fault> {
        Ok(())
    }
}
