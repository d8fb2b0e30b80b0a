//! From a job and its live objects to the orders of an engine.

use std::time::Duration;

use haul_connect::assemble::Assembled;
use haul_core::cx::RunKey;
use haul_core::job::{IfChanged, Job, StepKind};
use haul_core::{Budget, limits};
use haul_engine::{Orders, Output, Policy};

/// What an engine needs to run a job, but for its aggregates (see [`crate::aggregates()`]), which need a
/// place for their logs. `run` names the run in idempotency keys: the same run must use
/// the same key in every process.
pub fn orders(job: &Job, live: Assembled, run: RunKey) -> Orders {
    Orders {
        run,
        opener: live.opener,
        stages: live.stages,
        output: live.output.map(|o| Output { name: o.name, sink: o.pair.sink, render: o.pair.render }),
        finish: None,
        aggregates: Vec::new(),
        lanes: live.lanes,
        lane_default: live.lane_default,
        ranks: live.ranks,
        budget: Budget::new(job.limits.memory),
        policy: policy(job),
    }
}

fn policy(job: &Job) -> Policy {
    Policy {
        retry: job.retry,
        goal: job.limits.goal,
        delivery: job.delivery,
        concurrency: job.limits.concurrency,
        on_invalid: job.source.on_invalid,
        if_changed: job.source.if_changed.unwrap_or_else(|| usual_if_changed(job)),
        limit: job.source.limit,
        // Records of an API cost nothing to read again but the request.
        key_log: job.source.pages.is_none(),
        window_items: if only_reads(job) { limits::WINDOW_ITEMS_READ } else { limits::WINDOW_ITEMS },
        linger: linger(job),
        ..Policy::default()
    }
}

/// A crawl whose records are counted or written as they are.
fn only_reads(job: &Job) -> bool {
    job.source.pages.is_some() && job.steps.is_empty()
}

/// How long an outcome waits for company.
fn linger(job: &Job) -> Duration {
    let saves = job.steps.iter().any(|s| matches!(&s.kind, StepKind::Download(d) if d.directory().is_some()));
    match (only_reads(job), saves) {
        (true, _) => limits::COMMIT_LINGER_READ,
        // Files become durable with a sync of their whole file system.
        (_, true) => limits::COMMIT_LINGER_SAVE,
        _ => limits::COMMIT_LINGER,
    }
}

/// A job that writes to a service must not do so twice because a line was inserted: a person
/// decides. Any other job skips by key what it has done.
fn usual_if_changed(job: &Job) -> IfChanged {
    let writes = job.steps.iter().any(|s| matches!(s.kind, StepKind::Post { .. }));
    if writes { IfChanged::Stop } else { IfChanged::SkipDone }
}
