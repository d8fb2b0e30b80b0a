//! Inputs to standard output.

use std::io::{self, ErrorKind, Write};
use std::ops::RangeInclusive;

use clap::{Args, Subcommand, ValueEnum};
use haul_lab::generate::{Flaw, Form, GenerateError, Ids, Manifest, Order, Pairs, Scores, Written};

const USAGE: u8 = 64;

/// What can be generated.
#[derive(Subcommand, Debug)]
pub(super) enum Kind {
    /// CSV lines `user_id,video_id`, no pair twice
    Pairs {
        #[command(flatten)]
        shared: Shared,
        /// Start with the line `user_id,video_id`
        #[arg(long)]
        header: bool,
        /// Share of lines that are invalid
        #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
        bad_rate: f64,
        /// User ids are 1 to this
        #[arg(long, value_name = "N", value_parser = count, default_value = "1M")]
        users: u64,
        /// Video ids are 1 to this
        #[arg(long, value_name = "N", value_parser = count, default_value = "5M")]
        videos: u64,
    },
    /// Lines `SCORE: RECORD` for `haul top`
    Scores {
        #[command(flatten)]
        shared: Shared,
        /// Bytes of a line
        #[arg(long, value_name = "BYTES", value_parser = count, default_value = "90")]
        size: u64,
        /// Order of the scores
        #[arg(long, value_enum, default_value_t = ScoreOrder::Random)]
        order: ScoreOrder,
        /// Make this line, counted from 1, invalid
        #[arg(long, value_name = "LINE", value_parser = count)]
        bad: Option<u64>,
        /// What is wrong with it
        #[arg(long, value_enum, default_value_t = BadAs::Json, requires = "bad")]
        bad_as: BadAs,
    },
    /// JSON Lines `{"id":…,"food_id":…}` for `haul count`
    Ids {
        #[command(flatten)]
        shared: Shared,
        /// Different food ids; without it every line has its own
        #[arg(long, value_name = "M", value_parser = count)]
        distinct: Option<u64>,
        /// A few ids are frequent and most are rare, instead of all alike
        #[arg(long, requires = "distinct")]
        zipf: bool,
        /// Only the food id, without JSON
        #[arg(long)]
        plain: bool,
    },
    /// A manifest of files of `haul lab files`, for `haul get`
    Manifest {
        #[command(flatten)]
        shared: Shared,
        /// Where the files are
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8004")]
        url: String,
        /// How it is written
        #[arg(long, value_enum, default_value_t = ManifestForm::Object)]
        form: ManifestForm,
        /// Bytes of the mp4s, as 5M..20M
        #[arg(long, value_name = "MIN..MAX", value_parser = sizes, default_value = "20k..200k")]
        video: RangeInclusive<u64>,
        /// Bytes of the pngs
        #[arg(long, value_name = "MIN..MAX", value_parser = sizes, default_value = "5k..20k")]
        image: RangeInclusive<u64>,
    },
}

/// See [`Form`].
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum ManifestForm {
    /// One object of records
    Object,
    /// One array of records
    Array,
    /// One record a line
    Lines,
    /// id,title,mp4,png
    Csv,
    /// One URL a line
    Urls,
}

/// Reads `20k..200k`.
fn sizes(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    Ok(count(from)?..=count(to)?)
}

/// What all generators take.
#[derive(Args, Debug)]
pub(super) struct Shared {
    /// Lines: 1000, 250k, 10M, or forever
    #[arg(short, long, value_name = "N", value_parser = count)]
    count: u64,
    /// Decides the lines
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do not say at the end what was written
    #[arg(short, long)]
    quiet: bool,
}

/// See [`Order`].
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum ScoreOrder {
    Random,
    Ascending,
    Descending,
}

/// See [`Flaw`].
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum BadAs {
    /// The score is not an integer
    Score,
    /// The record is cut off
    Json,
    /// The record is an array
    Object,
    /// The record has no id
    Id,
}

