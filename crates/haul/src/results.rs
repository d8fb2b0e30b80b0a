//! What a run has summed up so far, read from its ledger: while it works, after it died, and at its end.

use haul::aggregates::result;
use haul_connect::pages::coverage;
use haul_core::aggregate::Table;
use haul_core::job::{AggregateKind, AggregateSpec, Job};
use haul_core::ledger::{LedgerError, RecoveredSlice, SliceState};
use haul_core::record::write_json_string;
use haul_engine::ledger::Reader;
use haul_engine::ledger::read::SummedUp;
use haul_engine::rundir::RunDir;

/// Why results cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What an aggregate kept cannot be read.
    #[error("{0}")]
    Aggregate(haul_core::Fault),
}

/// The results as one JSON object, a value a line: what was counted by path, and of how much of the
/// source.
pub fn json(dir: &RunDir, job: &Job) -> Result<Vec<u8>, ResultsError> {
    let reader = Reader::open(dir.path())?;
    let SummedUp { aggregates: saved, slices } = reader.summed_up()?;
    let mut out = b"{".to_vec();
    for (i, spec) in job.aggregates.iter().enumerate() {
        let state = saved.iter().find(|(name, _)| *name == spec.name).map(|(_, saved)| saved.clone());
        let table = result(spec, job, &dir.spill(), state).map_err(ResultsError::Aggregate)?;
        if i > 0 {
            out.extend_from_slice(b",\n");
        }
        write_json_string(&title(spec), &mut out);
        out.extend_from_slice(b": ");
        write_table(spec, &table, &mut out);
    }
    if let Some(partial) = partial(job, &slices) {
        out.extend_from_slice(if job.aggregates.is_empty() { b"" } else { b",\n" });
        out.extend_from_slice(b"\"partial\": ");
        out.extend_from_slice(partial.as_bytes());
    }
    out.extend_from_slice(b"}\n");
    Ok(out)
}

/// What a result is called: its path, with a word before it unless it counts.
fn title(spec: &AggregateSpec) -> String {
    match &spec.kind {
        AggregateKind::Count { path, .. } => path.clone(),
        AggregateKind::Top { path, .. } => format!("top {path}"),
        AggregateKind::Stats { path } => format!("stats {path}"),
    }
}

fn write_table(spec: &AggregateSpec, table: &Table, out: &mut Vec<u8>) {
    let single = matches!(spec.kind, AggregateKind::Stats { .. });
    if !single {
        out.push(b'[');
    }
    for (i, row) in table.rows.iter().enumerate() {
        match (single, i) {
            (true, _) => {}
            (_, 0) => out.push(b'\n'),
            _ => out.extend_from_slice(b",\n"),
        }
        out.push(b'{');
        for (j, (column, value)) in table.columns.iter().zip(row).enumerate() {
            if j > 0 {
                out.extend_from_slice(b", ");
            }
            write_json_string(column, out);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
    }
    if !single {
        out.extend_from_slice(if table.rows.is_empty() { b"]" } else { b"\n]" });
    }
}

/// What a run has not read yet; `None` when it read everything.
fn partial(job: &Job, slices: &[RecoveredSlice]) -> Option<String> {
    if !slices.is_empty() && slices.iter().all(|s| s.state != SliceState::Open) {
        return None;
    }
    let Some(read) = job.source.pages.as_ref().and_then(|spec| coverage(spec, slices)) else {
        return Some("{\"done\": null}".to_owned());
    };
    let missing: Vec<String> = read.missing.iter().map(|(a, b)| format!("[{a},{b}]")).collect();
    // Never a whole that is not: 0.99999 is not 1.
    let done = (read.done * 1e6).floor() / 1e6;
    Some(format!("{{\"done\": {done}, \"missing\": [{}]}}", missing.join(",")))
}
