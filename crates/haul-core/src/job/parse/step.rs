//! `[[step]]`.

use super::reader::{self, Bad, Reader};
use super::service;
use super::tree::{Node, Table, Value};
use crate::job::diagnose::{Diagnostic, Place, nearest};
use crate::job::units::parse_duration;
use crate::job::{BatchFormat, BatchSpec, OnStatus, StatusSet, StepKind, StepSpec};
use crate::limits;

/// What a step does, by the key that says so.
const KINDS: [&str; 7] = ["get", "post", "put", "download", "copy", "map", "filter"];

/// What belongs to one of them.
const OF_KINDS: [&str; 11] =
    ["take", "cache", "body", "batch", "outcomes", "encode", "as", "to", "checksum", "overwrite", "type"];

/// All steps in order; those that cannot be read are left out.
pub(super) fn read_all(top: &mut Reader<'_>, out: &mut Vec<Diagnostic>) -> Vec<StepSpec> {
    let Some(node) = top.node("step") else { return Vec::new() };
    let Value::Array(members) = &node.value else {
        out.push(
            Diagnostic::new(
                format!("step must be a list of tables, not {}", node.value.kind()),
                node.place.clone(),
            )
            .with_hint("write [[step]] with two brackets"),
        );
        return Vec::new();
    };
    let mut steps = Vec::new();
    for (i, member) in members.iter().enumerate() {
        match &member.value {
            Value::Table(table) => steps.extend(read(table, i, member.place.clone(), out)),
            value => out.push(Diagnostic::new(
                format!("a step must be a table, not {}", value.kind()),
                member.place.clone(),
            )),
        }
    }
    steps
}

fn read(table: &Table, index: usize, place: Place, out: &mut Vec<Diagnostic>) -> Option<StepSpec> {
    let title = match table.get("name").map(|e| &e.node.value) {
        Some(Value::Str(name)) => format!("step \"{name}\""),
        _ => format!("step {}", index + 1),
    };
    let mut r = Reader::new(table, title, place);
    let name = r.need("name", "\"video\"", out, reader::text);
    let kind = kind(&mut r, out);
    let requests =
        !matches!(kind, Some(StepKind::Map { .. } | StepKind::Filter { .. } | StepKind::Copy { .. }));
    let (mut on, mut expect, mut headers, mut timeout) = Default::default();
    // What speaks of requests is an unknown key in a step that makes none.
    if requests {
        on = r.take("on", out, on_rules).unwrap_or_default();
        expect = r.take("expect", out, statuses).unwrap_or_default();
        headers = r.take("headers", out, service::headers).unwrap_or_default();
        timeout = r.take("timeout", out, |n| reader::parsed(n, "text like \"30s\"", parse_duration));
    }
    r.finish(out);
    Some(StepSpec { name: name?, kind: kind?, on, expect, headers, timeout })
}

/// Exactly one of [`KINDS`], and what belongs to it.
fn kind(r: &mut Reader<'_>, out: &mut Vec<Diagnostic>) -> Option<StepKind> {
    let said: Vec<_> = KINDS.iter().filter_map(|k| r.node(k).map(|node| (*k, node))).collect();
    let (word, node) = match said.as_slice() {
        [] => {
            // `take` and `body` say what was meant, so they are not reported as unknown keys too.
            OF_KINDS.iter().for_each(|key| _ = r.node(key));
            out.push(
                Diagnostic::new("the step does not say what to do", r.place().clone())
                    .with_hint(format!("add exactly one of {}", KINDS.join(", "))),
            );
            return None;
        }
        [(word, node)] => (*word, node),
        [(first, _), (_, node), ..] => {
            OF_KINDS.iter().for_each(|key| _ = r.node(key));
            out.push(
                Diagnostic::new(format!("the step has {first} already"), node.place.clone())
                    .with_hint(format!("a step has exactly one of {}; make it two steps", KINDS.join(", "))),
            );
            return None;
        }
    };
    if word == "download" {
        return super::download::read(r, node, out).map(StepKind::Download);
    }
    let said = reader::text(node).map_err(|bad| out.push(bad.about(word, node)));
    let kind = match word {
        "get" => {
            let take = r.take("take", out, reader::text);
            let cache = r.take("cache", out, |n| reader::parsed(n, "text like \"10m\"", parse_duration));
            StepKind::Get { url: said.ok()?, take, cache }
        }
        "copy" => {
            let types = r.take("type", out, |n| service::texts(n, "a type like \"png\", or a list of them"));
            StepKind::Copy { to: said.ok()?, types: types.unwrap_or_default() }
        }
        "map" => StepKind::Map { expr: said.ok()? },
        "filter" => StepKind::Filter { expr: said.ok()? },
        _ => {
            let body = r.take("body", out, reader::text);
            let batch = batch(r, out);
            let codings = [("gzip", true), ("identity", false)];
            let gzip = r.take("encode", out, |n| reader::word(n, &codings)).unwrap_or_default();
            StepKind::Post { url: said.ok()?, body, put: word == "put", batch, gzip }
        }
    };
    Some(kind)
}

