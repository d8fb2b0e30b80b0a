//! Objects and buckets: get, head, put, copy, delete.

use super::list::{http_date, kind};
use super::sign::base64;
use super::{Ask, Body, Meta, Object, Reply, State, decode, empty, error, hex, md5_of, now, xml};
use crate::http::Head;
use crate::mix::{mix, unit};
use crate::services::files::range;
use crate::services::{FileKind, Part, Written};

/// Headers that are kept with an object, beside `x-amz-meta-…`.
const KEPT: [&str; 6] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
];

/// What the request says is to be kept with the object.
pub(super) fn meta(ask: &Ask<'_>) -> Meta {
    let kept = |name: &str| KEPT.contains(&name) || name.starts_with("x-amz-meta-");
    let fields =
        ask.request.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Meta { headers: fields.filter(|(name, _)| kept(name)).collect() }
}

pub(super) fn get(ask: &Ask<'_>, state: &mut State, out: &mut Vec<u8>) -> Reply {
    let bucket = state.buckets.make(&ask.target.bucket);
    let (key, files) = (&ask.target.key, &ask.world.files);
    let found = bucket.object(files, ask.script.generation, key);
    let found = found.filter(|_| !matches!(kind(ask), FileKind::Missing(_)));
    let Some(object) = found else {
        return error(out, 404, "NoSuchKey", "the object does not exist");
    };
    if ask.header("if-match").is_some_and(|wanted| wanted.trim_matches('"') != object.etag) {
        return error(out, 412, "PreconditionFailed", "it is another object by now");
    }
    let object = corrupt(kind(ask)).map_or(object, |bytes| {
        let etag = hex(&md5_of(std::iter::once(bytes)));
        let meta = Meta { headers: vec![("content-type".into(), "text/html".into())] };
        Object { body: Body::Bytes(bytes.into()), size: bytes.len() as u64, etag, meta, modified: now() }
    });
    let object = if has_wrong_etag(ask) { Object { etag: "0".repeat(32), ..object } } else { object };
    send(ask, object, out)
}

fn has_wrong_etag(ask: &Ask<'_>) -> bool {
    let of_key = xxhash_rust::xxh3::xxh3_64(ask.target.key.as_bytes());
    unit(mix(ask.live.seed ^ of_key)) < ask.script.etag_rate
}

/// Whether what arrived is not what the MD5 says that goes along.
pub(super) fn is_broken(ask: &Ask<'_>, md5: &[u8]) -> bool {
    !ask.script.no_digests && ask.header("content-md5").is_some_and(|said| said != base64(md5))
}

/// What stands where an image should be.
fn corrupt(kind: FileKind) -> Option<&'static [u8]> {
    match kind {
        FileKind::Html | FileKind::Other => {
            Some(b"<!DOCTYPE html>\n<html><body>Not an image.</body></html>\n")
        }
        FileKind::Json => Some(b"{\"error\":\"quota exceeded\"}"),
        FileKind::Empty => Some(b""),
        FileKind::Good | FileKind::Missing(_) => None,
    }
}

fn send(ask: &Ask<'_>, object: Object, out: &mut Vec<u8>) -> Reply {
    let size = object.size;
    let wanted = ask.header("range").and_then(|value| range(value.as_bytes(), size));
    let (status, from, to) = match wanted {
        None => (200, 0, size),
        Some(Ok((from, to))) => (206, from, to),
        Some(Err(())) => return error(out, 416, "InvalidRange", "there is nothing there"),
    };
    let mut head = Head::start(out, status)
        .header("etag", &format!("\"{}\"", object.etag))
        .header("last-modified", &http_date(object.modified))
        .header("accept-ranges", "bytes");
    for (name, value) in &object.meta.headers {
        head = head.header(name, value);
    }
    if status == 206 {
        head = head.header("content-range", &format!("bytes {from}-{}/{size}", to - 1));
    }
    let len = usize::try_from(to - from).unwrap_or(usize::MAX);
    head.end(len);
    if ask.request.method == "HEAD" {
        return (Written { status, body: 0 }, None);
    }
    match object.body {
        Body::File(file) => {
            let slow = unit(mix(ask.live.seed ^ ask.live.record.requests())) < ask.script.slow_rate;
            let pace = if slow { ask.script.slow_bytes.max(1) } else { 0 };
            (Written { status, body: 0 }, Some(Part { file: *file, from, to, pace }))
        }
        body => {
            body.read(&ask.world.files, from, to, &mut |piece| out.extend_from_slice(piece));
            (Written { status, body: len }, None)
        }
    }
}

pub(super) fn put(ask: &Ask<'_>, state: &mut State, out: &mut Vec<u8>) -> Reply {
    let files = &ask.world.files;
    let source = match ask.header("x-amz-copy-source") {
        None => None,
        Some(from) => match copied(ask, state, from) {
            Ok(object) => Some(object),
            Err((status, code, why)) => return error(out, status, code, why),
        },
    };
    let bucket = state.buckets.make(&ask.target.bucket);
    if bucket.is_fixed() {
        return error(out, 403, "AccessDenied", "this bucket is only read");
    }
    if ask.header("if-none-match") == Some("*") && bucket.object(files, 0, &ask.target.key).is_some() {
        return error(out, 412, "PreconditionFailed", "there is an object already");
    }
    if let Some(object) = source {
        let text = format!("<CopyObjectResult><ETag>\"{}\"</ETag></CopyObjectResult>", object.etag);
        bucket.put(&ask.target.key, object);
        ask.live.record.served(mix(xxhash_rust::xxh3::xxh3_64(ask.target.key.as_bytes())));
        return xml(out, 200, &text);
    }
    let body = &ask.request.body;
    let md5 = md5_of(std::iter::once(&body[..]));
    if is_broken(ask, &md5) {
        return error(out, 400, "BadDigest", "the MD5 is another one");
    }
    let etag = hex(&md5);
    let object = Object {
        body: Body::of(body, files),
        size: body.len() as u64,
        etag: etag.clone(),
        meta: meta(ask),
        modified: now(),
    };
    bucket.put(&ask.target.key, object);
    ask.live.record.served(mix(xxhash_rust::xxh3::xxh3_64(ask.target.key.as_bytes())));
    empty(out, 200, &[("etag", &format!("\"{etag}\""))])
}

type Refusal = (u16, &'static str, &'static str);

/// The object that a `CopyObject` names, as it will be.
pub(super) fn copied(ask: &Ask<'_>, state: &mut State, from: &str) -> Result<Object, Refusal> {
    let missing = (404, "NoSuchKey", "the source does not exist");
    let from = decode(from).ok_or((400, "InvalidArgument", "the source is not UTF-8"))?;
    let (bucket, key) = from.strip_prefix('/').unwrap_or(&from).split_once('/').ok_or(missing)?;
    let bucket = state.buckets.make(bucket);
    let mut object = bucket.object(&ask.world.files, ask.script.generation, key).ok_or(missing)?;
    let wanted = ask.header("x-amz-copy-source-if-match");
    if wanted.is_some_and(|wanted| wanted.trim_matches('"') != object.etag) {
        return Err((412, "PreconditionFailed", "the source is another object by now"));
    }
    if ask.header("x-amz-metadata-directive") == Some("REPLACE") {
        object.meta = meta(ask);
    }
    object.modified = now();
    Ok(object)
}

pub(super) fn delete(ask: &Ask<'_>, state: &mut State, out: &mut Vec<u8>) -> Reply {
    state.buckets.make(&ask.target.bucket).remove(&ask.target.key);
    empty(out, 204, &[])
}
