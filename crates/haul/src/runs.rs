//! From flags to run directories.

use std::env;
use std::path::{Path, PathBuf};

use haul_connect::steps::download::Depot;
use haul_core::job::{Given, Job, StepKind, parse};
use haul_engine::rundir::{Index, RunDir, RunDirError, RunLock, StateDir, find};

use crate::{exit, output};

/// Where runs of the working directory are.
pub fn state_dir(said: Option<&Path>) -> StateDir {
    match said {
        Some(path) => StateDir::at(path),
        None => StateDir::within(&working_directory()),
    }
}

/// Runs from anywhere, where the user has a home.
pub fn index() -> Option<Index> {
    Index::of_user(|name| env::var_os(name))
}

/// The working directory; `.` when it was deleted under us.
pub fn working_directory() -> PathBuf {
    env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

/// The run that a person means; a problem has been told, and the exit status is given.
pub fn find_run(state: Option<&Path>, query: Option<&str>) -> Result<RunDir, u8> {
    find(&state_dir(state), index().as_ref(), query).map_err(|e| {
        output::complain(&e.to_string());
        status_of(&e)
    })
}

/// Deletes a run that nobody drives, and says so.
pub fn delete(dir: &RunDir) -> Result<(), u8> {
    let job = job_of(dir);
    dir.lock().and_then(RunLock::delete).map_err(|e| {
        output::complain(&e.to_string());
        status_of(&e)
    })?;
    for step in job.iter().flat_map(|job| &job.steps) {
        if let StepKind::Download(download) = &step.kind
            && let Some(to) = download.directory()
        {
            Depot::forget(Path::new(to), dir.name());
        }
    }
    output::complain(&format!("run {} is deleted", dir.name()));
    Ok(())
}

/// What a run does; a job that cannot be read any more says nothing.
fn job_of(dir: &RunDir) -> Option<Job> {
    let text = dir.job_text().ok()?;
    parse(&Given { text: &text, name: dir.name(), profile: None, set: &[] }).ok().map(|parsed| parsed.job)
}

/// Who types.
pub fn who() -> String {
    let named =
        ["USER", "LOGNAME", "USERNAME"].iter().find_map(|v| env::var(v).ok().filter(|v| !v.is_empty()));
    named.unwrap_or_else(|| "somebody".to_owned())
}

/// The exit status of a run directory that cannot be used.
pub fn status_of(e: &RunDirError) -> u8 {
    match e {
        RunDirError::BadName { .. }
        | RunDirError::OtherIdentity { .. }
        | RunDirError::NotFound { .. }
        | RunDirError::Ambiguous { .. } => exit::USAGE,
        e if e.is_disk_full() => exit::STOPPED,
        // The command is right, and the world is not.
        _ => exit::NO_START,
    }
}
