//! Most-common as an aggregate of a run: observations go to a log of the run directory, which the
//! ledger knows the durable length of; they are counted when the result is asked for.

use std::collections::HashMap;
use std::io;
use std::path::{Path as FilePath, PathBuf};

use haul_core::aggregate::{Aggregate, At, Saved, Table};
use haul_core::{Fault, Record};

use super::key::{Key, OwnedKey};
use super::log::{self, Log};
use super::sketch::Sketch;
use super::tally::{Plan, Tally, leaders};
use crate::format::Written;
use crate::input::threads;
use crate::json::path::Path;

/// Different keys whose repeats are combined before they are logged.
const COMBINED: usize = 4096;

/// The most common values at a path. A record without a value there counts as `null`.
#[derive(Debug)]
pub struct MostCommon {
    by: Path,
    limit: usize,
    memory: u64,
    dir: PathBuf,
    file: String,
    combined: HashMap<OwnedKey, u64>,
    sketch: Sketch,
    log: Option<Log>,
    room: Vec<u8>,
}

impl MostCommon {
    /// The `limit` most common values at `by`; the log is `NAME.count` in `dir`. `memory` bounds what
    /// [`Aggregate::result`] uses.
    pub fn new(limit: usize, by: Path, memory: u64, dir: PathBuf, name: &str) -> Self {
        MostCommon {
            by,
            limit,
            memory,
            dir,
            file: format!("{name}.count"),
            combined: HashMap::new(),
            sketch: Sketch::default(),
            log: None,
            room: Vec::new(),
        }
    }

    /// Who leads right now, best first: values as JSON with estimates, and by how much an estimate may
    /// be too high. Costs nothing that grows with the run.
    pub fn leaders(&self, n: usize) -> (Vec<(String, u64)>, u64) {
        let leaders = self.sketch.leaders(n).into_iter().map(|(key, count)| (json(&key), count)).collect();
        (leaders, self.sketch.error())
    }

    /// The exact result of a log of which `len` bytes are durable: for other processes, while the run
    /// works or after it died.
    pub fn read_log(path: &FilePath, len: u64, limit: usize, memory: u64) -> Result<Table, Fault> {
        let dir = path.parent().unwrap_or(FilePath::new("."));
        table(path, len, limit, memory, dir).map_err(|e| fault(path, &e))
    }

    fn path(&self) -> PathBuf {
        self.dir.join(&self.file)
    }

