//! An S3 service in memory: listings, objects with ranges and conditions, multipart uploads, signatures
//! (AWS Signature Version 4) that are really checked.
//!
//! A bucket named `img-N` or `img-N-SIZE` has N objects from the beginning (`img/00000007.png`), the files
//! that [`super::files`] serves, and takes no others; one named `odd` has the keys that tools lose. One
//! named `missing` does not exist; any other does, and is empty. A body that is one of those files takes no memory.

mod bucket;
mod list;
mod object;
mod sign;
mod upload;

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest, Md5};

use super::{Part, Written};
use crate::http::{Head, Request};
use crate::script::Script;
use crate::truth::lock;
use crate::world::{Live, World};

pub use bucket::ODD_KEYS;
use bucket::{Body, Buckets, Meta, Object};
use upload::Uploads;

/// The access key that the service knows, and its secret.
pub const ACCESS_KEY: &str = "lab";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "lab-secret";

/// An object as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredObject {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Without quotes.
    pub etag: String,
    /// Header names in lower case, and values: `content-type`, `cache-control`, `x-amz-meta-…`.
    pub headers: Vec<(String, String)>,
}

/// The bucket that does not exist.
const MISSING: &str = "missing";

/// All buckets, and uploads that are not complete.
#[derive(Default)]
pub(crate) struct S3 {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buckets: Buckets,
    uploads: Uploads,
}

impl S3 {
    /// What is under a key.
    pub(crate) fn object(&self, world: &World, bucket: &str, key: &str) -> Option<StoredObject> {
        let object = lock(&self.state).buckets.make(bucket).object(&world.files, 0, key)?;
        let bytes = object.body.bytes(&world.files, object.size);
        Some(StoredObject { bytes, etag: object.etag, headers: object.meta.headers })
    }

    /// Objects that were put into a bucket.
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        lock(&self.state).buckets.make(bucket).own_keys()
    }

    /// Uploads that were begun, and neither completed nor given up.
    pub(crate) fn open_uploads(&self) -> usize {
        lock(&self.state).uploads.open()
    }
}

/// What a request is about: bucket, key (empty for the bucket itself) and query, all decoded.
pub(super) struct Target {
    pub(super) bucket: String,
    pub(super) key: String,
    query: Vec<(String, String)>,
}

impl Target {
    /// `None`: it is not UTF-8.
    fn read(path: &str) -> Option<Target> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (bucket, key) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        Some(Target { bucket: decode(bucket)?, key: decode(key)?, query: pairs.collect::<Option<_>>()? })
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What a handler works with.
pub(super) struct Ask<'a> {
    pub(super) world: &'a World,
    pub(super) live: &'a Live,
    pub(super) script: &'a Script,
    pub(super) request: &'a Request<'a>,
    pub(super) target: Target,
}

impl Ask<'_> {
    /// A header of the request.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.request.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A reply, with what of a file is to be sent after it.
pub(super) type Reply = (Written, Option<Part>);

/// Appends the reply to a request.
pub(super) fn answer(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Reply {
    let Some(target) = Target::read(request.path) else {
        return error(out, 400, "InvalidURI", "it is not UTF-8");
    };
    let ask = Ask { world, live, script, request, target };
    if let Err((code, why)) = sign::check(&ask) {
        return error(out, 403, code, &why);
    }
    if ask.target.bucket == MISSING {
        return error(out, 404, "NoSuchBucket", "the bucket does not exist");
    }
    let mut state = lock(&world.s3.state);
    let has = |name: &str| ask.target.query(name).is_some();
    match (request.method, ask.target.key.is_empty()) {
        ("GET", true) if has("uploads") => upload::list(&ask, &state, out),
        ("GET", true) => list::answer(&ask, &mut state, out),
        ("HEAD" | "PUT", true) => empty(out, 200, &[]),
        ("GET", false) if has("uploadId") => upload::parts(&ask, &state, out),
        ("GET" | "HEAD", false) => object::get(&ask, &mut state, out),
        ("PUT", false) if has("partNumber") => upload::part(&ask, &mut state, out),
        ("PUT", false) => object::put(&ask, &mut state, out),
        ("POST", false) if has("uploads") => upload::begin(&ask, &mut state, out),
        ("POST", false) if has("uploadId") => upload::complete(&ask, &mut state, out),
        ("DELETE", false) if has("uploadId") => upload::give_up(&ask, &mut state, out),
        ("DELETE", false) => object::delete(&ask, &mut state, out),
        _ => error(out, 405, "MethodNotAllowed", "the lab does not do this"),
    }
}

/// An error as S3 has them.
pub(super) fn error(out: &mut Vec<u8>, status: u16, code: &str, message: &str) -> Reply {
    xml(out, status, &format!("<Error><Code>{code}</Code><Message>{}</Message></Error>", escape(message)))
}

/// A reply in XML.
pub(super) fn xml(out: &mut Vec<u8>, status: u16, text: &str) -> Reply {
    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    let len = HEAD.len() + text.len();
    Head::start(out, status).header("content-type", "application/xml").end(len);
    out.extend_from_slice(HEAD.as_bytes());
    out.extend_from_slice(text.as_bytes());
    (Written { status, body: len }, None)
}

/// A reply without a body.
pub(super) fn empty(out: &mut Vec<u8>, status: u16, headers: &[(&str, &str)]) -> Reply {
    let head = headers.iter().fold(Head::start(out, status), |head, (name, value)| head.header(name, value));
    head.end(0);
    (Written { status, body: 0 }, None)
}

/// Text within XML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Percent-decoding; `+` is itself. `None`: not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&b) = bytes.next() {
        let hex = (b == b'%').then(|| std::str::from_utf8(bytes.as_slice().get(..2)?).ok()).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                bytes.nth(1);
            }
            None => out.push(b),
        }
    }
    String::from_utf8(out).ok()
}

/// Percent-encoding as signatures have it: everything but letters, digits and `-._~`.
pub(super) fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            b'/' if keep_slash => out.push('/'),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// MD5 of pieces.
pub(super) fn md5_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut hash = Md5::new();
    pieces.for_each(|piece| hash.update(piece));
    hash.finalize().into()
}

/// Seconds since the epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
}
