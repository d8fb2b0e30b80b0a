//! Top as an aggregate of a run: its state travels in the ledger while it is small, else in a log of
//! the run directory that the ledger knows the durable length of.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;

use haul_core::aggregate::{Aggregate, At, Saved, Table};
use haul_core::{Fault, Record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::best::{Best, Entry, Place};
use crate::json::number::Number;
use crate::json::path::Path;

/// Largest state the ledger takes in a row.
const SMALL_BYTES: usize = 64 * 1024;
/// A log that is longer than this, and four times its live part, is written anew.
const LOG_BYTES: u64 = 1024 * 1024;

/// The N highest, or lowest, values at a path. Records that have no number there are not ranked.
#[derive(Debug)]
pub struct Top {
    by: Path,
    id: Path,
    limit: usize,
    best: Best,
    unranked: u64,
    dir: PathBuf,
    name: String,
    log: Option<Log>,
    /// Entries of the log that were not written yet.
    pending: Vec<u8>,
}

#[derive(Debug)]
struct Log {
    generation: u64,
    file: File,
    len: u64,
    /// The log before this one; nothing refers to it once a commit named this one.
    old: Option<PathBuf>,
}

/// An entry as it is stored: slice, offset, score, id.
#[derive(Serialize, Deserialize)]
struct Stored<'a>(u32, u64, &'a str, #[serde(borrow)] &'a RawValue);

impl Top {
    /// Ranks by the number at `by`, names entries by the value at `id`. Large states go to files in
    /// `dir` whose names start with `name`.
    pub fn new(limit: usize, lowest: bool, by: Path, id: Path, dir: PathBuf, name: &str) -> Self {
        let best = Best::new(limit, lowest).unordered();
        Top { by, id, limit, best, unranked: 0, dir, name: name.to_owned(), log: None, pending: Vec::new() }
    }

    /// Records without a number at the path, since this process started.
    pub fn unranked(&self) -> u64 {
        self.unranked
    }

    fn offer(&mut self, score: &[u8], id: &[u8], place: Place) -> Result<(), Fault> {
        let Some((key, exact)) = Number::parse(score).map(|n| n.key()) else {
            self.unranked += 1;
            return Ok(());
        };
        if !self.best.wants(key, exact) {
            return Ok(());
        }
        let entry = Entry { key, exact, score, id, record: b"", place };
        if self.log.is_some() {
            write_entry(&entry, &mut self.pending)?;
        }
        self.best.push(entry);
        Ok(())
    }

    /// Everything, as it is stored.
    fn state(&mut self) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        for entry in self.best.sorted() {
            write_entry(&entry, &mut out)?;
        }
        Ok(out)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), Fault> {
        let text = std::str::from_utf8(state).map_err(|e| damaged(&self.name, &e.to_string()))?;
        for stored in serde_json::Deserializer::from_str(text).into_iter::<Stored<'_>>() {
            let Stored(input, at, score, id) = stored.map_err(|e| damaged(&self.name, &e.to_string()))?;
            self.offer(score.as_bytes(), id.get().as_bytes(), Place { input, at })?;
        }
        Ok(())
    }

    fn read(&self, file: &str, len: u64) -> Result<Vec<u8>, Fault> {
        let path = self.dir.join(file);
        let mut state = Vec::new();
        let opened = File::open(&path).and_then(|f| f.take(len).read_to_end(&mut state));
        match opened {
            Ok(read) if read as u64 == len => Ok(state),
            Ok(read) => Err(damaged(file, &format!("it has {read} bytes, and {len} were committed"))),
            Err(e) => Err(io(file, &e)),
        }
    }

    fn start_log(&mut self, generation: u64, state: &[u8]) -> Result<(), Fault> {
        let file = self.log_name(generation);
        let path = self.dir.join(&file);
        let mut log = File::create(&path).map_err(|e| io(&file, &e))?;
        log.write_all(state).map_err(|e| io(&file, &e))?;
        let old = self.log.take().map(|l| self.dir.join(self.log_name(l.generation)));
        self.pending.clear();
        self.log = Some(Log { generation, file: log, len: state.len() as u64, old });
        Ok(())
    }

    fn log_name(&self, generation: u64) -> String {
        format!("{}.{generation}.top", self.name)
    }
}

