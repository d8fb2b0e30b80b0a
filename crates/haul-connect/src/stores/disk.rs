//! What the system says of local files.

use std::fs;
use std::io;
use std::path::Path;

use haul_core::Fault;

/// What the system says of a file that cannot be written.
pub(crate) fn disk_fault(path: &Path, e: &io::Error) -> Fault {
    match e.kind() {
        _ if is_full(e) => no_room(path.parent().unwrap_or(path), 0),
        _ => Fault::fatal("destination", format!("{}: {e}", path.display())),
    }
}

/// No room, or no more of it for this user.
pub(crate) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Stops a run until somebody frees so many bytes; 0: nobody knows how many.
pub(crate) fn no_room(dir: &Path, missing: u64) -> Fault {
    let amount = match missing {
        0 => "some".to_owned(),
        // In megabytes: nobody frees single bytes.
        bytes => format!("at least {} MB", bytes.div_ceil(1_000_000)),
    };
    let text = format!("no room in {}: free {amount}, then run the same command again", dir.display());
    Fault::fatal("disk_full", text)
}

/// Bytes an ordinary user may still write there.
pub(crate) fn available(dir: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let s = rustix::fs::statvfs(dir).ok()?;
        Some(s.f_bavail.saturating_mul(s.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = dir;
        None
    }
}

/// Gives a file its name, unless there is one of that name: `AlreadyExists`.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Nanoseconds since 1970.
pub(crate) fn mtime(meta: &fs::Metadata) -> i64 {
    let since = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or_default()
}
