//! Steps: what workers do to an item. One file each, all of one shape.

mod endpoint;
pub mod filter;
pub mod get;
pub mod map;
pub mod write;

pub use endpoint::{Endpoint, EndpointSpec, StepUrl, StepUrlError};
pub use filter::Filter;
pub use get::Get;
pub use map::Map;
pub use write::{Body, Write};
