//! How much memory a job takes: what bounds it, the program, and each connection.

use haul_core::job::{Concurrency, Job};

use super::StepForecast;
use super::probe::Measured;

/// What the program itself takes, beyond what `--memory` bounds.
const PROGRAM: u64 = 12 << 20;
/// What a connection takes.
const CONNECTION: u64 = 64 << 10;
/// Bytes of memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Without connections.
    pub most: u64,
    /// Each connection adds so much.
    pub connection: u64,
    /// Connections, where their number is known.
    pub connections: Option<u32>,
}

/// What a job takes at most.
pub(super) fn of_job(job: &Job, steps: &[StepForecast], measured: Option<&Measured>) -> Memory {
    let mut lanes: Vec<&String> = steps.iter().filter_map(|s| s.lane.as_ref()).collect();
    lanes.sort();
    lanes.dedup();
    let count = u32::try_from(lanes.len().max(1)).unwrap_or(u32::MAX);
    let connections = match job.limits.concurrency {
        Concurrency::Fixed(n) | Concurrency::Bounded(_, n) => Some(n.saturating_mul(count)),
        Concurrency::Auto => measured.map(|m| m.lanes.iter().map(|l| l.limit).sum()),
    };
    Memory { most: job.limits.memory + PROGRAM, connection: CONNECTION, connections }
}
