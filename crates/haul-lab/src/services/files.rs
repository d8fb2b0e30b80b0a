//! `GET /files/ID[-SIZE].EXT` → a file of that type; the bytes follow from seed, id, size, extension
//! and generation. Without a size, the id decides it: 20 to 200 KB.
//!
//! Ranges, `If-Range` and `ETag` as RFC 9110 has them. Some ids, always the same, do not exist (404, or
//! 410 for good), are of a wrong type under a status of 200, or have moved.

use std::collections::HashMap;
use std::sync::Mutex;

use md5::{Digest, Md5};

use super::s3::hex;
use super::{Written, message};
use crate::http::{Head, Request};
use crate::limits;
use crate::mix::{below, mix, unit};
use crate::script::Script;
use crate::truth::lock;
use crate::world::{Live, World};

/// Bytes that all files share; a file begins somewhere in it. A prime, so that equal offsets differ.
const BLOCK: usize = 1_048_573;
/// Bytes of a file that are its own: the magic of its type, then its name.
const OWN: usize = 128;
/// Generations whose files are known again.
const GENERATIONS: u64 = 8;
/// Largest file: a size is part of a URL, and anything can be typed there.
const SIZE_MAX: u64 = 1 << 40;

/// What there is under an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A file of the type that its extension says.
    Good,
    /// Nothing: this status.
    Missing(u16),
    /// Under a status of 200, a page for people.
    Html,
    /// Under a status of 200, an error as JSON.
    Json,
    /// Under a status of 200, a file of another type.
    Other,
    /// Under a status of 200, no bytes at all.
    Empty,
}

/// The beginning of files of a type.
fn magic(ext: &str) -> &'static [u8] {
    match ext {
        "mp4" => b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41",
        "png" => b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR",
        "jpeg" | "jpg" => b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
        "pdf" => b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "webm" => b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm",
        "zip" => b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
        _ => b"",
    }
}

/// `Content-Type` of an extension.
fn media_type(ext: &str) -> &'static str {
    match ext {
        "mp4" => "video/mp4",
        "png" => "image/png",
        "jpeg" | "jpg" => "image/jpeg",
        "pdf" => "application/pdf",
        "webm" => "video/webm",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

/// All files there are.
pub(crate) struct Files {
    seed: u64,
    block: Box<[u8]>,
    /// MD5 by what identifies a file.
    digests: Mutex<HashMap<u64, [u8; 16]>>,
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    own: [u8; OWN],
    /// Where in the block it begins.
    shift: u64,
    pub(crate) size: u64,
    etag: u64,
}

/// A part of a file that is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) file: File,
    /// Its first byte, and the first after it.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Bytes a second; 0: as fast as it goes.
    pub(crate) pace: u64,
}

impl Part {
    /// What identifies the file, once its last byte is on its way.
    pub(crate) fn completes(&self) -> Option<u64> {
        (self.to == self.file.size).then_some(self.file.etag)
    }

    /// Only its first half: the reply is cut off.
    pub(crate) fn halve(&mut self) {
        self.to = self.from + (self.to - self.from) / 2;
    }
}

impl Files {
    pub(crate) fn new(seed: u64) -> Self {
        let word = |i: usize| mix(seed ^ 0x66_69_6c_65 ^ i as u64).to_le_bytes();
        let block: Vec<u8> = (0..BLOCK.div_ceil(8)).flat_map(word).take(BLOCK).collect();
        Files { seed, block: block.into(), digests: Mutex::default() }
    }

    /// The file of a name.
    pub(crate) fn file(&self, id: u64, size: Option<u64>, ext: &str, generation: u64) -> File {
        let bits = mix(self.seed ^ mix(id) ^ generation.rotate_left(32));
        let size = size.unwrap_or_else(|| 20_000 + below(mix(self.seed ^ mix(id)), 180_001));
        let etag = mix(bits ^ size ^ xxhash_rust::xxh3::xxh3_64(ext.as_bytes()));
        let mut own = [b' '; OWN];
        let text =
            [magic(ext), format!(" file {id} of {size} bytes, {ext}, {etag:016x}").as_bytes()].concat();
        let len = text.len().min(OWN);
        own[..len].copy_from_slice(&text[..len]);
        File { own, shift: below(bits, BLOCK as u64), size, etag }
    }

