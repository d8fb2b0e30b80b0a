//! `haul retry`: failed items once more, from the results they have, with fresh attempts.

use std::path::PathBuf;

use clap::Args;
use haul_core::Counts;
use haul_core::job::{Given, Job, Places, parse};
use haul_core::ledger::Why;
use haul_engine::ledger::read::{Group, GroupId, Selection};
use haul_engine::ledger::run::wall;
use haul_engine::ledger::{Amend, Filter, Reader, RunState};
use haul_engine::rundir::RunDir;

use super::errors::choose;
use crate::drive::{self, Again, Run};
use crate::flags::{BackgroundFlags, EndFlags, ExistsFlags, PaceFlags, ReadFlags, RunFlags, ShowFlags};
use crate::lower::{self, Problems};
use crate::{diagnostic, exit, format, output, runs};

/// Which run, which failures, at which pace.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RetryArgs {
    /// A run: its name, a beginning of it that no other has, or nothing for the latest
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Only these groups of `haul errors`: e1, e2 [default: all that failed; in-doubt ones must be named]
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<GroupId>,
    /// Try so many first; the others only if none of these fails again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub canary: Option<u64>,
    #[command(flatten)]
    pub pace: PaceFlags,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    pub state: Option<PathBuf>,
    #[command(flatten)]
    pub background: BackgroundFlags,
    #[command(flatten)]
    pub end: EndFlags,
    #[command(flatten)]
    pub show: ShowFlags,
}

/// Reopens, and goes on with the run.
pub fn run(args: &RetryArgs) -> u8 {
    if args.background.detach && !args.background.detached {
        return drive::detach(args.show);
    }
    match runs::find_run(args.state.as_deref(), args.run.as_deref()) {
        Ok(dir) if args.canary.is_some() => with_canary(dir, args),
        Ok(dir) => go(dir, args, u64::MAX),
        Err(status) => status,
    }
}

const EXAMPLES: &str = "\
Examples:
  haul retry enrich-pairs
  haul retry --only e1 --canary 10 --rate 20/s";

/// Reopens at most so many, and goes on with the run.
fn go(dir: RunDir, args: &RetryArgs, most: u64) -> u8 {
    let prepared = job_of(&dir, &args.pace).and_then(|job| Ok((job, reopen(dir, args, most)?)));
    match prepared {
        Ok((job, Some(run))) => {
            let (background, show, end) = (args.background, args.show, args.end.clone());
            let flags = RunFlags { state: args.state.clone(), background, end, show, ..RunFlags::default() };
            drive::go_on(Again { job, run, flags: &flags })
        }
        Ok((_, None)) => exit::DONE,
        Err(status) => status,
    }
}

/// A few first, the others when these did not fail again.
fn with_canary(dir: RunDir, args: &RetryArgs) -> u8 {
    let standing = |dir: &RunDir| {
        Reader::open(dir.path()).and_then(|r| Ok((r.run()?.state, r.counts()?))).map_err(|e| {
            output::complain(&e.to_string());
            exit::NO_START
        })
    };
    let open = |c: Counts| c.failed + c.in_doubt;
    let before = match standing(&dir) {
        Ok((RunState::Finished, counts)) => counts,
        Ok(_) => {
            output::complain(&format!(
                "run {}: it has not read everything, so a few of its items cannot be tried alone: go on with it first",
                dir.name()
            ));
            return exit::USAGE;
        }
        Err(status) => return status,
    };
    let most = args.canary.unwrap_or(u64::MAX);
    let eligible = if args.only.is_empty() { before.failed } else { chosen_items(&dir, &args.only) };
    let status = go(dir.clone(), args, most);
    let after = match standing(&dir) {
        Ok((RunState::Finished, counts)) => counts,
        Ok(_) => return status,
        Err(status) => return status,
    };
    let tried = eligible.min(most);
    let again = tried.saturating_sub(open(before).saturating_sub(open(after)));
    if again > 0 {
        output::complain(&format!(
            "{} of {} failed again: the others are left as they were",
            format::count(again),
            format::items(tried)
        ));
        return exit::OPEN;
    }
    if eligible <= most { status } else { go(dir, args, u64::MAX) }
}

/// Items of these groups that can be tried again; what is wrong with the ids is told later.
fn chosen_items(dir: &RunDir, only: &[GroupId]) -> u64 {
    let groups = Reader::open(dir.path()).and_then(|r| r.groups()).unwrap_or_default();
    let meant = |g: &&Group| only.contains(&g.id) && g.why != Why::Rejected;
    groups.groups.iter().filter(meant).map(|g| g.count).sum()
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
fn reopen(dir: RunDir, args: &RetryArgs, most: u64) -> Result<Option<Run>, u8> {
    let fail = |e: &dyn std::fmt::Display| {
        output::complain(&e.to_string());
        exit::NO_START
    };
    let lock = dir.lock().map_err(|e| fail(&e))?;
    let mut amend = Amend::open(&lock).map_err(|e| fail(&e))?.by(&runs::who());
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
    let reopened = amend.reopen_some(&filter, most, wall()).map_err(|e| fail(&e))?;
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
    Ok(Some(Run {
        dir,
        lock,
        is_new: false,
        kept_as: None,
        counts,
        reopened: reopened.items,
        renewed: false,
    }))
}