fn write_entry(entry: &Entry<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut score = Vec::new();
    entry.write_score(&mut score);
    let text = |bytes| std::str::from_utf8(bytes).map_err(|e| damaged("top", &e.to_string()));
    let id: &RawValue = serde_json::from_str(text(entry.id)?).map_err(|e| damaged("top", &e.to_string()))?;
    let stored = Stored(entry.place.input, entry.place.at, text(&score)?, id);
    serde_json::to_writer(&mut *out, &stored).map_err(|e| damaged("top", &e.to_string()))?;
    out.push(b'\n');
    Ok(())
}

fn io(file: &str, e: &std::io::Error) -> Fault {
    Fault::fatal("aggregate", format!("{file}: {e}"))
}

fn damaged(file: &str, reason: &str) -> Fault {
    Fault::fatal("aggregate", format!("{file} is damaged ({reason}); the run cannot be resumed from it"))
}

impl Aggregate for Top {
    fn add(&mut self, record: &Record, at: At) -> Result<(), Fault> {
        let place = Place { input: at.slice.0, at: at.offset };
        match (self.by.find_in(record), self.id.find_in(record)) {
            (Some(score), Some(id)) => self.offer(score, id, place),
            (Some(score), None) => self.offer(score, b"null", place),
            (None, _) => {
                self.unranked += 1;
                Ok(())
            }
        }
    }

    fn sync(&mut self) -> Result<Saved, Fault> {
        let fresh = match &mut self.log {
            None => {
                let state = self.state()?;
                if state.len() <= SMALL_BYTES {
                    return Ok(Saved::Small(state));
                }
                Some((1, state))
            }
            Some(log) => {
                if let Some(old) = log.old.take() {
                    // A leftover does no harm but to the disk.
                    let _ = fs::remove_file(old);
                }
                let generation = log.generation + 1;
                if log.len > LOG_BYTES { Some((generation, self.state()?)) } else { None }
            }
        };
        if let Some((generation, state)) = fresh
            && self.log.as_ref().is_none_or(|log| log.len > 4 * state.len() as u64)
        {
            self.start_log(generation, &state)?;
        }
        let Some(log) = &mut self.log else { return Ok(Saved::Small(Vec::new())) };
        let file = format!("{}.{}.top", self.name, log.generation);
        log.file.write_all(&self.pending).and_then(|()| log.file.sync_data()).map_err(|e| io(&file, &e))?;
        log.len += self.pending.len() as u64;
        self.pending.clear();
        Ok(Saved::Log { file, len: log.len })
    }

    fn restore(&mut self, saved: Saved) -> Result<(), Fault> {
        let lowest = self.best.is_lowest();
        self.best = Best::new(self.limit, lowest).unordered();
        self.log = None;
        self.pending.clear();
        match saved {
            Saved::Small(state) => self.load(&state),
            Saved::Log { file, len } => {
                let state = self.read(&file, len)?;
                self.load(&state)?;
                let generation = file.rsplit('.').nth(1).and_then(|g| g.parse().ok());
                let generation = generation.ok_or_else(|| damaged(&file, "its name has no number"))?;
                let path = self.dir.join(&file);
                let opened =
                    OpenOptions::new().append(true).open(&path).and_then(|f| f.set_len(len).map(|()| f));
                let log = opened.map_err(|e| io(&file, &e))?;
                self.log = Some(Log { generation, file: log, len, old: None });
                Ok(())
            }
        }
    }

    fn merge(&mut self, other: Saved) -> Result<(), Fault> {
        let state = match other {
            Saved::Small(state) => state,
            Saved::Log { file, len } => self.read(&file, len)?,
        };
        self.load(&state)
    }

