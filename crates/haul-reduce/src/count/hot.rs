//! Combines repeats of integers before they are stored: a table of four-way sets in which the
//! rarest of a set gives way.

/// Sets of four; 8,192 integers in 96 KB.
const SETS: usize = 2048;
/// Observations after which the table is judged.
const SAMPLE: u32 = 1 << 14;
/// Observations that pass it by when it was of no use.
const BYPASS: u32 = 1 << 19;

/// What to store after an observation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// Nothing: it was combined.
    Nothing,
    /// The observation itself, once.
    Itself,
    /// An integer that gave way, with its count.
    Other(i64, u64),
}

/// The table.
#[derive(Debug)]
pub(crate) struct Hot {
    sets: Vec<Set>,
    seen: u32,
    hits: u32,
    bypass: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Set {
    keys: [i64; 4],
    counts: [u32; 4],
}

impl Hot {
    pub(crate) fn new() -> Self {
        Hot { sets: vec![Set::default(); SETS], seen: 0, hits: 0, bypass: 0 }
    }

    /// A table that is not used any more and holds no memory.
    pub(crate) fn empty() -> Self {
        Hot { sets: Vec::new(), seen: 0, hits: 0, bypass: 0 }
    }

    /// An observation.
    #[inline(always)]
    pub(crate) fn add(&mut self, n: i64) -> Left {
        if self.bypass > 0 {
            self.bypass -= 1;
            return Left::Itself;
        }
        self.combine(n)
    }

    #[inline]
    fn combine(&mut self, n: i64) -> Left {
        self.seen += 1;
        if self.seen == SAMPLE {
            // Fewer than one in sixteen combined: not worth its time until the input changes.
            if self.hits < SAMPLE / 16 {
                self.bypass = BYPASS;
            }
            (self.seen, self.hits) = (0, 0);
        }
        let index = (n.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SETS;
        let Some(set) = self.sets.get_mut(index) else { return Left::Itself };
        for (key, count) in set.keys.iter().zip(&mut set.counts) {
            if *key == n && *count > 0 && *count < u32::MAX {
                *count += 1;
                self.hits += 1;
                return Left::Nothing;
            }
        }
        let mut rarest = 0;
        for i in 1..4 {
            if set.counts[i] < set.counts[rarest] {
                rarest = i;
            }
        }
        let (key, count) = (set.keys[rarest], set.counts[rarest]);
        (set.keys[rarest], set.counts[rarest]) = (n, 1);
        if count == 0 { Left::Nothing } else { Left::Other(key, u64::from(count)) }
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (i64, u64)> {
        let sets = self.sets.iter_mut().map(std::mem::take);
        let pairs = sets.flat_map(|s| s.keys.into_iter().zip(s.counts));
        pairs.filter(|(_, count)| *count > 0).map(|(key, count)| (key, u64::from(count)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn run(keys: impl Iterator<Item = i64>) -> (u64, u64) {
        let (mut hot, mut model, mut found) = (Hot::new(), HashMap::new(), HashMap::new());
        let (mut all, mut stored) = (0, 0);
        for n in keys {
            all += 1;
            *model.entry(n).or_insert(0u64) += 1;
            let left = match hot.add(n) {
                Left::Nothing => continue,
                Left::Itself => (n, 1),
                Left::Other(other, count) => (other, count),
            };
            stored += 1;
            *found.entry(left.0).or_insert(0) += left.1;
        }
        for (n, count) in hot.drain() {
            *found.entry(n).or_insert(0) += count;
        }
        assert_eq!(found, model);
        (all, stored)
    }

    #[test]
    fn repeats_are_combined_and_nothing_is_lost() {
        let (all, stored) = run((0..300_000).map(|i: i64| i * 7919 % 5000));
        assert!(stored < all / 20, "{stored} of {all}");
    }

    #[test]
    fn distinct_keys_pass_it_by() {
        let (all, stored) = run(0..300_000);
        assert!(stored > all * 9 / 10);
    }
}
