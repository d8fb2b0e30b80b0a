//! A report as one HTML file: no script, nothing loaded, light and dark, printable.

use haul_core::UnixMs;
use haul_engine::ledger::RunState;
use haul_engine::rundir::Status;

use super::events::{Event, events};
use super::page::{document, escape, table};
use super::plot::{Line, Plot};
use super::series::points;
use super::{Facts, TRAFFIC};
use crate::format;
use crate::summary::reconciliation;

/// Failures that are listed.
const GROUPS: usize = 30;
/// Changes of limits that are listed.
const LIMITS: usize = 200;
/// Lines that differ by more than so many times get plots of their own.
const APART: f64 = 10.0;
/// A job file that is longer is cut off.
const JOB_BYTES: usize = 64 * 1024;

/// The page.
pub fn html(facts: &Facts) -> String {
    let name = facts.standing.dir.name();
    let happened = events(facts);
    let mut body = head(facts);
    body.push_str(&failures(facts));
    body.push_str(&plots(facts, &happened));
    body.push_str(&what_happened(&happened));
    body.push_str(&traffic(facts));
    body.push_str(&memory(facts));
    body.push_str(&limits(facts));
    body.push_str(&again(facts));
    document(&format!("haul: run {name}"), &body)
}

fn moment(at: UnixMs) -> String {
    let clock = escape(&format::clock(at));
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(exact) => format!("<time datetime=\"{exact}\">{clock}</time>"),
        Err(_) => clock,
    }
}

fn outcome(facts: &Facts) -> (&'static str, &'static str) {
    let open = facts.standing.counts.has_open();
    match &facts.standing.status {
        Status::Alive(_) => ("", "It is still at work; this is how it was when the report was made."),
        Status::Dead => ("bad", "Its process was killed; this is how it was at its last commit."),
        Status::Ended(RunState::Finished) if open => ("bad", "It finished, with failures."),
        Status::Ended(RunState::Finished) => ("good", "It finished: every item has its outcome."),
        Status::Ended(RunState::Stopped) => {
            ("bad", "It was stopped before the end; the same command goes on with it.")
        }
        Status::Ended(RunState::Failed) => ("bad", "It could not go on."),
        Status::Ended(_) => ("", "It was made, and never finished."),
        Status::Unreadable(_) => ("bad", "Its state cannot be read."),
    }
}

fn head(facts: &Facts) -> String {
    let c = &facts.standing.counts;
    let (class, says) = outcome(facts);
    let mut out = format!(
        "<h1>Run {}</h1>\n<p class=\"{class}\">{says}</p>\n<p>{}</p>\n",
        escape(facts.standing.dir.name()),
        escape(&reconciliation(c))
    );
    if let Some(copied) = &facts.standing.copied {
        let lines = copied.text();
        lines.lines().for_each(|line| out.push_str(&format!("<p>{}</p>\n", escape(line))));
    }
    let mut figures: Vec<(String, &str)> = [
        (c.done, "done"),
        (c.skipped, "skipped"),
        (c.failed, "failed"),
        (c.rejected, "rejected"),
        (c.in_doubt, "in doubt"),
        (c.waiting, "waiting"),
    ]
    .into_iter()
    .filter(|(n, what)| *n > 0 || *what == "done")
    .map(|(n, what)| (format::count(n), what))
    .collect();
    let worked: u64 = facts.ticks.iter().map(|t| u64::from(t.span_ms)).sum();
    let settled: u64 = facts.ticks.iter().map(|t| t.settled).sum();
    if worked > 0 {
        figures.push((format::span(worked), "at work"));
        figures.push((format::rate(settled, worked), "items, while at work"));
    }
    if let Some(rss) = facts.standing.info.as_ref().and_then(|i| i.rss_peak).filter(|n| *n > 0) {
        figures.push((format::bytes(rss), "peak memory"));
    }
    let cpu = facts.sum("cpu_ms");
    if cpu > 0 {
        figures.push((format::micros(cpu * 1000), "processor time"));
    }
    out.push_str("<ul class=\"figures\">");
    for (value, what) in figures {
        out.push_str(&format!("<li><b>{}</b><span>{}</span></li>", escape(&value), escape(what)));
    }
    out.push_str("</ul>\n");
    for note in facts.goals() {
        let class = if note.reason.contains(": met over") { "good" } else { "bad" };
        let reached = format::micros((note.value * 1000.0) as u64);
        out.push_str(&format!(
            "<p class=\"{class}\">Latency goal {} (reached {}), by the process that ended at {}.</p>\n",
            escape(&note.reason),
            escape(&reached),
            moment(note.at)
        ));
    }
    out
}

