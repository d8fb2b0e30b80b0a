//! `haul wait`: returns when a run ends, with its exit status.

use clap::Args;
use haul_engine::ledger::{Reader, RunState};
use haul_engine::rundir::RunDir;

use crate::flags::RunQuery;
use crate::{exit, output, standing, summary};

/// Which run.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct WaitArgs {
    #[command(flatten)]
    pub query: RunQuery,
    /// Say nothing
    #[arg(short, long)]
    pub quiet: bool,
}

const EXAMPLES: &str = "\
Example:
  haul wait enrich-pairs && echo done

The exit status is that of the run; 4 when its process was killed.";

/// Waits. A run that nobody drives has ended.
pub fn run(args: &WaitArgs) -> u8 {
    match args.query.find() {
        Ok(dir) => wait(&dir, args.quiet),
        Err(status) => status,
    }
}

/// Waits until nobody drives the run, says how it ended, and gives its exit status.
pub fn wait(dir: &RunDir, quiet: bool) -> u8 {
    let ended = dir.wait().map_err(|e| e.to_string()).and_then(|()| {
        let reader = Reader::open(dir.path()).map_err(|e| e.to_string())?;
        let info = reader.run().map_err(|e| e.to_string())?;
        Ok((info, reader.counts().map_err(|e| e.to_string())?))
    });
    let (info, counts) = match ended {
        Ok(ended) => ended,
        Err(message) => {
            output::complain(&message);
            return exit::NO_START;
        }
    };
    let (how, status) = match (info.state, info.exit_status) {
        (RunState::Running, _) => ("was killed", exit::STOPPED),
        (state, Some(status)) => (state.as_str(), status),
        (state, None) => (state.as_str(), exit::STOPPED),
    };
    if !quiet {
        output::complain(&format!("run {}: {how}", dir.name()));
        output::tell(&summary::reconciliation(&counts));
        if status == exit::STOPPED {
            output::tell(&format!("next: {}  (goes on where it was)", standing::go_on(dir)));
        }
    }
    status
}
