//! The simulated services: one file each.

mod bulk;
mod catalogue;
mod files;
mod index;
pub(crate) mod pages;
mod s3;
mod users;
mod videos;

use serde::{Deserialize, Serialize};

pub(crate) use catalogue::Catalogue;
pub use files::FileKind;
pub(crate) use files::{Files, Part, kind as file_kind};
pub(crate) use index::pair;
pub(crate) use s3::S3;
pub use s3::{ACCESS_KEY, ODD_KEYS, SECRET_KEY, StoredObject};

use crate::http::{Head, Request};
use crate::script::Script;
use crate::world::{Live, World};

/// A service the lab can play.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// `GET /users/ID`
    Users,
    /// `GET /videos/ID`
    Videos,
    /// `POST /index`
    Index,
    /// `GET /files/ID-SIZE.EXT`
    Files,
    /// `GET /foodstats`, and lists in other paging styles
    Pages,
    /// `/BUCKET/KEY`
    S3,
}

impl Service {
    /// All of them, in the order of their default ports.
    pub const ALL: [Service; 6] =
        [Service::Users, Service::Videos, Service::Index, Service::Pages, Service::Files, Service::S3];

    /// The word of the command line, in URLs and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Users => "users",
            Service::Videos => "videos",
            Service::Index => "index",
            Service::Files => "files",
            Service::Pages => "pages",
            Service::S3 => "s3",
        }
    }

    /// The inverse of [`Service::as_str`]; the message names what there is.
    pub fn from_word(word: &str) -> Result<Self, String> {
        Service::ALL.into_iter().find(|s| s.as_str() == word).ok_or_else(|| {
            let known = Service::ALL.map(Service::as_str).join(", ");
            format!("\"{word}\" is not a service of the lab: it has {known}")
        })
    }

    /// Where it stands above the base port.
    pub fn port_offset(self) -> u16 {
        match self {
            Service::Users => 0,
            Service::Videos => 1,
            Service::Index => 2,
            Service::Files => 4,
            Service::Pages => 3,
            Service::S3 => 5,
        }
    }
}

/// Users and videos as they are for this seed.
pub(crate) fn catalogues(seed: u64) -> (Catalogue, Catalogue) {
    (users::catalogue(seed), videos::catalogue(seed))
}

/// The reply that was appended: its status and the length of its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) status: u16,
    pub(crate) body: usize,
}

/// Does what the request asks for and appends the reply. Of a file only the head is appended: what
/// follows it is returned.
pub(crate) fn answer(
    world: &World,
    live: &Live,
    script: &Script,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> (Written, Option<Part>) {
    let written = match live.service {
        Service::Users => users::answer(world, live, script, request, out),
        Service::Videos => videos::answer(world, live, script, request, out),
        Service::Index => index::answer(world, live, script, request, out),
        Service::Files => return files::answer(world, live, script, request, out),
        Service::Pages => pages::answer(world, live, script, request, out),
        Service::S3 => return s3::answer(world, live, script, request, out),
    };
    (written, None)
}

/// Answers `GET {prefix}ID` from a catalogue: what users and videos share.
fn look_up(
    catalogue: &Catalogue,
    prefix: &str,
    (live, script): (&Live, &Script),
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Written {
    if request.method != "GET" {
        return message(out, 405, "only GET");
    }
    let path = request.path.split('?').next().unwrap_or_default();
    let Some(id) = path.strip_prefix(prefix) else {
        return message(out, 404, "no such path");
    };
    let Ok(id) = id.parse::<u64>() else {
        return message(out, 400, "the id is not an integer");
    };
    if script.is_missing(live.seed, id) {
        return message(out, 404, "no such id");
    }
    live.record.served(id);
    let body = catalogue.reply(id, script.gzip, out);
    Written { status: 200, body }
}

/// Appends a short JSON reply.
pub(crate) fn message(out: &mut Vec<u8>, status: u16, text: &str) -> Written {
    let body = format!("{{\"error\":\"{text}\"}}");
    Head::start(out, status).header("content-type", "application/json").end(body.len());
    out.extend_from_slice(body.as_bytes());
    Written { status, body: body.len() }
}
