//! Stores hold objects under keys: a directory, a bucket. One trait, as small as it can be; every store
//! passes the same conformance suite (`haul-connect/tests/it/stores.rs`).

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::cx::Cx;
use crate::fault::Fault;
use crate::item::Key;

/// What is known of an object without reading it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// Length in bytes.
    pub len: u64,
    /// When it was last written, in nanoseconds since 1970; 0 where nobody says.
    pub modified_ns: i64,
    /// Changes when the content does: an `ETag` or the like; empty where there is none.
    pub version: Box<str>,
    /// MD5 of its content, where the store says it.
    pub md5: Option<Md5>,
    /// What travels with it: `content-type`, `cache-control` and the like, and the metadata of users as
    /// `meta-NAME`; names in lower case, in order.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

/// An MD5.
pub type Md5 = [u8; 16];

/// An object of a listing. Listings say length and time; headers are for [`Store::head`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its key: bytes to be kept, never normalised.
    pub key: Key,
    /// What the listing says of it.
    pub meta: Meta,
}

/// The content of an object, piece by piece.
#[async_trait]
pub trait Content: Send {
    /// The next piece, never empty; `None` at the end. After a fault nothing more comes.
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Bytes>, Fault>;
}

/// A listing that goes on.
#[async_trait]
pub trait Listing: Send {
    /// The next objects, in ascending order of the bytes of their keys; `None` at the end. At most
    /// [`crate::limits::LISTED`] at once. An `Err` leaves it unchanged.
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Vec<Listed>>, Fault>;
}

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Receipt {
    /// Bytes.
    pub len: u64,
    /// CRC-32C of what was sent; `None`: nobody saw the bytes here.
    pub crc32c: Option<u32>,
    /// The store says a digest of what it holds, and it is that of what was sent.
    pub confirmed: bool,
    /// As [`Meta::version`].
    pub version: Box<str>,
    /// Names of [`Meta::headers`] that the store cannot keep.
    pub dropped: Vec<Box<str>>,
}

/// Where a service finds an object of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// Names the service, and whose credentials are used there.
    pub service: Arc<str>,
    /// The object, in words of the service.
    pub path: Box<str>,
    /// As [`Meta::version`]: it is to be no other; empty for any.
    pub version: Box<str>,
}

/// An object that is written in parts.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// Its key.
    pub key: &'a Key,
    /// What the service calls it.
    pub id: &'a str,
}

/// A part that has arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// Bytes.
    pub len: u64,
    /// As the service wrote it.
    pub version: Box<str>,
    /// MD5 of what was sent; `None`: nobody saw the bytes here.
    pub md5: Option<Md5>,
}

/// What a store can do that takes objects in parts, several at once.
#[async_trait]
pub trait Parts: Send + Sync {
    /// Length of the parts of an object of so many bytes (the last may be shorter); an object that has
    /// only one is put as a whole.
    fn part_len(&self, len: u64) -> u64;

    /// Begins an object; what the service calls it. Nothing is seen of it before it is complete.
    async fn begin(&self, key: &Key, meta: &Meta, cx: &Cx<'_>) -> Result<Box<str>, Fault>;

    /// Sends a part of `len` bytes; a content of another length is a fault.
    async fn part(
        &self,
        upload: Upload<'_>,
        (number, len): (u32, u64),
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<Part, Fault>;

    /// Has the service copy a part from bytes of an object that it holds itself.
    async fn part_of(
        &self,
        upload: Upload<'_>,
        number: u32,
        (from, range): (&Address, Range<u64>),
        cx: &Cx<'_>,
    ) -> Result<Part, Fault>;

    /// The parts that have arrived, in order; `None`: there is no such upload (any more).
    async fn arrived(&self, upload: Upload<'_>, cx: &Cx<'_>) -> Result<Option<Vec<Part>>, Fault>;

    /// Puts all parts together: the object is there, and durable, when this returns.
    async fn complete(&self, upload: Upload<'_>, parts: &[Part], cx: &Cx<'_>) -> Result<Receipt, Fault>;

    /// Gives the upload up, with the parts that have arrived.
    async fn give_up(&self, upload: Upload<'_>, cx: &Cx<'_>) -> Result<(), Fault>;

    /// Uploads to a key that were begun and not ended.
    async fn open_uploads(&self, key: &Key, cx: &Cx<'_>) -> Result<Vec<Box<str>>, Fault>;
}

/// What a store can do that finds places in the order of its keys.
#[async_trait]
pub trait Finder: Send + Sync {
    /// The first key with a prefix that is greater than a text, in one request; `None`: there is none.
    async fn first_after(&self, prefix: &Key, text: &Key, cx: &Cx<'_>) -> Result<Option<Key>, Fault>;
}

/// Objects under keys.
#[async_trait]
pub trait Store: Send + Sync {
    /// What messages call it: `content`, `s3:bucket/prefix`.
    fn name(&self) -> &str;

    /// Objects whose key begins with `prefix` and is greater than `after`.
    async fn list(&self, prefix: &Key, after: Option<&Key>, cx: &Cx<'_>) -> Result<Box<dyn Listing>, Fault>;

    /// What is known of an object; `None`: there is none.
    async fn head(&self, key: &Key, cx: &Cx<'_>) -> Result<Option<Meta>, Fault>;

    /// An object, or the bytes of a range of it (which may end before the range does); `None`: there is
    /// none.
    async fn open(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
        cx: &Cx<'_>,
    ) -> Result<Option<(Meta, Box<dyn Content>)>, Fault>;

    /// Writes an object, or replaces it as a whole: nobody ever sees a part of it, and it is durable when
    /// this returns. A content whose length is not `meta.len` (`truncated`), or whose MD5 is not `meta.md5`
    /// where that is said (`checksum`), is a fault, and leaves what was there.
    async fn put(
        &self,
        key: &Key,
        meta: &Meta,
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<Receipt, Fault>;

    /// Removes an object; true when there was one.
    async fn delete(&self, key: &Key, cx: &Cx<'_>) -> Result<bool, Fault>;

    /// Whether it keeps anything of [`Meta::headers`].
    fn keeps_headers(&self) -> bool {
        true
    }

    /// Whether the first objects of a listing are known before all are.
    fn lists_at_once(&self) -> bool {
        true
    }

    /// How it finds places among its keys; `None`: a listing of it is read from one end to the other.
    fn finder(&self) -> Option<&dyn Finder> {
        None
    }

    /// How it takes objects in parts; `None`: it takes any as a whole.
    fn parts(&self) -> Option<&dyn Parts> {
        None
    }

    /// Where its service finds an object, to copy it by itself; `None`: it copies nothing.
    fn address(&self, key: &Key) -> Option<Address> {
        let _ = key;
        None
    }

    /// Has the service copy an object of its own (of at most [`crate::limits::COPIED_BYTES`]), with all
    /// that travels with it. Only for an [`Address`] of the service that [`Store::address`] names.
    async fn copy(&self, from: &Address, to: &Key, cx: &Cx<'_>) -> Result<Receipt, Fault> {
        let _ = (from, cx);
        Err(Fault::permanent("copy", format!("{}: {to}: it copies nothing by itself", self.name())))
    }
}
