//! `haul check` of a copy: both ends listed side by side, without a request for an object unless contents
//! are to be read.

use std::time::Duration;

use haul_connect::assemble::{Assembled, Copies};
use haul_connect::stores::keys;
use haul_connect::stores::pairs::{Pair, Pairs, Sameness, compare, reread};
use haul_core::cx::RunKey;
use haul_core::limits::REREAD_AT_ONCE;
use haul_core::{Budget, Cx, Fault, FaultClass, Item, Key, Seq, SliceId};
use haul_engine::TokioClock;
use serde_json::{Map, Value, json};

use super::{Audit, Compared, Found, Reports, before_effect, unclear};
use crate::drive::Problem;
use crate::format;
use crate::trial::FreeLanes;

/// How often a request is tried, and the wait before the second time; it doubles.
const TRIES: u32 = 5;
const WAIT: Duration = Duration::from_millis(500);
/// The longest that a store may ask us to wait.
const MOST_ASKED: Duration = Duration::from_secs(60);

/// Objects that are the same, by how sure that is.
#[derive(Default)]
struct Strength([u64; 4]);

const ALL: [Sameness; 4] = [Sameness::Bytes, Sameness::Md5, Sameness::Version, Sameness::SizeAndTime];

impl Strength {
    fn add(&mut self, by: Sameness) {
        self.0[by as usize] += 1;
    }

    fn some(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ALL.into_iter().map(|by| (by.as_str(), self.0[by as usize])).filter(|(_, n)| *n > 0)
    }
}

/// Compares everything of a copy.
pub(super) async fn compare_all(
    (audit, live): (&Audit<'_>, &Assembled),
    ends: &Copies,
    reports: &mut Reports,
) -> Result<Compared, Problem> {
    let (lanes, clock) = (FreeLanes::default(), TokioClock::new());
    let (budget, run) = (Budget::new(audit.job.limits.memory), RunKey([0; 16]));
    let cx = Cx { lanes: &lanes, clock: &clock, budget: &budget, run: &run, memo: &haul_core::cx::NoMemo };
    let looked = reports.extra.is_some();
    let (found, strength, unread) = (Found::default(), Strength::default(), Vec::new());
    let comparing = Comparing { audit, live, ends, reports, found, strength, unread };
    let (found, strength) = comparing.all(&cx).await?;
    let (line, json) = told(&found, &strength, looked);
    Ok(Compared { found, line, json })
}

fn told(found: &Found, strength: &Strength, looked: bool) -> (String, Value) {
    let Found { records, right, missing, different, extra, unclear, .. } = found;
    let count = |n: &u64| format::count(*n);
    let by: Vec<String> = strength.some().map(|(by, n)| format!("{by} {}", format::count(n))).collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    let mut line = format!(
        "{} objects: {} are right{by}, {} missing, {} different",
        count(records),
        count(right),
        count(missing),
        count(different)
    );
    line.push_str(&found.rest(looked, "objects"));
    let by: Map<String, Value> = strength.some().map(|(by, n)| (by.to_owned(), n.into())).collect();
    let extra = looked.then_some(extra);
    let json = json!({ "objects": records, "right": right, "by": by, "missing": missing,
        "different": different, "extra": extra, "unclear": unclear });
    (line, json)
}

/// The next pair; what passes is waited for.
async fn next(pairs: &mut Pairs, cx: &Cx<'_>) -> Result<Option<Pair>, Fault> {
    let mut wait = WAIT;
    for _ in 1..TRIES {
        match pairs.next(cx).await {
            Err(fault) if passes(&fault) => {
                let asked = fault.retry_after().unwrap_or_default();
                tokio::time::sleep(wait.max(asked.min(MOST_ASKED))).await;
                wait *= 2;
            }
            read => return read,
        }
    }
    pairs.next(cx).await
}

/// A key on a line of its own: one with a control character as a JSON string.
fn name(key: &Key) -> String {
    let text = key.to_string();
    match text.contains(char::is_control) || text.starts_with('"') {
        true => Value::String(text).to_string(),
        false => text,
    }
}

/// Both ends of a copy, being compared.
struct Comparing<'a> {
    audit: &'a Audit<'a>,
    live: &'a Assembled,
    ends: &'a Copies,
    reports: &'a mut Reports,
    found: Found,
    strength: Strength,
    /// Same by their listings, and not read yet: the keys at both ends.
    unread: Vec<(Key, Key)>,
}

