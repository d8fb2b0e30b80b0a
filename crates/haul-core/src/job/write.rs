//! Writes a job as the file a person would have written: in the order of the manual, defaults left
//! out. What is written is read back as the same job.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::units::{format_duration, format_size};
use super::{
    AggregateKind, AggregateSpec, BatchSpec, Column, ColumnType, Concurrency, Delivery, DownloadSpec, FORMAT,
    HeaderMode, IfChanged, IfExists, Job, LimitsSpec, MaxFailed, OnInvalid, OnStatus, PagesSpec, Paging,
    RetrySpec, ServiceSpec, StatusSet, StepKind, StepSpec, StoreKind, StoreSpec, WHERE,
};
use crate::secret::{SecretFrom, SecretSpec};

/// The job as a file. Its name is not in it: that is the file's.
pub fn write(job: &Job) -> String {
    document(job, None)
}

/// The job as a file that keeps its name wherever it is put: what a run stores.
pub fn write_frozen(job: &Job) -> String {
    document(job, Some(&job.verb))
}

fn document(job: &Job, name: Option<&str>) -> String {
    let mut top = Section::default();
    top.line("haul", FORMAT.to_string());
    if let Some(name) = name {
        top.line("name", quoted(name));
    }
    if job.delivery == Delivery::AtMostOnce {
        top.line("delivery", quoted("at-most-once"));
    }
    let mut out = String::new();
    top.write_to("", &mut out);
    let (filter, steps) = split_where(&job.steps);
    source(job, filter).write_to("[source]", &mut out);
    for (name, spec) in services_in_order(job) {
        service(spec).write_to(&format!("[service.{}]", key(name)), &mut out);
    }
    for (name, spec) in &job.stores {
        store(spec).write_to(&format!("[store.{}]", key(name)), &mut out);
    }
    for (name, spec) in &job.secrets {
        secret(spec).write_to(&format!("[secret.{}]", key(name)), &mut out);
    }
    for spec in steps {
        step(spec).write_to("[[step]]", &mut out);
    }
    for spec in &job.aggregates {
        aggregate(spec).write_to(&format!("[aggregate.{}]", key(&spec.name)), &mut out);
    }
    output(job).write_to("[output]", &mut out);
    retry(&job.retry).write_to("[retry]", &mut out);
    limits(&job.limits).write_to("[limits]", &mut out);
    out
}

/// Services in the order in which source and steps use them, then the others by name.
fn services_in_order(job: &Job) -> Vec<(&String, &ServiceSpec)> {
    let used = |name: &str| {
        let step = || job.steps.iter().position(|s| s.service() == Some(name)).map(|at| at + 1);
        let source = (job.source.service() == Some(name)).then_some(0);
        source.or_else(step).unwrap_or(usize::MAX)
    };
    let mut services: Vec<_> = job.services.iter().collect();
    services.sort_by_key(|(name, _)| used(name));
    services
}

/// A leading filter named `where` is written as `where` of the source.
fn split_where(steps: &[StepSpec]) -> (Option<&str>, &[StepSpec]) {
    match steps {
        [StepSpec { name, kind: StepKind::Filter { expr }, .. }, rest @ ..] if name == WHERE => {
            (Some(expr), rest)
        }
        steps => (None, steps),
    }
}

fn source(job: &Job, filter: Option<&str>) -> Section {
    let source = &job.source;
    let mut s = Section::default();
    s.line(source.as_str(), quoted(&source.location));
    if let Some(spec) = &source.pages {
        pages(spec, &mut s);
    }
    match source.header {
        HeaderMode::Auto => {}
        HeaderMode::Yes => s.line("header", quoted("yes")),
        HeaderMode::No => s.line("header", quoted("no")),
    }
    if !source.columns.is_empty() {
        s.line("columns", list(source.columns.iter().map(column)));
    }
    s.text("each", source.each.as_deref());
    s.text("key", source.key.as_deref());
    s.text("where", filter);
    if source.on_invalid == OnInvalid::Stop {
        s.line("on_invalid", quoted("stop"));
    }
    if let Some(if_changed) = source.if_changed {
        let word = match if_changed {
            IfChanged::SkipDone => "skip-done",
            IfChanged::All => "all",
            IfChanged::Stop => "stop",
        };
        s.line("if_changed", quoted(word));
    }
    if let Some(limit) = source.limit {
        s.line("limit", limit.to_string());
    }
    s
}

fn pages(spec: &PagesSpec, s: &mut Section) {
    s.line("items", quoted(&spec.items));
    let style = spec.paging.as_str();
    match &spec.paging {
        Paging::Offset { param, next } => {
            s.line(style, quoted(param));
            s.text("next", next.as_deref());
        }
        Paging::Page { param } => s.line(style, quoted(param)),
        Paging::Cursor { param, next } => {
            s.line(style, quoted(param));
            s.line("next", quoted(next));
        }
        Paging::NextUrl { path } => s.line(style, quoted(path)),
        Paging::Link => s.line(style, quoted("next")),
    }
    if let Some(size) = &spec.size {
        s.line("page_size", format!("{{ {} = {} }}", key(&size.param), size.count));
    }
    if let Some(range) = spec.range {
        s.line("range", quoted(&range.to_string()));
    }
    s.text("id", spec.id.as_deref());
}

