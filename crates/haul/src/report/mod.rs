//! What there is to say of a run afterwards, from its ledger and what its processes left: as text, as
//! JSON, or as one HTML file.

mod events;
mod html;
mod kept;
mod page;
mod plot;
mod series;
mod text;

use haul_core::UnixMs;
use haul_core::ledger::{Change, LaneNote, LedgerError, TickRow};
use haul_core::limits::{CHANGE_ROWS, LANE_ROWS};
use haul_engine::ledger::Reader;
use haul_engine::rundir::RunDir;
use serde_json::{Value, json};

pub use html::html;
pub use kept::{begin, keep};
pub use text::text;

use crate::format;
use crate::progress::accounts_json;
use crate::standing::Standing;

/// What is said of the traffic of a step.
const TRAFFIC: [&str; 9] =
    ["step", "requests", "in, wire", "in, decoded", "out", "saved", "p50", "p95", "p99"];

/// Bytes that a process held for its items.
struct Held {
    peak: u64,
    limit: u64,
    /// What for, and the most of it.
    accounts: Vec<(String, u64)>,
    commits: u64,
}

/// Everything a report says.
pub struct Facts {
    standing: Standing,
    /// The job file, as it was when the run was made.
    job: String,
    ticks: Vec<TickRow>,
    notes: Vec<LaneNote>,
    changes: Vec<Change>,
    /// When processes began and, where they said so, ended.
    lives: Vec<(UnixMs, Option<UnixMs>)>,
    /// What each process said when it ended, oldest first; one that was killed said nothing.
    processes: Vec<Value>,
}

impl Facts {
    /// Reads them; the run may still be at work.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of(dir: RunDir) -> Result<Self, LedgerError> {
        let reader = Reader::open(dir.path())?;
        let ticks = reader.ticks(UnixMs(0))?;
        let notes = reader.lanes(LANE_ROWS as usize)?;
        let changes = reader.changes(CHANGE_ROWS as usize)?;
        // The run may have been made by hand or by a program of its own.
        let job = dir.job_text().unwrap_or_default();
        let (processes, lives) = (kept::read(&dir), kept::lives(&dir));
        Ok(Facts { standing: Standing::of(dir)?, job, ticks, notes, changes, lives, processes })
    }

    /// From the first to the last moment that is known of.
    fn span(&self) -> Option<(UnixMs, UnixMs)> {
        let (first, last) = (self.ticks.first()?, self.ticks.last()?);
        Some((UnixMs(first.at.0 - i64::from(first.span_ms)), last.at))
    }

    /// The sum of a number over the processes that ended in order.
    fn sum(&self, key: &str) -> u64 {
        self.processes.iter().filter_map(|p| p["summary"][key].as_u64()).sum()
    }

    /// A row a step, under the heads of [`TRAFFIC`].
    fn traffic(&self) -> Vec<Vec<String>> {
        let row = |s: &Value| {
            let n = |key: &str| s[key].as_u64().unwrap_or(0);
            vec![
                s["name"].as_str().unwrap_or_default().to_owned(),
                format::count(n("requests")),
                format::bytes(n("wire_in")),
                format::bytes(n("decoded_in")),
                format::bytes(n("wire_out")),
                format::count(n("coalesced") + n("cached")),
                format::micros(n("p50_us")),
                format::micros(n("p95_us")),
                format::micros(n("p99_us")),
            ]
        };
        self.steps().iter().map(row).collect()
    }

    /// Steps with their traffic, added up over processes; latencies are of the last one.
    fn steps(&self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        for step in self.processes.iter().filter_map(|p| p["summary"]["steps"].as_array()).flatten() {
            match all.iter_mut().find(|s| s["name"] == step["name"]) {
                None => all.push(step.clone()),
                Some(sum) => {
                    for key in ["requests", "wire_in", "decoded_in", "wire_out", "coalesced", "cached"] {
                        sum[key] = json!(sum[key].as_u64().unwrap_or(0) + step[key].as_u64().unwrap_or(0));
                    }
                    for key in ["p50_us", "p95_us", "p99_us"] {
                        sum[key] = step[key].clone();
                    }
                }
            }
        }
        all
    }

    /// What the last process held, or the one at work holds: its peak, limit, and peaks by account.
    fn held(&self) -> Option<Held> {
        let (memory, commits) = match (&self.standing.live, self.processes.last()) {
            (Some(live), _) => {
                let memory = json!({ "peak": live.memory.1, "limit": live.memory_limit, "accounts": accounts_json(live) });
                (memory, live.commits)
            }
            (None, Some(last)) => (last["memory"].clone(), last["summary"]["commits"].as_u64().unwrap_or(0)),
            (None, None) => return None,
        };
        let n = |value: &Value| value.as_u64().unwrap_or(0);
        let account = |a: &Value| (a["what"].as_str().unwrap_or_default().to_owned(), n(&a["peak"]));
        let accounts =
            memory["accounts"].as_array().map_or(Vec::new(), |all| all.iter().map(account).collect());
        Some(Held { peak: n(&memory["peak"]), limit: n(&memory["limit"]), accounts, commits })
    }

    /// The latency goals of the processes that had one.
    fn goals(&self) -> Vec<&LaneNote> {
        self.notes.iter().filter(|n| n.what == "goal").collect()
    }

    /// For a program: everything, nothing thinned.
    pub fn json(&self) -> Value {
        let ticks = self.ticks.iter().map(|t| {
            json!({
                "at_ms": t.at.0, "span_ms": t.span_ms, "settled": t.settled, "faults": t.faults,
                "requests": t.requests, "wire_in": t.wire_in, "wire_out": t.wire_out, "in_flight": t.in_flight,
                "limit": t.limit, "p50_us": t.p50_us, "p95_us": t.p95_us, "p99_us": t.p99_us, "rss": t.rss,
            })
        });
        let notes = self.notes.iter().map(|n| {
            json!({ "host": n.lane, "at_ms": n.at.0, "what": n.what, "value": n.value, "reason": n.reason })
        });
        let changes = self
            .changes
            .iter()
            .map(|c| json!({ "at_ms": c.at.0, "who": c.who, "what": c.what, "old": c.old, "new": c.new }));
        json!({
            "run": self.standing.json(),
            "job": self.job,
            "processes": self.processes,
            "steps": self.steps(),
            "goal": self.goals().last().map(|n| json!({ "reached_ms": n.value, "says": n.reason })),
            "ticks": ticks.collect::<Vec<_>>(),
            "lanes": notes.collect::<Vec<_>>(),
            "changes": changes.collect::<Vec<_>>(),
            "memory": self.held().map(|h| json!({
                "peak": h.peak, "limit": h.limit, "commits": h.commits,
                "accounts": h.accounts.iter().map(|(what, peak)| json!({ "what": what, "peak": peak })).collect::<Vec<_>>(),
            })),
        })
    }
}
