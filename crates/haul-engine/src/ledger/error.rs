//! What SQLite says, as a [`LedgerError`].

use std::path::{Path, PathBuf};

use haul_core::ledger::LedgerError;
use haul_core::limits::LEDGER_RESERVE;
use rusqlite::{Error, ErrorCode};

use super::{LEDGER_FILE, disk};

/// The file that errors name.
#[derive(Clone, Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new(path: &Path) -> Self {
        Place(path.to_owned())
    }

    pub(super) fn path(&self) -> String {
        self.0.display().to_string()
    }

    pub(super) fn corrupt(&self, reason: impl Into<String>) -> LedgerError {
        LedgerError::Corrupt { path: self.path(), reason: reason.into() }
    }

    pub(super) fn io(&self, reason: impl ToString) -> LedgerError {
        LedgerError::Io { path: self.path(), reason: reason.to_string() }
    }

    /// The disk is full; says how much to free: the reserve and as much again to work with.
    pub(super) fn full(&self) -> LedgerError {
        let dir = self.0.parent().unwrap_or(&self.0);
        let free = disk::available(dir).unwrap_or(0);
        let needed = (2 * LEDGER_RESERVE).saturating_sub(free).max(1 << 20);
        LedgerError::Full {
            path: dir.display().to_string(),
            needed: format!("{} MB", needed.div_ceil(1_000_000)),
        }
    }

    pub(super) fn error(&self, e: Error) -> LedgerError {
        match e {
            Error::SqliteFailure(cause, message) => {
                let text = message.unwrap_or_else(|| cause.to_string());
                match cause.code {
                    ErrorCode::DiskFull => self.full(),
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => self.corrupt(text),
                    ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                        self.io("another program keeps it locked for writing; close it and run the same command again")
                    }
                    ErrorCode::SystemIoFailure => self.io(format!(
                        "{text}: the disk may be failing; see the system's log, then run the same command again"
                    )),
                    _ => self.io(text),
                }
            }
            Error::FromSqlConversionFailure(..)
            | Error::InvalidColumnType(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::QueryReturnedNoRows => self.corrupt(e.to_string()),
            e => self.io(e),
        }
    }

    /// Whether an error means that there is no room. SQLite says so of a full disk, but not of a
    /// quota, nor when it cannot make the files it keeps beside a database: making one of our own
    /// tells.
    pub(super) fn is_full(&self, e: &Error) -> bool {
        match e.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => true,
            Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) if self.0.exists() => {
                let probe = self.0.with_extension("probe");
                let made = std::fs::write(&probe, [0; 64 * 1024]);
                drop(std::fs::remove_file(&probe));
                made.is_err_and(|e| is_no_room(&e))
            }
            _ => false,
        }
    }

    /// As [`Place::error`], where the ledger is written.
    pub(super) fn write_error(&self, e: Error) -> LedgerError {
        if self.is_full(&e) { self.full() } else { self.error(e) }
    }

    /// An error of the file system rather than of SQLite.
    pub(super) fn file(&self, e: &std::io::Error) -> LedgerError {
        if is_no_room(e) { self.full() } else { self.io(e) }
    }
}

/// What a failure to write below `dir` means, when it is for want of room.
pub(crate) fn no_room(dir: &Path, e: &std::io::Error) -> Option<LedgerError> {
    is_no_room(e).then(|| Place::new(&dir.join(LEDGER_FILE)).full())
}

fn is_no_room(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
