//! Groups of flags that mean the same in every verb.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use haul_core::job::units::{parse_duration, parse_size};
use haul_core::job::{
    Column, Concurrency, Delivery, Goal, HeaderMode, IfChanged, MaxFailed, OnInvalid, parse_column,
};
use haul_core::pace::Bandwidth;
use haul_engine::rundir::RunDir;

use crate::log::LogFormat;
use crate::runs;

/// What is read.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input")]
pub struct SourceFlags {
    /// The input is comma-separated values
    #[arg(long, conflicts_with_all = ["tsv", "jsonl", "each"])]
    pub csv: bool,
    /// The input is tab-separated values
    #[arg(long, conflicts_with_all = ["jsonl", "each"])]
    pub tsv: bool,
    /// The input is one JSON object a line
    #[arg(long, conflicts_with = "each")]
    pub jsonl: bool,
    /// The input is one JSON document, with its records at this path: '.[]', '.data.items[]'
    #[arg(long, value_name = "PATH")]
    pub each: Option<String>,
    /// Whether the first line names the columns
    #[arg(long, value_name = "yes|no|auto", value_parser = header_mode)]
    pub csv_header: Option<HeaderMode>,
    /// Names and types of the columns: user_id:int,video_id:int (str, int, float, bool, json)
    #[arg(long, value_name = "NAME:TYPE,…", value_delimiter = ',', value_parser = parse_column)]
    pub columns: Vec<Column>,
    /// What to call an item: '{user_id},{video_id}'
    #[arg(long, value_name = "TEMPLATE")]
    pub key: Option<String>,
    /// Take only items for which this jq expression is true: '.age > 40' (fields of a CSV are text
    /// unless --columns gives them a type)
    #[arg(long = "where", value_name = "EXPR")]
    pub filter: Option<String>,
}

/// Which objects are meant, by length and age. It is part of a run's identity, as --where is.
#[derive(Args, Clone, Debug, Default)]
pub struct ChosenFlags {
    /// Take only objects of at least so many bytes: 100k, 4KiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub min_size: Option<u64>,
    /// Take only objects of at most so many bytes
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_size: Option<u64>,
    /// Take only objects that were last written so long ago, or longer: 1h, 30d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub min_age: Option<Duration>,
    /// Take only objects that were written within this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub max_age: Option<Duration>,
}

/// How the input is read; none of it belongs to a run's identity.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input")]
pub struct ReadFlags {
    /// Stop reading after so many items
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// What to do with input that is no record: skip it (exit status 3) or stop (2)
    #[arg(long, value_name = "skip|stop", value_parser = on_invalid)]
    pub on_invalid: Option<OnInvalid>,
    /// What to do when the input changed since it was last read: skip-done, all or stop
    #[arg(long, value_name = "WHAT", value_parser = if_changed)]
    pub if_changed: Option<IfChanged>,
}

/// What to do with an output file that is there already.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct ExistsFlags {
    /// Empty the output file when it exists
    #[arg(long, conflicts_with = "append")]
    pub overwrite: bool,
    /// Write after what the output file holds
    #[arg(long)]
    pub append: bool,
}

/// How fast, and how patiently. None of it belongs to a run's identity.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Pace")]
pub struct PaceFlags {
    /// Requests in flight to each service: found while it works (auto), a number, which is also that
    /// of items in work, or found between two bounds [default: auto]
    #[arg(short = 'j', long, value_name = "auto|N|MIN..MAX", value_parser = Concurrency::parse)]
    pub concurrency: Option<Concurrency>,
    /// Ceiling of the rate, for each service or for one: 500/s, localhost:8001=100/min
    #[arg(long, value_name = "[HOST=]N/UNIT")]
    pub rate: Vec<String>,
    /// Bytes a second that may come in, always or at some time of the day: 20M, 08:00-19:00=20M
    #[arg(long, value_name = "[FROM-TO=]SIZE", value_parser = Bandwidth::parse)]
    pub bandwidth: Vec<Bandwidth>,
    /// Attempts an item gets before it fails [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: Option<u32>,
    /// Time in which an item may be tried again: 10m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub within: Option<Duration>,
    /// Stop when a service has refused everything for so long; the same command goes on [default: wait]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub give_up_after: Option<Duration>,
    /// Stop when more than so many items failed: 100, 5% [exit status 4]
    #[arg(long, value_name = "N|P%", value_parser = MaxFailed::parse)]
    pub max_failed: Option<MaxFailed>,
    /// Time for one attempt [default: 1m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// How urgent an item is, as a jq expression: 0, which is usual, to 3; true is 3
    #[arg(long, value_name = "EXPR")]
    pub priority: Option<String>,
    /// Latency to aim at, from reading an item to its outcome; reported as met or not: 'p95 < 5s'
    #[arg(long, value_name = "GOAL", value_parser = Goal::parse)]
    pub goal: Option<Goal>,
    /// Bytes held for everything that grows with the input [default: 12MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,
    /// What to do when the reply to a write was lost: send it again with the same key
    /// (at-least-once), or leave it in doubt (at-most-once)
    #[arg(long, value_name = "WHAT", value_parser = delivery)]
    pub delivery: Option<Delivery>,
}

