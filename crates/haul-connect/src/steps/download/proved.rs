//! A body that is held to its checksum: its end is handed on only when it is right.

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::store::Content;
use haul_core::{Cx, Fault};

use super::digest::{Checksum, Digests};
use crate::http::Url;
use crate::http::reply::{bounded, origin_of};

/// Holds the last piece back until the checksum is known.
pub(super) struct Proved<'a> {
    content: &'a mut dyn Content,
    digests: Option<Digests>,
    url: &'a Url,
    held: Option<Bytes>,
    crc32c: u32,
}

impl<'a> Proved<'a> {
    pub(super) fn new(content: &'a mut dyn Content, checksum: Option<&Checksum>, url: &'a Url) -> Self {
        Proved { content, digests: Some(Digests::new(checksum)), url, held: None, crc32c: 0 }
    }

    /// Of everything, once its end was handed on.
    pub(super) fn crc32c(&self) -> u32 {
        self.crc32c
    }
}

#[async_trait]
impl Content for Proved<'_> {
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Bytes>, Fault> {
        while let Some(digests) = &mut self.digests {
            if let Some(piece) = self.content.next(cx).await? {
                digests.update(&piece);
                if let Some(before) = self.held.replace(piece) {
                    return Ok(Some(before));
                }
            } else if let Some(digests) = self.digests.take() {
                self.crc32c = digests.finish().map_err(|differs| {
                    let what = bounded(format!("{}: {differs}", self.url));
                    Fault::transient("checksum", what).with_origin(origin_of(self.url))
                })?;
            }
        }
        Ok(self.held.take())
    }
}
