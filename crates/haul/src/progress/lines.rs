//! The words of a progress line: rate, rest, trouble; and whether it is time for one.

use std::collections::VecDeque;

use haul_engine::Snapshot;

use crate::format;

/// A line every ten seconds …
const LINE_MS: u64 = 10_000;
/// … and after ten minutes every minute.
const CALM_AFTER_MS: u64 = 600_000;
const CALM_LINE_MS: u64 = 60_000;
/// Time over which the current rate is taken.
const RECENT_MS: u64 = 10_000;
/// Rejected items that are told one by one; of more, one now and then.
const REJECTS_TOLD: u64 = 5;

/// What was said, and what is needed to say more.
pub(super) struct Lines {
    next_line_ms: u64,
    /// (elapsed, settled by this process), the newest last.
    recent: VecDeque<(u64, u64)>,
    waiting_for: Vec<String>,
    /// Rejected items looked at, and told.
    rejects: (u64, u64),
    next_reject_ms: u64,
}

impl Lines {
    pub(super) fn new() -> Self {
        Lines {
            next_line_ms: LINE_MS,
            recent: VecDeque::new(),
            waiting_for: Vec::new(),
            rejects: (0, 0),
            next_reject_ms: 0,
        }
    }

    pub(super) fn remember(&mut self, now: &Snapshot) {
        self.recent.push_back((now.elapsed_ms, now.settled_now));
        while self.recent.len() > 2
            && self.recent.get(1).is_some_and(|(at, _)| at + RECENT_MS <= now.elapsed_ms)
        {
            self.recent.pop_front();
        }
    }

    pub(super) fn is_due(&mut self, now: &Snapshot) -> bool {
        let due = now.elapsed_ms >= self.next_line_ms;
        if due {
            let every = if now.elapsed_ms >= CALM_AFTER_MS { CALM_LINE_MS } else { LINE_MS };
            self.next_line_ms = (now.elapsed_ms / every + 1) * every;
        }
        due
    }

    /// True when the reasons to wait are not those that were told last.
    pub(super) fn news_of_waiting(&mut self, now: &Snapshot) -> bool {
        // How long and how much change all the time; the beginning says what it is about.
        let about = |reasons: &[String]| -> Vec<String> {
            reasons
                .iter()
                .filter_map(|r| Some(r.split(';').next()?.split(" for ").next()?.to_owned()))
                .collect()
        };
        let news = about(&now.waiting_for) != about(&self.waiting_for) && !now.waiting_for.is_empty();
        self.waiting_for.clone_from(&now.waiting_for);
        news
    }

    /// What is to be told of bad input: the first few items, then the latest every ten seconds.
    pub(super) fn news_of_rejects(&mut self, now: &Snapshot) -> Vec<(String, u64)> {
        let (seen, told) = self.rejects;
        let mut new = now.rejects.iter().filter(|r| r.count > seen);
        let few: Vec<_> = new.clone().take(REJECTS_TOLD.saturating_sub(told) as usize).collect();
        let news = match (few.is_empty(), new.next_back()) {
            (false, _) => few,
            (true, Some(last)) if now.elapsed_ms >= self.next_reject_ms => vec![last],
            _ => return Vec::new(),
        };
        self.next_reject_ms = now.elapsed_ms + LINE_MS;
        self.rejects = (now.rejects.last().map_or(seen, |r| r.count), told + news.len() as u64);
        let line = |r: &haul_engine::view::RejectView| {
            let text = format::plain(&r.message, 300);
            (format!("{text} (rejected; {} so far)", format::count(r.count)), r.count)
        };
        news.into_iter().map(line).collect()
    }

    /// Items settled per second lately, and the milliseconds that the rest would take at that pace.
    pub(super) fn pace(&self, now: &Snapshot) -> (String, Option<u64>) {
        let (at, before) = self.recent.front().copied().unwrap_or_default();
        let ms = now.elapsed_ms.saturating_sub(at);
        let lately = now.settled_now.saturating_sub(before);
        // Input is read in pages, ahead of the items: its share grows by leaps, and what is settled does
        // not.
        let settled = now.counts.settled() as f64;
        let share = share(now).filter(|share| *share > 0.0 && *share < 1.0 && lately > 0 && ms >= 1000);
        let eta = share.map(|share| (settled / share - settled) / lately as f64 * ms as f64);
        (format::rate(lately, ms), eta.map(|ms| ms as u64))
    }

    pub(super) fn line(&self, now: &Snapshot) -> String {
        let mut parts = vec![format::span(now.elapsed_ms)];
        parts.extend(share(now).map(|share| format!("{} %", (share * 100.0) as u64)));
        parts.extend(self.parts(now));
        parts.join("  ")
    }

