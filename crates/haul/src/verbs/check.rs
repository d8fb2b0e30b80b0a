//! `haul check`: what should be there, against what is. Changes nothing.

use std::path::Path;

use clap::{Args, Subcommand};
use haul_core::job::Diagnostic;

use super::copy::CopyArgs;
use super::get::GetArgs;
use crate::apart::{self, Named};
use crate::audit::{self, Audit, Reports};
use crate::drive::Problem;
use crate::flags::RunFlags;
use crate::jobfile::{self, JobFlags, Loaded};
use crate::lower::Said;
use crate::{diagnostic, exit, lower, output, stores};

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
    /// Write the names of files or keys of objects that are not there (- for standard output)
    #[arg(long, value_name = "FILE", global = true)]
    missing: Option<String>,
    /// Write the names of those that are not what they should be
    #[arg(long, value_name = "FILE", global = true)]
    different: Option<String>,
    /// Write the names of those that are there and should not be
    #[arg(long, value_name = "FILE", global = true)]
    extra: Option<String>,
    /// Read contents, not only what is known without: lengths, times, checksums of listings, first bytes
    #[arg(long, global = true)]
    reread: bool,
}

const EXAMPLES: &str = "\
Examples:
  haul check get contents.json --url mp4=.download_urls.mp4 --url 'png?=.download_urls.png' \\
    --as '{id}/{name}.{ext}' --to content --limit 50 --reread
  haul check jobs/get.toml --missing missing.txt --extra -
  haul check copy old:images new:images --missing missing.txt --extra extra.txt

Exit status 3: something is missing, different or, with --extra, too much.";

/// Verbs that can be checked.
#[derive(Subcommand, Clone, Debug)]
enum Checked {
    /// What `haul get` with these flags saves
    Get(Box<GetArgs>),
    /// What `haul copy` with these flags copies
    Copy(Box<CopyArgs>),
}

/// Compares.
pub fn run(args: &CheckArgs) -> u8 {
    let usual = RunFlags::default();
    let (loaded, flags, json) = match (&args.verb, &args.job) {
        (Some(Checked::Get(verb)), _) => (meant(lower::get(verb)), &verb.run, verb.run.show.json),
        (Some(Checked::Copy(verb)), _) => {
            let said = stores::load().and_then(|known| meant(lower::copy(verb, &known)));
            (said, &verb.run, verb.run.show.json)
        }
        (None, Some(file)) => (jobfile::load(file, &args.over), &usual, args.json),
        (None, None) => {
            output::complain("check what? Give a verb with its flags, or a job file: haul check JOB.toml");
            return exit::USAGE;
        }
    };
    let (loaded, reports) =
        match loaded.and_then(|loaded| open(&args.reports, &loaded).map(|reports| (loaded, reports))) {
            Ok(ready) => ready,
            Err(status) => return status,
        };
    let file = (!loaded.name.is_empty()).then(|| loaded.file());
    let audit = Audit { job: &loaded.job, flags, reread: args.reports.reread, json };
    audit::of_job(&audit, reports).unwrap_or_else(|problem: Problem| problem.tell(&loaded.places, file))
}

/// What flags mean; what is wrong with them has been told.
fn meant(said: Result<Said, Vec<Diagnostic>>) -> Result<Loaded, u8> {
    match said {
        Ok(Said { job, places }) => Ok(Loaded { job, places, name: String::new(), text: String::new() }),
        Err(found) => {
            diagnostic::tell_all(&found, None);
            Err(exit::USAGE)
        }
    }
}

fn open(flags: &ReportFlags, loaded: &Loaded) -> Result<Reports, u8> {
    let read = [
        Named { what: "the manifest", path: Path::new(&loaded.job.source.location) },
        Named { what: "the job", path: Path::new(&loaded.name) },
    ];
    let said = [("--missing", &flags.missing), ("--different", &flags.different), ("--extra", &flags.extra)];
    let written = said.iter().filter_map(|(what, path)| Some((what, path.as_deref().filter(|p| *p != "-")?)));
    let written: Vec<_> = written.map(|(what, path)| Named { what, path: Path::new(path) }).collect();
    if let Some(problem) = apart::clash(&read, &written) {
        output::complain(&problem);
        return Err(exit::USAGE);
    }
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
