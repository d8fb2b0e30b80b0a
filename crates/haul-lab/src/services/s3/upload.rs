//! Multipart uploads.

use std::collections::{BTreeMap, HashMap};

use super::object::{copied, meta};
use super::{Ask, Body, Meta, Object, Reply, State, empty, error, escape, hex, md5_of, now, xml};
use crate::mix::mix;
use crate::services::files::range;

/// Least size of a part that is not the last one.
const LEAST: u64 = 5 << 20;

/// Parts in one reply.
const PAGE: usize = 1000;

/// An upload that is under way.
struct Upload {
    bucket: String,
    key: String,
    meta: Meta,
    /// By number: size, MD5, bytes.
    parts: BTreeMap<u32, (u64, [u8; 16], Body)>,
}

/// All of them, by id.
#[derive(Default)]
pub(super) struct Uploads {
    begun: u64,
    all: HashMap<String, Upload>,
}

impl Uploads {
    pub(super) fn open(&self) -> usize {
        self.all.len()
    }
}

fn missing(out: &mut Vec<u8>) -> Reply {
    error(out, 404, "NoSuchUpload", "the upload was completed, given up, or never begun")
}

/// The id of the upload, if it is one of this key.
fn named<'a>(ask: &'a Ask<'_>, uploads: &Uploads) -> Option<&'a str> {
    let id = ask.target.query("uploadId")?;
    let upload = uploads.all.get(id)?;
    (upload.bucket == ask.target.bucket && upload.key == ask.target.key).then_some(id)
}

pub(super) fn begin(ask: &Ask<'_>, state: &mut State, out: &mut Vec<u8>) -> Reply {
    if state.buckets.make(&ask.target.bucket).is_fixed() {
        return error(out, 403, "AccessDenied", "this bucket is only read");
    }
    let uploads = &mut state.uploads;
    uploads.begun += 1;
    let id = format!("{:016x}", mix(ask.live.seed ^ uploads.begun));
    let (bucket, key) = (ask.target.bucket.clone(), ask.target.key.clone());
    uploads.all.insert(id.clone(), Upload { bucket, key, meta: meta(ask), parts: BTreeMap::new() });
    let text =
        format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>");
    xml(out, 200, &text)
}

pub(super) fn part(ask: &Ask<'_>, state: &mut State, out: &mut Vec<u8>) -> Reply {
    let number = ask.target.query("partNumber").and_then(|n| n.parse::<u32>().ok());
    let Some(number) = number.filter(|n| (1..=10_000).contains(n)) else {
        return error(out, 400, "InvalidArgument", "part numbers go from 1 to 10000");
    };
    let Some(id) = named(ask, &state.uploads).map(str::to_owned) else { return missing(out) };
    if let Some(from) = ask.header("x-amz-copy-source") {
        return copied_part(ask, state, (&id, number), from, out);
    }
    let body = &ask.request.body;
    let md5 = md5_of(std::iter::once(&body[..]));
    if super::object::is_broken(ask, &md5) {
        return error(out, 400, "BadDigest", "the MD5 is another one");
    }
    let Some(upload) = state.uploads.all.get_mut(&id) else { return missing(out) };
    upload.parts.insert(number, (body.len() as u64, md5, Body::Bytes(body[..].into())));
    empty(out, 200, &[("etag", &format!("\"{}\"", hex(&md5)))])
}

/// `UploadPartCopy`.
fn copied_part(
    ask: &Ask<'_>,
    state: &mut State,
    (id, number): (&str, u32),
    from: &str,
    out: &mut Vec<u8>,
) -> Reply {
    let object = match copied(ask, state, from) {
        Ok(object) => object,
        Err((status, code, why)) => return error(out, status, code, why),
    };
    let asked = ask.header("x-amz-copy-source-range").map(|value| range(value.as_bytes(), object.size));
    let (from, to) = match asked {
        None => (0, object.size),
        Some(Some(Ok(range))) => range,
        Some(_) => return error(out, 416, "InvalidRange", "there is nothing there"),
    };
    let mut bytes = Vec::new();
    object.body.read(&ask.world.files, from, to, &mut |piece| bytes.extend_from_slice(piece));
    let md5 = md5_of(std::iter::once(&bytes[..]));
    let Some(upload) = state.uploads.all.get_mut(id) else { return missing(out) };
    upload.parts.insert(number, (to - from, md5, Body::Bytes(bytes.into())));
    xml(out, 200, &format!("<CopyPartResult><ETag>\"{}\"</ETag></CopyPartResult>", hex(&md5)))
}

