//! `haul plan`: what a job will take, before it is begun. Without a probe only what the job and local files
//! say; with one, what its first items have shown.

mod bounds;
mod course;
mod memory;
mod probe;
mod sample;
mod show;
mod watched;
mod work;

use haul_core::job::{Concurrency, Job, StepKind};

use crate::cost;
use crate::drive::Problem;
use bounds::{Bound, LaneLoad, Load, Probed, What};
use memory::Memory;
use probe::{Measured, StepSeen};
use sample::Items;
use work::{Kind, Wants};

pub use show::{json, text};

/// A ledger with nothing in it.
const LEDGER: u64 = 120_000;
/// What it keeps of a key, and of an item that failed beside its record.
const KEY: f64 = 16.5;
const FAILED: f64 = 400.0;
/// Rows of the ledger about a second of work.
const TICK: f64 = 110.0;

/// Replies that take so many times longer under load stand in a queue.
const QUEUED: f64 = 1.25;

/// One step of a job.
#[derive(Clone, Debug)]
pub struct StepForecast {
    pub name: String,
    pub kind: Kind,
    /// Where its requests go.
    pub lane: Option<String>,
    /// Requests of an item.
    pub per_item: f64,
    /// What was seen of it.
    pub seen: Option<StepSeen>,
}

/// Everything that is said.
#[derive(Clone, Debug)]
pub struct Forecast {
    pub items: Items,
    pub steps: Vec<StepForecast>,
    /// The one that rules first.
    pub bounds: Vec<Bound>,
    /// Seconds that an item takes when nothing queues.
    item_s: f64,
    /// Seconds lost until everything is in its stride.
    start_s: f64,
    /// What is uncertain about the rate: more may be reached.
    pub growing: bool,
    pub memory: Memory,
    pub disk: Vec<Disk>,
    /// What a crash at each kind of step costs.
    pub crashes: Vec<(Vec<String>, String)>,
    /// What being nearer would gain.
    pub near: Option<String>,
    /// What is not known, and why.
    pub unknown: Vec<String>,
    /// The measurement.
    pub measured: Option<Measured>,
}

/// Bytes on a disk.
#[derive(Clone, Debug)]
pub struct Disk {
    pub what: String,
    pub bytes: Option<u64>,
}

/// What a job will take; `probe`: after so many of its items were measured.
pub fn of_job(job: &Job, probe: Option<u64>) -> Result<Forecast, Problem> {
    let items = sample::items(job);
    let measured = probe.map(|most| probe::measure(job, most)).transpose()?;
    Ok(Forecast::new(job, items, measured))
}

impl Forecast {
    fn new(job: &Job, counted: Items, measured: Option<Measured>) -> Self {
        let items = measured
            .as_ref()
            .map_or(counted.clone(), |m| seen_items(job, m, counted))
            .up_to(job.source.limit);
        let wants = work::wants(job);
        let steps = steps(&wants, measured.as_ref());
        let load = load(job, &steps, measured.as_ref());
        let item_s = load.item_s.map_or(0.0, |(all, _)| all);
        let bounds = load.bounds();
        // What is held to a rate does not gain from more requests in flight.
        let growing = load.probed.as_ref().is_some_and(|p| p.growing)
            && bounds.first().is_some_and(|b| b.what == What::Service);
        let start_s = measured.as_ref().map_or(0.0, |m| start_s(m, load.item_s));
        let mut this = Forecast {
            items,
            bounds,
            item_s,
            start_s,
            growing,
            memory: memory::of_job(job, &steps, measured.as_ref()),
            disk: Vec::new(),
            crashes: work::crashes(job, &steps),
            near: None,
            unknown: Vec::new(),
            measured,
            steps,
        };
        this.disk = this.disk(job);
        this.near = this.near();
        this.unknown = this.unknown(job);
        this
    }

    /// Items a second, by the bound that rules, where all that could rule is known.
    pub fn per_second(&self) -> Option<f64> {
        self.bounds.first().map(|b| b.per_second)
    }

