//! `haul plan`: the job file that a command stands for, on standard output; what it will take, on standard
//! error.

use clap::{Args, Subcommand};
use haul_core::job::write;

use super::copy::CopyArgs;
use super::crawl::CrawlArgs;
use super::enrich::EnrichArgs;
use super::get::GetArgs;
use crate::jobfile::{self, JobFlags, Loaded};
use crate::lower::Said;
use crate::{diagnostic, exit, forecast, lower, output, stores};

/// What to plan: a verb with its flags, or a job file.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct PlanArgs {
    #[command(subcommand)]
    verb: Option<Planned>,
    /// The job file
    #[arg(value_name = "JOB.toml", required = true)]
    job: Option<String>,
    /// Measure first, with so many items (of an API in pages: so many pages), and with more for two
    /// seconds where neither a rate nor -j is given: what reads is sent, what writes is not
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000), global = true)]
    probe: Option<u64>,
    /// One object with the job and its forecast, on standard output
    #[arg(long, id = "plan_json")]
    json: bool,
    /// The job only, no forecast
    #[arg(short, long, id = "plan_quiet")]
    quiet: bool,
    #[command(flatten)]
    over: JobFlags,
}

const EXAMPLES: &str = "\
Examples:
  haul plan enrich pairs.csv --lookup user='http://localhost:8000/users/{user_id}' \\
    --to out.jsonl > job.toml
  haul plan enrich pairs.csv --lookup user='http://localhost:8000/users/{user_id}' \\
    --to out.jsonl --probe 500
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

    /// `--json` and `--quiet`.
    fn shown(&self) -> (bool, bool) {
        let show = match self {
            Planned::Copy(args) => args.run.show,
            Planned::Crawl(args) => args.run.show,
            Planned::Enrich(args) => args.run.show,
            Planned::Get(args) => args.run.show,
        };
        (show.json, show.quiet)
    }
}

/// Prints the job and what it will take; nothing is written.
pub fn run(args: &PlanArgs) -> u8 {
    let loaded = match (&args.verb, &args.job) {
        (Some(verb), _) => verb.lower().map(|Said { job, places }| Loaded {
            job,
            places,
            name: String::new(),
            text: String::new(),
        }),
        (None, Some(file)) => jobfile::load(file, &args.over),
        (None, None) => {
            output::complain("plan what? Give a verb with its flags, or a job file: haul plan JOB.toml");
            return exit::USAGE;
        }
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let (json, quiet) = args.verb.as_ref().map_or((args.json, args.quiet), Planned::shown);
    let text = write(&loaded.job);
    // The job is worth having even where nothing can be measured.
    if !json && !output::data(text.as_bytes()) || quiet && !json && args.probe.is_none() {
        return exit::DONE;
    }
    match forecast::of_job(&loaded.job, args.probe) {
        Ok(found) if json => {
            output::line(&forecast::json(&found, &text).to_string());
            exit::DONE
        }
        Ok(found) => {
            if !quiet {
                output::tell(&forecast::text(&found));
            }
            exit::DONE
        }
        Err(problem) => {
            let file = (!loaded.name.is_empty()).then(|| loaded.file());
            problem.tell(&loaded.places, file)
        }
    }
}
