//! A source without items: a run that only tries again what its ledger holds does not read a pipe
//! that nobody feeds.

use async_trait::async_trait;
use haul_core::source::Rereading;
use haul_core::{Cursor, Cx, Fault, Opener, Page, Slice, Source};

/// See the module.
pub struct Nothing(pub String);

struct End;

#[async_trait]
impl Source for End {
    async fn next_page(&mut self, _cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        Ok(None)
    }
}

#[async_trait]
impl Opener for Nothing {
    fn slices(&self) -> Vec<Slice> {
        vec![Slice::whole()]
    }

    async fn open(&self, _: &Slice, _: Option<&Cursor>, _: &Cx<'_>) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(End))
    }

    fn rereading(&self) -> Rereading {
        Rereading::Refeed
    }

    fn name(&self) -> &str {
        &self.0
    }
}
