//! Contents that were begun with, or that are there already.

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::store::Content;
use haul_core::{Cx, Fault};

/// A content whose first piece was looked at.
pub(crate) struct Peeked {
    pub(crate) first: Option<Bytes>,
    pub(crate) rest: Box<dyn Content>,
}

#[async_trait]
impl Content for Peeked {
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Bytes>, Fault> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.rest.next(cx).await,
        }
    }
}

/// A content that is there already.
pub(crate) struct Whole(pub(crate) Option<Bytes>);

#[async_trait]
impl Content for Whole {
    async fn next(&mut self, _: &Cx<'_>) -> Result<Option<Bytes>, Fault> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}
