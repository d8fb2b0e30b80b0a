//! What happened to a run and explains its plots: what people changed, and when services were waited for.

use haul_core::UnixMs;
use haul_engine::rundir::Status;

use super::Facts;
use crate::format;

/// Events that a report shows; of more, the longest pauses and the last ones are no more telling.
const MOST: usize = 40;

/// One of them.
pub struct Event {
    pub at: UnixMs,
    pub says: String,
}

/// In order of time.
pub fn events(facts: &Facts) -> Vec<Event> {
    let mut all = Vec::new();
    for c in &facts.changes {
        let says = match (c.old.as_str(), c.new.as_str()) {
            ("", "") => format!("{} by {}", c.what, c.who),
            (old, new) => format!("{}: {old} → {new}, by {}", c.what, c.who),
        };
        all.push(Event { at: c.at, says });
    }
    for n in &facts.notes {
        let says = match (n.what, n.value) {
            ("breaker", v) if v > 0.0 => format!("waits for {}", n.reason),
            ("breaker", _) => format!("{} answers again", n.lane),
            ("pause", v) if v >= 5.0 => {
                format!("{} asked to wait {}: {}", n.lane, format::span((v * 1000.0) as u64), n.reason)
            }
            ("rate", v) => format!("{} is paced at {v:.1}/s: {}", n.lane, n.reason),
            _ => continue,
        };
        all.push(Event { at: n.at, says });
    }
    for p in &facts.processes {
        if let (Some(at), Some(why)) = (p["ended_ms"].as_i64(), p["summary"]["why"].as_str()) {
            all.push(Event { at: UnixMs(at), says: format!("process ended: {}", why.replace('_', " ")) });
        }
    }
    all.extend(deaths(facts));
    all.sort_by_key(|e| e.at);
    let from = all.len().saturating_sub(MOST);
    all.split_off(from)
}

/// Processes that ended without a word, as of the last row that they left, and who went on.
fn deaths(facts: &Facts) -> Vec<Event> {
    let mut all = Vec::new();
    for (i, (began, ended)) in facts.lives.iter().enumerate() {
        let next = facts.lives.get(i + 1).map(|(at, _)| *at);
        let works = next.is_none() && !matches!(facts.standing.status, Status::Dead);
        if ended.is_none() && !works {
            let before = facts.ticks.iter().rev().map(|t| t.at).find(|at| next.is_none_or(|n| *at < n));
            let at = before.filter(|at| at > began).unwrap_or(*began);
            all.push(Event { at, says: "process ended without a word: it was killed".to_owned() });
        }
        if i > 0 {
            all.push(Event { at: *began, says: "another process goes on".to_owned() });
        }
    }
    all
}
