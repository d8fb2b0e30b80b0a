//! The one place that takes a job: freezes it, finds or makes its run, assembles it, hands it to the
//! engine, and says how it ended.

mod after;
mod claim;
mod detach;
mod keep;
mod nothing;
mod problems;
mod ready;
mod spool;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use haul_core::job::{ColumnType, Identity, Job, Places, RowFormat, StepKind, freeze};
use haul_core::limits;
use haul_engine::ledger::run::wall;
use haul_engine::ledger::{Reader, RunEnd, RunState, SqliteLedger};
use haul_engine::rundir::RunDir;
use haul_engine::{Ending, EngineError, Orders, TokioClock, Why, control, socket};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::apart::{self, Named};
use crate::copied::Totals;
use crate::diagnostic::File;
use crate::flags::RunFlags;
use crate::log::Level;
use crate::progress::{Progress, Terminal, counts_json, event};
use crate::summary::{self, Summary};
use crate::{cost, exit, format, metrics, output, report, results, runs, signals, typed};
pub use claim::{Claim, Run};
pub use detach::{INNER, start as detach};
pub use problems::Problem;
use ready::Ready;

/// The version that runs are marked with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A job that is to be run.
pub struct Wanted<'a> {
    /// What to do, as it was said.
    pub job: Job,
    /// Where it was said.
    pub places: Places,
    /// The file it was said in.
    pub file: Option<File<'a>>,
    /// Which run, and what is shown of it.
    pub flags: &'a RunFlags,
}

/// A run that was found and is to go on as it is (`haul retry`).
pub struct Again<'a> {
    /// What to do, frozen, with policies laid over it.
    pub job: Job,
    /// Its run, locked.
    pub run: Run,
    /// What is shown of it.
    pub flags: &'a RunFlags,
}

/// Runs a job to its end, or goes on with its run. The exit status is given; everything has been told.
pub fn drive(wanted: &Wanted<'_>) -> u8 {
    let told = |problem: Problem| problem.tell(&wanted.places, wanted.file);
    let job = freeze(&wanted.job, &runs::working_directory());
    let claim = Claim { job: &job, identity: Identity::of(&job), flags: wanted.flags };
    let piped = job.source.location == "-";
    let spooled = piped && (wanted.flags.spool || claim.is_spooled());
    let background = wanted.flags.background;
    if background.detach && piped && !spooled {
        output::complain(
            "standard input goes away with the terminal: add --spool, which keeps it, or give a file",
        );
        return exit::USAGE;
    }
    if wanted.flags.spool && !piped {
        output::complain(&format!(
            "--spool keeps standard input, and this job reads {}",
            wanted.job.source.location
        ));
        return exit::USAGE;
    }
    if background.detach && !background.detached {
        return detach::start(wanted.flags.show);
    }
    if let Err(problem) = claim.keeps_files_apart(wanted) {
        output::complain(&problem);
        return exit::USAGE;
    }
    // Of the job as it was said: messages then call files what the person called them.
    let ready = match Ready::of(&wanted.job, spooled) {
        Ok(ready) => ready.feeding(),
        Err(problem) => return told(problem),
    };
    match claim.take() {
        Ok(run) => go(&job, run, ready, wanted.flags, &typed::again()).unwrap_or_else(told),
        Err(status) => status,
    }
}

/// Goes on with a run, without reading standard input again.
pub fn go_on(again: Again<'_>) -> u8 {
    let Again { job, run, flags } = again;
    let nowhere = Places::default();
    if let Some(path) = flags.end.failed_to.as_deref() {
        let read = Named { what: "the input", path: Path::new(&job.source.location) };
        let mut written = vec![Named { what: "--failed-to", path }];
        written.extend(job.output.as_ref().map(|o| Named { what: "the output", path: Path::new(&o.path) }));
        let lost = apart::clash(&[read], &written);
        if let Some(problem) = lost.or_else(|| after::can_write_failed(path).err()) {
            output::complain(&problem);
            return exit::USAGE;
        }
    }
    let told = |problem: Problem| problem.tell(&nowhere, None);
    let line = format!("haul retry {}", run.dir.name());
    let spooled = job.source.location == "-" && spool::is_kept(&run.dir);
    let started = Ready::of(&job, spooled).and_then(|mut ready| {
        if job.source.location == "-" && !spooled {
            ready.read_nothing();
        }
        go(&job, run, ready, flags, &line)
    });
    started.unwrap_or_else(told)
}

