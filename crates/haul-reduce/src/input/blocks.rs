//! Plain files in blocks, claimed by threads from one counter. Never mapped: a map of a large file
//! counts as resident memory, and a truncated one kills the process.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scan::{Failure, Shared};
use super::{BYTE_ORDER_MARK, Lines, Piece};
use crate::limits;

/// One plain file.
pub(super) struct Plain<'a> {
    pub(super) input: u32,
    pub(super) path: &'a Path,
    pub(super) len: u64,
}

/// Blocks of several files, numbered through.
pub(super) struct Blocks<'a> {
    files: Vec<Plain<'a>>,
    /// Number of the first block of each file.
    first: Vec<u64>,
    total: u64,
    size: u64,
    next: AtomicU64,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(files: Vec<Plain<'a>>, size: usize) -> Self {
        let size = size as u64;
        let mut total = 0;
        let mut first = Vec::with_capacity(files.len());
        for file in &files {
            first.push(total);
            total += file.len.div_ceil(size);
        }
        Blocks { files, first, total, size, next: AtomicU64::new(0) }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Works on blocks until none is left, or all that is left lies behind a failure.
    pub(super) fn work(&self, lines: &mut dyn Lines, shared: &Shared) {
        let mut reader = Reader { size: self.size, buffer: Vec::new(), open: None };
        loop {
            let block = self.next.fetch_add(1, Ordering::Relaxed);
            if block >= self.total {
                return;
            }
            let index = self.first.partition_point(|f| *f <= block) - 1;
            let (Some(file), Some(first)) = (self.files.get(index), self.first.get(index)) else { return };
            let start = (block - first) * self.size;
            if shared.is_past_failure(file.input, start) {
                return;
            }
            if let Err(failure) = reader.block(file, start, lines) {
                shared.fail(failure);
            }
            shared.progress.add(self.size.min(file.len - start));
        }
    }
}

/// Read at once to find the end of a line that reaches far over its block.
const TAIL_BYTES: usize = 64 * 1024;

struct Reader {
    size: u64,
    buffer: Vec<u8>,
    /// The file read last.
    open: Option<(u32, File)>,
}

impl Reader {
    /// Takes the lines that start in the block at `start`. The line that reaches over its end is
    /// read to its end; the one that reaches in from the block before belongs to that.
    fn block(&mut self, file: &Plain<'_>, start: u64, lines: &mut dyn Lines) -> Result<(), Failure> {
        let io = |e| Failure::io(file.input, start, e);
        let handle = match self.open.take() {
            Some((input, handle)) if input == file.input => handle,
            _ => File::open(file.path).map_err(io)?,
        };
        let result = self.block_of(&handle, file, start, lines);
        self.open = Some((file.input, handle));
        result
    }

    fn block_of(
        &mut self,
        handle: &File,
        file: &Plain<'_>,
        start: u64,
        lines: &mut dyn Lines,
    ) -> Result<(), Failure> {
        let io = |e| Failure::io(file.input, start, e);
        // One byte more in front says whether a line starts with the block.
        let base = start.saturating_sub(1);
        let capacity = self.size as usize + limits::OVERLAP_BYTES + 1;
        self.buffer.resize(capacity, 0);
        let len = read_at(handle, &mut self.buffer, base).map_err(io)?;
        let ended = len < capacity;
        self.buffer.truncate(len);
        let end = ((start - base) + self.size.min(file.len - start)) as usize;
        let Some(own) = self.buffer.get(..end.min(len)) else { return Ok(()) };
        let from = match start {
            0 => 0,
            _ => match memchr::memchr(b'\n', own) {
                Some(at) => at + 1,
                None => return Ok(()),
            },
        };
        if from >= own.len() {
            return Ok(());
        }
        // The last line of the block ends at the first newline from the block's last byte on.
        let last = own.len() - 1;
        let rest = self.buffer.get(last..).unwrap_or_default();
        if let Some(at) = memchr::memchr(b'\n', rest) {
            return self.give(file, base, from, last + at + 1, lines);
        }
        let own = self.buffer.get(from..last).unwrap_or_default();
        let start = memchr::memrchr(b'\n', own).map_or(from, |at| from + at + 1);
        self.give(file, base, from, start, lines)?;
        self.buffer.drain(..start);
        self.tail(handle, file, base + start as u64, ended, lines)
    }

    /// The line at `at`, of which the buffer holds the beginning.
    fn tail(
        &mut self,
        handle: &File,
        file: &Plain<'_>,
        at: u64,
        mut ended: bool,
        lines: &mut dyn Lines,
    ) -> Result<(), Failure> {
        while !ended {
            let len = self.buffer.len();
            if len > limits::HELD_BYTES {
                return self.long(handle, file, at, lines);
            }
            self.buffer.resize(len + TAIL_BYTES, 0);
            let more = self.buffer.get_mut(len..).unwrap_or_default();
            let got = read_at(handle, more, at + len as u64).map_err(|e| Failure::io(file.input, at, e))?;
            self.buffer.truncate(len + got);
            ended = got < TAIL_BYTES;
            let read = self.buffer.get(len..).unwrap_or_default();
            if let Some(newline) = memchr::memchr(b'\n', read) {
                return self.give(file, at, 0, len + newline + 1, lines);
            }
        }
        self.buffer.push(b'\n');
        self.give(file, at, 0, self.buffer.len(), lines)
    }

    fn give(
        &mut self,
        file: &Plain<'_>,
        base: u64,
        from: usize,
        to: usize,
        lines: &mut dyn Lines,
    ) -> Result<(), Failure> {
        let text = self.buffer.get(from..to).unwrap_or_default();
        if text.is_empty() {
            return Ok(());
        }
        let piece = Piece { text, input: file.input, at: base + from as u64, line: 0 };
        lines.take(piece.without_mark()).map_err(Failure::bad)
    }

    /// A line too long to be held, from its start at `at`.
    fn long(
        &mut self,
        handle: &File,
        file: &Plain<'_>,
        at: u64,
        lines: &mut dyn Lines,
    ) -> Result<(), Failure> {
        self.buffer.truncate(0);
        self.buffer.shrink_to(self.size as usize);
        self.buffer.resize(self.size as usize, 0);
        lines.long_start(file.input, at, 0);
        let mut place = at;
        loop {
            let got = read_at(handle, &mut self.buffer, place).map_err(|e| Failure::io(file.input, at, e))?;
            let part = self.buffer.get(..got).unwrap_or_default();
            let newline = memchr::memchr(b'\n', part);
            let own = part.get(..newline.unwrap_or(got)).unwrap_or_default();
            lines.long_part(if place == 0 { own.strip_prefix(BYTE_ORDER_MARK).unwrap_or(own) } else { own });
            if newline.is_some() || got < self.buffer.len() {
                return lines.long_end().map_err(Failure::bad);
            }
            place += got as u64;
        }
    }
}

/// Reads until `buffer` is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|r| !r.is_empty()) {
        match read_once(file, rest, at + len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}

#[cfg(unix)]
fn read_once(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(windows)]
fn read_once(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

/// Counts the newlines before `at`.
pub(super) fn newlines_before(path: &Path, at: u64) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut buffer = vec![0; limits::BLOCK_BYTES];
    let (mut place, mut count) = (0, 0);
    while place < at {
        let want = (at - place).min(buffer.len() as u64) as usize;
        let got = read_at(&file, buffer.get_mut(..want).unwrap_or_default(), place)?;
        if got == 0 {
            break;
        }
        count += memchr::memchr_iter(b'\n', buffer.get(..got).unwrap_or_default()).count() as u64;
        place += got as u64;
    }
    Ok(count)
}