    fn result(&mut self) -> Result<Table, Fault> {
        let mut table = Table { columns: vec!["score".to_owned(), "id".to_owned()], rows: Vec::new() };
        for entry in self.best.sorted() {
            let mut score = Vec::new();
            entry.write_score(&mut score);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            table.rows.push(vec![text(&score), text(entry.id)]);
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use haul_core::SliceId;
    use proptest::prelude::*;

    use super::*;

    fn top(limit: usize, dir: &std::path::Path) -> Top {
        Top::new(limit, false, ".m.s".parse().unwrap(), ".id".parse().unwrap(), dir.to_owned(), "best")
    }

    fn add(top: &mut Top, score: u32, offset: u64) {
        let record = Record::new(format!("{{\"m\":{{\"s\":{score}}},\"id\":\"{}\"}}", "i".repeat(40)));
        top.add(&record, At { slice: SliceId(0), offset }).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_crash_at_any_sync_goes_on_as_if_nothing_had_happened(
            scores in prop::collection::vec(0u32..500, 1..4000), limit in prop::sample::select(vec![3usize, 900]),
            syncs in prop::collection::btree_set(0usize..4000, 0..6), lost in 0usize..50,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut steady = top(limit, dir.path());
            for (i, score) in scores.iter().enumerate() {
                add(&mut steady, *score, i as u64);
            }
            let mut crashing = top(limit, dir.path());
            let mut i = 0;
            let mut due: Vec<usize> = syncs.into_iter().collect();
            while i < scores.len() {
                add(&mut crashing, scores[i], i as u64);
                i += 1;
                if due.first() == Some(&(i - 1)) {
                    due.remove(0);
                    let saved = crashing.sync().unwrap();
                    // What follows the commit is lost, though some of it may have reached the disk.
                    for (j, score) in scores.iter().enumerate().skip(i).take(lost) {
                        add(&mut crashing, *score, j as u64);
                    }
                    if lost % 2 == 0 {
                        crashing.sync().unwrap();
                    }
                    crashing = top(limit, dir.path());
                    crashing.restore(saved).unwrap();
                }
            }
            prop_assert_eq!(crashing.result().unwrap(), steady.result().unwrap());
        }
    }

    #[test]
    fn large_states_go_to_a_log_that_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut best = top(2000, dir.path());
        let mut longest = 0;
        for i in 0..60_000u32 {
            add(&mut best, i, u64::from(i));
            if i % 1000 == 999
                && let Saved::Log { len, .. } = best.sync().unwrap()
            {
                longest = longest.max(len);
            }
        }
        assert!(longest > SMALL_BYTES as u64 && longest < 3 * LOG_BYTES, "{longest}");
        let files = fs::read_dir(dir.path()).unwrap().count();
        assert!(files <= 2, "{files} files");
        let saved = best.sync().unwrap();
        let mut other = top(2000, dir.path());
        other.merge(saved).unwrap();
        assert_eq!(other.result().unwrap(), best.result().unwrap());
        assert_eq!(best.result().unwrap().rows[0][0], "59999");
    }

    #[test]
    fn a_log_that_is_too_short_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("best.1.top"), "[0,1,\"5\",1]\n").unwrap();
        let saved = Saved::Log { file: "best.1.top".to_owned(), len: 99 };
        let error = top(3, dir.path()).restore(saved).unwrap_err();
        assert!(error.message().contains("12 bytes"), "{error}");
    }

    #[test]
    fn records_without_a_number_are_not_ranked() {
        let mut best = top(3, std::path::Path::new("."));
        for record in [r#"{"m":{"s":"7"},"id":1}"#, r#"{"id":1}"#, r#"{"m":{"s":8}}"#] {
            best.add(&Record::new(record), At::default()).unwrap();
        }
        assert_eq!(best.unranked(), 2);
        assert_eq!(best.result().unwrap().rows, [["8", "null"]]);
    }
}
