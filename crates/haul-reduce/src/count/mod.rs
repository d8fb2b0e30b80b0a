//! Exact most-common values of files, in bounded memory.

mod aggregate;
pub(crate) mod entry;
mod hot;
mod key;
mod leaders;
pub(crate) mod log;
mod runs;
mod sketch;
mod spill;
mod table;
mod tally;

use std::io::{self, Write};
use std::path::PathBuf;

pub use aggregate::MostCommon;
use key::{Key, OwnedKey};
use tally::{Plan, Tally, leaders};

use crate::error::ReduceError;
use crate::format::csv::CsvLines;
use crate::format::jsonl::{JsonLines, Wanted};
use crate::format::plain::{PlainLines, TakeLine};
use crate::format::table::{Columns, Format, layouts};
use crate::format::{BadLines, Refusal, Row, Take, Written};
use crate::input::{BadLine, Input, Lines, Places, Progress, Split, scan, threads};
use crate::json::path::Path;
use crate::json::text;

/// Paths that can be counted in one scan.
pub const PATHS_MAX: usize = 4;

/// What to count.
#[derive(Clone, Debug)]
pub struct CountSpec {
    /// Whose values to count, up to [`PATHS_MAX`]; none: each line is a value.
    pub by: Vec<Path>,
    /// How many to report of each; memory is proportional to it.
    pub limit: usize,
    /// How records are written; `None`: told by name or content.
    pub format: Option<Format>,
    /// What is known of the columns of CSV files.
    pub columns: Columns,
    /// Pass over invalid lines instead of stopping at the first.
    pub skip: bool,
    /// Bytes that observations may take in memory; the others go to the disk.
    pub memory: u64,
    /// Where they go. About 3 bytes for an integer below 2³² that is not combined with another, 7 for
    /// other integers, and strings by their length.
    pub dir: PathBuf,
}

/// The most common values at one path.
#[derive(Clone, Debug)]
struct MostCommonValues {
    path: String,
    values: Vec<(OwnedKey, u64)>,
}

/// The most common values, and what was passed over.
#[derive(Clone, Debug)]
pub struct Counted {
    columns: Vec<MostCommonValues>,
    /// Records counted.
    pub records: u64,
    /// Different values at each path.
    pub distinct: Vec<u64>,
    /// Invalid lines that were passed over.
    pub skipped: u64,
    /// The first of them.
    pub first_skipped: Vec<BadLine>,
}

/// Counts the values in all inputs, on all cores.
pub fn count(inputs: Vec<Input>, spec: &CountSpec, progress: &Progress) -> Result<Counted, ReduceError> {
    match spec.by.as_slice() {
        [] => count_lines(inputs, spec, progress),
        [a] => count_rows(inputs, spec, progress, [a.clone()]),
        [a, b] => count_rows(inputs, spec, progress, [a.clone(), b.clone()]),
        [a, b, c] => count_rows(inputs, spec, progress, [a.clone(), b.clone(), c.clone()]),
        [a, b, c, d] => count_rows(inputs, spec, progress, [a.clone(), b.clone(), c.clone(), d.clone()]),
        _ => Err(ReduceError::Usage(format!("at most {PATHS_MAX} paths can be counted at once"))),
    }
}

fn count_lines(inputs: Vec<Input>, spec: &CountSpec, progress: &Progress) -> Result<Counted, ReduceError> {
    let plan = Plan::new(spec.memory, threads());
    let worker = || {
        let counting =
            Counting { tallies: [Tally::new(plan, &spec.dir)], room: Vec::new(), dir: &spec.dir, records: 0 };
        PlainLines::new(counting, spec.skip)
    };
    run(inputs, Split::Lines, (spec, plan), progress, worker, |w| (w.take, w.bad))
}

fn count_rows<const K: usize>(
    inputs: Vec<Input>,
    spec: &CountSpec,
    progress: &Progress,
    paths: [Path; K],
) -> Result<Counted, ReduceError> {
    let format = match (spec.format, inputs.first()) {
        (Some(format), _) => format,
        (None, Some(input)) => Format::detect(input)?,
        (None, None) => Format::Jsonl,
    };
    let plan = Plan::new(spec.memory / K as u64, threads());
    let take = || {
        let tallies = std::array::from_fn(|_| Tally::new(plan, &spec.dir));
        Counting { tallies, room: Vec::new(), dir: &spec.dir, records: 0 }
    };
    match format.delimiter() {
        Some(delimiter) => {
            let layouts = layouts(&inputs, delimiter, &spec.columns, &paths)?;
            let worker = || CsvLines::<K, _>::new(layouts.clone(), delimiter, take(), spec.skip);
            run(inputs, format.split(), (spec, plan), progress, worker, |w| (w.take, w.bad))
        }
        None if format == Format::Lines => {
            Err(ReduceError::Usage("plain lines have no members: leave out --by".to_owned()))
        }
        None => {
            let wanted = Wanted::new(paths).ok_or_else(|| {
                ReduceError::Usage("a path starts with a member; records are objects".to_owned())
            })?;
            let worker = || JsonLines::new(wanted.clone(), take(), spec.skip);
            run(inputs, format.split(), (spec, plan), progress, worker, |w| (w.take, w.bad))
        }
    }
}

