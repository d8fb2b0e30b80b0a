//! Counts keys: repeats are combined in small tables, the rest is stored by partition and counted a
//! partition at a time at the end.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::entry::{self, Entry, PARTITIONS};
use super::hot::{Hot, Left};
use super::key::Key;
use super::leaders::Leaders;
use super::runs::Runs;
use super::spill::{Partitions, entries};
use super::table::TextTable;
use crate::limits;

/// Bytes of the table that combines repeats of texts.
const HOT_TEXT_BYTES: usize = 256 * 1024;
/// Texts that pass it by when it was of no use.
const BYPASS: u32 = 1 << 18;

/// The observations of one thread.
pub(crate) struct Tally {
    hot: Hot,
    texts: TextTable,
    /// Texts added since the table was emptied.
    added: u32,
    bypass: u32,
    parts: Partitions,
}

/// How memory is divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Threads that can work in it.
    pub(crate) threads: usize,
    /// Bytes of a chunk; each thread has one for each partition.
    chunk: usize,
    /// Bytes a thread may use while it counts a partition.
    counting: usize,
}

impl Plan {
    /// Divides `memory` bytes between up to `threads` threads.
    pub(crate) fn new(memory: u64, threads: usize) -> Self {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX).max(limits::COUNT_BYTES_MIN);
        let fixed = HOT_TEXT_BYTES + limits::BLOCK_BYTES;
        let fits = |t: usize| (memory / t).saturating_sub(fixed) / PARTITIONS;
        let threads = (1..=threads.max(1)).rev().find(|t| fits(*t) >= limits::CHUNK_BYTES_MIN).unwrap_or(1);
        let chunk = fits(threads).clamp(limits::CHUNK_BYTES_MIN, limits::CHUNK_BYTES);
        // Whole blocks of the file system.
        let chunk = if chunk > 4096 { chunk & !4095 } else { chunk & !511 };
        Plan { threads, chunk, counting: memory / threads }
    }
}

impl Tally {
    /// Files go to `dir`, when there is more than fits.
    pub(crate) fn new(plan: Plan, dir: &Path) -> Self {
        let parts = Partitions::new(plan.chunk, dir);
        Tally { hot: Hot::new(), texts: TextTable::new(HOT_TEXT_BYTES), added: 0, bypass: 0, parts }
    }

    /// An integer.
    #[inline(always)]
    pub(crate) fn add_int(&mut self, n: i64) -> io::Result<()> {
        match self.hot.add(n) {
            Left::Nothing => Ok(()),
            Left::Itself => self.parts.push_int(n),
            Left::Other(other, 1) => self.parts.push_int(other),
            Left::Other(other, count) => self.parts.push(Key::Int(other), count),
        }
    }

    /// Any key.
    #[inline(always)]
    pub(crate) fn add(&mut self, key: Key<'_>) -> io::Result<()> {
        match key {
            Key::Int(n) => self.add_int(n),
            Key::Text(text) => self.add_text(text, false),
            Key::Json(text) => self.add_text(text, true),
        }
    }

    fn add_text(&mut self, text: &[u8], json: bool) -> io::Result<()> {
        if self.bypass > 0 {
            self.bypass -= 1;
            let key = if json { Key::Json(text) } else { Key::Text(text) };
            return self.parts.push(key, 1);
        }
        let hash = entry::hash_text(text, json);
        self.added += 1;
        if self.texts.add(hash, text, json, 1) {
            return Ok(());
        }
        // Fewer than one in sixteen combined: not worth its time until the input changes.
        if self.texts.len() as u32 > self.added / 16 * 15 {
            self.bypass = BYPASS;
        }
        self.empty_texts()?;
        self.added = 1;
        self.texts.add(hash, text, json, 1);
        Ok(())
    }

    /// A key seen `count` times.
    pub(crate) fn add_counted(&mut self, key: Key<'_>, count: u64) -> io::Result<()> {
        if count == 1 { self.add(key) } else { self.parts.push(key, count) }
    }

    fn empty_texts(&mut self) -> io::Result<()> {
        for (text, json, count) in self.texts.iter() {
            self.parts.push(if json { Key::Json(text) } else { Key::Text(text) }, count)?;
        }
        self.texts.clear();
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        for (n, count) in self.hot.drain() {
            self.parts.push(Key::Int(n), count)?;
        }
        self.empty_texts()?;
        self.hot = Hot::empty();
        self.texts = TextTable::new(0);
        self.parts.seal()
    }
}

