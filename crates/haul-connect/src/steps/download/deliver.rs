//! `download` into a store: what a record names goes straight there, piece by piece, and nothing is saved
//! on the way.
//!
//! A file is verified as in a directory (type, length, checksum) before its put completes: the last piece
//! is sent on only then. What is put carries whose file it is and of which URL, so that a file that is there
//! is known, one that changed is replaced, and one of somebody else is left alone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use haul_core::limits::COPY_PART;
use haul_core::record::write_json_string;
use haul_core::step::{Applied, Effect, Step};
use haul_core::store::{Content, Meta, Part, Parts, Receipt, Upload};
use haul_core::{Cx, Fault, Item, Key};
use serde::{Deserialize, Serialize};

use super::digest::Checksum;
use super::fresh::Fresh;
use super::home::{Home, Homes};
use super::part::check_type;
use super::proved::Proved;
use super::wanted::{Wanted, WantedFiles};
use crate::http::pull::{Answer, Pulled};
use crate::http::redact::redact;
use crate::http::reply::{bounded, origin_of};
use crate::http::{
    BodyUse, Call, Client, HeaderLines, Meaning, Method, Reply, RequestHeaders, StatusRules, Url,
};
use crate::steps::content_type::content_type;
use crate::steps::room::Room;
use crate::stores::{Peeked, Place, Whole};

/// Metadata that says whose file an object is, and of which URL and checksum.
const OWNER: &str = "meta-haul-item";
const SOURCE: &str = "meta-haul-source";
/// Fields of a reply that go along.
const CARRIED: [&str; 5] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type"];
/// What says nothing of a content.
const NO_TYPE: [&str; 2] = ["application/octet-stream", "binary/octet-stream"];

/// What a step is made of.
pub struct DeliverSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Which files, and what they are called.
    pub files: Arc<WantedFiles>,
    /// Where they go.
    pub to: Place,
    /// The connections of the run.
    pub client: Arc<Client>,
    /// Services whose headers and secrets go along to them.
    pub homes: Vec<Home>,
    /// What statuses mean.
    pub rules: StatusRules,
    /// Headers of this step.
    pub headers: HeaderLines,
    /// Time to the head of a reply.
    pub timeout: Duration,
    /// Replace objects that are there and not known.
    pub overwrite: bool,
}

/// See the module.
pub struct Deliver {
    spec: DeliverSpec,
    homes: Homes,
    room: Room,
    /// Keys on their way.
    under_way: Mutex<HashSet<Key>>,
    fresh: Fresh,
}

/// What became of one file.
enum Got {
    There,
    Put(Box<Delivered>),
    /// A status says that it is not needed.
    Absent,
    /// A status says that the item is not needed.
    Skip(u16),
}

/// A file that was put.
struct Delivered {
    key: Key,
    url: String,
    receipt: Receipt,
    crc32c: u32,
    /// The manifest said a checksum.
    checked: bool,
}

/// What is kept of an upload in parts.
#[derive(Serialize, Deserialize)]
struct Note {
    key: String,
    /// `None`: it was about to begin.
    upload: Option<String>,
}

/// A key that is on its way through this step alone.
struct Claim<'a>(&'a Deliver, Key);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Deliver {
    /// A step.
    pub fn new(mut spec: DeliverSpec) -> Self {
        let homes = Homes::new(std::mem::take(&mut spec.homes), &spec.headers);
        Deliver { spec, homes, room: Room::default(), under_way: Mutex::default(), fresh: Fresh::default() }
    }

