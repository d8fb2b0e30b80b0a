//! Stores: where objects are kept under keys. All pass the conformance suite (`tests/it/stores.rs`). The S3
//! client is our own and thin, on the lanes of the run: every key is kept as
//! it is, and nothing is sent twice but by the engine.

mod between;
mod checked;
#[cfg(feature = "stores")]
mod dal;
mod directory;
pub(crate) mod disk;
pub mod keys;
pub mod pairs;
mod peeked;
mod place;
mod range;
pub mod s3;
#[cfg(feature = "stores")]
mod sorted;
mod spill;
mod walk;

#[cfg(feature = "stores")]
pub use dal::Dal;
pub use directory::Directory;
pub(crate) use directory::PART_DIR;
pub use keys::KeysOpener;
pub(crate) use peeked::{Peeked, Whole};
pub use place::Place;
pub use s3::{Bucket, S3, S3Error};
pub use spill::Spill;
