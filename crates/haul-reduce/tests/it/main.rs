//! Files and streams, large enough that lines cross blocks, against plain models.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod count;
mod forms;
mod support;
mod top;
