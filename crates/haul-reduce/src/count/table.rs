//! A table of texts with counts, bounded by the bytes it holds.

/// Open addressing over an arena of texts.
#[derive(Debug)]
pub(crate) struct TextTable {
    /// Index into `items` plus one; 0 is free.
    slots: Vec<u32>,
    items: Vec<Item>,
    arena: Vec<u8>,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    hash: u64,
    start: usize,
    len: u32,
    json: bool,
    count: u64,
}

impl TextTable {
    /// Holds up to about `limit` bytes, at least one text.
    pub(crate) fn new(limit: usize) -> Self {
        TextTable { slots: Vec::new(), items: Vec::new(), arena: Vec::new(), limit }
    }

    /// Bytes held.
    fn bytes(&self) -> usize {
        self.arena.len() + self.items.len() * size_of::<Item>() + self.slots.len() * size_of::<u32>()
    }

    /// Number of different texts.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Counts a text; false when it is new and there is no room for it.
    pub(crate) fn add(&mut self, hash: u64, text: &[u8], json: bool, count: u64) -> bool {
        if self.items.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let Some(slot) = self.slots.get_mut(at) else { return false };
            let Some(index) = slot.checked_sub(1) else { break };
            if let Some(item) = self.items.get_mut(index as usize)
                && item.hash == hash
                && item.json == json
                && self.arena.get(item.start..item.start + item.len as usize) == Some(text)
            {
                item.count += count;
                return true;
            }
            at = (at + 1) & mask;
        }
        if !self.items.is_empty() && self.bytes() + text.len() > self.limit {
            return false;
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = self.items.len() as u32 + 1;
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(text);
        self.items.push(Item { hash, start, len: text.len() as u32, json, count });
        true
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        self.slots.clear();
        self.slots.resize(size, 0);
        for (number, item) in (1u32..).zip(&self.items) {
            let mut at = item.hash as usize & (size - 1);
            while self.slots.get(at).is_some_and(|s| *s != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = number;
            }
        }
    }

    /// All texts with their counts: text, whether it is other JSON, count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], bool, u64)> {
        self.items.iter().map(|item| {
            let text = self.arena.get(item.start..item.start + item.len as usize).unwrap_or_default();
            (text, item.json, item.count)
        })
    }

    /// Forgets everything and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|s| *s = 0);
        self.items.clear();
        self.arena.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::entry::hash_text;
    use super::*;

    #[test]
    fn counts_are_those_of_a_map_and_the_limit_holds() {
        let mut table = TextTable::new(8 * 1024);
        let mut model: HashMap<String, u64> = HashMap::new();
        let mut refused = 0;
        for i in 0..20_000u64 {
            let text = format!("key {}", i * i % 701);
            // All with the same low bits, so that they collide.
            let hash = hash_text(text.as_bytes(), false) << 4;
            if table.add(hash, text.as_bytes(), false, i % 3 + 1) {
                *model.entry(text).or_default() += i % 3 + 1;
            } else {
                refused += 1;
            }
        }
        assert!(refused > 0 && table.bytes() < 9 * 1024);
        let found: HashMap<String, u64> =
            table.iter().map(|(t, _, c)| (String::from_utf8(t.to_vec()).unwrap(), c)).collect();
        assert_eq!(found, model);
        table.clear();
        assert_eq!(table.len(), 0);
        assert!(table.add(1, b"a", false, 1) && table.add(1, b"a", true, 1));
        assert_eq!(table.len(), 2);
    }
}