    fn claim(&self, key: &Key) -> Result<Claim<'_>, Fault> {
        let new = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        let busy =
            || Fault::transient("busy", format!("\"{key}\" is on its way for another item")).uncharged();
        if new { Ok(Claim(self, key.clone())) } else { Err(busy()) }
    }

    async fn one(&self, item: &Item, wanted: &Wanted, cx: &Cx<'_>) -> Result<Got, Fault> {
        let url = Url::parse(&wanted.url).map_err(|e| Fault::permanent("url", bounded(e.to_string())))?;
        let key = Key::from([&self.spec.to.prefix.0[..], wanted.name.as_bytes()].concat());
        let _claim = self.claim(&key)?;
        let marks = marks(item, wanted);
        let there = match self.fresh.may_be_there(&self.spec.to, &key, cx).await {
            true => self.spec.to.store.head(&key, cx).await?,
            false => None,
        };
        if let Some(there) = there {
            let has = |mark: &(Box<str>, Box<str>)| there.headers.contains(mark);
            if has(&marks[1]) {
                return Ok(Got::There);
            }
            if !has(&marks[0]) && !self.spec.overwrite {
                let to = &self.spec.to;
                let what =
                    format!("{to}: \"{key}\" is there and is another: move it away, or say --overwrite");
                return Err(Fault::permanent("exists", bounded(what)));
            }
        }
        let _room = self.room.enter(u64::MAX, cx).await;
        let (pulled, reply) = match self.ask(&url, cx).await? {
            Ok(pulled) => pulled,
            Err(got) => return Ok(got),
        };
        let (len, head) = reply;
        let mut content = Peeked { first: None, rest: pulled };
        content.first = content.rest.next(cx).await?;
        let first = content.first.clone().unwrap_or_default();
        if first.is_empty() {
            let what = bounded(format!("{url}: an empty file"));
            return Err(Fault::transient("empty", what).with_origin(origin_of(&url)));
        }
        check_type(&first, &wanted.ext, &url)?;
        let mut headers: Vec<_> = head.into_iter().chain(marks).collect();
        if headers.iter().all(|(name, _)| &**name != "content-type") {
            headers.extend(content_type(&key, &first).map(|kind| ("content-type".into(), kind.into())));
        }
        headers.sort();
        let md5 = wanted.checksum.as_ref().and_then(Checksum::md5);
        let meta = Meta { len: len.unwrap_or_default(), md5, headers, ..Meta::default() };
        let mut content = Proved::new(&mut content, wanted.checksum.as_ref(), &url);
        let receipt = match len {
            Some(_) => self.spec.to.store.put(&key, &meta, &mut content, cx).await?,
            None => self.unmeasured(item, (&key, meta), &mut content, cx).await?,
        };
        Ok(Got::Put(Box::new(Delivered {
            key,
            url: redact(url.as_str()).into_owned(),
            receipt,
            crc32c: content.crc32c(),
            checked: wanted.checksum.is_some(),
        })))
    }

    /// The body of a file, with its length, where that is said, and what of the head goes along.
    async fn ask(&self, url: &Url, cx: &Cx<'_>) -> Result<Result<(Box<Pulled>, Head), Got>, Fault> {
        let at_home = self.homes.of(url);
        let secret = at_home.lines().await?;
        let call = Call {
            method: Method::Get,
            url,
            headers: RequestHeaders {
                own: at_home.standard(),
                idempotency: None,
                configured: at_home.configured(),
                secret: &secret,
            },
            body: None,
            body_use: BodyUse::Object,
            timeout: self.spec.timeout,
        };
        let lane = at_home.lane(url, cx);
        let reply = match self.spec.client.pull(&call, lane, &self.spec.rules, cx).await? {
            Answer::Body(pulled) => {
                let head = (pulled.length, carried(&pulled.reply));
                return Ok(Ok((pulled, head)));
            }
            Answer::Reply(reply) => reply,
        };
        if matches!(reply.status, 401 | 403) {
            at_home.refused();
        }
        match self.spec.rules.meaning(reply.status) {
            Meaning::Skip => Ok(Err(Got::Skip(reply.status))),
            Meaning::Done | Meaning::Null => Ok(Err(Got::Absent)),
            Meaning::Success => Err(Fault::transient("body", bounded(format!("{url}: {}", reply.status)))),
            Meaning::Fault(class) => Err(reply.status_fault(class, &call, &self.spec.rules)),
        }
    }

    /// Puts what does not say how long it is: what is small is held, what is large goes in parts.
    async fn unmeasured(
        &self,
        item: &Item,
        (key, meta): (&Key, Meta),
        content: &mut Proved<'_>,
        cx: &Cx<'_>,
    ) -> Result<Receipt, Fault> {
        let _room = self.room.hold(COPY_PART, cx).await;
        let first = gathered(content, cx).await?;
        let store = &self.spec.to.store;
        let parts = store.parts().filter(|_| first.len() as u64 >= COPY_PART);
        let Some(parts) = parts else {
            let meta = Meta { len: first.len() as u64, ..meta };
            return store.put(key, &meta, &mut Whole(Some(first)), cx).await;
        };
        self.clear(item, parts, cx).await?;
        let mut note = Note { key: key.to_string(), upload: None };
        cx.memo.keep(note.to_json()).await;
        let id = parts.begin(key, &meta, cx).await?;
        note.upload = Some(id.to_string());
        cx.memo.keep(note.to_json()).await;
        let upload = Upload { key, id: &id };
        let done = match in_parts(parts, upload, (first, content), cx).await {
            Ok(all) => parts.complete(upload, &all, cx).await,
            Err(fault) => Err(fault),
        };
        if done.is_err() {
            // When that fails, the note of it stays with the item.
            let _ = parts.give_up(upload, cx).await;
        }
        done
    }

    /// Gives up what an earlier attempt began.
    async fn clear(&self, item: &Item, parts: &dyn Parts, cx: &Cx<'_>) -> Result<(), Fault> {
        let note = item.record.attached(&self.spec.name).and_then(|note| serde_json::from_slice(note).ok());
        let Some(Note { key, upload }) = note else { return Ok(()) };
        let key = Key::from(key);
        let stale = match upload {
            Some(id) => vec![id.into()],
            // It ended between the note and the reply.
            None => parts.open_uploads(&key, cx).await?,
        };
        for id in stale {
            parts.give_up(Upload { key: &key, id: &id }, cx).await?;
        }
        Ok(())
    }
}

