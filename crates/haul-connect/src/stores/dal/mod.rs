//! Stores of other providers: Google Cloud Storage, Azure Blob Storage and WebDAV, by OpenDAL.
//!
//! OpenDAL makes, signs and understands requests; they are sent by the client of the run ([`wire`]), so that pace,
//! breakers, retries and what is never shown are as everywhere. It takes keys for paths: what it would
//! change is refused, and so the object fails; nothing is left out of a listing.

mod holes;
mod listing;
mod meta;
mod service;
mod wire;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haul_core::cx::hex;
use haul_core::job::{StoreKind, StoreSpec};
use haul_core::lane::Origin;
use haul_core::store::{Content, Listing, Meta, Receipt, Store};
use haul_core::{Cx, Fault, Key};
use opendal::options::{ReaderOptions, WriteOptions};
use opendal::raw::{OpCreateDir, OpDelete, OpRead, OpReader, OpRename, OpStat, OpWrite};
use opendal::{BytesRange, Metadata, Operator};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::http::url::UrlError;
use crate::http::{Client, Url};
use crate::stores::checked::Checked;
use crate::stores::{Spill, Whole};
use listing::{Entries, Sorted};
use meta::{carried, md5_of, meta_of, version_of};
use wire::{Bodies, Failed, Http, Relay, Taken};

/// What Azure takes in one piece.
const AZURE_BYTES: u64 = 5000 << 20;
/// Where unfinished objects of WebDAV are; no key leads there.
const PART_DIR: &str = ".haul-part/";

/// A bucket, a container or a directory.
pub struct Dal {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    kind: StoreKind,
    bucket: Box<str>,
    spec: StoreSpec,
    endpoint: Url,
    http: Http,
    operator: OnceCell<Operator>,
    /// Where listings are sorted that do not fit into memory.
    spill: Spill,
    /// It is not to be made.
    exists: bool,
    /// The directory for unfinished objects is there.
    part_dir: OnceCell<()>,
}

impl Dal {
    /// Nothing is sent yet, and no secret is read.
    ///
    /// # Errors
    /// When its endpoint is no URL.
    pub fn new(
        name: &str,
        bucket: &str,
        spec: &StoreSpec,
        client: Arc<Client>,
        timeout: Duration,
    ) -> Result<Dal, UrlError> {
        let endpoint = Url::parse(&service::endpoint(spec))?;
        let inner = Inner {
            name: format!("{name}:{bucket}"),
            kind: spec.kind,
            bucket: bucket.into(),
            spec: spec.clone(),
            endpoint,
            http: Http::new(name.into(), client, timeout),
            operator: OnceCell::new(),
            spill: Spill::default(),
            exists: false,
            part_dir: OnceCell::new(),
        };
        Ok(Dal { inner: Arc::new(inner) })
    }

    /// The same, and what does not fit into memory goes there.
    #[must_use]
    pub fn spilling(mut self, spill: &Spill) -> Dal {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.spill = spill.clone();
        }
        self
    }

    /// The same, and listing it is a fault when it is a directory that is not there.
    #[must_use]
    pub fn existing(mut self) -> Dal {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.exists = true;
        }
        self
    }

    /// The origin of its lane.
    pub fn origin(&self) -> Origin {
        self.inner.endpoint.origin(&self.inner.http.name)
    }
}

impl Inner {
    /// Made when it is first needed: the secret is read then.
    async fn operator(&self) -> Result<&Operator, Fault> {
        self.operator.get_or_try_init(|| service::operator(&self.http.name, &self.bucket, &self.spec)).await
    }

    fn fault(&self, failed: Failed) -> Fault {
        failed.fault(&self.name)
    }

