//! The committer's side of a depot: prepared files of done items become durable, get their names, and
//! leave a receipt.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_core::finish::Finish;
use haul_core::record::write_json_string;
use haul_core::{Fault, Seq, SliceId};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::catalog::Catalog;
use super::depot::{Depot, Open, Prepared, lock, unwritable};
use super::part::Complete;
use super::rows::Saved;
use crate::stores::disk::disk_fault;

/// Directories that are made durable one by one; more are done with one sync of the file system.
const DIRECTORIES: usize = 8;
/// The name of the receipts' length in the catalog.
const RECEIPTS: &str = "receipts";
/// Receipts that are compressed together: more would need more memory and not become much smaller.
const AT_ONCE: usize = 512;
/// Receipts are small and alike: a fast level does most of what a slow one does.
const LEVEL: i32 = 1;
/// 64 KiB, some hundred receipts: room for more takes half a megabyte.
const WINDOW_LOG: u32 = 16;

/// See the module.
pub(super) struct Finishing {
    depot: Arc<Depot>,
    receipts: File,
    receipts_path: PathBuf,
    compressor: Compressor<'static>,
    /// Bytes of receipts that belong to what was committed.
    len: u64,
    root: File,
    /// The run directory is on another file system: one sync does not reach both.
    apart: bool,
}

impl Finishing {
    /// For a depot that is being opened.
    pub(super) fn new(depot: &Arc<Depot>, out: &Path, catalog: &Catalog) -> Result<Self, Fault> {
        let path = out.join("receipts.jsonl.zst");
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        let receipts = opened.map_err(|e| disk_fault(&path, &e))?;
        // What came after the last commit is said again.
        let len = catalog.log_len(RECEIPTS)?.min(receipts.metadata().map_or(0, |m| m.len()));
        receipts.set_len(len).map_err(|e| disk_fault(&path, &e))?;
        let root = File::open(depot.to()).map_err(|e| unwritable(depot.to(), &e))?;
        let apart = device(&root) != device(&receipts);
        let compressor = compressor().map_err(|e| disk_fault(&path, &e))?;
        Ok(Finishing { depot: depot.clone(), receipts, receipts_path: path, compressor, len, root, apart })
    }

    fn write_receipts(&mut self, files: &[Arc<Prepared>]) -> Result<(), Fault> {
        let mut lines = Vec::new();
        for files in files.chunks(AT_ONCE) {
            lines.clear();
            files.iter().for_each(|file| receipt(file, &mut lines));
            let frame = self.compressor.compress(&lines).map_err(|e| disk_fault(&self.receipts_path, &e))?;
            self.receipts.write_all(&frame).map_err(|e| disk_fault(&self.receipts_path, &e))?;
            self.len += frame.len() as u64;
        }
        Ok(())
    }

    fn write_rows(&self, open: &Open, files: &[Arc<Prepared>]) -> Result<(), Fault> {
        let mut catalog = lock(&open.catalog);
        for file in files {
            let saved = Saved {
                name: file.name.clone(),
                url: file.url,
                bytes: file.complete.bytes,
                mtime: file.complete.mtime,
                crc: file.complete.crc,
                checksum: file.checksum.clone(),
            };
            catalog.save(file.path, file.owner, saved)?;
        }
        catalog.set_log_len(RECEIPTS, self.len)?;
        catalog.commit()
    }

    /// Makes contents durable: those of all files at once.
    fn sync(&self, files: &[Arc<Prepared>]) -> Result<(), Fault> {
        if self.apart {
            self.receipts.sync_data().map_err(|e| disk_fault(&self.receipts_path, &e))?;
        }
        #[cfg(target_os = "linux")]
        {
            let _ = files;
            rustix::fs::syncfs(&self.root).map_err(|e| disk_fault(self.depot.to(), &e.into()))
        }
        #[cfg(not(target_os = "linux"))]
        files.iter().try_for_each(|file| {
            let synced = file.body.open().and_then(|f| f.sync_all());
            synced.map_err(|e| disk_fault(&self.depot.to().join(&file.name), &e))
        })
    }

    /// Gives files their names and makes the directories durable.
    fn rename(&self, open: &Open, files: &[Arc<Prepared>]) -> Result<(), Fault> {
        let (mut directories, mut last) = (BTreeSet::new(), None);
        for file in files {
            let target = open.target(&file.name);
            let named = (!file.is_new).then(|| file.body.named(open.between(file))).transpose();
            let named = named.map_err(|e| disk_fault(&target, &e))?;
            let give =
                || named.as_ref().map_or_else(|| file.body.give(&target), |from| fs::rename(from, &target));
            let dir = file.name.rsplit_once('/').map_or("", |(dir, _)| dir);
            let moved = match give() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    let above = Path::new(dir).ancestors().map(|dir| self.depot.to().join(dir));
                    directories.extend(above);
                    fs::create_dir_all(self.depot.to().join(dir)).and_then(|()| give())
                }
                moved => moved,
            };
            match moved {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && file.is_new => {
                    return Err(appeared(open, file, &target));
                }
                moved => moved.map_err(|e| disk_fault(&target, &e))?,
            }
            if last != Some(dir) {
                directories.insert(self.depot.to().join(dir));
                last = Some(dir);
            }
        }
        if directories.len() > DIRECTORIES {
            return self.sync(&[]);
        }
        directories
            .iter()
            .try_for_each(|dir| File::open(dir).and_then(|d| d.sync_all()).map_err(|e| disk_fault(dir, &e)))
    }
}

impl Finish for Finishing {
    fn finish(&mut self, done: &[(SliceId, Seq)]) -> Result<(), Fault> {
        let depot = self.depot.clone();
        let open = depot.get()?;
        let files = open.take_prepared(done);
        if files.is_empty() {
            // What was claimed must not lag behind the cursor.
            return lock(&open.catalog).commit();
        }
        self.write_receipts(&files)?;
        self.write_rows(open, &files)?;
        self.sync(&files)?;
        self.rename(open, &files)?;
        open.settled(&files);
        Ok(())
    }
}

/// Somebody else's file has got the name meanwhile: it stays, and is found by the next attempt.
fn appeared(open: &Open, file: &Prepared, target: &Path) -> Fault {
    let mut catalog = lock(&open.catalog);
    let forgotten = catalog.forget(file.path).and_then(|()| catalog.commit());
    let message =
        format!("{}: it has appeared while it was fetched; another program writes there", target.display());
    forgotten.err().unwrap_or_else(|| Fault::fatal("exists", message))
}

fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    Ok(compressor)
}

/// One line: key, url, path, bytes, checksum, milliseconds.
fn receipt(file: &Prepared, out: &mut Vec<u8>) {
    let mut member = |name: &str, text: &str| {
        out.extend_from_slice(name.as_bytes());
        write_json_string(text, out);
    };
    member("{\"key\":", &file.key);
    member(",\"url\":", &file.shown_url);
    member(",\"path\":", &file.name);
    let Complete { bytes, crc, .. } = file.complete;
    // Nothing can fail that is written to memory.
    if file.checksum.is_empty() {
        let _ = write!(out, ",\"checksum\":\"crc32c:{crc:08x}\"");
    } else {
        member(",\"checksum\":", &file.checksum);
    }
    let _ = writeln!(out, ",\"bytes\":{bytes},\"ms\":{}}}", file.ms);
}

fn device(file: &File) -> u64 {
    #[cfg(unix)]
    {
        file.metadata().map_or(0, |m| std::os::unix::fs::MetadataExt::dev(&m))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        0
    }
}
