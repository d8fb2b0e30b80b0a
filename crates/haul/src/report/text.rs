//! A report for a terminal.

use super::events::events;
use super::series::{Point, points};
use super::{Facts, TRAFFIC};
use crate::format;

/// Columns of the small plots.
const WIDTH: usize = 60;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// All of it.
pub fn text(facts: &Facts) -> String {
    let mut out = facts.standing.text();
    // What to type next stays last.
    let next = out.trim_end().rfind('\n').map_or(String::new(), |at| out.split_off(at + 1));
    for note in facts.goals() {
        out.push_str(&format!("goal {} ({})\n", note.reason, format::micros((note.value * 1000.0) as u64)));
    }
    steps(facts, &mut out);
    memory(facts, &mut out);
    plots(facts, &mut out);
    let happened = events(facts);
    if !happened.is_empty() {
        out.push_str("\nwhat happened\n");
        for e in happened {
            out.push_str(&format!("  {}  {}\n", format::clock(e.at), format::plain(&e.says, 160)));
        }
    }
    limits(facts, &mut out);
    out.push('\n');
    out.push_str(&next);
    out
}

fn steps(facts: &Facts, out: &mut String) {
    let steps = facts.traffic();
    if steps.is_empty() {
        return;
    }
    let mut rows = vec![TRAFFIC.map(str::to_owned).to_vec()];
    rows.extend(steps);
    out.push('\n');
    out.push_str(&format::table(&rows));
    let (cpu, rss) = (facts.sum("cpu_ms"), facts.standing.info.as_ref().and_then(|i| i.rss_peak));
    out.push_str(&format!("CPU {}", format::micros(cpu * 1000)));
    if let Some(rss) = rss {
        out.push_str(&format!(", peak memory {}", format::bytes(rss)));
    }
    out.push_str(&format!(", {} tried again\n", format::count(facts.sum("retries"))));
}

fn memory(facts: &Facts, out: &mut String) {
    let Some(held) = facts.held().filter(|h| h.peak > 0) else { return };
    let (peak, limit) = (format::bytes(held.peak), format::bytes(held.limit));
    out.push_str(&format!("held at most {peak} of {limit} at once\n"));
    let rows: Vec<Vec<String>> =
        held.accounts.iter().map(|(what, n)| vec![format!("  {what}"), format::bytes(*n)]).collect();
    out.push_str(&format::table(&rows));
}

/// A name, a value, and how it is said.
type Kind = (&'static str, fn(&Point) -> f64, fn(f64) -> String);

fn plots(facts: &Facts, out: &mut String) {
    let all = points(&facts.ticks, WIDTH);
    let Some((from, to)) = facts.span().filter(|_| all.len() > 1) else { return };
    out.push_str(&format!("\n{} to {}\n", format::clock(from), format::clock(to)));
    let kinds: [Kind; 6] = [
        ("items/s", |p| p.items, |v| format!("{v:.0}")),
        ("requests/s", |p| p.requests, |v| format!("{v:.0}")),
        ("p95", |p| p.p95, |v| format::micros((v * 1000.0) as u64)),
        ("in flight", |p| p.in_flight, |v| format!("{v:.0}")),
        ("faults/s", |p| p.faults, |v| format!("{v:.1}")),
        ("memory", |p| p.rss, |v| format::bytes(v as u64)),
    ];
    for (name, of, say) in kinds {
        let most = all.iter().map(of).fold(0.0, f64::max);
        if most > 0.0 {
            out.push_str(&format!("  {name:<11}{}  up to {}\n", line(&all, of, most), say(most)));
        }
    }
}

/// One character a point; a gap is blank.
fn line(all: &[Point], of: fn(&Point) -> f64, most: f64) -> String {
    let mut out = String::new();
    for point in all {
        if point.after_gap {
            out.push(' ');
        }
        let step = (of(point) / most * (BLOCKS.len() - 1) as f64).round() as usize;
        out.push(BLOCKS[step.min(BLOCKS.len() - 1)]);
    }
    out
}

/// The limits as they were at last, and why.
fn limits(facts: &Facts, out: &mut String) {
    let mut last: std::collections::BTreeMap<(&str, &str), &haul_core::ledger::LaneNote> = Default::default();
    for n in facts.notes.iter().filter(|n| matches!(n.what, "concurrency" | "rate")) {
        last.insert((&n.lane, n.what), n);
    }
    if !last.is_empty() {
        out.push_str("\nlimits as they were last found\n");
    }
    for ((lane, what), n) in last {
        let value = if what == "rate" { format!("{:.1}/s", n.value) } else { format!("{:.0}", n.value) };
        out.push_str(&format!("  {lane}  {what} {value}: {}\n", n.reason));
    }
}
