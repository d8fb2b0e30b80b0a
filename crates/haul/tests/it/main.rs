//! Tests of the `haul` command: the real program, told apart from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
mod apart;
#[cfg(target_os = "linux")]
mod background;
mod bad;
mod batch;
mod checking;
mod choosing;
mod copy;
#[cfg(target_os = "linux")]
mod crash;
mod crawl;
mod docs;
mod enrich;
mod examples;
#[cfg(unix)]
mod failures;
mod forecast;
mod foreign;
#[cfg(target_os = "linux")]
mod get;
#[cfg(target_os = "linux")]
mod helped;
#[cfg(unix)]
mod living;
mod pacing;
mod plan;
#[cfg(target_os = "linux")]
#[path = "../../../haul-engine/tests/shim/powercut.rs"]
mod powercut;
mod program;
mod replicas;
mod report;
mod runs;
mod saved;
#[cfg(target_os = "linux")]
mod secrets;
#[cfg(target_os = "linux")]
mod stage;
mod telling;
#[cfg(target_os = "linux")]
mod terminal;
mod tidy;
mod top;
#[cfg(target_os = "linux")]
mod tours;
mod trying;
mod usage;
#[cfg(target_os = "linux")]
mod watching;
