//! What is told while a run works: a bar on a terminal, else a line now and then, or JSON Lines; and all
//! of it in the run's log. Looking at a run never holds it up.

mod events;
mod lines;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use haul_engine::{Handle, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::flags::ShowFlags;
use crate::log::{Level, Log, LogFormat, stamped};
use crate::output;
use events::progress_json;
pub use events::{accounts_json, counts_json, event, lanes_json};
pub use lines::share;
use lines::{Lines, waiting_line};

/// How often a bar is drawn.
const DRAW: Duration = Duration::from_millis(200);
/// How often lines look whether it is time for one.
const LOOK: Duration = Duration::from_secs(1);
/// Positions of the bar: its length is a share, not a number of anything.
const BAR_STEPS: u64 = 1000;

/// Words that wait to be said: a terminal that takes no more (Ctrl-S) loses those after.
const UNSAID: usize = 64;

/// How it is shown on standard error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Bar,
    Lines,
    Json,
    /// Nothing but what is wrong.
    Quiet,
    /// There is no terminal any more: only the log is written.
    Gone,
}

/// Tells of one run.
pub struct Progress {
    run: String,
    log: Log,
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

    /// The terminal went away: only the run's log is written from now on.
    pub fn detach(&self) {
        let _ = self.0.try_send(Word::Detach);
    }
}

struct Inner {
    mode: Mode,
    bar: Option<ProgressBar>,
    lines: Lines,
}

/// Whether the terminal stays with the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Terminal {
    /// It does.
    Stays,
    /// The run is about to leave it.
    Leaving,
    /// It was left before.
    Left,
}

impl Progress {
    /// For a run of that name, whose log is at `log`.
    pub fn new(run: &str, log: &Path, show: ShowFlags, terminal: Terminal) -> Self {
        let json = show.json || show.log_format == LogFormat::Json && !output::is_watched();
        let mode = match (json, show.quiet) {
            _ if terminal == Terminal::Left => Mode::Gone,
            (true, _) => Mode::Json,
            (_, true) => Mode::Quiet,
            _ if terminal == Terminal::Stays && output::is_watched() => Mode::Bar,
            _ => Mode::Lines,
        };
        let inner = Inner { mode, bar: (mode == Mode::Bar).then(bar), lines: Lines::new() };
        Progress { run: run.to_owned(), log: Log::open(log, show.log_format), inner: Mutex::new(inner) }
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
                Err(RecvTimeoutError::Timeout) => self.show(&handle.snapshot()),
                // The run has ended: what would have been told with the next line.
                Err(RecvTimeoutError::Disconnected) => {
                    return self.show_rejects(&mut self.lock(), &handle.snapshot());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The numbers are plain data: a panic elsewhere does not spoil them.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, now: &Snapshot) {
        let mut inner = self.lock();
        inner.lines.remember(now);
        self.show_rejects(&mut inner, now);
        let waiting = inner.lines.news_of_waiting(now);
        let due = inner.lines.is_due(now);
        if waiting || due {
            let (_, eta) = inner.lines.pace(now);
            let progress = event("progress", &self.run, progress_json(now, eta));
            let level = if waiting { Level::Warn } else { Level::Info };
            let text = if waiting { waiting_line(now) } else { inner.lines.line(now) };
            // A bar says it all the time.
            match inner.mode {
                Mode::Bar => self.log.write(level, &format!("haul: {text}"), &progress),
                _ => self.put(&inner, level, &text, &progress),
            }
        }
        if inner.mode == Mode::Bar {
            inner.draw(now);
        }
    }

    fn show_rejects(&self, inner: &mut Inner, now: &Snapshot) {
        for (text, count) in inner.lines.news_of_rejects(now) {
            let fields = json!({ "message": text, "count": count });
            self.put(inner, Level::Warn, &text, &event("rejected", &self.run, fields));
        }
    }

    /// A line for people, an event for programs, to whoever listens.
    fn put(&self, inner: &Inner, level: Level, text: &str, event: &Value) {
        self.log.write(level, &format!("haul: {text}"), event);
        match inner.mode {
            Mode::Quiet if level != Level::Error => {}
            Mode::Gone => {}
            Mode::Json => output::tell(&stamped(level, event).to_string()),
            Mode::Lines | Mode::Quiet => output::complain(text),
            Mode::Bar => match &inner.bar {
                Some(bar) => bar.suspend(|| output::complain(text)),
                None => output::complain(text),
            },
        }
    }

    fn note(&self, level: Level, text: &str) {
        self.put(&self.lock(), level, text, &event("note", &self.run, json!({ "message": text })));
    }

    /// Tells a person something without tearing the bar; JSON readers get an event.
    pub fn say(&self, text: &str) {
        self.note(Level::Info, text);
    }

    /// As [`Progress::say`], and not even `-q` silences it.
    pub fn complain(&self, text: &str) {
        self.note(Level::Error, text);
    }

    /// The first event of a run, or what a person is told then.
    pub fn begin(&self, text: &str, fields: Value) {
        self.put(&self.lock(), Level::Info, text, &event("start", &self.run, fields));
    }

    /// The last event of a run; `text` is the summary for a person.
    pub fn end(&self, level: Level, text: &str, fields: Value) {
        let inner = self.lock();
        let event = event("end", &self.run, fields);
        self.log.write(level, text, &event);
        match inner.mode {
            Mode::Gone | Mode::Quiet => {}
            Mode::Json => output::tell(&stamped(level, &event).to_string()),
            Mode::Lines | Mode::Bar if text.is_empty() => {}
            Mode::Lines | Mode::Bar => output::tell(text),
        }
    }

    /// The terminal was left: only the log is written from now on.
    pub fn left(&self) {
        let mut inner = self.lock();
        if let Some(bar) = inner.bar.take() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        inner.mode = Mode::Gone;
    }

    /// The terminal went away.
    fn detach(&self) {
        self.left();
        self.say("the terminal went away (SIGHUP); the run goes on");
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        if let Some(bar) = self.lock().bar.take() {
            bar.finish_and_clear();
        }
    }
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
    fn draw(&mut self, now: &Snapshot) {
        let text = self.lines.parts(now).join("  ");
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
}