fn failures(facts: &Facts) -> String {
    let groups = &facts.standing.groups;
    if groups.groups.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = groups
        .groups
        .iter()
        .take(GROUPS)
        .map(|g| {
            let message = g.messages.first().map_or(String::new(), |m| format::plain(m, 200));
            vec![
                g.id.to_string(),
                g.why.as_str().replace('_', " "),
                format::count(g.count),
                g.signature.clone(),
                message,
            ]
        })
        .collect();
    let rest: u64 = groups.groups.iter().skip(GROUPS).map(|g| g.count).sum::<u64>() + groups.unlisted;
    let more =
        if rest > 0 { format!("<p>{} of other kinds.</p>\n", format::items(rest)) } else { String::new() };
    let table = table(&["id", "outcome", "items", "signature", "an example"], &rows);
    format!(
        "<h2>Failures by signature</h2>\n{}{more}",
        table.replacen("<table>", "<table class=\"text\">", 1)
    )
}

fn plots(facts: &Facts, happened: &[Event]) -> String {
    let all = points(&facts.ticks, usize::MAX);
    let Some((from, to)) = facts.span().filter(|_| all.len() > 1) else {
        return "<h2>Over time</h2>\n<p>It was too short to tell.</p>\n".to_owned();
    };
    let long = to.0 - from.0;
    let marks: Vec<(usize, i64)> = happened
        .iter()
        .enumerate()
        .map(|(i, e)| (i + 1, e.at.0 - from.0))
        .filter(|(_, at)| (0..=long).contains(at))
        .collect();
    let say_at = |ms: i64| format::span(ms.max(0) as u64);
    let number =
        |v: f64| if v >= 10.0 || v == 0.0 { format::count(v.round() as u64) } else { format!("{v:.1}") };
    let millis = |v: f64| format::micros((v * 1000.0) as u64);
    let bytes = |v: f64| format::bytes(v as u64);
    let plot = |id, title, about, lines: &[Line], say: fn(f64) -> String| {
        Plot { id, title, about, lines, say, say_at: &say_at }.figure(&all, &marks, long)
    };
    let mut out = format!(
        "<h2>Over time</h2>\n<p>From {} to {}; the time axis counts from the start. Numbered marks are explained under \
         <a href=\"#happened\">what happened</a>; where lines are broken nothing was sent.</p>\n",
        moment(from),
        moment(to)
    );
    let (items, requests) =
        (Line { name: "items", of: |p| p.items }, Line { name: "requests", of: |p| p.requests });
    let most = |line: &Line| all.iter().map(line.of).fold(0.0, f64::max);
    let (a, b) = (most(&items), most(&requests));
    // On one axis the smaller would lie on the ground.
    if a.max(b) > APART * a.min(b) && a.min(b) > 0.0 {
        out.push_str(&plot("throughput", "Throughput", "Items settled, a second.", &[items], number));
        out.push_str(&plot("requests", "Requests", "Requests ended, a second.", &[requests], number));
    } else {
        let about = "Items settled and requests ended, a second.";
        out.push_str(&plot("throughput", "Throughput", about, &[items, requests], number));
    }
    out.push_str(&plot(
        "latency",
        "Latency of requests",
        "From the moment a request was sent to the last byte of its reply. Half of them took less than p50.",
        &[
            Line { name: "p50", of: |p| p.p50 },
            Line { name: "p95", of: |p| p.p95 },
            Line { name: "p99", of: |p| p.p99 },
        ],
        millis,
    ));
    out.push_str(&plot(
        "concurrency",
        "Requests in flight, and how many were allowed",
        "Over all services. A limit that is not used up did not rule.",
        &[Line { name: "in flight", of: |p| p.in_flight }, Line { name: "limit", of: |p| p.limit }],
        number,
    ));
    out.push_str(&plot(
        "faults",
        "Attempts that failed",
        "A second. Most are tried again.",
        &[Line { name: "faults", of: |p| p.faults }],
        number,
    ));
    out.push_str(&plot(
        "bytes",
        "Bytes on the wire",
        "A second.",
        &[Line { name: "in", of: |p| p.bytes_in }, Line { name: "out", of: |p| p.bytes_out }],
        bytes,
    ));
    out.push_str(&plot(
        "memory",
        "Memory of the process",
        "Resident, all of it.",
        &[Line { name: "memory", of: |p| p.rss }],
        bytes,
    ));
    out
}

