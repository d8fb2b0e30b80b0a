//! The HTTP client of steps and sources; HTTP/2 is spoken where TLS agrees on it.
//!
//! Written for little CPU and memory per request: no spawned connection tasks, no channels, one
//! write and one read per small exchange, no buffers on idle connections. The reading of replies
//! ([`frame`], [`head`]) is free of I/O; heads are parsed by `httparse`.
//!
//! | file | duty |
//! |---|---|
//! | [`url`], [`redact`], [`headers`], [`request`] | what is sent, and what is never shown |
//! | [`head`], [`frame`], `chunks`, [`encoding`] | bytes to a reply, without I/O |
//! | [`status`], [`reply`], `redirect` | what a reply means |
//! | `bandwidth` | the bound on all that comes in |
//! | `wire`, `dial`, [`proxy`], `tls`, `conn`, `pool` | connections |
//! | `mux`, `multiplexed` | HTTP/2: connections that carry many requests |
//! | [`client`], [`fetch`] | one request through its lane; a body of any size |
//! | `pull`, `push` | a body that is taken, or sent, piece by piece |
//! | [`stream`], [`location`] | a body piece by piece, as a source |
//! | [`witness`] | who looks on, and keeps effects back |

mod bandwidth;
mod chunks;
pub mod client;
mod conn;
mod decoding;
mod dial;
pub mod encoding;
pub mod fetch;
pub mod frame;
pub mod head;
pub mod headers;
pub mod location;
mod multiplexed;
mod mux;
mod pool;
pub mod proxy;
pub(crate) mod pull;
mod push;
pub mod redact;
mod redirect;
pub mod reply;
pub mod request;
mod room;
pub mod status;
pub mod stream;
mod tls;
pub mod url;
mod wire;
pub mod witness;

pub use client::{Client, ClientOptions};
pub use headers::HeaderLines;
pub use location::HttpLocation;
pub use proxy::Proxies;
pub use reply::Reply;
pub use request::{BodyUse, Call, Method, RequestHeaders};
pub use status::{Meaning, StatusRules, reason};
pub use stream::ByteStream;
pub use tls::Roots;
pub use url::Url;
pub use witness::{KEPT_BACK, Seen, Witness};
