//! Which items of a slice are behind us: everything below the watermark, and single ones above it.
//!
//! An item is behind us when it is settled or parked. One slow item holds the watermark back but
//! not the others: they stand as bits above it. The window bounds how many there can be.

use std::collections::{BTreeMap, BTreeSet};

use crate::item::Seq;

/// Seqs in one stored bitmap.
pub const CHUNK_BITS: u64 = 4096;
const WORDS: usize = (CHUNK_BITS / 64) as usize;

/// A stored bitmap: the seqs `index * CHUNK_BITS ..` that are behind us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Position in units of [`CHUNK_BITS`].
    pub index: u64,
    /// One bit a seq, least significant first.
    pub bits: Box<[u64; WORDS]>,
}

impl Chunk {
    fn new(index: u64) -> Self {
        Chunk { index, bits: Box::new([0; WORDS]) }
    }

    fn set(&mut self, bit: u64) -> bool {
        let word = &mut self.bits[(bit / 64) as usize];
        let mask = 1 << (bit % 64);
        let was = *word & mask != 0;
        *word |= mask;
        !was
    }

    fn get(&self, bit: u64) -> bool {
        self.bits[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }

    /// First bit at or after `from` that is not set; [`CHUNK_BITS`] when all are.
    fn first_clear(&self, from: u64) -> u64 {
        let mut word = (from / 64) as usize;
        let mut mask = !0u64 << (from % 64);
        while word < WORDS {
            let clear = !self.bits[word] & mask;
            if clear != 0 {
                return word as u64 * 64 + u64::from(clear.trailing_zeros());
            }
            word += 1;
            mask = !0;
        }
        CHUNK_BITS
    }

    /// The bitmap as stored: 512 bytes, little-endian words.
    pub fn to_bytes(&self) -> [u8; WORDS * 8] {
        let mut out = [0; WORDS * 8];
        for (word, bytes) in self.bits.iter().zip(out.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// Reads a stored bitmap; `None` when it has the wrong length.
    pub fn from_bytes(index: u64, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != WORDS * 8 {
            return None;
        }
        let mut chunk = Chunk::new(index);
        for (word, bytes) in chunk.bits.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        Some(chunk)
    }
}

/// Watermark and bitmaps of one slice.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    watermark: u64,
    chunks: BTreeMap<u64, Chunk>,
    changed: BTreeSet<u64>,
}

impl Settled {
    /// From what a ledger stored. Bitmaps below the watermark are ignored.
    pub fn restore(watermark: Seq, chunks: impl IntoIterator<Item = Chunk>) -> Self {
        let mut settled = Settled { watermark: watermark.0, ..Settled::default() };
        for chunk in chunks {
            if (chunk.index + 1) * CHUNK_BITS > watermark.0 {
                settled.chunks.insert(chunk.index, chunk);
            }
        }
        settled.advance();
        settled
    }

    /// Everything below is behind us.
    pub fn watermark(&self) -> Seq {
        Seq(self.watermark)
    }

    /// True when the seq is settled or parked.
    pub fn contains(&self, seq: Seq) -> bool {
        seq.0 < self.watermark
            || self.chunks.get(&(seq.0 / CHUNK_BITS)).is_some_and(|c| c.get(seq.0 % CHUNK_BITS))
    }

    /// Puts a seq behind us; false when it already was.
    pub fn insert(&mut self, seq: Seq) -> bool {
        if seq.0 < self.watermark {
            return false;
        }
        let index = seq.0 / CHUNK_BITS;
        let new = self.chunks.entry(index).or_insert_with(|| Chunk::new(index)).set(seq.0 % CHUNK_BITS);
        if new {
            self.changed.insert(index);
            if seq.0 == self.watermark {
                self.advance();
            }
        }
        new
    }

    /// Puts `count` seqs from one on behind us.
    pub fn insert_all(&mut self, from: Seq, count: u64) {
        if from.0 == self.watermark && self.chunks.is_empty() {
            self.watermark += count;
            return;
        }
        for seq in from.0..from.0 + count {
            self.insert(Seq(seq));
        }
    }

    fn advance(&mut self) {
        loop {
            let index = self.watermark / CHUNK_BITS;
            let Some(chunk) = self.chunks.get(&index) else { return };
            let clear = chunk.first_clear(self.watermark % CHUNK_BITS);
            self.watermark = index * CHUNK_BITS + clear;
            if clear < CHUNK_BITS {
                return;
            }
            self.chunks.remove(&index);
            self.changed.remove(&index);
        }
    }

    /// Bitmaps that changed since the last call. Those that fell below the watermark need not be
    /// written: a ledger drops them when it stores the watermark.
    pub fn take_changed(&mut self) -> Vec<Chunk> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|i| self.chunks.get(&i).cloned()).collect()
    }

    /// Number of bitmaps held, for the bound.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_open_item_does_not_stop_the_others_from_being_remembered() {
        let mut s = Settled::default();
        for seq in 1..10_000 {
            assert!(s.insert(Seq(seq)));
        }
        assert_eq!(s.watermark(), Seq(0));
        assert_eq!(s.chunks(), 3);
        assert!(s.insert(Seq(0)));
        assert_eq!(s.watermark(), Seq(10_000));
        assert!(!s.insert(Seq(5)));
        assert_eq!(s.chunks(), 1);
    }

    #[test]
    fn many_at_once_are_as_many_one_by_one() {
        let (mut one, mut all) = (Settled::default(), Settled::default());
        for (from, count) in [(0, 100), (100, 5000), (6000, 10), (5100, 900), (6010, 1)] {
            (from..from + count).for_each(|seq| assert!(one.insert(Seq(seq))));
            all.insert_all(Seq(from), count);
            assert_eq!(one.watermark(), all.watermark());
            assert!((0..7000).all(|seq| one.contains(Seq(seq)) == all.contains(Seq(seq))));
        }
    }

    proptest! {
        #[test]
        fn any_order_gives_the_set_and_survives_store_and_restore(
            seqs in prop::collection::vec(0u64..9000, 0..600), cut in 0usize..600
        ) {
            let mut settled = Settled::default();
            let mut stored: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            let mut model = BTreeSet::new();
            for (i, &seq) in seqs.iter().enumerate() {
                prop_assert_eq!(settled.insert(Seq(seq)), model.insert(seq));
                if i == cut || i % 7 == 0 {
                    for c in settled.take_changed() {
                        stored.insert(c.index, c.to_bytes().to_vec());
                    }
                    let low = settled.watermark().0;
                    stored.retain(|i, _| (i + 1) * CHUNK_BITS > low);
                    let chunks = stored.iter().map(|(i, b)| Chunk::from_bytes(*i, b).unwrap());
                    settled = Settled::restore(Seq(low), chunks);
                }
            }
            for seq in 0..9100 {
                prop_assert_eq!(settled.contains(Seq(seq)), model.contains(&seq));
            }
            let first_open = (0..).find(|s| !model.contains(s)).unwrap();
            prop_assert_eq!(settled.watermark(), Seq(first_open));
        }
    }
}
