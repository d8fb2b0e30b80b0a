//! `haul run`: the job of a file.

use clap::Args;

use crate::drive::{self, Wanted};
use crate::flags::RunFlags;
use crate::jobfile::{self, JobFlags};

/// A job file, what is laid over it, and which run it is.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub job: String,
    #[command(flatten)]
    pub over: JobFlags,
    #[command(flatten)]
    pub run: RunFlags,
}

const EXAMPLES: &str = "\
Examples:
  haul run jobs/enrich.toml
  haul run jobs/enrich.toml --set service.users.url=https://users.example --run night";

/// Reads and drives.
pub fn run(args: &RunArgs) -> u8 {
    match jobfile::load(&args.job, &args.over) {
        Ok(loaded) => drive::drive(&Wanted {
            job: loaded.job.clone(),
            places: loaded.places.clone(),
            file: Some(loaded.file()),
            flags: &args.run,
        }),
        Err(status) => status,
    }
}
