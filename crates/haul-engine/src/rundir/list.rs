//! All runs and how they are.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::{Index, Owner, RunDir, StateDir};
use crate::ledger::{Reader, RunInfo, RunState};

/// How a run is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// A process drives it.
    Alive(Option<Owner>),
    /// Its process was killed: the same command goes on with it.
    Dead,
    /// It ended by itself.
    Ended(RunState),
    /// Its ledger cannot be read; the reason.
    Unreadable(String),
}

/// One run of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its directory.
    pub dir: RunDir,
    /// How it is.
    pub status: Status,
    /// What its ledger says of it, where it can be read.
    pub info: Option<RunInfo>,
    /// When a process last started on it.
    pub last_driven: SystemTime,
}

/// All runs of the state directory and of the index, the one driven last first.
pub fn list(state: &StateDir, index: Option<&Index>) -> Vec<Listed> {
    let mut runs: BTreeMap<_, RunDir> = BTreeMap::new();
    for run in state.runs().into_iter().chain(index.map(Index::runs).unwrap_or_default()) {
        let path = run.path().canonicalize().unwrap_or_else(|_| run.path().to_owned());
        runs.entry(path).or_insert(run);
    }
    let mut listed: Vec<Listed> = runs.into_values().map(look).collect();
    listed.sort_by(|a, b| b.last_driven.cmp(&a.last_driven).then_with(|| a.dir.name().cmp(b.dir.name())));
    listed
}

/// One run, looked at now.
pub fn look(dir: RunDir) -> Listed {
    let last_driven = dir.last_driven();
    let driven = dir.driven_by();
    let opened = if driven.is_some() { Reader::open(dir.path()) } else { Reader::glance(dir.path()) };
    let info = opened.and_then(|r| r.run());
    let status = match (driven, &info) {
        (Some(owner), _) => Status::Alive(owner),
        (None, Err(e)) => Status::Unreadable(e.to_string()),
        (None, Ok(info)) if info.state == RunState::Running => Status::Dead,
        (None, Ok(info)) => Status::Ended(info.state),
    };
    Listed { dir, status, info: info.ok(), last_driven }
}