    /// Bytes of a file from an offset on, at least one and at most `most`.
    pub(crate) fn piece<'a>(&'a self, file: &'a File, at: u64, most: u64) -> &'a [u8] {
        let bytes = match file.own.get(usize::try_from(at).unwrap_or(OWN)..) {
            Some(own) if !own.is_empty() => own,
            _ => &self.block[((at + file.shift) % BLOCK as u64) as usize..],
        };
        &bytes[..bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX))]
    }

    /// The file whose bytes these are; only those that are made here.
    pub(crate) fn recognise(&self, bytes: &[u8]) -> Option<File> {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(OWN)]);
        let (_, about) = text.rsplit_once(" file ")?;
        let (id, about) = about.split_once(" of ")?;
        let (_, about) = about.split_once(" bytes, ")?;
        let (ext, _) = about.split_once(", ")?;
        let id = id.parse().ok()?;
        let size = bytes.len() as u64;
        (0..GENERATIONS).map(|g| self.file(id, Some(size), ext, g)).find(|file| self.is_of(file, bytes))
    }

    fn is_of(&self, file: &File, bytes: &[u8]) -> bool {
        let mut at = 0;
        while at < file.size {
            let piece = self.piece(file, at, file.size - at);
            if bytes.get(at as usize..at as usize + piece.len()) != Some(piece) {
                return false;
            }
            at += piece.len() as u64;
        }
        true
    }

    /// The MD5 of a file, in hexadecimal; asked for again and again by listings.
    pub(crate) fn md5(&self, file: &File) -> String {
        if let Some(known) = lock(&self.digests).get(&file.etag) {
            return hex(known);
        }
        let mut hash = Md5::new();
        let mut at = 0;
        while at < file.size {
            let piece = self.piece(file, at, file.size - at);
            hash.update(piece);
            at += piece.len() as u64;
        }
        let digest: [u8; 16] = hash.finalize().into();
        let mut digests = lock(&self.digests);
        if digests.len() >= limits::DIGESTS {
            digests.clear();
        }
        digests.insert(file.etag, digest);
        hex(&digest)
    }

    /// All bytes of a file.
    pub(crate) fn bytes(&self, file: &File) -> Vec<u8> {
        let mut out = Vec::new();
        while (out.len() as u64) < file.size {
            let at = out.len() as u64;
            out.extend_from_slice(self.piece(file, at, file.size - at));
        }
        out
    }
}

/// What there is under an id in this script.
pub(crate) fn kind(script: &Script, seed: u64, id: u64) -> FileKind {
    let odd = mix(seed ^ mix(!id)) & 1 == 1;
    if script.is_missing(seed, id) {
        return FileKind::Missing(if odd { 410 } else { 404 });
    }
    let wrong = mix(seed.rotate_left(23) ^ mix(id));
    if unit(wrong) >= script.wrong_rate {
        return FileKind::Good;
    }
    match mix(wrong) % 4 {
        0 => FileKind::Html,
        1 => FileKind::Json,
        2 => FileKind::Other,
        _ => FileKind::Empty,
    }
}

/// `ID[-SIZE].EXT`
fn name(text: &str) -> Option<(u64, Option<u64>, &str)> {
    let (stem, ext) = text.split_once('.')?;
    let (id, size) = match stem.split_once('-') {
        Some((id, size)) => (id, Some(size.parse().ok().filter(|n| (1..=SIZE_MAX).contains(n))?)),
        None => (stem, None),
    };
    Some((id.parse().ok()?, size, ext))
}

