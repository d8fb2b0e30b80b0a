//! Run directories: what outlives the process.
//!
//! ```text
//! .haul/                      0700, with a .gitignore of *
//!   NAME/
//!     job.toml                what to do (0600)
//!     ledger.db               the durable record
//!     lock                    held by the process that drives the run; says which
//!     spill/ out/ run.log     see their writers
//! ```
//!
//! [`StateDir::claim`] is the way in for a process that wants to drive a run; [`find`](find()) and
//! [`list`](list()) for those that only look.

mod claim;
mod find;
mod index;
mod list;
mod lock;
mod name;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use haul_core::ledger::LedgerError;

pub use claim::{Claimed, Intended};
pub use find::find;
pub use index::Index;
pub use list::{Listed, Status, list, look};
pub use lock::{Owner, RunLock};
pub use name::RunName;

use crate::ledger::{LEDGER_FILE, no_room};

/// One run's directory. Holding it says nothing about who drives the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunDir {
    path: PathBuf,
    name: String,
}

impl RunDir {
    /// The run in a directory; `None` when it holds none.
    pub fn at(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_owned();
        path.join(LEDGER_FILE).is_file().then(|| RunDir { path: path.to_owned(), name })
    }

    /// Name of the directory, which is the name of the run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The job file as it was when the run was made.
    pub fn job(&self) -> PathBuf {
        self.path.join("job.toml")
    }

    /// Reads the job file.
    pub fn job_text(&self) -> Result<String, RunDirError> {
        fs::read_to_string(self.job()).map_err(|e| RunDirError::io(&self.job(), &e))
    }

    /// The ledger.
    pub fn ledger(&self) -> PathBuf {
        self.path.join(LEDGER_FILE)
    }

    /// Where logs of aggregates and spooled input go.
    pub fn spill(&self) -> PathBuf {
        self.path.join("spill")
    }

    /// Where results go that have no other place.
    pub fn out(&self) -> PathBuf {
        self.path.join("out")
    }

    /// What happened, for people.
    pub fn log(&self) -> PathBuf {
        self.path.join("run.log")
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        self.path.join("control.sock")
    }
}

/// The directory that holds run directories: `.haul` unless `--state` says otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// A state directory at a path; made when the first run is.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        StateDir(path.into())
    }

    /// `.haul` in a working directory.
    pub fn within(dir: &Path) -> Self {
        StateDir(dir.join(".haul"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The run of that name; `None` when there is none.
    pub fn get(&self, name: &str) -> Option<RunDir> {
        // A query comes from the command line: it must not reach outside.
        let single = Path::new(name).components().count() == 1 && !name.starts_with('.');
        single.then(|| RunDir::at(&self.0.join(name))).flatten()
    }

    /// All runs in it, by name. A directory that cannot be read has none.
    pub fn runs(&self) -> Vec<RunDir> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut runs: Vec<RunDir> = entries
            .filter(|e| !e.file_name().as_encoded_bytes().starts_with(b"."))
            .filter_map(|e| RunDir::at(&e.path()))
            .collect();
        runs.sort_by(|a, b| a.name.cmp(&b.name));
        runs
    }

    /// Makes it, for its owner alone, and keeps version control out of it.
    fn make(&self) -> Result<(), RunDirError> {
        make_private(&self.0).map_err(|e| self.unmade(&e))?;
        let ignore = self.0.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|e| self.unmade(&e))?;
        }
        Ok(())
    }

    /// Why it cannot be made or written.
    fn unmade(&self, e: &io::Error) -> RunDirError {
        if let Some(full) = no_room(&self.0, e) {
            return RunDirError::Ledger(full);
        }
        let reason = match e.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                let file = self.0.ancestors().find(|p| p.is_file()).unwrap_or(&self.0);
                format!("cannot be made: {} is a file", file.display())
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "cannot be written".to_owned()
            }
            _ => format!("cannot be made: {e}"),
        };
        RunDirError::Unwritable { path: self.0.display().to_string(), reason }
    }
}

/// Makes a directory and its parents, durably; the last one only its owner may enter (Unix).
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        make_parent(parent)?;
    }
    #[cfg_attr(not(unix), allow(unused_mut, reason = "the mode is set on Unix only"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        // Another process was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(e),
        Ok(()) => sync_dir(parent),
    }
}

/// Makes a directory that is not private, and its parents, durably.
fn make_parent(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.is_dir()).count();
    fs::create_dir_all(path)?;
    path.ancestors()
        .skip(1)
        .take(missing)
        .try_for_each(|p| sync_dir(if p.as_os_str().is_empty() { Path::new(".") } else { p }))
}

/// Makes what a directory lists durable. Where directories cannot be opened (Windows) the file system
/// does it by itself.
fn sync_dir(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Why a run cannot be made, found or driven.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The name cannot be a directory everywhere.
    #[error(
        "run name {name:?} {reason}; use letters, digits, '.', '_' and '-', up to 100, beginning with a letter or digit"
    )]
    BadName {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process holds its lock.
    #[error("run {name} is driven by {}", owner.as_ref().map_or("another process".to_owned(), Owner::to_string))]
    Driven {
        /// The run.
        name: String,
        /// Who drives it, where its lock file says so.
        owner: Option<Owner>,
    },
    /// The name belongs to a run of another job.
    #[error(
        "run {name} is of another job (see {job}): choose another --run NAME, or start over with --fresh"
    )]
    OtherIdentity {
        /// The run.
        name: String,
        /// Its job file.
        job: String,
    },
    /// The name is taken by a run that appeared at the same moment.
    #[error("run {name} was just started by another process")]
    Exists {
        /// The run.
        name: String,
    },
    /// Something else is where the run would go.
    #[error("{path} is in the way and holds no ledger: move it away, or choose another --run NAME")]
    NoRun {
        /// What is in the way.
        path: String,
    },
    /// No run goes by that name.
    #[error("no run {query:?} in {state} or elsewhere: `haul runs` lists them")]
    NotFound {
        /// What was asked for.
        query: String,
        /// The state directory.
        state: String,
    },
    /// There is no run at all.
    #[error("no runs in {state} or elsewhere")]
    NoRuns {
        /// The state directory.
        state: String,
    },
    /// A prefix of several names.
    #[error("{query:?} may be {}: say more of the name", names.join(", "))]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// What it may mean.
        names: Vec<String>,
    },
    /// Runs cannot be kept there.
    #[error("{path} {reason}: runs are kept there; choose another place with --state DIR")]
    Unwritable {
        /// The state directory.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The file system refused.
    #[error("{path}: {reason}")]
    Io {
        /// The file or directory.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl RunDirError {
    /// True when the disk is full: nothing is lost, and the same command goes on once there is room.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, RunDirError::Ledger(e) if e.is_disk_full())
    }

    fn io(path: &Path, e: &io::Error) -> Self {
        let dir = path.parent().filter(|p| p.is_dir()).unwrap_or(path);
        if let Some(full) = no_room(dir, e) {
            return RunDirError::Ledger(full);
        }
        RunDirError::Io { path: path.display().to_string(), reason: e.to_string() }
    }
}
