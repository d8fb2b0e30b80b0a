//! What programs read of a run.

use haul_core::Counts;
use haul_engine::Snapshot;
use serde_json::{Value, json};

/// One JSON line about a run.
pub fn event(kind: &str, run: &str, mut fields: Value) -> Value {
    let mut all = json!({ "event": kind, "run": run });
    if let (Some(all), Some(fields)) = (all.as_object_mut(), fields.as_object_mut()) {
        all.append(fields);
    }
    all
}

/// How far a run is; `eta_ms`: what the rest would take.
pub(super) fn progress_json(now: &Snapshot, eta_ms: Option<u64>) -> Value {
    json!({
        "elapsed_ms": now.elapsed_ms,
        "counts": counts_json(&now.counts),
        "parked": now.parked,
        "bytes_read": now.bytes_read,
        "bytes_total": now.bytes_total,
        "eta_ms": eta_ms,
        "in_work": now.in_work,
        "waiting_for": now.waiting_for,
        "leading": now.leading,
        "lanes": lanes_json(now),
    })
}

/// What each service is asked.
pub fn lanes_json(now: &Snapshot) -> Value {
    let lanes = now.lanes.iter().map(|l| {
        json!({
            "host": l.name, "in_flight": l.in_flight, "limit": l.limit, "rate": l.rate,
            "requests": l.requests, "throttled": l.throttled, "limit_why": l.limit_why, "rate_why": l.rate_why,
        })
    });
    lanes.collect()
}

/// What bytes are held for.
pub fn accounts_json(now: &Snapshot) -> Value {
    now.accounts.iter().map(|a| json!({ "what": a.name, "held": a.held, "peak": a.peak })).collect()
}

/// Counts with their sum.
pub fn counts_json(c: &Counts) -> Value {
    json!({
        "read": c.read(), "done": c.done, "skipped": c.skipped, "failed": c.failed,
        "rejected": c.rejected, "in_doubt": c.in_doubt, "waiting": c.waiting,
    })
}
