//! The durable record of a run: a watermark plus exceptions.
//!
//! | room | what it holds |
//! |---|---|
//! | [`sqlite`] | the ledger of a run directory: `ledger.db` |
//! | [`memory`] | the same semantics without a disk, for tests and throw-away runs |
//! | [`read`] | what people and reports ask, while the run works and after it died |
//! | [`amend`] | what people change: `retry` and `settle` |
//! | [`run`] | the `run` table: identity, name, state, times, own cost |
//!
//! Both ledgers pass one conformance suite (`tests/it/ledger.rs`).

pub mod amend;
mod changes;
mod disk;
mod error;
mod groups;
pub mod memory;
pub mod read;
mod recover;
mod reserve;
mod rows;
pub mod run;
mod schema;
pub mod sqlite;
mod ticks;
mod write;

pub use amend::{Amend, Filter};
pub(crate) use error::no_room;
pub use memory::MemoryLedger;
pub use read::Reader;
pub use run::{NewRun, RunEnd, RunInfo, RunState};
pub use sqlite::SqliteLedger;

/// The ledger's file in a run directory.
pub const LEDGER_FILE: &str = "ledger.db";
