//! A bucket as a store.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use haul_core::cx::hex;
use haul_core::lane::Origin;
use haul_core::store::{Address, Content, Finder, Listing, Md5, Meta, Parts, Receipt, Store};
use haul_core::{Cx, Fault, Key};

use super::comparing::Comparing;
use super::listing::S3Listing;
use super::{Ask, S3, encoded, xml};
use crate::http::pull::{Answer, PIECE};
use crate::http::url::UrlError;
use crate::http::{BodyUse, Method, Reply};
use crate::stores::Whole;
use crate::stores::checked::{Checked, check};

/// Fields that are kept with an object, beside metadata.
const CARRIED: [&str; 6] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
];
/// How the service writes metadata, and we.
const METADATA: (&str, &str) = ("x-amz-meta-", "meta-");

/// A bucket of a service.
pub struct Bucket {
    pub(super) s3: Arc<S3>,
    pub(super) bucket: Box<str>,
    name: String,
    comparing: Comparing,
}

impl Bucket {
    /// Nothing is sent yet.
    pub fn new(s3: Arc<S3>, bucket: &str) -> Self {
        let name = format!("{}:{bucket}", s3.name());
        Bucket { name, s3, bucket: bucket.into(), comparing: Comparing::default() }
    }

    /// The origin of its lane.
    ///
    /// # Errors
    /// The bucket cannot be part of a host name.
    pub fn origin(&self) -> Result<Origin, UrlError> {
        self.s3.origin(&self.bucket)
    }

    /// A request about a key, without anything else.
    pub(super) fn ask<'a>(&'a self, method: Method, key: &'a str, body_use: BodyUse) -> Ask<'a> {
        Ask { method, bucket: &self.bucket, key, query: &[], headers: &[], body: None, body_use }
    }

    /// A key as text, which the service needs; at most 1,024 bytes of it.
    pub(super) fn key<'a>(&self, key: &'a Key) -> Result<&'a str, Fault> {
        let wrong =
            |why: &str| Fault::permanent("key", format!("{}: \"{key}\" cannot be a key: {why}", self.name));
        let text = std::str::from_utf8(&key.0).map_err(|_| wrong("it is not UTF-8"))?;
        match text.len() {
            0 => Err(wrong("it is empty")),
            1..=1024 => Ok(text),
            _ => Err(wrong("it is longer than 1,024 bytes")),
        }
    }

    /// What the service is told to keep.
    pub(super) fn carried(meta: &Meta) -> Carried {
        let mut carried = Carried::default();
        for (name, value) in &meta.headers {
            match name.strip_prefix(METADATA.1) {
                Some(own) => carried.fields.push((format!("{}{own}", METADATA.0), value.to_string())),
                None if CARRIED.contains(&&**name) => {
                    carried.fields.push((name.to_string(), value.to_string()))
                }
                None => carried.dropped.push(name.clone()),
            }
        }
        carried
    }

    /// Sends a body to where `ask` says, small ones in one go with their MD5; the reply, and the MD5 of what
    /// was sent.
    pub(super) async fn send_body(
        &self,
        mut ask: Ask<'_>,
        (meta, fields): (&Meta, &[(String, String)]),
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<(Reply, Md5), Fault> {
        let mut headers: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        // The service compares it before anything is visible.
        let compared = meta.md5.filter(|_| self.comparing.is_known());
        let mut checked = match compared {
            Some(_) => Checked::new(content, meta).by_length(),
            None => Checked::new(content, meta).by_md5(),
        };
        let digest = |checked: &Checked<'_>| compared.or(checked.passed().md5).unwrap_or_default();
        if meta.len <= PIECE as u64 {
            let body = gathered(meta.len, &mut checked, cx).await?;
            let md5 = digest(&checked);
            if meta.md5.is_some() && compared.is_none() && self.comparing.is_due() {
                let ask = Ask { headers: &headers, body: Some(&body), ..ask };
                if let Some(reply) = self.find_out(ask, &md5, cx).await {
                    return Ok((reply, md5));
                }
            }
            let text = BASE64_STANDARD.encode(md5);
            headers.push(("content-md5", &text));
            (ask.headers, ask.body) = (&headers, Some(&body));
            return Ok((self.s3.send(ask, cx).await?, md5));
        }
        let text = meta.md5.map(|md5| BASE64_STANDARD.encode(md5));
        headers.extend(text.as_deref().map(|text| ("content-md5", text)));
        ask.headers = &headers;
        let reply = self.s3.push(ask, (meta.len, &mut checked), cx).await?;
        check(&checked.passed(), meta)?;
        Ok((reply, digest(&checked)))
    }

    /// Sends a body with an MD5 that is not its own ([`comparing`](super::comparing)); the reply, if it was taken.
    async fn find_out(&self, ask: Ask<'_>, md5: &Md5, cx: &Cx<'_>) -> Option<Reply> {
        let mut other = *md5;
        other[0] ^= 1;
        let text = BASE64_STANDARD.encode(other);
        let headers: Vec<_> = ask.headers.iter().copied().chain([("content-md5", text.as_str())]).collect();
        let answer = self.s3.ask(&Ask { headers: &headers, ..ask }, cx).await;
        let code = |reply: &Reply| xml::element(&reply.body, "Code");
        let (found, reply) = match answer {
            Ok((reply, _)) if (200..300).contains(&reply.status) => (Some(false), Some(reply)),
            Ok((reply, _)) if code(&reply).as_deref() == Some("BadDigest") => (Some(true), None),
            // It is refused, but not for that.
            Ok((reply, _)) if reply.status == 400 => (Some(false), None),
            _ => (None, None),
        };
        self.comparing.found(found);
        reply
    }
}

