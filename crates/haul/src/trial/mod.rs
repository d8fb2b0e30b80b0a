//! `haul try`: the first items of a job, end to end, with every request and every result shown. POST and
//! PUT are kept back, nothing is written, no run is made.

mod advice;
mod document;
mod lanes;
mod log;
mod page;
mod show;

use std::sync::Arc;

use haul_connect::assemble::{AssembleContext, Assembled, assemble};
use haul_connect::http::KEPT_BACK;
use haul_core::cx::{NoMemo, RunKey};
use haul_core::job::{AggregateKind, Job, StepKind, StepSpec};
use haul_core::source::NewItem;
use haul_core::{Applied, Budget, Cx, Fault, Flow, Item, Seq, SliceId, Step};
use haul_engine::TokioClock;

use crate::drive::Problem;
use crate::{exit, output, runs, typed};
pub use lanes::FreeLanes;
pub use log::Log;
use log::Request;

pub use page::{is_address, is_input, look};

/// What became of one step.
pub struct Tried {
    /// Name of the step.
    pub step: String,
    /// Requests it made, or would have made.
    pub requests: Vec<Request>,
    /// What came of it.
    pub result: Result<Applied, Fault>,
}

/// What became of one item.
pub struct ItemTried {
    /// The item; `Err`: the input is no record, and why.
    pub item: Result<Item, String>,
    /// What the user calls it.
    pub key: String,
    /// Line in the source.
    pub line: u64,
    /// Every step that was reached.
    pub steps: Vec<Tried>,
    /// The row it would be written as, or why there is none.
    pub row: Option<Result<String, String>>,
    /// What aggregates would take of it: the path as it was said, and what is there.
    pub counted: Vec<(String, Result<String, String>)>,
}

/// Tries the first `most` items of a job; shows them, and what could be better. The exit status is given.
pub fn of_job(job: &Job, most: usize, json: bool) -> Result<u8, Problem> {
    let log = Arc::new(Log::default());
    let context = AssembleContext {
        base: runs::working_directory(),
        output: None,
        witness: Some(log.clone()),
        ..AssembleContext::default()
    };
    let live = assemble(job, &context)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Problem::Start(format!("the asynchronous runtime does not start: {e}")))?;
    let tried = runtime.block_on(async {
        live.check_secrets().await?;
        items(job, &live, &log, most, json).await
    });
    runtime.shutdown_background();
    let tried = tried?;
    let advice = advice::of_items(job, &tried);
    let failed = tried.iter().any(|t| t.item.is_err() || t.steps.iter().any(|s| is_failure(&s.result)));
    let next = advice::next(&typed::words(), &advice, failed || tried.is_empty());
    let all = advice.iter().map(|a| ("advice", a)).chain(next.iter().map(|n| ("next", n)));
    for (kind, line) in all {
        match (json, kind) {
            (true, _) => output::line(&serde_json::json!({ kind: line }).to_string()),
            (false, "next") => output::line(&format!("next: {line}")),
            (false, _) => output::line(&format!("  try: {line}")),
        };
    }
    Ok(if failed { exit::OPEN } else { exit::DONE })
}

/// What was kept back did not fail.
pub fn is_failure(result: &Result<Applied, Fault>) -> bool {
    result.as_ref().is_err_and(|f| f.code() != KEPT_BACK)
}

async fn items(
    job: &Job,
    live: &Assembled,
    log: &Log,
    most: usize,
    json: bool,
) -> Result<Vec<ItemTried>, Fault> {
    let (lanes, clock) = (FreeLanes::default(), TokioClock::new());
    let (budget, run) = (Budget::new(job.limits.memory), RunKey([0; 16]));
    let cx = Cx { lanes: &lanes, clock: &clock, budget: &budget, run: &run, memo: &NoMemo };
    let mut tried = Vec::new();
    for slice in live.opener.slices() {
        let mut source = live.opener.open(&slice, None, &cx).await?;
        loop {
            let page = source.next_page(&cx).await;
            let asked = log.take();
            if !asked.is_empty() {
                let shown = if json { show::source_json(&asked) } else { show::source_text(&asked) };
                output::data(shown.as_bytes());
            }
            let Some(page) = page? else { break };
            for new in page.items {
                let seq = Seq(tried.len() as u64);
                let one = one(job, live, log, (slice.id, seq, new), &cx).await;
                let shown = if json { show::json(&one).to_string() + "\n" } else { show::text(job, &one) };
                tried.push(one);
                if !output::data(shown.as_bytes()) || tried.len() == most {
                    return Ok(tried);
                }
            }
        }
    }
    if tried.is_empty() {
        output::complain(&format!("{} has no items", live.opener.name()));
    }
    Ok(tried)
}

async fn one(
    job: &Job,
    live: &Assembled,
    log: &Log,
    (slice, seq, new): (SliceId, Seq, NewItem),
    cx: &Cx<'_>,
) -> ItemTried {
    let NewItem { key, position, record } = new;
    let (name, line) = (key.to_string(), position.line);
    let record = match record {
        Ok(record) => record,
        Err(rejection) => {
            return ItemTried {
                item: Err(rejection.reason),
                key: name,
                line,
                steps: Vec::new(),
                row: None,
                counted: Vec::new(),
            };
        }
    };
    let mut item = Item { slice, seq, key, position, record };
    let mut steps = Vec::new();
    let mut over = false;
    for step in live.stages.iter().flatten() {
        let result = step.apply(&item, cx).await;
        over = take(&**step, &result, &mut item);
        steps.push(Tried { step: step.name().to_string(), requests: log.take(), result });
        if over {
            break;
        }
    }
    let row = match &job.output {
        Some(_) if !over => Some(row(job, &item)),
        _ => None,
    };
    let counted = if over { Vec::new() } else { counted(job, &item) };
    ItemTried { item: Ok(item), key: name, line, steps, row, counted }
}

/// Attaches what a step brought; true when the item goes no further.
fn take(step: &dyn Step, result: &Result<Applied, Fault>, item: &mut Item) -> bool {
    match result {
        Ok(Applied { flow, attach }) => {
            if let Some(value) = attach {
                item.record.attach(step.name().clone(), value.clone());
            }
            *flow != Flow::Next
        }
        Err(_) => true,
    }
}

fn row(job: &Job, item: &Item) -> Result<String, String> {
    match job.output.as_ref().and_then(|o| o.row.as_deref()) {
        Some(text) => of_record(text, item),
        None => {
            let mut out = Vec::new();
            item.record.write_json(&mut out);
            Ok(String::from_utf8_lossy(&out).into_owned())
        }
    }
}

fn counted(job: &Job, item: &Item) -> Vec<(String, Result<String, String>)> {
    let paths = job.aggregates.iter().map(|spec| match &spec.kind {
        AggregateKind::Count { path, .. } => ("count", path),
        AggregateKind::Top { path, .. } => ("top", path),
        AggregateKind::Stats { path } => ("stats", path),
    });
    paths.map(|(kind, path)| (format!("{kind} {path}"), of_record(path, item))).collect()
}

fn of_record(expr: &str, item: &Item) -> Result<String, String> {
    let expr = haul_connect::expr::Expr::compile(expr).map_err(|e| e.to_string())?;
    let value = expr.eval_record(&item.record).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&value).into_owned())
}

/// The expression whose result a step attaches, as it was said.
pub fn expression(spec: &StepSpec) -> Option<&str> {
    match &spec.kind {
        StepKind::Get { take, .. } => take.as_deref(),
        StepKind::Map { expr } | StepKind::Filter { expr } => Some(expr),
        _ => None,
    }
}