    fn log_combined(&mut self) -> io::Result<()> {
        if self.combined.is_empty() {
            return Ok(());
        }
        let path = self.path();
        let log = match &mut self.log {
            Some(log) => log,
            empty => empty.insert(Log::open(&path, 0)?),
        };
        for (key, count) in self.combined.drain() {
            self.sketch.add(key.borrow(), count);
            log.push(key.borrow(), count)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.combined.clear();
        self.sketch = Sketch::default();
        self.log = None;
    }
}

impl Aggregate for MostCommon {
    fn add(&mut self, record: &Record, _: At) -> Result<(), Fault> {
        let key = Key::of(self.by.find_in(record), Written::Json, &mut self.room);
        *self.combined.entry(key.into()).or_insert(0) += 1;
        if self.combined.len() >= COMBINED {
            let path = self.path();
            self.log_combined().map_err(|e| fault(&path, &e))?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<Saved, Fault> {
        let path = self.path();
        self.log_combined().map_err(|e| fault(&path, &e))?;
        match &mut self.log {
            None => Ok(Saved::Small(Vec::new())),
            Some(log) => {
                let len = log.sync().map_err(|e| fault(&path, &e))?;
                Ok(Saved::Log { file: self.file.clone(), len })
            }
        }
    }

    fn restore(&mut self, saved: Saved) -> Result<(), Fault> {
        self.reset();
        let Saved::Log { file, len } = saved else { return Ok(()) };
        self.file = file;
        let path = self.path();
        let log = Log::open(&path, len).map_err(|e| fault(&path, &e))?;
        // Read through once: a damaged log is found now and not after hours of work.
        let sketch = &mut self.sketch;
        let read = log::read(&path, len, |key, count| {
            sketch.add(key, count);
            Ok(())
        });
        read.map_err(|e| fault(&path, &e))?;
        self.log = Some(log);
        Ok(())
    }

    fn merge(&mut self, other: Saved) -> Result<(), Fault> {
        let Saved::Log { file, len } = other else { return Ok(()) };
        let (from, path) = (self.dir.join(file), self.path());
        let log = match &mut self.log {
            Some(log) => log,
            empty => empty.insert(Log::open(&path, 0).map_err(|e| fault(&path, &e))?),
        };
        let sketch = &mut self.sketch;
        let read = log::read(&from, len, |key, count| {
            sketch.add(key, count);
            log.push(key, count)
        });
        read.map_err(|e| fault(&from, &e))
    }

    fn leading(&self, n: usize) -> Vec<(String, u64)> {
        self.leaders(n).0
    }

    fn result(&mut self) -> Result<Table, Fault> {
        let path = self.path();
        self.log_combined().map_err(|e| fault(&path, &e))?;
        let Some(log) = &mut self.log else { return Ok(empty_table()) };
        log.write().map_err(|e| fault(&path, &e))?;
        let len = log.len();
        table(&path, len, self.limit, self.memory, &self.dir).map_err(|e| fault(&path, &e))
    }
}

fn empty_table() -> Table {
    Table { columns: vec!["value".to_owned(), "count".to_owned()], rows: Vec::new() }
}

/// Counts a log.
fn table(path: &FilePath, len: u64, limit: usize, memory: u64, dir: &FilePath) -> io::Result<Table> {
    let plan = Plan::new(memory, threads());
    let mut tally = Tally::new(plan, dir);
    log::read(path, len, |key, count| tally.add_counted(key, count))?;
    let mut table = empty_table();
    for (key, count) in leaders(vec![tally], plan, limit)?.into_sorted() {
        table.rows.push(vec![json(&key), count.to_string()]);
    }
    Ok(table)
}

fn json(key: &OwnedKey) -> String {
    let mut out = Vec::new();
    key.borrow().write_json(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn fault(path: &FilePath, e: &io::Error) -> Fault {
    Fault::fatal("aggregate", format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn common(dir: &FilePath, name: &str) -> MostCommon {
        MostCommon::new(50, ".id".parse().unwrap(), 4 << 20, dir.to_owned(), name)
    }

    fn add(common: &mut MostCommon, value: &str) {
        common.add(&Record::new(format!("{{\"id\": {value}}}")), At::default()).unwrap();
    }

    fn model(values: &[String]) -> Vec<Vec<String>> {
        let mut counts: BTreeMap<OwnedKey2, u64> = BTreeMap::new();
        for value in values {
            let key: OwnedKey = Key::of(Some(value.as_bytes()), Written::Json, &mut Vec::new()).into();
            *counts.entry(OwnedKey2(key)).or_default() += 1;
        }
        let mut all: Vec<(OwnedKey2, u64)> = counts.into_iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all.iter().take(50).map(|(k, c)| vec![json(&k.0), c.to_string()]).collect()
    }

    #[derive(PartialEq, Eq)]
    struct OwnedKey2(OwnedKey);

    impl Ord for OwnedKey2 {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.borrow().cmp(&other.0.borrow())
        }
    }

    impl PartialOrd for OwnedKey2 {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            5 => (0i64..30).prop_map(|n| n.to_string()),
            2 => any::<i64>().prop_map(|n| n.to_string()),
            2 => "[a-c]{0,3}".prop_map(|s| format!("\"{s}\"")),
            1 => prop::sample::select(vec!["null", "true", "1.5", "[1, 2]", "\"\\ud800\"", "99999999999999999999"])
                .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn crashes_at_any_point_lose_and_repeat_nothing(
            values in prop::collection::vec(value(), 1..600), steps in prop::collection::vec((1usize..80, 0usize..40), 1..12),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut run = common(dir.path(), "ids");
            let mut i = 0;
            for (kept, lost) in steps {
                let end = (i + kept).min(values.len());
                values[i..end].iter().for_each(|v| add(&mut run, v));
                i = end;
                let saved = run.sync().unwrap();
                values[i..].iter().take(lost).for_each(|v| add(&mut run, v));
                if lost % 3 == 0 {
                    run.sync().unwrap();
                }
                run = common(dir.path(), "ids");
                run.restore(saved).unwrap();
            }
            values[i..].iter().for_each(|v| add(&mut run, v));
            prop_assert_eq!(run.result().unwrap().rows, model(&values));
            let Saved::Log { len, .. } = run.sync().unwrap() else { panic!("no log") };
            let read = MostCommon::read_log(&dir.path().join("ids.count"), len, 50, 4 << 20).unwrap();
            prop_assert_eq!(read.rows, model(&values));
        }

        #[test]
        fn any_split_and_merge_order_gives_the_same(
            values in prop::collection::vec((value(), 0usize..3), 0..400), reverse in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut parts: Vec<MostCommon> = (0..3).map(|i| common(dir.path(), &format!("part{i}"))).collect();
            for (value, part) in &values {
                add(&mut parts[*part], value);
            }
            let mut saved: Vec<Saved> = parts.iter_mut().map(|p| p.sync().unwrap()).collect();
            if reverse {
                saved.reverse();
            }
            let mut all = common(dir.path(), "all");
            for part in saved {
                all.merge(part).unwrap();
            }
            let values: Vec<String> = values.into_iter().map(|(v, _)| v).collect();
            prop_assert_eq!(all.result().unwrap().rows, model(&values));
        }
    }

    #[test]
    fn a_damaged_or_shortened_log_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = common(dir.path(), "ids");
        (0..100).for_each(|i| add(&mut run, &i.to_string()));
        let saved = run.sync().unwrap();
        let path = dir.path().join("ids.count");
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = common(dir.path(), "ids").restore(saved.clone()).unwrap_err();
        assert!(error.message().contains("checksum"), "{error}");
        std::fs::write(&path, &bytes[..last]).unwrap();
        let error = common(dir.path(), "ids").restore(saved).unwrap_err();
        assert!(error.message().contains("were committed"), "{error}");
    }

    #[test]
    fn leaders_are_known_while_it_works() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = common(dir.path(), "ids");
        for i in 0..20_000 {
            add(&mut run, &(if i % 2 == 0 { 7 } else { i }).to_string());
        }
        run.sync().unwrap();
        let (leaders, error) = run.leaders(1);
        assert_eq!(leaders[0].0, "7");
        assert!(leaders[0].1 >= 10_000 && leaders[0].1 <= 10_000 + error);
    }
}