    /// Seconds; a lower bound unless it was measured.
    pub fn seconds(&self) -> Option<f64> {
        let (items, rate) = (self.items.count?, self.per_second()?);
        Some(items as f64 / rate + self.item_s + self.start_s)
    }

    /// Seconds, were the limit of concurrency to grow until this machine is at its end.
    pub fn least_seconds(&self) -> Option<f64> {
        let last = self.bounds.iter().skip(1).find(|b| b.what != What::Service)?;
        let items = self.items.count? as f64;
        self.growing.then_some(items / last.per_second + self.item_s + self.start_s)
    }

    /// Requests of one step.
    pub fn requests(&self, step: &StepForecast) -> Option<u64> {
        Some((self.items.count? as f64 * step.per_item).round() as u64)
    }

    fn disk(&self, job: &Job) -> Vec<Disk> {
        let times = |each: Option<f64>| Some((self.items.count? as f64 * each?).round() as u64);
        let m = self.measured.as_ref();
        let mut all = Vec::new();
        if let Some(output) = job.output.as_ref().filter(|o| o.path != "-") {
            all.push(Disk { what: output.path.clone(), bytes: times(m.map(|m| m.row_bytes)) });
        }
        for step in &job.steps {
            if let StepKind::Download(download) = &step.kind {
                let seen = self.steps.iter().find(|s| s.name == step.name).and_then(|s| s.seen.as_ref());
                all.push(Disk { what: download.to.clone(), bytes: times(seen.map(|s| s.decoded_in)) });
            }
        }
        let failed = m.map_or(0.0, |m| {
            let open = m.counts.failed + m.counts.rejected + m.counts.in_doubt;
            open as f64 / m.items.max(1) as f64
        });
        let key = if job.source.pages.is_some() { 0.0 } else { KEY };
        let ticks = (self.seconds().unwrap_or(0.0) * TICK).min(3600.0 * TICK * 4.0) as u64;
        let ledger = times(Some(key + failed * FAILED)).map(|n| n + LEDGER + ticks);
        all.push(Disk { what: "the ledger, in .haul".to_owned(), bytes: ledger });
        all
    }

    /// What a shorter way to the services would gain.
    fn near(&self) -> Option<String> {
        let (measured, rules) = (self.measured.as_ref()?, self.bounds.first()?);
        let far = |step: &&StepForecast| {
            let lane =
                measured.lanes.iter().find(|l| Some(&l.name) == step.lane.as_ref() && l.connect_s.is_some());
            lane.or_else(|| measured.lanes.first())
                .and_then(|l| l.connect_s)
                .map_or(0.0, |s| s * step.per_item)
        };
        let away: f64 = if measured.stages.is_empty() {
            self.steps.iter().map(|s| far(&s)).sum()
        } else {
            staged(&measured.stages, &self.steps, |s| far(&s))
        };
        if measured.lanes.iter().all(|l| l.connect_s.is_none()) {
            return None;
        }
        let ms = |s: f64| crate::format::micros((s * 1e6) as u64);
        let farthest = measured.lanes.iter().filter_map(|l| Some((l.connect_s?, &l.name)));
        let (connect, name) = farthest.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let way = format!("a connection to {name} takes {}", ms(connect));
        if rules.what != What::Concurrency && !self.growing {
            return Some(format!("nothing: {} rules, not the way ({way})", rule_word(rules.what)));
        }
        let whole = if self.item_s > 0.0 { self.item_s } else { measured.steps.first()?.alone_s };
        let gain = whole / (whole - away.min(whole * 0.99)).max(1e-6);
        Some(match gain < 1.05 {
            true => format!(
                "nothing: {way} of the {} that an item takes; the rest is the services' own time",
                ms(whole)
            ),
            false => {
                format!("up to {gain:.1} times as much a second: {way}, and an item takes {}", ms(whole))
            }
        })
    }