/// Drives a claimed run.
fn go(job: &Job, run: Run, ready: Ready, flags: &RunFlags, again: &str) -> Result<u8, Problem> {
    let detached = flags.background.detached;
    let terminal = match detached {
        false => Terminal::Stays,
        true if detach::has_left() => Terminal::Left,
        true => Terminal::Leaving,
    };
    let progress = Arc::new(Progress::new(run.dir.name(), &run.dir.log(), flags.show, terminal));
    announce(&run, &progress);
    let kept = ready.is_spooled();
    let depot = ready.depot();
    let (ended, settled) = match start(job, &run, ready, &progress, flags) {
        Ok(started) => {
            if detached {
                match detach::leave(&run.dir) {
                    Ok(()) => progress.left(),
                    Err(e) => progress.complain(&format!("the terminal could not be left: {e}")),
                }
            }
            carry(started, &run.dir, &progress)
        }
        Err(problem) => {
            run.forget_if_unused(job, None);
            return Err(problem);
        }
    };
    progress.finish();
    let outcome = Outcome { run: &run, job, flags, again, progress: &progress, kept };
    Ok(match ended {
        Ok(ending) => {
            if let Some(depot) = depot.filter(|_| ending.why == Why::Finished) {
                depot.sweep();
            }
            outcome.tell(&ending)
        }
        Err(error) => {
            let status = outcome.fail(&error, settled);
            run.forget_if_unused(job, job.output.as_ref());
            status
        }
    })
}

/// The first line: which run this is, and where it stands.
fn announce(run: &Run, progress: &Progress) {
    let name = run.dir.name();
    let counts = &run.counts;
    let mut line = format!("run {name}");
    if run.renewed {
        line.push_str(" was finished: what is missing or changed is fetched");
    } else if !run.is_new {
        let (settled, read) = (format::count(counts.settled()), format::count(counts.read()));
        line.push_str(&format!(" goes on: {settled} of {read} read are settled"));
    }
    if run.reopened > 0 {
        line.push_str(&format!("; {} that failed are tried again", format::items(run.reopened)));
    }
    if let Some(old) = &run.kept_as {
        line.push_str(&format!("; the old run is kept as {old}"));
    }
    let fields = json!({
        "dir": run.dir.path().to_string_lossy(), "new": run.is_new, "kept_as": run.kept_as,
        "version": VERSION, "pid": std::process::id(), "counts": counts_json(counts),
    });
    progress.begin(&line, fields);
}

fn start(
    job: &Job,
    run: &Run,
    mut ready: Ready,
    progress: &Progress,
    flags: &RunFlags,
) -> Result<Started, Problem> {
    ready.open_output(job, run.is_new)?;
    let metrics = flags.metrics.map(metrics::bind).transpose().map_err(Problem::Start)?;
    if let Some(at) = metrics.as_ref().and_then(|l| l.local_addr().ok()) {
        progress.say(&format!("metrics at http://{at}/metrics"));
    }
    if let Some(note) = ready.begin_spool(&run.dir, flags.background.detached)? {
        progress.say(&note);
    }
    let mut ledger = SqliteLedger::open(&run.dir.ledger())?;
    if job.source.location == "-" {
        ledger.keep_keys(limits::KEYS_KEPT);
    }
    let key = ledger.run()?.key;
    ledger.start_run(VERSION, wall())?;
    report::begin(&run.dir);
    let depot = ready.depot();
    let (mut orders, runtime) = ready.hand_over(job, key, &run.dir.spill())?;
    if let Some(depot) = depot {
        let pass = u64::from_be_bytes(key.0.first_chunk().copied().unwrap_or_default());
        orders.finish = Some(depot.open(run.dir.name(), &run.dir.out(), pass)?);
    }
    Ok(Started { ledger, orders, runtime, metrics })
}

/// Everything the engine needs.
struct Started {
    ledger: SqliteLedger,
    orders: Orders,
    runtime: Runtime,
    /// Where figures are asked for.
    metrics: Option<TcpListener>,
}

/// Hands everything to the engine. Gives how it ended, and how many items this process settled.
fn carry(started: Started, dir: &RunDir, progress: &Arc<Progress>) -> (Result<Ending, EngineError>, u64) {
    let Started { ledger, orders, runtime, metrics } = started;
    let (control, handle) = control();
    let (voice, showing) = progress.watch(handle.clone());
    let listener = signals::Listener::new(handle.clone(), voice);
    if let Err(e) = &listener {
        progress.say(&format!("signals are not heard: {e}"));
    }
    let ended = runtime.block_on(async {
        // Dropped at the end of the block: the socket goes away before the run's lock.
        let _listening = match socket::listen(dir, handle.clone()) {
            Ok(listening) => Some(listening),
            Err(e) => {
                progress.say(&format!("haul status and haul tune cannot reach this run: {e}"));
                None
            }
        };
        if let Some(listener) = metrics {
            tokio::spawn(metrics::serve(listener, handle.clone(), dir.name().to_owned()));
        }
        let clock = Arc::new(TokioClock::new());
        haul_engine::run(orders, Box::new(ledger), clock, control).await
    });
    // A thread that waits for standard input must not hold up the end.
    runtime.shutdown_background();
    // The last voice goes with it.
    drop(listener);
    drop(showing.map(JoinHandle::join));
    (ended, handle.snapshot().settled_now)
}

