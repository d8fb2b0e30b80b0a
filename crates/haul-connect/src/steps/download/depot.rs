//! Where the files of a run go: what is prepared, what is there, and how done items get theirs.
//!
//! ```text
//! DEST/.haul-part/RUN/NAME.SLICE-SEQ.part     while it arrives; a small one has no name
//! DEST/NAME                                   with the commit that makes its item done
//! RUN DIRECTORY/out/files.db                  names and what was saved under them
//! RUN DIRECTORY/out/receipts.jsonl.zst        a line for each file that was saved
//! ```
//!
//! A commit makes all prepared files durable at once (one `syncfs`), gives them their names, makes the
//! directories durable, and only then reaches the ledger.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use haul_core::finish::Finish;
use haul_core::{Fault, Seq, SliceId};
use tokio::sync::watch;

use super::body::{Body, Nameless};
use super::catalog::Catalog;
use super::finishing::Finishing;
use super::hashed::ByHash;
use super::part::Complete;
use crate::stores::PART_DIR;
use crate::stores::disk::mtime;

/// Items whose verified files wait for the rest of theirs; more are fetched again.
const KEPT_ITEMS: usize = 4096;

/// An item's place.
pub(super) type Place = (SliceId, Seq);

/// A verified file that waits for its commit.
pub(super) struct Prepared {
    pub(super) body: Body,
    /// Relative to the destination.
    pub(super) name: String,
    pub(super) path: u64,
    pub(super) owner: u64,
    pub(super) url: u64,
    /// What its receipt says.
    pub(super) shown_url: String,
    pub(super) key: String,
    pub(super) complete: Complete,
    pub(super) checksum: String,
    pub(super) ms: u64,
    /// Nothing of its name was there.
    pub(super) is_new: bool,
}

/// Those of one item, or of many.
pub(super) type Files = Vec<Arc<Prepared>>;

/// See the module.
pub struct Depot {
    to: PathBuf,
    open: OnceLock<Open>,
}