fn run<'s, L: Lines, const K: usize>(
    inputs: Vec<Input>,
    split: Split,
    (spec, plan): (&'s CountSpec, Plan),
    progress: &Progress,
    worker: impl Fn() -> L,
    parts: impl Fn(L) -> (Counting<'s, K>, BadLines),
) -> Result<Counted, ReduceError> {
    let places = Places::of(&inputs);
    let mut workers: Vec<L> = (0..plan.threads).map(|_| worker()).collect();
    scan(inputs, split, &mut workers, progress)?;
    let mut bad = BadLines::new(spec.skip);
    let mut records = 0;
    let mut columns: [Vec<Tally>; K] = std::array::from_fn(|_| Vec::new());
    for worker in workers {
        let (counting, its_bad) = parts(worker);
        bad.merge(its_bad);
        records += counting.records;
        for (column, tally) in columns.iter_mut().zip(counting.tallies) {
            column.push(tally);
        }
    }
    let mut counted = Counted {
        columns: Vec::new(),
        records,
        distinct: Vec::new(),
        skipped: bad.count,
        first_skipped: bad.first.into_iter().map(|b| places.describe(b)).collect(),
    };
    for (i, column) in columns.into_iter().enumerate() {
        let leaders =
            leaders(column, plan, spec.limit).map_err(|e| ReduceError::Disk(cannot_spill(&spec.dir, &e)))?;
        counted.distinct.push(leaders.distinct);
        let path = spec.by.get(i).map_or(".".to_owned(), Path::to_string);
        counted.columns.push(MostCommonValues { path, values: leaders.into_sorted() });
    }
    Ok(counted)
}

fn cannot_spill(dir: &std::path::Path, e: &io::Error) -> String {
    let dir = dir.display();
    format!(
        "{dir}: {e} while values that do not fit into memory were kept there (--temp-dir names another place)"
    )
}

impl Counted {
    /// Writes `{".path": [{"value": v, "count": n}, …]}`, a value a line.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = Vec::new();
        out.write_all(b"{")?;
        for (i, column) in self.columns.iter().enumerate() {
            line.clear();
            line.extend_from_slice(if i == 0 { b"" } else { b",\n" });
            text::encode(column.path.as_bytes(), &mut line);
            line.extend_from_slice(b": [");
            for (j, (key, count)) in column.values.iter().enumerate() {
                line.extend_from_slice(if j == 0 { b"\n{\"value\": " } else { b",\n{\"value\": " });
                key.borrow().write_json(&mut line);
                line.extend_from_slice(b", \"count\": ");
                line.extend_from_slice(itoa::Buffer::new().format(*count).as_bytes());
                line.push(b'}');
                out.write_all(&line)?;
                line.clear();
            }
            line.extend_from_slice(if column.values.is_empty() { b"]" } else { b"\n]" });
            out.write_all(&line)?;
        }
        out.write_all(b"}\n")
    }
}

/// Counts `K` values of each record.
struct Counting<'s, const K: usize> {
    tallies: [Tally; K],
    room: Vec<u8>,
    dir: &'s std::path::Path,
    records: u64,
}

impl<const K: usize> Counting<'_, K> {
    #[cold]
    fn full(&self, e: &io::Error) -> Refusal {
        Refusal::Fatal(cannot_spill(self.dir, e))
    }
}

impl<const K: usize> Take<K> for Counting<'_, K> {
    #[inline(always)]
    fn take(&mut self, row: Row<'_, K>) -> Result<(), Refusal> {
        self.records += 1;
        for (tally, value) in self.tallies.iter_mut().zip(row.values) {
            if let Err(e) = tally.add(Key::of(value, row.written, &mut self.room)) {
                return Err(Refusal::Fatal(cannot_spill(self.dir, &e)));
            }
        }
        Ok(())
    }
}

impl TakeLine for Counting<'_, 1> {
    #[inline(always)]
    fn take_int(&mut self, n: i64) -> Result<(), Refusal> {
        self.records += 1;
        let [tally] = &mut self.tallies;
        tally.add_int(n).map_err(|e| self.full(&e))
    }

    fn take_text(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.records += 1;
        let [tally] = &mut self.tallies;
        let result = tally.add(Key::of(Some(line), Written::Text, &mut self.room));
        result.map_err(|e| self.full(&e))
    }
}
