//! Stores, and the places in them that a job names.

use std::path::Path;

use super::services::base_url;
use super::{Found, NAME_HINT, is_name};
use crate::job::{Job, PlaceText, RowFormat, StepKind, StoreKind, nearest, parse_place};

pub(super) fn stores(job: &Job, found: &mut Found) {
    for (name, store) in &job.stores {
        let at = format!("store.{name}");
        if !is_name(name) {
            found.add(&at, format!("\"{name}\" cannot name a store"), NAME_HINT);
        }
        match &store.endpoint {
            Some(endpoint) => base_url(endpoint, &format!("{at}.endpoint"), found),
            None if store.kind == StoreKind::Webdav => {
                found.add(&at, "it is not said where the store is", "add endpoint = \"https://HOST/PATH\"");
            }
            None if store.kind == StoreKind::Azblob && store.account.is_none() => {
                let hint = "add account = \"NAME\", or endpoint = \"https://HOST\"";
                found.add(&at, "it is not said where the store is", hint);
            }
            None if store.kind == StoreKind::S3 && store.region.is_none() => {
                let hint = "add endpoint = \"https://HOST\", or region = \"eu-central-1\" for AWS";
                found.add(&at, "it is not said where the store is", hint);
            }
            None => {}
        }
    }
    let keys = job.source.format == RowFormat::Keys;
    if keys {
        place(job, &job.source.location, "source.keys", found);
        if job.source.key.is_some() {
            found.add("source.key", "an object is called by its key in the store", "leave key out");
        }
    }
    for (i, step) in job.steps.iter().enumerate() {
        if let StepKind::Download(download) = &step.kind
            && download.directory().is_none()
        {
            place(job, &download.to, &format!("step.{}.to", step.name), found);
        }
        let StepKind::Copy { to, .. } = &step.kind else { continue };
        let at = format!("step.{}.copy", step.name);
        if !keys {
            found.add(
                &at,
                "a copy needs the keys of a store",
                "read them: [source] keys = \"STORE:BUCKET/PREFIX\"",
            );
        }
        if i + 1 != job.steps.len() {
            found.add(&at, format!("\"{}\" writes, so it must be the last step", step.name), "");
        }
        place(job, to, &at, found);
        if let (Ok(from), Ok(to)) = (parse_place(&job.source.location), parse_place(to))
            && keys
            && is_same(job, from, to)
        {
            found.add(&at, "it is the place that is read", "copy to another bucket or prefix");
        }
    }
}

/// Both are one place, whatever its names.
fn is_same(job: &Job, from: PlaceText<'_>, to: PlaceText<'_>) -> bool {
    use PlaceText::{Bucket, Directory};
    match (from, to) {
        (Directory(from), Directory(to)) => Path::new(from) == Path::new(to),
        (Bucket { store: a, bucket: c, prefix: e }, Bucket { store: b, bucket: d, prefix: f }) => {
            let spec = |name: &str| {
                job.stores.get(name).map(|s| {
                    (
                        s.kind,
                        &s.endpoint,
                        &s.region,
                        s.account.as_ref().filter(|_| s.kind == StoreKind::Azblob),
                    )
                })
            };
            spec(a) == spec(b) && (c, e) == (d, f)
        }
        _ => false,
    }
}

/// `NAME:BUCKET/PREFIX` of a store that there is, or a directory.
fn place(job: &Job, text: &str, at: &str, found: &mut Found) {
    match parse_place(text) {
        Err(message) => found.add(at, message, ""),
        Ok(PlaceText::Directory(_)) => {}
        Ok(PlaceText::Bucket { store, .. }) if job.stores.contains_key(store) => {}
        Ok(PlaceText::Bucket { store: name, .. }) => {
            let hint = match nearest(name, job.stores.keys().map(String::as_str)) {
                Some(near) => format!("did you mean {near}:?"),
                None => format!("add [store.{name}] with type = \"s3\" and endpoint or region"),
            };
            found.add(at, format!("there is no store \"{name}\""), hint);
        }
    }
}
