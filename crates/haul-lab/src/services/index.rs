//! `POST /index` with `{"user": {…}, "video": {…}}` → 201

use super::catalogue::Check;
use super::{Written, message};
use crate::http::{Head, Request};
use crate::mix::mix;
use crate::scan::members;
use crate::script::Script;
use crate::truth::Posted;
use crate::world::{Live, World};

const CREATED: &[u8] = b"{\"result\":\"created\"}";
/// [`CREATED`] in gzip, as one stored block.
const CREATED_GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x14\x00\xeb\xff{\"result\":\"created\"}\xfb\x7c\x1a\xd6\x14\x00\x00\x00";

/// Takes the document in and appends the reply.
pub(super) fn answer(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Written {
    if request.path.split('?').next() != Some("/index") {
        return message(out, 404, "no such path");
    }
    if request.method != "POST" {
        return message(out, 405, "only POST");
    }
    let (mut user, mut video) = (None, None);
    let read = members(&request.body, |name, value| match name {
        b"user" => user = Some(value),
        b"video" => video = Some(value),
        _ => {}
    });
    let (Some(()), Some(user), Some(video)) = (read, user, video) else {
        return message(out, 400, "the body is not an object with user and video");
    };
    let (user, video) = (world.users.check(user), world.videos.check(video));
    let pair = match (user, video) {
        (Check::Served(u) | Check::Altered(u), Check::Served(v) | Check::Altered(v)) => Some(mix(mix(u) ^ v)),
        _ => None,
    };
    let altered = !matches!((user, video), (Check::Served(_), Check::Served(_)));
    live.record.posted(Posted { pair, key: request.key, altered, body: &request.body });
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
