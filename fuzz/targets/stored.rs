//! Any bytes as stored state, log, spilled entries and paths: refused or read, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| haul_reduce::fuzz::stored(bytes));
