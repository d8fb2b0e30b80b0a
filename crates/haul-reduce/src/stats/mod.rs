//! Count, sum, mean, extremes and quantiles of a value, as an aggregate of a run.

mod buckets;
mod sum;

use buckets::Buckets;
use haul_core::aggregate::{Aggregate, At, Saved, Table};
use haul_core::{Fault, Record};
use sum::Sum;

use crate::json::number::{Number, write_canonical};
use crate::json::path::Path;
use crate::varint;

/// Statistics of the numbers at a path. The sum is exact and rounded once, minimum and maximum are
/// printed as they stood, quantiles carry their error. Records without a number there are counted
/// apart.
#[derive(Clone, Debug)]
pub struct Stats {
    by: Path,
    state: State,
}

#[derive(Clone, PartialEq, Debug, Default)]
struct State {
    count: u64,
    other: u64,
    sum: Sum,
    min: Option<String>,
    max: Option<String>,
    buckets: Buckets,
}

/// Longest text of a number that is taken for one: extremes are kept as they stand.
const NUMBER_BYTES: usize = 512;
/// Version of the stored state.
const VERSION: u8 = 1;

impl Stats {
    /// Of the numbers at `by`.
    pub fn new(by: Path) -> Self {
        Stats { by, state: State::default() }
    }
}

impl State {
    fn add(&mut self, value: Option<&[u8]>) {
        let text = value.filter(|v| v.len() <= NUMBER_BYTES).and_then(|v| std::str::from_utf8(v).ok());
        let parsed = text.and_then(|t| Some((t, Number::parse(t.as_bytes())?, t.parse::<f64>().ok()?)));
        let Some((text, number, x)) = parsed.filter(|(_, _, x)| x.is_finite()) else {
            self.other += 1;
            return;
        };
        self.count += 1;
        match text.parse::<i64>() {
            Ok(n) => self.sum.add_int(n),
            Err(_) => self.sum.add(x),
        }
        self.buckets.add(x);
        widen(&mut self.min, text, |old| number.cmp(old).is_lt());
        widen(&mut self.max, text, |old| number.cmp(old).is_gt());
    }

    fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        varint::write(self.count, &mut out);
        varint::write(self.other, &mut out);
        self.sum.words().iter().for_each(|w| out.extend_from_slice(&w.to_le_bytes()));
        for extreme in [&self.min, &self.max] {
            varint::write_bytes(extreme.as_deref().unwrap_or_default().as_bytes(), &mut out);
        }
        self.buckets.write(&mut out);
        out
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let (count, other) = (varint::read(bytes)?, varint::read(bytes)?);
        let mut words = Vec::new();
        for _ in 0..Sum::default().words().len() {
            let (word, rest) = bytes.split_first_chunk::<8>()?;
            words.push(u64::from_le_bytes(*word));
            *bytes = rest;
        }
        let sum = Sum::from_words(&words)?;
        let mut extreme = || {
            let text = std::str::from_utf8(varint::read_bytes(bytes)?).ok()?;
            Some(Some(text.to_owned()).filter(|t| !t.is_empty()))
        };
        let (min, max) = (extreme()?, extreme()?);
        Some(State { count, other, sum, min, max, buckets: Buckets::read(bytes)? })
    }

    fn merge(&mut self, other: &State) {
        self.count += other.count;
        self.other += other.other;
        self.sum.merge(&other.sum);
        self.buckets.merge(&other.buckets);
        if let Some(min) = other.min.as_deref() {
            widen(&mut self.min, min, |old| {
                Number::parse(min.as_bytes()).is_some_and(|n| n.cmp(old).is_lt())
            });
        }
        if let Some(max) = other.max.as_deref() {
            widen(&mut self.max, max, |old| {
                Number::parse(max.as_bytes()).is_some_and(|n| n.cmp(old).is_gt())
            });
        }
    }
}

