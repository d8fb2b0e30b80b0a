//! Reads a job file, with a profile and arguments laid over it.
//!
//! Every problem is reported at once, each with the place it was said at. Reading goes in three
//! passes: TOML to a tree that knows places, the tree to a [`Job`] table by table, and the checks
//! that need the whole job (see [`super::check`]).

mod download;
mod pages;
mod policy;
mod reader;
mod service;
mod source;
mod step;
mod tree;

pub use source::parse_column;
pub use step::{parse_action, parse_status};

use std::collections::BTreeMap;

use super::check::check;
use super::diagnose::{Diagnostic, Place, Places, nearest, tidy};
use super::{Delivery, FORMAT, Job, RowFormat, SourceSpec, StoreSpec};
use reader::Reader;
use tree::{Node, Table, Value};

/// Syntax errors reported at once: each further one is likely to follow from these.
const SYNTAX_SHOWN: usize = 3;

/// What is read.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The text of the job file.
    pub text: &'a str,
    /// What to call the job when the file does not say: the stem of its name.
    pub name: &'a str,
    /// The profile to lay over it.
    pub profile: Option<&'a str>,
    /// `path=value` arguments to lay over both.
    pub set: &'a [String],
}

/// A job and where each of its values was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What to do.
    pub job: Job,
    /// Where it was said.
    pub places: Places,
}

/// Reads a job file.
///
/// # Errors
/// All problems, in the order of the file.
pub fn parse(given: &Given<'_>) -> Result<Parsed, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let mut table = tree::read(given.text, &mut diagnostics);
    if diagnostics.is_empty() {
        check_format(&table, &mut diagnostics);
    }
    if !diagnostics.is_empty() {
        // What follows a syntax error, or belongs to another format, would only be noise.
        tidy(&mut diagnostics);
        diagnostics.truncate(SYNTAX_SHOWN);
        return Err(diagnostics);
    }
    let profiles = take_profiles(&mut table, &mut diagnostics);
    check_other_profiles(&table, &profiles, given, &mut diagnostics);
    if let Some(name) = given.profile {
        lay_profile(&mut table, &profiles, name, &mut diagnostics);
    }
    for argument in given.set {
        tree::set(&mut table, argument, &mut diagnostics);
    }
    let mut places = Places::default();
    table.note_places("", &mut places);
    let job = read_job(&table, given.name, &places, &mut diagnostics);
    match job {
        Some(job) if diagnostics.is_empty() => Ok(Parsed { job, places }),
        _ => {
            tidy(&mut diagnostics);
            Err(diagnostics)
        }
    }
}

/// Reads a file of stores: a table each, by name.
///
/// # Errors
/// All problems, in the order of the file.
pub fn parse_stores(text: &str) -> Result<BTreeMap<String, StoreSpec>, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let table = tree::read(text, &mut diagnostics);
    let stores = service::stores_of(&table, "", &mut diagnostics);
    if diagnostics.is_empty() {
        return Ok(stores);
    }
    tidy(&mut diagnostics);
    Err(diagnostics)
}

/// `haul = 1` comes first: a newer file must not be taken for a broken one.
fn check_format(table: &Table, diagnostics: &mut Vec<Diagnostic>) {
    let Some(entry) = table.get("haul") else {
        diagnostics.push(
            Diagnostic::new("the file does not say which format it has", Place::File(0..0))
                .with_hint(format!("write haul = {FORMAT} in its first line")),
        );
        return;
    };
    let place = entry.node.place.clone();
    match entry.node.value {
        Value::Int(n) if n == i64::from(FORMAT) => {}
        Value::Int(n) if n > i64::from(FORMAT) => diagnostics.push(
            Diagnostic::new(
                format!("this is a job file of format {n}; this haul reads up to {FORMAT}"),
                place,
            )
            .with_hint("use a newer haul"),
        ),
        _ => diagnostics.push(
            Diagnostic::new("haul must be the number of the format", place)
                .with_hint(format!("write haul = {FORMAT}")),
        ),
    }
}

fn take_profiles(table: &mut Table, diagnostics: &mut Vec<Diagnostic>) -> Table {
    match table.remove("profile").map(|e| e.node) {
        None => Table::default(),
        Some(Node { value: Value::Table(profiles), .. }) => profiles,
        Some(node) => {
            diagnostics.push(
                Diagnostic::new(format!("profile must be a table, not {}", node.value.kind()), node.place)
                    .with_hint("write [profile.NAME]"),
            );
            Table::default()
        }
    }
}

