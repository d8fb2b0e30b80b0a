//! Who drives a run: a lock on a file that the operating system releases when its holder dies, however
//! it dies.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use haul_core::UnixMs;

use super::{RunDir, RunDirError};
use crate::ledger::run::wall;

const LOCK_FILE: &str = "lock";

/// How run directories are called while they are deleted; the rest of one goes with the drafts.
pub(super) const GONE: &str = ".gone-";

/// Somebody who only looks holds the lock for an instant: a starting process waits for that long
/// before it believes that the run is driven.
const LOOKED_AT: Duration = Duration::from_millis(300);

/// The process that drives a run, as it said itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Host it runs on.
    pub host: String,
    /// When it started to drive the run.
    pub since: UnixMs,
}

impl fmt::Display for Owner {
    /// `process 4711 since 02:14 (this host)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.host == host() { "this host" } else { &self.host };
        write!(f, "process {} since {} ({place})", self.pid, clock_time(self.since, wall()))
    }
}

/// Local time of day, with the date unless it is today.
fn clock_time(at: UnixMs, now: UnixMs) -> String {
    let zoned = |t: UnixMs| {
        let stamp = jiff::Timestamp::from_millisecond(t.0).unwrap_or_default();
        stamp.to_zoned(jiff::tz::TimeZone::system())
    };
    let (at, now) = (zoned(at), zoned(now));
    let form = if at.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    at.strftime(form).to_string()
}

/// Name of this host.
fn host() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// The right to drive a run, for as long as this lives.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    dir: PathBuf,
}

impl RunLock {
    /// The run directory it is of.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Deletes the run. It is out of sight at once, so that no crash leaves half of it to be found.
    pub fn delete(self) -> Result<(), RunDirError> {
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hidden = self.dir.with_file_name(format!("{GONE}{}-{name}", std::process::id()));
        let dir = self.dir.clone();
        // There a directory with an open file cannot be renamed.
        #[cfg(windows)]
        drop(self);
        fs::rename(&dir, &hidden).map_err(|e| RunDirError::io(&dir, &e))?;
        fs::remove_dir_all(&hidden).map_err(|e| RunDirError::io(&hidden, &e))
    }

    /// Locks a directory that may not have its final place yet.
    pub(super) fn take(dir: &Path, name: &str) -> Result<Self, RunDirError> {
        let path = dir.join(LOCK_FILE);
        let fail = |e: &io::Error| RunDirError::io(&path, e);
        let deadline = Instant::now() + LOOKED_AT;
        loop {
            let file = open(&path).map_err(|e| fail(&e))?;
            match file.try_lock() {
                // A directory may have been renamed between the two calls.
                Ok(()) if is_still_at(&file, &path) => {
                    let mut lock = RunLock { file, dir: dir.to_owned() };
                    lock.sign().map_err(|e| fail(&e))?;
                    return Ok(lock);
                }
                Ok(()) => {}
                Err(TryLockError::Error(e)) => return Err(fail(&e)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(RunDirError::Driven { name: name.to_owned(), owner: read(&path) });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Writes down who holds it.
    fn sign(&mut self) -> io::Result<()> {
        let line = format!("{} {} {}\n", std::process::id(), wall().0, host());
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(line.as_bytes())
    }

    /// The directory was renamed by its holder.
    pub(super) fn moved(self, dir: PathBuf) -> Self {
        RunLock { dir, ..self }
    }
}

impl RunDir {
    /// Takes the right to drive the run, or says who has it.
    pub fn lock(&self) -> Result<RunLock, RunDirError> {
        RunLock::take(self.path(), self.name())
    }

    /// Who drives the run now; `None` when nobody does. An owner that cannot be read is unknown.
    pub fn driven_by(&self) -> Option<Option<Owner>> {
        let path = self.path().join(LOCK_FILE);
        let file = File::open(&path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read(&path)),
            _ => None,
        }
    }

    /// Returns when nobody drives the run; it may be driven again at once.
    pub fn wait(&self) -> Result<(), RunDirError> {
        let path = self.path().join(LOCK_FILE);
        // Without a lock file nobody ever drove it. A lock that many may hold waits for one that only one
        // may, and is let go of before the next process has waited long.
        match File::open(&path) {
            Ok(file) => file.lock_shared().map_err(|e| RunDirError::io(&path, &e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(RunDirError::io(&path, &e)),
        }
    }

    /// When a process last started to drive the run, or the run was made.
    pub fn last_driven(&self) -> std::time::SystemTime {
        let modified = |p: PathBuf| p.metadata().and_then(|m| m.modified());
        modified(self.path().join(LOCK_FILE))
            .or_else(|_| modified(self.job()))
            .unwrap_or(std::time::SystemTime::UNIX_EPOCH)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Whether the open file is the one that the path names.
fn is_still_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (Ok(here), Ok(there)) = (file.metadata(), path.metadata()) else { return false };
        here.dev() == there.dev() && here.ino() == there.ino()
    }
    #[cfg(not(unix))]
    {
        // A directory with open files cannot be renamed there.
        let _ = (file, path);
        true
    }
}

fn read(path: &Path) -> Option<Owner> {
    let mut text = String::new();
    File::open(path).ok()?.take(1024).read_to_string(&mut text).ok()?;
    let mut words = text.split_whitespace();
    Some(Owner {
        pid: words.next()?.parse().ok()?,
        since: UnixMs(words.next()?.parse().ok()?),
        host: words.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reads_well() {
        let owner = Owner { pid: 4711, host: host(), since: wall() };
        let text = owner.to_string();
        assert!(text.starts_with("process 4711 since ") && text.ends_with(" (this host)"), "{text}");
        let owner = Owner { host: "elsewhere".into(), since: UnixMs(0), ..owner };
        let text = owner.to_string();
        assert!(text.ends_with(" (elsewhere)") && text.contains("19"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_on_a_file_that_went_elsewhere_is_no_lock_on_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK_FILE);
        let file = open(&path).unwrap();
        assert!(is_still_at(&file, &path));
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        assert!(!is_still_at(&file, &path), "gone");
        drop(open(&path).unwrap());
        assert!(!is_still_at(&file, &path), "another file");
    }
}
