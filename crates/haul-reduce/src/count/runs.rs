//! Counts equal numbers by sorting them, in bounded memory.

/// A number that can be put into one of 2,048 buckets by its high bits.
pub(crate) trait Spread: Copy + Ord + Default {
    /// By the highest of the bits that are stored.
    fn bucket(self) -> usize;
}

impl Spread for u32 {
    #[inline(always)]
    fn bucket(self) -> usize {
        (self >> (super::entry::SMALL_BITS - BUCKET_BITS)) as usize & (BUCKETS - 1)
    }
}

impl Spread for u64 {
    #[inline(always)]
    fn bucket(self) -> usize {
        (self >> (super::entry::WIDE_BITS - BUCKET_BITS)) as usize & (BUCKETS - 1)
    }
}

const BUCKET_BITS: u32 = 11;
const BUCKETS: usize = 1 << BUCKET_BITS;

/// Numbers with counts.
#[derive(Debug)]
pub(crate) struct Runs<T> {
    /// Numbers seen once, in any order.
    singles: Vec<T>,
    scratch: Vec<T>,
    singles_room: usize,
    /// Numbers with counts.
    counted: Vec<(T, u64)>,
    counted_room: usize,
}

impl<T: Spread> Runs<T> {
    /// Uses about `memory` bytes.
    pub(crate) fn new(memory: usize) -> Self {
        Runs {
            singles: Vec::new(),
            scratch: Vec::new(),
            singles_room: (memory / 4 / size_of::<T>()).max(64),
            counted: Vec::new(),
            counted_room: (memory / 2 / size_of::<(T, u64)>()).max(64),
        }
    }

    /// Adds a number; false when there are too many different ones.
    #[inline(always)]
    pub(crate) fn add(&mut self, number: T, count: u64) -> bool {
        if count == 1 && self.singles.len() < self.singles_room {
            self.singles.push(number);
            return true;
        }
        self.add_slowly(number, count)
    }

    #[inline(never)]
    fn add_slowly(&mut self, number: T, count: u64) -> bool {
        if count == 1 {
            self.combine();
            self.singles.push(number);
        } else {
            self.counted.push((number, count));
            if self.counted.len() < self.counted_room {
                return true;
            }
            self.combine();
        }
        self.counted.len() < self.counted_room / 2
    }

    /// Turns everything into one sorted list of different numbers.
    fn combine(&mut self) {
        self.sort_singles();
        let mut singles = std::mem::take(&mut self.singles);
        // Equal neighbours become one entry with their number.
        let mut rest = singles.as_slice();
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|n| *n == first).count();
            self.counted.push((*first, run as u64));
            rest = rest.get(run..).unwrap_or_default();
        }
        singles.clear();
        self.singles = singles;
        self.counted.sort_unstable_by_key(|(n, _)| *n);
        self.counted.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                first.1 += later.1;
            }
            same
        });
    }

    /// Buckets by the high bits first; the rest is sorted bucket by bucket, in cache.
    fn sort_singles(&mut self) {
        if self.singles.len() < BUCKETS {
            self.singles.sort_unstable();
            return;
        }
        let mut ends = [0u32; BUCKETS];
        for n in &self.singles {
            ends[n.bucket()] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            let count = *end;
            *end = sum;
            sum += count;
        }
        self.scratch.resize(self.singles.len(), T::default());
        for n in &self.singles {
            let end = &mut ends[n.bucket()];
            if let Some(place) = self.scratch.get_mut(*end as usize) {
                *place = *n;
            }
            *end += 1;
        }
        let mut start = 0;
        for end in ends {
            if let Some(bucket) = self.scratch.get_mut(start..end as usize) {
                bucket.sort_unstable();
            }
            start = end as usize;
        }
        std::mem::swap(&mut self.singles, &mut self.scratch);
    }

    /// Shows every different number once, with its count.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(T, u64)) {
        if !self.counted.is_empty() {
            self.combine();
            self.counted.iter().for_each(|(n, count)| each(*n, *count));
            return;
        }
        self.sort_singles();
        let mut numbers = self.singles.iter().copied();
        let Some(mut current) = numbers.next() else { return };
        let mut count = 1;
        for n in numbers {
            if n == current {
                count += 1;
            } else {
                each(current, count);
                (current, count) = (n, 1);
            }
        }
        each(current, count);
    }

    /// Forgets everything and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.singles.clear();
        self.counted.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn counts_are_those_of_a_map(
            numbers in prop::collection::vec((0u32..900, 1u64..3), 0..9000), wide in any::<bool>(),
        ) {
            let mut model = BTreeMap::new();
            let (mut small, mut large) = (Runs::<u32>::new(64 * 1024), Runs::<u64>::new(64 * 1024));
            for (n, count) in &numbers {
                *model.entry(u64::from(*n) << 11).or_insert(0) += count;
                let fits = if wide { large.add(u64::from(*n) << 11, *count) } else { small.add(n << 11, *count) };
                prop_assert!(fits);
            }
            let mut found = BTreeMap::new();
            let mut see = |n: u64, count| assert_eq!(found.insert(n, count), None);
            if wide { large.finish(&mut see) } else { small.finish(|n, c| see(u64::from(n), c)) }
            prop_assert_eq!(found, model);
        }
    }

    #[test]
    fn too_many_different_numbers_are_refused() {
        let mut runs = Runs::<u64>::new(4096);
        let taken = (0..100_000).take_while(|n| runs.add(*n, 1)).count();
        assert!(taken > 100 && taken < 5000, "{taken}");
        runs.clear();
        // Any number of equal ones fits.
        assert!((0..100_000).all(|n| runs.add(n % 50, 1)));
        let mut seen = 0;
        runs.finish(|_, count| {
            assert_eq!(count, 2000);
            seen += 1;
        });
        assert_eq!(seen, 50);
    }
}
