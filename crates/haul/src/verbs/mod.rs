//! One file a verb, all of one shape: its arguments, and `run`.

pub mod count;
pub mod demo;
pub mod enrich;
pub mod errors;
pub mod lab;
pub mod plan;
pub mod retry;
pub mod run;
pub mod top;

use clap::Subcommand;

/// Every verb.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Join a stream against services, then send each item on or write it down
    Enrich(Box<enrich::EnrichArgs>),
    /// Print the records with the highest scores of huge files
    Top(Box<top::TopArgs>),
    /// Print the most common values of huge files
    Count(Box<count::CountArgs>),
    /// Run the job of a file
    Run(Box<run::RunArgs>),
    /// Print the job file that a command stands for
    Plan(plan::PlanArgs),
    /// Show what failed, was rejected or is in doubt
    Errors(errors::ErrorsArgs),
    /// Try failed items again
    Retry(Box<retry::RetryArgs>),
    /// See a run that is killed half-way lose nothing
    Demo(demo::DemoArgs),
    /// Play services to develop against, with faults and a record of the truth; make inputs
    Lab(Box<lab::LabArgs>),
}

/// Runs a verb; the exit status is given.
pub fn run(verb: Verb) -> u8 {
    match verb {
        Verb::Enrich(args) => enrich::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Count(args) => count::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Errors(args) => errors::run(&args),
        Verb::Retry(args) => retry::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Lab(args) => lab::run(*args),
    }
}
