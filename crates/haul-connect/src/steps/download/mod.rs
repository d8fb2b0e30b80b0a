//! `download`: the files that a record names, verified and saved together. An item is done when all of
//! them are; one that fails leaves nothing in the destination.

mod absent;
mod ask;
mod body;
mod catalog;
mod claims;
mod compare;
mod deliver;
mod depot;
mod digest;
mod fetching;
mod filter;
mod finishing;
mod flows;
mod fresh;
mod hashed;
mod home;
mod inlet;
pub(crate) mod kind;
mod look;
mod names;
mod note;
mod part;
mod proved;
mod ranges;
mod recent;
mod rows;
mod wanted;

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use haul_core::step::{Applied, Effect, Step};
use haul_core::{Cx, Fault, FaultClass, Item};

pub use claims::Claiming;
pub use compare::{Compared, Comparison, Standing};
pub use deliver::{Deliver, DeliverSpec};
pub use depot::Depot;
pub use digest::Checksum;
pub use home::Home;
pub use wanted::{WantedError, WantedFiles};

use crate::http::redact::redact;
use crate::http::reply::bounded;
use crate::http::{Client, HeaderLines, StatusRules, Url};
use crate::stores::disk::{disk_fault, mtime, write};
use body::{Body, Written};
use depot::{Files, Open, PartPath, Prepared, lock};
use digest::Digests;
use flows::Flows;
use home::Homes;
use part::{Complete, Expected, NOTED_FROM, Part, check_type};
use wanted::Wanted;

/// What a download step is made of.
pub struct DownloadSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Which files, and what they are called.
    pub files: Arc<WantedFiles>,
    /// Where they go.
    pub depot: Arc<Depot>,
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
    /// Replace files that are there and not known.
    pub overwrite: bool,
    /// Bytes of the disk that stay free.
    pub keep_free: u64,
}

/// A download.
pub struct Download {
    spec: DownloadSpec,
    homes: Homes,
    flows: Flows,
}

/// What became of one file.
enum Got {
    /// It is there already; true: since this reading of the source.
    There(bool),
    /// It is verified.
    Prepared(Arc<Prepared>),
    /// A status says that it is not needed.
    Absent(u16),
    /// A status says that the item is not needed.
    Skip(u16),
}

/// A file with its name and place.
struct Target<'a> {
    wanted: &'a Wanted,
    url: &'a Url,
    url_hash: u64,
    name: String,
}

impl Download {
    /// A step.
    pub fn new(mut spec: DownloadSpec) -> Self {
        let homes = Homes::new(std::mem::take(&mut spec.homes), &spec.headers);
        Download { spec, homes, flows: Flows::default() }
    }

    async fn all(&self, item: &Item, wanted: &[Wanted], cx: &Cx<'_>) -> Result<Applied, Fault> {
        let open = self.spec.depot.get()?;
        let place = (item.slice, item.seq);
        let mut kept = open.take_kept(place);
        let mut ready = Vec::with_capacity(wanted.len());
        let (mut there, mut earlier) = (0, 0);
        for each in wanted {
            match self.one(item, each, &mut kept, open, cx).await {
                Ok(Got::There(now)) => {
                    there += 1;
                    earlier += usize::from(!now);
                }
                Ok(Got::Prepared(file)) => ready.push(file),
                Ok(Got::Absent(_)) => {}
                Ok(Got::Skip(status)) => {
                    ready.append(&mut kept);
                    open.discard(&ready);
                    all_absent(&mut lock(&open.catalog), item, wanted, status)?;
                    return Ok(Applied::skip(format!("{}: {status}", self.spec.name)));
                }
                Err(fault) => {
                    ready.append(&mut kept);
                    match fault.class() {
                        FaultClass::Transient | FaultClass::Throttled => open.keep(place, ready),
                        FaultClass::Permanent | FaultClass::Fatal => open.discard(&ready),
                    }
                    return Err(fault);
                }
            }
        }
        open.discard(&kept);
        if !ready.is_empty() {
            open.prepare(place, ready);
            return Ok(Applied::next());
        }
        Ok(if there > 0 && earlier == there { Applied::skip("there already") } else { Applied::next() })
    }

