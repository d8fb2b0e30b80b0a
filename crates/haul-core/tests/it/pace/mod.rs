//! Pacing in virtual time.

mod limit;
mod service;
mod sim;
