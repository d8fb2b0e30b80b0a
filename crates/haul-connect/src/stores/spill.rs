//! Where what does not fit into memory goes: files without a name in the run directory, or, before there is a run, in
//! that for temporary files.

#[cfg(feature = "stores")]
use std::fs::{self, File};
#[cfg(feature = "stores")]
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Spill(Arc<OnceLock<PathBuf>>);

impl Spill {
    /// There is a run: from now on files go there. The first one counts.
    pub fn set(&self, dir: &Path) {
        self.0.get_or_init(|| dir.to_owned());
    }

    /// Where they go.
    #[cfg(feature = "stores")]
    pub(super) fn dir(&self) -> PathBuf {
        self.0.get().cloned().unwrap_or_else(std::env::temp_dir)
    }

    /// A new file.
    #[cfg(feature = "stores")]
    pub(super) fn file(&self) -> io::Result<File> {
        let dir = self.dir();
        fs::create_dir_all(&dir)?;
        tempfile::tempfile_in(dir)
    }
}
