//! An unfinished file: written as it arrives, looked at from its first bytes, and kept for another
//! attempt when a connection breaks. Several connections may bring parts of it.
//!
//! A large one has a note beside it: after a crash of the program it goes on where it was.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haul_core::limits::{SPREAD_FROM, SPREAD_NOTED};
use haul_core::{Fault, FaultClass};

use super::body::{Body, Nameless, Written};
use super::depot::PartPath;
use super::digest::{Checksum, Digests};
use super::flows::Flow;
use super::kind::{self, Mismatch};
use super::note::{Note, digest_rest};
use super::ranges::{Range, Ranges, UNKNOWN};
use crate::http::Url;
use crate::http::encoding::Coding;
use crate::http::fetch::FetchHead;
use crate::http::reply::{bounded, excerpt, origin_of};
use crate::stores::disk::{available, disk_fault, is_full, mtime, no_room, write_at};

/// A file below this is not worth a note: it is fetched again.
pub(super) const NOTED_FROM: u64 = 1024 * 1024;

/// The code of a connection whose part another has brought meanwhile.
pub(super) const LATE: &str = "late";

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
    /// Where small files have no name.
    pub(super) nameless: Option<&'a Arc<Nameless>>,
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
    path: PartPath<'a>,
    expected: &'a Expected<'a>,
    file: Option<Written>,
    digests: Digests,
    /// Bytes from the beginning that the checksums have seen.
    digested: u64,
    pub(super) ranges: Ranges,
    /// `ETag` or `Last-Modified` of what was written.
    pub(super) validator: Option<String>,
    /// Changes when it starts over: what comes for an earlier beginning is not written.
    pub(super) generation: u32,
    /// Where what comes of it is counted, once it is known to be large.
    pub(super) flow: Option<Arc<Flow>>,
    noted: bool,
    /// The note says which bytes are there.
    spread: bool,
    /// Bytes that were there when the note was written.
    noted_len: u64,
}

impl<'a> Part<'a> {
    /// A part at a path, with what an earlier attempt left of it, if that can be gone on with.
    pub(super) fn open(path: PartPath<'a>, expected: &'a Expected<'a>) -> Result<Part<'a>, Fault> {
        let mut part = Part {
            path,
            expected,
            file: None,
            digests: Digests::new(expected.checksum),
            digested: 0,
            ranges: Ranges::new(UNKNOWN, &[]),
            validator: None,
            generation: 0,
            flow: None,
            noted: false,
            spread: false,
            noted_len: 0,
        };
        if expected.noted.load(Ordering::Relaxed)
            && let Some(note) = Note::of(&part.path, expected.url)
        {
            part.adopt(&note).map_err(|e| part.broken(&e))?;
        }
        Ok(part)
    }

    /// Goes on with what is there; its checksums are computed when it is whole.
    fn adopt(&mut self, note: &Note) -> io::Result<()> {
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&*self.path) else { return Ok(()) };
        let len = file.metadata()?.len();
        let all = [(0, len)];
        let there = note.there.as_deref().unwrap_or(&all);
        if len == 0 || len > note.length || there.iter().any(|r| r.1 > len || r.0 >= r.1) {
            return Ok(());
        }
        (self.ranges, self.spread) = (Ranges::new(note.length, there), note.there.is_some());
        (self.file, self.noted, self.noted_len) = (Some(Written::named(file)), true, self.ranges.len());
        self.validator = Some(note.validator.clone());
        Ok(())
    }

    /// Forgets what was written.
    pub(super) fn restart(&mut self, length: Option<u64>) -> Result<(), Fault> {
        if self.noted {
            // It speaks of what is not there any more.
            Note::remove(&self.path);
        }
        if let Some(file) = self.file.take_if(|_| self.ranges.len() > 0).filter(|f| !f.is_nameless()) {
            file.set_len(0).map_err(|e| self.broken(&e))?;
            self.file = Some(file);
        }
        self.generation += u32::from(self.ranges.len() > 0);
        (self.digests, self.digested) = (Digests::new(self.expected.checksum), 0);
        (self.ranges, self.validator) = (Ranges::new(length.unwrap_or(UNKNOWN), &[]), None);
        (self.noted, self.spread, self.noted_len) = (false, false, 0);
        Ok(())
    }

