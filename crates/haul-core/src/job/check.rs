//! What only the whole job can tell: that names exist and are unique, that effects come last, that
//! no secret stands in the open. The same checks hold for job files and for command lines.

mod stores;

use std::collections::BTreeSet;

use super::diagnose::{Diagnostic, Places, nearest};
use super::each::parse_each;
use super::{DownloadSpec, HeaderMode, Job, PagesSpec, Paging, RowFormat, ServiceSpec, StepKind, StepSpec};
use crate::limits;
use crate::secret::SecretFrom;

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

fn source(job: &Job, found: &mut Found) {
    let source = &job.source;
    let at = format!("source.{}", source.as_str());
    match &source.pages {
        Some(spec) => pages(job, spec, &at, found),
        None => location(&source.location, &at, found),
    }
    let rows = match source.format {
        RowFormat::Csv | RowFormat::Tsv => None,
        _ if source.pages.is_some() => Some("an API has"),
        RowFormat::Jsonl => Some("JSON Lines have"),
        RowFormat::Json => Some("a JSON document has"),
        RowFormat::Urls => Some("a list of URLs has"),
        RowFormat::Keys => Some("keys of a store have"),
    };
    if let Some(rows) = rows {
        if !source.columns.is_empty() {
            let hint = "leave columns out, or read the source as csv or tsv";
            found.add("source.columns", format!("{rows} no columns"), hint);
        }
        if source.header != HeaderMode::Auto {
            found.add("source.header", format!("{rows} no header"), "leave header out");
        }
    }
    if let Some(each) = &source.each {
        if source.format != RowFormat::Json {
            let hint = "leave each out, or read the source as json";
            found.add("source.each", "only a JSON document is looked into", hint);
        } else if let Err(message) = parse_each(each) {
            found.add("source.each", message, "write it like each = \".items[]\"");
        }
    }
    let mut names = BTreeSet::new();
    for (i, column) in source.columns.iter().enumerate() {
        if !names.insert(&column.name) {
            found.add(
                format!("source.columns[{i}]"),
                format!("two columns are named \"{}\"", column.name),
                "",
            );
        }
    }
    if let Some(key) = &source.key {
        template(key, "source.key", found);
    }
}

