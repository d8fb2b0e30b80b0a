//! All integration tests of the engine in one binary.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "fixtures are shared between the modules of this binary, and a test fails by panicking"
)]

mod adaptive;
mod engine;
mod fake;
mod flat;
mod interleave;
mod ordered;
mod waiting;
// `cfg(test)` tells clippy that functions beside the tests may unwrap as well.
#[cfg(all(test, target_os = "linux"))]
mod crash;
#[cfg(test)]
mod ledger;
#[cfg(all(test, target_os = "linux"))]
#[path = "../shim/powercut.rs"]
mod powercut;
#[cfg(test)]
mod replicas;
mod rundir;