    fn unknown(&self, job: &Job) -> Vec<String> {
        let mut all = Vec::new();
        if self.items.count.is_none() {
            all.push("the number of items: time, requests and disk are said for a million".to_owned());
        }
        let asks = self.steps.iter().any(|s| s.per_item > 0.0);
        if self.measured.is_none() {
            if asks {
                all.push("how long replies take and how large they are, so also time beyond what rates say: --probe 500 measures".to_owned());
            }
            if self.steps.iter().any(|s| s.kind == Kind::Filter) {
                all.push("how many items pass the filters: all are counted".to_owned());
            }
        } else if job.steps.iter().any(|s| matches!(s.kind, StepKind::Copy { .. })) {
            all.push("how fast objects are copied: a probe lists, and writes nothing".to_owned());
        } else if self.steps.iter().any(|s| s.kind.writes() && s.seen.is_none()) {
            all.push("how writes fare: nothing was written; they are taken to be like the reads".to_owned());
        }
        if job.limits.bandwidth.iter().any(|b| b.within.is_some()) {
            all.push("what bandwidth by the time of day does to it".to_owned());
        }
        all
    }
}

/// What rules, in words.
pub fn rule_word(what: What) -> &'static str {
    match what {
        What::Rate => "the rate",
        What::Concurrency => "concurrency × latency",
        What::Bandwidth => "bandwidth",
        What::Cpu => "this machine's processor",
        What::Service => "the service",
    }
}

/// Seconds that the measurement took longer than at its pace: connections, and finding the concurrency. All
/// steps have to find theirs.
fn start_s(m: &Measured, item_s: Option<(f64, f64)>) -> f64 {
    let lost = m.took.as_secs_f64() - m.items as f64 / m.per_second.max(1e-9);
    let steps = item_s.map_or(1.0, |(all, reads)| all / reads.max(1e-9));
    lost.max(0.0) * steps
}

/// What a measurement says of the number of items.
fn seen_items(job: &Job, m: &Measured, counted: Items) -> Items {
    if m.at_end && counted.count.is_none_or(|_| !counted.exact) {
        return Items {
            count: Some(m.items),
            exact: true,
            says: "the source ended within the measurement".to_owned(),
        };
    }
    match (m.units, job.source.pages.is_some()) {
        ((seen, Some(all)), true) if seen > 0 => Items {
            count: Some((m.records as f64 * all as f64 / seen as f64).round() as u64),
            exact: false,
            says: format!("{} came with {} pages", crate::format::items(m.records), m.pages),
        },
        _ => counted,
    }
}

fn steps(wants: &[Wants], measured: Option<&Measured>) -> Vec<StepForecast> {
    let forecast = |w: &Wants| {
        let seen = measured.and_then(|m| m.steps.iter().find(|s| s.name == w.name)).cloned();
        let seen = seen.filter(|_| w.kind != Kind::Filter && w.kind != Kind::Map);
        let per_item = seen.as_ref().map_or(w.per_item, |s| s.requests);
        StepForecast { name: w.name.clone(), kind: w.kind, lane: w.lane.clone(), per_item, seen }
    };
    wants.iter().map(forecast).collect()
}

/// Seconds of stages, whose steps go side by side.
fn staged(stages: &[Vec<String>], steps: &[StepForecast], seconds: impl Fn(&StepForecast) -> f64) -> f64 {
    let of = |name: &String| steps.iter().find(|s| s.name == *name).map_or(0.0, &seconds);
    stages.iter().map(|stage| stage.iter().map(of).fold(0.0, f64::max)).sum()
}

