//! A bucket's listing, a request at a time.

use std::sync::Arc;

use async_trait::async_trait;
use haul_core::store::{Listed, Listing};
use haul_core::{Cx, Fault};

use super::xml::{self, ListPage};
use super::{Ask, S3};
use crate::http::{BodyUse, Method};

/// Up to a thousand objects at once, in the order of the bytes of their keys.
pub(super) struct S3Listing {
    s3: Arc<S3>,
    bucket: Box<str>,
    prefix: String,
    /// The last key that was listed.
    after: Option<String>,
    /// Objects at once.
    most: &'static str,
    ended: bool,
}

impl S3Listing {
    pub(super) fn new(s3: Arc<S3>, bucket: &str, prefix: String, after: Option<String>) -> Self {
        S3Listing { s3, bucket: bucket.into(), prefix, after, most: "1000", ended: false }
    }

    /// So many objects at once.
    pub(super) fn of(self, most: &'static str) -> Self {
        S3Listing { most, ..self }
    }
}

#[async_trait]
impl Listing for S3Listing {
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Vec<Listed>>, Fault> {
        if self.ended {
            return Ok(None);
        }
        let (bucket, name) = (&self.bucket, self.s3.name());
        let mut query = vec![
            ("encoding-type", "url"),
            ("list-type", "2"),
            ("max-keys", self.most),
            ("prefix", self.prefix.as_str()),
        ];
        query.extend(self.after.as_deref().map(|after| ("start-after", after)));
        let ask = Ask {
            method: Method::Get,
            bucket,
            key: "",
            query: &query,
            headers: &[],
            body: None,
            body_use: BodyUse::Keep,
        };
        let reply = self.s3.send(ask, cx).await?;
        let ListPage { objects, truncated } = xml::list(&reply.body).map_err(|e| {
            Fault::transient("xml", format!("{name}: the listing of {bucket} cannot be read: {e}"))
        })?;
        let keys = || {
            self.after.as_deref().map(str::as_bytes).into_iter().chain(objects.iter().map(|o| &o.key.0[..]))
        };
        if keys().zip(keys().skip(1)).any(|(a, b)| a >= b) || truncated && objects.is_empty() {
            let what = "does not list keys in order, which a copy relies on";
            return Err(Fault::fatal("order", format!("{name}: {bucket} {what}")));
        }
        self.ended = !truncated;
        let Some(last) = objects.last() else { return Ok(None) };
        self.after = Some(last.key.to_string());
        Ok(Some(objects))
    }
}
