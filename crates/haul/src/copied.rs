//! What was copied, and how sure that is: summed up in the ledger with every commit, so that it survives
//! whatever happens to the process.

use std::collections::BTreeMap;

use haul_core::aggregate::{At, Saved, Table};
use haul_core::job::{Job, StepKind};
use haul_core::record::Record;
use haul_core::{Aggregate, Fault};
use haul_engine::ledger::Reader;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::format;

/// What the ledger calls it: no aggregate of a job may be called so.
const NAME: &str = "copy:totals";
/// Names that are counted alone, the rest together: a ledger keeps 64 KiB, and a name may have 2 KB.
const NAMES: usize = 12;
/// What the rest is called.
const OTHER: &str = "other";

/// Sums over all objects that were copied.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Totals {
    /// Bytes of them.
    pub bytes: u64,
    /// Objects, by how they were verified.
    pub verified: BTreeMap<String, u64>,
    /// Objects, by what of them the destination does not have.
    pub not_carried: BTreeMap<String, u64>,
}

/// What the record says of a copy.
#[derive(Deserialize)]
struct Attached {
    verified: String,
    bytes: u64,
    #[serde(default)]
    dropped: String,
}

impl Totals {
    /// Those of a run, as of its last commit; `None`: it has copied nothing.
    pub fn read(reader: &Reader) -> Option<Totals> {
        let summed = reader.summed_up().ok()?;
        let (_, saved) = summed.aggregates.into_iter().find(|(name, _)| name == NAME)?;
        Some(restored(&saved).unwrap_or_default())
    }

    fn add(&mut self, other: &Totals) {
        self.bytes += other.bytes;
        for (sum, more) in
            [(&mut self.verified, &other.verified), (&mut self.not_carried, &other.not_carried)]
        {
            more.iter().for_each(|(name, n)| count(sum, name, *n));
        }
    }

    /// For a person: a line, or two.
    pub fn text(&self) -> String {
        let list = |sums: &BTreeMap<String, u64>| {
            let mut sums: Vec<(&String, &u64)> = sums.iter().collect();
            sums.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            let each = sums.into_iter().map(|(name, n)| format!("{name} {}", format::count(*n)));
            each.collect::<Vec<_>>().join(", ")
        };
        if self.verified.is_empty() {
            return String::new();
        }
        let mut text =
            format!("copied {}, verified by: {}\n", format::bytes(self.bytes), list(&self.verified));
        if !self.not_carried.is_empty() {
            text.push_str(&format!("not carried: {}\n", list(&self.not_carried)));
        }
        text
    }

    /// For a program.
    pub fn json(&self) -> Value {
        json!({ "bytes": self.bytes, "verified": self.verified, "not_carried": self.not_carried })
    }
}

fn count(sums: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    let name = if sums.len() < NAMES || sums.contains_key(name) { name } else { OTHER };
    match sums.get_mut(name) {
        Some(sum) => *sum += n,
        None => _ = sums.insert(name.to_owned(), n),
    }
}

fn restored(saved: &Saved) -> Result<Totals, Fault> {
    let bad = |why: String| Fault::fatal("aggregate", format!("what was copied cannot be read back: {why}"));
    match saved {
        Saved::Small(bytes) => serde_json::from_slice(bytes).map_err(|e| bad(e.to_string())),
        Saved::Log { file, .. } => Err(bad(format!("it is in the log {file}"))),
    }
}

/// Sums up what a step copies.
struct Copied {
    step: String,
    totals: Totals,
}

/// What sums up the copies of a job, if it makes any, with its name in the ledger.
pub fn aggregate(job: &Job) -> Option<(String, Box<dyn Aggregate>)> {
    let step = job.steps.iter().find(|s| matches!(s.kind, StepKind::Copy { .. }))?;
    let copied = Copied { step: step.name.clone(), totals: Totals::default() };
    Some((NAME.to_owned(), Box::new(copied)))
}

impl Aggregate for Copied {
    fn add(&mut self, record: &Record, _: At) -> Result<(), Fault> {
        let Some(attached) = record.attached(&self.step) else { return Ok(()) };
        // It is what the step wrote itself.
        let Ok(Attached { verified, bytes, dropped }) = serde_json::from_slice(attached) else {
            return Ok(());
        };
        self.totals.bytes += bytes;
        count(&mut self.totals.verified, &verified, 1);
        for name in dropped.split(", ").filter(|name| !name.is_empty()) {
            count(&mut self.totals.not_carried, name, 1);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<Saved, Fault> {
        let bytes = serde_json::to_vec(&self.totals);
        bytes.map(Saved::Small).map_err(|e| Fault::fatal("aggregate", e.to_string()))
    }

    fn restore(&mut self, saved: Saved) -> Result<(), Fault> {
        self.totals = restored(&saved)?;
        Ok(())
    }

    fn merge(&mut self, other: Saved) -> Result<(), Fault> {
        self.totals.add(&restored(&other)?);
        Ok(())
    }

    fn result(&mut self) -> Result<Table, Fault> {
        let rows = self.totals.verified.iter().map(|(by, n)| vec![json!(by).to_string(), n.to_string()]);
        Ok(Table { columns: vec!["value".to_owned(), "count".to_owned()], rows: rows.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(attached: &str) -> Record {
        let mut record = Record::new("{}");
        record.attach("copy".into(), attached.to_owned().into());
        record
    }

    #[test]
    fn sums_are_kept_and_merged() {
        let new = || Copied { step: "copy".to_owned(), totals: Totals::default() };
        let (mut one, mut two) = (new(), new());
        for aggregate in [&mut one, &mut two] {
            aggregate.add(&copied(r#"{"verified":"md5","bytes":7}"#), At::default()).unwrap();
            let some = r#"{"verified":"size","bytes":1,"dropped":"content-type, tags"}"#;
            aggregate.add(&copied(some), At::default()).unwrap();
            aggregate.add(&Record::new("{}"), At::default()).unwrap();
        }
        let saved = two.sync().unwrap();
        one.merge(saved).unwrap();
        let saved = one.sync().unwrap();
        let mut back = new();
        back.restore(saved).unwrap();
        assert_eq!(back.totals, one.totals);
        assert_eq!(
            back.totals.text(),
            "copied 16 B, verified by: md5 2, size 2\nnot carried: content-type 2, tags 2\n"
        );
    }

    #[test]
    fn names_are_bounded() {
        let mut sums = BTreeMap::new();
        for n in 0..10_000 {
            count(&mut sums, &format!("x-{n}"), 1);
        }
        assert!(sums.len() <= NAMES + 1);
        assert_eq!(sums.values().sum::<u64>(), 10_000);
    }
}
