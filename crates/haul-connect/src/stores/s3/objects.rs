//! What can be done with objects: list, read, write in one piece or in parts.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use haul_core::{Cx, Fault};

use super::xml::{self, ListPage};
use super::{Ask, Listed, S3};
use crate::http::{BodyUse, Method, Reply};

/// Fields that are kept with an object, beside `x-amz-meta-…`.
const CARRIED: [&str; 6] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
];

/// An object, or a part of one, that was read.
pub struct Object {
    reply: Reply,
}

impl Object {
    /// Its bytes, as they are stored.
    pub fn bytes(&self) -> &Bytes {
        &self.reply.body
    }

    /// Without quotes.
    pub fn etag(&self) -> &str {
        self.reply.field("etag").unwrap_or_default().trim_matches('"')
    }

    /// What is kept with it: type, cache control, metadata.
    pub fn carried(&self) -> Vec<(String, String)> {
        let fields = self.reply.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        fields.filter(|(n, _)| CARRIED.contains(&n.as_str()) || n.starts_with("x-amz-meta-")).collect()
    }
}

/// A part of an upload that has arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// As the service wrote it.
    pub etag: String,
}

/// True for an ETag that is the MD5 of the bytes, where no more is known of the service.
pub fn is_md5(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|b| b.is_ascii_hexdigit())
}

