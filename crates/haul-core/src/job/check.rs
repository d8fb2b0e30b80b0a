//! What only the whole job can tell: that names exist and are unique, that effects come last, that
//! no secret stands in the open. The same checks hold for job files and for command lines.

mod services;
mod source;
mod stores;

use std::collections::BTreeSet;

use super::diagnose::{Diagnostic, Places, nearest};
use super::{DownloadSpec, Job, RowFormat, StepKind, StepSpec};
use crate::limits;
pub use services::is_secret_header;
use services::{headers, secrets, services};
use source::source;

/// A problem of a job, at a dotted path; empty where it is the job as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `step.video.get`, `service.users.url`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// True when the text at the place holds a secret.
    pub secret: bool,
}

impl Problem {
    /// As a diagnostic that points at where the value was said.
    pub fn at(self, places: &Places) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(self.message, places.find(&self.path));
        diagnostic.hint = self.hint;
        if self.secret { diagnostic.hiding_source() } else { diagnostic }
    }
}

/// Collects problems.
#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into()).filter(|h: &String| !h.is_empty());
        self.0.push(Problem { path: path.into(), message: message.into(), hint, secret: false });
    }

    fn secret(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.add(path, message, hint);
        if let Some(last) = self.0.last_mut() {
            last.secret = true;
        }
    }
}

/// All problems of a job that can be seen without doing any of it.
pub fn check(job: &Job) -> Vec<Problem> {
    let mut found = Found::default();
    source(job, &mut found);
    services(job, &mut found);
    stores::stores(job, &mut found);
    secrets(job, &mut found);
    steps(job, &mut found);
    aggregates(job, &mut found);
    output(job, &mut found);
    if job.limits.memory < limits::MEMORY_LEAST {
        let least = super::units::format_size(limits::MEMORY_LEAST);
        found.add("limits.memory", format!("memory must be at least {least}"), "");
    }
    found.0
}

fn aggregates(job: &Job, found: &mut Found) {
    let mut names = BTreeSet::new();
    for aggregate in &job.aggregates {
        let at = format!("aggregate.{}", aggregate.name);
        if !is_name(&aggregate.name) {
            found.add(&at, format!("\"{}\" cannot name an aggregate", aggregate.name), NAME_HINT);
        }
        if !names.insert(&aggregate.name) {
            found.add(&at, format!("two aggregates are named \"{}\"", aggregate.name), "");
        }
    }
}

fn user_info(after_scheme: &str, at: &str, found: &mut Found) {
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        found.secret(
            at,
            "a URL must not hold a user name or a password",
            "send it in a header that refers to a secret: header = \"Authorization\", env = \"VARIABLE\"",
        );
    }
}

fn steps(job: &Job, found: &mut Found) {
    if job.steps.is_empty() && job.output.is_none() && job.aggregates.is_empty() {
        let hint = if job.source.pages.is_some() {
            "add an [aggregate.NAME], a [[step]], or an [output]"
        } else {
            "add a [[step]], or an [output]"
        };
        found.add("", "the job does nothing with its items", hint);
    }
    let mut names = BTreeSet::new();
    for (i, step) in job.steps.iter().enumerate() {
        let at = format!("step.{}", step.name);
        if !is_name(&step.name) {
            found.add(format!("step[{i}].name"), format!("\"{}\" cannot name a step", step.name), NAME_HINT);
        }
        if !names.insert(&step.name) {
            found.add(format!("step[{i}].name"), format!("two steps are named \"{}\"", step.name), "");
        }
        if let StepKind::Post { put, .. } = step.kind
            && i + 1 != job.steps.len()
        {
            let word = if put { "put" } else { "post" };
            found.add(
                format!("{at}.{word}"),
                format!("\"{}\" writes to a service, so it must be the last step", step.name),
                "put the steps after it before it, or into a job of their own",
            );
        }
        step_url(job, step, &at, found);
        if let StepKind::Download(spec) = &step.kind {
            download(job, spec, (&at, i + 1 == job.steps.len()), found);
        }
        step_statuses(step, &at, found);
        step_batch(step, &at, found);
        headers(&step.headers, &at, found);
    }
}

fn step_url(job: &Job, step: &StepSpec, at: &str, found: &mut Found) {
    let (url, word) = match &step.kind {
        StepKind::Get { url, .. } => (url, "get"),
        StepKind::Post { url, put: false, .. } => (url, "post"),
        StepKind::Post { url, put: true, .. } => (url, "put"),
        StepKind::Copy { .. } | StepKind::Download(_) | StepKind::Map { .. } | StepKind::Filter { .. } => {
            return;
        }
    };
    let at = format!("{at}.{word}");
    let before = found.0.len();
    template(url, &at, found);
    if found.0.len() == before {
        starts_at_a_service(job, url, "a step's URL", &at, found);
    }
}