/// A small body as a whole.
async fn gathered(len: u64, checked: &mut Checked<'_>, cx: &Cx<'_>) -> Result<Bytes, Fault> {
    let first = checked.next(cx).await?.unwrap_or_default();
    let Some(second) = checked.next(cx).await? else { return Ok(first) };
    let mut body = BytesMut::with_capacity(usize::try_from(len).unwrap_or(PIECE).min(PIECE));
    body.extend_from_slice(&first);
    body.extend_from_slice(&second);
    while let Some(piece) = checked.next(cx).await? {
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// What goes along with an object.
#[derive(Default)]
pub(super) struct Carried {
    pub(super) fields: Vec<(String, String)>,
    pub(super) dropped: Vec<Box<str>>,
}

/// The MD5 that an ETag is, where no more is known of the service.
pub(super) fn md5_of(etag: &str) -> Option<Md5> {
    let mut md5 = [0; 16];
    if etag.len() != 32 {
        return None;
    }
    for (byte, two) in md5.iter_mut().zip(etag.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()?;
    }
    Some(md5)
}

pub(super) fn etag(reply: &Reply) -> &str {
    reply.field("etag").unwrap_or_default().trim_matches('"')
}

/// Encrypted objects have ETags that look like an MD5, and are none.
pub(super) fn is_encrypted(reply: &Reply) -> bool {
    reply.field("x-amz-server-side-encryption").is_some_and(|how| how.starts_with("aws:kms"))
        || reply.field("x-amz-server-side-encryption-customer-algorithm").is_some()
}

/// What replies say that an object has besides, and no put carries: it is counted as dropped.
const BESIDE: [(&str, &str); 3] = [
    ("x-amz-tagging-count", "tags"),
    ("x-amz-storage-class", "storage-class"),
    ("x-amz-website-redirect-location", "website-redirect"),
];

/// What a head says of an object, of which the reply may be a part.
fn meta_of(reply: &Reply, length: Option<u64>) -> Meta {
    let whole = reply.field("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    let modified = reply.field("last-modified").and_then(|date| httpdate::parse_http_date(date).ok());
    let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (name, value) in reply.fields() {
        let name = name.to_ascii_lowercase();
        let beside = BESIDE.iter().find(|(header, _)| *header == name);
        match (name.strip_prefix(METADATA.0), beside) {
            (Some(own), _) => headers.push((format!("{}{own}", METADATA.1).into(), value.into())),
            (None, Some((_, what))) => headers.push(((*what).into(), value.into())),
            (None, None) if CARRIED.contains(&name.as_str()) => headers.push((name.into(), value.into())),
            (None, None) => {}
        }
    }
    headers.sort();
    Meta {
        len: whole.or(length).unwrap_or_default(),
        modified_ns: since.and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or_default(),
        version: etag(reply).into(),
        md5: md5_of(etag(reply)).filter(|_| !is_encrypted(reply)),
        headers,
    }
}

/// True for an object that is not there; a bucket that is not there is another matter.
fn is_nothing(reply: &Reply) -> bool {
    reply.status == 404 && xml::element(&reply.body, "Code").is_none_or(|code| code == "NoSuchKey")
}

#[async_trait]
impl Finder for Bucket {
    async fn first_after(&self, prefix: &Key, text: &Key, cx: &Cx<'_>) -> Result<Option<Key>, Fault> {
        let (prefix, after) = (prefix.to_string(), Some(text.to_string()));
        let mut listing = S3Listing::new(Arc::clone(&self.s3), &self.bucket, prefix, after).of("1");
        Ok(listing.next(cx).await?.and_then(|objects| objects.into_iter().next()).map(|object| object.key))
    }
}

#[async_trait]
impl Store for Bucket {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&self, prefix: &Key, after: Option<&Key>, _: &Cx<'_>) -> Result<Box<dyn Listing>, Fault> {
        let text = |key: &Key| String::from_utf8_lossy(&key.0).into_owned();
        Ok(Box::new(S3Listing::new(Arc::clone(&self.s3), &self.bucket, text(prefix), after.map(text))))
    }

    async fn head(&self, key: &Key, cx: &Cx<'_>) -> Result<Option<Meta>, Fault> {
        let ask = self.ask(Method::Head, self.key(key)?, BodyUse::Nothing);
        match self.s3.ask(&ask, cx).await? {
            (reply, _) if (200..300).contains(&reply.status) => {
                let length = reply.field("content-length").and_then(|n| n.parse().ok());
                Ok(Some(meta_of(&reply, length)))
            }
            (reply, _) if is_nothing(&reply) => Ok(None),
            (_, refused) => Err(refused.fault()),
        }
    }

    async fn open(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
        cx: &Cx<'_>,
    ) -> Result<Option<(Meta, Box<dyn Content>)>, Fault> {
        let range = range.map(|r| format!("bytes={}-{}", r.start, r.end.saturating_sub(1)));
        let headers: Vec<(&str, &str)> = range.iter().map(|range| ("range", range.as_str())).collect();
        let ask = Ask { headers: &headers, ..self.ask(Method::Get, self.key(key)?, BodyUse::Object) };
        let is_part = |reply: &Reply| match range.is_none() || reply.status == 206 {
            true => Ok(()),
            false => {
                let what = format!("{}: {key}: it does not serve parts of objects", self.name);
                Err(Fault::permanent("range", what))
            }
        };
        if self.s3.is_watched() {
            let reply = self.s3.send(ask, cx).await?;
            is_part(&reply)?;
            let meta = meta_of(&reply, Some(reply.body.len() as u64));
            return Ok(Some((meta, Box::new(Whole(Some(reply.body))))));
        }
        match self.s3.pull(&ask, cx).await? {
            (Answer::Body(pulled), _) => {
                is_part(&pulled.reply)?;
                let Some(length) = pulled.length else {
                    let what = format!("{}: {key}: it does not say how long it is", self.name);
                    return Err(Fault::permanent("length", what));
                };
                Ok(Some((meta_of(&pulled.reply, Some(length)), pulled)))
            }
            (Answer::Reply(reply), _) if is_nothing(&reply) => Ok(None),
            (Answer::Reply(_), refused) => Err(refused.fault()),
        }
    }

    async fn put(
        &self,
        key: &Key,
        meta: &Meta,
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<Receipt, Fault> {
        let carried = Self::carried(meta);
        let ask = self.ask(Method::Put, self.key(key)?, BodyUse::Object);
        let (reply, md5) = self.send_body(ask, (meta, &carried.fields), content, cx).await?;
        let confirmed = self.confirm(&reply, (&md5, meta), key)?;
        let version = etag(&reply).into();
        Ok(Receipt { len: meta.len, crc32c: None, confirmed, version, dropped: carried.dropped })
    }

    async fn delete(&self, key: &Key, cx: &Cx<'_>) -> Result<bool, Fault> {
        // Services answer alike whether there was one.
        if self.head(key, cx).await?.is_none() {
            return Ok(false);
        }
        self.s3.send(self.ask(Method::Delete, self.key(key)?, BodyUse::Drain), cx).await?;
        Ok(true)
    }

    fn parts(&self) -> Option<&dyn Parts> {
        Some(self)
    }

    fn finder(&self) -> Option<&dyn Finder> {
        Some(self)
    }

    fn address(&self, key: &Key) -> Option<Address> {
        let key = self.key(key).ok()?;
        let path = format!("/{}/{}", encoded(&self.bucket, false), encoded(key, true)).into();
        Some(Address { service: self.s3.name.clone(), path, version: "".into() })
    }

    async fn copy(&self, from: &Address, to: &Key, cx: &Cx<'_>) -> Result<Receipt, Fault> {
        let etag = format!("\"{}\"", from.version);
        let mut headers = vec![("x-amz-copy-source", &*from.path)];
        if !from.version.is_empty() {
            headers.push(("x-amz-copy-source-if-match", &etag));
        }
        let key = self.key(to)?;
        let ask = self.ask(Method::Put, key, BodyUse::Keep);
        let reply = self.s3.send(Ask { headers: &headers, body: Some(&Bytes::new()), ..ask }, cx).await?;
        let version = self.s3.told(&reply, "ETag", key)?.into();
        Ok(Receipt { confirmed: true, version, ..Receipt::default() })
    }
}

impl Bucket {
    /// Whether the service holds what was sent, as far as it says so.
    pub(super) fn confirm(
        &self,
        reply: &Reply,
        (md5, meta): (&Md5, &Meta),
        key: &Key,
    ) -> Result<bool, Fault> {
        let told = md5_of(etag(reply)).filter(|_| !is_encrypted(reply));
        let compared = meta.len <= PIECE as u64 || meta.md5.is_some();
        match told {
            Some(told) if told == *md5 => Ok(true),
            // Some services encrypt, and have another ETag; they compared the MD5 that was sent along.
            Some(_) if compared => Ok(false),
            Some(told) => {
                let what = format!("holds the MD5 {} and was sent {}", hex(&told), hex(md5));
                Err(Fault::transient("checksum", format!("{}: {key}: it {what}", self.name)))
            }
            None => Ok(false),
        }
    }
}