    /// A key that OpenDAL and the service keep as it is.
    fn key<'a>(&self, key: &'a Key) -> Result<&'a str, Fault> {
        let wrong =
            |why: &str| Fault::permanent("key", format!("{}: \"{key}\" cannot be a key: {why}", self.name));
        let text = std::str::from_utf8(&key.0).map_err(|_| wrong("it is not UTF-8"))?;
        if text.ends_with('/') {
            return Err(wrong("it ends with a slash, as directories do"));
        }
        let mut parts = text.split('/');
        if text.is_empty() || parts.clone().any(str::is_empty) {
            return Err(wrong("a part of it is empty"));
        }
        if parts.any(|part| matches!(part, "." | "..")) {
            return Err(wrong("it leads elsewhere"));
        }
        if text.trim() != text {
            return Err(wrong("it begins or ends with a space"));
        }
        if text.len() > 1024 {
            return Err(wrong("it is longer than 1,024 bytes"));
        }
        if self.kind == StoreKind::Webdav && text.starts_with(PART_DIR) {
            return Err(wrong("it is kept for Haul"));
        }
        Ok(text)
    }

    async fn stat(&self, path: &str, cx: &Cx<'_>) -> Result<Option<Metadata>, Fault> {
        let (operator, mut relay) = (self.operator().await?, Relay::new());
        let context = relay.context();
        let stat = operator.base_service().stat_dyn(&context, path, OpStat::new());
        match relay.run(&self.http, stat, Bodies::None, cx).await {
            Ok(reply) => Ok(Some(reply.into_metadata())),
            Err(failed) if failed.is_nothing() => Ok(None),
            Err(failed) => Err(self.fault(failed)),
        }
    }

    async fn delete(&self, path: &str, cx: &Cx<'_>) -> Result<(), Fault> {
        let (operator, mut relay) = (self.operator().await?, Relay::new());
        let context = relay.context();
        let delete = async {
            let mut deleter = operator.base_service().delete_dyn(&context)?;
            deleter.delete_dyn(path, OpDelete::new()).await?;
            deleter.close_dyn().await
        };
        relay.run(&self.http, delete, Bodies::None, cx).await.map_err(|failed| self.fault(failed))
    }

    /// Writes an object under a path, in one piece; what the service says of it.
    async fn write(
        &self,
        path: &str,
        (len, options): (u64, WriteOptions),
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<Metadata, Fault> {
        let (operator, mut relay) = (self.operator().await?, Relay::new());
        let (context, service) = (relay.context(), operator.base_service());
        let write = async {
            let (args, _) = OpWrite::from_options(&service.capability_dyn(), options)?;
            let mut writer = service.write_dyn(&context, path, args)?;
            if len > 0 {
                writer.write_dyn(holes::hole(len)).await?;
            }
            writer.close_dyn().await
        };
        relay.run(&self.http, write, Bodies::Send(content), cx).await.map_err(|failed| self.fault(failed))
    }

    /// Gives what was written to one path of WebDAV, so many bytes, another.
    async fn rename(&self, from: &str, (to, len): (&str, u64), cx: &Cx<'_>) -> Result<(), Fault> {
        // A server replaces a directory as willingly as a file.
        if self.stat(to, cx).await?.is_some_and(|there| there.is_dir()) {
            let what = format!("{}: \"{to}\" is a directory there", self.name);
            return Err(Fault::permanent("key", what));
        }
        let (operator, mut relay) = (self.operator().await?, Relay::new());
        let context = relay.context();
        let rename = operator.base_service().rename_dyn(&context, from, to, OpRename::new());
        let renamed = relay.run(&self.http, rename, Bodies::None, cx).await;
        renamed.map_err(|failed| self.fault(failed))?;
        // Some servers cut a name at a question mark, and say that all is well.
        match self.stat(to, cx).await? {
            Some(there) if there.content_length() == len => Ok(()),
            _ => {
                let what = "is not there after it was written: the server has no such names";
                Err(Fault::permanent("key", format!("{}: \"{to}\" {what}", self.name)))
            }
        }
    }

    /// Makes sure that there is a directory for unfinished objects.
    async fn make_part_dir(&self, cx: &Cx<'_>) -> Result<(), Fault> {
        let make = async || {
            let (operator, mut relay) = (self.operator().await?, Relay::new());
            let context = relay.context();
            let make = operator.base_service().create_dir_dyn(&context, PART_DIR, OpCreateDir::new());
            let made = relay.run(&self.http, make, Bodies::None, cx).await;
            made.map(|_| ()).map_err(|failed| self.fault(failed))
        };
        self.part_dir.get_or_try_init(make).await?;
        Ok(())
    }
}

/// What an unfinished object is called: the next attempt of the same run writes over it.
fn part_name(key: &Key, cx: &Cx<'_>) -> String {
    let digest = Sha256::new().chain_update(cx.run.0).chain_update(&key.0).finalize();
    hex(&digest[..16])
}

#[async_trait]
impl Store for Dal {
    fn name(&self) -> &str {
        &self.inner.name
    }

    async fn list(&self, prefix: &Key, after: Option<&Key>, cx: &Cx<'_>) -> Result<Box<dyn Listing>, Fault> {
        // A bucket that is not there is refused; of a directory there is nothing to list.
        let looked = self.inner.exists && self.inner.kind == StoreKind::Webdav;
        if looked && self.inner.stat("/", cx).await?.is_none() {
            let what = format!("{}: there is no such directory", self.inner.name);
            return Err(Fault::fatal("read", what));
        }
        let entries = Entries::new(Arc::clone(&self.inner), prefix, after)?;
        Ok(match self.inner.kind {
            StoreKind::Webdav => Box::new(Sorted::new(entries)),
            _ => Box::new(entries),
        })
    }

