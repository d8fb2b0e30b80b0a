//! `copy`: an object from one store to another, or within one.
//!
//! Objects of up to 8 MiB go in one piece, larger ones in parts; what is on its way is held in memory, and
//! how much that is in all is bounded. What arrives is compared with the ETag of the source, what is sent
//! carries its MD5, and the ETag of the destination is compared with it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use haul_core::budget::Account;
use haul_core::cx::hex;
use haul_core::limits::{COPY_BYTES, COPY_PART, COPY_PARTS, OBJECT_BYTES};
use haul_core::record::write_json_string;
use haul_core::step::{Applied, Effect, Step};
use haul_core::{Cx, Fault, Item};
use md5::{Digest, Md5};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::download::kind::{self, Found};
use crate::stores::s3::{Object, Part, is_md5};
use crate::stores::{Listed, Place};

/// What the room for bodies is counted in.
const UNIT: u64 = 16 * 1024;

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
    /// Room for what is on its way.
    room: Semaphore,
}

/// How sure it is that the bytes are the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verified {
    /// As many bytes.
    Size,
    /// The MD5 of what was sent is that of what is stored.
    Sent,
    /// And that of the source.
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
    etag: String,
    bytes: u64,
    verified: Verified,
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
        let units = usize::try_from(COPY_BYTES / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        let types: Vec<String> = types.iter().map(|t| t.to_ascii_lowercase()).collect();
        match types.iter().find(|t| !kind::is_known(t)) {
            Some(unknown) => Err(UnknownType(unknown.clone())),
            None => Ok(Copy { name: name.into(), from, to, types, room: Semaphore::new(units) }),
        }
    }

    /// Ends the copy of an object that is of another type, before anything is written.
    fn check_type(&self, key: &str, bytes: &[u8]) -> Result<(), Fault> {
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

    /// Waits for room for so many bytes.
    async fn room(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let units = bytes.div_ceil(UNIT).clamp(1, COPY_BYTES / UNIT);
        self.room.acquire_many(u32::try_from(units).unwrap_or(u32::MAX)).await.ok()
    }

    fn is_within_one_store(&self) -> bool {
        Arc::ptr_eq(&self.from.store, &self.to.store)
    }

    async fn whole(&self, object: &Listed, key: &str, cx: &Cx<'_>) -> Result<Copied, Fault> {
        let _room = self.room(object.size).await;
        let read = self.from.store.get((&self.from.bucket, &object.key), None, None, cx).await?;
        let _held = cx.budget.hold(Account::Bodies, read.bytes().len());
        let digest = Md5::digest(read.bytes());
        let md5 = hex(&digest);
        let known = self.check_source(&read, &object.key, &md5)?;
        self.check_type(&object.key, read.bytes())?;
        let to = (&*self.to.bucket, key);
        let etag = self.to.store.put(to, &read.carried(), (read.bytes(), &digest), cx).await?;
        let verified = match is_md5(&etag) {
            true if etag == md5 && known => Verified::Md5,
            true if etag == md5 => Verified::Sent,
            // Some services encrypt, and have another ETag; they compared the MD5 that was sent along.
            _ => Verified::Size,
        };
        Ok(Copied { etag, bytes: read.bytes().len() as u64, verified })
    }

    /// Compares what arrived with what the source says it is; false when it says nothing that can be
    /// compared.
    fn check_source(&self, read: &Object, key: &str, md5: &str) -> Result<bool, Fault> {
        if !is_md5(read.etag()) {
            return Ok(false);
        }
        if md5 == read.etag() {
            return Ok(true);
        }
        let what = format!("{}: {key}: what arrived has the MD5 {md5}, not {}", self.from, read.etag());
        Err(Fault::transient("checksum", what))
    }

    async fn in_parts(&self, object: &Listed, key: &str, cx: &Cx<'_>) -> Result<Copied, Fault> {
        let part = part_size(object.size);
        let first = self.read_part(object, (0, kind::LOOKED_AT as u64 - 1), None, cx).await?;
        self.check_type(&object.key, first.bytes())?;
        // All parts are of the version that the first one is of.
        let version = first.etag().to_owned();
        let to = (&*self.to.bucket, key);
        for stale in self.to.store.uploads(to, cx).await? {
            self.to.store.give_up(to, &stale, cx).await?;
        }
        let upload = self.to.store.begin(to, &first.carried(), cx).await?;
        drop(first);
        let sent = self.send_parts(object, (to, &upload), (part, &version), cx).await;
        let done = match sent {
            Ok((parts, digest)) => {
                self.to.store.complete(to, &upload, &parts, cx).await.map(|etag| (etag, digest))
            }
            Err(fault) => Err(fault),
        };
        match done {
            Ok((etag, digest)) => {
                let verified = if etag == digest { Verified::Sent } else { Verified::Size };
                Ok(Copied { etag, bytes: object.size, verified })
            }
            Err(fault) => {
                // Whatever comes of it, the next attempt looks for what is left.
                let _ = self.to.store.give_up(to, &upload, cx).await;
                Err(fault)
            }
        }
    }

    async fn read_part(
        &self,
        object: &Listed,
        (first, last): (u64, u64),
        version: Option<&str>,
        cx: &Cx<'_>,
    ) -> Result<Object, Fault> {
        let from = (&*self.from.bucket, &*object.key);
        let read = self.from.store.get(from, Some((first, last)), version, cx).await?;
        let wanted = last + 1 - first;
        if read.bytes().len() as u64 == wanted {
            return Ok(read);
        }
        let got = read.bytes().len();
        let what = format!("{}: {}: {got} bytes instead of {wanted} from {first} on", self.from, object.key);
        Err(Fault::transient("truncated", what))
    }

    /// The parts, and the ETag that services make of their digests.
    async fn send_parts(
        &self,
        object: &Listed,
        (to, upload): ((&str, &str), &str),
        (part, version): (u64, &str),
        cx: &Cx<'_>,
    ) -> Result<(Vec<Part>, String), Fault> {
        let count = object.size.div_ceil(part);
        let send = |n: u64| async move {
            let _room = self.room(part).await;
            let range = (n * part, (n * part + part).min(object.size) - 1);
            let read = self.read_part(object, range, Some(version), cx).await?;
            let _held = cx.budget.hold(Account::Bodies, read.bytes().len());
            let digest = Md5::digest(read.bytes());
            let number = u32::try_from(n + 1).unwrap_or(u32::MAX);
            let sent = self.to.store.part(to, (upload, number), (read.bytes(), &digest), cx).await?;
            Ok::<_, Fault>((sent, digest))
        };
        let sent: Vec<(Part, _)> =
            stream::iter(0..count).map(send).buffered(COPY_PARTS).try_collect().await?;
        let mut all = Md5::new();
        sent.iter().for_each(|(_, digest)| all.update(digest));
        let digest = format!("{}-{count}", hex(&all.finalize()));
        Ok((sent.into_iter().map(|(part, _)| part).collect(), digest))
    }
}

