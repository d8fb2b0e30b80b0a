//! Brings a listing into the order of its keys, in bounded memory: sorted parts go to a file without a
//! name, and are read side by side.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use haul_core::limits::{SORTED_BYTES, SORTED_RUNS};
use haul_core::store::{Listed, Meta};
use haul_core::{Fault, Key};

use super::Spill;

/// Bytes of a part read, or written, at once.
const BLOCK: usize = 16 * 1024;
/// What an object takes beside its texts.
const OBJECT: usize = size_of::<Listed>();

/// Takes objects in any order, and hands them on in that of their keys, each key once.
pub(super) struct Sorter {
    held: Vec<Listed>,
    bytes: usize,
    spill: Option<Parts>,
    merge: Option<Merge>,
    most: usize,
    last: Option<Key>,
    files: Spill,
}

/// A file of sorted parts.
struct Parts {
    file: File,
    len: u64,
    /// Beginning and end of each.
    parts: Vec<(u64, u64)>,
}

impl Sorter {
    /// What does not fit into memory goes into files there.
    pub(super) fn new(files: &Spill) -> Self {
        let files = files.clone();
        Sorter { held: Vec::new(), bytes: 0, spill: None, merge: None, most: SORTED_BYTES, last: None, files }
    }

    /// Takes an object. What is known beside length, time, version and digest is not kept.
    pub(super) fn add(&mut self, object: Listed) -> Result<(), Fault> {
        self.bytes += OBJECT + object.key.0.len() + object.meta.version.len();
        self.held.push(Listed { meta: Meta { headers: Vec::new(), ..object.meta }, ..object });
        if self.bytes > self.most {
            self.spill().map_err(|e| self.unwritable(&e))?;
        }
        Ok(())
    }

    /// All are there.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        if self.spill.is_some() {
            self.spill().map_err(|e| self.unwritable(&e))?;
        }
        // Taken from the end.
        self.held.sort_by(|a, b| b.key.cmp(&a.key));
        if let Some(spill) = self.spill.take() {
            let merge = Merge::new(spill.file, spill.parts).map_err(|e| self.unwritable(&e))?;
            self.merge = Some(merge);
        }
        Ok(())
    }

    /// So many objects, or fewer at the end.
    pub(super) fn next(&mut self, most: usize) -> Result<Vec<Listed>, Fault> {
        let mut found: Vec<Listed> = Vec::new();
        while found.len() < most {
            let object = match &mut self.merge {
                None => self.held.pop(),
                Some(merge) => merge.next().map_err(|e| unwritable(&self.files, &e))?,
            };
            let Some(object) = object else { break };
            // It moved while it was listed.
            if self.last.as_ref() != Some(&object.key) {
                self.last = Some(object.key.clone());
                found.push(object);
            }
        }
        Ok(found)
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_by(|a, b| a.key.cmp(&b.key));
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert(Parts { file: self.files.file()?, len: 0, parts: Vec::new() }),
        };
        spill.append(self.held.drain(..).map(Ok))?;
        self.bytes = 0;
        if spill.parts.len() >= SORTED_RUNS {
            let parts = std::mem::take(&mut spill.parts);
            let mut merge = Merge::new(spill.file.try_clone()?, parts)?;
            let mut next = Parts { file: self.files.file()?, len: 0, parts: Vec::new() };
            next.append(std::iter::from_fn(|| merge.next().transpose()))?;
            *spill = next;
        }
        Ok(())
    }

    fn unwritable(&self, e: &io::Error) -> Fault {
        unwritable(&self.files, e)
    }
}

impl Parts {
    fn append(&mut self, objects: impl Iterator<Item = io::Result<Listed>>) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.len))?;
        let (start, mut out) = (self.len, Vec::with_capacity(BLOCK));
        for object in objects {
            write(&object?, &mut out);
            if out.len() >= BLOCK {
                self.file.write_all(&out)?;
                self.len += out.len() as u64;
                out.clear();
            }
        }
        self.file.write_all(&out)?;
        self.len += out.len() as u64;
        self.parts.push((start, self.len));
        Ok(())
    }
}

/// Sorted parts, read side by side.
struct Merge {
    file: File,
    parts: Vec<Part>,
    /// The next key of each part that is not at its end.
    next: BinaryHeap<Reverse<(Key, usize)>>,
}

struct Part {
    at: u64,
    end: u64,
    block: Vec<u8>,
    used: usize,
    head: Option<Listed>,
}

