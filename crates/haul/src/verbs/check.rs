//! `haul check`: what should be there, against what is. Changes nothing.

use clap::{Args, Subcommand};

use super::get::GetArgs;
use crate::audit::{self, Audit, Reports};
use crate::drive::Problem;
use crate::flags::RunFlags;
use crate::jobfile::{self, JobFlags, Loaded};
use crate::{diagnostic, exit, lower, output};

/// What to check: a verb with its flags, or a job file.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct CheckArgs {
    #[command(subcommand)]
    verb: Option<Checked>,
    /// The job file
    #[arg(value_name = "JOB.toml", required = true)]
    job: Option<String>,
    #[command(flatten)]
    over: JobFlags,
    #[command(flatten)]
    reports: ReportFlags,
    /// A JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What is compared, and where it is told.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Check")]
pub struct ReportFlags {
    /// Write the names of files that are not there (- for standard output)
    #[arg(long, value_name = "FILE", global = true)]
    missing: Option<String>,
    /// Write the names of files that are not what they should be
    #[arg(long, value_name = "FILE", global = true)]
    different: Option<String>,
    /// Look for files that no record names, and write their names
    #[arg(long, value_name = "FILE", global = true)]
    extra: Option<String>,
    /// Read contents, not only lengths, times and first bytes
    #[arg(long, global = true)]
    reread: bool,
}

const EXAMPLES: &str = "\
Examples:
  haul check get contents.json --url mp4=.download_urls.mp4 --url 'png?=.download_urls.png' \\
    --as '{id}/{name}.{ext}' --to content --limit 50 --reread
  haul check jobs/get.toml --missing missing.txt --extra -

Exit status 3: something is missing, different or, with --extra, too much.";

/// Verbs that can be checked.
#[derive(Subcommand, Clone, Debug)]
enum Checked {
    /// What `haul get` with these flags saves
    Get(Box<GetArgs>),
}

/// Compares.
pub fn run(args: &CheckArgs) -> u8 {
    let usual = RunFlags::default();
    let (loaded, flags, json) = match (&args.verb, &args.job) {
        (Some(Checked::Get(verb)), _) => match lower::get(verb) {
            Ok(said) => {
                let (job, places) = (said.job, said.places);
                (
                    Loaded { job, places, name: String::new(), text: String::new() },
                    &verb.run,
                    verb.run.show.json,
                )
            }
            Err(found) => {
                diagnostic::tell_all(&found, None);
                return exit::USAGE;
            }
        },
        (None, Some(file)) => match jobfile::load(file, &args.over) {
            Ok(loaded) => (loaded, &usual, args.json),
            Err(status) => return status,
        },
        (None, None) => {
            output::complain("check what? Give a verb with its flags, or a job file: haul check JOB.toml");
            return exit::USAGE;
        }
    };
    let file = (!loaded.name.is_empty()).then(|| loaded.file());
    let reports = match open(&args.reports) {
        Ok(reports) => reports,
        Err(status) => return status,
    };
    let audit = Audit { job: &loaded.job, flags, reread: args.reports.reread, json };
    audit::of_job(&audit, reports).unwrap_or_else(|problem: Problem| problem.tell(&loaded.places, file))
}

fn open(flags: &ReportFlags) -> Result<Reports, u8> {
    let open = |said: &Option<String>| {
        said.as_deref().map(audit::Report::open).transpose().map_err(|message| {
            output::complain(&message);
            exit::NO_START
        })
    };
    Ok(Reports {
        missing: open(&flags.missing)?,
        different: open(&flags.different)?,
        extra: open(&flags.extra)?,
    })
}
