//! A file that is only appended to, made durable on demand, and cut back to a mark.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use haul_core::job::IfExists;
use haul_core::limits::TAIL;
use haul_core::{Fault, Mark};

/// Bytes gathered before they are handed to the system. A commit flushes them in any case.
const BUFFER: usize = 64 * 1024;

/// What is done with the file; a test makes the n-th operation fail.
pub trait FileOps: Send {
    /// Appends all of it, or fails having written some of it.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to a length.
    fn cut(&mut self, len: u64) -> io::Result<()>;
    /// Identity and length.
    fn stat(&mut self) -> io::Result<Mark>;
    /// Up to `most` bytes, beginning at `from`.
    fn read(&mut self, from: u64, most: usize) -> io::Result<Vec<u8>>;
}

impl FileOps for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.sync_all()
    }

    fn stat(&mut self) -> io::Result<Mark> {
        let meta = self.metadata()?;
        Ok(Mark { file: identity(&meta), len: meta.len(), tail: 0 })
    }

    fn read(&mut self, from: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.seek(SeekFrom::Start(from))?;
        Read::by_ref(self).take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(unix)]
fn identity(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

/// Zero, which matches every file: the length alone is compared.
#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> u64 {
    0
}

/// An append-only file with a buffer.
pub struct AppendFile {
    path: PathBuf,
    /// Opened at creation, or by the first cut or append of a run that goes on.
    ops: Option<Box<dyn FileOps>>,
    exists: IfExists,
    buffer: Vec<u8>,
    /// The last bytes before the mark's length.
    last: Vec<u8>,
    /// Identity, and length including what was handed to the system.
    mark: Mark,
    synced: Mark,
}

impl AppendFile {
    /// Opens the file of a run that starts.
    ///
    /// # Errors
    /// Fatal: it exists and may not be touched, or cannot be created.
    pub fn create(path: impl Into<PathBuf>, exists: IfExists) -> Result<AppendFile, Fault> {
        let path = path.into();
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        match exists {
            IfExists::Refuse => options.create_new(true),
            IfExists::Overwrite | IfExists::Append => options.create(true),
        };
        let file = options.open(&path).map_err(|e| cannot_create(&path, &e))?;
        check_regular(&path, &file)?;
        let mut this = AppendFile::over(path, Box::new(file), exists)?;
        if exists == IfExists::Overwrite && this.mark.len > 0 {
            this.set_len(0)?;
        }
        if this.last.last().is_some_and(|byte| *byte != b'\n') {
            // A row begins a line of its own.
            this.append(b"\n")?;
        }
        sync_directory(&this.path)?;
        Ok(this)
    }

    /// The file of a run that goes on. It is opened by [`AppendFile::cut`]; without a mark (the run
    /// died before its first commit) the first append empties it.
    pub fn resume(path: impl Into<PathBuf>, exists: IfExists) -> AppendFile {
        AppendFile {
            path: path.into(),
            ops: None,
            exists,
            buffer: Vec::new(),
            last: Vec::new(),
            mark: Mark::default(),
            synced: Mark::default(),
        }
    }

    /// A file that is already open; messages call it `path`.
    ///
    /// # Errors
    /// Fatal when it cannot be looked at.
    pub fn over(
        path: impl Into<PathBuf>,
        ops: Box<dyn FileOps>,
        exists: IfExists,
    ) -> Result<AppendFile, Fault> {
        let mut this = AppendFile { ops: Some(ops), ..AppendFile::resume(path, exists) };
        this.mark = this.io("look at", |ops| ops.stat())?;
        this.look_back(this.mark.len)?;
        this.synced = this.mark.clone();
        Ok(this)
    }

    /// Length with everything appended so far.
    pub fn len(&self) -> u64 {
        self.mark.len + self.buffer.len() as u64
    }

    /// True while nothing has been appended and nothing was there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `most` bytes from its start, as they are on disk.
    ///
    /// # Errors
    /// Fatal when it cannot be read.
    pub fn beginning(&mut self, most: usize) -> Result<Vec<u8>, Fault> {
        self.io("read", |ops| ops.read(0, most))
    }

    /// Opens the file when that has not happened. After it, [`AppendFile::is_empty`] tells what is there.
    ///
    /// # Errors
    /// Fatal when it cannot be opened.
    pub fn open(&mut self) -> Result<(), Fault> {
        if self.ops.is_some() {
            return Ok(());
        }
        // Nothing was ever committed of it: what is there was written by a process that died, except
        // after a file the user wanted to keep.
        let exists = match self.exists {
            IfExists::Append => IfExists::Append,
            IfExists::Refuse | IfExists::Overwrite => IfExists::Overwrite,
        };
        if exists == IfExists::Append && self.path.exists() {
            return Err(Fault::fatal(
                "sink",
                format!(
                    "{}: the run was cut off before its first commit, and its rows cannot be told from those that were there: look at its end, then start over with --fresh --append",
                    self.path.display()
                ),
            ));
        }
        *self = AppendFile::create(std::mem::take(&mut self.path), exists)?;
        Ok(())
    }

    /// Appends bytes; they may stay in the buffer.
    ///
    /// # Errors
    /// Fatal: `disk_full`, or `sink`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.open_for_flush()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.io("write", |ops| ops.append(&buffer))?;
        self.mark.len += buffer.len() as u64;
        let kept = (self.last.len() + buffer.len()).saturating_sub(TAIL).min(self.last.len());
        self.last.drain(..kept);
        self.last.extend_from_slice(&buffer[buffer.len().saturating_sub(TAIL)..]);
        self.mark.tail = crc32c::crc32c(&self.last);
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    /// Knows the bytes before `len`.
    fn look_back(&mut self, len: u64) -> Result<(), Fault> {
        let from = len.saturating_sub(TAIL as u64);
        let most = usize::try_from(len - from).unwrap_or(TAIL);
        // Devices have no length.
        self.last = if most == 0 { Vec::new() } else { self.io("read", |ops| ops.read(from, most))? };
        self.mark.tail = crc32c::crc32c(&self.last);
        Ok(())
    }

