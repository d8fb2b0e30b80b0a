//! Sets of 64-bit hashes, in parts with a lock each: about 16 bytes an entry.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits;

/// Takes a hash for what it is.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Part<V> = HashMap<u64, V, BuildHasherDefault<AsIs>>;

/// A map from hashes to small values that only learns.
pub(crate) struct Hashes<V> {
    parts: Box<[Mutex<Part<V>>]>,
}

impl<V: Copy> Default for Hashes<V> {
    fn default() -> Self {
        Hashes { parts: (0..limits::SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl<V: Copy> Hashes<V> {
    /// Learns a hash, well mixed; when it was known, keeps and returns the value it came with.
    pub(crate) fn learn(&self, hash: u64, value: V) -> Option<V> {
        // Neither the lowest nor the highest bits: the map goes by those.
        let part = (hash >> 40) as usize % self.parts.len();
        self.parts.get(part).map(lock)?.insert_new(hash, value)
    }

    /// How many it knows.
    pub(crate) fn len(&self) -> u64 {
        self.parts.iter().map(|part| lock(part).len() as u64).sum()
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        for part in &self.parts {
            *lock(part) = Part::default();
        }
    }
}

trait InsertNew<V> {
    fn insert_new(&mut self, hash: u64, value: V) -> Option<V>;
}

impl<V: Copy> InsertNew<V> for Part<V> {
    fn insert_new(&mut self, hash: u64, value: V) -> Option<V> {
        match self.entry(hash) {
            std::collections::hash_map::Entry::Occupied(known) => Some(*known.get()),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(value);
                None
            }
        }
    }
}

/// A poisoned lock guards counts that are still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::mix;

    #[test]
    fn a_hash_is_learnt_once() {
        let known = Hashes::default();
        for n in 0..10_000_u32 {
            assert_eq!(known.learn(mix(u64::from(n)), n), None);
        }
        for n in 0..10_000_u32 {
            assert_eq!(known.learn(mix(u64::from(n)), 0), Some(n));
        }
        assert_eq!(known.len(), 10_000);
        known.clear();
        assert_eq!(known.len(), 0);
    }
}
