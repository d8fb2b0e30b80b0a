//! The lab from outside: over TCP, as a client meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

mod client;
mod control;
mod faults;
mod files;
mod generate;
mod protocol;
mod truth;
