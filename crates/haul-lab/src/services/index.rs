//! `POST /index` with `{"user": {…}, "video": {…}}` → 201; several at once: see `bulk`

use super::catalogue::Check;
use super::{Written, bulk, message};
use crate::http::{Head, Request};
use crate::mix::mix;
use crate::scan::members;
use crate::script::Script;
use crate::truth::Posted;
use crate::world::{Live, World};

const CREATED: &[u8] = b"{\"result\":\"created\"}";
/// [`CREATED`] in gzip, as one stored block.
const CREATED_GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x14\x00\xeb\xff{\"result\":\"created\"}\xfb\x7c\x1a\xd6\x14\x00\x00\x00";

/// A document by what it holds.
#[derive(Clone, Copy)]
pub(super) struct Document {
    /// Hash of its user and video, where it has both.
    pair: Option<u64>,
    altered: bool,
}

impl Document {
    /// From `{"user": {…}, "video": {…}}`.
    pub(super) fn read(world: &World, text: &[u8]) -> Option<Document> {
        let (mut user, mut video) = (None, None);
        members(text, |name, value| match name {
            b"user" => user = Some(value),
            b"video" => video = Some(value),
            _ => {}
        })?;
        Some(Document::check(world, user?, video?))
    }

    /// From its two parts.
    pub(super) fn check(world: &World, user: &[u8], video: &[u8]) -> Document {
        let (user, video) = (world.users.check(user), world.videos.check(video));
        let pair = match (user, video) {
            (Check::Served(u) | Check::Altered(u), Check::Served(v) | Check::Altered(v)) => Some(pair(u, v)),
            _ => None,
        };
        Document { pair, altered: !matches!((user, video), (Check::Served(_), Check::Served(_))) }
    }

    /// Whether the index has something against it.
    pub(super) fn is_refused(&self, live: &Live, script: &Script) -> bool {
        self.pair.is_some_and(|pair| script.is_refused(live.seed, pair))
    }
}

/// What stands for a user and a video together.
pub(crate) fn pair(user: u64, video: u64) -> u64 {
    mix(mix(user) ^ video)
}

/// Takes a document in, unless it is refused.
pub(super) fn take(
    live: &Live,
    script: &Script,
    document: Document,
    (key, body): (Option<&[u8]>, &[u8]),
) -> bool {
    if document.is_refused(live, script) {
        live.record.refused(1);
        return false;
    }
    live.record.posted(Posted { pair: document.pair, key, altered: document.altered, body });
    true
}

/// Takes documents in and appends the reply.
pub(super) fn answer(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Written {
    let path = request.path.split('?').next().unwrap_or_default();
    if !matches!(path, "/index" | "/index/_bulk" | "/index/videos") {
        return message(out, 404, "no such path");
    }
    if request.method != "POST" {
        return message(out, 405, "only POST");
    }
    match path {
        "/index/_bulk" => return bulk::lines(world, live, script, request, out),
        "/index/videos" => return bulk::videos(world, live, script, request, out),
        _ => {}
    }
    let Some(document) = Document::read(world, &request.body) else {
        return message(out, 400, "the body is not an object with user and video");
    };
    if !take(live, script, document, (request.key, &request.body)) {
        return message(out, 400, "failed to parse");
    }
    created(script.gzip, out)
}

fn created(gzip: bool, out: &mut Vec<u8>) -> Written {
    let head = Head::start(out, 201).header("content-type", "application/json");
    let body = if gzip { CREATED_GZIP } else { CREATED };
    let head = if gzip { head.header("content-encoding", "gzip") } else { head };
    head.end(body.len());
    out.extend_from_slice(body);
    Written { status: 201, body: body.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_made_reply_is_gzip() {
        let mut plain = vec![0; 100];
        let n = libdeflater::Decompressor::new().gzip_decompress(CREATED_GZIP, &mut plain).unwrap();
        assert_eq!(&plain[..n], CREATED);
    }
}
