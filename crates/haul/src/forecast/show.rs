//! A forecast for people and for programs.

use serde_json::{Value, json};

use super::bounds::per_second;
use super::{Forecast, rule_word};
use crate::format;

/// Items that figures are for when nobody knows how many there are.
const EXAMPLE: u64 = 1_000_000;
/// Bounds that are shown beside the one that rules.
const BOUNDS: usize = 4;
/// Columns of the words before what is said.
const WORD: usize = 10;

fn says(out: &mut String, word: &str, text: &str) {
    out.push_str(&format!("{word:<WORD$}{text}\n"));
}

/// For a person.
pub fn text(f: &Forecast) -> String {
    let mut out = match &f.measured {
        Some(m) => format!(
            "forecast, from {} measured in {}\n",
            format::items(m.items),
            format::span(m.took.as_millis() as u64)
        ),
        None => "forecast, from what the job and its files say; nothing was asked\n".to_owned(),
    };
    let count = f.items.count.map_or("?".to_owned(), format::count);
    let about = if f.items.exact || f.items.count.is_none() { "" } else { "about " };
    says(&mut out, "items", &format!("{about}{count} ({})", format::plain(&f.items.says, 200)));
    out.push_str(&steps(f));
    time(f, &mut out);
    let m = &f.memory;
    let most = match m.connections {
        Some(0) => format!("at most {}", format::bytes(m.most)),
        Some(n) => format!(
            "at most {}: {} and {} for each of {n} connections",
            format::bytes(m.most + m.connection * u64::from(n)),
            format::bytes(m.most),
            format::bytes(m.connection)
        ),
        None => format!(
            "at most {} and {} for each connection",
            format::bytes(m.most),
            format::bytes(m.connection)
        ),
    };
    says(&mut out, "memory", &most);
    for (i, disk) in f.disk.iter().enumerate() {
        let bytes = disk.bytes.map_or("unknown".to_owned(), format::bytes);
        says(
            &mut out,
            if i == 0 { "disk" } else { "" },
            &format!("{bytes}  {}", format::plain(&disk.what, 120)),
        );
    }
    if let Some(near) = &f.near {
        says(&mut out, "nearer", &format!("would gain {near}"));
    }
    for (i, (names, cost)) in f.crashes.iter().enumerate() {
        says(&mut out, if i == 0 { "a crash" } else { "" }, &format!("in {}: {cost}", names.join(", ")));
    }
    for (i, unknown) in f.unknown.iter().enumerate() {
        says(&mut out, if i == 0 { "unknown" } else { "" }, unknown);
    }
    out
}

fn steps(f: &Forecast) -> String {
    if f.steps.is_empty() {
        return String::new();
    }
    let measured = f.measured.is_some();
    // Two columns of words in the one that is left-aligned.
    let width = f.steps.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).max(4);
    let mut rows = vec![vec![format!("{:width$}  kind", "step"), "requests".to_owned()]];
    if measured {
        rows[0].extend(["a reply takes", "in, wire", "in, decoded", "out"].map(str::to_owned));
    }
    for step in &f.steps {
        let of = f.items.count.unwrap_or(EXAMPLE) as f64;
        let requests = match f.items.count {
            _ if step.per_item == 0.0 => "-".to_owned(),
            _ => format::count((of * step.per_item).round() as u64),
        };
        let mut row = vec![format!("{:width$}  {}", step.name, step.kind.as_str()), requests];
        if measured {
            let bytes = |each: f64| format::bytes((of * each).round() as u64);
            row.extend(step.seen.as_ref().map_or(vec!["-".to_owned(); 4], |s| {
                vec![
                    format::micros((s.alone_s * 1e6) as u64),
                    bytes(s.wire_in),
                    bytes(s.decoded_in),
                    bytes(s.wire_out),
                ]
            }));
        }
        rows.push(row);
    }
    let table = format::table(&rows);
    table.lines().map(|line| format!("{:WORD$}{line}\n", "")).collect()
}

fn span(seconds: f64) -> String {
    format::span((seconds * 1000.0) as u64)
}

fn time(f: &Forecast, out: &mut String) {
    let Some(rules) = f.bounds.first() else {
        says(out, "time", "unknown until it is measured, as by --probe 500");
        return;
    };
    let rate = format!("{} a second", per_second(rules.per_second).trim_end_matches("/s"));
    let text = match (f.seconds(), f.measured.is_some()) {
        (Some(s), true) => match f.least_seconds() {
            Some(least) => {
                format!("{} to {}: {rate}, and more when concurrency has grown", span(least), span(s))
            }
            None => format!("about {} ({rate})", span(s)),
        },
        (Some(s), false) => format!("at least {} ({rate})", span(s)),
        (None, measured) => {
            let s = EXAMPLE as f64 / rules.per_second;
            let word = if measured { "about" } else { "at least" };
            format!("{word} {} a million items ({rate})", span(s))
        }
    };
    says(out, "time", &text);
    says(out, "rules", &format!("{}: {}", rule_word(rules.what), rules.says));
    for bound in f.bounds.iter().skip(1).take(BOUNDS) {
        says(
            out,
            "",
            &format!("else {} a second: {}", per_second(bound.per_second).trim_end_matches("/s"), bound.says),
        );
    }
}

/// For a program.
pub fn json(f: &Forecast, job: &str) -> Value {
    let steps = f.steps.iter().map(|s| {
        let seen = s.seen.as_ref().map(|seen| {
            json!({
                "reply_us": (seen.alone_s * 1e6).round(), "reply_loaded_us": (seen.loaded_s * 1e6).round(),
                "wire_in": seen.wire_in, "decoded_in": seen.decoded_in, "wire_out": seen.wire_out,
            })
        });
        let crash = f.crashes.iter().find(|(names, _)| names.contains(&s.name)).map(|(_, cost)| cost);
        json!({
            "name": s.name, "kind": s.kind.as_str(), "service": s.lane, "requests_per_item": s.per_item,
            "requests": f.requests(s), "measured_per_item": seen, "a_crash_costs": crash,
        })
    });
    let bounds = f
        .bounds
        .iter()
        .map(|b| json!({ "what": b.what.as_str(), "items_per_second": b.per_second, "says": b.says }));
    let lanes = f.measured.iter().flat_map(|m| &m.lanes).map(|l| {
        json!({ "name": l.name, "in_flight": l.limit, "growing": l.growing, "rate": l.rate, "connect_us": l.connect_s.map(|s| (s * 1e6).round()) })
    });
    json!({
        "job": job,
        "items": { "count": f.items.count, "exact": f.items.exact, "says": f.items.says },
        "steps": steps.collect::<Vec<_>>(),
        "requests": f.items.count.map(|_| f.steps.iter().filter_map(|s| f.requests(s)).sum::<u64>()),
        "items_per_second": f.per_second(),
        "seconds": f.seconds(),
        "seconds_least": f.least_seconds(),
        "measured": f.measured.is_some(),
        "bounds": bounds.collect::<Vec<_>>(),
        "rules": f.bounds.first().map(|b| b.what.as_str()),
        "services": lanes.collect::<Vec<_>>(),
        "memory": { "most": f.memory.most, "connection": f.memory.connection, "connections": f.memory.connections },
        "disk": f.disk.iter().map(|d| json!({ "what": d.what, "bytes": d.bytes })).collect::<Vec<_>>(),
        "nearer": f.near,
        "unknown": f.unknown,
    })
}
