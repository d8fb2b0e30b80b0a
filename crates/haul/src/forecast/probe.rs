//! Measures the reading part of a job: its first items pass all steps that read, at the pace of the job.
//! Nothing is sent that writes; what is downloaded goes to a directory that is deleted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_connect::assemble::{AssembleContext, Assembled, Output, assemble};
use haul_connect::expr::Expr;
use haul_connect::sinks::{self, Opening, Pair};
use haul_core::Counts;
use haul_core::cx::RunKey;
use haul_core::job::IfExists;
use haul_core::job::{Concurrency, Job, OutputSpec, RowFormat, StepKind};
use haul_engine::ledger::{NewRun, SqliteLedger};
use haul_engine::view::{Snapshot, Stop};
use haul_engine::{Ending, TokioClock, Why, control};

use super::watched::{Eyes, Paging, Passing, Scales, Seen};
use super::work;
use crate::drive::{Problem, VERSION};
use crate::{cost, runs};

/// Items, one at a time, that show how long a reply takes when nothing queues.
const ALONE: std::ops::RangeInclusive<u64> = 3..=20;
/// Where nothing is said of the pace, what is measured goes on for so long: in less, the pace is that of
/// connections being made and of a concurrency that is still being found.
const LONG_ENOUGH: Duration = Duration::from_secs(3);
/// And for so long when the pace still rises then.
const LONGEST: Duration = Duration::from_secs(10);
/// With no more than so many times the items that were asked for.
const TIMES: u64 = 100;
/// How often it is asked whether that was enough.
const LOOK: Duration = Duration::from_millis(20);
/// So many times in a row it does not rise: one slow moment is no end of a rise.
const LOOKS: u32 = 20;
/// A service that refuses everything is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts: what fails again and again holds a measurement up.
const ATTEMPTS: u32 = 3;
/// Connections of which the fastest tells how far away a host is.
const CONNECTIONS: usize = 3;

/// One step, per item that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepSeen {
    pub name: String,
    pub requests: f64,
    pub wire_in: f64,
    pub decoded_in: f64,
    pub wire_out: f64,
    /// Seconds that a reply takes when nothing queues, and at the pace of the job.
    pub alone_s: f64,
    pub loaded_s: f64,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneSeen {
    pub name: String,
    /// Requests of an item.
    pub per_item: f64,
    /// Requests that may be in flight, as they were last.
    pub limit: u32,
    /// Concurrency was still growing.
    pub growing: bool,
    /// The rate that the service or the job states.
    pub rate: Option<f64>,
    /// The service states it.
    pub rate_stated: bool,
    /// Seconds that a connection takes: the way there and back.
    pub connect_s: Option<f64>,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    pub counts: Counts,
    /// Items that went through; of an API in pages, records that were read.
    pub items: u64,
    /// The source ended within it.
    pub at_end: bool,
    /// How much of the input was read, and how much there is.
    pub units: (u64, Option<u64>),
    pub pages: u64,
    pub records: u64,
    /// Items a second, from when it was in its stride.
    pub per_second: f64,
    /// Seconds of processor time an item.
    pub cpu_s: f64,
    /// The same of all processes of this machine, where the services are on it.
    pub machine_s: Option<f64>,
    /// Bytes of rows an item.
    pub row_bytes: f64,
    pub steps: Vec<StepSeen>,
    pub lanes: Vec<LaneSeen>,
    pub took: Duration,
    pub rss: u64,
    /// By stage: the names of its steps, those that write included.
    pub stages: Vec<Vec<String>>,
}

/// How many items, or pages of an API, are measured.
#[derive(Clone, Copy)]
struct Most {
    /// Unless the source ends.
    least: u64,
    /// More than `least`: until it was long enough.
    most: u64,
}

/// Measures with so many items, or so many pages where items come in pages of an API; with more where
/// these are through before a pace was found.
pub fn measure(job: &Job, most: u64) -> Result<Measured, Problem> {
    let scratch = tempfile::Builder::new()
        .prefix(".haul-probe-")
        .tempdir_in(runs::working_directory())
        .map_err(|e| Problem::Start(format!("no directory can be made here for what is measured: {e}")))?;
    let reading = reading(job, &scratch.path().join("files"));
    let stages = names(&assembled(job, None)?);
    // Standard input comes once.
    let alone = match job.source.location == "-" {
        true => None,
        false => {
            let mut one = reading.clone();
            one.limits.concurrency = Concurrency::Fixed(1);
            one.services.values_mut().for_each(|s| s.concurrency = None);
            let few = (most / 25).clamp(*ALONE.start(), *ALONE.end()).min(most);
            let few = Most { least: few, most: few };
            Some(once(&one, few, &scratch.path().join("alone"))?)
        }
    };
    let more = if has_free_pace(&reading) { TIMES } else { 1 };
    let most = Most { least: most, most: most.saturating_mul(more) };
    let looked = once(&reading, most, &scratch.path().join("loaded"))?;
    let mut measured = looked.measured(job, alone.as_ref().map(|a| &a.ending.last));
    measured.stages = stages;
    for lane in &mut measured.lanes {
        lane.connect_s = connect(&lane.name);
    }
    Ok(measured)
}

