//! `haul resume`: goes on after `haul pause`.

use clap::Args;
use haul_engine::socket::{Ask, Request};

use crate::flags::RunQuery;
use crate::{runs, standing};

/// Which run.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub query: RunQuery,
}

const EXAMPLES: &str = "\
Example:
  haul resume enrich-pairs

A run that was stopped or killed goes on with the command that began it.";

/// Asks the run's process.
pub fn run(args: &ResumeArgs) -> u8 {
    standing::order(&args.query, &Request::new(Ask::Resume, runs::who()), "is not paused")
}
