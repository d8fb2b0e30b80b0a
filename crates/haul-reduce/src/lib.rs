//! Exact aggregates in bounded memory, and the scanner behind `haul top` and `haul count`.
//!
//! | room | what it holds |
//! |---|---|
//! | `json` | validators that never build a tree; paths, numbers and strings as bytes |
//! | `input` | files in blocks on all cores, streams, compression by content |
//! | `format` | what a line is: JSON Lines, CSV, plain |
//! | `top` | the N best |
//! | `count` | the most common values |
//! | `stats` | sums, extremes, quantiles |

mod count;
mod error;
mod format;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod input;
mod json;
mod limits;
mod stats;
mod top;
mod varint;

pub use count::{CountSpec, Counted, MostCommon, PATHS_MAX, count};
pub use error::ReduceError;
pub use format::table::{Columns, Format};
pub use input::{BadLine, Input, OpenError, Origin, Progress, ScanError};
pub use json::path::{Path, PathError};
pub use stats::Stats;
pub use top::{By, Ranking, Top, TopSpec, top};