/// Whether neither a rate nor a number in flight is said for one of the services.
fn has_free_pace(reading: &Job) -> bool {
    let limits = &reading.limits;
    let free = |said: &work::Said| said.rate.is_none() && !said.fixed;
    // What only records name follows the limits of the job.
    let named = work::wants(reading).into_iter().filter(|w| w.per_item > 0.0);
    named.into_iter().any(|w| match w.lane {
        Some(name) => free(&work::pace(reading, &name)),
        None => limits.rate.is_none() && !matches!(limits.concurrency, Concurrency::Fixed(_)),
    })
}

/// The job without what writes; downloads go elsewhere.
fn reading(job: &Job, files: &Path) -> Job {
    let mut job = job.clone();
    job.steps.retain(|s| !matches!(s.kind, StepKind::Post { .. } | StepKind::Copy { .. }));
    for step in &mut job.steps {
        if let StepKind::Download(download) = &mut step.kind {
            download.to = files.to_string_lossy().into_owned();
        }
    }
    if job.output.is_none() && job.aggregates.is_empty() && job.steps.is_empty() {
        // A job has something to do; what it does goes nowhere.
        let path = "-".to_owned();
        job.output =
            Some(OutputSpec { format: RowFormat::Jsonl, path, row: None, exists: IfExists::default() });
    }
    job.retry.attempts = job.retry.attempts.min(ATTEMPTS);
    job.retry.give_up_after = Some(job.retry.give_up_after.map_or(PATIENCE, |t| t.min(PATIENCE)));
    job
}

fn assembled(job: &Job, eyes: Option<&Eyes>) -> Result<Assembled, Problem> {
    let context =
        AssembleContext { base: runs::working_directory(), output: None, ..AssembleContext::default() };
    let mut live = assemble(job, &context)?;
    if let (Some(spec), Some(eyes)) = (&job.output, eyes) {
        let row = spec.row.as_deref().and_then(|text| Expr::compile(text).ok());
        let nowhere = OutputSpec { path: "-".to_owned(), ..spec.clone() };
        let Pair { render, .. } = sinks::open(&nowhere, row, Opening::Create)?;
        live.output = Some(Output {
            name: "-".to_owned(),
            pair: Pair { sink: Box::new(Scales(eyes.clone())), render },
        });
    }
    Ok(live)
}

fn names(live: &Assembled) -> Vec<Vec<String>> {
    live.stages.iter().map(|stage| stage.iter().map(|step| step.name().to_string()).collect()).collect()
}

/// How one run over the first items went.
struct Looked {
    ending: Ending,
    seen: Seen,
    size: Option<u64>,
    took: Duration,
    cpu: Duration,
}

fn once(job: &Job, most: Most, scratch: &Path) -> Result<Looked, Problem> {
    let eyes = Eyes::default();
    let mut live = assembled(job, Some(&eyes))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Problem::Start(format!("the asynchronous runtime does not start: {e}")))?;
    runtime.block_on(live.check_secrets())?;
    let size = live.opener.size_hint();
    let (control, handle) = control();
    let pages = job.source.pages.is_some();
    live.opener = Arc::new(Paging {
        opener: live.opener,
        eyes: eyes.clone(),
        most: pages.then(|| usize::try_from(most.most).unwrap_or(usize::MAX)),
        handle: handle.clone(),
    });
    if let Some(first) = live.stages.first_mut().and_then(|stage| stage.first_mut()) {
        *first = Arc::new(Passing { step: first.clone(), eyes: eyes.clone() });
    }
    let depot = live.downloads.as_ref().map(|d| d.depot.clone());
    let mut orders = haul::orders(job, live, RunKey([0; 16]));
    let crawls = pages && job.steps.is_empty();
    if !crawls {
        orders.policy.limit = Some(job.source.limit.map_or(most.most, |limit| limit.min(most.most)));
    }
    std::fs::create_dir_all(scratch).map_err(|e| Problem::Start(format!("{}: {e}", scratch.display())))?;
    if let Some(depot) = &depot {
        orders.finish = Some(depot.open("probe", scratch, 0)?);
    }
    // What is counted takes part of the time of what is read.
    orders.aggregates = haul::aggregates(job, scratch)?;
    let ledger = SqliteLedger::create(&scratch.join("ledger.db"), &NewRun::new("probe", "probe", VERSION))?;
    let (began, cpu) = (Instant::now(), cost::cpu());
    let ended = runtime.block_on(async {
        let clock = Arc::new(TokioClock::new());
        let run = haul_engine::run(orders, Box::new(ledger), clock, control);
        tokio::pin!(run);
        tokio::select! {
            ended = &mut run => Some(ended),
            () = long_enough(&eyes, crawls, most) => {
                handle.stop(if crawls { Stop::Now } else { Stop::Drain });
                Some(run.await)
            }
            _ = tokio::signal::ctrl_c() => {
                handle.stop(Stop::Now);
                drop(run.await);
                None
            }
        }
    });
    let took = began.elapsed();
    let cpu = cost::cpu().saturating_sub(cpu);
    runtime.shutdown_background();
    let Some(ended) = ended else { return Err(Problem::Full("interrupted; nothing was kept".to_owned())) };
    let ending = ended.map_err(|e| Problem::Start(e.to_string()))?;
    match &ending.why {
        Why::GaveUp { message } => Err(Problem::Start(format!("nothing can be measured: {message}"))),
        Why::Invalid { message } => Err(Problem::Start(message.clone())),
        _ => Ok(Looked { ending, seen: eyes.take(), size, took, cpu }),
    }
}

