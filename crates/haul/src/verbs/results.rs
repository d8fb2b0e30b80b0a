//! `haul results`: what a run has counted so far, while it works, after it died, and at its end.

use std::path::PathBuf;

use clap::Args;

use crate::{exit, jobfile, output, results, runs};

/// Which run.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ResultsArgs {
    /// A run: its name, a beginning of it that no other has, or nothing for the latest
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Results are JSON with and without this
    #[arg(long)]
    pub json: bool,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Example:
  haul results crawl-foodstats > counts.json";

/// Prints them.
pub fn run(args: &ResultsArgs) -> u8 {
    let dir = match runs::find_run(args.state.as_deref(), args.run.as_deref()) {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    let job = match jobfile::of_run(&dir) {
        Ok(job) => job,
        Err(message) => {
            output::complain(&message);
            return exit::NO_START;
        }
    };
    if job.aggregates.is_empty() {
        let rows = job.output.as_ref().map_or(String::new(), |o| format!("; its rows are in {}", o.path));
        output::complain(&format!("run {} counts nothing{rows}", dir.name()));
        return exit::USAGE;
    }
    match results::json(&dir, &job) {
        Ok(json) => {
            output::data(&json);
            exit::DONE
        }
        Err(e) => {
            output::complain(&format!("run {}: {e}", dir.name()));
            exit::NO_START
        }
    }
}
