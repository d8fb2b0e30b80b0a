//! `copy`: an object from one store to another, or within one.
//!
//! Objects pass piece by piece; large ones go in parts where the destination takes them so, several at
//! once, and how many pieces are held in all is bounded. What arrives is compared with the digest that the
//! source says, before the put completes; what the destination says it holds, with what was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use haul_core::limits::{COPIED_BYTES, COPIED_PART, COPY_PARTS, OBJECT_BYTES};
use haul_core::record::write_json_string;
use haul_core::step::{Applied, Effect, Step};
use haul_core::store::{Address, Content, Meta, Part, Parts, Receipt, Upload};
use haul_core::{Cx, Fault, FaultClass, Item, Key};
use serde::{Deserialize, Serialize};

use super::content_type::content_type;
use super::download::kind::{self, Found};
use super::room::Room;
use crate::stores::{Peeked, Place};

/// A type that cannot be told by first bytes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is no type that is known by its first bytes: name it like png, jpg, mp4 or pdf")]
pub struct UnknownType(String);

/// A copy.
pub struct Copy {
    name: Arc<str>,
    from: Place,
    to: Place,
    types: Vec<String>,
    /// For what is on its way.
    room: Room,
}

/// How sure it is that the bytes are the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verified {
    /// As many bytes.
    Size,
    /// The destination says a digest of what it holds, and it is that of what was sent.
    Sent,
    /// And what was sent has the digest that the source says.
    Md5,
    /// The store copied them itself.
    Store,
}

impl Verified {
    fn as_str(self) -> &'static str {
        match self {
            Verified::Size => "size",
            Verified::Sent => "md5 of what was sent",
            Verified::Md5 => "md5",
            Verified::Store => "by the store",
        }
    }
}

/// An object that was copied.
struct Copied {
    receipt: Receipt,
    verified: Verified,
}

/// An object to be copied.
struct Object<'a> {
    key: &'a Key,
    /// As the listing has it.
    len: u64,
    version: String,
    /// It was listed at the destination as well.
    there: bool,
    /// Of an earlier attempt.
    note: Option<Note>,
}

/// What is kept of an object that goes in parts.
#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
struct Note {
    /// What the service calls it; `None`: it was about to begin.
    upload: Option<String>,
    /// Of the source.
    version: String,
    /// Length of a part.
    part: u64,
}

impl Note {
    fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

impl Copy {
    /// A step that copies the keys of `from` to `to`, if they are of one of these types; any will do when
    /// there are none.
    ///
    /// # Errors
    /// A type whose first bytes nobody knows.
    pub fn new(
        name: impl Into<Arc<str>>,
        from: Place,
        to: Place,
        types: &[String],
    ) -> Result<Self, UnknownType> {
        let types: Vec<String> = types.iter().map(|t| t.to_ascii_lowercase()).collect();
        match types.iter().find(|t| !kind::is_known(t)) {
            Some(unknown) => Err(UnknownType(unknown.clone())),
            None => Ok(Copy { name: name.into(), from, to, types, room: Room::default() }),
        }
    }

    /// Ends the copy of an object that is of another type, before anything is written.
    fn check_type(&self, key: &Key, bytes: &[u8]) -> Result<(), Fault> {
        if self.types.is_empty() {
            return Ok(());
        }
        let found = kind::look(&bytes[..bytes.len().min(kind::LOOKED_AT)]);
        if self.types.iter().any(|t| kind::check(t, found).is_ok()) {
            return Ok(());
        }
        let (wanted, from) = (self.types.join(" or "), &self.from);
        let is = match found {
            _ if bytes.is_empty() => "empty".to_owned(),
            Found::Page(what) | Found::Type(what) => format!("{what}, by its first bytes"),
            Found::Unknown => "of no known type".to_owned(),
        };
        Err(Fault::permanent("type", format!("{from}: {key} is {is}: it should be {wanted}")))
    }

    /// Where the destination finds an object to copy it by itself.
    fn address(&self, object: &Object<'_>, to: &Key) -> Option<Address> {
        let from = self.from.store.address(object.key)?;
        let is_one = self.to.store.address(to)?.service == from.service;
        is_one.then(|| Address { version: object.version.as_str().into(), ..from })
    }

    /// What the source has under a key, or the first bytes of it.
    async fn open(
        &self,
        key: &Key,
        range: Option<std::ops::Range<u64>>,
        cx: &Cx<'_>,
    ) -> Result<(Meta, Box<dyn Content>), Fault> {
        let opened = self.from.store.open(key, range, cx).await?;
        opened.ok_or_else(|| {
            Fault::permanent("gone", format!("{}: {key} is not there any more", self.from)).with_status(404)
        })
    }

