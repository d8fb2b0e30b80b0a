//! Stores hold objects under keys: a directory, a bucket. One trait, as small as it can be; every store
//! passes the same conformance suite (`haul-connect/tests/it/stores.rs`).

use std::ops::Range;

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
    /// What travels with it: `content-type`, `cache-control`, and the metadata of users, names in lower
    /// case, in order.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Bytes.
    pub len: u64,
    /// CRC-32C of what was sent.
    pub crc32c: u32,
    /// Names of [`Meta::headers`] that the store cannot keep.
    pub dropped: Vec<Box<str>>,
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
    /// this returns. A content whose length is not `meta.len` is a fault, and leaves what was there.
    async fn put(
        &self,
        key: &Key,
        meta: &Meta,
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<Receipt, Fault>;

    /// Removes an object; true when there was one.
    async fn delete(&self, key: &Key, cx: &Cx<'_>) -> Result<bool, Fault>;
}
