//! Stores: where objects are kept under keys. Each passes the conformance suite
//! (`tests/it/stores.rs`).

mod directory;
pub(crate) mod disk;
mod walk;

pub use directory::Directory;
pub(crate) use directory::PART_DIR;
