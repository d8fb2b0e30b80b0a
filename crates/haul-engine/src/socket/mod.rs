//! The control socket of a run: a process that drives a run listens on it for its owner's orders.
//!
//! One JSON object a line in each direction ([`words`]). The socket is `control.sock` in the run
//! directory, which only its owner may enter. Where that path is too long for a socket, it is in
//! `$XDG_RUNTIME_DIR` and `control.sock` is a link to it, so that a run directory may be moved while
//! its run works.

mod ask;
#[cfg(unix)]
mod place;
mod serve;
pub mod words;

pub use ask::{AskError, ask};
pub use serve::{Listening, listen};
pub use words::{Ask, PROTOCOL, Reply, Request};
