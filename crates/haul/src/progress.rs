//! What is shown while a run works: a bar on a terminal, else a line now and then, or JSON Lines.
//! Looking at a run never holds it up.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use haul_engine::{Handle, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::flags::ShowFlags;
use crate::{format, output};

/// How often a bar is drawn.
const DRAW: Duration = Duration::from_millis(200);
/// How often lines look whether it is time for one.
const LOOK: Duration = Duration::from_secs(1);
/// A line every ten seconds …
const LINE_MS: u64 = 10_000;
/// … and after ten minutes every minute.
const CALM_AFTER_MS: u64 = 600_000;
const CALM_LINE_MS: u64 = 60_000;
/// Positions of the bar: its length is a share, not a number of anything.
const BAR_STEPS: u64 = 1000;
/// Words that wait to be said: a terminal that takes no more (Ctrl-S) loses those after.
const UNSAID: usize = 64;
/// Time over which the current rate is taken.
const RECENT_MS: u64 = 10_000;

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Bar,
    Lines,
    Json,
    Quiet,
}

/// Shows one run.
pub struct Progress {
    run: String,
    log: PathBuf,
    inner: Mutex<Inner>,
}

/// What the run has to say while it works. Never waits for the terminal.
#[derive(Clone)]
pub struct Voice(SyncSender<Word>);

enum Word {
    Say(&'static str),
    Detach,
}

impl Voice {
    /// As [`Progress::say`], when its turn comes.
    pub fn say(&self, text: &'static str) {
        let _ = self.0.try_send(Word::Say(text));
    }

    /// The terminal went away: what is said from now on goes to the run's log.
    pub fn detach(&self) {
        let _ = self.0.try_send(Word::Detach);
    }
}

struct Inner {
    mode: Mode,
    bar: Option<ProgressBar>,
    next_line_ms: u64,
    /// (elapsed, settled by this process, share of the input), the newest last.
    recent: VecDeque<(u64, u64, f64)>,
    waiting_for: Vec<String>,
}

impl Progress {
    /// For a run of that name; `log` takes over when the terminal goes away; `stays`: it is not about to
    /// be left.
    pub fn new(run: &str, log: PathBuf, show: ShowFlags, stays: bool) -> Self {
        let mode = match (show.json, show.quiet) {
            (true, _) => Mode::Json,
            (_, true) => Mode::Quiet,
            _ if stays && output::is_watched() => Mode::Bar,
            _ => Mode::Lines,
        };
        let inner = Inner {
            mode,
            bar: (mode == Mode::Bar).then(bar),
            next_line_ms: LINE_MS,
            recent: VecDeque::new(),
            waiting_for: Vec::new(),
        };
        Progress { run: run.to_owned(), log, inner: Mutex::new(inner) }
    }

    /// Shows the run on a thread of its own, until every [`Voice`] is gone: a terminal that takes
    /// nothing more holds up that thread, and not the run. No thread to be had: nothing is shown.
    pub fn watch(self: &Arc<Self>, handle: Handle) -> (Voice, Option<JoinHandle<()>>) {
        let (words, heard) = sync_channel(UNSAID);
        let progress = self.clone();
        let thread = std::thread::Builder::new()
            .name("haul-progress".to_owned())
            .spawn(move || progress.go_on_showing(&handle, &heard));
        (Voice(words), thread.ok())
    }

