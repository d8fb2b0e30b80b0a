//! Where items come from: rows, documents, lists, pages.

use std::collections::BTreeSet;

use super::{Found, starts_at_a_service, template, user_info};
use crate::job::each::parse_each;
use crate::job::{HeaderMode, Job, PagesSpec, Paging, RowFormat};

pub(super) fn source(job: &Job, found: &mut Found) {
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
