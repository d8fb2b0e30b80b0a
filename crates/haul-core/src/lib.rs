//! The words and laws of Haul.
//!
//! This crate does no I/O, spawns nothing and reads no clock: time and randomness come in as
//! arguments. Pacing, retry, the watermark and slices are pure state machines, tested in virtual
//! time. The engine and the connectors know each other only through the traits defined here.
//!
//! | room | what it holds |
//! |---|---|
//! | [`item`], [`record`] | one unit of work and its bytes |
//! | [`fault`], [`outcome`] | what can go wrong, what became of an item |
//! | [`source`], [`step`], [`store`], [`sink`], [`finish`], [`aggregate`], [`ledger`] | the seams: one trait each |
//! | [`lane`], [`clock`], [`cx`], [`budget`] | what a step can reach |
//! | [`pace`], [`watermark`] | pure state machines |
//! | [`job`] | what to do, frozen and serialisable |
//! | [`limits`] | every bound, with its reason |

pub mod aggregate;
pub mod budget;
pub mod clock;
pub mod cx;
pub mod fault;
pub mod finish;
pub mod item;
pub mod job;
pub mod lane;
pub mod ledger;
pub mod limits;
pub mod outcome;
pub mod pace;
pub mod rank;
pub mod record;
pub mod secret;
pub mod sink;
pub mod source;
pub mod step;
pub mod store;
pub mod watermark;

pub use aggregate::Aggregate;
pub use budget::Budget;
pub use clock::{Clock, Moment, UnixMs};
pub use cx::Cx;
pub use fault::{Fault, FaultClass};
pub use item::{Item, Key, KeyHash, Position, Seq, SliceId};
pub use lane::{LaneId, Lanes, Origin, Permit, Verdict};
pub use outcome::{Counts, Outcome};
pub use record::Record;
pub use sink::{Mark, Sink};
pub use source::{Cursor, Fingerprint, Opener, Page, Slice, Source};
pub use step::{Applied, Effect, Flow, Step};