/// Parts are as large as is needed to be no more than 10,000.
fn part_size(size: u64) -> u64 {
    COPY_PART.max(size.div_ceil(10_000).next_multiple_of(1 << 20))
}

/// What an item says of its object.
fn object(item: &Item) -> Result<(Listed, bool), Fault> {
    let value: serde_json::Value = serde_json::from_slice(item.record.base())
        .map_err(|e| Fault::permanent("record", format!("the record cannot be read: {e}")))?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (Some(key), Some(size)) = (value["key"].as_str(), value["size"].as_u64()) else {
        return Err(Fault::permanent(
            "record",
            "the record has no key and size: a copy reads keys of a store",
        ));
    };
    let listed = Listed { key: key.to_owned(), size, etag: text("etag"), modified: text("modified") };
    Ok((listed, value["there"].as_bool() == Some(true)))
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
        let (object, there) = object(item)?;
        if there {
            return Ok(Applied::skip("there already"));
        }
        let key = self.from.counterpart(&object.key, &self.to);
        let copied = match object.size {
            size if size > OBJECT_BYTES => {
                let what = format!("{}: {}: larger than 150 GiB", self.from, object.key);
                return Err(Fault::permanent("too_large", what));
            }
            _ if self.is_within_one_store() && self.types.is_empty() => {
                let (from, to) = ((&*self.from.bucket, &*object.key), (&*self.to.bucket, &*key));
                let etag = self.to.store.copy(from, to, &object.etag, cx).await?;
                Copied { etag, bytes: object.size, verified: Verified::Store }
            }
            size if size <= COPY_PART => self.whole(&object, &key, cx).await?,
            _ => self.in_parts(&object, &key, cx).await?,
        };
        let mut receipt = Vec::with_capacity(key.len() + 128);
        receipt.extend_from_slice(b"{\"key\":");
        write_json_string(&key, &mut receipt);
        receipt.extend_from_slice(b",\"etag\":");
        write_json_string(&copied.etag, &mut receipt);
        let verified = copied.verified.as_str();
        receipt.extend_from_slice(
            format!(",\"bytes\":{},\"verified\":\"{verified}\"}}", copied.bytes).as_bytes(),
        );
        Ok(Applied::attach(Bytes::from(receipt)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_never_too_many_and_fit_in_a_body() {
        for size in [COPY_PART + 1, 5 << 30, OBJECT_BYTES] {
            let part = part_size(size);
            assert!(size.div_ceil(part) <= 10_000 && part <= haul_core::limits::BODY_BYTES as u64, "{size}");
        }
        assert_eq!(part_size(5 << 30), COPY_PART);
    }
}
