//! `haul pause`: nothing more is sent until `haul resume`.

use clap::Args;
use haul_engine::socket::{Ask, Request};

use crate::flags::RunQuery;
use crate::{runs, standing};

/// Which run.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PauseArgs {
    #[command(flatten)]
    pub query: RunQuery,
}

const EXAMPLES: &str = "\
Example:
  haul pause enrich-pairs

Requests in flight end; the run keeps its place and its connections. haul resume goes on.";

/// Asks the run's process.
pub fn run(args: &PauseArgs) -> u8 {
    standing::order(&args.query, &Request::new(Ask::Pause, runs::who()), "is paused already")
}