    async fn one(
        &self,
        item: &Item,
        wanted: &Wanted,
        kept: &mut Files,
        open: &Open,
        cx: &Cx<'_>,
    ) -> Result<Got, Fault> {
        let url = Url::parse(&wanted.url).map_err(|e| Fault::permanent("url", bounded(e.to_string())))?;
        let (url_hash, owner) = (wanted.url_hash(), wanted.owner(&item.key));
        let (path, name, row, saved_now) = {
            let mut catalog = lock(&open.catalog);
            let (path, name, row) = claims::name(&mut catalog, &wanted.name, owner, url_hash)?;
            let saved_now = catalog.is_saved_now(&row);
            (path, name, row, saved_now)
        };
        let target = Target { wanted, url: &url, url_hash, name };
        let checksum = wanted.checksum.as_ref().map(Checksum::text).unwrap_or_default();
        if let Some(saved) = row.saved.as_ref().filter(|s| s.url == url_hash && s.checksum == checksum)
            && self.is_there(open, saved)?
        {
            return Ok(Got::There(saved_now));
        }
        if let Some(at) = kept.iter().position(|k| k.url == url_hash && k.name == target.name) {
            return Ok(Got::Prepared(kept.swap_remove(at)));
        }
        let began = Instant::now();
        let (complete, body) = match self.fetch_or_copy(item, &target, open, cx).await? {
            Ok(found) => found,
            Err(Got::Absent(status)) => {
                lock(&open.catalog).absent(path, url_hash, status)?;
                return Ok(Got::Absent(status));
            }
            Err(other) => return Ok(other),
        };
        let mut prepared = Prepared {
            body,
            name: target.name,
            path,
            owner,
            url: url_hash,
            shown_url: redact(url.as_str()).into_owned(),
            key: item.key.to_string(),
            complete,
            checksum,
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            is_new: false,
        };
        prepared.is_new = row.saved.is_none() && self.check_foreign(open, &prepared)? && !self.spec.overwrite;
        let prepared = Arc::new(prepared);
        open.land(&prepared);
        Ok(Got::Prepared(prepared))
    }

    /// True when a file stands as it was saved. One that was only touched is read once.
    fn is_there(&self, open: &Open, saved: &rows::Saved) -> Result<bool, Fault> {
        let path = open.target(&saved.name);
        let Ok(meta) = std::fs::metadata(&path) else { return Ok(false) };
        if !meta.is_file() || meta.len() != saved.bytes {
            return Ok(false);
        }
        Ok(mtime(&meta) == saved.mtime || crc_of(&path).is_ok_and(|crc| crc == saved.crc))
    }

    /// A file of the same name that this run knows nothing of is not replaced, unless it is the same. True when
    /// there is none.
    fn check_foreign(&self, open: &Open, file: &Prepared) -> Result<bool, Fault> {
        if open.was_empty {
            return Ok(true);
        }
        let path = open.target(&file.name);
        let Ok(meta) = std::fs::symlink_metadata(&path) else { return Ok(true) };
        let same = meta.is_file()
            && meta.len() == file.complete.bytes
            && crc_of(&path).is_ok_and(|crc| crc == file.complete.crc);
        if same || self.spec.overwrite && !meta.is_dir() {
            return Ok(false);
        }
        file.body.discard();
        let message =
            format!("\"{}\" is there and differs: move it away, or say --overwrite", path.display());
        Err(Fault::permanent("exists", bounded(message)))
    }

