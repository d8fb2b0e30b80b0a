//! From what people type to a run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Index, RunDir, RunDirError, StateDir};

/// The run that a query means: a name, a prefix of one name only, or the run driven last when nothing
/// is said. Runs of the state directory come before those that only the index knows.
pub fn find(state: &StateDir, index: Option<&Index>, query: Option<&str>) -> Result<RunDir, RunDirError> {
    if let Some(run) = query.and_then(|q| state.get(q)) {
        return Ok(run);
    }
    if let Some(run) = choose(state.runs(), query)? {
        return Ok(run);
    }
    let elsewhere = index.map(Index::runs).unwrap_or_default();
    let at = || state.path().display().to_string();
    choose(elsewhere, query)?.ok_or_else(|| match query {
        Some(query) => RunDirError::NotFound { query: query.to_owned(), state: at() },
        None => RunDirError::NoRuns { state: at() },
    })
}

fn choose(runs: Vec<RunDir>, query: Option<&str>) -> Result<Option<RunDir>, RunDirError> {
    let Some(query) = query else {
        return Ok(runs.into_iter().max_by_key(RunDir::last_driven));
    };
    let mut matching: BTreeMap<PathBuf, RunDir> = BTreeMap::new();
    for run in runs.into_iter().filter(|r| r.name().starts_with(query)) {
        matching.insert(run.path().to_owned(), run);
    }
    let exact = matching.values().filter(|r| r.name() == query).count() > 0;
    matching.retain(|_, r| !exact || r.name() == query);
    // A kept run is meant only when its name is spelt out.
    if matching.values().any(|r| !r.name().contains('@')) && !query.contains('@') {
        matching.retain(|_, r| !r.name().contains('@'));
    }
    match matching.len() {
        0 => Ok(None),
        1 => Ok(matching.into_values().next()),
        _ => {
            let names = matching
                .values()
                .map(|r| if exact { r.path().display().to_string() } else { r.name().to_owned() });
            Err(RunDirError::Ambiguous { query: query.to_owned(), names: names.take(10).collect() })
        }
    }
}
