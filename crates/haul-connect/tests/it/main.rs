//! Integration tests of the connectors; one binary.

// `cfg(test)` tells clippy that functions beside the tests may unwrap as well.
#[cfg(test)]
mod batches;
#[cfg(test)]
mod expr;
#[cfg(test)]
mod http;
#[cfg(test)]
mod json;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod sinks;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod template;
