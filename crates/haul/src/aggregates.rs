//! The aggregates of a job: made for a run, and read back from what its ledger stores.

use std::path::Path;

use haul_core::aggregate::{Saved, Table};
use haul_core::job::{AggregateKind, AggregateSpec, Job};
use haul_core::{Aggregate, Fault};
use haul_reduce::{MostCommon, PathError, Stats, Top};

/// A path of an aggregate that is none.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct AggregateError {
    /// Where in the job: `aggregate.foods.count`.
    pub what: String,
    /// What is wrong.
    pub error: PathError,
}

/// Aggregates by name.
pub type Named = Vec<(String, Box<dyn Aggregate>)>;

/// The aggregates of a job, for [`haul_engine::Orders::aggregates`]. Their logs go to `dir`, which is the
/// run's own and exists by the time of the first commit.
///
/// # Errors
/// The first path that is none.
pub fn aggregates(job: &Job, dir: &Path) -> Result<Named, AggregateError> {
    let make = |spec| made(spec, job, dir).map(|aggregate| (spec.name.clone(), aggregate));
    job.aggregates.iter().map(make).collect()
}

fn made(spec: &AggregateSpec, job: &Job, dir: &Path) -> Result<Box<dyn Aggregate>, AggregateError> {
    let path = |key: &str, text: &str| {
        text.parse().map_err(|error| AggregateError { what: format!("aggregate.{}.{key}", spec.name), error })
    };
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Ok(match &spec.kind {
        AggregateKind::Count { path: by, n } => {
            let by = path("count", by)?;
            Box::new(MostCommon::new(size(*n), by, memory(job), dir.to_owned(), &spec.name))
        }
        AggregateKind::Top { path: by, id, n, lowest } => {
            let (by, id) = (path("top", by)?, path("id", id)?);
            Box::new(Top::new(size(*n), *lowest, by, id, dir.to_owned(), &spec.name))
        }
        AggregateKind::Stats { path: by } => Box::new(Stats::new(path("stats", by)?)),
    })
}

/// Bytes that the counting of one log may take.
fn memory(job: &Job) -> u64 {
    job.limits.memory
}

/// The exact result of an aggregate as of a commit: nothing that a process at work needs is touched.
///
/// # Errors
/// When its log is gone or damaged.
pub fn result(spec: &AggregateSpec, job: &Job, dir: &Path, saved: Option<Saved>) -> Result<Table, Fault> {
    if let (AggregateKind::Count { n, .. }, Some(Saved::Log { file, len })) = (&spec.kind, &saved) {
        let limit = usize::try_from(*n).unwrap_or(usize::MAX);
        return MostCommon::read_log(&dir.join(file), *len, limit, memory(job));
    }
    let mut fresh =
        made(spec, job, dir).map_err(|e| Fault::fatal("aggregate", format!("{}: {e}", e.what)))?;
    if let Some(saved) = saved {
        fresh.merge(saved)?;
    }
    fresh.result()
}