impl S3 {
    /// Up to a thousand objects whose keys begin with `prefix` and come after `after`, and whether there
    /// are more.
    pub async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        cx: &Cx<'_>,
    ) -> Result<(Vec<Listed>, bool), Fault> {
        let mut query =
            vec![("encoding-type", "url"), ("list-type", "2"), ("max-keys", "1000"), ("prefix", prefix)];
        query.extend(after.map(|after| ("start-after", after)));
        let ask = Ask { query: &query, ..self.ask(Method::Get, bucket, "", BodyUse::Keep) };
        let reply = self.send(ask, cx).await?;
        let ListPage { objects, truncated } = xml::list(&reply.body).map_err(|e| {
            Fault::transient("xml", format!("{}: the listing of {bucket} cannot be read: {e}", self.name()))
        })?;
        let keys = || after.into_iter().chain(objects.iter().map(|o| o.key.as_str()));
        if keys().zip(keys().skip(1)).any(|(a, b)| a >= b) || truncated && objects.is_empty() {
            let what = "does not list keys in order, which a copy relies on";
            return Err(Fault::fatal("order", format!("{}: {bucket} {what}", self.name())));
        }
        Ok((objects, truncated))
    }

    fn ask<'a>(&self, method: Method, bucket: &'a str, key: &'a str, body_use: BodyUse) -> Ask<'a> {
        Ask { method, bucket, key, query: &[], headers: &[], body: None, body_use }
    }

    /// An object, at most 16 MiB of it: `range` has its first and last byte, `etag` which version it is to be.
    pub async fn get(
        &self,
        (bucket, key): (&str, &str),
        range: Option<(u64, u64)>,
        etag: Option<&str>,
        cx: &Cx<'_>,
    ) -> Result<Object, Fault> {
        let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let etag = etag.map(|etag| format!("\"{etag}\""));
        let headers = [("range", range.as_deref()), ("if-match", etag.as_deref())];
        let headers: Vec<(&str, &str)> = headers.iter().filter_map(|(n, v)| Some((*n, (*v)?))).collect();
        let ask = Ask { headers: &headers, ..self.ask(Method::Get, bucket, key, BodyUse::Object) };
        let reply = self.send(ask, cx).await?;
        if range.is_some() && reply.status != 206 {
            let what = format!("{}: {bucket}/{key}: it does not serve parts of objects", self.name());
            return Err(Fault::permanent("range", what));
        }
        Ok(Object { reply })
    }

    /// Writes an object in one piece, its MD5 (`digest`) along; the ETag it got.
    pub async fn put(
        &self,
        (bucket, key): (&str, &str),
        carried: &[(String, String)],
        (body, digest): (&Bytes, &[u8]),
        cx: &Cx<'_>,
    ) -> Result<String, Fault> {
        let md5 = BASE64_STANDARD.encode(digest);
        let mut headers: Vec<(&str, &str)> = borrowed(carried);
        headers.push(("content-md5", &md5));
        let ask = self.ask(Method::Put, bucket, key, BodyUse::Object);
        let reply = self.send(Ask { headers: &headers, body: Some(body), ..ask }, cx).await?;
        Ok(reply.field("etag").unwrap_or_default().trim_matches('"').to_owned())
    }

    /// Copies an object within the store; the ETag it got.
    pub async fn copy(
        &self,
        from: (&str, &str),
        (bucket, key): (&str, &str),
        etag: &str,
        cx: &Cx<'_>,
    ) -> Result<String, Fault> {
        let source = format!("/{}/{}", super::encoded(from.0, false), super::encoded(from.1, true));
        let etag = format!("\"{etag}\"");
        let mut headers = vec![("x-amz-copy-source", source.as_str())];
        if etag.len() > 2 {
            headers.push(("x-amz-copy-source-if-match", &etag));
        }
        let ask = self.ask(Method::Put, bucket, key, BodyUse::Keep);
        let reply = self.send(Ask { headers: &headers, body: Some(&Bytes::new()), ..ask }, cx).await?;
        self.told(&reply, "ETag", key)
    }

    /// What a document says; an error may come with a status of 200.
    fn told(&self, reply: &Reply, element: &str, key: &str) -> Result<String, Fault> {
        let failed =
            |what: &str| Fault::transient("xml", format!("{}: {key}: {what}", self.name())).ambiguous();
        if let Some(code) = xml::element(&reply.body, "Code") {
            return Err(failed(&format!("it failed half-way ({code})")));
        }
        let text =
            xml::element(&reply.body, element).ok_or_else(|| failed(&format!("there is no {element}")))?;
        Ok(text.trim_matches('"').to_owned())
    }

    /// Begins an upload in parts; its id.
    pub async fn begin(
        &self,
        (bucket, key): (&str, &str),
        carried: &[(String, String)],
        cx: &Cx<'_>,
    ) -> Result<String, Fault> {
        let headers = borrowed(carried);
        let ask = self.ask(Method::Post, bucket, key, BodyUse::Keep);
        let ask = Ask { query: &[("uploads", "")], headers: &headers, body: Some(&Bytes::new()), ..ask };
        let reply = self.send(ask, cx).await?;
        self.told(&reply, "UploadId", key)
    }

    /// Sends one part, its MD5 (`digest`) along.
    pub async fn part(
        &self,
        (bucket, key): (&str, &str),
        (upload, number): (&str, u32),
        (body, digest): (&Bytes, &[u8]),
        cx: &Cx<'_>,
    ) -> Result<Part, Fault> {
        let md5 = BASE64_STANDARD.encode(digest);
        let text = number.to_string();
        let query = [("partNumber", text.as_str()), ("uploadId", upload)];
        let ask = self.ask(Method::Put, bucket, key, BodyUse::Object);
        let ask = Ask { query: &query, headers: &[("content-md5", &md5)], body: Some(body), ..ask };
        let reply = self.send(ask, cx).await?;
        Ok(Part { number, etag: reply.field("etag").unwrap_or_default().to_owned() })
    }

    /// Puts the parts together; the ETag of the object.
    pub async fn complete(
        &self,
        (bucket, key): (&str, &str),
        upload: &str,
        parts: &[Part],
        cx: &Cx<'_>,
    ) -> Result<String, Fault> {
        let mut text = String::from("<CompleteMultipartUpload>");
        for part in parts {
            let etag = part.etag.replace('"', "&quot;");
            text.push_str(&format!(
                "<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>",
                part.number
            ));
        }
        text.push_str("</CompleteMultipartUpload>");
        let ask = self.ask(Method::Post, bucket, key, BodyUse::Keep);
        let ask = Ask { query: &[("uploadId", upload)], body: Some(&text.into()), ..ask };
        let reply = self.send(ask, cx).await?;
        self.told(&reply, "ETag", key)
    }

    /// Gives an upload up, with the parts that have arrived.
    pub async fn give_up(&self, (bucket, key): (&str, &str), upload: &str, cx: &Cx<'_>) -> Result<(), Fault> {
        let ask = self.ask(Method::Delete, bucket, key, BodyUse::Drain);
        match self.send(Ask { query: &[("uploadId", upload)], ..ask }, cx).await {
            Err(fault) if fault.status() != Some(404) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Uploads to a key that were begun and not ended: what a crash left.
    pub async fn uploads(&self, (bucket, key): (&str, &str), cx: &Cx<'_>) -> Result<Vec<String>, Fault> {
        let ask = self.ask(Method::Get, bucket, "", BodyUse::Keep);
        match self.send(Ask { query: &[("prefix", key), ("uploads", "")], ..ask }, cx).await {
            Ok(reply) => Ok(xml::uploads(&reply.body, key)),
            // Some stores cannot tell; nothing is lost but the room that such an upload takes.
            Err(fault) if matches!(fault.status(), Some(405 | 501)) => Ok(Vec::new()),
            Err(fault) => Err(fault),
        }
    }
}

fn borrowed(carried: &[(String, String)]) -> Vec<(&str, &str)> {
    carried.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
