//! Flags that any job takes: pace, patience, how much to read. They are laid over what the job says.

use std::collections::BTreeMap;

use haul_core::job::{IfExists, Job, Place, Places, ServiceSpec};
use haul_core::pace::Rate;

use super::Problems;
use super::service::{authority, find_service};
use crate::flags::{ExistsFlags, PaceFlags, ReadFlags};

/// Lays all of them over a job.
pub fn overlay(
    job: &mut Job,
    said: (&PaceFlags, &ReadFlags, ExistsFlags),
    places: &mut Places,
    out: &mut Problems,
) {
    let (pace, read, exists) = said;
    lay_pace(job, pace, places, out);
    lay_read(job, read);
    lay_exists(job, exists, out);
}

fn lay_pace(job: &mut Job, flags: &PaceFlags, places: &mut Places, out: &mut Problems) {
    for said in &flags.rate {
        let flag = format!("--rate {said}");
        match rate(said, &mut job.services) {
            Ok((rate, None)) => job.limits.rate = Some(rate),
            Ok((_, Some(service))) => places.note(format!("service.{service}.rate"), Place::Argument(flag)),
            Err((message, hint)) => out.add(flag, message, hint),
        }
    }
    if let Some(many) = flags.concurrency {
        job.limits.concurrency = many;
        // What is said here is meant for every service.
        job.services.values_mut().for_each(|s| s.concurrency = None);
    }
    if !flags.bandwidth.is_empty() {
        job.limits.bandwidth.clone_from(&flags.bandwidth);
    }
    job.retry.attempts = flags.attempts.unwrap_or(job.retry.attempts);
    job.retry.within = flags.within.or(job.retry.within);
    job.retry.give_up_after = flags.give_up_after.or(job.retry.give_up_after);
    job.retry.max_failed = flags.max_failed.or(job.retry.max_failed);
    job.limits.timeout = flags.timeout.unwrap_or(job.limits.timeout);
    if let Some(expr) = &flags.priority {
        job.limits.priority = Some(expr.clone());
        places.note("limits.priority", Place::Argument(format!("--priority {expr}")));
    }
    job.limits.goal = flags.goal.or(job.limits.goal);
    if let Some(memory) = flags.memory {
        job.limits.memory = memory;
        places.note("limits.memory", Place::Argument("--memory".to_owned()));
    }
    job.delivery = flags.delivery.unwrap_or(job.delivery);
}

/// `[HOST=]N/UNIT`: the rate, and the service it was set at.
fn rate(
    said: &str,
    services: &mut BTreeMap<String, ServiceSpec>,
) -> Result<(Rate, Option<String>), (String, String)> {
    let Some((host, text)) = said.split_once('=') else {
        return Ok((Rate::parse(said).map_err(|e| (e, String::new()))?, None));
    };
    let rate = Rate::parse(text).map_err(|e| (e, String::new()))?;
    let Some(name) = find_service(services, host) else {
        let hosts = services.iter().map(|(name, s)| format!("{name} at {}", authority(&s.url)));
        let hint = format!("there are: {}", hosts.collect::<Vec<_>>().join(", "));
        return Err((format!("no one service is at \"{host}\""), hint));
    };
    if let Some(service) = services.get_mut(&name) {
        service.rate = Some(rate);
    }
    Ok((rate, Some(name)))
}

fn lay_read(job: &mut Job, flags: &ReadFlags) {
    job.source.limit = flags.limit.or(job.source.limit);
    job.source.on_invalid = flags.on_invalid.unwrap_or(job.source.on_invalid);
    job.source.if_changed = flags.if_changed.or(job.source.if_changed);
}

fn lay_exists(job: &mut Job, flags: ExistsFlags, out: &mut Problems) {
    let (flag, exists) = match (flags.overwrite, flags.append) {
        (true, _) => ("--overwrite", IfExists::Overwrite),
        (_, true) => ("--append", IfExists::Append),
        _ => return,
    };
    match &mut job.output {
        Some(output) => output.exists = exists,
        None => out.add(flag, "the job writes no file", "add --to FILE, or [output] in the job file"),
    }
}
