//! Entries by partition: a chunk of memory each, written to a nameless file when it is full.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::{self, Entry, PARTITIONS, SMALL_LEN};
use super::key::Key;

/// The entries of one thread.
pub(crate) struct Partitions {
    chunk: usize,
    dir: PathBuf,
    /// A chunk for each partition; `fill` says how far.
    buffer: Vec<u8>,
    fill: Vec<u32>,
    file: Option<SpillFile>,
    /// Partitions of the chunks in the file, in their order there.
    written: Vec<u16>,
    /// By partition: numbers of its chunks in the file. Made by [`Partitions::seal`].
    order: Vec<u32>,
    starts: Vec<u32>,
    scratch: Vec<u8>,
}

impl Partitions {
    /// With `chunk` bytes for each partition; files go to `dir`.
    pub(crate) fn new(chunk: usize, dir: &Path) -> Self {
        Partitions {
            chunk,
            dir: dir.to_owned(),
            buffer: Vec::new(),
            fill: Vec::new(),
            file: None,
            written: Vec::new(),
            order: Vec::new(),
            starts: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// An integer seen once.
    #[inline(always)]
    pub(crate) fn push_int(&mut self, n: i64) -> io::Result<()> {
        let (partition, bits, len) = entry::place_int(n);
        // Stored with eight bytes at once where the chunk has room for them.
        if let Some(fill) = self.fill.get_mut(partition)
            && (*fill as usize) + 8 <= self.chunk
        {
            let at = partition * self.chunk + *fill as usize;
            if let Some(place) = self.buffer.get_mut(at..at + 8) {
                place.copy_from_slice(&bits.to_le_bytes());
                *fill += len as u32;
                return Ok(());
            }
        }
        self.push_bytes(partition, bits.to_le_bytes().get(..len).unwrap_or_default())
    }

    /// A key seen `count` times.
    pub(crate) fn push(&mut self, key: Key<'_>, count: u64) -> io::Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        if count > 1 {
            entry::write_count(count, &mut scratch);
        }
        let partition = match key {
            Key::Int(n) => {
                let (partition, bits, len) = entry::place_int(n);
                scratch.extend_from_slice(bits.to_le_bytes().get(..len).unwrap_or_default());
                partition
            }
            Key::Text(text) | Key::Json(text) => {
                let json = matches!(key, Key::Json(_));
                entry::write_text(text, json, &mut scratch);
                entry::place_hash(entry::hash_text(text, json))
            }
        };
        let result = self.push_bytes(partition, &scratch);
        self.scratch = scratch;
        result
    }

    #[cold]
    #[inline(never)]
    fn push_bytes(&mut self, partition: usize, mut bytes: &[u8]) -> io::Result<()> {
        if self.fill.is_empty() {
            self.fill = vec![0; PARTITIONS];
            self.buffer = vec![0; PARTITIONS * self.chunk];
        }
        while !bytes.is_empty() {
            let fill = self.fill.get(partition).map_or(0, |f| *f as usize);
            if fill == self.chunk {
                self.write(partition)?;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.chunk - fill));
            let at = partition * self.chunk + fill;
            if let (Some(place), Some(fill)) =
                (self.buffer.get_mut(at..at + now.len()), self.fill.get_mut(partition))
            {
                place.copy_from_slice(now);
                *fill += now.len() as u32;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Writes the chunk of a partition, full or not, behind the others.
    fn write(&mut self, partition: usize) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(SpillFile::create(&self.dir)?);
        }
        let start = partition * self.chunk;
        if let (Some(file), Some(chunk)) = (&self.file, self.buffer.get(start..start + self.chunk)) {
            file.write_at(chunk, self.written.len() as u64 * self.chunk as u64)?;
        }
        self.written.push(partition as u16);
        if let Some(fill) = self.fill.get_mut(partition) {
            *fill = 0;
        }
        Ok(())
    }

    /// Ends writing. When something is in the file already, the rest goes there as well and the
    /// memory is given back.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        let mut last = vec![0; PARTITIONS];
        if !self.written.is_empty() {
            for partition in 0..PARTITIONS {
                let fill = self.fill.get(partition).copied().unwrap_or(0);
                if let Some(last) = last.get_mut(partition).filter(|_| fill > 0) {
                    self.write(partition)?;
                    *last = fill;
                }
            }
            self.buffer = Vec::new();
            self.fill = last;
        }
        // Chunks by partition: counting sort.
        let mut starts = vec![0u32; PARTITIONS + 1];
        for partition in &self.written {
            if let Some(start) = starts.get_mut(usize::from(*partition) + 1) {
                *start += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut order = vec![0; self.written.len()];
        for (chunk, partition) in (0u32..).zip(&self.written) {
            if let Some(next) = next.get_mut(usize::from(*partition)) {
                if let Some(slot) = order.get_mut(*next as usize) {
                    *slot = chunk;
                }
                *next += 1;
            }
        }
        self.written = Vec::new();
        (self.starts, self.order) = (starts, order);
        Ok(())
    }

    /// Shows every entry of a partition to `see`, until it says to stop. Only after
    /// [`Partitions::seal`].
    pub(crate) fn read(
        &self,
        partition: usize,
        buffer: &mut Vec<u8>,
        see: &mut dyn FnMut(&[u8]) -> Seen,
    ) -> io::Result<bool> {
        buffer.clear();
        let bounds = self.starts.get(partition).zip(self.starts.get(partition + 1));
        let (from, to) = bounds.map_or((0, 0), |(from, to)| (*from as usize, *to as usize));
        let fill = self.fill.get(partition).copied().unwrap_or(0) as usize;
        let chunks = self.order.get(from..to).unwrap_or_default();
        for (i, chunk) in chunks.iter().enumerate() {
            // The last one may be partly filled.
            let len = if i + 1 == chunks.len() && fill > 0 { fill } else { self.chunk };
            let held = buffer.len();
            buffer.resize(held + len, 0);
            if let (Some(file), Some(place)) = (&self.file, buffer.get_mut(held..)) {
                file.read_at(place, u64::from(*chunk) * self.chunk as u64)?;
            }
            if !consume(buffer, see) {
                return Ok(false);
            }
        }
        if chunks.is_empty() {
            let start = partition * self.chunk;
            buffer.extend_from_slice(self.buffer.get(start..start + fill).unwrap_or_default());
            if !consume(buffer, see) {
                return Ok(false);
            }
        }
        if buffer.is_empty() { Ok(true) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

/// What became of bytes that were shown.
pub(crate) enum Seen {
    /// So many were used; the rest goes on with the next chunk.
    Used(usize),
    /// Nothing more is wanted.
    Enough,
}

fn consume(buffer: &mut Vec<u8>, see: &mut dyn FnMut(&[u8]) -> Seen) -> bool {
    match see(buffer) {
        Seen::Used(used) => {
            buffer.drain(..used);
            true
        }
        Seen::Enough => false,
    }
}

/// A file without a name: it vanishes with the process, however that ends.
struct SpillFile {
    file: File,
    /// Where it could not be unlinked while open.
    path: Option<PathBuf>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl SpillFile {
    fn create(dir: &Path) -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!(".haul-spill-{}-{number}", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    // Windows keeps the name until the file is closed.
                    let path =
                        if cfg!(unix) && std::fs::remove_file(&path).is_ok() { None } else { Some(path) };
                    return Ok(SpillFile { file, path });
                }
                // Left by a process of the same number that was killed at the wrong moment.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, at)
    }

    #[cfg(unix)]
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, at)
    }

    #[cfg(windows)]
    fn write_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_write(&self.file, bytes, at)?;
            bytes = bytes.get(n..).unwrap_or_default();
            at += n as u64;
        }
        Ok(())
    }

    #[cfg(windows)]
    fn read_at(&self, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, bytes, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    bytes = bytes.get_mut(n..).unwrap_or_default();
                    at += n as u64;
                }
            }
        }
        Ok(())
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // A leftover of a temporary directory; nobody waits for the answer.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Decodes entries one after the other.
pub(crate) fn entries(bytes: &[u8], mut each: impl FnMut(Entry<'_>, u64) -> bool) -> Seen {
    let mut at = 0;
    while let Some((entry, count, used)) = entry::read(bytes.get(at..).unwrap_or_default()) {
        if !each(entry, count) {
            return Seen::Enough;
        }
        at += used;
    }
    Seen::Used(at)
}

const _: () = assert!(SMALL_LEN < 8);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::super::key::OwnedKey;
    use super::*;

    fn key() -> impl Strategy<Value = OwnedKey> {
        prop_oneof![
            4 => (0i64..5000).prop_map(OwnedKey::Int),
            2 => any::<i64>().prop_map(OwnedKey::Int),
            2 => prop::collection::vec(any::<u8>(), 0..200).prop_map(|t| OwnedKey::Text(t.into())),
            1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(|t| OwnedKey::Json(t.into())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_goes_in_comes_out(keys in prop::collection::vec((key(), 1u64..4), 0..4000), chunk in 9usize..64) {
            let dir = tempfile::tempdir().unwrap();
            let mut parts = Partitions::new(chunk, dir.path());
            let mut model: HashMap<OwnedKey, u64> = HashMap::new();
            for (key, count) in &keys {
                *model.entry(key.clone()).or_default() += count;
                match key {
                    OwnedKey::Int(n) if *count == 1 => parts.push_int(*n).unwrap(),
                    key => parts.push(key.borrow(), *count).unwrap(),
                }
            }
            parts.seal().unwrap();
            let mut found: HashMap<OwnedKey, u64> = HashMap::new();
            let mut buffer = Vec::new();
            for partition in 0..PARTITIONS {
                let complete = parts.read(partition, &mut buffer, &mut |bytes| entries(bytes, |entry, count| {
                    *found.entry(entry.key(partition).into()).or_default() += count;
                    true
                })).unwrap();
                prop_assert!(complete);
            }
            prop_assert_eq!(found, model);
            drop(parts);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