fn aggregate(spec: &AggregateSpec) -> Section {
    let mut s = Section::default();
    let number = |s: &mut Section, n: u64| {
        if n != AggregateSpec::N {
            s.line("n", n.to_string());
        }
    };
    match &spec.kind {
        AggregateKind::Count { path, n } => {
            s.line("count", quoted(path));
            number(&mut s, *n);
        }
        AggregateKind::Top { path, id, n, lowest } => {
            s.line("top", quoted(path));
            s.text("id", Some(id.as_str()).filter(|id| *id != AggregateSpec::ID));
            number(&mut s, *n);
            if *lowest {
                s.line("order", quoted("lowest"));
            }
        }
        AggregateKind::Stats { path } => s.line("stats", quoted(path)),
    }
    s
}

fn column(column: &Column) -> String {
    // A name with a colon needs its type, or its end would be taken for one.
    if column.kind == ColumnType::Str && !column.name.contains(':') {
        quoted(&column.name)
    } else {
        quoted(&format!("{}:{}", column.name, column.kind.as_str()))
    }
}

fn service(spec: &ServiceSpec) -> Section {
    let mut s = Section::default();
    match spec.replicas.as_slice() {
        [] => s.line("url", quoted(&spec.url)),
        more => s.line("url", list(std::iter::once(&spec.url).chain(more).map(|url| quoted(url)))),
    }
    if let Some(rate) = spec.rate {
        s.line("rate", quoted(&rate.to_string()));
    }
    if let Some(many) = spec.concurrency {
        s.line("concurrency", concurrency(many));
    }
    match spec.auth.as_slice() {
        [] => {}
        [one] => s.line("auth", quoted(one)),
        many => s.line("auth", list(many.iter().map(|n| quoted(n)))),
    }
    s.headers(&spec.headers);
    s
}

fn store(spec: &StoreSpec) -> Section {
    let mut s = Section::default();
    s.line("type", quoted(spec.kind.as_str()));
    s.text("endpoint", spec.endpoint.as_deref());
    s.text(if spec.kind == StoreKind::Webdav { "user" } else { "account" }, spec.account.as_deref());
    s.text("region", spec.region.as_deref());
    s.text("profile", spec.profile.as_deref());
    if let Some(path_style) = spec.path_style {
        s.line("path_style", path_style.to_string());
    }
    if let Some(from) = &spec.secret {
        let (key, value) = secret_from(from);
        s.line(key, quoted(value));
    }
    s
}

fn secret_from(from: &SecretFrom) -> (&'static str, &str) {
    match from {
        SecretFrom::Env(value) => ("env", value),
        SecretFrom::File(value) => ("file", value),
        SecretFrom::Command(value) => ("command", value),
    }
}

fn secret(spec: &SecretSpec) -> Section {
    let mut s = Section::default();
    s.line("header", quoted(&spec.header));
    let (key, value) = secret_from(&spec.from);
    s.line(key, quoted(value));
    if spec.format != "{}" {
        s.line("format", quoted(&spec.format));
    }
    s
}

fn step(spec: &StepSpec) -> Section {
    let mut s = Section::default();
    s.line("name", quoted(&spec.name));
    match &spec.kind {
        StepKind::Get { url, take, cache } => {
            s.line("get", quoted(url));
            s.text("take", take.as_deref());
            s.duration("cache", *cache);
        }
        StepKind::Post { url, body, put, batch, gzip } => {
            s.line(if *put { "put" } else { "post" }, quoted(url));
            s.text("body", body.as_deref());
            if let Some(spec) = batch {
                s.line("batch", self::batch(spec));
                s.text("outcomes", spec.outcomes.as_deref());
            }
            if *gzip {
                s.line("encode", quoted("gzip"));
            }
        }
        StepKind::Download(spec) => download(spec, &mut s),
        StepKind::Copy { to, types } => {
            s.line("copy", quoted(to));
            match types.as_slice() {
                [] => {}
                [one] => s.line("type", quoted(one)),
                many => s.line("type", list(many.iter().map(|t| quoted(t)))),
            }
        }
        StepKind::Map { expr } => s.line("map", quoted(expr)),
        StepKind::Filter { expr } => s.line("filter", quoted(expr)),
    }
    if !spec.on.is_empty() {
        let rules = spec
            .on
            .iter()
            .map(|(set, action): &(StatusSet, OnStatus)| format!("{set} = {}", quoted(action.as_str())));
        s.line("on", format!("{{ {} }}", rules.collect::<Vec<_>>().join(", ")));
    }
    match spec.expect.as_slice() {
        [] => {}
        [one] => s.line("expect", status(*one)),
        many => s.line("expect", list(many.iter().map(|set| status(*set)))),
    }
    s.headers(&spec.headers);
    s.duration("timeout", spec.timeout);
    s
}

