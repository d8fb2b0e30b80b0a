//! An unfinished file: written block by block as it arrives, looked at from its first bytes, and kept
//! for another attempt when its connection breaks.
//!
//! A large one has a note beside it (`NAME.part.note`): what it is a part of, and in which boot of the
//! machine it was written. After a crash of the program it goes on where it was; after one of the
//! machine, when nobody knows which blocks are real, it starts over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use haul_core::{Fault, FaultClass};
use serde::{Deserialize, Serialize};

use super::digest::{Checksum, Digests};
use super::kind::{self, Mismatch};
use crate::http::Url;
use crate::http::fetch::{FetchHead, Receive};
use crate::http::reply::{bounded, excerpt, origin_of};
use crate::stores::disk::{available, disk_fault, is_full, mtime, no_room};

/// A file below this is not worth a note: it is fetched again.
const NOTED_FROM: u64 = 1024 * 1024;

/// What a note says.
#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
struct Note {
    url: u64,
    validator: String,
    length: u64,
    boot: String,
}

/// What is expected of a file.
pub(super) struct Expected<'a> {
    /// Extension in lower case; empty for none.
    pub(super) ext: &'a str,
    pub(super) checksum: Option<&'a Checksum>,
    /// Hash of its URL.
    pub(super) url: u64,
    /// Bytes of the disk that are to stay free.
    pub(super) keep_free: u64,
    /// Whether there may be notes; set when one is left.
    pub(super) noted: &'a AtomicBool,
}

/// A file that is complete and right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Complete {
    pub(super) bytes: u64,
    pub(super) mtime: i64,
    pub(super) crc: u32,
}

/// A file that is being written.
pub(super) struct Part<'a> {
    path: PathBuf,
    expected: &'a Expected<'a>,
    file: Option<File>,
    digests: Digests,
    /// Bytes written.
    pub(super) len: u64,
    /// `ETag` or `Last-Modified` of what was written.
    pub(super) validator: Option<String>,
    /// Length of the whole file, where it is known.
    whole: Option<u64>,
    noted: bool,
}

