//! `--spool`: standard input is kept in the run directory, so that it need not be fed again.
//!
//! A thread copies it to `spill/input`; the run reads that file as far as it is durable. A run that goes
//! on reads the file from where it was. Input that was cut off in the middle may be fed again: what the
//! file holds must be its beginning.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use haul_connect::rows::{ByteStream, OpenBytes};
use haul_core::{Cx, Fault};
use haul_engine::rundir::RunDir;
use tokio::sync::Notify;

/// Bytes copied, and read, at once.
const CHUNK: usize = 256 * 1024;

/// Whether a run keeps its input.
pub fn is_kept(dir: &RunDir) -> bool {
    input(dir).is_file()
}

fn input(dir: &RunDir) -> PathBuf {
    dir.spill().join("input")
}

/// There once the input was copied to its end.
fn whole(dir: &RunDir) -> PathBuf {
    dir.spill().join("input.whole")
}

/// Standard input on its way through a file. Cheap to clone.
#[derive(Clone, Default)]
pub struct Spool(Arc<Inner>);

#[derive(Default)]
struct Inner {
    path: OnceLock<PathBuf>,
    copied: Mutex<Copied>,
    more: Notify,
}

#[derive(Default)]
struct Copied {
    /// Bytes that are durable.
    bytes: u64,
    /// No more will come; the reason, if that is not the end of the input.
    ended: Option<Result<(), String>>,
}

impl Spool {
    fn copied(&self) -> MutexGuard<'_, Copied> {
        self.0.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Copied)) {
        change(&mut self.copied());
        self.0.more.notify_waiters();
    }

    /// Starts to copy for a run, unless all of it is there; `feed`: standard input may be read. Gives
    /// what a person should know.
    ///
    /// # Errors
    /// The file cannot be made or read.
    pub fn begin(&self, dir: &RunDir, feed: bool) -> io::Result<Option<String>> {
        let path = input(dir);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let held = file.metadata()?.len();
        // A second run of the same process does not happen.
        let _ = self.0.path.set(path);
        if whole(dir).is_file() {
            self.tell(|c| *c = Copied { bytes: held, ended: Some(Ok(())) });
            return Ok(None);
        }
        if !feed || io::stdin().is_terminal() && held > 0 {
            self.tell(|c| *c = Copied { bytes: held, ended: Some(Ok(())) });
            return Ok(Some(format!(
                "the copy of standard input was cut off after {held} bytes: feed the same input again for the rest"
            )));
        }
        file.sync_all()?;
        self.tell(|c| c.bytes = held);
        let (spool, done) = (self.clone(), whole(dir));
        std::thread::Builder::new().name("haul-spool".to_owned()).spawn(move || {
            let end = copy(io::stdin().lock(), file, held, |bytes| spool.tell(|c| c.bytes = bytes))
                .and_then(|()| File::create(done)?.sync_all())
                .map_err(|e| e.to_string());
            spool.tell(|c| c.ended = Some(end));
        })?;
        Ok(None)
    }

    /// Waits until all of it is copied.
    ///
    /// # Errors
    /// It cannot be copied.
    pub async fn finish(&self) -> Result<(), Fault> {
        loop {
            let more = self.0.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(end) = self.copied().ended.clone() {
                return end.map_err(fault);
            }
            more.await;
        }
    }
}

fn fault(why: String) -> Fault {
    Fault::fatal("source", format!("stdin: {why}"))
}

/// Copies `from` to the end of `to`, whose `held` bytes `from` begins with.
fn copy(mut from: impl Read, mut to: File, held: u64, mut durable: impl FnMut(u64)) -> io::Result<()> {
    same_beginning(&mut from, &mut to, held)?;
    let mut bytes = held;
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                to.sync_data()?;
                bytes += n as u64;
                durable(bytes);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Input that ends before what is held did is taken for all there is now.
fn same_beginning(from: &mut impl Read, held: &mut File, len: u64) -> io::Result<()> {
    held.rewind()?;
    let mut held = io::BufReader::with_capacity(CHUNK, held).take(len);
    let (mut a, mut b) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let n = match from.take(held.limit().min(CHUNK as u64)).read(&mut a) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if n == 0 {
            return Ok(());
        }
        held.read_exact(&mut b[..n])?;
        if a[..n] != b[..n] {
            return Err(io::Error::other(
                "this is not the input that the run keeps: feed that one, or start over with --fresh",
            ));
        }
    }
}

#[async_trait]
impl OpenBytes for Spool {
    async fn open(&self, _cx: &Cx<'_>) -> Result<Box<dyn ByteStream>, Fault> {
        let path = self.0.path.get().ok_or_else(|| fault("it is not kept yet".to_owned()))?;
        let file = open(path)?;
        Ok(Box::new(Stream { spool: self.clone(), file, at: 0 }))
    }
}

fn open(path: &Path) -> Result<File, Fault> {
    File::open(path).map_err(|e| fault(format!("{}: {e}", path.display())))
}

/// The file, being read behind the copying.
struct Stream {
    spool: Spool,
    file: File,
    at: u64,
}

impl Stream {
    /// Bytes that may be read now; `None` at the end.
    fn ready(&self) -> Result<Option<u64>, Fault> {
        let copied = self.spool.copied();
        match (&copied.ended, copied.bytes - self.at) {
            (Some(end), 0) => end.clone().map_err(fault).map(|()| None),
            (_, ready) => Ok(Some(ready)),
        }
    }
}

#[async_trait]
impl ByteStream for Stream {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let spool = self.spool.clone();
            let more = spool.0.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            match self.ready()? {
                None => return Ok(None),
                Some(0) => more.await,
                Some(ready) => {
                    let mut bytes = vec![0; usize::try_from(ready).unwrap_or(CHUNK).min(CHUNK / 4)];
                    // The file is in memory: it was written a moment ago.
                    self.file.read_exact(&mut bytes).map_err(|e| fault(e.to_string()))?;
                    self.at += bytes.len() as u64;
                    return Ok(Some(bytes.into()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fed_again_is_joined_to_what_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("input");
        let file = || OpenOptions::new().read(true).append(true).create(true).open(&path).unwrap();
        let mut told = Vec::new();
        copy(&b"one\ntwo\n"[..], file(), 0, |n| told.push(n)).unwrap();
        copy(&b"one\ntwo\nthree\n"[..], file(), 8, |n| told.push(n)).unwrap();
        copy(&b"one\n"[..], file(), 14, |n| told.push(n)).unwrap();
        assert_eq!(
            (std::fs::read(&path).unwrap().as_slice(), told),
            (&b"one\ntwo\nthree\n"[..], vec![8, 14])
        );
        let e = copy(&b"one\nTWO\n"[..], file(), 14, |_| ()).unwrap_err();
        assert!(e.to_string().contains("not the input that the run keeps"), "{e}");
    }
}
