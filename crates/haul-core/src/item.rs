//! One unit of work: where it stands, what the user calls it, and its bytes.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// A part of a source that can be read alone. Globally unique within a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct SliceId(pub u32);

/// Dense position of an item in its slice, from 0. Assigned by the engine in reading order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl fmt::Display for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the user calls an item. Keys are bytes to be kept: never normalised, not always UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(pub Bytes);

impl Key {
    /// The 16-byte hash that the key log keeps (XXH3-128, big-endian).
    pub fn hash(&self) -> KeyHash {
        KeyHash(xxhash_rust::xxh3::xxh3_128(&self.0).to_be_bytes())
    }
}

impl<T: Into<Bytes>> From<T> for Key {
    fn from(bytes: T) -> Self {
        Key(bytes.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most are text, and to check that is quicker than to mend it.
        match std::str::from_utf8(&self.0) {
            Ok(text) => f.write_str(text),
            Err(_) => f.write_str(&String::from_utf8_lossy(&self.0)),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Hash of a [`Key`], as stored in the key log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KeyHash(pub [u8; 16]);

/// Where an item stands in its source, for messages and for sources that can be read again.
///
/// `line` is 1-based (0: the source has no lines); `offset` is the byte at which the item starts,
/// after decompression.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    /// 1-based line; 0 where lines mean nothing.
    pub line: u64,
    /// Byte offset of the item in the decoded source.
    pub offset: u64,
}

/// One unit of work.
#[derive(Clone, Debug)]
pub struct Item {
    /// The slice it was read from.
    pub slice: SliceId,
    /// Its dense position in the slice.
    pub seq: Seq,
    /// What the user calls it.
    pub key: Key,
    /// Where it stands in the source.
    pub position: Position,
    /// The bytes of one JSON object, with what the steps attached to it.
    pub record: Record,
}
