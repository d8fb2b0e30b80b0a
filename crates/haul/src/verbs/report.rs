//! `haul report`: what became of a run and why it took as long as it did.

use std::path::PathBuf;

use clap::Args;

use crate::flags::RunQuery;
use crate::report::{self, Facts};
use crate::{exit, output};

/// Which run, and how it is told.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    #[command(flatten)]
    pub query: RunQuery,
    /// A JSON object on stdout, with every interval
    #[arg(long, conflicts_with = "html")]
    pub json: bool,
    /// One HTML file that needs nothing else; without a name NAME.html, - for stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "", require_equals = true)]
    pub html: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  haul report
  haul report enrich-pairs --html
  haul report --html=- > report.html";

/// Makes it.
pub fn run(args: &ReportArgs) -> u8 {
    let dir = match args.query.find() {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    let name = dir.name().to_owned();
    let facts = match Facts::of(dir) {
        Ok(facts) => facts,
        Err(e) => {
            output::complain(&e.to_string());
            return exit::NO_START;
        }
    };
    let Some(file) = &args.html else {
        match args.json {
            true => output::line(&facts.json().to_string()),
            false => output::data(report::text(&facts).as_bytes()),
        };
        return exit::DONE;
    };
    let page = report::html(&facts);
    if file == "-" {
        output::data(page.as_bytes());
        return exit::DONE;
    }
    let path = PathBuf::from(if file.is_empty() { format!("{name}.html") } else { file.clone() });
    match std::fs::write(&path, page) {
        Ok(()) => {
            output::tell(&format!("report of run {name}: {}", path.display()));
            exit::DONE
        }
        Err(e) => {
            output::complain(&format!("cannot write {}: {e}", path.display()));
            exit::NO_START
        }
    }
}
