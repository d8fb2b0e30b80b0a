//! One file a verb, all of one shape: its arguments, and `run`.

pub mod check;
pub mod completions;
pub mod copy;
pub mod count;
pub mod crawl;
pub mod demo;
pub mod enrich;
pub mod errors;
pub mod gc;
pub mod get;
pub mod lab;
pub mod man;
pub mod pause;
pub mod plan;
pub mod report;
pub mod results;
pub mod resume;
pub mod retry;
pub mod rm;
pub mod run;
pub mod runs;
pub mod schema;
pub mod settle;
pub mod status;
pub mod stop;
pub mod top;
pub mod r#try;
pub mod tune;
pub mod wait;
pub mod watch;

use clap::Subcommand;
use haul_core::job::Diagnostic;

use crate::drive::{self, Wanted};
use crate::flags::RunFlags;
use crate::lower::Said;
use crate::{diagnostic, exit};

/// Every verb.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Download everything a manifest names, verified
    Get(Box<get::GetArgs>),
    /// Compare what a job should have saved with what is there
    Check(Box<check::CheckArgs>),
    /// Join a stream against services, then send each item on or write it down
    Enrich(Box<enrich::EnrichArgs>),
    /// Page through an API, as fast as it allows, and count or keep its records
    Crawl(Box<crawl::CrawlArgs>),
    /// Migrate objects from one store to another, verified
    Copy(Box<copy::CopyArgs>),
    /// Print the records with the highest scores of huge files
    Top(Box<top::TopArgs>),
    /// Print the most common values of huge files
    Count(Box<count::CountArgs>),
    /// Run the job of a file
    Run(Box<run::RunArgs>),
    /// Try the first items: every request and result shown, nothing written
    Try(Box<r#try::TryArgs>),
    /// Print the job file that a command stands for, and what it will take
    Plan(Box<plan::PlanArgs>),
    /// List runs and how they are
    Runs(runs::RunsArgs),
    /// Show how a run stands
    Status(status::StatusArgs),
    /// Wait until a run ends; its exit status is given
    Wait(wait::WaitArgs),
    /// Follow and steer a run on a screen
    Watch(watch::WatchArgs),
    /// Send nothing more until haul resume
    Pause(pause::PauseArgs),
    /// Go on after haul pause
    Resume(resume::ResumeArgs),
    /// End a run in order; the same command goes on with it
    Stop(stop::StopArgs),
    /// Change the pace of a run that works
    Tune(tune::TuneArgs),
    /// Print what a run has counted so far
    Results(results::ResultsArgs),
    /// Say what became of a run, and why it took as long as it did
    Report(report::ReportArgs),
    /// Show what failed, was rejected or is in doubt
    Errors(errors::ErrorsArgs),
    /// Try failed items again
    Retry(Box<retry::RetryArgs>),
    /// Say what became of items that failed or are in doubt
    Settle(settle::SettleArgs),
    /// Delete runs
    Rm(rm::RmArgs),
    /// Delete old runs that nobody needs
    Gc(gc::GcArgs),
    /// See a run that is killed half-way lose nothing
    Demo(demo::DemoArgs),
    /// Play services to develop against, with faults and a record of the truth; make inputs
    Lab(Box<lab::LabArgs>),
    /// Print the JSON Schema of job files, for editors
    Schema(schema::SchemaArgs),
    /// Print what a shell needs to complete verbs and flags
    Completions(completions::CompletionsArgs),
    /// Print or write manual pages
    Man(man::ManArgs),
}

/// Runs a verb; the exit status is given.
pub fn run(verb: Verb) -> u8 {
    match verb {
        Verb::Get(args) => get::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Enrich(args) => enrich::run(&args),
        Verb::Crawl(args) => crawl::run(&args),
        Verb::Copy(args) => copy::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Count(args) => count::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Try(args) => r#try::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Runs(args) => runs::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Wait(args) => wait::run(&args),
        Verb::Watch(args) => watch::run(&args),
        Verb::Pause(args) => pause::run(&args),
        Verb::Resume(args) => resume::run(&args),
        Verb::Stop(args) => stop::run(&args),
        Verb::Tune(args) => tune::run(&args),
        Verb::Settle(args) => settle::run(&args),
        Verb::Rm(args) => rm::run(&args),
        Verb::Gc(args) => gc::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Results(args) => results::run(&args),
        Verb::Errors(args) => errors::run(&args),
        Verb::Retry(args) => retry::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Lab(args) => lab::run(*args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args),
    }
}

/// Drives what the flags of a verb mean, or tells what is wrong with them. The exit status is given.
fn drive_said(said: Result<Said, Vec<Diagnostic>>, flags: &RunFlags) -> u8 {
    match said {
        Ok(said) => drive::drive(&Wanted { job: said.job, places: said.places, file: None, flags }),
        Err(found) => {
            diagnostic::tell_all(&found, None);
            exit::USAGE
        }
    }
}