/// Appends the head of the reply (or all of a short one); what is to be sent after it.
pub(super) fn answer(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> (Written, Option<Part>) {
    let is_head = request.method == "HEAD";
    if request.method != "GET" && !is_head {
        return (message(out, 405, "only GET and HEAD"), None);
    }
    let path = request.path.split('?').next().unwrap_or_default();
    let (moved, text) = match (path.strip_prefix("/files/"), path.strip_prefix("/moved/")) {
        (Some(text), _) => (false, text),
        (_, Some(text)) => (true, text),
        _ => return (message(out, 404, "no such path"), None),
    };
    let Some((id, size, ext)) = name(text) else {
        return (message(out, 400, "a file is ID.EXT or ID-SIZE.EXT"), None);
    };
    let moves = !moved && unit(mix(live.seed.rotate_left(41) ^ mix(id))) < script.redirect_rate;
    if moves {
        Head::start(out, 302).header("location", &format!("/moved/{text}")).end(0);
        return (Written { status: 302, body: 0 }, None);
    }
    let ext = match kind(script, live.seed, id) {
        FileKind::Good => ext,
        FileKind::Missing(status) => return (message(out, status, "no such file"), None),
        FileKind::Json => return (message(out, 200, "quota exceeded"), None),
        FileKind::Html => return (page(out), None),
        FileKind::Empty => {
            Head::start(out, 200).header("content-type", media_type(ext)).end(0);
            return (Written { status: 200, body: 0 }, None);
        }
        FileKind::Other => {
            if ext == "png" {
                "pdf"
            } else {
                "png"
            }
        }
    };
    let file = world.files.file(id, size, ext, script.generation);
    send(live, script, request, (file, ext), out)
}

const PAGE: &[u8] =
    b"<!DOCTYPE html>\n<html><head><title>Not available</title></head><body>Come back later.</body></html>\n";

fn page(out: &mut Vec<u8>) -> Written {
    Head::start(out, 200).header("content-type", "text/html; charset=utf-8").end(PAGE.len());
    out.extend_from_slice(PAGE);
    Written { status: 200, body: PAGE.len() }
}

fn send(
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    (file, ext): (File, &str),
    out: &mut Vec<u8>,
) -> (Written, Option<Part>) {
    let etag = format!("\"{:016x}\"", file.etag);
    let wanted = request.range.filter(|_| !script.no_ranges);
    let fresh = request.if_range.is_none_or(|v| v == etag.as_bytes());
    let range = wanted.filter(|_| fresh).and_then(|v| range(v, file.size));
    let (status, from, to) = match range {
        None => (200, 0, file.size),
        Some(Ok((from, to))) => (206, from, to),
        Some(Err(())) => {
            Head::start(out, 416).header("content-range", &format!("bytes */{}", file.size)).end(0);
            return (Written { status: 416, body: 0 }, None);
        }
    };
    let mut head = Head::start(out, status).header("content-type", media_type(ext)).header("etag", &etag);
    if !script.no_ranges {
        head = head.header("accept-ranges", "bytes");
    }
    if status == 206 {
        head = head.header("content-range", &format!("bytes {from}-{}/{}", to - 1, file.size));
    }
    let len = usize::try_from(to - from).unwrap_or(usize::MAX);
    head.end(len);
    if request.method == "HEAD" {
        return (Written { status, body: 0 }, None);
    }
    let slow = unit(mix(live.seed ^ mix(file.etag ^ live.record.requests()))) < script.slow_rate;
    let pace = if slow { script.slow_bytes.max(1) } else { 0 };
    (Written { status, body: 0 }, Some(Part { file, from, to, pace }))
}

/// One range of `Range: bytes=…` as first byte and end; `Err`: none of it exists. Several ranges, or
/// nonsense, are ignored, as RFC 9110 §14.2 allows.
pub(super) fn range(value: &[u8], size: u64) -> Option<Result<(u64, u64), ()>> {
    let text = std::str::from_utf8(value).ok()?.trim().strip_prefix("bytes=")?;
    let (from, to) = text.split_once('-')?;
    if from.is_empty() {
        let last: u64 = to.parse().ok()?;
        return Some(if last == 0 { Err(()) } else { Ok((size.saturating_sub(last), size)) });
    }
    let from: u64 = from.parse().ok()?;
    let end = if to.is_empty() { size } else { to.parse::<u64>().ok()?.saturating_add(1).min(size) };
    Some(if from < end { Ok((from, end)) } else { Err(()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        assert_eq!(range(b"bytes=0-", 10), Some(Ok((0, 10))));
        assert_eq!(range(b"bytes=3-5", 10), Some(Ok((3, 6))));
        assert_eq!(range(b"bytes=3-500", 10), Some(Ok((3, 10))));
        assert_eq!(range(b"bytes=-4", 10), Some(Ok((6, 10))));
        assert_eq!(range(b"bytes=10-", 10), Some(Err(())));
        assert_eq!(range(b"bytes=1-2,4-5", 10), None);
        assert_eq!(range(b"lines=1-2", 10), None);
    }

    #[test]
    fn names_have_a_size_or_not() {
        assert_eq!(name("7.png"), Some((7, None, "png")));
        assert_eq!(name("7-50.mp4"), Some((7, Some(50), "mp4")));
        assert_eq!(name("7-0.mp4"), None);
        assert_eq!(name("x.mp4"), None);
    }

    #[test]
    fn a_file_in_pieces_is_the_file() {
        let files = Files::new(1);
        let file = files.file(7, Some(3_000_000), "mp4", 0);
        let whole = files.bytes(&file);
        assert_eq!(whole.len(), 3_000_000);
        assert_eq!(&whole[4..12], b"ftypisom");
        assert_eq!(files.piece(&file, 100, 5), &whole[100..105]);
        assert_eq!(files.piece(&file, 2_000_000, 10), &whole[2_000_000..2_000_010]);
        assert_ne!(whole, files.bytes(&files.file(8, Some(3_000_000), "mp4", 0)));
        assert_ne!(whole, files.bytes(&files.file(7, Some(3_000_000), "mp4", 1)));
        assert!((20_000..=200_000).contains(&files.file(9, None, "png", 0).size));
    }
}
