//! Finds runs from anywhere: one small file a run in the user's state directory.
//!
//! A file of its own for each run needs no lock between processes that start at once. The index is a
//! convenience: whatever is wrong with it, runs work.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use haul_core::cx::hex;
use sha2::{Digest, Sha256};

use super::{RunDir, make_private};

/// Entries read; more would only slow every look.
const ENTRIES: usize = 10_000;

/// See the module.
#[derive(Clone, Debug)]
pub struct Index(PathBuf);

impl Index {
    /// An index in a directory; made with its first entry.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Index(path.into())
    }

    /// The user's own: `$XDG_STATE_HOME/haul/runs`, `~/.local/state/haul/runs`, or what the platform
    /// has instead; `None` for a user without a home. `var` reads an environment variable.
    pub fn of_user(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<Self> {
        let dir = |name: &str| var(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let base = if cfg!(windows) {
            dir("LOCALAPPDATA")?.join("haul")
        } else if let Some(state) = dir("XDG_STATE_HOME") {
            state.join("haul")
        } else if cfg!(target_os = "macos") {
            dir("HOME")?.join("Library/Application Support/haul")
        } else {
            dir("HOME")?.join(".local/state/haul")
        };
        Some(Index(base.join("runs")))
    }

    /// Remembers a run. The caller warns when that fails and goes on.
    pub fn add(&self, run: &RunDir) -> io::Result<()> {
        let path = std::path::absolute(run.path())?;
        let bytes = path.as_os_str().as_encoded_bytes();
        let entry = self.0.join(hex(&Sha256::digest(bytes)[..8]));
        if fs::read(&entry).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        make_private(&self.0)?;
        // Written aside and renamed: nobody reads half a path.
        let draft = self.0.join(format!(".{}-{:08x}", std::process::id(), fastrand::u32(..)));
        fs::write(&draft, bytes)?;
        fs::rename(&draft, &entry).inspect_err(|_| drop(fs::remove_file(&draft)))
    }

    /// Runs that are still where they were. Entries of deleted ones are dropped, unless the whole
    /// directory around them is gone (a disk that is not mounted).
    pub fn runs(&self) -> Vec<RunDir> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten().take(ENTRIES) {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Some(path) = read(&entry.path()) else { continue };
            match RunDir::at(&path) {
                Some(run) => runs.push(run),
                None if path.parent().is_some_and(Path::is_dir) => drop(fs::remove_file(entry.path())),
                None => {}
            }
        }
        runs
    }
}

fn read(entry: &Path) -> Option<PathBuf> {
    let bytes = fs::read(entry).ok()?;
    #[cfg(unix)]
    let path = PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes));
    #[cfg(not(unix))]
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    Some(path).filter(|p| p.is_absolute())
}
