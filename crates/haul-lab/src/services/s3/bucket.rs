//! Buckets and what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::files::{File, Files};
use super::{hex, md5_of};

/// Keys that tools lose, or change on the way.
pub const ODD_KEYS: [&str; 21] = [
    "plain.txt",
    "a b.txt",
    "a+b.txt",
    "a%20b.txt",
    "a%2Fb.txt",
    "ümläut.txt",
    "u\u{308}mla\u{308}ut.txt",
    "日本語/キー.txt",
    "emoji-\u{1f600}.txt",
    "double//slash.txt",
    "trailing/",
    "/leading.txt",
    "./dot.txt",
    "../up.txt",
    "a/../b.txt",
    "quote\"and'.txt",
    "amp&lt<gt>.txt",
    "question?mark#hash.txt",
    "back\\slash.txt",
    "tab\there.txt",
    "new\nline.txt",
];

/// What is kept with an object.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Meta {
    /// Header names in lower case, and values: `content-type`, `cache-control`, `x-amz-meta-…`.
    pub(crate) headers: Vec<(String, String)>,
}

/// The bytes of an object.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Bytes(Arc<[u8]>),
    /// A file that is made as it is read.
    File(Box<File>),
    /// One after the other.
    Parts(Arc<[(u64, Body)]>),
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) body: Body,
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) meta: Meta,
    /// Seconds since the epoch.
    pub(crate) modified: u64,
}

impl Body {
    /// Bytes that came over the wire; those of a file that the lab makes itself are not kept.
    pub(crate) fn of(bytes: &[u8], files: &Files) -> Body {
        match files.recognise(bytes) {
            Some(file) => Body::File(Box::new(file)),
            None => Body::Bytes(bytes.into()),
        }
    }

    /// Hands on `from..to` piece by piece.
    pub(crate) fn read(&self, files: &Files, from: u64, to: u64, out: &mut dyn FnMut(&[u8])) {
        match self {
            Body::Bytes(bytes) => out(&bytes[from as usize..to as usize]),
            Body::File(file) => {
                let mut at = from;
                while at < to {
                    let piece = files.piece(file, at, to - at);
                    out(piece);
                    at += piece.len() as u64;
                }
            }
            Body::Parts(parts) => {
                let mut start = 0;
                for (len, part) in parts.iter() {
                    let (a, b) = (from.max(start), to.min(start + len));
                    if a < b {
                        part.read(files, a - start, b - start, out);
                    }
                    start += len;
                }
            }
        }
    }

    /// All of it.
    pub(crate) fn bytes(&self, files: &Files, size: u64) -> Vec<u8> {
        let mut out = Vec::new();
        self.read(files, 0, size, &mut |piece| out.extend_from_slice(piece));
        out
    }
}

/// A bucket.
#[derive(Default)]
pub(crate) struct Bucket {
    /// Objects that are there from the beginning, and their size where they have all the same.
    made: Option<(u64, Option<u64>)>,
    own: BTreeMap<String, Object>,
}

impl Bucket {
    fn named(name: &str) -> Option<Bucket> {
        let mut bucket = Bucket::default();
        if name == "odd" {
            for key in ODD_KEYS {
                let text = format!("the object under {key:?}\n").into_bytes();
                let etag = hex(&md5_of(std::iter::once(&text[..])));
                let meta = Meta { headers: vec![("content-type".into(), "text/plain".into())] };
                let size = text.len() as u64;
                let body = Body::Bytes(text.into());
                bucket.own.insert(key.to_owned(), Object { body, size, etag, meta, modified: MADE_AT });
            }
            return Some(bucket);
        }
        let mut parts = name.strip_prefix("img-")?.split('-').map(str::parse::<u64>);
        let (count, size) = (parts.next()?.ok()?, parts.next().transpose().ok()?);
        bucket.made = Some((count, size));
        Some(bucket)
    }

    /// It takes no objects.
    pub(super) fn is_fixed(&self) -> bool {
        self.made.is_some()
    }

    /// What is under a key.
    pub(crate) fn object(&self, files: &Files, generation: u64, key: &str) -> Option<Object> {
        let Some((count, size)) = self.made else { return self.own.get(key).cloned() };
        let id = made_id(key).filter(|id| *id < count)?;
        Some(made(files, id, size, generation))
    }

    /// The keys after one (or from a prefix on), in order, as long as `take` wants more.
    pub(super) fn keys_after(&self, after: Option<&str>, prefix: &str, take: &mut dyn FnMut(&str) -> bool) {
        match self.made {
            None => {
                use std::ops::Bound;
                let from = match after {
                    Some(after) if after >= prefix => Bound::Excluded(after),
                    _ => Bound::Included(prefix),
                };
                let range = self.own.range::<str, _>((from, Bound::Unbounded));
                for (key, _) in range {
                    if !key.starts_with(prefix) || !take(key) {
                        return;
                    }
                }
            }
            Some((count, _)) => {
                let first = match after.filter(|after| *after >= prefix) {
                    Some(after) => made_from(after, true),
                    None => made_from(prefix, false),
                };
                for id in first..count {
                    let key = made_key(id);
                    if !key.starts_with(prefix) || !take(&key) {
                        return;
                    }
                }
            }
        }
    }

    pub(super) fn put(&mut self, key: &str, object: Object) {
        self.own.insert(key.to_owned(), object);
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.own.remove(key);
    }

    pub(super) fn own_keys(&self) -> Vec<String> {
        self.own.keys().cloned().collect()
    }
}

/// When the objects were made that are there from the beginning: 2020-01-01.
const MADE_AT: u64 = 1_577_836_800;

fn made_key(id: u64) -> String {
    format!("img/{id:08}.png")
}

/// The id of such a key.
pub(super) fn made_id(key: &str) -> Option<u64> {
    let digits = key.strip_prefix("img/")?.strip_suffix(".png")?;
    let id = (digits.len() >= 8).then(|| digits.parse().ok()).flatten()?;
    (made_key(id) == key).then_some(id)
}

/// The first id whose key is not before `text` (or is after it).
fn made_from(text: &str, after: bool) -> u64 {
    let (mut low, mut high) = (0, 100_000_000);
    while low < high {
        let middle = low + (high - low) / 2;
        let key = made_key(middle);
        let is_before = if after { key.as_str() <= text } else { key.as_str() < text };
        if is_before { low = middle + 1 } else { high = middle }
    }
    low
}

fn made(files: &Files, id: u64, size: Option<u64>, generation: u64) -> Object {
    let file = files.file(id, size, "png", generation);
    let size = file.size;
    let etag = files.md5(&file);
    let headers =
        [("content-type", "image/png"), ("cache-control", "max-age=60"), ("x-amz-meta-made-by", "lab")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Object { body: Body::File(Box::new(file)), size, etag, meta: Meta { headers }, modified: MADE_AT + id }
}

/// By name.
#[derive(Default)]
pub(super) struct Buckets(BTreeMap<String, Bucket>);

impl Buckets {
    /// The bucket, made where it is not there.
    pub(super) fn make(&mut self, name: &str) -> &mut Bucket {
        self.0.entry(name.to_owned()).or_insert_with(|| Bucket::named(name).unwrap_or_default())
    }
}