/// `ListParts`.
pub(super) fn parts(ask: &Ask<'_>, state: &State, out: &mut Vec<u8>) -> Reply {
    let Some(upload) = named(ask, &state.uploads).and_then(|id| state.uploads.all.get(id)) else {
        return missing(out);
    };
    let after = ask.target.query("part-number-marker").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut left = upload.parts.range(after + 1..);
    let parts: String = left
        .by_ref()
        .take(PAGE)
        .map(|(number, (size, md5, _))| {
            let etag = hex(md5);
            format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag><Size>{size}</Size></Part>"
            )
        })
        .collect();
    let more = left.next().is_some();
    xml(out, 200, &format!("<ListPartsResult><IsTruncated>{more}</IsTruncated>{parts}</ListPartsResult>"))
}

pub(super) fn complete(ask: &Ask<'_>, state: &mut State, out: &mut Vec<u8>) -> Reply {
    let Some(id) = named(ask, &state.uploads).map(str::to_owned) else { return missing(out) };
    let text = String::from_utf8_lossy(&ask.request.body);
    let wanted: Option<Vec<(u32, String)>> = text.split("<Part>").skip(1).map(read_part).collect();
    let Some(wanted) = wanted.filter(|w| !w.is_empty()) else {
        return error(out, 400, "MalformedXML", "the list of parts cannot be read");
    };
    let Some(upload) = state.uploads.all.get(&id) else { return missing(out) };
    let mut parts = Vec::new();
    let mut digests = Vec::new();
    for (i, (number, etag)) in wanted.iter().enumerate() {
        let found = upload.parts.get(number).filter(|(_, md5, _)| hex(md5) == *etag);
        let Some((size, md5, body)) = found else {
            return error(out, 400, "InvalidPart", "a part was not found, or has another ETag");
        };
        if *size < LEAST && i + 1 < wanted.len() {
            return error(out, 400, "EntityTooSmall", "a part is smaller than 5 MiB");
        }
        digests.extend_from_slice(md5);
        parts.push((*size, body.clone()));
    }
    let Some(upload) = state.uploads.all.remove(&id) else { return missing(out) };
    let size = parts.iter().map(|(size, _)| size).sum();
    let etag = format!("{}-{}", hex(&md5_of(std::iter::once(&digests[..]))), parts.len());
    let body = Body::Parts(parts.into());
    let object = Object { body, size, etag: etag.clone(), meta: upload.meta, modified: now() };
    state.buckets.make(&upload.bucket).put(&upload.key, object);
    ask.live.record.served(mix(xxhash_rust::xxh3::xxh3_64(upload.key.as_bytes())));
    xml(
        out,
        200,
        &format!("<CompleteMultipartUploadResult><ETag>\"{etag}\"</ETag></CompleteMultipartUploadResult>"),
    )
}

/// Number and ETag of a `<Part>`.
fn read_part(text: &str) -> Option<(u32, String)> {
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once(&format!("</{tag}>"))?.0.replace("&quot;", "\"").trim_matches('"').to_owned())
    };
    Some((between("PartNumber")?.parse().ok()?, between("ETag")?))
}

pub(super) fn give_up(ask: &Ask<'_>, state: &mut State, out: &mut Vec<u8>) -> Reply {
    let Some(id) = named(ask, &state.uploads).map(str::to_owned) else { return missing(out) };
    state.uploads.all.remove(&id);
    empty(out, 204, &[])
}

/// `ListMultipartUploads` of a bucket.
pub(super) fn list(ask: &Ask<'_>, state: &State, out: &mut Vec<u8>) -> Reply {
    let of_bucket = state.uploads.all.iter().filter(|(_, u)| u.bucket == ask.target.bucket);
    let uploads: String = of_bucket
        .map(|(id, u)| format!("<Upload><Key>{}</Key><UploadId>{id}</UploadId></Upload>", escape(&u.key)))
        .collect();
    xml(out, 200, &format!("<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>"))
}
