//! A log of observations that can be cut back to a length: frames with a checksum, each a list of
//! keys with counts.
//!
//! | bytes | |
//! |---|---|
//! | 4 | length of the list, little-endian |
//! | 4 | its checksum: the low half of XXH3-64 |
//! | … | entries: varint of count × 4 + kind, then a zigzag varint (0), or a length and text (1: string, 2: other JSON) |

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use super::key::Key;
use crate::varint;

/// A list is written when it is this long.
const FRAME_BYTES: usize = 64 * 1024;
/// Longest list that is read back: one key of the longest line and what came before it.
const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The log, open for appending.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Bytes written, durable or not.
    len: u64,
    list: Vec<u8>,
}

impl Log {
    /// Opens the log of which `len` bytes are good; the rest is cut off.
    pub(super) fn open(path: &Path, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let found = file.metadata()?.len();
        if found < len {
            let reason = format!("it has {found} bytes, and {len} were committed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        file.set_len(len)?;
        if len == 0 {
            sync_parent(path)?;
        }
        Ok(Log { file, len, list: Vec::new() })
    }

    /// Adds a key.
    pub(super) fn push(&mut self, key: Key<'_>, count: u64) -> io::Result<()> {
        let head = count << 2;
        match key {
            Key::Int(n) => {
                varint::write(head, &mut self.list);
                varint::write(varint::zigzag(n), &mut self.list);
            }
            Key::Text(text) | Key::Json(text) => {
                varint::write(head | if matches!(key, Key::Text(_)) { 1 } else { 2 }, &mut self.list);
                varint::write_bytes(text, &mut self.list);
            }
        }
        if self.list.len() >= FRAME_BYTES { self.write() } else { Ok(()) }
    }

    /// Hands what was added to the system.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.list.is_empty() {
            return Ok(());
        }
        let mut head = [0; 8];
        head[..4].copy_from_slice(&(self.list.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&checksum(&self.list).to_le_bytes());
        self.file.write_all(&head)?;
        self.file.write_all(&self.list)?;
        self.len += (head.len() + self.list.len()) as u64;
        self.list.clear();
        Ok(())
    }

    /// Makes everything durable; its length.
    pub(super) fn sync(&mut self) -> io::Result<u64> {
        self.write()?;
        self.file.sync_data()?;
        Ok(self.len)
    }

    /// Bytes handed to the system.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

/// Shows the first `len` bytes of a log, a key at a time.
pub(super) fn read(
    path: &Path,
    len: u64,
    each: impl FnMut(Key<'_>, u64) -> io::Result<()>,
) -> io::Result<()> {
    read_from(BufReader::with_capacity(FRAME_BYTES, File::open(path)?).take(len), each)
}

/// See [`read`].
pub(crate) fn read_from<R: Read>(
    mut rest: io::Take<R>,
    mut each: impl FnMut(Key<'_>, u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut list = Vec::new();
    while rest.limit() > 0 {
        let mut head = [0; 8];
        rest.read_exact(&mut head).map_err(|_| damaged("it ends within a frame"))?;
        let [a, b, c, d, e, f, g, h] = head;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        if size > FRAME_BYTES_MAX {
            return Err(damaged("a frame has an impossible length"));
        }
        list.resize(size, 0);
        rest.read_exact(&mut list).map_err(|_| damaged("it ends within a frame"))?;
        if checksum(&list) != u32::from_le_bytes([e, f, g, h]) {
            return Err(damaged("a checksum does not match"));
        }
        let mut bytes = list.as_slice();
        while !bytes.is_empty() {
            let (key, count) = read_entry(&mut bytes).ok_or_else(|| damaged("an entry is cut off"))?;
            each(key, count)?;
        }
    }
    Ok(())
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the log is damaged: {reason}"))
}

fn checksum(list: &[u8]) -> u32 {
    xxhash_rust::xxh3::xxh3_64(list) as u32
}

pub(crate) fn read_entry<'a>(bytes: &mut &'a [u8]) -> Option<(Key<'a>, u64)> {
    let head = varint::read(bytes)?;
    let key = match head & 3 {
        0 => Key::Int(varint::unzigzag(varint::read(bytes)?)),
        1 => Key::Text(varint::read_bytes(bytes)?),
        _ => Key::Json(varint::read_bytes(bytes)?),
    };
    Some((key, head >> 2))
}

/// Makes the name of a new file durable.
#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Windows has no such call; names are in its journal.
#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}
