//! Rows that the tree of a catalog does not have yet, found by the hash of their name or of their URL. Tens of
//! thousands fit into a few megabytes: texts lie one after the other, and the tables hold places.

use hashbrown::HashTable;
use haul_core::limits::{CATALOG_BYTES, CATALOG_ROWS};

use super::rows::{Row, Saved};

/// See the module.
#[derive(Default)]
pub(super) struct Recent {
    slots: Vec<Slot>,
    by_path: HashTable<u32>,
    /// Places of those that were saved.
    by_url: HashTable<u32>,
    /// Names and checksums; those of rows that were replaced as well.
    texts: String,
}

struct Slot {
    path: u64,
    owner: u64,
    claimed: u64,
    pass: i64,
    /// What follows says something of those that were saved only.
    is_saved: bool,
    saved_in: i64,
    crc: u32,
    /// Where its name begins in the texts; its checksum comes after it.
    text: u32,
    name_len: u16,
    checksum_len: u16,
    url: u64,
    bytes: u64,
    mtime: i64,
}

impl Recent {
    /// True when there are so many that they should go into the tree.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= CATALOG_ROWS || self.texts.len() >= CATALOG_BYTES
    }

    /// The row of a name.
    pub(super) fn get(&self, path: u64) -> Option<Row> {
        self.find(path).map(|at| self.row(at))
    }

    /// What was saved from a URL, and under which name.
    pub(super) fn of_url(&self, url: u64) -> Option<Saved> {
        let is_it = |at: &u32| self.slots[*at as usize].url == url;
        self.by_url.find(url, is_it).and_then(|at| self.row(*at as usize).saved)
    }

    /// Puts a row under its name; it replaces what is there.
    pub(super) fn put(&mut self, path: u64, row: Row) {
        let Row { owner, pass, claimed, saved, saved_in } = row;
        let mut slot = Slot {
            path,
            owner,
            claimed,
            pass,
            is_saved: saved.is_some(),
            saved_in: saved_in.unwrap_or_default(),
            crc: 0,
            text: 0,
            name_len: 0,
            checksum_len: 0,
            url: 0,
            bytes: 0,
            mtime: 0,
        };
        if let Some(saved) = saved {
            // A path has at most 1,000 bytes, a checksum a hundred, and all texts what fits into memory.
            slot.text = self.texts.len() as u32;
            (slot.name_len, slot.checksum_len) = (saved.name.len() as u16, saved.checksum.len() as u16);
            self.texts.push_str(&saved.name);
            self.texts.push_str(&saved.checksum);
            (slot.url, slot.bytes, slot.mtime, slot.crc) = (saved.url, saved.bytes, saved.mtime, saved.crc);
        }
        let at = self.find(path).unwrap_or(self.slots.len());
        let old = self.slots.get(at).filter(|old| old.is_saved).map(|old| old.url);
        let new = slot.is_saved.then_some(slot.url);
        if let Some(url) = old.filter(|_| old != new)
            && let Ok(entry) = self.by_url.find_entry(url, |place| *place as usize == at)
        {
            entry.remove();
        }
        match self.slots.get_mut(at) {
            Some(place) => *place = slot,
            None => {
                self.slots.push(slot);
                self.by_path.insert_unique(path, at as u32, |at| self.slots[*at as usize].path);
            }
        }
        if let Some(url) = new.filter(|_| old != new) {
            self.by_url.insert_unique(url, at as u32, |at| self.slots[*at as usize].url);
        }
    }

    /// The names of all rows, by no order.
    pub(super) fn paths(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().map(|slot| slot.path)
    }

    /// The URLs from which something was saved.
    pub(super) fn urls(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().filter(|slot| slot.is_saved).map(|slot| slot.url)
    }

    /// Forgets all, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.by_path.clear();
        self.by_url.clear();
        self.texts.clear();
    }

    fn find(&self, path: u64) -> Option<usize> {
        self.by_path.find(path, |at| self.slots[*at as usize].path == path).map(|at| *at as usize)
    }

    fn row(&self, at: usize) -> Row {
        let slot = &self.slots[at];
        let saved = slot.is_saved.then(|| {
            let (name, checksum) = (slot.text as usize, slot.text as usize + usize::from(slot.name_len));
            Saved {
                name: self.texts[name..checksum].to_owned(),
                url: slot.url,
                bytes: slot.bytes,
                mtime: slot.mtime,
                crc: slot.crc,
                checksum: self.texts[checksum..][..usize::from(slot.checksum_len)].to_owned(),
            }
        });
        let saved_in = slot.is_saved.then_some(slot.saved_in);
        Row { owner: slot.owner, pass: slot.pass, claimed: slot.claimed, saved, saved_in }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn saved(name: u64, url: u64) -> Saved {
        let checksum = "c".repeat(name as usize % 3);
        Saved { name: format!("{name}.png"), url, bytes: url, mtime: -7, crc: u32::MAX, checksum }
    }

    proptest! {
        #[test]
        fn the_last_row_of_a_name_counts(puts in prop::collection::vec((0..8_u64, prop::option::of(0..4_u64)), 0..40)) {
            let (mut recent, mut model) = (Recent::default(), HashMap::new());
            for (i, (path, url)) in puts.into_iter().enumerate() {
                let saved = url.map(|url| saved(path, url));
                let row = Row { owner: i as u64, pass: 1, claimed: 9, saved_in: saved.as_ref().map(|_| 1), saved };
                recent.put(path, row.clone());
                model.insert(path, row);
            }
            for path in 0..8 {
                prop_assert_eq!(recent.get(path), model.get(&path).cloned());
            }
            for url in 0..4 {
                let of = |row: &Row| row.saved.clone().filter(|saved| saved.url == url);
                let any: Vec<_> = model.values().filter_map(of).collect();
                let found = recent.of_url(url);
                prop_assert_eq!(found.is_some(), !any.is_empty());
                prop_assert!(found.is_none_or(|found| any.contains(&found)));
            }
            let mut all: Vec<_> = recent.paths().collect();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), model.len());
            recent.clear();
            prop_assert!(recent.get(0).is_none() && recent.of_url(0).is_none());
        }
    }
}