/// An API that answers in pages.
fn pages(job: &Job, spec: &PagesSpec, at: &str, found: &mut Found) {
    let url = &job.source.location;
    let rest = match job.source.service() {
        Some(name) => url.get(name.len() + 2..).unwrap_or_default(),
        None => url,
    };
    if rest.contains(['{', '}']) {
        let hint = "write % as %25, { as %7B and } as %7D where they are meant";
        found.add(at, "the URL of a page has no fields: there is no record yet", hint);
    } else {
        starts_at_a_service(job, url, "a source's URL", at, found);
    }
    if let Some(range) = spec.range {
        if range.lo >= range.hi {
            found.add("source.range", format!("the range {range} is empty"), "write A..B with A below B");
        }
        if !matches!(spec.paging, Paging::Offset { .. }) {
            found.add(
                "source.range",
                format!("a range of ids goes with offset, not with {}", spec.paging.as_str()),
                "leave the range out, or page by offset = PARAM",
            );
        }
        if spec.id.is_none() {
            found.add("source.range", "a range needs id: where a record has its id", "add id = \".id\"");
        }
    }
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

/// A file, `-`, or an http(s) URL.
fn location(location: &str, at: &str, found: &mut Found) {
    let Some((scheme, rest)) = location.split_once("://") else { return };
    if !matches!(scheme, "http" | "https") {
        found.add(
            at,
            format!("nothing here reads {scheme}://"),
            "give a file, - for standard input, or an http(s) URL",
        );
    } else {
        user_info(rest, at, found);
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

fn services(job: &Job, found: &mut Found) {
    for (name, service) in &job.services {
        let at = format!("service.{name}");
        if !is_name(name) {
            found.add(&at, format!("\"{name}\" cannot name a service"), NAME_HINT);
        }
        replicas(service, &format!("{at}.url"), found);
        for secret in &service.auth {
            if !job.secrets.contains_key(secret) {
                let hint = match nearest(secret, job.secrets.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("add [secret.{secret}] with header and env"),
                };
                found.add(format!("{at}.auth"), format!("there is no secret \"{secret}\""), hint);
            }
        }
        headers(&service.headers, &at, found);
    }
}

fn replicas(service: &ServiceSpec, at: &str, found: &mut Found) {
    if service.replicas.is_empty() {
        return base_url(&service.url, at, found);
    }
    let mut hosts = BTreeSet::new();
    for (i, url) in std::iter::once(&service.url).chain(&service.replicas).enumerate() {
        let at = format!("{at}[{i}]");
        base_url(url, &at, found);
        let host = url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or_default();
        if !hosts.insert((url.starts_with("https:"), host.to_ascii_lowercase())) {
            let hint = "a service has one URL for each host that answers";
            found.add(at, format!("{host} is there already"), hint);
        }
    }
}

fn base_url(url: &str, at: &str, found: &mut Found) {
    if url.is_empty() {
        return;
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest {
        None => found.add(at, "a service's URL starts with http:// or https://", ""),
        Some(rest) if rest.split('/').next().is_none_or(str::is_empty) => {
            found.add(at, "the URL has no host", "");
        }
        Some(rest) => {
            user_info(rest, at, found);
            if url.contains(['{', '}', '?', '#', ' ']) {
                found.add(
                    at,
                    "a service's URL is where its paths start: scheme, host, port and perhaps a path",
                    "put {fields} and ?query into the URL of the step",
                );
            }
        }
    }
}

fn secrets(job: &Job, found: &mut Found) {
    for (name, secret) in &job.secrets {
        let at = format!("secret.{name}");
        if !is_name(name) {
            found.add(&at, format!("\"{name}\" cannot name a secret"), NAME_HINT);
        }
        if !secret.header.is_empty() && !is_header_name(&secret.header) {
            found.add(format!("{at}.header"), format!("\"{}\" cannot name a header", secret.header), "");
        }
        if secret.format.matches("{}").count() != 1 {
            found.add(
                format!("{at}.format"),
                "the format must have {} where the value goes, once",
                "write it like format = \"Bearer {}\"",
            );
        }
        if let SecretFrom::Env(variable) = &secret.from
            && variable.contains(['=', '\0', ' '])
        {
            found.secret(
                format!("{at}.env"),
                "this cannot name an environment variable",
                "give the name of the variable, never the value",
            );
        }
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

/// Header names that carry credentials.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// Headers that only Haul can set rightly.
const OWN_HEADERS: [&str; 6] =
    ["idempotency-key", "host", "content-length", "transfer-encoding", "connection", "accept-encoding"];

/// True for headers whose value must be a reference to a secret.
pub fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.iter().any(|h| name.eq_ignore_ascii_case(h))
}

fn headers(headers: &std::collections::BTreeMap<String, String>, at: &str, found: &mut Found) {
    for (name, value) in headers {
        let at = format!("{at}.headers.{name}");
        if !is_header_name(name) {
            found.add(&at, format!("\"{name}\" cannot name a header"), "");
        } else if is_secret_header(name) {
            found.secret(
                &at,
                format!("the value of {name} must not stand in the open"),
                format!("refer to it: [secret.NAME] header = \"{name}\", env = \"VARIABLE\", and auth = \"NAME\" in the service"),
            );
        } else if OWN_HEADERS.iter().any(|h| name.eq_ignore_ascii_case(h)) {
            found.add(&at, format!("{name} is set by Haul itself"), "leave it out");
        } else if !value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
            found.add(&at, format!("the value of {name} has characters that headers cannot carry"), "");
        }
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

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