    async fn head(&self, key: &Key, cx: &Cx<'_>) -> Result<Option<Meta>, Fault> {
        let found = self.inner.stat(self.inner.key(key)?, cx).await?;
        Ok(found.filter(|said| !said.is_dir()).map(|said| meta_of(&said)))
    }

    async fn open(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
        cx: &Cx<'_>,
    ) -> Result<Option<(Meta, Box<dyn Content>)>, Fault> {
        let inner = &*self.inner;
        let path = inner.key(key)?;
        let Some(said) = inner.stat(path, cx).await?.filter(|said| !said.is_dir()) else { return Ok(None) };
        let meta = meta_of(&said);
        let part = range.map(|range| range.start..range.end.min(meta.len));
        if part.as_ref().is_some_and(Range::is_empty) {
            return Ok(Some((meta, Box::new(Whole(None)))));
        }
        // What comes is what was said to be there.
        let mut options = ReaderOptions::default();
        match inner.kind {
            StoreKind::Gcs => options.if_version_match = said.version().map(str::to_owned),
            _ => options.if_match = said.etag().filter(|etag| etag.starts_with('"')).map(str::to_owned),
        }
        let (args, _): (OpRead, OpReader) = options.into();
        let range = part.clone().map_or_else(BytesRange::default, BytesRange::from);
        let (operator, mut relay, mut slot) = (inner.operator().await?, Relay::new(), None);
        let context = relay.context();
        let read = async {
            let reader = operator.base_service().read_dyn(&context, path, args)?;
            reader.open_dyn(range).await.map(|_| ())
        };
        match relay.run(&inner.http, read, Bodies::Take(&mut slot), cx).await {
            Ok(()) => {}
            Err(failed) if failed.is_nothing() => return Ok(None),
            Err(failed) => return Err(inner.fault(failed)),
        }
        match slot {
            Some(Taken { status, content }) if part.is_none() || status == 206 => Ok(Some((meta, content))),
            _ => {
                let what = format!("{}: {key}: it does not serve parts of objects", inner.name);
                Err(Fault::permanent("range", what))
            }
        }
    }

    async fn put(
        &self,
        key: &Key,
        meta: &Meta,
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<Receipt, Fault> {
        let inner = &*self.inner;
        let path = inner.key(key)?;
        if inner.kind == StoreKind::Azblob && meta.len > AZURE_BYTES {
            return Err(Fault::permanent(
                "too_large",
                format!("{}: {key}: larger than 5,000 MiB", inner.name),
            ));
        }
        let (options, dropped) = carried(inner.kind, meta);
        let mut checked = Checked::new(content, meta).by_md5();
        if meta.len == 0 {
            // Nothing asks for the end of it, which has to be right.
            checked.next(cx).await?;
        }
        let written = if inner.kind == StoreKind::Webdav {
            // Servers show what they have of an object while it comes; the name is given when it is complete.
            inner.make_part_dir(cx).await?;
            let part = format!("{PART_DIR}{}", part_name(key, cx));
            let written = inner.write(&part, (meta.len, options), &mut checked, cx).await;
            let named = match written {
                Ok(written) => inner.rename(&part, (path, meta.len), cx).await.map(|()| written),
                Err(fault) => Err(fault),
            };
            if named.is_err() {
                // The next attempt writes over it.
                let _ = inner.delete(&part, cx).await;
            }
            named?
        } else {
            inner.write(path, (meta.len, options), &mut checked, cx).await?
        };
        let sent = checked.passed().md5.unwrap_or_default();
        let told = written.content_md5().and_then(md5_of);
        if let Some(told) = told.filter(|told| *told != sent) {
            let what = format!("holds the MD5 {} and was sent {}", hex(&told), hex(&sent));
            return Err(Fault::transient("checksum", format!("{}: {key}: it {what}", inner.name)));
        }
        let version = version_of(&written);
        Ok(Receipt { len: meta.len, crc32c: None, confirmed: told.is_some(), version, dropped })
    }

    async fn delete(&self, key: &Key, cx: &Cx<'_>) -> Result<bool, Fault> {
        // Services answer alike whether there was one.
        if self.head(key, cx).await?.is_none() {
            return Ok(false);
        }
        self.inner.delete(self.inner.key(key)?, cx).await.map(|()| true)
    }

    fn lists_at_once(&self) -> bool {
        self.inner.kind != StoreKind::Webdav
    }

    fn keeps_headers(&self) -> bool {
        self.inner.kind != StoreKind::Webdav
    }
}