pub(super) struct Open {
    dest: PathBuf,
    /// Some part may have a note of an earlier attempt.
    pub(super) noted: AtomicBool,
    parts: PathBuf,
    /// Where small files have no name until their commit.
    pub(super) nameless: Option<Arc<Nameless>>,
    /// The destination had no files when it was opened: what is there has come from this process.
    pub(super) was_empty: bool,
    pub(super) catalog: Mutex<Catalog>,
    prepared: Mutex<HashMap<Place, Files>>,
    kept: Mutex<HashMap<Place, Files>>,
    /// Verified files by URL, until the catalog has them.
    landed: Mutex<ByHash<Arc<Prepared>>>,
    /// URLs that are being fetched, and who waits for that.
    busy: Mutex<ByHash<Option<watch::Sender<()>>>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Depot {
    /// A destination; nothing is touched before [`Depot::open`].
    pub fn new(to: PathBuf) -> Self {
        Depot { to, open: OnceLock::new() }
    }

    /// Opens it for a run: `out` is a directory of the run, `pass` names this reading of the source.
    ///
    /// # Errors
    /// Fatal when the destination cannot be made or written.
    pub fn open(self: &Arc<Self>, run: &str, out: &Path, pass: u64) -> Result<Box<dyn Finish>, Fault> {
        let parts = self.to.join(PART_DIR).join(run);
        let was_empty = is_empty(&self.to);
        fs::create_dir_all(&parts).map_err(|e| unwritable(&self.to, &e))?;
        let probe = parts.join(".probe");
        let nameless = Nameless::new(&parts, &probe);
        if nameless.is_none() {
            let made = File::create(&probe).and_then(|_| fs::remove_file(&probe));
            made.map_err(|e| unwritable(&self.to, &e))?;
        }
        let left = fs::read_dir(&parts).map_err(|e| unwritable(&self.to, &e))?.next().is_some();
        let catalog = Catalog::open(&out.join("files.db"), pass)?;
        let finishing = Finishing::new(self, out, &catalog)?;
        let open = Open {
            dest: self.to.clone(),
            noted: AtomicBool::new(left),
            parts,
            nameless,
            was_empty,
            catalog: Mutex::new(catalog),
            prepared: Mutex::default(),
            kept: Mutex::default(),
            landed: Mutex::default(),
            busy: Mutex::default(),
        };
        if self.open.set(open).is_err() {
            return Err(Fault::fatal("destination", "a destination is opened once"));
        }
        Ok(Box::new(finishing))
    }

    /// The destination.
    pub fn to(&self) -> &Path {
        &self.to
    }

    /// What is open.
    pub(super) fn get(&self) -> Result<&Open, Fault> {
        self.open.get().ok_or_else(|| Fault::permanent("destination", "files are saved by a run only"))
    }

    /// Removes everything unfinished: the run is at its end, and nothing of it is needed.
    pub fn sweep(&self) {
        if let Some(open) = self.open.get() {
            remove_parts(&self.to, &open.parts);
        }
    }

    /// Removes what a run has left unfinished in a destination: the run is deleted.
    pub fn forget(to: &Path, run: &str) {
        remove_parts(to, &to.join(PART_DIR).join(run));
    }
}

/// True for a directory without files of its own, and for one that is to be made.
fn is_empty(to: &Path) -> bool {
    match fs::read_dir(to) {
        Ok(mut entries) => entries.all(|e| e.is_ok_and(|e| e.file_name() == PART_DIR)),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

fn remove_parts(to: &Path, parts: &Path) {
    // What cannot be removed is in nobody's way; the directory of all runs stays while others use it.
    let _ = fs::remove_dir_all(parts);
    let _ = fs::remove_dir(to.join(PART_DIR));
}

pub(super) fn unwritable(to: &Path, e: &io::Error) -> Fault {
    let why = match e.kind() {
        io::ErrorKind::PermissionDenied => {
            "permission denied: make it writable, or choose another --to".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only: choose another --to".to_owned(),
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "it is no directory: choose another --to".to_owned()
        }
        _ => e.to_string(),
    };
    Fault::fatal("destination", format!("{}: {why}", to.display()))
}

impl Open {
    /// Where the part of a file is written, if it has a name.
    pub(super) fn part<'a>(&'a self, name: &'a str, place: Place) -> PartPath<'a> {
        PartPath { parts: &self.parts, name, place, path: OnceCell::new() }
    }

    /// A name that a file has for a moment, which has had none and replaces another.
    pub(super) fn between(&self, file: &Prepared) -> PathBuf {
        self.parts.join(format!("{:016x}.part", file.path))
    }

    /// Where a file stands in the end.
    pub(super) fn target(&self, name: &str) -> PathBuf {
        self.dest.join(name)
    }

    /// Verified files of an item that an earlier attempt left.
    pub(super) fn take_kept(&self, place: Place) -> Files {
        let mut kept = lock(&self.kept);
        if kept.is_empty() { Files::new() } else { kept.remove(&place).unwrap_or_default() }
    }

    /// Keeps verified files of an item for its next attempt.
    pub(super) fn keep(&self, place: Place, files: Files) {
        let mut kept = lock(&self.kept);
        if files.is_empty() {
            return;
        }
        if kept.len() >= KEPT_ITEMS {
            drop(kept);
            self.discard(&files);
        } else {
            kept.insert(place, files);
        }
    }

    /// Removes verified files of an item that fails.
    pub(super) fn discard(&self, files: &[Arc<Prepared>]) {
        let mut landed = lock(&self.landed);
        for file in files {
            if landed.get(&file.url).is_some_and(|landed| Arc::ptr_eq(landed, file)) {
                landed.remove(&file.url);
            }
            file.body.discard();
        }
    }

    /// What was prepared for items, which leave here.
    pub(super) fn take_prepared(&self, done: &[Place]) -> Files {
        let mut prepared = lock(&self.prepared);
        done.iter().filter_map(|place| prepared.remove(place)).flatten().collect()
    }

    /// Files whose rows the catalog has by now.
    pub(super) fn settled(&self, files: &[Arc<Prepared>]) {
        let mut landed = lock(&self.landed);
        for file in files {
            landed.remove(&file.url);
        }
    }

    /// The files of an item are complete: its commit gives them their names.
    pub(super) fn prepare(&self, place: Place, files: Files) {
        lock(&self.prepared).insert(place, files);
    }

    /// A file was verified: others with the same URL are copied from it.
    pub(super) fn land(&self, file: &Arc<Prepared>) {
        lock(&self.landed).insert(file.url, file.clone());
    }

    /// An open file with the content of a URL, if there is one, and what is known of it.
    pub(super) fn twin(&self, url: u64) -> Result<Option<(File, Complete)>, Fault> {
        if let Some(landed) = lock(&self.landed).get(&url) {
            // It may be getting its name just now.
            let opened = landed.body.open().or_else(|_| File::open(self.target(&landed.name)));
            if let Ok(file) = opened {
                return Ok(Some((file, landed.complete)));
            }
        }
        let Some(saved) = lock(&self.catalog).of_url(url)? else { return Ok(None) };
        let Ok(file) = File::open(self.target(&saved.name)) else { return Ok(None) };
        let same = file.metadata().is_ok_and(|m| m.len() == saved.bytes && mtime(&m) == saved.mtime);
        let complete = Complete { bytes: saved.bytes, mtime: saved.mtime, crc: saved.crc };
        Ok(same.then_some((file, complete)))
    }

    /// The right to fetch a URL; `Err`: somebody does, wait until that is over.
    pub(super) fn begin(&self, url: u64) -> Result<Fetching<'_>, watch::Receiver<()>> {
        let mut busy = lock(&self.busy);
        if let Some(over) = busy.get_mut(&url) {
            return Err(over.get_or_insert_with(|| watch::channel(()).0).subscribe());
        }
        busy.insert(url, None);
        Ok(Fetching { open: self, url })
    }
}

/// The right to fetch a URL; whoever waits for it goes on when this is dropped.
pub(super) struct Fetching<'a> {
    open: &'a Open,
    url: u64,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        lock(&self.open.busy).remove(&self.url);
    }
}

/// The path of a part, which most files do without.
pub(super) struct PartPath<'a> {
    parts: &'a Path,
    name: &'a str,
    place: Place,
    path: OnceCell<PathBuf>,
}

impl Deref for PartPath<'_> {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.path.get_or_init(|| {
            let flat = self.name.replace('/', "%2F");
            // The end of a name says most; a part with its note must not be too long a name.
            let is_start = |at: &usize| flat.is_char_boundary(*at);
            let from = (flat.len().saturating_sub(180)..flat.len()).find(is_start).unwrap_or(0);
            let (slice, seq) = self.place;
            self.parts.join(format!("{}.{slice}-{seq}.part", &flat[from..]))
        })
    }
}
