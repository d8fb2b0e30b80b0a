//! A directory tree in ascending order of the bytes of its keys, in bounded memory.
//!
//! `/` takes part in the order (`a-b` comes before `a/b`), so a directory sorts under its name with a `/`
//! behind it. Of a directory with more names than may be held, the least are, and it is read again for
//! the next.

use std::collections::{BinaryHeap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use haul_core::limits::{LISTED, LISTED_NAMES};
use haul_core::store::{Listed, Listing};
use haul_core::{Cx, Fault, Key};

use super::directory::{PART_DIR, meta_of, unreadable};

/// See the module.
pub(super) struct Walk {
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    levels: Vec<Level>,
    /// Names of one directory that are held.
    most: usize,
}

/// A directory on the way down.
struct Level {
    path: PathBuf,
    /// What the keys below it begin with.
    key: Vec<u8>,
    names: VecDeque<Vec<u8>>,
    /// The last name that was held; there are more.
    more: Option<Vec<u8>>,
}

impl Walk {
    pub(super) fn new(root: &Path, prefix: &Key, after: Option<&Key>) -> Self {
        let after = after.map(|key| key.0.to_vec());
        let root =
            Level { path: root.to_owned(), key: Vec::new(), names: VecDeque::new(), more: Some(Vec::new()) };
        Walk { prefix: prefix.0.to_vec(), after, levels: vec![root], most: LISTED_NAMES }
    }

    /// True when some key below a directory may be wanted.
    fn may_hold(&self, dir: &[u8]) -> bool {
        let fits = dir.starts_with(&self.prefix) || self.prefix.starts_with(dir);
        fits && self.after.as_ref().is_none_or(|after| dir > &after[..] || after.starts_with(dir))
    }

    fn is_wanted(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix) && self.after.as_ref().is_none_or(|after| key > &after[..])
    }

    /// The next object, or none.
    fn step(&mut self) -> Result<Option<Listed>, Fault> {
        while let Some(level) = self.levels.last_mut() {
            let Some(name) = level.names.pop_front() else {
                let Some(from) = level.more.take() else {
                    self.levels.pop();
                    continue;
                };
                match names(&level.path, &from, level.key.is_empty(), self.most) {
                    Ok((names, more)) => (level.names, level.more) = (names, more),
                    Err(e) => {
                        let fault = unreadable(&level.path, &e);
                        level.more = Some(from);
                        return Err(fault);
                    }
                }
                continue;
            };
            let key = [&level.key[..], &name].concat();
            let path = level.path.join(os(name.strip_suffix(b"/").unwrap_or(&name)));
            if name.ends_with(b"/") {
                if self.may_hold(&key) {
                    let (names, more) = (VecDeque::new(), Some(Vec::new()));
                    self.levels.push(Level { path, key, names, more });
                }
            } else if self.is_wanted(&key)
                && let Ok(meta) = fs::metadata(&path)
                && meta.is_file()
            {
                // What has gone, or leads nowhere, is not there.
                return Ok(Some(Listed { key: Key::from(key), meta: meta_of(&meta) }));
            }
        }
        Ok(None)
    }
}

/// The least names of a directory greater than `from`, and the last of them if there are more.
type Names = (VecDeque<Vec<u8>>, Option<Vec<u8>>);

fn names(dir: &Path, from: &[u8], is_root: bool, most: usize) -> io::Result<Names> {
    let mut least = BinaryHeap::new();
    let mut more = false;
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Names::default()),
        Err(e) => return Err(e),
    };
    for entry in entries {
        let entry = entry?;
        let mut name = bytes(&entry.file_name());
        if is_root && name == PART_DIR.as_bytes() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            name.push(b'/');
        }
        if name[..] > *from {
            least.push(name);
            if least.len() > most {
                least.pop();
                more = true;
            }
        }
    }
    let last = least.peek().filter(|_| more).cloned();
    Ok((least.into_sorted_vec().into(), last))
}

#[cfg(unix)]
fn bytes(name: &OsStr) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(name).to_vec()
}

#[cfg(unix)]
fn os(name: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}

#[cfg(not(unix))]
fn bytes(name: &OsStr) -> Vec<u8> {
    name.to_string_lossy().into_owned().into_bytes()
}

#[cfg(not(unix))]
fn os(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[async_trait]
impl Listing for Walk {
    async fn next(&mut self, _: &Cx<'_>) -> Result<Option<Vec<Listed>>, Fault> {
        let mut found = Vec::new();
        while found.len() < LISTED {
            match self.step() {
                Ok(Some(listed)) => found.push(listed),
                Ok(None) => break,
                // It is met again by the next call.
                Err(_) if !found.is_empty() => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok((!found.is_empty()).then_some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_more_names_than_are_held_is_listed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut wanted: Vec<String> = (0..50).map(|n| format!("{:02}", n * 37 % 50)).collect();
        for name in &wanted {
            fs::write(dir.path().join(name), name).unwrap();
        }
        wanted.sort();
        for most in [1, 7, 49, 50, 51] {
            let mut walk = Walk { most, ..Walk::new(dir.path(), &Key::default(), None) };
            let found: Vec<String> =
                std::iter::from_fn(|| walk.step().unwrap()).map(|l| l.key.to_string()).collect();
            assert_eq!(found, wanted, "{most}");
        }
    }
}
