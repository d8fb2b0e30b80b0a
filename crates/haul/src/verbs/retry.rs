//! `haul retry`: failed items once more, from the results they have, with fresh attempts.

use std::path::PathBuf;

use clap::Args;
use haul_core::job::{Given, Job, Places, parse};
use haul_engine::ledger::read::{GroupId, Selection};
use haul_engine::ledger::run::wall;
use haul_engine::ledger::{Amend, Filter, Reader};
use haul_engine::rundir::RunDir;

use super::errors::choose;
use crate::drive::{self, Again, Run};
use crate::flags::{BackgroundFlags, ExistsFlags, PaceFlags, ReadFlags, RunFlags, ShowFlags};
use crate::lower::{self, Problems};
use crate::{diagnostic, exit, format, output, runs};

/// Which run, which failures, at which pace.
#[derive(Args, Clone, Debug)]
pub struct RetryArgs {
    /// A run: its name, a beginning of it that no other has, or nothing for the latest
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Only these groups of `haul errors`: e1, e2 [default: all that failed; in-doubt ones must be named]
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<GroupId>,
    #[command(flatten)]
    pub pace: PaceFlags,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    pub state: Option<PathBuf>,
    #[command(flatten)]
    pub background: BackgroundFlags,
    #[command(flatten)]
    pub show: ShowFlags,
}

/// Reopens, and goes on with the run.
pub fn run(args: &RetryArgs) -> u8 {
    if args.background.detach && !args.background.detached {
        return drive::detach(args.show);
    }
    let prepared = runs::find_run(args.state.as_deref(), args.run.as_deref())
        .and_then(|dir| Ok((job_of(&dir, &args.pace)?, reopen(dir, args)?)));
    match prepared {
        Ok((job, Some(run))) => {
            let (background, show) = (args.background, args.show);
            let flags = RunFlags { state: args.state.clone(), background, show, ..RunFlags::default() };
            drive::go_on(Again { job, run, flags: &flags })
        }
        Ok((_, None)) => exit::DONE,
        Err(status) => status,
    }
}

/// The frozen job with the policies of the command line laid over it.
fn job_of(dir: &RunDir, pace: &PaceFlags) -> Result<Job, u8> {
    let text = dir.job_text().map_err(|e| {
        output::complain(&e.to_string());
        exit::NO_START
    })?;
    let path = dir.job().display().to_string();
    let file = diagnostic::File { name: &path, text: &text };
    let parsed = parse(&Given { text: &text, name: "job", profile: None, set: &[] }).map_err(|found| {
        diagnostic::tell_all(&found, Some(file));
        exit::NO_START
    })?;
    let mut job = parsed.job;
    let mut places = Places::default();
    let mut problems = Problems::default();
    let nothing = (pace, &ReadFlags::default(), ExistsFlags::default());
    lower::overlay(&mut job, nothing, &mut places, &mut problems);
    problems.finish(&job, &places).map_err(|found| {
        diagnostic::tell_all(&found, None);
        exit::USAGE
    })?;
    Ok(job)
}

/// Takes the run and parks what is to be tried again; `None` when there is nothing, which has been
/// told.
fn reopen(dir: RunDir, args: &RetryArgs) -> Result<Option<Run>, u8> {
    let fail = |e: &dyn std::fmt::Display| {
        output::complain(&e.to_string());
        exit::NO_START
    };
    let lock = dir.lock().map_err(|e| fail(&e))?;
    let mut amend = Amend::open(&lock).map_err(|e| fail(&e))?;
    let groups = amend.groups().map_err(|e| fail(&e))?;
    let filter = if args.only.is_empty() {
        Filter::default()
    } else {
        let chosen = choose(&groups, &args.only).map_err(|message| {
            output::complain(&format!("run {}: {message}", dir.name()));
            exit::USAGE
        })?;
        Selection::groups(chosen)
    };
    let reopened = amend.reopen(&filter, wall()).map_err(|e| fail(&e))?;
    drop(amend);
    if reopened.rejected > 0 {
        let text = format!(
            "{} rejected: bad input cannot be tried again as it is",
            format::items(reopened.rejected)
        );
        output::complain(&text);
    }
    let counts = Reader::open(dir.path()).and_then(|r| r.counts()).map_err(|e| fail(&e))?;
    if reopened.items == 0 {
        let in_doubt = if counts.in_doubt > 0 && args.only.is_empty() {
            format!("; {} in doubt, to be named with --only", format::items(counts.in_doubt))
        } else {
            String::new()
        };
        output::complain(&format!("run {}: nothing to try again{in_doubt}", dir.name()));
        return Ok(None);
    }
    Ok(Some(Run { dir, lock, is_new: false, kept_as: None, counts, reopened: reopened.items }))
}