    /// The content of a URL: that of a file with the same URL, or fetched. `Ok(Err)`: there is none.
    async fn fetch_or_copy(
        &self,
        item: &Item,
        target: &Target<'_>,
        open: &Open,
        cx: &Cx<'_>,
    ) -> Result<Result<(Complete, Body), Got>, Fault> {
        let path = open.part(&target.name, (item.slice, item.seq));
        let _fetching = loop {
            if let Some((mut file, complete)) = open.twin(target.url_hash)?
                && target.wanted.checksum.is_none()
            {
                return copy(&mut file, &path, &complete, (target, open)).map(Ok);
            }
            match open.begin(target.url_hash) {
                Ok(fetching) => break fetching,
                Err(mut over) => {
                    // An error is what is waited for: the other one is done.
                    let _ = over.changed().await;
                }
            }
        };
        let expected = Expected {
            ext: &target.wanted.ext,
            checksum: target.wanted.checksum.as_ref(),
            url: target.url_hash,
            keep_free: self.spec.keep_free,
            noted: &open.noted,
            nameless: open.nameless.as_ref(),
        };
        let part = Mutex::new(Part::open(path, &expected)?);
        let fetched = self.fetch(&part, target, cx).await;
        let mut part = part.into_inner().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(None) => part.finish(target.url).await.map(Ok),
            Ok(Some(got)) => {
                part.discard();
                Ok(Err(got))
            }
            Err(fault) => {
                let goes_on = matches!(fault.class(), FaultClass::Transient | FaultClass::Throttled);
                let kept = (goes_on || fault.code() == "disk_full") && part.keep();
                if !kept && fault.code() != "disk_full" {
                    part.discard();
                }
                Err(fault)
            }
        }
    }
}

/// Notes that a status said that an item, and so none of its files, is needed.
fn all_absent(
    catalog: &mut catalog::Catalog,
    item: &Item,
    wanted: &[Wanted],
    status: u16,
) -> Result<(), Fault> {
    for wanted in wanted {
        let url = wanted.url_hash();
        let (path, ..) = claims::name(catalog, &wanted.name, wanted.owner(&item.key), url)?;
        catalog.absent(path, url, status)?;
    }
    Ok(())
}

/// CRC-32C of a file.
pub(crate) fn crc_of(path: &std::path::Path) -> std::io::Result<u32> {
    let mut file = std::fs::File::open(path)?;
    let (mut crc, mut buffer) = (0, vec![0; 256 * 1024]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(crc),
            Ok(n) => crc = crc32c::crc32c_append(crc, &buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Copies a verified file, which may be expected to be of another type here.
fn copy(
    from: &mut std::fs::File,
    to: &PartPath<'_>,
    complete: &Complete,
    (target, open): (&Target<'_>, &Open),
) -> Result<(Complete, Body), Fault> {
    let broken = |e: std::io::Error| disk_fault(to, &e);
    let nameless = open.nameless.as_ref().filter(|_| complete.bytes < NOTED_FROM);
    let out = Written::create(to, nameless).map_err(broken)?;
    let mut digests = Digests::new(None);
    let (mut buffer, mut len) = (vec![0; 128 * 1024], 0);
    loop {
        let n = match from.read(&mut buffer) {
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(broken(e)),
        };
        if len == 0
            && let Err(fault) = check_type(&buffer[..n], &target.wanted.ext, target.url)
        {
            Body::new(to, out).discard();
            return Err(fault);
        }
        if n == 0 {
            break;
        }
        write(&out, &buffer[..n]).map_err(broken)?;
        digests.update(&buffer[..n]);
        len += n as u64;
    }
    let crc = digests.finish().unwrap_or_default();
    if (crc, len) != (complete.crc, complete.bytes) {
        return Err(Fault::transient("copy", "a file changed while it was copied"));
    }
    let meta = out.metadata().map_err(broken)?;
    Ok((Complete { bytes: len, mtime: mtime(&meta), crc }, Body::new(to, out)))
}

#[async_trait]
impl Step for Download {
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
        match self.spec.client.options.witness.is_some() {
            true => self.look(&wanted, cx).await,
            false => self.all(item, &wanted, cx).await,
        }
    }
}
