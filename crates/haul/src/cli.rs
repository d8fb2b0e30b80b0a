//! The front door: what was typed, as a verb.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::verbs::Verb;
use crate::{exit, output};

/// The one sentence of the manual page.
const ABOUT: &str = "Do one thing to millions of items, against services you do not control: as fast as they allow, \
                     in constant memory, losing nothing and repeating nothing";

/// Shown by `haul` alone, `haul help` and `haul --help`.
const OVERVIEW: &str = "\
Do one thing to millions of items, against services you do not control:
as fast as they allow, in constant memory, losing nothing and repeating nothing.

  haul get contents.json --url mp4=.download_urls.mp4 --url png=.download_urls.png --to content
  haul enrich pairs.csv --lookup user='http://localhost:8000/users/{user_id}' \\
                        --lookup video='http://localhost:8001/videos/{video_id}' \\
                        --post http://localhost:8002/index
  haul crawl https://api.example/items --items .data --page page --count .kind:10
  haul run jobs/enrich.toml --set service.users.url=https://users.example
  haul top scores.txt 10
  haul lab users,videos,index --error-rate 5%

Work     get      download everything a manifest names, verified
         enrich   join a stream against services, then send each item on or write it down
         crawl    page through an API at its rate limit; count or keep its records
         copy     migrate objects from one store to another, verified
         top      print the records with the highest scores of huge files
         count    print the most common values of huge files
         run      run the job of a file
Before   try      show the first items end to end: every request and result; writes nothing
         plan     the job file that a command stands for, and what it will take
         check    compare what should be there with what is; changes nothing
During   runs     list runs and how they are
         status   show how a run stands, while it works and after
         wait     wait until a run ends; its exit status is given
         watch    follow and steer a run on a screen
         pause    send nothing more until resume
         resume   go on after pause
         stop     end a run in order; the same command goes on with it
         tune     change the pace of a run that works
         results  print what a run has counted so far
After    errors   show what failed, was rejected or is in doubt, by kind
         retry    try failed items again
         report   what became of a run and why: text, JSON, or one HTML page
         settle   say what became of items that failed or are in doubt
         rm       delete runs
         gc       delete old runs that nobody needs
Else     demo     see a run that is killed half-way lose nothing
         lab      play services to develop against, with faults; make inputs
         schema   print the JSON Schema of job files, for editors
         completions  print what a shell needs to complete verbs and flags
         man      print or write manual pages

`haul VERB --help` shows the flags of a verb. Data goes to stdout, all else to stderr.
Exit status: 0 done, 1 could not start, 2 bad input, 3 finished with failures,
4 stopped (the same command goes on), 64 wrong usage.
";

#[derive(Parser, Debug)]
#[command(name = "haul", version, about = ABOUT, override_help = OVERVIEW, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// All verbs and flags, as [`parse`] knows them.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the command line. `Err` is the exit status when there is nothing left to do: help was shown,
/// or the usage was wrong and has been told.
pub fn parse() -> Result<Verb, u8> {
    let mut args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|a| a == "help") {
        // `haul help plan` is `haul plan --help`.
        args.remove(1);
        args.push("--help".into());
    }
    if args.get(1).is_some_and(|a| a == "plan") {
        probe_last(&mut args);
    }
    match Cli::try_parse_from(args) {
        Ok(Cli { verb: Some(verb) }) => Ok(verb),
        Ok(Cli { verb: None }) => {
            output::data(OVERVIEW.as_bytes());
            Err(exit::DONE)
        }
        Err(error) => Err(tell(&error)),
    }
}

/// `haul plan --probe 500 enrich …` is `haul plan enrich … --probe 500`.
fn probe_last(args: &mut Vec<std::ffi::OsString>) {
    let words = match args.get(2).and_then(|a| a.to_str()) {
        Some("--probe") if args.len() > 4 => 2,
        Some(word) if word.starts_with("--probe=") => 1,
        _ => return,
    };
    let said: Vec<_> = args.drain(2..2 + words).collect();
    args.extend(said);
}

/// Help and version are data; everything else is wrong usage.
fn tell(error: &clap::Error) -> u8 {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::data(text.as_bytes());
            exit::DONE
        }
        _ => {
            let verb = std::env::args().nth(1).filter(|a| Cli::command().find_subcommand(a).is_some());
            output::complain(&usage(&text, verb.as_deref()));
            exit::USAGE
        }
    }
}

/// What clap says of wrong usage, without what helps nobody, and with the help to ask for.
fn usage(text: &str, verb: Option<&str>) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        // A flag that does not exist is hardly ever meant as a file name.
        let odd = line.trim_start().starts_with("tip: to pass '");
        if odd || line.is_empty() && out.ends_with("\n\n") {
            continue;
        }
        match (line, verb) {
            ("For more information, try '--help'.", Some(verb)) => {
                out.push_str(&format!("For more information, try 'haul {verb} --help'."));
            }
            ("For more information, try '--help'.", None) => {
                out.push_str("For more information, try 'haul --help'.")
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_overview_names_every_verb() {
        for verb in Cli::command().get_subcommands() {
            let named = OVERVIEW.lines().any(|l| l.split_whitespace().take(2).any(|w| w == verb.get_name()));
            assert!(named, "{} is missing in the overview", verb.get_name());
        }
    }
}
