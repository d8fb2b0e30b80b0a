//! Objects in parts.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::cx::hex;
use haul_core::limits::COPY_PART;
use haul_core::store::{Address, Content, Meta, Part, Parts, Receipt, Upload};
use haul_core::{Cx, Fault, Key};
use md5::{Digest, Md5};

use super::bucket::Bucket;
use super::{Ask, xml};
use crate::http::{BodyUse, Method};

/// What the service takes at most.
const PARTS: u64 = 10_000;

#[async_trait]
impl Parts for Bucket {
    fn part_len(&self, len: u64) -> u64 {
        // As large as is needed to be no more than the service takes.
        COPY_PART.max(len.div_ceil(PARTS).next_multiple_of(1 << 20))
    }

    async fn begin(&self, key: &Key, meta: &Meta, cx: &Cx<'_>) -> Result<Box<str>, Fault> {
        let key = self.key(key)?;
        let carried = Self::carried(meta);
        let headers: Vec<(&str, &str)> =
            carried.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let ask = self.ask(Method::Post, key, BodyUse::Keep);
        let ask = Ask { query: &[("uploads", "")], headers: &headers, body: Some(&Bytes::new()), ..ask };
        let reply = self.s3.send(ask, cx).await?;
        Ok(self.s3.told(&reply, "UploadId", key)?.into())
    }

    async fn part(
        &self,
        upload: Upload<'_>,
        (number, len): (u32, u64),
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<Part, Fault> {
        let text = number.to_string();
        let query = [("partNumber", text.as_str()), ("uploadId", upload.id)];
        let ask = Ask { query: &query, ..self.ask(Method::Put, self.key(upload.key)?, BodyUse::Object) };
        let meta = Meta { len, ..Meta::default() };
        let (reply, md5) = self.send_body(ask, (&meta, &[]), content, cx).await?;
        self.confirm(&reply, (&md5, &meta), upload.key)?;
        let version = reply.field("etag").unwrap_or_default().into();
        Ok(Part { number, len, version, md5: Some(md5) })
    }

    async fn part_of(
        &self,
        upload: Upload<'_>,
        number: u32,
        (from, range): (&Address, Range<u64>),
        cx: &Cx<'_>,
    ) -> Result<Part, Fault> {
        let (text, etag) = (number.to_string(), format!("\"{}\"", from.version));
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let query = [("partNumber", text.as_str()), ("uploadId", upload.id)];
        let mut headers = vec![("x-amz-copy-source", &*from.path), ("x-amz-copy-source-range", &bytes)];
        if !from.version.is_empty() {
            headers.push(("x-amz-copy-source-if-match", &etag));
        }
        let key = self.key(upload.key)?;
        let ask = self.ask(Method::Put, key, BodyUse::Keep);
        let ask = Ask { query: &query, headers: &headers, body: Some(&Bytes::new()), ..ask };
        let reply = self.s3.send(ask, cx).await?;
        let version = format!("\"{}\"", self.s3.told(&reply, "ETag", key)?).into();
        Ok(Part { number, len: range.end - range.start, version, md5: None })
    }

    async fn arrived(&self, upload: Upload<'_>, cx: &Cx<'_>) -> Result<Option<Vec<Part>>, Fault> {
        let (key, mut parts) = (self.key(upload.key)?, Vec::<Part>::new());
        loop {
            let after = parts.last().map_or(0, |part| part.number).to_string();
            let query = [("part-number-marker", after.as_str()), ("uploadId", upload.id)];
            let ask = Ask { query: &query, ..self.ask(Method::Get, key, BodyUse::Keep) };
            let reply = match self.s3.send(ask, cx).await {
                Err(fault) if fault.status() == Some(404) => return Ok(None),
                reply => reply?,
            };
            let (page, truncated) = xml::parts(&reply.body);
            let ends = page.is_empty() || !truncated;
            parts.extend(page);
            if ends {
                return Ok(Some(parts));
            }
        }
    }

    async fn complete(&self, upload: Upload<'_>, parts: &[Part], cx: &Cx<'_>) -> Result<Receipt, Fault> {
        let mut text = String::from("<CompleteMultipartUpload>");
        for part in parts {
            let etag = part.version.replace('"', "&quot;");
            text.push_str(&format!(
                "<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>",
                part.number
            ));
        }
        text.push_str("</CompleteMultipartUpload>");
        let key = self.key(upload.key)?;
        let ask = self.ask(Method::Post, key, BodyUse::Keep);
        let ask = Ask { query: &[("uploadId", upload.id)], body: Some(&text.into()), ..ask };
        let reply = self.s3.send(ask, cx).await?;
        let version = self.s3.told(&reply, "ETag", key)?;
        let confirmed = composed(parts).is_some_and(|etag| etag == version);
        let len = parts.iter().map(|part| part.len).sum();
        Ok(Receipt { len, confirmed, version: version.into(), ..Receipt::default() })
    }

    async fn give_up(&self, upload: Upload<'_>, cx: &Cx<'_>) -> Result<(), Fault> {
        let ask = self.ask(Method::Delete, self.key(upload.key)?, BodyUse::Drain);
        match self.s3.send(Ask { query: &[("uploadId", upload.id)], ..ask }, cx).await {
            Err(fault) if fault.status() != Some(404) => Err(fault),
            _ => Ok(()),
        }
    }

    async fn open_uploads(&self, key: &Key, cx: &Cx<'_>) -> Result<Vec<Box<str>>, Fault> {
        let key = self.key(key)?;
        let ask = self.ask(Method::Get, "", BodyUse::Keep);
        match self.s3.send(Ask { query: &[("prefix", key), ("uploads", "")], ..ask }, cx).await {
            Ok(reply) => Ok(xml::uploads(&reply.body, key).into_iter().map(Into::into).collect()),
            // Some stores cannot tell; nothing is lost but the room that such an upload takes.
            Err(fault) if matches!(fault.status(), Some(405 | 501)) => Ok(Vec::new()),
            Err(fault) => Err(fault),
        }
    }
}

/// The ETag that services make of the digests of parts, where all are known.
fn composed(parts: &[Part]) -> Option<String> {
    let mut all = Md5::new();
    for part in parts {
        all.update(part.md5?);
    }
    Some(format!("{}-{}", hex(&all.finalize()), parts.len()))
}
