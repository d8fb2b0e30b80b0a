//! Randomness that is a function of its input: the same run twice, in any order.

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014; constants by Stafford): a bijection.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The upper 53 bits as a number in [0, 1).
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number below `n` (at least 1), by multiplication (Lemire 2019; the bias is below n / 2^64).
pub(crate) fn below(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

/// A bijection of `0..size` that looks random: a Feistel network over the next even power of two,
/// walked until it lands inside (Black and Rogaway 2002); less than four rounds of the walk on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permutation {
    size: u64,
    half_bits: u32,
    keys: [u64; 4],
}

impl Permutation {
    /// Of `0..size`; `size` at least 1 and at most 2^62.
    pub(crate) fn new(size: u64, seed: u64) -> Self {
        let size = size.clamp(1, 1 << 62);
        let bits = 64 - (size - 1).leading_zeros();
        Permutation {
            size,
            half_bits: bits.div_ceil(2).max(1),
            keys: std::array::from_fn(|i| mix(seed.wrapping_add(i as u64))),
        }
    }

    /// Where `i` (below `size`) goes.
    pub(crate) fn apply(&self, i: u64) -> u64 {
        let mut x = i;
        loop {
            x = self.round_trip(x);
            if x < self.size {
                return x;
            }
        }
    }

    fn round_trip(&self, x: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for key in self.keys {
            let f = (right ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (left, right) = (right, left ^ ((f ^ (f >> 29)) >> 17 & mask));
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_hits_everything_once() {
        for size in [1, 2, 3, 10, 1000, 4096, 65_537] {
            let p = Permutation::new(size, 42);
            let mut seen = vec![false; size as usize];
            for i in 0..size {
                let to = p.apply(i) as usize;
                assert!(!std::mem::replace(&mut seen[to], true), "{to} twice of {size}");
            }
        }
    }

    #[test]
    fn a_permutation_depends_on_its_seed_and_scatters() {
        let (a, b) = (Permutation::new(1 << 40, 1), Permutation::new(1 << 40, 2));
        assert_ne!(
            (0..8).map(|i| a.apply(i)).collect::<Vec<_>>(),
            (0..8).map(|i| b.apply(i)).collect::<Vec<_>>()
        );
        let upper = (0..10_000).filter(|i| a.apply(*i) >= 1 << 39).count();
        assert!((4500..5500).contains(&upper), "{upper} of 10000 in the upper half");
    }

    #[test]
    fn below_covers_its_range() {
        let mut hit = [0_u32; 7];
        for i in 0..7000 {
            hit[below(mix(i), 7) as usize] += 1;
        }
        assert!(hit.iter().all(|n| (800..1200).contains(n)), "{hit:?}");
    }
}
