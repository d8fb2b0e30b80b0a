//! `haul watch`: a screen on which a run can be followed and steered.

use clap::Args;

use crate::flags::RunQuery;
use crate::{exit, output, watch};

/// Which run.
#[derive(Args, Clone, Debug)]
#[command(after_help = KEYS)]
pub struct WatchArgs {
    #[command(flatten)]
    pub query: RunQuery,
}

const KEYS: &str = "\
Keys: q closes the screen, p pauses, r resumes, + and - raise and lower the rate by a quarter.
The run goes on when the screen is closed; a run that ended, or was killed, is shown from its ledger.";

/// Shows it until it is closed.
pub fn run(args: &WatchArgs) -> u8 {
    if !output::is_screen() {
        output::complain("watch needs a terminal; haul status shows a run once");
        return exit::USAGE;
    }
    let dir = match args.query.find() {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    match watch::show(dir) {
        Ok(()) => exit::DONE,
        Err(message) => {
            output::complain(&message);
            exit::NO_START
        }
    }
}
