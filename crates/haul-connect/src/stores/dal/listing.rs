//! Listings by OpenDAL: in the order of keys, or brought into it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use haul_core::job::StoreKind;
use haul_core::limits::LISTED;
use haul_core::store::{Listed, Listing};
use haul_core::{Cx, Fault, Key};
use opendal::options::ListOptions;
use opendal::{Entry, Lister};

use super::meta::meta_of;
use super::wire::{Bodies, Relay};
use super::{Inner, PART_DIR};
use crate::stores::sorted::Sorter;

/// Objects as the service lists them.
pub(super) struct Entries {
    inner: Arc<Inner>,
    prefix: String,
    /// The last that was listed, or where to begin.
    after: Option<Key>,
    lister: Option<(Lister, Relay)>,
    /// This lister has come past what was listed before.
    passed: bool,
    ended: bool,
}

impl Entries {
    pub(super) fn new(inner: Arc<Inner>, prefix: &Key, after: Option<&Key>) -> Result<Self, Fault> {
        let wrong = |why: &str| {
            Fault::permanent("prefix", format!("{}: \"{prefix}\" cannot be a prefix: {why}", inner.name))
        };
        let text = std::str::from_utf8(&prefix.0).map_err(|_| wrong("it is not UTF-8"))?;
        if text.trim() != text || text.starts_with('/') || text.contains("//") {
            return Err(wrong("it has an empty part, or begins or ends with a space"));
        }
        let prefix = text.to_owned();
        Ok(Entries { inner, prefix, after: after.cloned(), lister: None, passed: false, ended: false })
    }

    /// Where the service begins: what it does not know of prefixes is left out here.
    async fn open(&self) -> Result<(Lister, Relay), Fault> {
        let operator = self.inner.operator().await?.clone();
        let relay = Relay::new();
        let path = match self.inner.kind {
            StoreKind::Webdav => self.prefix.rfind('/').map_or("", |at| &self.prefix[..=at]),
            _ => &self.prefix,
        };
        let start = self.after.as_ref().filter(|_| self.inner.kind == StoreKind::Gcs);
        let options = ListOptions {
            recursive: true,
            start_after: start.map(ToString::to_string),
            ..ListOptions::default()
        };
        let lister = operator.with_context(relay.context()).lister_options(path, options).await;
        let lister =
            lister.map_err(|e| Fault::permanent("store", format!("{}: {}", self.inner.name, e.message())))?;
        Ok((lister, relay))
    }

    async fn entry(&mut self, cx: &Cx<'_>) -> Result<Option<Entry>, Fault> {
        let (mut lister, mut relay) = match self.lister.take() {
            Some(open) => open,
            None => {
                self.passed = false;
                self.open().await?
            }
        };
        let next = async { lister.next().await.transpose() };
        // After an error it begins anew, after what was listed.
        let entry = relay.run(&self.inner.http, next, Bodies::None, cx).await;
        let entry = entry.map_err(|failed| self.inner.fault(failed))?;
        self.lister = Some((lister, relay));
        Ok(entry)
    }

    /// An entry as an object; none for what is no object, or not asked for.
    fn object(&self, entry: &Entry) -> Option<Listed> {
        let (path, said) = (entry.path(), entry.metadata());
        let is_webdav = self.inner.kind == StoreKind::Webdav;
        // In a directory, directories are no objects; elsewhere an object has such a name.
        let is_object = !(is_webdav && (said.is_dir() || path.starts_with(PART_DIR)) || path == "/");
        let key = Key::from(path.to_owned());
        (is_object && path.starts_with(&self.prefix)).then(|| Listed { key, meta: meta_of(said) })
    }

    /// The next objects in the order of the service; none at the end.
    async fn page(&mut self, in_order: bool, cx: &Cx<'_>) -> Result<Vec<Listed>, Fault> {
        let mut found = Vec::new();
        while found.len() < LISTED && !self.ended {
            let entry = match self.entry(cx).await {
                Ok(entry) => entry,
                // It is met again by the next call, which goes on after these.
                Err(_) if in_order && !found.is_empty() => break,
                Err(fault) => return Err(fault),
            };
            let Some(entry) = entry else {
                self.ended = true;
                break;
            };
            let Some(object) = self.object(&entry) else { continue };
            if in_order {
                if self.after.as_ref().is_some_and(|after| object.key <= *after) {
                    if self.passed {
                        let what = "does not list keys in order, which a copy relies on";
                        return Err(Fault::fatal("order", format!("{} {what}", self.inner.name)));
                    }
                    continue;
                }
                self.passed = true;
                self.after = Some(object.key.clone());
            }
            found.push(object);
        }
        Ok(found)
    }
}

#[async_trait]
impl Listing for Entries {
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Vec<Listed>>, Fault> {
        let found = self.page(true, cx).await?;
        Ok((!found.is_empty()).then_some(found))
    }
}

/// Objects of a service that lists them in no order.
pub(super) struct Sorted {
    entries: Entries,
    sorter: Sorter,
    sorted: bool,
}

impl Sorted {
    pub(super) fn new(entries: Entries) -> Self {
        let sorter = Sorter::new(&entries.inner.spill);
        Sorted { entries, sorter, sorted: false }
    }

    /// Reads the listing to its end.
    async fn sort(&mut self, cx: &Cx<'_>) -> Result<(), Fault> {
        loop {
            let page = match self.entries.page(false, cx).await {
                Ok(page) => page,
                Err(fault) => {
                    // What came of it is listed again.
                    self.sorter = Sorter::new(&self.entries.inner.spill);
                    return Err(fault);
                }
            };
            if page.is_empty() {
                return self.sorter.finish();
            }
            let after = self.entries.after.as_ref();
            for object in page.into_iter().filter(|o| after.is_none_or(|after| o.key > *after)) {
                self.sorter.add(object)?;
            }
        }
    }
}

#[async_trait]
impl Listing for Sorted {
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Vec<Listed>>, Fault> {
        if !self.sorted {
            self.sort(cx).await?;
            self.sorted = true;
        }
        let found = self.sorter.next(LISTED)?;
        Ok((!found.is_empty()).then_some(found))
    }
}