/// Replaces an extreme by `text` where `beats` says so; of equal ones the shorter notation stays, then
/// the smaller text, so that the order of records makes no difference.
fn widen(extreme: &mut Option<String>, text: &str, beats: impl Fn(&Number<'_>) -> bool) {
    let better = match extreme.as_deref().and_then(|old| Some((old, Number::parse(old.as_bytes())?))) {
        None => true,
        Some((old, number)) => {
            let equal = || Number::parse(text.as_bytes()).is_some_and(|n| n.cmp(&number).is_eq());
            beats(&number) || (equal() && (text.len(), text) < (old.len(), old))
        }
    };
    if better {
        *extreme = Some(text.to_owned());
    }
}

fn damaged(reason: &str) -> Fault {
    Fault::fatal("aggregate", format!("the saved statistics are damaged ({reason})"))
}

fn read(saved: &Saved) -> Result<State, Fault> {
    let Saved::Small(bytes) = saved else { return Err(damaged("they are said to be in a log")) };
    match bytes.as_slice() {
        [] => Ok(State::default()),
        [VERSION, rest @ ..] => State::read(rest).ok_or_else(|| damaged("they are cut off")),
        [version, ..] => Err(damaged(&format!("they have version {version}"))),
    }
}

impl Aggregate for Stats {
    fn add(&mut self, record: &Record, _: At) -> Result<(), Fault> {
        self.state.add(self.by.find_in(record));
        Ok(())
    }

    fn sync(&mut self) -> Result<Saved, Fault> {
        Ok(Saved::Small(self.state.write()))
    }

    fn restore(&mut self, saved: Saved) -> Result<(), Fault> {
        self.state = read(&saved)?;
        Ok(())
    }

    fn merge(&mut self, other: Saved) -> Result<(), Fault> {
        self.state.merge(&read(&other)?);
        Ok(())
    }

    /// One row. `error` is the largest relative error of the quantiles; `other` counts records without
    /// a number at the path.
    fn result(&mut self) -> Result<Table, Fault> {
        let State { count, other, sum, min, max, buckets } = &self.state;
        let columns = ["count", "sum", "mean", "min", "max", "p50", "p90", "p95", "p99", "error", "other"];
        let number = |x: f64| if x.is_finite() && *count > 0 { format!("{x}") } else { "null".to_owned() };
        let text = |t: &Option<String>| {
            let mut out = Vec::new();
            write_canonical(t.as_deref().unwrap_or("null").as_bytes(), &mut out);
            if t.is_none() { "null".to_owned() } else { String::from_utf8_lossy(&out).into_owned() }
        };
        let quantile = |q: f64| number(buckets.quantile(q));
        let mut row =
            vec![count.to_string(), number(sum.value()), number(sum.divided(*count)), text(min), text(max)];
        row.extend([0.5, 0.9, 0.95, 0.99].map(quantile));
        row.extend([format!("{}", buckets.error()), other.to_string()]);
        Ok(Table { columns: columns.map(str::to_owned).to_vec(), rows: vec![row] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[String]) -> Stats {
        let mut stats = Stats::new(".v".parse().unwrap());
        for value in values {
            stats.add(&Record::new(format!("{{\"v\":{value}}}")), At::default()).unwrap();
        }
        stats
    }

    fn row(stats: &mut Stats) -> Vec<(String, String)> {
        let table = stats.result().unwrap();
        table.columns.into_iter().zip(table.rows.concat()).collect()
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn numbers_are_summed_up_and_the_rest_is_counted() {
        let mut stats = of(&strings(&["1", "2.5", "-3e0", "\"4\"", "null", "9007199254740993", "1e999"]));
        stats.add(&Record::new("{}"), At::default()).unwrap();
        let row = row(&mut stats);
        let get = |name: &str| row.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(get("count"), Some("4"));
        assert_eq!(get("sum"), Some("9007199254740994"));
        assert_eq!(get("min"), Some("-3e0"));
        assert_eq!(get("max"), Some("9007199254740993"));
        assert_eq!(get("other"), Some("4"));
        assert_eq!(get("error"), Some("0.001953125"));
    }

    #[test]
    fn of_nothing_everything_is_null() {
        let row = row(&mut of(&[]));
        assert_eq!(row[0].1, "0");
        assert!(row[1..9].iter().all(|(_, v)| v == "null"), "{row:?}");
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => any::<i32>().prop_map(|n| n.to_string()),
            3 => (-1e9f64..1e9).prop_map(|x| format!("{x}")),
            1 => prop::sample::select(vec!["1.0", "1", "10e-1", "1e300", "-1e300", "true", "99999999999999999999"])
                .prop_map(str::to_owned),
        ]
    }

    proptest! {
        #[test]
        fn any_split_merge_order_and_crash_gives_the_same(
            values in prop::collection::vec(value(), 0..300), cuts in prop::collection::vec(0usize..300, 3), reverse in any::<bool>(),
        ) {
            let mut whole = of(&values);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(values.len())).collect();
            cuts.sort_unstable();
            let mut parts = vec![&values[..cuts[0]], &values[cuts[0]..cuts[1]], &values[cuts[1]..cuts[2]], &values[cuts[2]..]];
            if reverse {
                parts.reverse();
            }
            let mut merged = Stats::new(".v".parse().unwrap());
            for part in parts {
                let saved = of(part).sync().unwrap();
                prop_assert!(matches!(&saved, Saved::Small(b) if b.len() <= 64 * 1024));
                merged.merge(saved).unwrap();
                let saved = merged.sync().unwrap();
                merged = Stats::new(".v".parse().unwrap());
                merged.restore(saved).unwrap();
            }
            prop_assert_eq!(merged.result().unwrap(), whole.result().unwrap());
        }
    }
}