impl Note {
    fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Length and fields of a reply.
type Head = (Option<u64>, Vec<(Box<str>, Box<str>)>);

fn carried(reply: &Reply) -> Vec<(Box<str>, Box<str>)> {
    let fields = reply.fields().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let known = fields.filter(|(name, value)| {
        CARRIED.contains(&name.as_str()) && !(name == "content-type" && NO_TYPE.contains(value))
    });
    known.map(|(name, value)| (name.into(), value.into())).collect()
}

/// Whose file it is, and of which URL and checksum.
fn marks(item: &Item, wanted: &Wanted) -> [(Box<str>, Box<str>); 2] {
    let checksum = wanted.checksum.as_ref().map(Checksum::text).unwrap_or_default();
    let source = xxhash_rust::xxh3::xxh3_64(format!("{}\n{checksum}", wanted.url).as_bytes());
    let owner = wanted.owner(&item.key);
    [(OWNER.into(), format!("{owner:016x}").into()), (SOURCE.into(), format!("{source:016x}").into())]
}

/// Up to the length of a part.
async fn gathered(content: &mut dyn Content, cx: &Cx<'_>) -> Result<Bytes, Fault> {
    let mut all = BytesMut::new();
    while (all.len() as u64) < COPY_PART {
        match content.next(cx).await? {
            Some(piece) => all.extend_from_slice(&piece),
            None => break,
        }
    }
    Ok(all.freeze())
}

async fn in_parts(
    parts: &dyn Parts,
    upload: Upload<'_>,
    (first, content): (Bytes, &mut dyn Content),
    cx: &Cx<'_>,
) -> Result<Vec<Part>, Fault> {
    let (mut all, mut piece) = (Vec::new(), first);
    while !piece.is_empty() {
        let number = u32::try_from(all.len() + 1).unwrap_or(u32::MAX);
        let len = piece.len() as u64;
        all.push(parts.part(upload, (number, len), &mut Whole(Some(piece)), cx).await?);
        piece = gathered(content, cx).await?;
    }
    Ok(all)
}

#[async_trait]
impl Step for Deliver {
    fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    fn effect(&self) -> Effect {
        Effect::IdempotentWrite
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        None
    }

    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Result<Applied, Fault> {
        let wanted = self.spec.files.of(item)?;
        if wanted.is_empty() {
            return Ok(Applied::skip("no files"));
        }
        let (mut put, mut there) = (Vec::new(), 0);
        for wanted in &wanted {
            match self.one(item, wanted, cx).await? {
                Got::There => there += 1,
                Got::Put(delivered) => put.push(delivered),
                Got::Absent => {}
                Got::Skip(status) => return Ok(Applied::skip(format!("{}: {status}", self.spec.name))),
            }
        }
        match put.is_empty() && there > 0 {
            true => Ok(Applied::skip("there already")),
            false => Ok(Applied::attach(attached(&put))),
        }
    }

    async fn abandon(&self, item: &Item, cx: &Cx<'_>) {
        if let Some(parts) = self.spec.to.store.parts() {
            // It stays until the service's own rules remove it.
            let _ = self.clear(item, parts, cx).await;
        }
    }
}

/// What the record says of its files, under the name of the step.
fn attached(put: &[Box<Delivered>]) -> Bytes {
    let mut json = Vec::from(b"[".as_slice());
    for (i, file) in put.iter().enumerate() {
        if i > 0 {
            json.push(b',');
        }
        let verified = match (file.checked, file.receipt.confirmed) {
            (true, _) => "checksum",
            (false, true) => "md5 of what was sent",
            (false, false) => "size",
        };
        let mut text = |name: &str, value: &str| {
            json.extend_from_slice(name.as_bytes());
            write_json_string(value, &mut json);
        };
        text("{\"key\":", &file.key.to_string());
        text(",\"url\":", &file.url);
        text(",\"etag\":", &file.receipt.version);
        text(",\"verified\":", verified);
        text(",\"crc32c\":", &format!("{:08x}", file.crc32c));
        json.extend_from_slice(format!(",\"bytes\":{}}}", file.receipt.len).as_bytes());
    }
    json.push(b']');
    json.into()
}
