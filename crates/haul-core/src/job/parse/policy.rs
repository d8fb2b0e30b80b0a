//! `[output]`, `[retry]` and `[limits]`.

use super::reader::{self, Bad, Reader};
use super::tree::{Node, Table, Value};
use super::{service, source};
use crate::job::diagnose::{Diagnostic, Place};
use crate::job::units::{parse_duration, parse_size};
use crate::job::{Goal, IfExists, LimitsSpec, MaxFailed, OutputSpec, RetrySpec, RowFormat};
use crate::pace::Bandwidth;
use std::time::Duration;

pub(super) fn output(table: &Table, place: Place, out: &mut Vec<Diagnostic>) -> Option<OutputSpec> {
    let mut r = Reader::new(table, "[output]", place);
    let location = source::location(&mut r, &[RowFormat::Jsonl, RowFormat::Csv], out);
    let row = r.take("row", out, reader::text);
    let exists =
        [("refuse", IfExists::Refuse), ("overwrite", IfExists::Overwrite), ("append", IfExists::Append)];
    let exists = r.take("if_exists", out, |n| reader::word(n, &exists)).unwrap_or_default();
    r.finish(out);
    let (format, path) = location?;
    Some(OutputSpec { format, path, row, exists })
}

pub(super) fn retry(table: &Table, place: Place, out: &mut Vec<Diagnostic>) -> RetrySpec {
    let mut r = Reader::new(table, "[retry]", place);
    let usual = RetrySpec::default();
    let attempts = r.take("attempts", out, |n| reader::whole(n, 1, u64::from(u32::MAX)));
    let within = r.take("within", out, duration).or(usual.within);
    let give_up_after = r.take("give_up_after", out, duration).or(usual.give_up_after);
    let max_failed = r.take("max_failed", out, max_failed);
    r.finish(out);
    let attempts = attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or(usual.attempts);
    RetrySpec { attempts, within, give_up_after, max_failed }
}

pub(super) fn limits(table: &Table, place: Place, out: &mut Vec<Diagnostic>) -> LimitsSpec {
    let mut r = Reader::new(table, "[limits]", place);
    let usual = LimitsSpec::default();
    let limits = LimitsSpec {
        concurrency: r.take("concurrency", out, service::concurrency).unwrap_or(usual.concurrency),
        rate: r.take("rate", out, service::rate).or(usual.rate),
        bandwidth: r.take("bandwidth", out, bandwidth).unwrap_or_default(),
        memory: r.take("memory", out, size).unwrap_or(usual.memory),
        timeout: r.take("timeout", out, duration).unwrap_or(usual.timeout),
        connect_timeout: r.take("connect_timeout", out, duration).unwrap_or(usual.connect_timeout),
        read_timeout: r.take("read_timeout", out, duration).unwrap_or(usual.read_timeout),
        min_throughput: r.take("min_throughput", out, size).unwrap_or(usual.min_throughput),
        keep_free: r.take("keep_free", out, size).unwrap_or(usual.keep_free),
        priority: r.take("priority", out, reader::text),
        goal: r.take("goal", out, |n| reader::parsed(n, "text like \"p95 < 5s\"", Goal::parse)),
    };
    r.finish(out);
    limits
}

/// A number, or text like `"5%"`.
fn max_failed(node: &Node) -> Result<MaxFailed, Bad> {
    match node.value {
        Value::Int(n) => MaxFailed::parse(&n.to_string()).map_err(Bad::from),
        _ => reader::parsed(node, "a number, or text like \"5%\"", MaxFailed::parse),
    }
}

fn duration(node: &Node) -> Result<Duration, Bad> {
    if let Value::Int(n) = node.value {
        return Err(Bad::hinted("{key} has no unit".to_owned(), format!("write it like \"{n}s\"")));
    }
    reader::parsed(node, "text like \"10m\"", parse_duration)
}

/// One text or a list of them.
fn bandwidth(node: &Node) -> Result<Vec<Bandwidth>, Bad> {
    let one =
        |node: &Node| reader::parsed(node, "text like \"20M\" or \"08:00-19:00=20M\"", Bandwidth::parse);
    match &node.value {
        Value::Array(members) => members.iter().map(|m| one(m).map_err(|bad| bad.in_part(m))).collect(),
        _ => one(node).map(|bound| vec![bound]),
    }
}

fn size(node: &Node) -> Result<u64, Bad> {
    match node.value {
        Value::Int(n) => parse_size(&n.to_string()).map_err(Bad::from),
        _ => reader::parsed(node, "text like \"12MiB\"", parse_size),
    }
}
