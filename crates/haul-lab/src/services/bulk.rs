//! Several documents in one request: `POST /index/_bulk` as Elasticsearch and OpenSearch take them, and
//! `POST /index/videos`, one user with many videos, accepted whole or not at all.

use super::index::{Document, take};
use super::{Written, message};
use crate::http::{Head, Request};
use crate::scan::{elements, members};
use crate::script::Script;
use crate::world::{Live, World};

/// Lines by turns: `{"index": {"_id": KEY}}`, and the document. The reply has a status for each.
pub(super) fn lines(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Written {
    if request.body.last() != Some(&b'\n') {
        return message(out, 400, "the bulk request must be terminated by a newline");
    }
    let mut lines = request.body.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let mut documents = Vec::new();
    while let Some(action) = lines.next() {
        let (Some(key), Some(body)) = (key_of(action), lines.next()) else {
            return message(out, 400, "an action is not followed by a document");
        };
        let Some(document) = Document::read(world, body) else {
            return message(out, 400, "a line is not an object with user and video");
        };
        documents.push((key, document, body));
    }
    let (mut said, mut errors) = (String::new(), false);
    for (key, document, body) in documents {
        let accepted = take(live, script, document, (key, body));
        errors |= !accepted;
        let id = key.map_or("null".into(), |key| format!("\"{}\"", String::from_utf8_lossy(key)));
        let end = if accepted {
            "\"result\":\"created\",\"status\":201"
        } else {
            "\"status\":400,\"error\":{\"type\":\"document_parsing_exception\",\"reason\":\"failed to parse\"}"
        };
        let comma = if said.is_empty() { "" } else { "," };
        said.push_str(&format!("{comma}{{\"index\":{{\"_id\":{id},{end}}}}}"));
    }
    json(out, 200, &format!("{{\"took\":1,\"errors\":{errors},\"items\":[{said}]}}"))
}

/// The `_id` of `{"index": {"_id": "…"}}` or `create`; the outer `None` for a line that is no action.
fn key_of(action: &[u8]) -> Option<Option<&[u8]>> {
    let (mut key, mut known) = (None, false);
    members(action, |name, value| {
        if matches!(name, b"index" | b"create") {
            known = true;
            members(value, |name, value| {
                if name == b"_id" {
                    key = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\""));
                }
            });
        }
    })?;
    known.then_some(key)
}

/// `{"user": U, "videos": [{"key": KEY, "video": V}, …]}`.
pub(super) fn videos(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Written {
    let (mut user, mut list) = (None, None);
    let read = members(&request.body, |name, value| match name {
        b"user" => user = Some(value),
        b"videos" => list = Some(value),
        _ => {}
    });
    let (Some(()), Some(user), Some(list)) = (read, user, list) else {
        return message(out, 400, "the body is not an object with user and videos");
    };
    let mut documents = Vec::new();
    let read = elements(list, |entry| {
        let (mut key, mut video) = (None, None);
        members(entry, |name, value| match name {
            b"key" => key = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")),
            b"video" => video = Some(value),
            _ => {}
        });
        documents.push((key, video.map(|video| Document::check(world, user, video))));
    });
    if read.is_none() || documents.iter().any(|(_, document)| document.is_none()) {
        return message(out, 400, "videos is not a list of objects with video");
    }
    let documents: Vec<_> = documents.into_iter().filter_map(|(key, d)| d.map(|d| (key, d))).collect();
    if documents.iter().any(|(_, document)| document.is_refused(live, script)) {
        live.record.refused(documents.len() as u64);
        return message(out, 422, "a video is refused, so all of them are");
    }
    for (key, document) in documents {
        take(live, script, document, (key, &request.body));
    }
    json(out, 201, "{\"result\":\"created\"}")
}

fn json(out: &mut Vec<u8>, status: u16, body: &str) -> Written {
    Head::start(out, status).header("content-type", "application/json").end(body.len());
    out.extend_from_slice(body.as_bytes());
    Written { status, body: body.len() }
}
