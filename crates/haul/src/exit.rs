//! Exit statuses of every verb.

/// Everything is done or skipped.
pub const DONE: u8 = 0;
/// It could not start: file not found, refused credentials before the first success, the ledger.
pub const NO_START: u8 = 1;
/// The input is invalid.
pub const INVALID: u8 = 2;
/// Finished, but something failed, was rejected or is in doubt.
pub const OPEN: u8 = 3;
/// Stopped before the end; the same command goes on. Wins over [`OPEN`].
pub const STOPPED: u8 = 4;
/// The command itself is wrong (BSD `EX_USAGE`).
pub const USAGE: u8 = 64;