/// `batch = { max = 50, by = "user_id", linger = "200ms" }`, and `outcomes` beside it.
fn batch(r: &mut Reader<'_>, out: &mut Vec<Diagnostic>) -> Option<BatchSpec> {
    let outcomes = r.node("outcomes");
    let Some(node) = r.node("batch") else {
        if let Some(node) = outcomes {
            out.push(
                Diagnostic::new("outcomes says what became of each item of a batch", node.place.clone())
                    .with_hint("add batch = { max = 100 }"),
            );
        }
        return None;
    };
    let Value::Table(table) = &node.value else {
        let hint = "write it like batch = { max = 50, by = \"user_id\", linger = \"200ms\" }";
        out.push(reader::wrong_type("a table", node).or_hint(hint).about("batch", node));
        return None;
    };
    let usual = BatchSpec::default();
    let mut b = Reader::new(table, "batch", node.place.clone());
    let max = b.take("max", out, |n| reader::whole(n, 1, limits::BATCH_ITEMS as u64));
    let by = b.take("by", out, reader::text);
    let linger = b.take("linger", out, |n| reader::parsed(n, "text like \"200ms\"", parse_duration));
    let formats = [BatchFormat::Json, BatchFormat::Ndjson].map(|f| (f.as_str(), f));
    let format = b.take("format", out, |n| reader::word(n, &formats)).unwrap_or_default();
    b.finish(out);
    let max = max.and_then(|n| u32::try_from(n).ok()).unwrap_or(usual.max);
    let outcomes = r.take("outcomes", out, reader::text);
    Some(BatchSpec { max, by, linger: linger.unwrap_or(usual.linger), format, outcomes })
}

/// `{ 404 = "skip", 5xx = "retry" }`, single statuses before hundreds.
fn on_rules(node: &Node) -> Result<Vec<(StatusSet, OnStatus)>, Bad> {
    let Value::Table(table) = &node.value else {
        let hint = "write it like on = { 404 = \"skip\", 5xx = \"retry\" }";
        return Err(reader::wrong_type("a table", node).or_hint(hint));
    };
    let mut rules = Vec::new();
    for entry in &table.entries {
        let set = parse_status(&entry.key).map_err(|m| Bad::from(m).in_part(&entry.node))?;
        let action = reader::parsed(&entry.node, "a table of words", parse_action)
            .map_err(|bad| bad.in_part(&entry.node))?;
        rules.push((set, action));
    }
    rules.sort_by_key(|(set, _)| *set);
    Ok(rules)
}

/// `201`, or a list of `201` and `"2xx"`.
fn statuses(node: &Node) -> Result<Vec<StatusSet>, Bad> {
    let one = |node: &Node| {
        let set = match &node.value {
            Value::Int(n) => parse_status(&n.to_string()).map_err(Bad::from),
            Value::Str(s) => parse_status(s).map_err(Bad::from),
            _ => Err(reader::wrong_type("a status like 201 or \"2xx\", or a list of them", node)),
        };
        set.map_err(|bad| bad.in_part(node))
    };
    let mut sets = match &node.value {
        Value::Array(members) if members.is_empty() => {
            return Err(Bad::from("{key} is empty: no reply would ever be right".to_owned()));
        }
        Value::Array(members) => members.iter().map(one).collect::<Result<Vec<_>, _>>()?,
        _ => vec![one(node)?],
    };
    sets.sort();
    sets.dedup();
    Ok(sets)
}

/// Reads `404` or `4xx`.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn parse_status(text: &str) -> Result<StatusSet, String> {
    StatusSet::parse(text).ok_or_else(|| format!("\"{text}\" is no HTTP status: write it like 404 or 4xx"))
}

/// Reads what a status means: `skip`, `null`, `done`, `fail` or `retry`.
///
/// # Errors
/// A sentence that names the words there are.
pub fn parse_action(text: &str) -> Result<OnStatus, String> {
    const WORDS: [&str; 5] = ["skip", "null", "done", "fail", "retry"];
    OnStatus::from_word(text).ok_or_else(|| {
        let near = nearest(text, WORDS).map_or(String::new(), |n| format!("did you mean {n}? "));
        format!("a status cannot mean \"{text}\": {near}it is one of {}", WORDS.join(", "))
    })
}
