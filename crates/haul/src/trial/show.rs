//! What was tried, for people and for programs.

use haul_connect::http::{KEPT_BACK, reason};
use haul_core::Flow;
use haul_core::job::Job;
use serde_json::{Value, json};

use super::log::{Outcome, Request};
use super::{ItemTried, Tried, expression};
use crate::format;

/// Characters shown of a value.
const SHOWN: usize = 300;

/// For a person: an item with its steps below.
pub fn text(job: &Job, tried: &ItemTried) -> String {
    let at = if tried.line > 0 { format!(" (line {})", tried.line) } else { String::new() };
    let item = match &tried.item {
        Ok(item) => item,
        Err(reason) => return format!("{}{at}: rejected: {reason}\n", tried.key),
    };
    let record = format::plain(&String::from_utf8_lossy(item.record.base()), SHOWN);
    let mut out = format!("{}{at}: {record}\n", format::plain(&tried.key, 60));
    for step in &tried.steps {
        out.push_str(&step_text(job, step));
    }
    if let (Some(row), Some(spec)) = (&tried.row, &job.output) {
        match row {
            Ok(row) => {
                let place = if spec.path == "-" { "standard output" } else { &spec.path };
                out.push_str(&format!("  row to {place}: {}\n", format::plain(row, SHOWN)));
            }
            Err(why) => out.push_str(&format!("  no row: {why}\n")),
        }
    }
    for (what, value) in &tried.counted {
        let value = value.as_ref().map_or_else(|why| format!("nothing: {why}"), |v| format::plain(v, SHOWN));
        out.push_str(&format!("  {what}  =  {value}\n"));
    }
    out
}

/// For a person: the requests that a page of the source took.
pub fn source_text(requests: &[Request]) -> String {
    requests.iter().map(|request| format!("{}\n", line(request))).collect()
}

/// For a program: the same, as a line.
pub fn source_json(requests: &[Request]) -> String {
    let requests: Vec<Value> = requests.iter().map(request_json).collect();
    json!({ "source": requests }).to_string() + "\n"
}

fn step_text(job: &Job, tried: &Tried) -> String {
    let mut out = String::new();
    for request in &tried.requests {
        out.push_str(&format!("  {:<8} {}\n", tried.step, line(request)));
        if matches!(request.outcome, Outcome::KeptBack { .. }) {
            let body = format::plain(&String::from_utf8_lossy(&request.body), SHOWN);
            out.push_str(&format!("           {body}\n"));
        }
    }
    let expr = job.steps.iter().find(|s| s.name == tried.step).and_then(expression);
    let label = expr.map_or("result".to_owned(), |e| format::plain(e, 80));
    let said = match &tried.result {
        Ok(applied) => match (&applied.attach, &applied.flow) {
            (Some(value), _) => {
                format!("{label}  =  {}", format::plain(&String::from_utf8_lossy(value), SHOWN))
            }
            (None, Flow::Skip(why)) if expr.is_some() && tried.requests.is_empty() => {
                format!("{label}  is false: the item is skipped ({why})")
            }
            (None, Flow::Skip(why)) => format!("the item is skipped ({why})"),
            (None, Flow::Done) => "the item is done".to_owned(),
            (None, Flow::Next) if tried.requests.is_empty() => format!("{label}  is true"),
            (None, Flow::Next) => "done".to_owned(),
        },
        Err(fault) if fault.code() == KEPT_BACK => return out,
        Err(fault) => format!("fails ({}): {}", fault.class().as_str(), fault.message()),
    };
    let name = if tried.requests.is_empty() { tried.step.as_str() } else { "" };
    out.push_str(&format!("  {name:<8} {said}\n"));
    out
}

/// `GET http://localhost:8000/users/1  200 OK  2.1 ms  312 B`
pub fn line(request: &Request) -> String {
    let Request { method, url, outcome, .. } = request;
    match outcome {
        Outcome::Answered { status, bytes, elapsed } => {
            let (time, size) = (format::micros(elapsed.as_micros() as u64), format::bytes(*bytes as u64));
            format!("{method} {url}  {status} {}  {time}  {size}", reason(*status))
        }
        Outcome::Unanswered { why, elapsed } => {
            format!("{method} {url}  no reply after {}: {why}", format::micros(elapsed.as_micros() as u64))
        }
        Outcome::KeptBack { secret } => {
            let secret = if *secret { ", with its credentials" } else { "" };
            format!("would {method} {url}{secret} (not sent)")
        }
    }
}

/// For a program: one object.
pub fn json(tried: &ItemTried) -> Value {
    json!({
        "key": tried.key,
        "line": tried.line,
        "record": tried.item.as_ref().ok().map(|i| parsed(i.record.base())),
        "rejected": tried.item.as_ref().err(),
        "steps": tried.steps.iter().map(step_json).collect::<Vec<_>>(),
        "counted": tried.counted.iter().map(|(what, value)| {
            json!({ "what": what, "value": value.as_ref().ok().map(|v| parsed(v.as_bytes())) })
        }).collect::<Vec<_>>(),
        "row": tried.row.as_ref().and_then(|r| r.as_ref().ok()).map(|r| parsed(r.as_bytes())),
    })
}

fn step_json(tried: &Tried) -> Value {
    let (attach, skipped) = match &tried.result {
        Ok(applied) => {
            let skipped = if let Flow::Skip(why) = &applied.flow { Some(why.to_string()) } else { None };
            (applied.attach.as_ref().map(|v| parsed(v)), skipped)
        }
        Err(_) => (None, None),
    };
    let fault = tried.result.as_ref().err().filter(|f| f.code() != KEPT_BACK);
    json!({
        "step": tried.step,
        "requests": tried.requests.iter().map(request_json).collect::<Vec<_>>(),
        "result": attach,
        "skipped": skipped,
        "fault": fault.map(|f| json!({
            "class": f.class().as_str(), "code": f.code(), "status": f.status(), "message": f.message(),
        })),
    })
}

fn request_json(request: &Request) -> Value {
    let Request { method, url, outcome, body } = request;
    match outcome {
        Outcome::Answered { status, bytes, elapsed } => json!({
            "method": method, "url": url, "status": status, "bytes": bytes,
            "elapsed_us": elapsed.as_micros() as u64, "sent": true,
        }),
        Outcome::Unanswered { why, elapsed } => json!({
            "method": method, "url": url, "message": why, "elapsed_us": elapsed.as_micros() as u64, "sent": true,
        }),
        Outcome::KeptBack { .. } => json!({
            "method": method, "url": url, "body": parsed(body), "sent": false,
        }),
    }
}

/// A value as JSON where it is, else as text.
fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes).into_owned()))
}
