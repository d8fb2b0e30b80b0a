//! What happened, when a run ends: the line that adds up, failures by kind, traffic, cost, and what
//! to type next.

use haul_core::Counts;
use haul_engine::ledger::read::Groups;
use haul_engine::view::LaneView;
use haul_engine::{Ending, Snapshot, Why};
use serde_json::{Value, json};

use crate::copied::Totals;
use crate::cost::Cost;
use crate::progress::counts_json;
use crate::verbs::errors;
use crate::{exit, format};

/// Groups of failures that a summary shows; `haul errors` shows all.
const GROUPS_SHOWN: usize = 8;

/// Everything a summary says.
pub struct Summary<'a> {
    /// Name of the run.
    pub run: &'a str,
    /// The exit status.
    pub status: u8,
    /// How the engine ended.
    pub ending: &'a Ending,
    /// What failed.
    pub groups: &'a Groups,
    /// What was copied, by this process and those before.
    pub copied: Option<&'a Totals>,
    /// What this process cost.
    pub cost: Cost,
    /// The command that goes on with the run.
    pub again: &'a str,
    /// True when the input is a pipe: what was read of it is gone.
    pub piped: bool,
    /// True when what was done is lost by stopping, as rows on standard output are.
    pub starts_over: bool,
    /// True when a filter looks at fields that are text for want of a type.
    pub untyped: bool,
    /// More about lanes and memory.
    pub verbose: bool,
    /// `--state` as it was given, for the commands to type.
    pub state: Option<&'a std::path::Path>,
}

/// The exit status that an ending stands for.
pub fn status_of(ending: &Ending) -> u8 {
    match ending.why {
        Why::Invalid { .. } => exit::INVALID,
        Why::Stopped | Why::GaveUp { .. } | Why::TooManyFailed { .. } => exit::STOPPED,
        Why::Finished if ending.counts.has_open() => exit::OPEN,
        Why::Finished => exit::DONE,
    }
}

/// The line that says how to go on with a run that stopped.
pub fn go_on(again: &str, starts_over: bool) -> String {
    let how = match starts_over {
        true => "starts over: rows on standard output cannot be taken back",
        false => "goes on where it stopped",
    };
    format!("next: {again}  ({how})")
}

/// The line that must always add up.
pub fn reconciliation(c: &Counts) -> String {
    let n = format::count;
    format!(
        "read {} = done {} + skipped {} + failed {} + rejected {} + in doubt {} + waiting {}",
        n(c.read()),
        n(c.done),
        n(c.skipped),
        n(c.failed),
        n(c.rejected),
        n(c.in_doubt),
        n(c.waiting)
    )
}

