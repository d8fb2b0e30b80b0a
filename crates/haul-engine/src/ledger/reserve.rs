//! Disk space kept free for the last commit of a full disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::disk;

/// A file that only takes up room, beside the ledger.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// The reserve of a ledger; not yet taken.
    pub(super) fn beside(ledger: &Path, bytes: u64) -> Self {
        Reserve { path: ledger.with_extension("reserve"), bytes }
    }

    /// Takes the room, unless an earlier process already did. Without the room nothing is left behind.
    pub(super) fn take(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|m| m.len() == self.bytes) {
            return Ok(());
        }
        let mut file = File::create(&self.path)?;
        disk::set_aside(&mut file, self.bytes).inspect_err(|_| {
            drop(fs::remove_file(&self.path));
        })
    }

    /// Gives the room back; false when there was none.
    pub(super) fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}
