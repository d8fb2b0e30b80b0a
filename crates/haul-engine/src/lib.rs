//! Haul's engine: read, window, work, commit; lanes; ledger; run directories.
//!
//! [`run()`] carries every item of a source through its steps. One worker owns an item from start to
//! end; one committer, on its own thread, moves sinks, aggregates and ledger together.

mod book;
pub mod clock;
mod closing;
mod committer;
mod driver;
pub mod ending;
mod gate;
mod inbox;
mod keylog;
mod lanes;
pub mod ledger;
mod meter;
mod obey;
pub mod orders;
mod queue;
mod reach;
mod reader;
mod resume;
mod retries;
mod run;
pub mod rundir;
pub mod socket;
mod staff;
pub mod system;
pub mod view;
mod worker;

pub use clock::TokioClock;
pub use ending::{Ending, EngineError, Why};
pub use orders::{Orders, Output, Policy};
pub use run::run;
pub use view::{Control, Handle, Order, Snapshot, Stop, Tune, control};
