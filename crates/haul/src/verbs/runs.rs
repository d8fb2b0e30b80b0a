//! `haul runs`: all runs, of this directory and of others, and how they are.

use std::path::PathBuf;

use clap::Args;
use haul_engine::ledger::{Reader, RunState};
use haul_engine::rundir::{Listed, Status, list};
use serde_json::{Value, json};

use crate::progress::counts_json;
use crate::{exit, format, output, runs, standing};

/// Which runs.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunsArgs {
    /// Only runs of this directory of runs
    #[arg(long)]
    pub here: bool,
    /// An object a line on stdout
    #[arg(long)]
    pub json: bool,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  haul runs
  haul runs --here --json";

/// Lists them, the one driven last first.
pub fn run(args: &RunsArgs) -> u8 {
    let state = runs::state_dir(args.state.as_deref());
    let index = if args.here { None } else { runs::index() };
    let all = list(&state, index.as_ref());
    if all.is_empty() && !args.json {
        output::complain(&format!("no runs in {} or elsewhere", state.path().display()));
    }
    let mut rows = Vec::new();
    for listed in &all {
        if args.json {
            if !output::line(&json_of(listed).to_string()) {
                return exit::DONE;
            }
            continue;
        }
        let away = listed.dir.path().parent() != Some(state.path());
        let place = if away { listed.dir.path().display().to_string() } else { String::new() };
        rows.push([listed.dir.name().to_owned(), state_of(listed), settled(listed), when(listed), place]);
    }
    output::data(columns(&rows).as_bytes());
    exit::DONE
}

/// Counts as of the last commit: the run's own row has them only once it ended.
fn counts(listed: &Listed) -> Option<haul_core::Counts> {
    match listed.status {
        Status::Unreadable(_) => None,
        Status::Ended(_) => listed.info.as_ref().map(|i| i.counts),
        _ => Reader::open(listed.dir.path()).and_then(|r| r.counts()).ok(),
    }
}

fn state_of(listed: &Listed) -> String {
    let word = standing::word(&listed.status, false);
    match (&listed.status, counts(listed)) {
        (Status::Ended(RunState::Finished), Some(c)) if c.has_open() => {
            format!("{word}, {} open", format::count(c.failed + c.rejected + c.in_doubt))
        }
        _ => word.to_owned(),
    }
}

fn settled(listed: &Listed) -> String {
    counts(listed)
        .map_or(String::new(), |c| format!("{} of {}", format::count(c.settled()), format::count(c.read())))
}

fn when(listed: &Listed) -> String {
    let since = listed.last_driven.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format::clock(haul_core::UnixMs(i64::try_from(since.as_millis()).unwrap_or(0)))
}

fn json_of(listed: &Listed) -> Value {
    let since = listed.last_driven.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    json!({
        "run": listed.dir.name(),
        "dir": listed.dir.path().to_string_lossy(),
        "state": standing::word(&listed.status, false),
        "counts": counts(listed).map(|c| counts_json(&c)),
        "last_driven_ms": u64::try_from(since.as_millis()).unwrap_or(0),
        "exit_status": listed.info.as_ref().and_then(|i| i.exit_status),
        "problem": match &listed.status { Status::Unreadable(reason) => Some(reason), _ => None },
    })
}

/// Left-aligned columns.
fn columns(rows: &[[String; 5]]) -> String {
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}