impl Merge {
    fn new(file: File, parts: Vec<(u64, u64)>) -> io::Result<Self> {
        let part = |(at, end)| Part { at, end, block: Vec::new(), used: 0, head: None };
        let mut merge = Merge { file, parts: parts.into_iter().map(part).collect(), next: BinaryHeap::new() };
        for i in 0..merge.parts.len() {
            merge.advance(i)?;
        }
        Ok(merge)
    }

    fn next(&mut self) -> io::Result<Option<Listed>> {
        let Some(Reverse((_, i))) = self.next.pop() else { return Ok(None) };
        let object = self.parts[i].head.take();
        self.advance(i)?;
        Ok(object)
    }

    /// Reads the next object of a part.
    fn advance(&mut self, i: usize) -> io::Result<()> {
        let part = &mut self.parts[i];
        loop {
            if let Some((object, used)) = read(&part.block[part.used..]) {
                part.used += used;
                self.next.push(Reverse((object.key.clone(), i)));
                part.head = Some(object);
                return Ok(());
            }
            if part.at == part.end {
                return Ok(());
            }
            part.block.drain(..part.used);
            part.used = 0;
            self.file.seek(SeekFrom::Start(part.at))?;
            let more = (part.end - part.at).min(BLOCK as u64);
            let read = (&mut self.file).take(more).read_to_end(&mut part.block)? as u64;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            part.at += read;
        }
    }
}

fn write(object: &Listed, out: &mut Vec<u8>) {
    let Listed { key, meta } = object;
    for text in [&key.0[..], meta.version.as_bytes()] {
        out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(text);
    }
    out.extend_from_slice(&meta.len.to_le_bytes());
    out.extend_from_slice(&meta.modified_ns.to_le_bytes());
    out.push(u8::from(meta.md5.is_some()));
    out.extend_from_slice(&meta.md5.unwrap_or_default());
}

/// An object and the bytes it took; `None`: it is not there as a whole.
fn read(from: &[u8]) -> Option<(Listed, usize)> {
    let mut rest = from;
    let mut take = |len: usize| {
        let (taken, left) = rest.split_at_checked(len)?;
        rest = left;
        Some(taken)
    };
    let mut text = || {
        let len = u32::from_le_bytes(take(4)?.try_into().ok()?);
        take(usize::try_from(len).ok()?)
    };
    let (key, version) = (text()?, text()?);
    let len = u64::from_le_bytes(take(8)?.try_into().ok()?);
    let modified_ns = i64::from_le_bytes(take(8)?.try_into().ok()?);
    let is_digested = take(1)? == [1];
    let md5 = take(16)?.try_into().ok().filter(|_| is_digested);
    let version = String::from_utf8_lossy(version).into();
    let meta = Meta { len, modified_ns, version, md5, headers: Vec::new() };
    let object = Listed { key: Key::from(key.to_vec()), meta };
    Some((object, from.len() - rest.len()))
}

fn unwritable(files: &Spill, e: &io::Error) -> Fault {
    Fault::fatal("disk", format!("a listing cannot be sorted in {}: {e}", files.dir().display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn sorted(objects: &[Listed], most: usize) -> Vec<Listed> {
        let mut sorter = Sorter { most, ..Sorter::new(&Spill::default()) };
        for object in objects {
            sorter.add(object.clone()).unwrap();
        }
        sorter.finish().unwrap();
        let pages = std::iter::from_fn(|| Some(sorter.next(7).unwrap()).filter(|page| !page.is_empty()));
        pages.flatten().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn objects_come_in_order_and_once(
            keys in prop::collection::vec((any::<Vec<u8>>(), any::<u64>(), any::<Option<[u8; 16]>>()), 0..400),
            most in 1usize..20_000,
        ) {
            let objects: Vec<Listed> = keys.into_iter().map(|(key, len, md5)| {
                let version = format!("{}", len % 7).into();
                Listed { key: key.into(), meta: Meta { len, modified_ns: -1, version, md5, headers: Vec::new() } }
            }).collect();
            let found = sorted(&objects, most);
            let wanted: BTreeMap<&Key, ()> = objects.iter().map(|o| (&o.key, ())).collect();
            prop_assert!(found.iter().map(|o| &o.key).eq(wanted.keys().copied()));
            prop_assert!(found.iter().all(|object| objects.contains(object)));
        }
    }

    #[test]
    fn more_parts_than_are_read_at_once_become_one() {
        let object =
            |n: usize| Listed { key: format!("{:05}", n * 7919 % 10_000).into(), meta: Meta::default() };
        let objects: Vec<Listed> = (0..10_000).map(object).collect();
        // Ten objects a part: a thousand parts.
        let found = sorted(&objects, 10 * OBJECT);
        assert_eq!(found.len(), 10_000);
        assert!(found.is_sorted_by(|a, b| a.key < b.key));
    }
}
