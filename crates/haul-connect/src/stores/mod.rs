//! Stores: where objects are kept under keys. Those of the trait pass the conformance suite
//! (`tests/it/stores.rs`). The S3 client is our own and thin, on the lanes of the run: every key is kept as
//! it is, and nothing is sent twice but by the engine.

mod directory;
pub(crate) mod disk;
pub mod keys;
pub mod s3;
mod walk;

use std::sync::Arc;

pub use directory::Directory;
pub(crate) use directory::PART_DIR;
pub use keys::KeysOpener;
pub use s3::{Listed, S3, S3Error};

/// A part of a store: the keys of a bucket that begin with a prefix.
#[derive(Clone)]
pub struct Place {
    /// The store.
    pub store: Arc<S3>,
    /// The bucket.
    pub bucket: Arc<str>,
    /// What the keys begin with; may be empty.
    pub prefix: Arc<str>,
}

impl Place {
    /// The key of another place that stands for one of this: the prefix is exchanged.
    pub fn counterpart(&self, key: &str, other: &Place) -> String {
        format!("{}{}", other.prefix, key.strip_prefix(&*self.prefix).unwrap_or(key))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}/{}", self.store.name(), self.bucket, self.prefix)
    }
}
