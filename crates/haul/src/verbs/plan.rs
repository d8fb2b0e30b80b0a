//! `haul plan`: the job file that a command stands for, on standard output.

use clap::{Args, Subcommand};
use haul_core::job::write;

use super::copy::CopyArgs;
use super::crawl::CrawlArgs;
use super::enrich::EnrichArgs;
use super::get::GetArgs;
use crate::jobfile::{self, JobFlags};
use crate::lower::Said;
use crate::{diagnostic, exit, lower, output, stores};

/// What to plan: a verb with its flags, or a job file.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct PlanArgs {
    #[command(subcommand)]
    verb: Option<Planned>,
    /// The job file
    #[arg(value_name = "JOB.toml", required = true)]
    job: Option<String>,
    #[command(flatten)]
    over: JobFlags,
}

const EXAMPLES: &str = "\
Examples:
  haul plan enrich pairs.csv --lookup user='http://localhost:8000/users/{user_id}' \\
    --to out.jsonl > job.toml
  haul plan jobs/enrich.toml --set service.users.rate=50/s";

/// Verbs that lower to a job.
#[derive(Subcommand, Clone, Debug)]
enum Planned {
    /// The job of `haul copy` with these flags
    Copy(Box<CopyArgs>),
    /// The job of `haul crawl` with these flags
    Crawl(Box<CrawlArgs>),
    /// The job of `haul enrich` with these flags
    Enrich(Box<EnrichArgs>),
    /// The job of `haul get` with these flags
    Get(Box<GetArgs>),
}

impl Planned {
    /// What is wrong has been told, and the exit status is given.
    fn lower(&self) -> Result<Said, u8> {
        let said = match self {
            Planned::Copy(args) => lower::copy(args, &stores::load()?),
            Planned::Crawl(args) => lower::crawl(args),
            Planned::Enrich(args) => lower::enrich(args),
            Planned::Get(args) => lower::get(args),
        };
        said.map_err(|found| {
            diagnostic::tell_all(&found, None);
            exit::USAGE
        })
    }
}

/// Prints the job; nothing is done.
pub fn run(args: &PlanArgs) -> u8 {
    let job = match (&args.verb, &args.job) {
        (Some(verb), _) => match verb.lower() {
            Ok(said) => said.job,
            Err(status) => return status,
        },
        (None, Some(file)) => match jobfile::load(file, &args.over) {
            Ok(loaded) => loaded.job,
            Err(status) => return status,
        },
        (None, None) => {
            output::complain("plan what? Give a verb with its flags, or a job file: haul plan JOB.toml");
            return exit::USAGE;
        }
    };
    output::data(write(&job).as_bytes());
    exit::DONE
}
