//! Making a run directory, or taking over the one that is there.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::lock::GONE;
use super::{RunDir, RunDirError, RunLock, RunName, StateDir, make_private, sync_dir};
use crate::ledger::{LEDGER_FILE, NewRun, Reader, SqliteLedger};

/// How run directories are called until they are complete.
const DRAFT: &str = ".new-";
/// Making one takes milliseconds.
const DRAFT_AGE: Duration = Duration::from_secs(3600);

/// The run that a process wants to drive.
#[derive(Clone, Copy, Debug)]
pub struct Intended<'a> {
    /// Its name.
    pub name: &'a RunName,
    /// Hash of source, steps, output and aggregates, as hex.
    pub identity: &'a str,
    /// The job file.
    pub job: &'a str,
    /// Version of haul.
    pub version: &'a str,
    /// Start over: an old run of that name is kept as `NAME@DATE`.
    pub fresh: bool,
}

/// A run that this process may drive.
#[derive(Debug)]
pub struct Claimed {
    /// Its directory.
    pub dir: RunDir,
    /// The right to drive it; drop it last.
    pub lock: RunLock,
    /// True when the run was made now.
    pub is_new: bool,
    /// What an old run of that name is called now.
    pub kept_as: Option<String>,
}

impl StateDir {
    /// Makes the run, or takes over the one of that name. Fails when another process drives it, or
    /// when it is of another job.
    pub fn claim(&self, run: &Intended<'_>) -> Result<Claimed, RunDirError> {
        self.make()?;
        self.drop_drafts();
        let mut kept_as = None;
        if let Some(dir) = self.get(run.name.as_str()) {
            let lock = dir.lock()?;
            if !run.fresh {
                check_identity(&dir, run.identity)?;
                return Ok(Claimed { dir, lock, is_new: false, kept_as });
            }
            kept_as = Some(self.set_aside(&dir, lock)?);
        }
        let (dir, lock) = self.create(run)?;
        Ok(Claimed { dir, lock, is_new: true, kept_as })
    }

    /// Removes what processes left that died while they made or deleted a run. Not young ones: they may
    /// be at work.
    fn drop_drafts(&self) {
        for entry in fs::read_dir(self.path()).into_iter().flatten().flatten() {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
            let name = entry.file_name();
            let is = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
            if (is(DRAFT) || is(GONE)) && age.is_some_and(|age| age > DRAFT_AGE) {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }

    /// Makes the directory under a hidden name and renames it when it is complete, so that no crash
    /// leaves half a run.
    fn create(&self, run: &Intended<'_>) -> Result<(RunDir, RunLock), RunDirError> {
        let hidden = format!("{DRAFT}{}-{:08x}", std::process::id(), fastrand::u32(..));
        let draft = self.path().join(hidden);
        make_private(&draft).map_err(|e| self.unmade(&e))?;
        let made = fill(&draft, run).and_then(|lock| {
            let path = self.path().join(run.name.as_str());
            put_in_place(&draft, &path, run.name)?;
            sync_dir(self.path()).map_err(|e| RunDirError::io(self.path(), &e))?;
            let lock = lock.moved(path.clone());
            Ok((RunDir { path, name: run.name.as_str().to_owned() }, lock))
        });
        made.inspect_err(|_| {
            // A draft has no name anybody could find it by.
            drop(fs::remove_dir_all(&draft));
        })
    }

    /// Renames a run to `NAME@DATE`, so that its name is free. Gives the new name.
    fn set_aside(&self, dir: &RunDir, lock: RunLock) -> Result<String, RunDirError> {
        // There a directory with an open file cannot be renamed.
        #[cfg(windows)]
        drop(lock);
        #[cfg(not(windows))]
        let _held = lock;
        let date = jiff::Zoned::now().date();
        for n in 1u32.. {
            let name =
                if n == 1 { format!("{}@{date}", dir.name) } else { format!("{}@{date}.{n}", dir.name) };
            let path = self.path().join(&name);
            if path.exists() {
                continue;
            }
            match fs::rename(&dir.path, &path) {
                Ok(()) => return Ok(name),
                // Taken meanwhile.
                Err(_) if path.exists() => {}
                Err(e) => return Err(RunDirError::io(&dir.path, &e)),
            }
        }
        Err(RunDirError::Exists { name: dir.name.clone() })
    }
}

impl RunDir {
    /// Gives the run a new ledger, as if it had never begun; what else it keeps stays. For a finished run
    /// that looks at everything again. `_lock` is the right to drive it.
    ///
    /// # Errors
    /// When the file system or the ledger refuses; the old ledger is then still there.
    pub fn renew(&self, _lock: &RunLock, run: &Intended<'_>) -> Result<(), RunDirError> {
        let draft = self.path.join("ledger.new");
        let beside = |path: &Path, end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            std::path::PathBuf::from(name)
        };
        for end in ["", "-wal", "-shm"] {
            drop(fs::remove_file(beside(&draft, end)));
        }
        drop(SqliteLedger::create(&draft, &NewRun::new(run.identity, run.name.as_str(), run.version))?);
        // Closing the old one writes its log back; a log that is left would be taken for the new one's.
        let old = self.ledger();
        drop(SqliteLedger::open(&old)?);
        for end in ["-wal", "-shm"] {
            drop(fs::remove_file(beside(&old, end)));
        }
        fs::rename(&draft, &old).and_then(|()| sync_dir(&self.path)).map_err(|e| RunDirError::io(&old, &e))
    }
}

/// Fails when a run is of another job.
fn check_identity(dir: &RunDir, identity: &str) -> Result<(), RunDirError> {
    let stored = Reader::open(dir.path())?.run()?.identity;
    if stored == identity {
        return Ok(());
    }
    Err(RunDirError::OtherIdentity { name: dir.name.clone(), job: dir.job().display().to_string() })
}

/// Makes an empty directory a complete run directory, locked and durable.
fn fill(draft: &Path, run: &Intended<'_>) -> Result<RunLock, RunDirError> {
    let fail = |path: &Path, e: io::Error| RunDirError::io(path, &e);
    let lock = RunLock::take(draft, run.name.as_str())?;
    for room in ["spill", "out"] {
        let path = draft.join(room);
        fs::create_dir(&path).map_err(|e| fail(&path, e))?;
    }
    let job = draft.join("job.toml");
    write_private(&job, run.job).map_err(|e| fail(&job, e))?;
    drop(SqliteLedger::create(
        &draft.join(LEDGER_FILE),
        &NewRun::new(run.identity, run.name.as_str(), run.version),
    )?);
    sync_dir(draft).map_err(|e| fail(draft, e))?;
    Ok(lock)
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Renames the finished draft. A directory is never replaced by it, since none is empty.
fn put_in_place(draft: &Path, path: &Path, name: &RunName) -> Result<(), RunDirError> {
    fs::rename(draft, path).map_err(|e| match (RunDir::at(path), path.exists()) {
        (Some(_), _) => RunDirError::Exists { name: name.as_str().to_owned() },
        (None, true) => RunDirError::NoRun { path: path.display().to_string() },
        (None, false) => RunDirError::io(path, &e),
    })
}
