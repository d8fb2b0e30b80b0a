//! `haul count`: the most common values of files, exact in bounded memory.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use haul_core::job::units::parse_size;
use haul_core::limits::MEMORY_DEFAULT;
use haul_reduce::{CountSpec, Format, Path};

use super::top::files::{self, Data, RowFlags};
use crate::{exit, output};

/// What to count.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CountArgs {
    /// Files, patterns, http(s) URLs, - for standard input
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Whose values to count, in JSON Lines or CSV; repeatable [default: each line is a value]
    #[arg(long, value_name = "PATH")]
    by: Vec<Path>,
    /// How many values to print
    #[arg(short, value_name = "N", default_value_t = 10)]
    n: u64,
    /// Memory for values; those that do not fit go to the disk [default: 12M]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Where those go [default: $TMPDIR, else /var/tmp]
    #[arg(short = 'T', long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,
    #[command(flatten)]
    rows: RowFlags,
}

const EXAMPLES: &str = "\
Prints {\"PATH\": [{\"value\": v, \"count\": n}, …]}: highest counts first, of equal counts the smaller value.
Integers are counted by value, strings by their text; a record without the value counts as null.
Exit status: 0 done; 1 a file was not found; 2 a line is invalid anywhere in the input (standard error names it).

Examples:
  haul count 'meals-*.jsonl.zst' --by .food_id -n 100
  haul count access.csv --by .country --by .status -n 5
  cut -f1 ids.tsv | haul count -";

/// Prints the most common values; the exit status.
pub fn run(args: &CountArgs) -> u8 {
    let names = match args.files.as_slice() {
        [] if files::is_piped() => vec!["-".to_owned()],
        [] => {
            output::complain(
                "count what? haul count FILE… --by PATH, as in: haul count meals.jsonl --by .food_id",
            );
            return exit::USAGE;
        }
        names => names.to_vec(),
    };
    let format = args.rows.format();
    if args.by.is_empty() && (format.is_some_and(|f| f != Format::Lines) || !args.rows.columns.is_empty()) {
        output::complain("whose values? Say it as in --by .food_id");
        return exit::USAGE;
    }
    let spec = CountSpec {
        by: args.by.clone(),
        limit: usize::try_from(args.n).unwrap_or(usize::MAX),
        format,
        columns: args.rows.columns(),
        skip: args.rows.skips(),
        memory: args.memory.unwrap_or(MEMORY_DEFAULT),
        dir: args.temp_dir.clone().unwrap_or_else(temp_dir),
    };
    let counted = files::open(&names)
        .map_err(Into::into)
        .and_then(|inputs| files::watched("count", |progress| haul_reduce::count(inputs, &spec, progress)));
    let counted = match counted {
        Ok(counted) => counted,
        Err(error) => return files::complain(&error),
    };
    let mut out = Data::default();
    // A reader that went away has enough.
    let _ = counted.write_json(&mut out).and_then(|()| out.flush());
    files::skipped(counted.skipped, &counted.first_skipped)
}

/// Where large temporary files belong: `/tmp` is memory on many systems.
fn temp_dir() -> PathBuf {
    let var_tmp = PathBuf::from("/var/tmp");
    match std::env::var_os("TMPDIR") {
        None if cfg!(unix) && var_tmp.is_dir() => var_tmp,
        _ => std::env::temp_dir(),
    }
}
