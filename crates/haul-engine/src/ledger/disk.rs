//! What is asked of the file system beyond `std`: free space, and space set aside.

use std::fs::File;
use std::io;
use std::path::Path;

/// Bytes an ordinary user may still write in the file system of `dir`; `None` where nobody can say.
#[cfg(unix)]
pub(super) fn available(dir: &Path) -> Option<u64> {
    let s = rustix::fs::statvfs(dir).ok()?;
    Some(s.f_bavail.saturating_mul(s.f_frsize))
}

/// See the Unix form.
#[cfg(not(unix))]
pub(super) fn available(_dir: &Path) -> Option<u64> {
    None
}

/// Sets `len` bytes aside for a new file, so that they are really taken from the disk.
pub(super) fn set_aside(file: &mut File, len: u64) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        match rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, len) {
            // A file system without it: written out below.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {}
            other => return other.map_err(Into::into),
        }
    }
    io::copy(&mut io::Read::take(io::repeat(0), len), file)?;
    file.sync_all()
}
