//! What happened to a run and explains its plots: what people changed, and when services were waited for.

use haul_core::UnixMs;

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
    all.sort_by_key(|e| e.at);
    let from = all.len().saturating_sub(MOST);
    all.split_off(from)
}