/// A run that is there.
#[derive(Args, Clone, Debug, Default)]
pub struct RunQuery {
    /// A run: its name, a beginning of it that no other has, or nothing for the latest
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

impl RunQuery {
    /// Finds it; a problem has been told, and the exit status is given.
    pub fn find(&self) -> Result<RunDir, u8> {
        runs::find_run(self.state.as_deref(), self.run.as_deref())
    }
}

/// Which run, and what is shown of it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run")]
pub struct RunFlags {
    /// Name of the run [default: made from verb, source and identity]
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// Directory of runs [default: .haul]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Start over; the old run is kept as NAME@DATE
    #[arg(long)]
    pub fresh: bool,
    /// Keep standard input in the run directory, so that it need not be fed again
    #[arg(long)]
    pub spool: bool,
    /// Serve the run's figures for Prometheus at http://127.0.0.1:PORT/metrics; an address like
    /// 0.0.0.0:9464 is for other machines
    #[arg(long, value_name = "PORT|ADDR", value_parser = crate::metrics::parse_address)]
    pub metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub background: BackgroundFlags,
    #[command(flatten)]
    pub end: EndFlags,
    #[command(flatten)]
    pub show: ShowFlags,
}

/// What is done when a run ends.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "End")]
pub struct EndFlags {
    /// Write all items that failed, were rejected or are in doubt to a file, as JSON Lines
    #[arg(long, value_name = "FILE")]
    pub failed_to: Option<PathBuf>,
    /// Run a shell command when the run ends; it gets the summary as JSON, and HAUL_RUN and HAUL_STATUS
    #[arg(long, value_name = "CMD")]
    pub notify: Option<String>,
}

/// Whether the run keeps its terminal.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Run")]
pub struct BackgroundFlags {
    /// Work in the background: what is said goes to run.log, rows on standard output to out/stdout
    #[arg(short, long)]
    pub detach: bool,
    /// This is the process in the background
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// What is shown.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct ShowFlags {
    /// JSON instead of text: on stdout for what is asked for, JSON Lines on stderr for progress
    #[arg(long)]
    pub json: bool,
    /// How run.log is written, and standard error where it is no terminal
    #[arg(long, value_name = "text|json", default_value = "text", hide_default_value = true)]
    pub log_format: LogFormat,
    /// No progress and no summary; errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More about lanes and memory
    #[arg(short, long)]
    pub verbose: bool,
}

fn choose<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words.iter().find(|(w, _)| *w == text).map(|(_, v)| *v).ok_or_else(|| {
        let all = words.iter().map(|(w, _)| *w).collect::<Vec<_>>();
        match haul_core::job::nearest(text, all.iter().copied()) {
            Some(near) => format!("did you mean {near}? it is one of {}", all.join(", ")),
            None => format!("it is one of {}", all.join(", ")),
        }
    })
}

fn header_mode(text: &str) -> Result<HeaderMode, String> {
    choose(text, &[("yes", HeaderMode::Yes), ("no", HeaderMode::No), ("auto", HeaderMode::Auto)])
}

fn on_invalid(text: &str) -> Result<OnInvalid, String> {
    choose(text, &[("skip", OnInvalid::Skip), ("stop", OnInvalid::Stop)])
}

fn if_changed(text: &str) -> Result<IfChanged, String> {
    choose(text, &[("skip-done", IfChanged::SkipDone), ("all", IfChanged::All), ("stop", IfChanged::Stop)])
}

fn delivery(text: &str) -> Result<Delivery, String> {
    choose(text, &[("at-least-once", Delivery::AtLeastOnce), ("at-most-once", Delivery::AtMostOnce)])
}