    fn open_for_flush(&mut self) -> Result<(), Fault> {
        let buffer = std::mem::take(&mut self.buffer);
        let opened = self.open();
        self.buffer = buffer;
        opened
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// Fatal: `disk_full`, or `sink`. What was not durable before may be lost then.
    pub fn sync(&mut self) -> Result<Mark, Fault> {
        self.flush()?;
        if self.mark != self.synced {
            self.io("sync", |ops| ops.sync())?;
            self.synced = self.mark.clone();
        }
        Ok(self.mark.clone())
    }

    /// Cuts the file back to what was committed.
    ///
    /// # Errors
    /// Fatal: it is gone, shorter than its mark, or another file.
    pub fn cut(&mut self, to: &Mark) -> Result<(), Fault> {
        let name = self.path.display().to_string();
        if self.ops.is_none() {
            let opened = OpenOptions::new().read(true).append(true).open(&self.path);
            let file = opened.map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => {
                    lost(&name, &format!("is gone, but {} bytes of it were committed", to.len))
                }
                _ => cannot_create(&self.path, &e),
            })?;
            let (path, exists) = (std::mem::take(&mut self.path), self.exists);
            *self = AppendFile::over(path, Box::new(file), exists)?;
        }
        if to.file != 0 && self.mark.file != 0 && to.file != self.mark.file {
            return Err(lost(&name, "is not the file that this run wrote (it was replaced)"));
        }
        if self.mark.len < to.len {
            let why =
                format!("is shorter than what was committed of it ({} of {} bytes)", self.mark.len, to.len);
            return Err(lost(&name, &why));
        }
        self.buffer.clear();
        self.look_back(to.len)?;
        if to.tail != 0 && self.mark.tail != to.tail {
            return Err(lost(&name, "holds something else than this run wrote (it was written by another)"));
        }
        self.set_len(to.len)
    }

    fn set_len(&mut self, len: u64) -> Result<(), Fault> {
        self.io("cut", |ops| ops.cut(len))?;
        self.mark.len = len;
        if len == 0 {
            self.look_back(0)?;
        }
        self.synced = self.mark.clone();
        Ok(())
    }

    fn io<T>(
        &mut self,
        doing: &str,
        work: impl FnOnce(&mut dyn FileOps) -> io::Result<T>,
    ) -> Result<T, Fault> {
        let Some(ops) = &mut self.ops else {
            return Err(Fault::fatal("sink", format!("{} is not open", self.path.display())));
        };
        work(&mut **ops).map_err(|e| {
            let name = self.path.display();
            match e.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    no_room(&self.path, &e)
                }
                _ => Fault::fatal("sink", format!("cannot {doing} {name}: {e}")),
            }
        })
    }
}

fn lost(name: &str, why: &str) -> Fault {
    Fault::fatal("sink", format!("{name} {why}: put it back, or start over with --fresh"))
}

fn cannot_create(path: &Path, e: &io::Error) -> Fault {
    let name = path.display();
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let message = match e.kind() {
        io::ErrorKind::AlreadyExists if path.is_dir() => is_directory(path),
        io::ErrorKind::AlreadyExists if !path.is_file() => is_not_regular(path),
        io::ErrorKind::AlreadyExists => {
            format!("{name} exists: --overwrite empties it, --append writes after what is there")
        }
        io::ErrorKind::NotFound => match parent {
            Some(parent) => {
                let parent = parent.display();
                format!("cannot create {name}: the directory {parent} does not exist (mkdir -p {parent})")
            }
            None => format!("cannot create {name}: {e}"),
        },
        io::ErrorKind::IsADirectory => is_directory(path),
        io::ErrorKind::NotADirectory => match parent {
            Some(parent) => format!("cannot create {name}: {} is not a directory", parent.display()),
            None => format!("cannot create {name}: {e}"),
        },
        io::ErrorKind::PermissionDenied => {
            format!("cannot open {name}: permission denied; write to a directory of yours")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => return no_room(path, e),
        _ => format!("cannot open {name}: {e}"),
    };
    Fault::fatal("sink", message)
}

fn no_room(path: &Path, e: &io::Error) -> Fault {
    let name = path.display();
    let message = format!("{name}: {e}: free some space (16 MB or more), then run the same command again");
    Fault::fatal("disk_full", message)
}

fn is_directory(path: &Path) -> String {
    format!("{} is a directory: give the name of a file", path.display())
}

fn is_not_regular(path: &Path) -> String {
    let name = path.display();
    format!("{name} is no regular file: use - and redirect it: --to - > {name}")
}

/// Rows can be cut back in regular files only.
fn check_regular(path: &Path, file: &File) -> Result<(), Fault> {
    match file.metadata() {
        Ok(meta) if !meta.is_file() => Err(Fault::fatal("sink", is_not_regular(path))),
        Ok(_) => Ok(()),
        Err(e) => Err(cannot_create(path, &e)),
    }
}

/// A file whose name is not durable is lost by a power cut, whatever was synced into it.
#[cfg(unix)]
fn sync_directory(path: &Path) -> Result<(), Fault> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(|e| Fault::fatal("sink", format!("cannot sync the directory {}: {e}", parent.display())))
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> Result<(), Fault> {
    Ok(())
}