impl<'a> Part<'a> {
    /// A part at a path, with what an earlier attempt left of it, if that can be gone on with.
    pub(super) fn open(path: PathBuf, expected: &'a Expected<'a>) -> Result<Part<'a>, Fault> {
        let digests = Digests::new(expected.checksum);
        let mut part =
            Part { path, expected, file: None, digests, len: 0, validator: None, whole: None, noted: false };
        if expected.noted.load(Ordering::Relaxed)
            && let Some(note) = part.note().filter(|n| n.url == expected.url && n.boot == boot())
        {
            part.adopt(&note).map_err(|e| part.broken(&e))?;
        }
        Ok(part)
    }

    fn note_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".note");
        name.into()
    }

    fn note(&self) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.note_path()).ok()?).ok()
    }

    /// Goes on with what is there; its checksums are computed again.
    fn adopt(&mut self, note: &Note) -> io::Result<()> {
        let Ok(mut file) = OpenOptions::new().read(true).append(true).open(&self.path) else { return Ok(()) };
        let len = file.metadata()?.len();
        if len == 0 || len > note.length {
            return Ok(());
        }
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => self.digests.update(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        (self.file, self.len, self.noted) = (Some(file), len, true);
        (self.validator, self.whole) = (Some(note.validator.clone()), Some(note.length));
        Ok(())
    }

    /// True when all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.len > 0 && self.whole == Some(self.len)
    }

    /// Forgets what was written.
    pub(super) fn restart(&mut self) -> Result<(), Fault> {
        if self.len > 0
            && let Some(file) = &self.file
        {
            file.set_len(0).map_err(|e| self.broken(&e))?;
        }
        self.digests = Digests::new(self.expected.checksum);
        (self.len, self.validator, self.whole) = (0, None, None);
        Ok(())
    }

    /// Checks it as a whole and closes it.
    pub(super) fn finish(mut self, url: &Url) -> Result<Complete, Fault> {
        if self.len == 0 {
            let message = bounded(format!("{url}: an empty file"));
            return Err(Fault::transient("empty", message).with_origin(origin_of(url)));
        }
        let digests = std::mem::replace(&mut self.digests, Digests::new(None));
        let crc = digests.finish().map_err(|differs| {
            Fault::transient("checksum", bounded(format!("{url}: {differs}"))).with_origin(origin_of(url))
        })?;
        let file = self.file.take().ok_or_else(|| Fault::transient("part", "the part is not open"))?;
        let meta = file.metadata().map_err(|e| self.broken(&e))?;
        if self.noted {
            // Without its part it would only be in the way.
            let _ = fs::remove_file(self.note_path());
        }
        Ok(Complete { bytes: self.len, mtime: mtime(&meta), crc })
    }

    /// Removes what was written.
    pub(super) fn discard(self) {
        if self.file.is_some() || self.noted {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(self.note_path());
        }
    }

    /// True when another attempt may go on with it.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.noted
    }

    fn create(&mut self) -> Result<(), Fault> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            let opened = options.read(true).write(true).create(true).truncate(true).open(&self.path);
            self.file = Some(opened.map_err(|e| self.broken(&e))?);
        }
        Ok(())
    }

    /// Leaves a note when the file is worth going on with.
    fn leave_note(&mut self) -> Result<(), Fault> {
        let (Some(length), Some(validator)) = (self.whole, &self.validator) else { return Ok(()) };
        // A weak validator does not say that bytes are equal (RFC 9110 §13.1.5).
        if length < NOTED_FROM || validator.starts_with("W/") {
            return Ok(());
        }
        let note = Note { url: self.expected.url, validator: validator.clone(), length, boot: boot() };
        let text = serde_json::to_vec(&note).unwrap_or_default();
        fs::write(self.note_path(), text).map_err(|e| self.broken(&e))?;
        self.noted = true;
        self.expected.noted.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Room for the rest, and what is to stay free beside it.
    fn check_room(&self, more: u64) -> Result<(), Fault> {
        if more < NOTED_FROM && self.expected.keep_free == 0 {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        match available(dir) {
            Some(free) if free < more.saturating_add(self.expected.keep_free) => {
                Err(no_room(dir, more.saturating_add(self.expected.keep_free) - free))
            }
            _ => Ok(()),
        }
    }

    fn broken(&self, e: &io::Error) -> Fault {
        disk_fault(&self.path, e)
    }
}

impl Receive for Part<'_> {
    fn head(&mut self, head: &FetchHead, url: &Url) -> Result<(), Fault> {
        let fault = |message: String| {
            Fault::transient("range", bounded(format!("{url}: {message}"))).with_origin(origin_of(url))
        };
        match head.range {
            Some((from, whole)) if self.len > 0 => {
                if from != self.len || whole.is_some() && whole != self.whole {
                    self.restart()?;
                    return Err(fault(format!(
                        "it was asked for the bytes from {} on and sends others",
                        self.len
                    )));
                }
            }
            Some((0, whole)) => self.whole = whole,
            Some(_) => return Err(fault("it sends a part that nobody asked for".to_owned())),
            None => {
                self.restart()?;
                self.whole = head.length;
            }
        }
        if head.validator.is_some() {
            self.validator.clone_from(&head.validator);
        }
        self.check_room(self.whole.unwrap_or(0).saturating_sub(self.len))
    }

    fn first(&mut self, bytes: &[u8], url: &Url) -> Result<(), Fault> {
        if self.len > 0 {
            return Ok(());
        }
        if bytes.is_empty() {
            let message = bounded(format!("{url}: an empty file"));
            return Err(Fault::transient("empty", message).with_origin(origin_of(url)));
        }
        check_type(bytes, self.expected.ext, url)?;
        self.create()?;
        self.leave_note()
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(file) = &mut self.file else {
            return Err(Fault::permanent("part", "bytes came before their beginning"));
        };
        if let Err(e) = file.write_all(bytes) {
            let missing = self.whole.unwrap_or(0).saturating_sub(self.len);
            return Err(if is_full(&e) {
                no_room(self.path.parent().unwrap_or(&self.path), missing)
            } else {
                disk_fault(&self.path, &e)
            });
        }
        self.digests.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// Whether first bytes are those of the type that is expected.
pub(super) fn check_type(bytes: &[u8], ext: &str, url: &Url) -> Result<(), Fault> {
    let head = &bytes[..bytes.len().min(kind::LOOKED_AT)];
    let Err(mismatch) = kind::check(ext, kind::look(head)) else { return Ok(()) };
    let (class, code, is) = match mismatch {
        Mismatch::Page(page) => {
            (FaultClass::Transient, "page", format!("{page} instead of {ext}: {}", excerpt(head, &[])))
        }
        Mismatch::Type(found) => (FaultClass::Permanent, "type", format!("{found} instead of {ext}")),
        Mismatch::Unknown => (FaultClass::Permanent, "type", format!("it does not begin like {ext}")),
    };
    Err(Fault::new(class, code, bounded(format!("{url}: {is}"))).with_origin(origin_of(url)))
}

/// Names this boot of the machine; empty where nobody can say, which matches itself.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
