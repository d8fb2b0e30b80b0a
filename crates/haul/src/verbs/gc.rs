//! `haul gc`: deletes old runs that nobody needs any more.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use haul_core::job::units::parse_duration;
use haul_engine::ledger::RunState;
use haul_engine::rundir::{Listed, Status, list};

use crate::{exit, format, output, runs};

/// Which runs.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GcArgs {
    /// Only runs that no process has driven for so long
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_duration)]
    pub older: Duration,
    /// Also runs of other directories
    #[arg(long)]
    pub everywhere: bool,
    /// Also runs that stopped, died or have failures: they can no longer go on or be retried
    #[arg(long)]
    pub unfinished: bool,
    /// Only say what would be deleted
    #[arg(long)]
    pub dry_run: bool,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  haul gc
  haul gc --older 7d --everywhere --dry-run

Without --unfinished only runs go whose items are all done or skipped.";

/// Deletes them, each with a word.
pub fn run(args: &GcArgs) -> u8 {
    let state = runs::state_dir(args.state.as_deref());
    let index = if args.everywhere { runs::index() } else { None };
    let all = list(&state, index.as_ref());
    let old: Vec<&Listed> =
        all.iter().filter(|l| is_old(l, args.older) && is_over(l, args.unfinished)).collect();
    let mut status = exit::DONE;
    let mut deleted = 0;
    for listed in &old {
        if args.dry_run {
            output::complain(&format!("run {} would be deleted", listed.dir.path().display()));
        } else if let Err(problem) = runs::delete(&listed.dir) {
            status = problem;
        } else {
            deleted += 1;
        }
    }
    let (deleted, kept) = (format::count(deleted), format::count((all.len() - old.len()) as u64));
    if !args.dry_run {
        output::complain(&format!("{deleted} runs deleted, {kept} kept"));
    }
    status
}

fn is_old(listed: &Listed, age: Duration) -> bool {
    listed.last_driven.elapsed().is_ok_and(|elapsed| elapsed >= age)
}

fn is_over(listed: &Listed, unfinished: bool) -> bool {
    let clean = listed.info.as_ref().is_some_and(|i| !i.counts.has_open());
    match listed.status {
        Status::Alive(_) | Status::Unreadable(_) => false,
        Status::Ended(RunState::Finished) => clean || unfinished,
        Status::Dead | Status::Ended(_) => unfinished,
    }
}
