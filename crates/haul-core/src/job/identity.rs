//! What makes two runs the same run: source, steps, aggregates, output, and the URLs of the services in
//! use.
//!
//! What may change from one process of a run to the next is not in it: rates, concurrency, memory,
//! attempts, time-outs, secrets, and how far to read.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::write::write;
use super::{
    BatchSpec, Delivery, IfExists, Job, LimitsSpec, OnInvalid, OutputSpec, RetrySpec, RowFormat, ServiceSpec,
    SourceSpec, StepKind, StepSpec, StoreKind, StoreSpec, parse_place,
};
use crate::cx::hex;

/// Identity of a job with absolute paths: SHA-256 of its canonical writing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity(pub [u8; 32]);

impl Identity {
    /// The identity of a frozen job (see [`super::freeze`]).
    pub fn of(job: &Job) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"haul identity 1\n");
        hash.update(write(&essence(job)));
        Identity(hash.finalize().into())
    }

    /// The first four hex digits, as in run names.
    pub fn short(&self) -> String {
        hex(&self.0[..2])
    }
}

impl fmt::Display for Identity {
    /// All 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// The job with everything at its default that is not part of its identity.
fn essence(job: &Job) -> Job {
    let services = job
        .services
        .iter()
        .filter(|(name, _)| {
            let name = Some(name.as_str());
            job.source.service() == name || job.steps.iter().any(|s| s.service() == name)
        })
        .map(|(name, s)| (name.clone(), ServiceSpec { url: s.url.clone(), ..ServiceSpec::default() }))
        .collect();
    Job {
        verb: String::new(),
        source: SourceSpec {
            on_invalid: OnInvalid::default(),
            if_changed: None,
            limit: None,
            ..job.source.clone()
        },
        services,
        stores: job.stores.iter().filter(|(name, _)| uses(job, name)).map(store).collect(),
        secrets: BTreeMap::new(),
        steps: job.steps.iter().map(step).collect(),
        aggregates: job.aggregates.clone(),
        output: job.output.clone().map(|o| OutputSpec { exists: IfExists::default(), ..o }),
        retry: RetrySpec::default(),
        limits: LimitsSpec::default(),
        delivery: Delivery::default(),
    }
}

/// Whose credentials are used is not part of it.
fn store((name, spec): (&String, &StoreSpec)) -> (String, StoreSpec) {
    let account = spec.account.clone().filter(|_| spec.kind == StoreKind::Azblob);
    (name.clone(), StoreSpec { account, profile: None, secret: None, path_style: None, ..spec.clone() })
}

/// True when the job names a place in a store.
fn uses(job: &Job, store: &str) -> bool {
    let is_in = |place: &str| parse_place(place).is_ok_and(|place| place.store() == Some(store));
    let copies = job.steps.iter().any(|s| match &s.kind {
        StepKind::Copy { to, .. } => is_in(to),
        StepKind::Download(download) => is_in(&download.to),
        _ => false,
    });
    copies || job.source.format == RowFormat::Keys && is_in(&job.source.location)
}

/// How many items go together, how long they wait for each other, and what is asked for only once is
/// pace.
fn step(spec: &StepSpec) -> StepSpec {
    let mut step = StepSpec { timeout: None, ..spec.clone() };
    if let StepKind::Download(download) = &mut step.kind {
        download.overwrite = false;
    }
    if let StepKind::Post { batch, gzip, .. } = &mut step.kind {
        *gzip = false;
        let usual = BatchSpec::default();
        if let Some(batch) = batch {
            (batch.max, batch.linger) = (usual.max, usual.linger);
        }
    }
    if let StepKind::Get { cache, .. } = &mut step.kind {
        *cache = None;
    }
    step
}

/// How the identity of `now` differs from that of `before`, a line for each value; empty when it
/// does not. Both are frozen.
pub fn what_differs(before: &Job, now: &Job) -> Vec<String> {
    let orders = (order(before), order(now));
    let (before, now) = (values(before), values(now));
    let mut lines = Vec::new();
    for (path, value) in &before {
        match now.get(path) {
            None => lines.push(format!("{path} was {value} and is gone")),
            Some(new) if new != value => lines.push(format!("{path} was {value} and is now {new}")),
            Some(_) => {}
        }
    }
    for (path, value) in now.iter().filter(|(path, _)| !before.contains_key(*path)) {
        lines.push(format!("{path} is new: {value}"));
    }
    if lines.is_empty() && orders.0 != orders.1 {
        lines.push(format!("the steps were {} and are now {}", orders.0, orders.1));
    }
    lines
}

/// The names of the steps in order.
fn order(job: &Job) -> String {
    job.steps.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Every value of the essence by its path, as the job file writes it.
fn values(job: &Job) -> BTreeMap<String, String> {
    let essence = essence(job);
    let text = write(&essence);
    let mut values = BTreeMap::new();
    // A `where` is written with the source, so steps are counted as the file has them.
    let written = text.lines().filter(|line| *line == "[[step]]").count();
    let mut steps = essence.steps.iter().skip(essence.steps.len() - written);
    let mut table = String::new();
    for line in text.lines() {
        if line == "[[step]]" {
            table = steps.next().map_or(String::new(), |s| format!("step.{}", s.name));
        } else if let Some(title) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            title.clone_into(&mut table);
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim();
            let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
            values.insert(path, value.trim().to_owned());
        }
    }
    values
}
