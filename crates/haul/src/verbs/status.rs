//! `haul status`: how a run stands, while it works and after it ended or died.

use clap::Args;

use crate::flags::RunQuery;
use crate::standing::Standing;
use crate::{exit, output};

/// Which run.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    #[command(flatten)]
    pub query: RunQuery,
    /// A JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  haul status
  haul status enrich-pairs --json";

/// Shows it.
pub fn run(args: &StatusArgs) -> u8 {
    let dir = match args.query.find() {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    match Standing::of(dir) {
        Ok(standing) if args.json => output::line(&standing.json().to_string()),
        Ok(standing) => output::data(standing.text().as_bytes()),
        Err(e) => {
            output::complain(&e.to_string());
            return exit::NO_START;
        }
    };
    exit::DONE
}
