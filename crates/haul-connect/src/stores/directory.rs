//! A directory: keys are paths below it, `/` between their components.
//!
//! What is being written is in `.haul-part`, which is no part of the store. A directory keeps content and
//! time; it has no place for headers.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::store::{Content, Listing, Meta, Receipt, Store};
use haul_core::{Cx, Fault, Key};

use super::checked::{Checked, Passed};
use super::disk::{self, disk_fault, mtime};
use super::walk::Walk;

/// Where unfinished objects are; no key leads there.
pub(crate) const PART_DIR: &str = ".haul-part";
/// Age from which what a process left is removed, once it is gone.
const STALE: Duration = Duration::from_secs(86_400);
/// Bytes read at once.
const BLOCK: usize = 128 * 1024;

/// See the module.
pub struct Directory {
    root: PathBuf,
    name: String,
    /// It is not to be made.
    exists: bool,
    /// Numbers unfinished objects.
    puts: AtomicU64,
    /// The directory that was last found to be within this one.
    inside: Mutex<PathBuf>,
}

impl Directory {
    /// The directory at a path, which need not be there yet.
    pub fn new(root: PathBuf) -> Self {
        let name = root.display().to_string();
        Directory { name, root, exists: false, puts: AtomicU64::new(0), inside: Mutex::default() }
    }

    /// As [`Directory::new`], and listing it is a fault when there is none.
    pub fn existing(root: PathBuf) -> Self {
        let mut directory = Directory::new(root);
        directory.exists = true;
        directory
    }

    fn path(&self, key: &Key) -> Result<PathBuf, Fault> {
        let wrong = |why: &str| Fault::permanent("key", format!("\"{key}\" cannot be a file's name: {why}"));
        let mut path = self.root.clone();
        for (i, part) in key.0.split(|b| *b == b'/').enumerate() {
            match part {
                b"" => return Err(wrong("a part of it is empty")),
                b"." | b".." => return Err(wrong("it leads elsewhere")),
                part if part.contains(&0) => return Err(wrong("it has a zero byte")),
                part if i == 0 && part == PART_DIR.as_bytes() => return Err(wrong("it is kept for Haul")),
                part => path.push(component(part).ok_or_else(|| wrong("it is not UTF-8"))?),
            }
        }
        Ok(path)
    }

    /// Refuses a path that a symbolic link leads out of the directory.
    fn check_inside(&self, key: &Key, path: &Path) -> Result<(), Fault> {
        let dir = path.parent().unwrap_or(&self.root);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if *inside == dir {
            return Ok(());
        }
        let below = dir.ancestors().take_while(|d| *d != self.root);
        for dir in below {
            if fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_symlink()) {
                let what = format!("\"{key}\" is not written: {} is a symbolic link", dir.display());
                return Err(Fault::permanent("key", what));
            }
        }
        dir.clone_into(&mut inside);
        Ok(())
    }

    /// A new file for an object that is being written.
    fn part(&self) -> io::Result<(File, PathBuf)> {
        let dir = self.root.join(PART_DIR);
        let number = self.puts.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            remove_stale(&dir);
        }
        let path = dir.join(format!("put-{}-{number}.part", std::process::id()));
        match File::create(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&dir)?;
                File::create(&path).map(|file| (file, path))
            }
            made => made.map(|file| (file, path)),
        }
    }

    /// Gives a finished part its name, and makes that durable.
    fn publish(&self, part: &Path, target: &Path) -> io::Result<()> {
        let dir = target.parent().unwrap_or(&self.root);
        let mut grown = vec![dir];
        if let Err(e) = fs::rename(part, target) {
            if e.kind() != io::ErrorKind::NotFound {
                return Err(e);
            }
            grown.extend(dir.ancestors().skip(1).take_while(|d| d.starts_with(&self.root)));
            fs::create_dir_all(dir)?;
            fs::rename(part, target)?;
        }
        grown.into_iter().try_for_each(|dir| File::open(dir)?.sync_all())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.puts.load(Ordering::Relaxed) > 0 {
            // It stays while others write there.
            let _ = fs::remove_dir(self.root.join(PART_DIR));
        }
    }
}

/// Removes what processes that are gone left, and nobody goes on with. What cannot be removed is in
/// nobody's way.
fn remove_stale(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix("put-")?.strip_suffix(".part"));
        let Some(pid) = name.and_then(|name| name.split_once('-')?.0.parse::<i32>().ok()) else { continue };
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        // Processes of other machines cannot be asked; theirs are left alone for a day.
        if is_gone(pid) && age.is_some_and(|age| age >= STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(unix)]