/// Counts everything that the tallies saw; the `limit` highest.
pub(crate) fn leaders(mut tallies: Vec<Tally>, plan: Plan, limit: usize) -> io::Result<Leaders> {
    for tally in &mut tallies {
        tally.seal()?;
    }
    let parts: Vec<Partitions> = tallies.into_iter().map(|t| t.parts).collect();
    let next = AtomicUsize::new(0);
    let all = Mutex::new((Leaders::new(limit), None::<io::Error>));
    let work = || {
        let mut counter = Counter::new(plan.counting, limit);
        loop {
            let partition = next.fetch_add(1, Ordering::Relaxed);
            if partition >= PARTITIONS {
                break;
            }
            if let Err(e) = counter.count(&parts, partition) {
                next.store(PARTITIONS, Ordering::Relaxed);
                all.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(e);
                return;
            }
        }
        all.lock().unwrap_or_else(PoisonError::into_inner).0.merge(counter.leaders);
    };
    std::thread::scope(|scope| {
        for _ in 1..plan.threads {
            let builder = std::thread::Builder::new().stack_size(limits::STACK_BYTES);
            // With fewer threads it takes longer, and that is all.
            let _ = builder.spawn_scoped(scope, work);
        }
        work();
    });
    match all.into_inner().unwrap_or_else(PoisonError::into_inner) {
        (_, Some(e)) => Err(e),
        (leaders, None) => Ok(leaders),
    }
}

/// Counts one partition after the other.
struct Counter {
    small: Runs<u32>,
    wide: Runs<u64>,
    texts: TextTable,
    buffer: Vec<u8>,
    leaders: Leaders,
}

/// A part of a partition: keys whose low bits are `value`.
#[derive(Clone, Copy)]
struct Share {
    bits: u32,
    value: u64,
}

impl Counter {
    fn new(memory: usize, limit: usize) -> Self {
        Counter {
            small: Runs::new(memory),
            wide: Runs::new(memory),
            texts: TextTable::new(memory),
            buffer: Vec::new(),
            leaders: Leaders::new(limit),
        }
    }

    /// Counts a partition: at once where its different keys fit, else in shares, each of which reads
    /// it again.
    fn count(&mut self, parts: &[Partitions], partition: usize) -> io::Result<()> {
        let mut shares = vec![Share { bits: 0, value: 0 }];
        while let Some(share) = shares.pop() {
            if self.load(parts, partition, share)? {
                self.emit(partition);
            } else {
                let bits = share.bits + 1;
                shares.push(Share { bits, value: share.value | 1 << share.bits });
                shares.push(Share { bits, value: share.value });
            }
        }
        Ok(())
    }

    /// Reads a share of a partition; false when it does not fit.
    fn load(&mut self, parts: &[Partitions], partition: usize, share: Share) -> io::Result<bool> {
        self.small.clear();
        self.wide.clear();
        self.texts.clear();
        let mask = (1u64 << share.bits) - 1;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut all = true;
        for part in parts {
            let mut see = |bytes: &[u8]| {
                entries(bytes, |entry, count| match entry {
                    Entry::Small(rest) => {
                        u64::from(rest) & mask != share.value || self.small.add(rest, count)
                    }
                    Entry::Wide(rest) => rest & mask != share.value || self.wide.add(rest, count),
                    Entry::Text(text, json) => {
                        let hash = entry::hash_text(text, json);
                        hash & mask != share.value || self.texts.add(hash, text, json, count)
                    }
                })
            };
            all = part.read(partition, &mut buffer, &mut see)?;
            if !all {
                break;
            }
        }
        self.buffer = buffer;
        Ok(all)
    }

    fn emit(&mut self, partition: usize) {
        let leaders = &mut self.leaders;
        self.small.finish(|rest, count| leaders.offer_int(entry::small_of(partition, rest), count));
        self.wide.finish(|rest, count| leaders.offer_int(entry::wide_of(partition, rest), count));
        for (text, json, count) in self.texts.iter() {
            leaders.offer(if json { Key::Json(text) } else { Key::Text(text) }, count);
        }
    }
}