/// Reads `1000`, `1_000`, `250k`, `10M`, `2G`, `forever`.
fn count(text: &str) -> Result<u64, String> {
    if text == "forever" {
        return Ok(u64::MAX);
    }
    let (digits, scale) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1).unwrap_or_default(), 1_000),
        Some(b'M') => (text.get(..text.len() - 1).unwrap_or_default(), 1_000_000),
        Some(b'G') => (text.get(..text.len() - 1).unwrap_or_default(), 1_000_000_000),
        _ => (text, 1),
    };
    let number = digits.replace('_', "").parse::<u64>().ok().and_then(|n| n.checked_mul(scale));
    number.ok_or_else(|| format!("\"{text}\" is not a count: write it like 1000, 250k, 10M or forever"))
}

/// Writes; the exit status. A reader that has enough is no error.
pub(super) fn run(kind: &Kind) -> u8 {
    let (result, quiet) = write(kind);
    match result {
        Ok(written) => {
            if !quiet {
                let Written { lines, bad, bytes } = written;
                let bad = if bad > 0 { format!(", {bad} of them bad on purpose") } else { String::new() };
                let _ = writeln!(io::stderr(), "haul lab gen: {lines} lines{bad}, {bytes} bytes");
            }
            0
        }
        Err(GenerateError::Io(e)) if e.kind() == ErrorKind::BrokenPipe => 0,
        Err(e) => {
            let _ = writeln!(io::stderr(), "haul lab gen: {e}");
            if matches!(e, GenerateError::Spec(_)) { USAGE } else { 1 }
        }
    }
}

fn write(kind: &Kind) -> (Result<Written, GenerateError>, bool) {
    let out = &mut raw_stdout();
    match kind {
        Kind::Pairs { shared: c, header, bad_rate, users, videos } => {
            let (users, videos) = (*users, *videos);
            let pairs =
                Pairs { count: c.count, seed: c.seed, header: *header, bad_rate: *bad_rate, users, videos };
            (pairs.write_to(out), c.quiet)
        }
        Kind::Scores { shared: c, size, order, bad, bad_as } => {
            let order = match order {
                ScoreOrder::Random => Order::Random,
                ScoreOrder::Ascending => Order::Ascending,
                ScoreOrder::Descending => Order::Descending,
            };
            let flaw = match bad_as {
                BadAs::Score => Flaw::Score,
                BadAs::Json => Flaw::Json,
                BadAs::Object => Flaw::Object,
                BadAs::Id => Flaw::Id,
            };
            let size = usize::try_from(*size).unwrap_or(usize::MAX);
            let bad = bad.map(|line| (line, flaw));
            (Scores { count: c.count, seed: c.seed, size, order, bad }.write_to(out), c.quiet)
        }
        Kind::Manifest { shared: c, url, form, video, image } => {
            let form = match form {
                ManifestForm::Object => Form::Object,
                ManifestForm::Array => Form::Array,
                ManifestForm::Lines => Form::Lines,
                ManifestForm::Csv => Form::Csv,
                ManifestForm::Urls => Form::Urls,
            };
            let (url, video, image) = (url.clone(), video.clone(), image.clone());
            (Manifest { count: c.count, seed: c.seed, url, form, video, image }.write_to(out), c.quiet)
        }
        Kind::Ids { shared: c, distinct, zipf, plain } => {
            let (distinct, zipf, plain) = (*distinct, *zipf, *plain);
            (Ids { count: c.count, seed: c.seed, distinct, zipf, plain }.write_to(out), c.quiet)
        }
    }
}

/// Standard output without a second buffer where that is possible: the generators write large blocks,
/// which a line buffer would search for line ends.
#[cfg(unix)]
fn raw_stdout() -> impl Write {
    use std::os::fd::AsFd;
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(fd) => Box::new(std::fs::File::from(fd)) as Box<dyn Write>,
        Err(_) => Box::new(io::stdout().lock()),
    }
}

#[cfg(not(unix))]
fn raw_stdout() -> impl Write {
    io::stdout().lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_with_their_scale() {
        assert_eq!(count("1_000"), Ok(1000));
        assert_eq!(count("250k"), Ok(250_000));
        assert_eq!(count("10M"), Ok(10_000_000));
        assert_eq!(count("forever"), Ok(u64::MAX));
        for bad in ["", "k", "-1", "1.5M", "10T", "99999999999G"] {
            assert!(count(bad).is_err_and(|e| e.contains("250k")), "{bad}");
        }
    }
}