fn is_gone(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_gone(_: i32) -> bool {
    true
}

#[cfg(unix)]
fn component(bytes: &[u8]) -> Option<&std::ffi::OsStr> {
    Some(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

#[cfg(not(unix))]
fn component(bytes: &[u8]) -> Option<&std::ffi::OsStr> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains(['\\', ':'])).then(|| text.as_ref())
}

/// What the system knows of a file.
pub(super) fn meta_of(meta: &fs::Metadata) -> Meta {
    let (len, modified_ns) = (meta.len(), mtime(meta));
    let version = format!("{modified_ns:x}-{len:x}").into();
    Meta { len, modified_ns, version, ..Meta::default() }
}

/// A file that is not there, or cannot be.
fn is_nothing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn unreadable(path: &Path, e: &io::Error) -> Fault {
    Fault::permanent("read", format!("{}: {e}", path.display()))
}

fn unwritable(path: &Path, e: &io::Error) -> Fault {
    match e.kind() {
        // Of this key, and not of the store.
        io::ErrorKind::InvalidFilename
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::DirectoryNotEmpty => Fault::permanent("key", format!("{}: {e}", path.display())),
        _ => disk_fault(path, e),
    }
}

struct Blocks {
    file: File,
    path: PathBuf,
    left: u64,
}

#[async_trait]
impl Content for Blocks {
    async fn next(&mut self, _: &Cx<'_>) -> Result<Option<Bytes>, Fault> {
        let most = usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK);
        let mut block = Vec::with_capacity(most);
        let read = Read::by_ref(&mut self.file).take(most as u64).read_to_end(&mut block);
        read.map_err(|e| unreadable(&self.path, &e))?;
        self.left -= block.len() as u64;
        Ok((!block.is_empty()).then(|| block.into()))
    }
}

#[async_trait]
impl Store for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&self, prefix: &Key, after: Option<&Key>, _: &Cx<'_>) -> Result<Box<dyn Listing>, Fault> {
        if self.exists && !self.root.is_dir() {
            let hint = "a bucket is written STORE:BUCKET/PREFIX";
            return Err(Fault::fatal("read", format!("{}: there is no such directory ({hint})", self.name)));
        }
        Ok(Box::new(Walk::new(&self.root, prefix, after)))
    }

    async fn head(&self, key: &Key, _: &Cx<'_>) -> Result<Option<Meta>, Fault> {
        let path = self.path(key)?;
        match fs::metadata(&path) {
            Ok(meta) => Ok(meta.is_file().then(|| meta_of(&meta))),
            Err(e) if is_nothing(&e) => Ok(None),
            Err(e) => Err(unreadable(&path, &e)),
        }
    }

    async fn open(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
        _: &Cx<'_>,
    ) -> Result<Option<(Meta, Box<dyn Content>)>, Fault> {
        let path = self.path(key)?;
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (meta, mut file) = match opened {
            Ok((meta, file)) if meta.is_file() => (meta_of(&meta), file),
            Ok(_) => return Ok(None),
            Err(e) if is_nothing(&e) => return Ok(None),
            Err(e) => return Err(unreadable(&path, &e)),
        };
        let range = range.unwrap_or(0..meta.len);
        file.seek(SeekFrom::Start(range.start)).map_err(|e| unreadable(&path, &e))?;
        let left = range.end.saturating_sub(range.start);
        Ok(Some((meta, Box::new(Blocks { file, path, left }))))
    }

    async fn put(
        &self,
        key: &Key,
        meta: &Meta,
        content: &mut dyn Content,
        cx: &Cx<'_>,
    ) -> Result<Receipt, Fault> {
        let target = self.path(key)?;
        self.check_inside(key, &target)?;
        let (mut file, part) = self.part().map_err(|e| unwritable(&self.root, &e))?;
        let written = write(&mut file, &part, meta, content, cx).await;
        let done = written.and_then(|receipt| {
            file.sync_all().map_err(|e| unwritable(&part, &e))?;
            self.publish(&part, &target).map_err(|e| unwritable(&target, &e))?;
            Ok(receipt)
        });
        if done.is_err() {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_file(&part);
        }
        done
    }

    fn keeps_headers(&self) -> bool {
        false
    }

    async fn delete(&self, key: &Key, _: &Cx<'_>) -> Result<bool, Fault> {
        let path = self.path(key)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if is_nothing(&e) => Ok(false),
            Err(e) => Err(unwritable(&path, &e)),
        }
    }
}

async fn write(
    file: &mut File,
    path: &Path,
    meta: &Meta,
    content: &mut dyn Content,
    cx: &Cx<'_>,
) -> Result<Receipt, Fault> {
    let mut checked = Checked::new(content, meta);
    while let Some(bytes) = checked.next(cx).await? {
        disk::write(file, &bytes).map_err(|e| disk_fault(path, &e))?;
    }
    let Passed { len, crc32c, .. } = checked.passed();
    let dropped = meta.headers.iter().map(|(name, _)| name.clone()).collect();
    // The system took every byte that was digested, and says when they are durable.
    Ok(Receipt { len, crc32c, confirmed: meta.md5.is_some(), version: "".into(), dropped })
}