    /// As [`Copy::open`], of the right type by its first bytes.
    async fn opened(
        &self,
        key: &Key,
        range: Option<std::ops::Range<u64>>,
        cx: &Cx<'_>,
    ) -> Result<(Meta, Peeked), Fault> {
        let (mut meta, mut rest) = self.open(key, range, cx).await?;
        let first = rest.next(cx).await?;
        let bytes = first.as_deref().unwrap_or_default();
        self.check_type(key, bytes)?;
        let unknown = || meta.headers.iter().all(|(name, _)| &**name != "content-type");
        if self.to.store.keeps_headers() && unknown() {
            let kind = content_type(key, bytes).map(|kind| ("content-type".into(), kind.into()));
            meta.headers.extend(kind);
        }
        Ok((meta, Peeked { first, rest }))
    }

    async fn whole(&self, object: &Object<'_>, to: &Key, cx: &Cx<'_>) -> Result<Copied, Fault> {
        let _room = self.room.enter(object.len, cx).await;
        let (meta, mut content) = self.opened(object.key, None, cx).await?;
        let receipt = self.to.store.put(to, &meta, &mut content, cx).await?;
        let verified = match receipt.confirmed {
            true if meta.md5.is_some() => Verified::Md5,
            true => Verified::Sent,
            false => Verified::Size,
        };
        Ok(Copied { receipt, verified })
    }

    /// By the store itself.
    async fn by_store(
        &self,
        object: &Object<'_>,
        address: Address,
        to: &Key,
        cx: &Cx<'_>,
    ) -> Result<Copied, Fault> {
        if !self.types.is_empty() {
            let range = Some(0..kind::LOOKED_AT as u64).filter(|_| object.len > 0);
            self.opened(object.key, range, cx).await?;
        }
        let receipt = match (object.len > COPIED_BYTES, self.to.store.parts()) {
            (true, Some(parts)) => {
                let range = Some(0..1);
                let (meta, _) = self.open(object.key, range, cx).await?;
                let from = Address { version: meta.version.clone(), ..address };
                let len = COPIED_PART.max(parts.part_len(meta.len));
                self.in_parts(parts, (to, &meta), (len, Some(&from)), object, cx).await?
            }
            _ => self.to.store.copy(&address, to, cx).await?,
        };
        Ok(Copied { receipt: Receipt { len: object.len, ..receipt }, verified: Verified::Store })
    }

    async fn large(
        &self,
        object: &Object<'_>,
        parts: &dyn Parts,
        to: &Key,
        cx: &Cx<'_>,
    ) -> Result<Copied, Fault> {
        let (meta, _) = self.opened(object.key, Some(0..kind::LOOKED_AT as u64), cx).await?;
        let len = parts.part_len(meta.len);
        let receipt = self.in_parts(parts, (to, &meta), (len, None), object, cx).await?;
        let verified = match receipt.confirmed {
            // It was sent in the same parts as here.
            true if receipt.version == meta.version => Verified::Md5,
            true => Verified::Sent,
            false => Verified::Size,
        };
        Ok(Copied { receipt, verified })
    }

