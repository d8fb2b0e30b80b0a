//! Steps: what workers do to an item. One file each, all of one shape.

pub mod batch;
pub mod content_type;
mod copy;
pub mod download;
mod each;
pub(crate) mod endpoint;
pub mod filter;
mod gather;
pub mod get;
pub(crate) mod granted;
pub mod map;
mod outcomes;
mod replica;
mod room;
mod sent;
mod shared;
pub mod write;

pub use batch::{Batch, BatchSpec};
pub use copy::Copy;
pub use endpoint::{Endpoint, EndpointSpec, StepUrl, StepUrlError};
pub use filter::Filter;
pub use get::Get;
pub use map::Map;
pub use write::{Body, Write};