fn lay_profile(table: &mut Table, profiles: &Table, name: &str, diagnostics: &mut Vec<Diagnostic>) {
    match profiles.get(name).map(|e| &e.node) {
        Some(Node { value: Value::Table(over), .. }) => table.merge(over.clone()),
        Some(node) => diagnostics.push(Diagnostic::new(
            format!("the profile \"{name}\" must be a table, not {}", node.value.kind()),
            node.place.clone(),
        )),
        None => {
            let names: Vec<&str> = profiles.entries.iter().map(|e| e.key.as_str()).collect();
            let hint = match (nearest(name, names.iter().copied()), names.is_empty()) {
                (Some(near), _) => format!("did you mean \"{near}\"?"),
                (None, false) => format!("the file has: {}", names.join(", ")),
                (None, true) => format!("the file has no profiles; write [profile.{name}]"),
            };
            let said = Place::Argument(format!("--profile {name}"));
            diagnostics
                .push(Diagnostic::new(format!("no profile is named \"{name}\""), said).with_hint(hint));
        }
    }
}

/// A profile that is not used now must not rot: it is laid over the file as well, and what is wrong
/// inside it is reported.
fn check_other_profiles(table: &Table, profiles: &Table, given: &Given<'_>, out: &mut Vec<Diagnostic>) {
    for entry in profiles.entries.iter().filter(|e| Some(e.key.as_str()) != given.profile) {
        let mut found = Vec::new();
        let mut laid = table.clone();
        lay_profile(&mut laid, profiles, &entry.key, &mut found);
        let mut places = Places::default();
        laid.note_places("", &mut places);
        read_job(&laid, given.name, &places, &mut found);
        out.extend(found.into_iter().filter(|d| entry.node.holds(&d.place)));
    }
}

/// Reads the whole tree; `None` when the source or the version cannot be read at all.
fn read_job(table: &Table, name: &str, places: &Places, out: &mut Vec<Diagnostic>) -> Option<Job> {
    let mut top = Reader::new(table, "", Place::Unsaid);
    top.node("haul");
    let said_name = top.take("name", out, reader::text);
    let source =
        match section(&mut top, "source", out) {
            Some((table, place)) => source::read(table, place, out),
            None if top.node("source").is_none() => {
                out.push(Diagnostic::new("the job has no source", Place::File(0..0)).with_hint(
                    "add [source] with csv, tsv, jsonl, json or urls = \"FILE\", or get = \"URL\"",
                ));
                None
            }
            None => None,
        };
    let services = service::read_services(&mut top, out);
    let stores = service::read_stores(&mut top, out);
    let secrets = service::read_secrets(&mut top, out);
    let mut steps = step::read_all(&mut top, out);
    let aggregates =
        section(&mut top, "aggregate", out).map(|(t, _)| pages::aggregates(t, out)).unwrap_or_default();
    let output = section(&mut top, "output", out).and_then(|(t, p)| policy::output(t, p, out));
    let retry = section(&mut top, "retry", out).map(|(t, p)| policy::retry(t, p, out)).unwrap_or_default();
    let limits = section(&mut top, "limits", out).map(|(t, p)| policy::limits(t, p, out)).unwrap_or_default();
    let words = [("at-least-once", Delivery::AtLeastOnce), ("at-most-once", Delivery::AtMostOnce)];
    let delivery = top.take("delivery", out, |n| reader::word(n, &words)).unwrap_or_default();
    top.node("profile");
    top.finish(out);

    let whole = source.is_some();
    let (source, filter) = source.unwrap_or_else(|| (placeholder(), None));
    if let Some(expr) = filter {
        steps.insert(0, super::where_step(expr));
    }
    let verb = said_name.unwrap_or_else(|| name.to_owned());
    let job =
        Job { verb, source, services, stores, secrets, steps, aggregates, output, retry, limits, delivery };
    let clean = out.is_empty();
    for problem in check(&job) {
        // A table that could not be read must not be reported a second time as missing.
        if clean || (!problem.path.is_empty() && (whole || !problem.path.starts_with("source"))) {
            let diagnostic = problem.at(places);
            if clean || !out.iter().any(|d| d.place == diagnostic.place) {
                out.push(diagnostic);
            }
        }
    }
    whole.then_some(job)
}

/// Stands in for a source that could not be read, so that the other checks can be made.
fn placeholder() -> SourceSpec {
    SourceSpec::new(RowFormat::Jsonl, "-")
}

/// A sub-table by key; anything else there is a diagnostic.
fn section<'t>(
    top: &mut Reader<'t>,
    key: &'static str,
    out: &mut Vec<Diagnostic>,
) -> Option<(&'t Table, Place)> {
    let node = top.node(key)?;
    match &node.value {
        Value::Table(table) => Some((table, node.place.clone())),
        value => {
            out.push(
                Diagnostic::new(format!("{key} must be a table, not {}", value.kind()), node.place.clone())
                    .with_hint(format!("write [{key}]")),
            );
            None
        }
    }
}
