//! What nobody tells of a run without a process: how far it is, and which values lead. Read from its ledger,
//! again only when that changed.

use std::sync::Arc;

use haul::aggregates::result;
use haul_connect::assemble::{AssembleContext, assemble};
use haul_core::aggregate::Saved;
use haul_core::job::{AggregateKind, Job};
use haul_core::ledger::{LedgerError, RecoveredSlice, SliceState};
use haul_engine::ledger::Reader;
use haul_engine::ledger::read::SummedUp;
use haul_engine::rundir::RunDir;
use haul_engine::view::Leading;

use crate::jobfile;
use crate::trial::Log;

/// Values of a count that are shown.
const LEADERS: usize = 3;
/// A log that is longer takes long to count: `haul results` does it.
const COUNTED: u64 = 64 << 20;

/// How a run without a process stands, beyond its counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Share of the input that was read and committed, where the whole is known.
    pub read: Option<f64>,
    /// By aggregate: the values that lead.
    pub leading: Leading,
}

impl Past {
    /// Reads it.
    ///
    /// # Errors
    /// The ledger cannot be read; that the job or the input is gone is no error, it is not told then.
    pub fn of(dir: &RunDir, reader: &Reader) -> Result<Past, LedgerError> {
        let SummedUp { aggregates, slices } = reader.summed_up()?;
        let Ok(job) = jobfile::of_run(dir) else { return Ok(Past::default()) };
        let leading = job.aggregates.iter().filter_map(|spec| {
            let AggregateKind::Count { .. } = spec.kind else { return None };
            let (_, saved) = aggregates.iter().find(|(name, _)| *name == spec.name)?;
            if matches!(saved, Saved::Log { len, .. } if *len > COUNTED) {
                return None;
            }
            let table = result(spec, &job, &dir.spill(), Some(saved.clone())).ok()?;
            let row = |row: &Vec<String>| Some((row.first()?.clone(), row.get(1)?.parse().ok()?));
            Some((spec.name.clone(), table.rows.iter().take(LEADERS).filter_map(row).collect()))
        });
        Ok(Past { read: share(&job, &slices), leading: leading.collect() })
    }
}

/// How much of the input was read.
fn share(job: &Job, slices: &[RecoveredSlice]) -> Option<f64> {
    if !slices.is_empty() && slices.iter().all(|s| s.state != SliceState::Open) {
        return Some(1.0);
    }
    if let Some(pages) = &job.source.pages {
        return haul_connect::pages::coverage(pages, slices).map(|read| read.done);
    }
    // Only a file says how large it is; nobody is asked.
    let context = AssembleContext {
        output: None,
        witness: Some(Arc::new(Log::default())),
        ..AssembleContext::default()
    };
    let whole = assemble(job, &context).ok()?.opener.size_hint().filter(|n| *n > 0)?;
    let read: u64 = slices.iter().map(|s| s.bytes).sum();
    Some((read as f64 / whole as f64).min(1.0))
}
