//! `haul rm`: deletes runs. Files that they wrote elsewhere stay.

use std::path::PathBuf;

use clap::Args;

use crate::{exit, runs};

/// Which runs.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RmArgs {
    /// Runs: names, or beginnings that no other has
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<String>,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Example:
  haul rm enrich-pairs-239f

What is deleted cannot go on, and its failures can no longer be looked at. A run that a process drives
is not deleted.";

/// Deletes each; the first problem decides the exit status, the others are still deleted.
pub fn run(args: &RmArgs) -> u8 {
    let mut worst = exit::DONE;
    for query in &args.runs {
        let status = runs::find_run(args.state.as_deref(), Some(query)).and_then(|dir| runs::delete(&dir));
        match status {
            Ok(()) => {}
            Err(status) if worst == exit::DONE => worst = status,
            Err(_) => {}
        }
    }
    worst
}
