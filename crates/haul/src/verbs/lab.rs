//! `haul lab`: simulated services to develop against, and inputs for them.

mod generate;
mod per_service;
mod serve;

use std::net::IpAddr;

use clap::{Args, Subcommand};

use per_service::PerService;

/// Simulated services with scripted faults and a record of the truth; input generators.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
                  haul lab users,videos,index --error-rate 5% --latency 20ms\n  \
                  haul lab gen pairs --count 1000 > pairs.csv\n\n\
                  Values may be given per service: --error-rate 0.05 --error-rate index=0.2\n\
                  While it runs: GET /_truth, POST /_reset, POST /_set '{\"error_rate\": 0.5, \"down_ms\": 5000}'; \
                  each also with /SERVICE or /all.\n\
                  Ctrl-C ends it and prints what was really asked for and accepted."
)]
pub struct LabArgs {
    #[command(subcommand)]
    generate: Option<Generate>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Everything but generators.
#[derive(Args, Debug)]
struct ServeArgs {
    /// Services to play: users, videos, index, pages, files, s3
    #[arg(value_name = "SERVICE", value_delimiter = ',', required = true)]
    services: Vec<String>,
    /// First port: users at it, videos, index, pages, files and s3 at the next five; 0 takes any free ones
    #[arg(long, value_name = "BASE", default_value_t = 8000)]
    port: u16,
    /// Address to listen at
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Decides contents and faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Server threads
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Addresses, and at the end the truth, as JSON Lines on standard output
    #[arg(long)]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    pages: PagesArgs,
    #[command(flatten)]
    script: ScriptArgs,
}

/// What the pages service holds.
#[derive(Args, Debug)]
#[command(next_help_heading = "Pages")]
struct PagesArgs {
    /// Ids that may exist, the last excluded [default: 658330693..732158493]
    #[arg(long, value_name = "A..B", value_parser = per_service::ids)]
    ids: Option<std::ops::Range<u64>>,
    /// Share of them that do
    #[arg(long, value_name = "SHARE", default_value_t = 0.93)]
    density: f64,
    /// Put nine tenths of the ids into a hundredth of the range
    #[arg(long)]
    skew: bool,
}

/// How services behave. Shares are written 0.05 or 5%.
#[derive(Args, Debug)]
#[command(next_help_heading = "Faults (each [SERVICE=]VALUE, repeatable)")]
struct ScriptArgs {
    /// Share answered 500 or 503 before the effect
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    error_rate: Vec<PerService<f64>>,
    /// The status of those errors, instead of 500 and 503 by turns
    #[arg(long, value_name = "STATUS", value_parser = per_service::status)]
    error_status: Vec<PerService<u16>>,
    /// Share of connections closed before the effect
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    drop_rate: Vec<PerService<f64>>,
    /// Share whose effect happens, but whose reply is lost
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    reply_loss: Vec<PerService<f64>>,
    /// Share of replies cut off in the body
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    truncate_rate: Vec<PerService<f64>>,
    /// Share answered 200 with an HTML page
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    html_rate: Vec<PerService<f64>>,
    /// Share never answered
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    hang_rate: Vec<PerService<f64>>,
    /// Share of ids that do not exist
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    missing_rate: Vec<PerService<f64>>,
    /// Share of documents that the index refuses
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    refuse_rate: Vec<PerService<f64>>,
    /// Files: share of ids that give something else with status 200: HTML, JSON, another type, nothing
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    wrong_rate: Vec<PerService<f64>>,
    /// Files: share of ids that have moved
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    redirect_rate: Vec<PerService<f64>>,
    /// Files: share of requests answered with 10 KB/s
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    slow_rate: Vec<PerService<f64>>,
    /// Files: do not understand ranges
    #[arg(long)]
    no_ranges: bool,
    /// S3: share of objects that are said to have another ETag than theirs
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    etag_rate: Vec<PerService<f64>>,
    /// S3: do not compare what arrives with the MD5 that goes along
    #[arg(long)]
    no_digests: bool,
    /// Pages: share whose next page is said to be themselves
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    loop_rate: Vec<PerService<f64>>,
    /// Pages: share that starts some records early, as when records are put in before them
    #[arg(long, value_name = "SHARE", value_parser = per_service::share)]
    shift_rate: Vec<PerService<f64>>,
    /// Service time, as 20ms
    #[arg(long, value_name = "TIME", value_parser = per_service::millis)]
    latency: Vec<PerService<f64>>,
    /// Added to it at random, up to this
    #[arg(long, value_name = "TIME", value_parser = per_service::millis)]
    jitter: Vec<PerService<f64>>,
    /// Requests it can work on at once; more slow it down, four times as many are shed
    #[arg(long, value_name = "N", value_parser = per_service::number)]
    capacity: Vec<PerService<u32>>,
    /// Requests it admits, as 100/s; more get 429
    #[arg(long, value_name = "RATE", value_parser = per_service::rate)]
    rate_limit: Vec<PerService<u32>>,
    /// Say the limit in X-RateLimit headers
    #[arg(long)]
    rate_headers: bool,
    /// Retry-After of 429 and 503, as 5s
    #[arg(long, value_name = "TIME", value_parser = per_service::seconds)]
    retry_after: Vec<PerService<u32>>,
    /// Encode replies with gzip, unasked
    #[arg(long)]
    gzip: bool,
    /// Refuse with 401 or 403; 403@1000 lets a thousand requests through first
    #[arg(long, value_name = "STATUS[@N]", value_parser = per_service::deny)]
    deny: Vec<PerService<(u16, u64)>>,
    /// Ask for this bearer token
    #[arg(long, value_name = "TOKEN", value_parser = per_service::text)]
    token: Vec<PerService<String>>,
    /// Refuse connections in this window from the start, as 10s..25s
    #[arg(long, value_name = "FROM..UNTIL", value_parser = per_service::window)]
    down: Vec<PerService<per_service::Window>>,
}

/// Inputs for the workloads.
#[derive(Subcommand, Debug)]
enum Generate {
    /// Write an input to standard output: pairs, scores, ids, manifest
    #[command(subcommand)]
    Gen(generate::Kind),
}

/// Runs the verb; the exit status.
pub fn run(args: LabArgs) -> u8 {
    match args.generate {
        Some(Generate::Gen(kind)) => generate::run(&kind),
        None => serve::run(&args.serve),
    }
}
