//! Where a control socket is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use haul_core::cx::hex;
use haul_core::limits::SOCKET_PATH;
use sha2::{Digest, Sha256};

use crate::rundir::{RunDir, make_private};

/// The path to listen at, and whether `control.sock` must be a link to it.
pub(super) fn to_listen(dir: &RunDir, runtime: Option<PathBuf>) -> io::Result<(PathBuf, bool)> {
    let direct = dir.control();
    if direct.as_os_str().len() <= SOCKET_PATH {
        return Ok((direct, false));
    }
    let room = private_room(runtime)?;
    let whole = dir.path().canonicalize()?;
    let name = hex(&Sha256::digest(whole.as_os_str().as_encoded_bytes())[..8]);
    Ok((room.join(format!("{name}.sock")), true))
}

/// A directory of the user's with a short name.
fn private_room(runtime: Option<PathBuf>) -> io::Result<PathBuf> {
    let runtime = runtime.filter(|p| p.is_absolute() && p.is_dir());
    let uid = rustix::process::getuid().as_raw();
    let room = match runtime {
        Some(runtime) => runtime.join("haul"),
        None => std::env::temp_dir().join(format!("haul-{uid}")),
    };
    make_private(&room)?;
    let about = fs::symlink_metadata(&room)?;
    // In a directory that everybody may write to, somebody else may have been there first.
    if !about.is_dir() || about.uid() != uid || about.mode() & 0o077 != 0 {
        let message = format!("{} does not belong to this user alone", room.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(room)
}

/// The path to connect to. The file keeps a directory open that it goes through.
pub(super) fn to_connect(dir: &RunDir) -> io::Result<(PathBuf, Option<fs::File>)> {
    let direct = dir.control();
    if let Ok(target) = fs::read_link(&direct) {
        return Ok((target, None));
    }
    if direct.as_os_str().len() <= SOCKET_PATH {
        return Ok((direct, None));
    }
    // The directory was moved to a long path while its run works.
    by_handle(dir.path())
}

#[cfg(target_os = "linux")]
fn by_handle(dir: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    use std::os::fd::AsRawFd;
    let open = fs::File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/control.sock", open.as_raw_fd()));
    Ok((path, Some(open)))
}

#[cfg(not(target_os = "linux"))]
fn by_handle(dir: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    Err(io::Error::new(io::ErrorKind::InvalidFilename, format!("{} is too long for a socket", dir.display())))
}
