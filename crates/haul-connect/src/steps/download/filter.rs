//! A set of hashes that may say of a few that they are in it which are not (B. H. Bloom, "Space/time trade-offs in hash
//! coding with allowable errors", 1970), its bits chosen by two halves of a hash (Kirsch and Mitzenmacher, "Less
//! hashing, same performance", 2006).

/// Bits: 2 MiB, with which of two million hashes one in fifty is taken for another.
const BITS: u64 = 1 << 24;
/// Bits of a hash.
const HASHES: u64 = 5;

/// See the module. It takes no memory before the first hash.
#[derive(Default)]
pub(super) struct Filter(Vec<u64>);

impl Filter {
    /// False when it may have been in it.
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        if self.0.is_empty() {
            self.0 = vec![0; (BITS / 64) as usize];
        }
        let mut is_new = false;
        for (word, bit) in places(hash) {
            is_new |= self.0[word] & bit == 0;
            self.0[word] |= bit;
        }
        is_new
    }

    /// False when it is certainly not in it.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        !self.0.is_empty() && places(hash).all(|(word, bit)| self.0[word] & bit != 0)
    }
}

/// Words and bits of a hash, whose lower and upper half do not depend on each other.
fn places(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let (a, b) = (hash, hash >> 32 | 1);
    (0..HASHES).map(move |i| {
        let bit = a.wrapping_add(b.wrapping_mul(i)) % BITS;
        ((bit / 64) as usize, 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_always_known_and_little_else() {
        let hash = |n: u32| xxhash_rust::xxh3::xxh3_64(format!("content/{n}.mp4").as_bytes());
        let mut filter = Filter::default();
        assert!(!filter.may_have(hash(1)));
        let in_vain = (0..500_000).filter(|n| !filter.insert(hash(*n))).count();
        assert!(in_vain < 500, "{in_vain}");
        assert!((0..500_000).all(|n| filter.may_have(hash(n)) && !filter.insert(hash(n))));
        let foreign = (500_000..510_000).filter(|n| filter.may_have(hash(*n))).count();
        assert!(foreign < 100, "{foreign}");
    }
}
