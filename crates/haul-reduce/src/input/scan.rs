//! One scan over all inputs: threads, progress, and the first failure in the order of the input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::blocks::{Blocks, Plain, newlines_before};
use super::feed::feed;
use super::open::Access;
use super::{Bad, Input, Lines, Split};
use crate::limits;

/// How far a scan is; to be looked at from another thread.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Bytes scanned so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes to be scanned; `None` while not known.
    pub fn total(&self) -> Option<u64> {
        Some(self.total.load(Ordering::Relaxed)).filter(|t| *t > 0)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// An invalid line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// What the input is called.
    pub input: String,
    /// 1-based.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.input, self.line, self.reason)
    }
}

/// Why a scan ended before the end.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The first invalid line, in the order of the input.
    #[error("{0}")]
    Bad(BadLine),
    /// An input could not be read to its end (compressed data that is damaged is invalid input).
    #[error("{input}: {reason}")]
    Read {
        /// What the input is called.
        input: String,
        /// What the system says.
        reason: String,
        /// True when the bytes themselves are wrong.
        damaged: bool,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// Something beside the input went wrong (the disk is full while spilling).
    #[error("{0}")]
    Other(String),
}

/// What stopped a thread, and where.
#[derive(Debug)]
pub(super) struct Failure {
    input: u32,
    at: u64,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Bad(Bad),
    Io(io::Error),
}

impl Failure {
    pub(super) fn bad(bad: Bad) -> Self {
        Failure { input: bad.input, at: bad.at, why: Why::Bad(bad) }
    }

    pub(super) fn io(input: u32, at: u64, error: io::Error) -> Self {
        Failure { input, at, why: Why::Io(error) }
    }
}

/// What the threads of a scan share.
pub(super) struct Shared<'p> {
    pub(super) progress: &'p Progress,
    failed: AtomicBool,
    first: Mutex<Option<Failure>>,
}

impl Shared<'_> {
    /// Keeps the failure that is first in the order of the input.
    pub(super) fn fail(&self, failure: Failure) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.as_ref().is_none_or(|f| (failure.input, failure.at) < (f.input, f.at)) {
            *first = Some(failure);
        }
        self.failed.store(true, Ordering::Release);
    }

    /// True when what starts at this place lies behind a failure, so that nobody needs it.
    pub(super) fn is_past_failure(&self, input: u32, at: u64) -> bool {
        self.failed.load(Ordering::Acquire) && {
            let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.as_ref().is_some_and(|f| (input, at) > (f.input, f.at))
        }
    }
}

/// Names of the inputs, and where lines can be counted again.
#[derive(Debug)]
pub(crate) struct Places(Vec<(String, Option<PathBuf>)>);

impl Places {
    pub(crate) fn of(inputs: &[Input]) -> Self {
        let place = |i: &Input| (i.name().to_owned(), i.plain_path().map(Path::to_owned));
        Places(inputs.iter().map(place).collect())
    }

    fn name(&self, input: u32) -> &str {
        self.0.get(input as usize).map_or("input", |(name, _)| name)
    }

    /// Finds out the line number where it was not counted on the way.
    pub(crate) fn describe(&self, bad: Bad) -> BadLine {
        let mut line = bad.line;
        if line == 0
            && let Some((_, Some(path))) = self.0.get(bad.input as usize)
        {
            line = newlines_before(path, bad.at).map_or(0, |n| n + 1);
        }
        BadLine { input: self.name(bad.input).to_owned(), line, reason: bad.reason }
    }

    fn error(&self, failure: Failure) -> ScanError {
        match failure.why {
            Why::Bad(bad) if bad.fatal => ScanError::Other(bad.reason),
            Why::Bad(bad) => ScanError::Bad(self.describe(bad)),
            Why::Io(e) => {
                use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
                let damaged = matches!(e.kind(), InvalidData | InvalidInput | UnexpectedEof | Other);
                let what =
                    if damaged { "the compressed data is damaged or cut off" } else { "cannot be read" };
                ScanError::Read {
                    input: self.name(failure.input).to_owned(),
                    reason: format!("{what}: {e}"),
                    damaged,
                }
            }
        }
    }
}

/// Threads to scan with.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(limits::THREADS)
}

/// Shows every line of every input to one of the workers; each runs on a thread of its own.
pub(crate) fn scan<L: Lines>(
    inputs: Vec<Input>,
    split: Split,
    workers: &mut [L],
    progress: &Progress,
) -> Result<(), ScanError> {
    let places = Places::of(&inputs);
    if let Some(total) = inputs.iter().map(Input::size).sum::<Option<u64>>() {
        progress.total.store(total, Ordering::Relaxed);
    }
    let block =
        (limits::BLOCKS_BYTES / workers.len().max(1)).clamp(limits::BLOCK_BYTES_MIN, limits::BLOCK_BYTES);
    let shared = Shared { progress, failed: AtomicBool::new(false), first: Mutex::new(None) };
    let mut files: Vec<(u32, PathBuf, u64)> = Vec::new();
    for (index, input) in (0u32..).zip(inputs) {
        let reader = match input.access() {
            Ok(Access::Random { path, len }) if split == Split::Lines => {
                files.push((index, path, len));
                continue;
            }
            Ok(Access::Random { path, .. }) => File::open(path).map(|f| Box::new(f) as Box<dyn Read + Send>),
            Ok(Access::Serial(reader)) => Ok(reader),
            Err(e) => Err(e),
        };
        scan_files(&mut files, block, workers, &shared)?;
        if !shared.failed.load(Ordering::Acquire) {
            match reader {
                Ok(reader) => feed(index, reader, split, block, workers, &shared)?,
                Err(e) => shared.fail(Failure::io(index, 0, e)),
            }
        }
        if shared.failed.load(Ordering::Acquire) {
            break;
        }
    }
    scan_files(&mut files, block, workers, &shared)?;
    match shared.first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(places.error(failure)),
        None => Ok(()),
    }
}

/// Scans files that stand side by side as one list of blocks.
fn scan_files<L: Lines>(
    files: &mut Vec<(u32, PathBuf, u64)>,
    block: usize,
    workers: &mut [L],
    shared: &Shared<'_>,
) -> Result<(), ScanError> {
    let files = std::mem::take(files);
    let plain = files.iter().map(|(input, path, len)| Plain { input: *input, path, len: *len }).collect();
    let blocks = Blocks::new(plain, block);
    let threads = workers.len().min(usize::try_from(blocks.total()).unwrap_or(usize::MAX));
    let Some(workers) = workers.get_mut(..threads).filter(|w| !w.is_empty()) else { return Ok(()) };
    if let [only] = workers {
        blocks.work(only, shared);
        return Ok(());
    }
    std::thread::scope(|scope| {
        for worker in workers {
            let builder = std::thread::Builder::new().stack_size(limits::STACK_BYTES);
            let blocks = &blocks;
            builder.spawn_scoped(scope, move || blocks.work(worker, shared)).map_err(ScanError::Thread)?;
        }
        Ok(())
    })
}
