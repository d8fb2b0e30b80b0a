//! What was written of a file before its commit: under a name among the parts, or without any. A small file is
//! nameless where the file system can do that: it then gets one name instead of two, no directory is held while it
//! arrives, and nothing of it is left by a crash.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haul_core::limits::NAMELESS_FILES;

use super::depot::PartPath;
use crate::stores::disk::{create_nameless, name_nameless, open_files, rename_new, reopen};

/// Gives out nameless files; each is open until it has its name.
pub(super) struct Nameless {
    dir: File,
    /// How many more may be open.
    free: AtomicUsize,
}

impl Nameless {
    /// Tries it once, under a name that is free again afterwards; `None`: not here.
    pub(super) fn new(dir: &Path, probe: &Path) -> Option<Arc<Self>> {
        let dir = File::open(dir).ok()?;
        create_nameless(&dir).and_then(|file| name_nameless(&file, probe)).ok()?;
        fs::remove_file(probe).ok()?;
        let free = AtomicUsize::new(NAMELESS_FILES.min(open_files() / 4));
        Some(Arc::new(Nameless { dir, free }))
    }

    fn create(self: &Arc<Self>) -> Option<Written> {
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        let seat = Seat(self.clone());
        let file = create_nameless(&self.dir).ok()?;
        Some(Written { file, seat: Some(seat) })
    }
}

/// One of the nameless files that may be open.
struct Seat(Arc<Nameless>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
    }
}

/// A file that is open to be written.
pub(super) struct Written {
    file: File,
    seat: Option<Seat>,
}

impl Written {
    /// A new one, nameless if that is wanted and possible, and with the name of its part otherwise.
    pub(super) fn create(part: &PartPath<'_>, nameless: Option<&Arc<Nameless>>) -> io::Result<Self> {
        if let Some(written) = nameless.and_then(Nameless::create) {
            return Ok(written);
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&**part)?;
        Ok(Written { file, seat: None })
    }

    /// One that was there.
    pub(super) fn named(file: File) -> Self {
        Written { file, seat: None }
    }

    pub(super) fn is_nameless(&self) -> bool {
        self.seat.is_some()
    }
}

impl Deref for Written {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

/// A whole file that waits for its name.
pub(super) enum Body {
    /// It has another one, which nobody else uses.
    Named(PathBuf),
    Nameless(Written),
}

impl Body {
    /// Of what was written as this part.
    pub(super) fn new(part: &PartPath<'_>, written: Written) -> Self {
        match written.is_nameless() {
            true => Body::Nameless(written),
            false => Body::Named(part.to_path_buf()),
        }
    }

    /// Opens it to be read.
    pub(super) fn open(&self) -> io::Result<File> {
        match self {
            Body::Named(part) => File::open(part),
            Body::Nameless(written) => reopen(written),
        }
    }

    /// Gives it its name, which is new: `AlreadyExists` otherwise.
    pub(super) fn give(&self, to: &Path) -> io::Result<()> {
        match self {
            Body::Named(part) => rename_new(part, to),
            Body::Nameless(written) => name_nameless(written, to),
        }
    }

    /// The name that it has, or gets: `other`, which nobody uses. Only what has a name replaces another.
    pub(super) fn named(&self, other: PathBuf) -> io::Result<PathBuf> {
        match self {
            Body::Named(part) => Ok(part.clone()),
            Body::Nameless(written) => {
                // An earlier process may have come as far.
                let _ = fs::remove_file(&other);
                name_nameless(written, &other).map(|()| other)
            }
        }
    }

    /// Removes it, unless it goes by itself.
    pub(super) fn discard(&self) {
        if let Body::Named(part) = self {
            // Unfinished files are swept at the end of the run in any case.
            let _ = fs::remove_file(part);
        }
    }
}