impl Summary<'_> {
    /// For a person.
    pub fn text(&self) -> String {
        let last = &self.ending.last;
        let mut text = format!("run {}: {}\n", self.run, self.headline());
        text.push_str(&reconciliation(&self.ending.counts));
        text.push('\n');
        // Progress counted them; what is committed does not.
        if self.ending.why != Why::Finished && !self.piped && self.ending.open > 0 {
            text.push_str(&format!(
                "{} more were read and not settled: they are read again\n",
                format::items(self.ending.open)
            ));
        }
        text.push_str(&self.copied.map(Totals::text).unwrap_or_default());
        self.failures(&mut text);
        let c = &self.ending.counts;
        if self.untyped && c.skipped > 0 && c.skipped == c.read() {
            text.push_str(
                "every item was skipped: fields are text unless they have a type, as in --columns user_id:int\n",
            );
        }
        for remark in &self.ending.remarks {
            text.push_str(&format!("{}\n", format::plain(remark, 300)));
        }
        if last.steps.iter().any(|s| s.requests > 0) {
            text.push_str(&steps(last));
        }
        if self.piped && self.ending.open > 0 {
            text.push_str(&format!(
                "{} read from standard input have no outcome yet: feed the same input to the same command again\n",
                format::items(self.ending.open)
            ));
        }
        text.push_str(&self.saved());
        text.push_str(&goal_line(last));
        text.push_str(&self.cost_line());
        if self.verbose {
            text.push_str(&lanes(last));
        }
        text.push_str(&self.next());
        text
    }

    fn headline(&self) -> String {
        let last = &self.ending.last;
        let how = match (&self.ending.why, self.ending.nothing_new) {
            (Why::Invalid { message }, _) => return format!("stopped at bad input: {message}"),
            (Why::GaveUp { message }, _) => return format!("gave up: {message}"),
            (Why::TooManyFailed { failed, settled }, _) => {
                return format!(
                    "stopped: {} of {} settled failed, which is more than --max-failed allows",
                    format::count(*failed),
                    format::items(*settled)
                );
            }
            (Why::Stopped, _) => "stopped before the end",
            (Why::Finished, _) if self.ending.counts.read() == 0 => {
                let source = if last.source == "stdin" { "standard input" } else { &last.source };
                return format!("finished: {source} has no items");
            }
            (Why::Finished, true) => return "was finished before, and there is nothing new".to_owned(),
            (Why::Finished, false) => "finished",
        };
        let settled = self.ending.settled_now;
        let pace = format::rate(settled, last.elapsed_ms);
        let earlier = if self.ending.resumed { ", the rest earlier" } else { "" };
        format!(
            "{how} after {} ({} settled{earlier}, {pace})",
            format::span(last.elapsed_ms),
            format::items(settled)
        )
    }

    fn failures(&self, text: &mut String) {
        for group in self.groups.groups.iter().take(GROUPS_SHOWN) {
            text.push_str(&format!("  {}", errors::head(group)));
            if let Some(message) = group.messages.first() {
                text.push_str(&format!("  {}", format::plain(message, 120)));
            }
            text.push('\n');
        }
        let rest =
            self.groups.groups.iter().skip(GROUPS_SHOWN).map(|g| g.count).sum::<u64>() + self.groups.unlisted;
        if rest > 0 {
            text.push_str(&format!("  and {} of other kinds\n", format::items(rest)));
        }
    }

    fn saved(&self) -> String {
        let last = &self.ending.last;
        let mut parts = Vec::new();
        if last.retries > 0 {
            parts.push(format!("{} tried again", format::count(last.retries)));
        }
        let (coalesced, cached) = shared(last);
        let saved = [
            (last.memo_saved, "by memo"),
            (cached, "by cache"),
            (coalesced, "by an identical one in flight"),
        ];
        for (i, (n, by)) in saved.into_iter().filter(|(n, _)| *n > 0).enumerate() {
            let what = if i == 0 { " requests saved" } else { "" };
            parts.push(format!("{}{what} {by}", format::count(n)));
        }
        if parts.is_empty() { String::new() } else { parts.join(", ") + "\n" }
    }

    fn cost_line(&self) -> String {
        let Cost { rss_peak, cpu_ms } = self.cost;
        let mut parts = Vec::new();
        if rss_peak > 0 {
            parts.push(format!("peak memory {}", format::bytes(rss_peak)));
        }
        if cpu_ms > 0 {
            let each = cpu_ms * 1000 / self.ending.settled_now.max(1);
            let each = if self.ending.settled_now > 0 {
                format!(" ({} an item)", format::micros(each))
            } else {
                String::new()
            };
            parts.push(format!("CPU {}{each}", format::micros(cpu_ms * 1000)));
        }
        if parts.is_empty() { String::new() } else { parts.join(", ") + "\n" }
    }

    /// The last line: what to type next.
    fn next(&self) -> String {
        let c = &self.ending.counts;
        let state = match self.state {
            Some(dir) => format!(" --state {}", dir.display()),
            None => String::new(),
        };
        let run = self.run;
        match self.status {
            exit::STOPPED => go_on(self.again, self.starts_over) + "\n",
            exit::INVALID => format!("next: repair the input, then {}\n", self.again),
            exit::OPEN if c.failed > 0 => {
                format!("next: haul errors {run}{state}  (look), haul retry {run}{state}  (try them again)\n")
            }
            exit::OPEN => format!("next: haul errors {run}{state} --list\n"),
            _ => "all done\n".to_owned(),
        }
    }

    /// For a program: one JSON object.
    pub fn json(&self) -> Value {
        let last = &self.ending.last;
        let (why, message) = match &self.ending.why {
            Why::Finished => ("finished", None),
            Why::Stopped => ("stopped", None),
            Why::GaveUp { message } => ("gave_up", Some(message)),
            Why::TooManyFailed { .. } => ("too_many_failed", None),
            Why::Invalid { message } => ("invalid", Some(message)),
        };
        json!({
            "why": why,
            "message": message,
            "status": self.status,
            "resumed": self.ending.resumed,
            "nothing_new": self.ending.nothing_new,
            "elapsed_ms": last.elapsed_ms,
            "counts": counts_json(&self.ending.counts),
            "settled_now": self.ending.settled_now,
            "open": self.ending.open,
            "remarks": self.ending.remarks,
            "copied": self.copied.map(Totals::json),
            "retries": last.retries,
            "memo_saved": last.memo_saved,
            "cache_saved": shared(last).1,
            "coalesced": shared(last).0,
            "goal": goal_json(last),
            "commits": last.commits,
            "rss_peak": self.cost.rss_peak,
            "cpu_ms": self.cost.cpu_ms,
            "steps": last.steps.iter().map(|s| json!({
                "name": s.name, "requests": s.requests, "wire_in": s.wire_in, "decoded_in": s.decoded_in,
                "wire_out": s.wire_out, "coalesced": s.coalesced, "cached": s.cached, "p50_us": s.latency_us.0, "p95_us": s.latency_us.1,
                "p99_us": s.latency_us.2,
            })).collect::<Vec<_>>(),
            "failures": self.groups.groups.iter().take(GROUPS_SHOWN).map(|g| json!({
                "id": g.id.to_string(), "outcome": g.why.as_str(), "count": g.count, "signature": g.signature,
            })).collect::<Vec<_>>(),
        })
    }
}

