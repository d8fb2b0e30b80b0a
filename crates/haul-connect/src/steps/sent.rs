//! The body of an effect and the lines that go with it, as it is or compressed.

use bytes::Bytes;

use crate::http::HeaderLines;
use crate::http::encoding::encode_gzip;
use crate::http::headers::HeaderError;

/// Header lines of a step that sends bodies.
pub(super) struct Sent {
    plain: HeaderLines,
    /// With `Content-Encoding`, where bodies are compressed.
    gzip: Option<HeaderLines>,
}

impl Sent {
    /// The lines of a step, unless `configured` says otherwise; `gzip`: bodies are compressed.
    pub(super) fn new(content_type: &str, configured: &HeaderLines, gzip: bool) -> Result<Sent, HeaderError> {
        let mut plain = HeaderLines::standard("application/json", configured);
        if !configured.has("content-type") {
            plain.push("Content-Type", content_type)?;
        }
        let mut encoded = plain.clone();
        encoded.push("Content-Encoding", "gzip")?;
        Ok(Sent { plain, gzip: gzip.then_some(encoded) })
    }

    /// What is sent of a body: as it is, where compressing it saves nothing.
    pub(super) fn encode(&self, body: Bytes) -> (Bytes, &HeaderLines) {
        match self.gzip.as_ref().and_then(|lines| Some((encode_gzip(&body)?, lines))) {
            Some((encoded, lines)) => (encoded.into(), lines),
            None => (body, &self.plain),
        }
    }
}