/// Says how it ended, to people and to the ledger.
struct Outcome<'a> {
    run: &'a Run,
    job: &'a Job,
    flags: &'a RunFlags,
    again: &'a str,
    progress: &'a Progress,
    /// Standard input is kept in the run directory.
    kept: bool,
}

impl Outcome<'_> {
    fn tell(&self, ending: &Ending) -> u8 {
        let status = summary::status_of(ending);
        let state = if ending.why == Why::Finished { RunState::Finished } else { RunState::Stopped };
        let cost = self.note_end(state, status);
        let reader = Reader::open(self.run.dir.path()).ok();
        let groups = reader.as_ref().and_then(|r| r.groups().ok()).unwrap_or_default();
        let copied = reader.as_ref().and_then(Totals::read);
        let summary = Summary {
            run: self.run.dir.name(),
            status,
            ending,
            groups: &groups,
            copied: copied.as_ref(),
            cost,
            again: self.again,
            piped: self.job.source.location == "-" && !self.kept,
            starts_over: self.starts_over(),
            untyped: self.is_untyped(),
            verbose: self.flags.show.verbose,
            state: self.flags.state.as_deref(),
        };
        let level = if status == exit::DONE { Level::Info } else { Level::Warn };
        self.progress.end(level, &summary.text(), summary.json());
        self.results();
        report::keep(&self.run.dir, &summary.json(), &ending.last);
        self.after(status, &summary.json());
        if let (Why::Invalid { message }, true) = (&ending.why, self.flags.show.quiet) {
            output::complain(message);
        }
        status
    }

    fn fail(&self, error: &EngineError, settled: u64) -> u8 {
        // Once something was settled the run did start; the same command goes on with it.
        let changed = matches!(error, EngineError::Changed { .. });
        let closed = matches!(error, EngineError::Fault(fault) if fault.code() == "stdout_closed");
        let stopped = error.is_disk_full() || closed || settled > 0 && !changed;
        let status = if stopped { exit::STOPPED } else { exit::NO_START };
        self.note_end(RunState::Failed, status);
        self.progress.complain(&error.to_string());
        if settled > 0 {
            self.results();
        }
        if changed {
            self.progress.complain(
                "choose: --if-changed skip-done takes what is new by key, --if-changed all takes everything from there on, --fresh starts over",
            );
        }
        let fields = json!({ "why": "failed", "status": status, "message": error.to_string() });
        self.after(status, &fields);
        let next = match status {
            exit::STOPPED => format!("haul: {}", summary::go_on(self.again, self.starts_over())),
            _ => String::new(),
        };
        self.progress.end(Level::Error, &next, fields);
        status
    }

    /// What was counted, all of it or so far, on standard output.
    fn results(&self) {
        if self.job.aggregates.is_empty() {
            return;
        }
        match results::json(&self.run.dir, self.job) {
            Ok(json) => drop(output::data(&json)),
            Err(e) => self.progress.complain(&format!("the results cannot be read: {e}")),
        }
    }

    /// `--failed-to` and `--notify`; what goes wrong with them changes nothing about the run.
    fn after(&self, status: u8, summary: &serde_json::Value) {
        let end = &self.flags.end;
        let written = end.failed_to.as_deref().map(|path| after::write_failed(&self.run.dir, path));
        let notified = end.notify.as_deref().map(|cmd| {
            let event = event("end", self.run.dir.name(), summary.clone());
            after::notify(cmd, &self.run.dir, status, &event)
        });
        for problem in [written, notified].into_iter().flatten().filter_map(Result::err) {
            self.progress.complain(&problem);
        }
    }

    /// Rows on standard output cannot be taken back.
    fn starts_over(&self) -> bool {
        self.job.output.as_ref().is_some_and(|o| o.path == "-")
    }

    /// A filter compares fields of a CSV that are text because nobody gave them a type.
    fn is_untyped(&self) -> bool {
        let Job { source, steps, .. } = self.job;
        let filters = steps.iter().any(|s| matches!(s.kind, StepKind::Filter { .. }));
        filters
            && matches!(source.format, RowFormat::Csv | RowFormat::Tsv)
            && source.columns.iter().all(|c| c.kind == ColumnType::Str)
    }

    /// Leaves a note in the ledger. When even that fails the ledger is still right: it says that a
    /// process drove the run, and no process does.
    fn note_end(&self, state: RunState, exit_status: u8) -> cost::Cost {
        let cost = cost::so_far();
        let end = RunEnd { state, at: wall(), exit_status, rss_peak: cost.rss_peak, cpu_ms: cost.cpu_ms };
        let noted = SqliteLedger::open(&self.run.dir.ledger()).and_then(|mut ledger| ledger.end_run(&end));
        if let Err(e) = noted {
            self.progress.complain(&format!("how the run ended could not be noted: {e}"));
        }
        cost
    }
}