/// An inline table; `outcomes` stands beside it.
fn batch(spec: &BatchSpec) -> String {
    let usual = BatchSpec::default();
    let mut members = vec![format!("max = {}", spec.max)];
    members.extend(spec.by.iter().map(|by| format!("by = {}", quoted(by))));
    if spec.linger != usual.linger {
        members.push(format!("linger = {}", quoted(&format_duration(spec.linger))));
    }
    if spec.format != usual.format {
        members.push(format!("format = {}", quoted(spec.format.as_str())));
    }
    format!("{{ {} }}", members.join(", "))
}

fn download(spec: &DownloadSpec, s: &mut Section) {
    let texts = |texts: Vec<String>| match texts.as_slice() {
        [one] => quoted(one),
        many => list(many.iter().map(|t| quoted(t))),
    };
    s.line("download", texts(spec.files_text()));
    let checksums = spec.checksums_text();
    if !checksums.is_empty() {
        s.line("checksum", texts(checksums));
    }
    s.text("as", spec.name.as_deref());
    s.line("to", quoted(&spec.to));
    if spec.overwrite {
        s.line("overwrite", "true".to_owned());
    }
}

fn status(set: StatusSet) -> String {
    match set {
        StatusSet::One(status) => status.to_string(),
        class => quoted(&class.to_string()),
    }
}

fn output(job: &Job) -> Section {
    let mut s = Section::default();
    if let Some(output) = &job.output {
        s.line(output.format.as_str(), quoted(&output.path));
        s.text("row", output.row.as_deref());
        match output.exists {
            IfExists::Refuse => {}
            IfExists::Overwrite => s.line("if_exists", quoted("overwrite")),
            IfExists::Append => s.line("if_exists", quoted("append")),
        }
    }
    s
}

fn retry(spec: &RetrySpec) -> Section {
    let usual = RetrySpec::default();
    let mut s = Section::default();
    if spec.attempts != usual.attempts {
        s.line("attempts", spec.attempts.to_string());
    }
    s.duration("within", spec.within.filter(|_| spec.within != usual.within));
    s.duration("give_up_after", spec.give_up_after.filter(|_| spec.give_up_after != usual.give_up_after));
    match spec.max_failed {
        Some(MaxFailed::Items(n)) => s.line("max_failed", n.to_string()),
        Some(share) => s.line("max_failed", quoted(&share.to_string())),
        None => {}
    }
    s
}

fn limits(spec: &LimitsSpec) -> Section {
    let usual = LimitsSpec::default();
    let mut s = Section::default();
    if spec.concurrency != usual.concurrency {
        s.line("concurrency", concurrency(spec.concurrency));
    }
    if let Some(rate) = spec.rate {
        s.line("rate", quoted(&rate.to_string()));
    }
    match spec.bandwidth.as_slice() {
        [] => {}
        [one] => s.line("bandwidth", quoted(&one.to_string())),
        many => s.line("bandwidth", list(many.iter().map(|b| quoted(&b.to_string())))),
    }
    if spec.memory != usual.memory {
        s.line("memory", quoted(&format_size(spec.memory)));
    }
    let other = |now: Duration, usual: Duration| (now != usual).then_some(now);
    s.duration("timeout", other(spec.timeout, usual.timeout));
    s.duration("connect_timeout", other(spec.connect_timeout, usual.connect_timeout));
    s.duration("read_timeout", other(spec.read_timeout, usual.read_timeout));
    if spec.min_throughput != usual.min_throughput {
        s.line("min_throughput", quoted(&format_size(spec.min_throughput)));
    }
    if spec.keep_free != usual.keep_free {
        s.line("keep_free", quoted(&format_size(spec.keep_free)));
    }
    s.text("priority", spec.priority.as_deref());
    s.text("goal", spec.goal.map(|goal| goal.to_string()).as_deref());
    s
}

fn concurrency(many: Concurrency) -> String {
    match many {
        Concurrency::Fixed(n) => n.to_string(),
        other => quoted(&other.to_string()),
    }
}

/// Lines of one table, written with their equal signs in one column.
#[derive(Default)]
struct Section(Vec<(&'static str, String)>);

impl Section {
    fn line(&mut self, key: &'static str, value: String) {
        self.0.push((key, value));
    }

    fn text(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(key, quoted(value));
        }
    }

    fn duration(&mut self, key: &'static str, value: Option<Duration>) {
        if let Some(value) = value {
            self.line(key, quoted(&format_duration(value)));
        }
    }

    fn headers(&mut self, headers: &BTreeMap<String, String>) {
        if !headers.is_empty() {
            let pairs = headers.iter().map(|(name, value)| format!("{} = {}", key(name), quoted(value)));
            self.line("headers", format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", ")));
        }
    }

    fn write_to(self, title: &str, out: &mut String) {
        if self.0.is_empty() {
            return;
        }
        if !title.is_empty() {
            out.push('\n');
            out.push_str(title);
            out.push('\n');
        }
        let width = self.0.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        for (key, value) in self.0 {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{key:width$} = {value}");
        }
    }
}

fn list(members: impl Iterator<Item = String>) -> String {
    format!("[{}]", members.collect::<Vec<_>>().join(", "))
}

/// A key as TOML writes it: bare where it can be.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { quoted(name) }
}

/// A basic string of one line (TOML 1.0, "String").
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