    pub(super) fn parts(&self, now: &Snapshot) -> Vec<String> {
        let (rate, eta) = self.pace(now);
        let c = &now.counts;
        let mut parts =
            vec![format!("{} of {} read", format::count(c.settled()), format::count(c.read())), rate];
        parts.extend(eta.map(|ms| format!("ETA {}", format::span(ms))));
        for (n, word) in [
            (c.skipped, "skipped"),
            (c.failed, "failed"),
            (c.rejected, "rejected"),
            (c.in_doubt, "in doubt"),
            (now.parked, "waiting"),
        ] {
            if n > 0 {
                parts.push(format!("{} {word}", format::count(n)));
            }
        }
        let (in_flight, limit) =
            now.lanes.iter().fold((0, 0), |(f, l), lane| (f + lane.in_flight, l + lane.limit));
        if limit > 0 {
            parts.push(format!("{in_flight}/{limit} in flight"));
        }
        for (name, leading) in now.leading.iter().filter(|(_, l)| !l.is_empty()) {
            let values: Vec<String> =
                leading.iter().map(|(value, n)| format!("{value} {}", format::count(*n))).collect();
            parts.push(format!("{name}: {}", format::plain(&values.join(", "), 60)));
        }
        if now.paused_since.is_some() {
            parts.push("paused (haul resume goes on)".to_owned());
        } else if !now.waiting_for.is_empty() {
            parts.push(waiting_line(now));
        }
        parts
    }
}

/// How much of the input is settled, 0 to 1: of what was read by items, of the rest by bytes.
pub fn share(now: &Snapshot) -> Option<f64> {
    let total = now.bytes_total.filter(|t| *t > 0)?;
    let read = if now.read_all { 1.0 } else { now.bytes_read.min(total) as f64 / total as f64 };
    let settled = now.counts.settled() as f64 / now.counts.read().max(1) as f64;
    Some(read * settled)
}

pub(super) fn waiting_line(now: &Snapshot) -> String {
    format!("waiting: {}", now.waiting_for.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_every_ten_seconds_and_later_every_minute() {
        let mut inner = Lines::new();
        let mut told = Vec::new();
        for s in 0..1000 {
            let now = Snapshot { elapsed_ms: s * 1000, ..Snapshot::default() };
            if inner.is_due(&now) {
                told.push(s);
            }
        }
        assert_eq!(told[..3], [10, 20, 30]);
        assert_eq!(told[told.len() - 3..], [840, 900, 960]);
    }

    #[test]
    fn a_line_says_rate_rest_and_trouble() {
        let mut inner = Lines::new();
        let mut now = Snapshot { bytes_total: Some(1000), ..Snapshot::default() };
        inner.remember(&now);
        now.elapsed_ms = 10_000;
        now.settled_now = 2000;
        now.bytes_read = 250;
        now.counts.done = 1999;
        now.counts.failed = 1;
        now.counts.waiting = 40;
        now.parked = 7;
        inner.remember(&now);
        assert_eq!(inner.line(&now), "10 s  24 %  2,000 of 2,040 read  200/s  ETA 30 s  1 failed  7 waiting");
    }

    #[test]
    fn a_reason_to_wait_is_told_once() {
        let mut inner = Lines::new();
        let mut now = Snapshot {
            waiting_for: vec!["v:1 refuses everything for 9 s; 3 items held".to_owned()],
            ..Snapshot::default()
        };
        assert!(inner.news_of_waiting(&now));
        now.waiting_for = vec!["v:1 refuses everything for 2 min; 9 items held".to_owned()];
        assert!(!inner.news_of_waiting(&now));
        now.waiting_for.clear();
        assert!(!inner.news_of_waiting(&now), "going on is not news of waiting");
    }

    #[test]
    fn bad_input_is_told_at_first_and_then_now_and_then() {
        let reject = |count| haul_engine::view::RejectView { message: format!("in.csv:{count}: bad"), count };
        let mut lines = Lines::new();
        let mut now = Snapshot { rejects: vec![reject(1), reject(2)], ..Snapshot::default() };
        let news = lines.news_of_rejects(&now);
        assert_eq!(news[0].0, "in.csv:1: bad (rejected; 1 so far)");
        assert_eq!(news.len(), 2);
        assert!(lines.news_of_rejects(&now).is_empty());
        now.rejects = (3..9).map(reject).collect();
        assert_eq!(lines.news_of_rejects(&now).len(), 3, "five in all");
        now.rejects = (9..12).map(reject).collect();
        assert!(lines.news_of_rejects(&now).is_empty());
        now.elapsed_ms += LINE_MS;
        assert_eq!(lines.news_of_rejects(&now)[0].1, 11);
    }
}
