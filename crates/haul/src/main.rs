//! The `haul` command.

#![allow(unreachable_pub, reason = "in a program, pub says that other rooms may use it")]

mod apart;
mod audit;
mod cli;
mod copied;
mod cost;
mod diagnostic;
mod drive;
mod exit;
mod flags;
mod forecast;
mod format;
mod jobfile;
mod log;
mod lower;
mod metrics;
mod open_files;
mod output;
mod progress;
mod report;
mod results;
mod runs;
mod signals;
mod standing;
mod stores;
mod summary;
mod trial;
mod typed;
mod verbs;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let status = match cli::parse() {
        Ok(verb) => verbs::run(verb),
        Err(status) => status,
    };
    ExitCode::from(match output::lost() {
        Some(why) if status == exit::DONE => {
            output::complain(&format!("standard output: {why}: not everything was written"));
            exit::NO_START
        }
        _ => status,
    })
}