    /// True when other connections may bring some of what is missing.
    pub(super) fn may_spread(&self) -> bool {
        // Only what is told apart byte by byte (RFC 9110 §8.8.1) can be put together.
        let strong = self.validator.as_deref().is_some_and(|v| v.starts_with('"'));
        strong && (SPREAD_FROM..UNKNOWN).contains(&self.ranges.whole())
    }

    /// True when the file itself is what the coding makes: it is not to be undone.
    pub(super) fn is_file_in(&self, coding: Coding) -> bool {
        match coding {
            Coding::Gzip => matches!(self.expected.ext, "gz" | "tgz" | "svgz"),
            Coding::Zstd => matches!(self.expected.ext, "zst" | "zstd"),
            Coding::Brotli => self.expected.ext == "br",
            Coding::Deflate | Coding::Identity => false,
        }
    }

    /// A connection begins to bring what it was asked for, none: all of it.
    pub(super) fn begin(
        &mut self,
        id: u32,
        asked: Option<Range>,
        (generation, head): (u32, &FetchHead),
        url: &Url,
    ) -> Result<(), Fault> {
        let fault = |message: &str| {
            Fault::transient("range", bounded(format!("{url}: {message}"))).with_origin(origin_of(url))
        };
        match (asked, head.range) {
            (Some(asked), Some((from, whole))) => {
                if generation != self.generation || self.is_another(from == asked.0, whole, head) {
                    if !self.ranges.has_others(id) {
                        self.restart(None)?;
                    }
                    return Err(fault("it was asked for a part of a file and sends one of another"));
                }
                if !self.ranges.claim(id, asked) {
                    return Err(Fault::transient(LATE, "another connection was quicker"));
                }
                if !self.ranges.is_plain() && !self.spread {
                    self.spread = true;
                    self.leave_note()?;
                }
            }
            (None, Some((0, whole @ Some(_)))) => {
                self.restart(whole)?;
                self.ranges.claim(id, (0, self.ranges.whole()));
            }
            (None, Some(_)) => return Err(fault("it sends a part that nobody asked for")),
            (Some(_), None) if self.ranges.has_others(id) => {
                return Err(fault("it sends all of the file when asked for a part"));
            }
            (_, None) => {
                self.restart(head.length)?;
                self.ranges.claim(id, (0, self.ranges.whole()));
            }
        }
        if head.validator.is_some() && asked.is_none_or(|_| head.range.is_none()) {
            self.validator.clone_from(&head.validator);
        }
        let whole = self.ranges.whole();
        let missing = if whole == UNKNOWN { 0 } else { whole - self.ranges.len() };
        self.check_room(missing)
    }

    /// True when a part that is sent is not one of what is there.
    fn is_another(&self, from_there: bool, whole: Option<u64>, head: &FetchHead) -> bool {
        let is_etag = |v: &&String| v.starts_with('"');
        let (ours, theirs) = (self.validator.as_ref(), head.validator.as_ref());
        let (ours, theirs) = (ours.filter(is_etag), theirs.filter(is_etag));
        let changed = ours.is_some() && theirs.is_some() && ours != theirs;
        !from_there || changed || whole.is_some_and(|whole| whole != self.ranges.whole())
    }

    /// The first bytes of what a connection brings: those of the file say what it is.
    pub(super) fn first(&mut self, id: u32, bytes: &[u8], url: &Url) -> Result<(), Fault> {
        if self.ranges.next(id).is_none_or(|(at, _)| at > 0) {
            return Ok(());
        }
        if bytes.is_empty() {
            return Err(empty(url));
        }
        check_type(bytes, self.expected.ext, url)?;
        self.create()?;
        if !self.noted { self.leave_note() } else { Ok(()) }
    }