    fn go_on_showing(&self, handle: &Handle, heard: &Receiver<Word>) {
        let every = if self.lock().mode == Mode::Bar { DRAW } else { LOOK };
        loop {
            match heard.recv_timeout(every) {
                Ok(Word::Say(text)) => self.say(text),
                Ok(Word::Detach) => self.detach(),
                Err(RecvTimeoutError::Timeout) => {
                    if self.lock().mode != Mode::Quiet {
                        self.show(&handle.snapshot());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The numbers are plain data: a panic elsewhere does not spoil them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, now: &Snapshot) {
        let mut inner = self.lock();
        inner.remember(now);
        match inner.mode {
            Mode::Bar => inner.draw(now),
            Mode::Lines => {
                if inner.news_of_waiting(now) {
                    output::tell(&format!("haul: {}", waiting_line(now)));
                }
                if inner.is_due(now) {
                    output::tell(&format!("haul: {}", inner.line(now)));
                }
            }
            Mode::Json => {
                if inner.news_of_waiting(now) || inner.is_due(now) {
                    let event = event("progress", &self.run, progress_json(now, &inner));
                    output::tell(&event.to_string());
                }
            }
            Mode::Quiet => {}
        }
    }

    /// Tells a person something without tearing the bar; JSON readers get an event.
    pub fn say(&self, text: &str) {
        let inner = self.lock();
        match inner.mode {
            Mode::Quiet => {}
            Mode::Json => output::tell(&event("note", &self.run, json!({ "message": text })).to_string()),
            Mode::Lines => output::complain(text),
            Mode::Bar => match &inner.bar {
                Some(bar) => bar.suspend(|| output::complain(text)),
                None => output::complain(text),
            },
        }
    }

    /// As [`Progress::say`], and not even `-q` silences it.
    pub fn complain(&self, text: &str) {
        if self.lock().mode == Mode::Quiet {
            output::complain(text);
        } else {
            self.say(text);
        }
    }

    /// The terminal went away: what is said from now on goes to the run's log.
    fn detach(&self) {
        let mut inner = self.lock();
        if let Some(bar) = inner.bar.take() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if inner.mode == Mode::Bar {
            inner.mode = Mode::Lines;
        }
        output::tell_into(&self.log);
        output::complain("the terminal went away (SIGHUP); the run goes on");
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        if let Some(bar) = self.lock().bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// One JSON line about a run.
pub fn event(kind: &str, run: &str, mut fields: Value) -> Value {
    let mut all = json!({ "event": kind, "run": run });
    if let (Some(all), Some(fields)) = (all.as_object_mut(), fields.as_object_mut()) {
        all.append(fields);
    }
    all
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
    bar.set_style(spinner());
    bar
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn with_length() -> ProgressStyle {
    ProgressStyle::with_template("{bar:16} {percent:>3}%  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

impl Inner {
    fn remember(&mut self, now: &Snapshot) {
        self.recent.push_back((now.elapsed_ms, now.settled_now, share(now).unwrap_or(0.0)));
        while self.recent.len() > 2
            && self.recent.get(1).is_some_and(|(at, ..)| at + RECENT_MS <= now.elapsed_ms)
        {
            self.recent.pop_front();
        }
    }

    fn is_due(&mut self, now: &Snapshot) -> bool {
        let due = now.elapsed_ms >= self.next_line_ms;
        if due {
            let every = if now.elapsed_ms >= CALM_AFTER_MS { CALM_LINE_MS } else { LINE_MS };
            self.next_line_ms = (now.elapsed_ms / every + 1) * every;
        }
        due
    }

    /// True when the reasons to wait are not those that were told last.
    fn news_of_waiting(&mut self, now: &Snapshot) -> bool {
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

    /// Items settled per second lately, and the milliseconds that the rest would take at that pace.
    fn pace(&self, now: &Snapshot) -> (String, Option<u64>) {
        let (at, settled, before) = self.recent.front().copied().unwrap_or_default();
        let ms = now.elapsed_ms.saturating_sub(at);
        let rate = format::rate(now.settled_now.saturating_sub(settled), ms);
        let eta = share(now).filter(|share| *share > before && *share < 1.0);
        let eta = eta.map(|share| ((1.0 - share) / (share - before) * ms as f64) as u64);
        (rate, eta.filter(|_| ms >= 1000))
    }

    fn draw(&mut self, now: &Snapshot) {
        let text = self.parts(now).join("  ");
        let Some(bar) = &self.bar else { return };
        if let Some(share) = share(now) {
            if bar.length().is_none() {
                bar.set_style(with_length());
                bar.set_length(BAR_STEPS);
            }
            bar.set_position((share * BAR_STEPS as f64) as u64);
        }
        bar.set_message(text);
        bar.tick();
    }

    fn line(&self, now: &Snapshot) -> String {
        let mut parts = vec![format::span(now.elapsed_ms)];
        parts.extend(share(now).map(|share| format!("{} %", (share * 100.0) as u64)));
        parts.extend(self.parts(now));
        parts.join("  ")
    }

    fn parts(&self, now: &Snapshot) -> Vec<String> {
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
fn share(now: &Snapshot) -> Option<f64> {
    let total = now.bytes_total.filter(|t| *t > 0)?;
    let read = if now.read_all { 1.0 } else { now.bytes_read.min(total) as f64 / total as f64 };
    let settled = now.counts.settled() as f64 / now.counts.read().max(1) as f64;
    Some(read * settled)
}

fn waiting_line(now: &Snapshot) -> String {
    format!("waiting: {}", now.waiting_for.join("; "))
}

fn progress_json(now: &Snapshot, inner: &Inner) -> Value {
    let (_, eta) = inner.pace(now);
    json!({
        "elapsed_ms": now.elapsed_ms,
        "counts": counts_json(&now.counts),
        "parked": now.parked,
        "bytes_read": now.bytes_read,
        "bytes_total": now.bytes_total,
        "eta_ms": eta,
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
            "requests": l.requests, "throttled": l.throttled,
        })
    });
    lanes.collect()
}

/// Counts with their sum.
pub fn counts_json(c: &haul_core::Counts) -> Value {
    json!({
        "read": c.read(), "done": c.done, "skipped": c.skipped, "failed": c.failed,
        "rejected": c.rejected, "in_doubt": c.in_doubt, "waiting": c.waiting,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner() -> Inner {
        Inner {
            mode: Mode::Lines,
            bar: None,
            next_line_ms: LINE_MS,
            recent: VecDeque::new(),
            waiting_for: Vec::new(),
        }
    }

    #[test]
    fn lines_come_every_ten_seconds_and_later_every_minute() {
        let mut inner = inner();
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
        let mut inner = inner();
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
        let mut inner = inner();
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
}
