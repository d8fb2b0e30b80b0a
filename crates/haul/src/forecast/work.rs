//! What the steps of a job are: their kind, the requests of an item, where these go, and what a crash costs.

use haul_connect::http::Url;
use haul_core::job::{Concurrency, Delivery, Job, ServiceSpec, StepKind};
use haul_core::limits;
use haul_core::pace::Rate;

use super::StepForecast;

/// What a step does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pages of the source.
    Source,
    /// Reads from a service.
    Read,
    /// Attaches a value.
    Map,
    /// Passes items on, or not.
    Filter,
    /// Writes, and twice is as once.
    Idempotent,
    /// Writes, and twice may matter.
    Unsafe,
    /// Writes files here.
    Download,
}

impl Kind {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Source => "read (pages)",
            Kind::Read => "read",
            Kind::Map | Kind::Filter => "no request",
            Kind::Idempotent => "idempotent write",
            Kind::Unsafe => "unsafe write",
            Kind::Download => "idempotent write (files)",
        }
    }

    /// Whether anything changes by it.
    pub fn writes(self) -> bool {
        matches!(self, Kind::Idempotent | Kind::Unsafe | Kind::Download)
    }
}

/// What a step asks for, as far as the job says.
pub struct Wants {
    pub name: String,
    pub kind: Kind,
    pub lane: Option<String>,
    /// Requests of an item.
    pub per_item: f64,
}

/// Of all steps, and of the source where it asks a service.
pub fn wants(job: &Job) -> Vec<Wants> {
    let mut all = Vec::new();
    if let Some(pages) = &job.source.pages {
        let size = pages.size.as_ref().map_or(1, |s| s.count).max(1) as f64;
        let lane = lane(job, &job.source.location);
        all.push(Wants { name: "source".to_owned(), kind: Kind::Source, lane, per_item: 1.0 / size });
    }
    for step in &job.steps {
        let (kind, url, per_item) = match &step.kind {
            StepKind::Get { url, .. } => (Kind::Read, Some(url), 1.0),
            StepKind::Post { url, put, batch, .. } => {
                let kind = if *put { Kind::Idempotent } else { Kind::Unsafe };
                (kind, Some(url), batch.as_ref().map_or(1.0, |b| 1.0 / f64::from(b.max.max(1))))
            }
            StepKind::Download(download) => (Kind::Download, None, download.files.len().max(1) as f64),
            // One to read it, one to write it; large objects take more.
            StepKind::Copy { .. } => (Kind::Idempotent, None, 2.0),
            StepKind::Map { .. } => (Kind::Map, None, 0.0),
            StepKind::Filter { .. } => (Kind::Filter, None, 0.0),
        };
        let lane = url.and_then(|url| lane(job, url));
        all.push(Wants { name: step.name.clone(), kind, lane, per_item });
    }
    all
}

/// Host and port of a URL that may begin with a service, or end in fields of an item.
fn lane(job: &Job, url: &str) -> Option<String> {
    let base = match service(url) {
        Some(name) => &job.services.get(name)?.url,
        None => url,
    };
    let host = base.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let parsed = Url::parse(&base[..base.len() - base.split_once("://")?.1.len() + host.len()]).ok()?;
    Some(parsed.origin(&"".into()).to_string())
}

fn service(url: &str) -> Option<&str> {
    Some(url.strip_prefix('{')?.split_once('}')?.0)
}

/// What a job says of the pace of a host.
#[derive(Default)]
pub struct Said {
    /// Requests a second, over all replicas.
    pub rate: Option<f64>,
    /// Requests in flight, over all replicas.
    pub in_flight: Option<u32>,
    /// It is that many, and not found.
    pub fixed: bool,
}

/// See [`Said`].
pub fn pace(job: &Job, name: &str) -> Said {
    let of_host = |s: &&ServiceSpec| lane(job, &s.url).as_deref() == Some(name);
    let service = job.services.values().find(of_host);
    let replicas = service.map_or(1, |s| s.replicas.len() as u32 + 1);
    let rate = service.and_then(|s| s.rate).or(job.limits.rate);
    let rate = rate.map(|r: Rate| f64::from(replicas) / r.interval().as_secs_f64());
    let concurrency = service.and_then(|s| s.concurrency).unwrap_or(job.limits.concurrency);
    let in_flight = match concurrency {
        Concurrency::Fixed(n) | Concurrency::Bounded(_, n) => Some(n.saturating_mul(replicas)),
        Concurrency::Auto => None,
    };
    Said { rate, in_flight, fixed: matches!(concurrency, Concurrency::Fixed(_)) }
}

/// What a crash costs, by steps for which it is the same.
pub fn crashes(job: &Job, steps: &[StepForecast]) -> Vec<(Vec<String>, String)> {
    let window = limits::WINDOW_ITEMS as u64;
    let most = match job.limits.concurrency {
        Concurrency::Fixed(n) => u64::from(n).min(window),
        _ => window,
    };
    let most = crate::format::count(most);
    let cost = |kind: Kind| match (kind, job.delivery) {
        (Kind::Map | Kind::Filter, _) => None,
        (Kind::Source, _) => {
            Some("pages that were not committed are asked for again; records are taken once".to_owned())
        }
        (Kind::Read, _) => Some(format!("up to {most} items in work are asked for again")),
        (Kind::Download, _) => {
            Some(format!("up to {most} items in work go on where their files were; no file is seen half"))
        }
        (Kind::Idempotent, _) => {
            Some(format!("up to {most} items in work are written again, to the same effect"))
        }
        (Kind::Unsafe, Delivery::AtLeastOnce) => Some(format!(
            "up to {most} items in work are sent again with the same Idempotency-Key; a service that ignores it has them twice"
        )),
        (Kind::Unsafe, Delivery::AtMostOnce) => Some(format!(
            "up to {most} items in work are in doubt until a person settles them; none is sent twice"
        )),
    };
    let mut all: Vec<(Vec<String>, String)> = Vec::new();
    for step in steps {
        let Some(says) = cost(step.kind) else { continue };
        match all.iter_mut().find(|(_, known)| *known == says) {
            Some((names, _)) => names.push(step.name.clone()),
            None => all.push((vec![step.name.clone()], says)),
        }
    }
    all
}