    /// Writes what a connection brings; true when it has brought everything it was to bring.
    pub(super) fn write(&mut self, id: u32, bytes: &[u8]) -> Result<bool, Fault> {
        let Some(file) = &self.file else {
            return Err(Fault::permanent("part", "bytes came before their beginning"));
        };
        let Some((at, left)) = self.ranges.next(id) else { return Ok(true) };
        let bytes = &bytes[..usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())];
        if let Err(e) = write_at(file, bytes, at) {
            let missing = self.ranges.whole().saturating_sub(self.ranges.len());
            return Err(match is_full(&e) {
                true if self.ranges.whole() == UNKNOWN => self.no_room(0),
                true => self.no_room(missing),
                false => disk_fault(&self.path, &e),
            });
        }
        if at == self.digested {
            self.digests.update(bytes);
            self.digested += bytes.len() as u64;
        }
        self.ranges.came(id, bytes.len() as u64);
        if self.spread && self.ranges.len() - self.noted_len >= SPREAD_NOTED {
            self.leave_note()?;
        }
        Ok(bytes.len() as u64 == left)
    }

    /// The body of a connection has ended.
    pub(super) fn ended(&mut self) {
        self.ranges.ends_here();
    }

    /// Checks it as a whole and closes it.
    pub(super) async fn finish(mut self, url: &Url) -> Result<(Complete, Body), Fault> {
        let bytes = self.ranges.len();
        if bytes == 0 {
            return Err(empty(url));
        }
        let mut file = self.file.take().ok_or_else(|| Fault::transient("part", "the part is not open"))?;
        let mut digests = std::mem::replace(&mut self.digests, Digests::new(None));
        let from = self.digested;
        if from < bytes {
            // A long way through the file, which is not to hold up everything else.
            let read = tokio::task::spawn_blocking(move || {
                digest_rest(&file, from, &mut digests).map(|()| (file, digests))
            });
            let read = read.await.map_err(|e| Fault::transient("part", bounded(e.to_string())))?;
            (file, digests) = read.map_err(|e| self.broken(&e))?;
        }
        let crc = digests.finish().map_err(|differs| {
            Fault::transient("checksum", bounded(format!("{url}: {differs}"))).with_origin(origin_of(url))
        })?;
        let meta = file.metadata().map_err(|e| self.broken(&e))?;
        if self.noted {
            // Without its part it would only be in the way.
            Note::remove(&self.path);
        }
        Ok((Complete { bytes, mtime: mtime(&meta), crc }, Body::new(&self.path, file)))
    }

    /// Removes what was written.
    pub(super) fn discard(self) {
        if self.file.is_some_and(|file| !file.is_nameless()) || self.noted {
            let _ = fs::remove_file(&*self.path);
            Note::remove(&self.path);
        }
    }

    /// Leaves it to another attempt; false when that would have to start over.
    pub(super) fn keep(&mut self) -> bool {
        if self.spread {
            // An older note only means that some comes again.
            let _ = self.leave_note();
        }
        self.noted
    }

    fn create(&mut self) -> Result<(), Fault> {
        if self.file.is_none() {
            let nameless = self.expected.nameless.filter(|_| self.ranges.whole() < NOTED_FROM);
            self.file = Some(Written::create(&self.path, nameless).map_err(|e| self.broken(&e))?);
        }
        Ok(())
    }

    /// Leaves a note when the file is worth going on with.
    fn leave_note(&mut self) -> Result<(), Fault> {
        let (length, Some(validator)) = (self.ranges.whole(), &self.validator) else { return Ok(()) };
        // A weak validator does not say that bytes are equal (RFC 9110 §13.1.5).
        if !(NOTED_FROM..UNKNOWN).contains(&length) || validator.starts_with("W/") {
            return Ok(());
        }
        let there = self.spread.then(|| self.ranges.there().to_vec());
        let note = Note::new(self.expected.url, validator.clone(), length, there);
        note.leave(&self.path).map_err(|e| self.broken(&e))?;
        (self.noted, self.noted_len) = (true, self.ranges.len());
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

    fn no_room(&self, missing: u64) -> Fault {
        no_room(self.path.parent().unwrap_or(&self.path), missing)
    }

    fn broken(&self, e: &io::Error) -> Fault {
        disk_fault(&self.path, e)
    }
}

fn empty(url: &Url) -> Fault {
    Fault::transient("empty", bounded(format!("{url}: an empty file"))).with_origin(origin_of(url))
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