/// `{service}/…` or `http(s)://…`; a step's URL may be one field of the record.
fn starts_at_a_service(job: &Job, url: &str, whose: &str, at: &str, found: &mut Found) {
    if let Some((scheme, rest)) = url.split_once("://").filter(|(s, _)| !s.contains(['{', '/', '?'])) {
        if !matches!(scheme, "http" | "https") {
            found.add(at, format!("nothing here speaks {scheme}://"), "use http:// or https://");
        } else {
            user_info(rest, at, found);
        }
        return;
    }
    let names = || job.services.keys().map(String::as_str);
    match super::service_of(url) {
        Some(name) if job.services.contains_key(name) => {}
        // The whole URL is a field of the record.
        Some(name) if url.len() == name.len() + 2 && job.source.location != url => {}
        Some(name) => {
            let hint = match nearest(name, names()) {
                Some(near) => format!("did you mean {{{near}}}?"),
                None => format!("add [service.{name}] with url = \"https://HOST\""),
            };
            found.add(at, format!("there is no service \"{name}\""), hint);
        }
        None => found.add(
            at,
            format!("{whose} starts with a {{service}} or with http(s)://"),
            match names().next() {
                Some(first) => format!("write it like \"{{{first}}}/path/{{field}}\""),
                None => "write it like \"https://HOST/path/{field}\"".to_owned(),
            },
        ),
    }
}

/// A download is the last step, and its files must not be called the same.
fn download(job: &Job, spec: &DownloadSpec, (at, is_last): (&str, bool), found: &mut Found) {
    if !is_last {
        let message = "a download must be the last step";
        found.add(format!("{at}.download"), message, "put the steps after it before it");
    }
    if spec.to.contains("://") {
        found.add(format!("{at}.to"), "files are saved in a directory", "give a path");
    }
    for (i, file) in spec.files.iter().enumerate() {
        if spec.files[..i].iter().any(|f| f.name == file.name) {
            let message = match &file.name {
                Some(name) => format!("two files are named \"{name}\""),
                None => "two files have no name".to_owned(),
            };
            found.add(format!("{at}.download"), message, "name each of them: mp4=.urls.mp4");
        }
    }
    let Some(name) = &spec.name else { return };
    let at = format!("{at}.as");
    let before = found.0.len();
    template(name, &at, found);
    if found.0.len() > before {
        return;
    }
    let has = |field: &str| name.contains(&format!("{{{field}}}"));
    if !name.contains('{') && job.source.limit != Some(1) {
        let hint = "put what differs into it: {key}, {file}, {ext}, or a field of the record";
        found.add(&at, "all files would be called the same", hint);
    } else if spec.files.len() > 1 && !["name", "ext", "file"].iter().any(|f| has(f)) {
        let hint = "add {name} or {ext}: as = \"{key}.{ext}\"";
        found.add(&at, "the files of a record would all be called the same", hint);
    }
}

fn step_statuses(step: &StepSpec, at: &str, found: &mut Found) {
    use super::OnStatus;
    let requests = matches!(step.kind, StepKind::Get { .. } | StepKind::Post { .. } | StepKind::Download(_));
    if !requests {
        for (said, key) in [(!step.on.is_empty(), "on"), (!step.expect.is_empty(), "expect")] {
            if said {
                found.add(
                    format!("{at}.{key}"),
                    format!("\"{}\" sends no request", step.name),
                    format!("leave {key} out"),
                );
            }
        }
    }
    if matches!(step.kind, StepKind::Post { .. }) && step.on.iter().any(|(_, a)| *a == OnStatus::Null) {
        found.add(
            format!("{at}.on"),
            "null is the result of a lookup; this step brings none",
            "use done, skip, fail or retry",
        );
    }
}

fn step_batch(step: &StepSpec, at: &str, found: &mut Found) {
    let StepKind::Post { batch: Some(batch), .. } = &step.kind else { return };
    if batch.linger > limits::BATCH_LINGER {
        let most = super::units::format_duration(limits::BATCH_LINGER);
        found.add(format!("{at}.batch.linger"), format!("an item waits for company at most {most}"), "");
    }
}

fn output(job: &Job, found: &mut Found) {
    let Some(output) = &job.output else { return };
    let at = format!("output.{}", output.format.as_str());
    if output.format == RowFormat::Tsv {
        found.add(&at, "rows are written as jsonl or csv", "");
    }
    if output.path == "-" && !job.aggregates.is_empty() {
        found.add(&at, "rows and results cannot both go to standard output", "write the rows to a file");
    }
    if output.path.contains("://") {
        found.add(&at, "rows are written to a file", "give a path, or - for standard output");
    }
    if output.path != "-" && output.path == job.source.location {
        found.add(&at, "the job would write over the file it reads", "give another name");
    }
}

/// Braces that match, each around something; `{{` and `}}` are the braces themselves.
fn template(text: &str, at: &str, found: &mut Found) {
    let hint = "write {field} for the value of a field, {{ and }} for the braces themselves";
    let mut rest = text;
    while let Some(i) = rest.find(['{', '}']) {
        let (brace, after) = rest[i..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            rest = after;
            continue;
        }
        let Some(end) = after.find(['{', '}']).filter(|_| brace == "{") else {
            let message = if brace == "{" { "a \"{\" that is never closed" } else { "a stray \"}\"" };
            found.add(at, message, hint);
            return;
        };
        if after[end..].starts_with('{') {
            found.add(at, "a \"{\" that is never closed", hint);
            return;
        }
        if after[..end].trim().is_empty() {
            found.add(at, "{} names no field", hint);
            return;
        }
        rest = &after[end + 1..];
    }
}

const NAME_HINT: &str = "use letters, digits, _ and -, and start with a letter";

/// Names go into paths, expressions and messages as they stand.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
