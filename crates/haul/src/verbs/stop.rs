//! `haul stop`: ends a run in order; the same command goes on with it.

use clap::Args;
use haul_engine::rundir::{Status, look};
use haul_engine::socket::{Ask, Request};

use super::wait::wait;
use crate::flags::RunQuery;
use crate::{exit, output, runs, standing};

/// Which run.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StopArgs {
    #[command(flatten)]
    pub query: RunQuery,
    /// Do not wait for requests in flight
    #[arg(long)]
    pub now: bool,
}

const EXAMPLES: &str = "\
Example:
  haul stop enrich-pairs

It reads no more, lets requests in flight end, commits, and ends with exit status 4, as after a Ctrl-C.";

/// Asks the run's process, and waits until it has ended.
pub fn run(args: &StopArgs) -> u8 {
    let dir = match args.query.find() {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    if !matches!(look(dir.clone()).status, Status::Alive(_)) {
        output::complain(&format!("run {}: no process drives it", dir.name()));
        return exit::DONE;
    }
    let what = if args.now { Ask::StopNow } else { Ask::Stop };
    match standing::tell(&dir, &Request::new(what, runs::who())) {
        // How the run ended is told; that it could be stopped is what this command is asked for.
        Ok(_) => {
            wait(&dir, false);
            exit::DONE
        }
        Err(status) => status,
    }
}