impl Comparing<'_> {
    /// Compares everything.
    async fn all(mut self, cx: &Cx<'_>) -> Result<(Found, Strength), Problem> {
        let mut pairs = Pairs::new(self.ends.from.clone(), self.ends.to.clone());
        let most = self.audit.job.source.limit;
        while let Some(pair) = next(&mut pairs, cx).await? {
            if pair.here.is_some() && most.is_some_and(|most| self.found.records >= most) {
                break;
            }
            self.one(pair, cx).await?;
            if self.unread.len() >= REREAD_AT_ONCE * 4 {
                self.read(cx).await?;
            }
        }
        self.read(cx).await?;
        Ok((self.found, self.strength))
    }

    async fn one(&mut self, pair: Pair, cx: &Cx<'_>) -> Result<(), Problem> {
        let Some(here) = &pair.here else {
            if let (Some(there), Some(report)) = (pair.there, &mut self.reports.extra) {
                self.found.extra += 1;
                report.add(&name(&there.key))?;
            }
            return Ok(());
        };
        if !self.is_meant(&pair, cx).await? {
            return Ok(());
        }
        self.found.records += 1;
        let Some(there) = &pair.there else {
            self.found.missing += 1;
            self.found.tell(&here.key.to_string(), "missing");
            return self.reports.missing.as_mut().map_or(Ok(()), |r| r.add(&name(&here.key)));
        };
        match compare(&here.meta, &there.meta) {
            Ok(_) if self.audit.reread => self.unread.push((here.key.clone(), there.key.clone())),
            Ok(by) => {
                self.found.right += 1;
                self.strength.add(by);
            }
            // What listings cannot tell, contents do.
            Err(_) if self.audit.reread && here.meta.len == there.meta.len => {
                self.unread.push((here.key.clone(), there.key.clone()));
            }
            Err(why) => self.different(&here.key, &why)?,
        }
        Ok(())
    }

    fn different(&mut self, key: &Key, why: &str) -> Result<(), Problem> {
        self.found.different += 1;
        self.found.tell(&key.to_string(), why);
        self.reports.different.as_mut().map_or(Ok(()), |r| r.add(&name(key)))
    }

    /// The steps before the copy decide what is copied.
    async fn is_meant(&mut self, pair: &Pair, cx: &Cx<'_>) -> Result<bool, Problem> {
        let steps: Vec<_> = self.live.stages.iter().flatten().collect();
        let before = steps.len().saturating_sub(1);
        let (Some(here), true) = (&pair.here, before > 0) else { return Ok(true) };
        let new = keys::item(here, pair.there.is_some(), self.found.records);
        let Ok(record) = new.record else { return Ok(true) };
        let seq = Seq(self.found.records);
        let mut item = Item { slice: SliceId(0), seq, key: new.key, position: new.position, record };
        for step in &steps[..before] {
            match before_effect(&***step, &mut item, cx).await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(fault) => {
                    unclear(&item, &mut self.found, &fault)?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Reads what is to be read; what passes is read again.
    async fn read(&mut self, cx: &Cx<'_>) -> Result<(), Problem> {
        let mut keys = std::mem::take(&mut self.unread);
        let ends = (&self.ends.from, &self.ends.to);
        let mut wait = WAIT;
        for again in (0..TRIES).rev() {
            let mut failed = Vec::new();
            for (pair, read) in keys.iter().zip(reread(ends, &keys, cx).await) {
                match read {
                    Ok(Ok(())) => {
                        self.found.right += 1;
                        self.strength.add(Sameness::Bytes);
                    }
                    Ok(Err(why)) => self.different(&pair.0, &why)?,
                    Err(fault) if fault.class() == FaultClass::Fatal => return Err(fault.into()),
                    Err(fault) if again > 0 && passes(&fault) => failed.push(pair.clone()),
                    Err(fault) => {
                        self.found.unclear += 1;
                        self.found.tell(&pair.0.to_string(), fault.message());
                    }
                }
            }
            if failed.is_empty() {
                break;
            }
            keys = failed;
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Ok(())
    }
}

fn passes(fault: &Fault) -> bool {
    matches!(fault.class(), FaultClass::Transient | FaultClass::Throttled)
}