impl Looked {
    fn measured(self, job: &Job, alone: Option<&Snapshot>) -> Measured {
        let Looked { ending, seen, size, took, cpu } = self;
        let last = &ending.last;
        let crawls = job.source.pages.is_some() && job.steps.is_empty();
        // What was read and not begun when it was enough is none of it.
        let counts = &ending.counts;
        let through = if ending.why == Why::Stopped { counts.settled() } else { counts.read() };
        let through = if crawls { seen.records } else { through };
        let items = through.max(1) as f64;
        let fixed = matches!(job.limits.concurrency, Concurrency::Fixed(_));
        let course = if crawls { &seen.paged } else { &seen.passed };
        let each = if crawls { seen.records as f64 / seen.paged.len().max(1) as f64 } else { 1.0 };
        let stride = course.stride(fixed);
        let rises = course.rises();
        let alone_s = |name: &str, otherwise: u64| {
            let step = alone.and_then(|a| a.steps.iter().find(|s| s.name == name && s.requests > 0));
            step.map_or(otherwise, |s| s.latency_us.0) as f64 / 1e6
        };
        let steps = last.steps.iter().map(|s| StepSeen {
            name: s.name.clone(),
            requests: s.requests as f64 / items,
            wire_in: s.wire_in as f64 / items,
            decoded_in: s.decoded_in as f64 / items,
            wire_out: s.wire_out as f64 / items,
            alone_s: alone_s(&s.name, s.latency_us.0),
            loaded_s: s.latency_us.0 as f64 / 1e6,
        });
        let lanes = last.lanes.iter().filter(|l| l.requests > 0).map(|l| LaneSeen {
            name: l.name.clone(),
            per_item: l.requests as f64 / items,
            limit: l.limit,
            growing: !fixed && rises && l.limit_why.starts_with("all used"),
            rate: l.rate,
            rate_stated: !l.rate_why.is_empty(),
            connect_s: None,
        });
        Measured {
            counts: ending.counts,
            items: through,
            at_end: ending.why == Why::Finished && !ending.remarks.iter().any(|r| r.contains("at the limit")),
            units: (seen.units, size),
            pages: seen.paged.len() as u64,
            records: seen.records,
            per_second: stride.map_or(items / took.as_secs_f64().max(1e-6), |s| s.per_second * each),
            cpu_s: stride.and_then(|s| s.cpu_s).map_or(cpu.as_secs_f64() / items, |s| s / each),
            machine_s: stride.and_then(|s| s.machine_s).map(|s| s / each).filter(|_| is_here(last)),
            row_bytes: seen.row_bytes as f64 / items,
            steps: steps.collect(),
            lanes: lanes.collect(),
            took,
            rss: cost::so_far().rss_peak,
            stages: Vec::new(),
        }
    }
}

/// Whether all services that were asked are on this machine, and so want part of its processors.
fn is_here(last: &Snapshot) -> bool {
    let mut asked = last.lanes.iter().filter(|l| l.requests > 0).peekable();
    asked.peek().is_some() && asked.all(|l| is_loopback(&l.name))
}

/// `127.0.0.1:80`, `[::1]:80`, `localhost:80`.
fn is_loopback(name: &str) -> bool {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Returns once enough is known of the pace: with as many items as were asked for, and then not before it
/// went on for a while, and no more rises.
async fn long_enough(eyes: &Eyes, crawls: bool, most: Most) {
    let least = usize::try_from(most.least).unwrap_or(usize::MAX);
    let mut level = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        if most.most == most.least {
            continue;
        }
        let (n, span, rises) = eyes.course(crawls, |course| (course.len(), course.span(), course.rises()));
        level = if rises { 0 } else { level + 1 };
        if n >= least && (span >= LONGEST || span >= LONG_ENOUGH && level >= LOOKS) {
            return;
        }
    }
}

/// How long a connection to a host takes at best; None: it cannot be told, as behind a proxy.
fn connect(name: &str) -> Option<f64> {
    let proxied = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    if proxied.iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty())) {
        return None;
    }
    let address = std::net::ToSocketAddrs::to_socket_addrs(name).ok()?.next()?;
    let once = || {
        let began = Instant::now();
        std::net::TcpStream::connect_timeout(&address, PATIENCE).ok().map(|_| began.elapsed().as_secs_f64())
    };
    (0..CONNECTIONS).filter_map(|_| once()).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_on_this_machine_are_known_by_their_names() {
        for here in ["127.0.0.1:80", "127.8.8.8:8080", "[::1]:443", "localhost:9000"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in ["10.0.0.1:80", "example.com:443", "[2001:db8::1]:443", "localhost.example:1"] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}
