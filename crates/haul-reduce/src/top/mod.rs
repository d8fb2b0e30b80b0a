//! The N highest (or lowest) scores of a file, every byte of it validated.

mod aggregate;
pub(crate) mod best;
pub(crate) mod scores;

use std::io::{self, Write};

pub use aggregate::Top;
use best::{Best, Entry, Place};
use scores::ScoreLines;

use crate::error::ReduceError;
use crate::format::csv::{CsvLines, write_text};
use crate::format::jsonl::{JsonLines, Wanted};
use crate::format::table::{Columns, Format, layouts};
use crate::format::{BadLines, Refusal, Row, Take, Written};
use crate::input::{BadLine, Input, Lines, Places, Progress, Split, scan, threads};
use crate::json::number::Number;
use crate::json::path::Path;

/// What to rank.
#[derive(Clone, Debug)]
pub struct TopSpec {
    /// How many; memory is proportional to it.
    pub limit: usize,
    /// The lowest instead of the highest.
    pub lowest: bool,
    /// Keep whole records.
    pub records: bool,
    /// Pass over invalid lines instead of stopping at the first.
    pub skip: bool,
    /// Where the id is.
    pub id: Path,
    /// Where the score is; `None` for lines of the form `<score>: <record>`.
    pub by: Option<By>,
}

/// Ranking by a value of the record.
#[derive(Clone, Debug)]
pub struct By {
    /// Where the score is: a number of any size and notation.
    pub path: Path,
    /// How records are written; `None`: told by name or content.
    pub format: Option<Format>,
    /// What is known of the columns of CSV files.
    pub columns: Columns,
}

/// The best, and what was passed over.
#[derive(Debug)]
pub struct Ranking {
    best: Best,
    records: bool,
    /// Invalid lines that were passed over.
    pub skipped: u64,
    /// The first of them.
    pub first_skipped: Vec<BadLine>,
}

/// Ranks the lines of all inputs, on all cores.
pub fn top(inputs: Vec<Input>, spec: &TopSpec, progress: &Progress) -> Result<Ranking, ReduceError> {
    let best = || Best::new(spec.limit, spec.lowest);
    if spec.id.first().is_none() {
        return Err(ReduceError::Usage(format!(
            "{} does not start with a member; records are objects",
            spec.id
        )));
    }
    let Some(by) = &spec.by else {
        let worker = || ScoreLines::new(&spec.id, best(), spec.records, spec.skip);
        return rank(inputs, Split::Lines, spec, progress, worker, |w| (w.best, w.bad));
    };
    let format = match (by.format, inputs.first()) {
        (Some(format), _) => format,
        (None, Some(input)) => Format::detect(input)?,
        (None, None) => Format::Jsonl,
    };
    let take = || ByValue {
        by: by.path.clone(),
        id: spec.id.clone(),
        records: spec.records,
        best: best(),
        text: Vec::new(),
    };
    let paths = [by.path.clone(), spec.id.clone()];
    match format.delimiter() {
        Some(delimiter) => {
            let layouts = layouts(&inputs, delimiter, &by.columns, &paths)?;
            let worker = || CsvLines::<2, _>::new(layouts.clone(), delimiter, take(), spec.skip);
            rank(inputs, format.split(), spec, progress, worker, |w| (w.take.best, w.bad))
        }
        None if format == Format::Lines => {
            Err(ReduceError::Usage("plain lines have no members to rank by".to_owned()))
        }
        None => {
            let wanted = Wanted::new(paths)
                .ok_or_else(|| ReduceError::Usage(format!("{} does not start with a member", by.path)))?;
            let worker = || JsonLines::new(wanted.clone(), take(), spec.skip);
            rank(inputs, format.split(), spec, progress, worker, |w| (w.take.best, w.bad))
        }
    }
}

fn rank<L: Lines>(
    inputs: Vec<Input>,
    split: Split,
    spec: &TopSpec,
    progress: &Progress,
    worker: impl Fn() -> L,
    parts: impl Fn(L) -> (Best, BadLines),
) -> Result<Ranking, ReduceError> {
    let places = Places::of(&inputs);
    let mut workers: Vec<L> = (0..threads()).map(|_| worker()).collect();
    scan(inputs, split, &mut workers, progress)?;
    let mut best = Best::new(spec.limit, spec.lowest);
    let mut bad = BadLines::new(spec.skip);
    for worker in workers {
        let (its_best, its_bad) = parts(worker);
        best.merge(&its_best);
        bad.merge(its_bad);
    }
    let first_skipped = bad.first.into_iter().map(|b| places.describe(b)).collect();
    Ok(Ranking { best, records: spec.records, skipped: bad.count, first_skipped })
}

impl Ranking {
    /// Writes a JSON array, an entry a line: `{"score": <score>, "id": <id>}`.
    pub fn write_json(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = Vec::new();
        let mut separator = "[\n";
        for entry in self.best.sorted() {
            line.clear();
            line.extend_from_slice(separator.as_bytes());
            line.extend_from_slice(b"{\"score\": ");
            entry.write_score(&mut line);
            line.extend_from_slice(b", \"id\": ");
            line.extend_from_slice(entry.id);
            if self.records {
                line.extend_from_slice(b", \"record\": ");
                line.extend_from_slice(entry.record);
            }
            line.push(b'}');
            out.write_all(&line)?;
            separator = ",\n";
        }
        out.write_all(if separator == "[\n" { b"[]\n" } else { b"\n]\n" })
    }
}

fn missing(path: &Path) -> Refusal {
    Refusal::Invalid(format!("the record has no {path}"))
}

/// Ranks rows by one of their values.
struct ByValue {
    by: Path,
    id: Path,
    records: bool,
    best: Best,
    text: Vec<u8>,
}

impl Take<2> for ByValue {
    #[inline(always)]
    fn take(&mut self, row: Row<'_, 2>) -> Result<(), Refusal> {
        let [score, id] = row.values;
        let score = score.ok_or_else(|| missing(&self.by))?;
        let id = id.ok_or_else(|| missing(&self.id))?;
        let score = if row.written == Written::Text { score.trim_ascii() } else { score };
        let Some((key, exact)) = Number::parse(score).map(|n| n.key()) else {
            let shown =
                String::from_utf8_lossy(score.get(..score.len().min(40)).unwrap_or_default()).into_owned();
            return Err(Refusal::Invalid(format!("{} is {shown}, which is not a number", self.by)));
        };
        if !self.best.wants(key, exact) {
            return Ok(());
        }
        let place = Place { input: row.input, at: row.at };
        let record = if self.records { row.record } else { &[] };
        self.text.clear();
        let id = match row.written {
            Written::Json => id,
            Written::Text => {
                write_text(id, &mut self.text);
                &self.text
            }
        };
        self.best.push(Entry { key, exact, score, id, record, place });
        Ok(())
    }

    fn wants_record(&self) -> bool {
        self.records
    }
}