fn load(job: &Job, steps: &[StepForecast], measured: Option<&Measured>) -> Load {
    let reads: f64 = steps.iter().filter(|s| !unseen_write(s)).map(|s| s.per_item).sum();
    let all: f64 = steps.iter().map(|s| s.per_item).sum();
    // What was not sent is taken to be as slow as what was.
    let typical = {
        let seen: Vec<f64> = steps.iter().filter_map(|s| s.seen.as_ref()).map(usual_reply).collect();
        if seen.is_empty() { None } else { Some(seen.iter().sum::<f64>() / seen.len() as f64) }
    };
    let reply = |s: &StepForecast| s.seen.as_ref().map(usual_reply).or(typical);
    let item_s = measured.filter(|m| !m.stages.is_empty()).and_then(|m| {
        typical?;
        let whole = staged(&m.stages, steps, |s| reply(s).unwrap_or(0.0) * s.per_item);
        let part = staged(&m.stages, steps, |s| {
            if unseen_write(s) { 0.0 } else { reply(s).unwrap_or(0.0) * s.per_item }
        });
        (part > 0.0).then_some((whole, part))
    });
    let incoming: f64 = steps.iter().filter_map(|s| s.seen.as_ref()).map(|s| s.wire_in).sum();
    let allowed =
        job.limits.bandwidth.iter().filter(|b| b.within.is_none()).map(|b| b.bytes_per_second).min();
    let copies = job.steps.iter().any(|s| matches!(s.kind, StepKind::Copy { .. }));
    let latency = steps.iter().find_map(|s| s.seen.as_ref()).map_or(0.0, |s| s.alone_s);
    // A job that asks nobody is all measured.
    let share = if all > 0.0 { reads / all } else { 1.0 };
    let probed = measured.filter(|_| !copies && share > 0.0).map(|m| Probed {
        per_second: m.per_second,
        share,
        cpu_s: m.cpu_s / share,
        machine_s: m.machine_s.map(|s| (s / share, cost::processors())),
        growing: m.lanes.iter().any(|l| l.growing),
        serial: job.steps.is_empty() && job.source.pages.is_some() && m.per_second * reads * latency < 1.5,
    });
    Load {
        lanes: lanes(job, steps, measured, &reply),
        in_work: match job.limits.concurrency {
            Concurrency::Fixed(n) => Some(n),
            _ => None,
        },
        item_s,
        bandwidth: allowed.filter(|_| measured.is_some()).map(|a| (a as f64, incoming)),
        probed,
    }
}

/// Seconds of a reply at the pace of the job, unless it then stood in a queue: a queue is no property of the
/// way there, and what it does to the rate was measured.
fn usual_reply(seen: &StepSeen) -> f64 {
    if seen.loaded_s <= QUEUED * seen.alone_s { seen.loaded_s } else { seen.alone_s }
}

/// A write that was not sent, and so not measured.
fn unseen_write(step: &StepForecast) -> bool {
    step.kind.writes() && step.seen.is_none()
}

fn lanes(
    job: &Job,
    steps: &[StepForecast],
    measured: Option<&Measured>,
    reply: &dyn Fn(&StepForecast) -> Option<f64>,
) -> Vec<LaneLoad> {
    let mut all: Vec<LaneLoad> = Vec::new();
    for step in steps.iter().filter(|s| s.per_item > 0.0) {
        let Some(name) = &step.lane else { continue };
        let said = work::pace(job, name);
        let at = all.iter().position(|l| l.name == *name).unwrap_or_else(|| {
            let rate = said.rate.map(|r| (r, "is held to".to_owned()));
            all.push(LaneLoad { name: name.clone(), rate, in_flight: said.in_flight, ..LaneLoad::default() });
            all.len() - 1
        });
        let lane = &mut all[at];
        lane.per_item += step.per_item;
        lane.reads += if unseen_write(step) { 0.0 } else { step.per_item };
        lane.reply_s = [lane.reply_s, reply(step)].into_iter().flatten().reduce(f64::max);
    }
    for seen in measured.iter().flat_map(|m| &m.lanes) {
        let stated =
            seen.rate.map(|r| (r, if seen.rate_stated { "states" } else { "is held to" }.to_owned()));
        match all.iter_mut().find(|l| l.name == seen.name) {
            Some(lane) => {
                if let Some(stated) =
                    stated.filter(|(r, _)| lane.rate.as_ref().is_none_or(|(said, _)| r < said))
                {
                    lane.rate = Some(stated);
                }
            }
            // Hosts that only records name.
            None => all.push(LaneLoad {
                name: seen.name.clone(),
                rate: stated,
                per_item: seen.per_item,
                reads: seen.per_item,
                ..LaneLoad::default()
            }),
        }
    }
    all
}