fn what_happened(happened: &[Event]) -> String {
    if happened.is_empty() {
        return String::new();
    }
    let items = happened
        .iter()
        .map(|e| format!("<li>{} {}</li>\n", moment(e.at), escape(&format::plain(&e.says, 300))));
    format!(
        "<h2 id=\"happened\">What happened</h2>\n<ol class=\"events\">\n{}</ol>\n",
        items.collect::<String>()
    )
}

fn traffic(facts: &Facts) -> String {
    let rows = facts.traffic();
    if rows.is_empty() {
        return String::new();
    }
    let started = facts.standing.info.as_ref().map_or(0, |i| i.processes);
    let told = facts.processes.len() as u64;
    let note = match started.saturating_sub(told) {
        0 => String::new(),
        n => format!(
            "<p>{} ended without a word (killed, or still at work) and {} not counted here.</p>\n",
            if n == 1 { "One process".to_owned() } else { format!("{n} processes") },
            if n == 1 { "is" } else { "are" }
        ),
    };
    format!("<h2>Traffic</h2>\n{note}{}", table(&TRAFFIC, &rows))
}

fn memory(facts: &Facts) -> String {
    let Some(held) = facts.held().filter(|h| h.peak > 0) else { return String::new() };
    let rows: Vec<Vec<String>> =
        held.accounts.iter().map(|(what, peak)| vec![what.clone(), format::bytes(*peak)]).collect();
    format!(
        "<h2>Memory by account</h2>\n<p>The last process held at most {} of {} at once for what grows with its items; \
         {} commits. The rest of its memory is the program itself and its connections.</p>\n{}",
        format::bytes(held.peak),
        format::bytes(held.limit),
        format::count(held.commits),
        table(&["held for", "at most"], &rows)
    )
}

fn limits(facts: &Facts) -> String {
    let notes: Vec<_> =
        facts.notes.iter().filter(|n| matches!(n.what, "concurrency" | "rate" | "pause")).collect();
    if notes.is_empty() {
        return String::new();
    }
    let from = notes.len().saturating_sub(LIMITS);
    let row = |n: &&&haul_core::ledger::LaneNote| {
        let value = match n.what {
            "rate" => format!("{:.1}/s", n.value),
            "pause" => format!("{:.0} s", n.value),
            _ => format!("{:.0}", n.value),
        };
        vec![format::clock(n.at), n.lane.clone(), n.what.to_owned(), value, n.reason.clone()]
    };
    let rows: Vec<Vec<String>> = notes[from..].iter().rev().map(|n| row(&n)).collect();
    let table = table(&["when", "service", "what", "to", "because"], &rows);
    format!(
        "<h2>Limits and why they changed</h2>\n<details><summary>The last {} changes, newest first</summary>\n{}</details>\n",
        rows.len(),
        table.replacen("<table>", "<table class=\"text\">", 1)
    )
}

fn again(facts: &Facts) -> String {
    let mut job = facts.job.as_str();
    if job.len() > JOB_BYTES {
        job = &job[..job.floor_char_boundary(JOB_BYTES)];
    }
    let command = crate::standing::go_on(&facts.standing.dir);
    let version =
        facts.processes.last().and_then(|p| p["version"].as_str()).unwrap_or(env!("CARGO_PKG_VERSION"));
    format!(
        "<h2>How to do it again</h2>\n<p>With haul {}:</p>\n<pre><code>{}</code></pre>\n<p>The job:</p>\n<pre><code>{}</code></pre>\n",
        escape(version),
        escape(&command),
        escape(job)
    )
}