    /// An object in parts, which the service copies itself where it has them. Parts that arrived before,
    /// in an attempt that failed or in a process that died, are not sent again.
    async fn in_parts(
        &self,
        parts: &dyn Parts,
        (to, meta): (&Key, &Meta),
        (len, by_store): (u64, Option<&Address>),
        object: &Object<'_>,
        cx: &Cx<'_>,
    ) -> Result<Receipt, Fault> {
        let (id, arrived) = self.upload(parts, (to, meta), len, object, cx).await?;
        let upload = Upload { key: to, id: &id };
        let arrived = &arrived;
        let send = |n: u64| async move {
            let range = n * len..(n * len + len).min(meta.len);
            let number = u32::try_from(n + 1).unwrap_or(u32::MAX);
            if let Some(part) = arrived.get(&number).filter(|part| part.len == range.end - range.start) {
                return Ok(part.clone());
            }
            match by_store {
                Some(from) => parts.part_of(upload, number, (from, range), cx).await,
                None => self.part(parts, (upload, number), (object.key, range, meta), cx).await,
            }
        };
        let sent = stream::iter(0..meta.len.div_ceil(len)).map(send).buffered(COPY_PARTS);
        let done = match sent.try_collect::<Vec<Part>>().await {
            Ok(all) => parts.complete(upload, &all, cx).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = &done
            && fault.class() == FaultClass::Permanent
        {
            // When that fails as well, the note of it stays with the item.
            let _ = parts.give_up(upload, cx).await;
        }
        done
    }

    /// The upload of an earlier attempt, with the parts that arrived, or a new one. There is a note of it
    /// before it begins, so that none is forgotten whenever the process ends.
    async fn upload(
        &self,
        parts: &dyn Parts,
        (to, meta): (&Key, &Meta),
        len: u64,
        object: &Object<'_>,
        cx: &Cx<'_>,
    ) -> Result<(Box<str>, BTreeMap<u32, Part>), Fault> {
        let mut note = Note { upload: None, version: meta.version.to_string(), part: len };
        if let Some(before) = &object.note {
            if let Some(id) = &before.upload
                && (&before.version, before.part) == (&note.version, note.part)
                && let Some(arrived) = parts.arrived(Upload { key: to, id }, cx).await?
            {
                return Ok((id.as_str().into(), arrived.into_iter().map(|p| (p.number, p)).collect()));
            }
            self.clear(parts, to, before, cx).await?;
        }
        cx.memo.keep(note.to_json()).await;
        let id = parts.begin(to, meta, cx).await?;
        note.upload = Some(id.to_string());
        cx.memo.keep(note.to_json()).await;
        Ok((id, BTreeMap::new()))
    }

    /// Gives up what an earlier attempt began and nobody goes on with.
    async fn clear(&self, parts: &dyn Parts, to: &Key, note: &Note, cx: &Cx<'_>) -> Result<(), Fault> {
        let stale = match &note.upload {
            Some(id) => vec![id.as_str().into()],
            // It ended between the note and the reply.
            None => parts.open_uploads(to, cx).await?,
        };
        for id in stale {
            parts.give_up(Upload { key: to, id: &id }, cx).await?;
        }
        Ok(())
    }

    async fn part(
        &self,
        parts: &dyn Parts,
        (upload, number): (Upload<'_>, u32),
        (key, range, meta): (&Key, std::ops::Range<u64>, &Meta),
        cx: &Cx<'_>,
    ) -> Result<Part, Fault> {
        let len = range.end - range.start;
        let _room = self.room.enter(len, cx).await;
        let (now, mut content) = self.open(key, Some(range), cx).await?;
        if now.version != meta.version || now.len != meta.len {
            let what = format!("{}: {key} changed while it was copied", self.from);
            return Err(Fault::transient("changed", what));
        }
        parts.part(upload, (number, len), &mut *content, cx).await
    }
}

/// What an item says of its object.
fn object<'a>(item: &'a Item, step: &str) -> Result<Object<'a>, Fault> {
    let value: serde_json::Value = serde_json::from_slice(item.record.base())
        .map_err(|e| Fault::permanent("record", format!("the record cannot be read: {e}")))?;
    let Some(len) = value["size"].as_u64() else {
        let what = "the record has no size: a copy reads the keys of a store";
        return Err(Fault::permanent("record", what));
    };
    let version = value["etag"].as_str().unwrap_or_default().to_owned();
    let note = item.record.attached(step).and_then(|note| serde_json::from_slice(note).ok());
    Ok(Object { key: &item.key, len, version, there: value["there"].as_bool() == Some(true), note })
}

#[async_trait]
impl Step for Copy {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn effect(&self) -> Effect {
        Effect::IdempotentWrite
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        Some(&[])
    }

    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Result<Applied, Fault> {
        let object = object(item, &self.name)?;
        if object.there {
            return Ok(Applied::skip("there already"));
        }
        let to = self.from.counterpart(object.key, &self.to);
        let parts = self.to.store.parts();
        let copied = match (self.address(&object, &to), parts) {
            _ if parts.is_some() && object.len > OBJECT_BYTES => {
                let what = format!("{}: {}: larger than 5 TiB", self.from, object.key);
                return Err(Fault::permanent("too_large", what));
            }
            (Some(address), _) => self.by_store(&object, address, &to, cx).await?,
            (None, Some(parts)) if object.len > parts.part_len(object.len) => {
                self.large(&object, parts, &to, cx).await?
            }
            (None, _) => self.whole(&object, &to, cx).await?,
        };
        Ok(Applied::attach(attached(&to, &copied)))
    }

    async fn abandon(&self, item: &Item, cx: &Cx<'_>) {
        if let Ok(object) = object(item, &self.name)
            && let (Some(note), Some(parts)) = (&object.note, self.to.store.parts())
        {
            let to = self.from.counterpart(object.key, &self.to);
            // It stays until the service's own rules remove it.
            let _ = self.clear(parts, &to, note, cx).await;
        }
    }
}

/// What the record says of the copy, under the name of the step.
fn attached(to: &Key, copied: &Copied) -> Bytes {
    let Copied { receipt, verified } = copied;
    let mut json = Vec::with_capacity(to.0.len() + 128);
    let mut text = |name: &str, value: &str| {
        json.extend_from_slice(name.as_bytes());
        write_json_string(value, &mut json);
    };
    text("{\"key\":", &to.to_string());
    text(",\"etag\":", &receipt.version);
    text(",\"verified\":", verified.as_str());
    if !receipt.dropped.is_empty() {
        text(",\"dropped\":", &receipt.dropped.join(", "));
    }
    json.extend_from_slice(format!(",\"bytes\":{}}}", receipt.len).as_bytes());
    json.into()
}
