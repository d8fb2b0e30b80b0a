//! What the system says of local files.

use std::fs::{self, File};
use std::io::{self, Write};
#[cfg(not(unix))]
use std::io::{Seek, SeekFrom};
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

/// A file without a name on the disk of an open directory: it is gone when it is closed before it gets one.
///
/// # Errors
/// `Unsupported` where the system or the file system has none.
pub(crate) fn create_nameless(dir: &File) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags, openat};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(openat(dir, c".", flags, Mode::from_raw_mode(0o666))?.into())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Gives a nameless file its name, unless there is one of that name: `AlreadyExists`.
pub(crate) fn name_nameless(file: &File, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, linkat};
        use rustix::io::Errno;
        match linkat(file, "", CWD, to, AtFlags::EMPTY_PATH) {
            // Before Linux 6.10 that is only for those who may read every directory.
            Err(Errno::NOENT | Errno::PERM) => {
                Ok(linkat(CWD, through_proc(file), CWD, to, AtFlags::SYMLINK_FOLLOW)?)
            }
            named => Ok(named?),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, to);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Opens a nameless file once more, to be read from its beginning.
pub(crate) fn reopen(file: &File) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        File::open(through_proc(file))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
fn through_proc(file: &File) -> String {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))
}

/// Bytes that are written at once. Linux takes memory for what is written in blocks of about that size. Large free
/// blocks are what a virtual machine has given back to its host, and the first touch of each page then costs several
/// times its copy; small ones are memory that was in use a moment ago.
const AT_ONCE: usize = 32 * 1024;

/// Writes all bytes where a file stands.
pub(crate) fn write(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(AT_ONCE).try_for_each(|piece| file.write_all(piece))
}

/// Writes all bytes at a place of a file.
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileExt;
        let places = (at..).step_by(AT_ONCE);
        bytes.chunks(AT_ONCE).zip(places).try_for_each(|(piece, at)| file.write_all_at(piece, at))
    }
    #[cfg(not(unix))]
    {
        let mut from = file;
        from.seek(SeekFrom::Start(at))?;
        write(file, bytes)
    }
}

/// Files that this process may have open; 0: nobody knows.
pub(crate) fn open_files() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    {
        0
    }
}

/// Nanoseconds since 1970.
pub(crate) fn mtime(meta: &fs::Metadata) -> i64 {
    let since = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or_default()
}
