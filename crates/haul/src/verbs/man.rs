//! `haul man`: manual pages, for a terminal or a package.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use crate::{cli, exit, output};

/// Which page, or where to put all of them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// The verb [default: haul itself]
    #[arg(value_name = "VERB", conflicts_with = "to")]
    pub verb: Option<String>,
    /// Write the pages of all verbs into this directory
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  haul man tune > haul-tune.1
  haul man --to man1";

/// Prints a page, or writes all.
pub fn run(args: &ManArgs) -> u8 {
    let haul = cli::command();
    let written = match (&args.to, &args.verb) {
        (Some(dir), _) => {
            write_all(&haul, dir).map_err(|e| (exit::NO_START, format!("{}: {e}", dir.display())))
        }
        (None, None) => page(&haul, "haul").map_err(|e| (exit::NO_START, e.to_string())).map(print),
        (None, Some(verb)) => match haul.find_subcommand(verb) {
            Some(command) => {
                page(command, &format!("haul-{verb}")).map_err(|e| (exit::NO_START, e.to_string())).map(print)
            }
            None => Err((exit::USAGE, format!("there is no verb {verb}: haul shows all of them"))),
        },
    };
    written.map_or_else(
        |(status, message)| {
            output::complain(&message);
            status
        },
        |()| exit::DONE,
    )
}

fn print(page: Vec<u8>) {
    output::data(&page);
}

/// The page of a command, in roff.
fn page(command: &Command, title: &str) -> io::Result<Vec<u8>> {
    let named = command.clone().display_name(title).bin_name(title.replacen('-', " ", 1));
    let mut text = Vec::new();
    Man::new(named).title(title).render(&mut text)?;
    Ok(text)
}

/// `haul.1`, `haul-enrich.1`, and so on.
fn write_all(haul: &Command, dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("haul.1"), page(haul, "haul")?)?;
    for verb in haul.get_subcommands().filter(|c| !c.is_hide_set()) {
        let title = format!("haul-{}", verb.get_name());
        std::fs::write(dir.join(format!("{title}.1")), page(verb, &title)?)?;
    }
    Ok(())
}
