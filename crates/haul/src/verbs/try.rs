//! `haul try`: the first items end to end, with every request and result shown; POST and PUT are kept
//! back, and no run is made.

use clap::{Args, Subcommand};

use super::crawl::CrawlArgs;
use super::enrich::EnrichArgs;
use super::get::GetArgs;
use crate::drive::Problem;
use crate::jobfile::{self, JobFlags, Loaded};
use crate::{diagnostic, exit, lower, output, trial};

/// What to try: a verb with its flags, a job file, or a URL or file to begin with.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct TryArgs {
    #[command(subcommand)]
    verb: Option<Tried>,
    /// A job file; or a URL or a file of rows, to be told what could be typed for it
    #[arg(value_name = "JOB.toml|URL|FILE", required = true)]
    what: Option<String>,
    /// A header for a URL that is looked at: 'Authorization: Bearer {env:TOKEN}'
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// An object a line for each item
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    over: JobFlags,
}

/// Items that are tried when `--limit` does not say how many.
const ITEMS: u64 = 5;

const EXAMPLES: &str = "\
Examples:
  haul try http://localhost:8000/users/1
  haul try pairs.csv
  haul try enrich pairs.csv --lookup user='http://localhost:8000/users/{user_id}'
  haul try crawl https://api.example/items --items .data --page page --limit 2
  haul try get contents.json --url mp4=.download_urls.mp4 --to content
  haul try jobs/enrich.toml";

/// Verbs that can be tried.
#[derive(Subcommand, Clone, Debug)]
enum Tried {
    /// haul enrich with these flags
    Enrich(Box<EnrichArgs>),
    /// haul crawl with these flags
    Crawl(Box<CrawlArgs>),
    /// haul get with these flags; files are looked at, and not saved
    Get(Box<GetArgs>),
}

/// Tries.
pub fn run(args: &TryArgs) -> u8 {
    if let Some(what) = args.what.as_deref().filter(|w| trial::is_input(w)) {
        let nowhere = haul_core::job::Places::default();
        let headers = match lower::headers_of_url(what, &args.headers) {
            Ok(headers) => headers,
            Err(found) => {
                diagnostic::tell_all(&found, None);
                return exit::USAGE;
            }
        };
        return trial::look(what, &headers).unwrap_or_else(|problem: Problem| problem.tell(&nowhere, None));
    }
    if !args.headers.is_empty() {
        output::complain(
            "-H here goes with a URL; with a verb it stands behind the verb: haul try enrich … -H …",
        );
        return exit::USAGE;
    }
    if let Some(what) = args.what.as_deref().filter(|w| trial::is_address(w)) {
        output::complain(&format!("{what} is no file; if it is a URL, say how it is reached"));
        output::tell(&format!("  hint: haul try http://{what} (or https://)"));
        return exit::USAGE;
    }
    let (loaded, json) = match job(args) {
        Ok(job) => job,
        Err(status) => return status,
    };
    // What a job file says of a limit is meant for the run.
    let most = said_limit(args).unwrap_or(ITEMS);
    let file = (!loaded.name.is_empty()).then(|| loaded.file());
    let tried = trial::of_job(&loaded.job, usize::try_from(most).unwrap_or(usize::MAX), json);
    tried.unwrap_or_else(|problem: Problem| problem.tell(&loaded.places, file))
}

/// `--limit`, wherever it stands.
fn said_limit(args: &TryArgs) -> Option<u64> {
    match &args.verb {
        Some(Tried::Enrich(verb)) => verb.read.limit,
        Some(Tried::Crawl(verb)) => verb.read.limit,
        Some(Tried::Get(verb)) => verb.read.limit,
        None => args.over.read.limit,
    }
}

/// The job, and whether a program reads what is shown.
fn job(args: &TryArgs) -> Result<(Loaded, bool), u8> {
    let (said, json) = match (&args.verb, &args.what) {
        (Some(Tried::Enrich(verb)), _) => {
            let mut verb = verb.clone();
            // What was looked up may go nowhere yet.
            if verb.post.is_none() && verb.to.is_none() {
                verb.to = Some("-".to_owned());
            }
            (lower::enrich(&verb), verb.run.show.json)
        }
        (Some(Tried::Crawl(verb)), _) => {
            let mut verb = verb.clone();
            if verb.to.is_none() && verb.count.is_empty() && verb.top.is_empty() && verb.stats.is_empty() {
                verb.to = Some("-".to_owned());
            }
            (lower::crawl(&verb), verb.run.show.json)
        }
        (Some(Tried::Get(verb)), _) => (lower::get(verb), verb.run.show.json),
        (None, Some(file)) => return jobfile::load(file, &args.over).map(|job| (job, args.json)),
        (None, None) => {
            output::complain("try what? Give a verb with its flags, a job file, a URL, or a file of rows");
            return Err(exit::USAGE);
        }
    };
    let said = said.map_err(|found| {
        diagnostic::tell_all(&found, None);
        exit::USAGE
    })?;
    Ok((Loaded { job: said.job, places: said.places, name: String::new(), text: String::new() }, json))
}
