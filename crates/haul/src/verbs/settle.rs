//! `haul settle`: a person says what became of items that failed or are in doubt.

use clap::{Args, ValueEnum};
use haul_engine::ledger::amend::Settled;
use haul_engine::ledger::read::{GroupId, Selection};
use haul_engine::ledger::run::wall;
use haul_engine::ledger::{Amend, Reader};

use super::errors::choose;
use crate::flags::RunQuery;
use crate::{exit, format, output, runs, summary};

/// Which items, and what became of them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SettleArgs {
    #[command(flatten)]
    pub query: RunQuery,
    /// The groups of `haul errors` that are meant: e1, e2
    #[arg(long, value_name = "ID", value_delimiter = ',', required = true)]
    pub only: Vec<GroupId>,
    /// What became of them
    #[arg(long = "as", value_name = "done|skipped|failed")]
    pub outcome: Outcome,
    /// How that is known; it is kept with who said it, and when
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// What a person may say.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Outcome {
    /// It happened
    Done,
    /// It is not needed
    Skipped,
    /// It did not happen, and will not be tried again by itself
    Failed,
}

const EXAMPLES: &str = "\
Example:
  haul settle enrich-pairs --only e3 --as done --reason 'all of them are in the index'";

/// Settles them, and says how the run stands now.
pub fn run(args: &SettleArgs) -> u8 {
    let dir = match args.query.find() {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    let fail = |e: &dyn std::fmt::Display| {
        output::complain(&e.to_string());
        exit::NO_START
    };
    if args.reason.trim().is_empty() {
        output::complain("--reason says how it is known: it is all that is left of these failures");
        return exit::USAGE;
    }
    let settled = || -> Result<u64, u8> {
        let lock = dir.lock().map_err(|e| fail(&e))?;
        let mut amend = Amend::open(&lock).map_err(|e| fail(&e))?.by(&runs::who());
        let groups = amend.groups().map_err(|e| fail(&e))?;
        let chosen = choose(&groups, &args.only).map_err(|message| {
            output::complain(&format!("run {}: {message}", dir.name()));
            exit::USAGE
        })?;
        let which = Selection::groups(chosen);
        let outcome = match args.outcome {
            Outcome::Done => Settled::Done,
            Outcome::Skipped => Settled::Skipped,
            Outcome::Failed => Settled::Failed,
        };
        amend.settle(&which, outcome, &args.reason, wall()).map_err(|e| fail(&e))
    };
    match settled() {
        Ok(n) => {
            output::complain(&format!("run {}: {} settled", dir.name(), format::items(n)));
            match Reader::open(dir.path()).and_then(|r| r.counts()) {
                Ok(counts) => output::tell(&summary::reconciliation(&counts)),
                Err(e) => return fail(&e),
            }
            exit::DONE
        }
        Err(status) => status,
    }
}
