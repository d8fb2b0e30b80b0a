//! An http(s) URL as the place that rows come from.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::lane::Origin;
use haul_core::{Cx, Fault};

use super::client::Client;
use super::headers::HeaderLines;
use super::request::{BodyUse, Call, Method, RequestHeaders};
use super::stream::ByteStream;
use super::url::Url;
use crate::rows;

/// A URL whose body is read as a stream of rows.
pub struct HttpLocation {
    client: Arc<Client>,
    url: Url,
    own: HeaderLines,
    timeout: Duration,
}

static NONE: HeaderLines = HeaderLines::new();

impl HttpLocation {
    /// A location; `timeout` is for the head of the reply, the body may take as long as it comes.
    ///
    /// # Errors
    /// None but a header that cannot be written, which this is not.
    pub fn new(
        client: Arc<Client>,
        url: Url,
        timeout: Duration,
    ) -> Result<Self, super::headers::HeaderError> {
        // Compression is known by content: a coding of the transfer would only be in the way.
        let mut plain = HeaderLines::new();
        plain.push("Accept-Encoding", "identity")?;
        let mut own = HeaderLines::standard("*/*", &plain);
        own.push("Accept-Encoding", "identity")?;
        Ok(HttpLocation { client, url, own, timeout })
    }

    /// Its lane.
    pub fn origin(&self) -> Origin {
        self.url.origin(&"".into())
    }
}

#[async_trait]
impl rows::OpenBytes for HttpLocation {
    async fn open(&self, cx: &Cx<'_>) -> Result<Box<dyn rows::ByteStream>, Fault> {
        let call = Call {
            method: Method::Get,
            url: &self.url,
            headers: RequestHeaders { own: &self.own, idempotency: None, configured: &NONE, secret: &NONE },
            body: None,
            body_use: BodyUse::Keep,
            timeout: self.timeout,
        };
        let stream = self.client.stream(&call, cx.lanes.lane(&self.origin()), cx).await?;
        Ok(Box::new(stream))
    }
}

#[async_trait]
impl rows::ByteStream for ByteStream {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        self.chunk().await
    }
}
