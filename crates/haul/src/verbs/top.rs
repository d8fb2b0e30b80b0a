//! `haul top`: the N highest scores of files, every byte validated.

mod download;
pub(super) mod files;

use clap::Args;
use haul_reduce::{By, Path, TopSpec};

use crate::{exit, output};
use files::{Data, RowFlags};

/// What to rank.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TopArgs {
    /// Files, patterns, http(s) URLs, - for standard input; the last argument is N unless -n says it
    #[arg(value_name = "FILE… N")]
    what: Vec<String>,
    /// How many
    #[arg(short, value_name = "N")]
    n: Option<u64>,
    /// Where the score is, in JSON Lines or CSV [default: lines are <score>: <record>]
    #[arg(long, value_name = "PATH")]
    by: Option<Path>,
    /// Where the id is
    #[arg(long, value_name = "PATH", default_value = ".id")]
    id: Path,
    /// Print whole records as well
    #[arg(long)]
    record: bool,
    /// The lowest scores instead of the highest
    #[arg(long)]
    lowest: bool,
    #[command(flatten)]
    rows: RowFlags,
}

const EXAMPLES: &str = "\
Prints a JSON array, best first: {\"score\": <score>, \"id\": <id>}. Of equal scores the earlier line is first.
Exit status: 0 done; 1 a file was not found; 2 a line is invalid anywhere in the input (standard error names it).

Examples:
  haul top scores.txt 10
  haul top 'logs/*.jsonl.gz' 5 --by .took_ms --id .request --record
  zstd -dc old.zst | haul top - 100 --lowest";

/// Prints the best; the exit status.
pub fn run(args: &TopArgs) -> u8 {
    let (names, limit) = match said(&args.what, args.n, files::is_piped()) {
        Ok(said) => said,
        Err(hint) => {
            output::complain(hint);
            return exit::USAGE;
        }
    };
    if args.by.is_none() && (args.rows.format().is_some() || !args.rows.columns.is_empty()) {
        output::complain("where is the score in a record? Say it as in --by .score");
        return exit::USAGE;
    }
    let spec = TopSpec {
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        lowest: args.lowest,
        records: args.record,
        skip: args.rows.skips(),
        id: args.id.clone(),
        by: args.by.clone().map(|path| By { path, format: args.rows.format(), columns: args.rows.columns() }),
    };
    let ranked = files::open(&names)
        .map_err(Into::into)
        .and_then(|inputs| files::watched("top", |progress| haul_reduce::top(inputs, &spec, progress)));
    let mut ranking = match ranked {
        Ok(ranking) => ranking,
        Err(error) => return files::complain(&error),
    };
    let mut out = Data::default();
    // A reader that went away has enough.
    let _ = ranking.write_json(&mut out).and_then(|()| std::io::Write::flush(&mut out));
    files::skipped(ranking.skipped, &ranking.first_skipped)
}

/// The inputs and how many: `FILE… N`, or `FILE…` with `-n N`.
fn said(what: &[String], n: Option<u64>, piped: bool) -> Result<(Vec<String>, u64), &'static str> {
    let (names, limit) = match (n, what.split_last()) {
        (Some(n), _) => (what, n),
        (None, Some((last, names))) => match last.parse() {
            Ok(n) => (names, n),
            Err(_) => return Err("how many? haul top FILE… N, as in: haul top scores.txt 10"),
        },
        (None, None) => return Err("top of what? haul top FILE… N, as in: haul top scores.txt 10"),
    };
    match names {
        [] if piped => Ok((vec!["-".to_owned()], limit)),
        [] => Err("which file? haul top FILE… N, as in: haul top scores.txt 10"),
        names => Ok((names.to_vec(), limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_argument_is_the_number_unless_it_was_said() {
        let said = |what: &[&str], n, piped| {
            let what: Vec<String> = what.iter().map(|s| (*s).to_owned()).collect();
            said(&what, n, piped)
        };
        assert_eq!(said(&["a", "b", "3"], None, false), Ok((vec!["a".to_owned(), "b".to_owned()], 3)));
        assert_eq!(said(&["a", "3"], Some(7), false), Ok((vec!["a".to_owned(), "3".to_owned()], 7)));
        assert_eq!(said(&["3"], None, true), Ok((vec!["-".to_owned()], 3)));
        assert!(said(&["3"], None, false).unwrap_err().contains("which file"));
        assert!(said(&["a"], None, true).unwrap_err().contains("how many"));
        assert!(said(&["a", "-1"], None, true).unwrap_err().contains("how many"));
    }
}