/// Whether the latency goal of the job was met by this process.
pub fn goal_line(last: &Snapshot) -> String {
    let Some(g) = last.goal.as_ref().filter(|g| g.items > 0) else { return String::new() };
    let share = g.goal.split(' ').next().unwrap_or_default();
    let word = if g.met { "met" } else { "missed" };
    let of = format::items(g.items);
    format!("goal {}: {word} ({share} was {} over {of})\n", g.goal, format::micros(g.reached_us))
}

/// The same for a program.
pub fn goal_json(last: &Snapshot) -> Value {
    let goal = last.goal.as_ref();
    json!(goal.map(|g| json!({ "goal": g.goal, "met": g.met, "reached_us": g.reached_us, "items": g.items })))
}

/// Requests that lookups did not send: an identical one was in flight, or had been kept.
fn shared(last: &Snapshot) -> (u64, u64) {
    last.steps.iter().fold((0, 0), |(a, b), step| (a + step.coalesced, b + step.cached))
}

fn steps(last: &Snapshot) -> String {
    let head = ["step", "requests", "in, wire", "in, decoded", "out", "p50", "p95", "p99"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for step in last.steps.iter().filter(|s| s.requests > 0) {
        let (p50, p95, p99) = step.latency_us;
        rows.push(vec![
            step.name.clone(),
            format::count(step.requests),
            format::bytes(step.wire_in),
            format::bytes(step.decoded_in),
            format::bytes(step.wire_out),
            format::micros(p50),
            format::micros(p95),
            format::micros(p99),
        ]);
    }
    format::table(&rows)
}

fn lanes(last: &Snapshot) -> String {
    let (_, peak) = last.memory;
    format!(
        "{}{} commits, at most {} held for items\n",
        lane_table(&last.lanes),
        format::count(last.commits),
        format::bytes(peak)
    )
}

/// What each service was asked, how it is paced, and why so.
pub fn lane_table(lanes: &[LaneView]) -> String {
    let mut rows = vec![["service", "requests", "throttled", "limit", "rate"].map(str::to_owned).to_vec()];
    for lane in lanes {
        rows.push(vec![
            lane.name.clone(),
            format::count(lane.requests),
            format::count(lane.throttled),
            lane.limit.to_string(),
            lane.rate.map_or("-".to_owned(), |r| format!("{r:.1}/s")),
        ]);
    }
    let mut text = format::table(&rows);
    for lane in lanes {
        for (what, why) in [("limit", &lane.limit_why), ("rate", &lane.rate_why)] {
            if !why.is_empty() {
                text.push_str(&format!("{}: {what}: {why}\n", lane.name));
            }
        }
    }
    text
}
