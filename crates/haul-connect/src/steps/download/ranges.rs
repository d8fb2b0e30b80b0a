//! Which bytes of a file are there, and which connection brings which of the others. Pure.

use smallvec::SmallVec;

/// Where a file ends of which nobody said how long it is.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Bytes from one to another, the latter excluded.
pub(super) type Range = (u64, u64);

/// See the module.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Ranges {
    whole: u64,
    /// In order, and apart from each other.
    there: SmallVec<[Range; 1]>,
    claims: SmallVec<[Claim; 1]>,
}

/// What a connection brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Claim {
    id: u32,
    /// The next byte.
    at: u64,
    to: u64,
}

impl Ranges {
    /// Of a file of so many bytes, of which these are there.
    pub(super) fn new(whole: u64, there: &[Range]) -> Self {
        let mut ranges = Ranges { whole, ..Ranges::default() };
        for &(from, to) in there {
            ranges.add(from, to.min(whole));
        }
        ranges
    }

    /// Length of the file, or [`UNKNOWN`].
    pub(super) fn whole(&self) -> u64 {
        self.whole
    }

    /// What is there.
    pub(super) fn there(&self) -> &[Range] {
        &self.there
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> u64 {
        self.there.iter().map(|(from, to)| to - from).sum()
    }

    /// True when nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.there.as_slice() == [(0, self.whole)]
    }

    /// True when one connection brings all that is missing up to the end.
    pub(super) fn is_plain(&self) -> bool {
        self.there.len() <= 1 && self.claims.len() <= 1
    }

    /// A file whose end has come is as long as what came.
    pub(super) fn ends_here(&mut self) {
        if self.whole == UNKNOWN {
            self.whole = self.there.last().map_or(0, |(_, to)| *to);
            for claim in &mut self.claims {
                claim.to = claim.to.min(self.whole);
            }
        }
    }

    /// The first bytes that are missing and that nobody brings.
    pub(super) fn gap(&self) -> Option<Range> {
        let mut at = 0;
        let claimed = self.claims.iter().map(|c| (c.at, c.to));
        let mut taken: SmallVec<[Range; 8]> = self.there.iter().copied().chain(claimed).collect();
        taken.sort_unstable();
        for (from, to) in taken {
            if from > at {
                return Some((at, from));
            }
            at = at.max(to);
        }
        (at < self.whole).then_some((at, self.whole))
    }

    /// The second half of what a connection has most of before it, when both halves are this long.
    pub(super) fn half(&self, least: u64) -> Option<Range> {
        let widest = self.claims.iter().filter(|c| c.to != UNKNOWN).max_by_key(|c| c.to - c.at)?;
        let half = (widest.to - widest.at) / 2;
        (half >= least).then_some((widest.to - half, widest.to))
    }

    /// A connection brings this from now on, up to what is there or another brings; whoever was to bring
    /// its beginning ends before it. False when its first byte is there, or is just being brought.
    pub(super) fn claim(&mut self, id: u32, (from, mut to): Range) -> bool {
        if self.there.iter().any(|r| r.0 <= from && from < r.1) || self.claims.iter().any(|c| c.at == from) {
            return false;
        }
        if let Some(owner) = self.claims.iter_mut().find(|c| c.at < from && from < c.to) {
            to = to.min(owner.to);
            owner.to = from;
        }
        let starts = self.there.iter().map(|r| r.0).chain(self.claims.iter().map(|c| c.at));
        to = starts.filter(|start| *start > from).fold(to, u64::min);
        self.claims.push(Claim { id, at: from, to });
        from < to
    }

    /// Where the next byte of a connection goes, and how many it still brings.
    pub(super) fn next(&self, id: u32) -> Option<(u64, u64)> {
        self.claims.iter().find(|c| c.id == id).map(|c| (c.at, c.to - c.at))
    }

    /// So many bytes of a connection are there.
    pub(super) fn came(&mut self, id: u32, bytes: u64) {
        if let Some(claim) = self.claims.iter_mut().find(|c| c.id == id) {
            let from = claim.at;
            claim.at += bytes;
            let to = claim.at;
            self.add(from, to);
        }
    }

    /// A connection brings nothing any more.
    pub(super) fn release(&mut self, id: u32) {
        self.claims.retain(|c| c.id != id);
    }

    /// True when others bring something.
    pub(super) fn has_others(&self, id: u32) -> bool {
        self.claims.iter().any(|c| c.id != id)
    }

    /// True when anybody brings something.
    pub(super) fn has_any(&self) -> bool {
        !self.claims.is_empty()
    }

    fn add(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let first = self.there.partition_point(|r| r.1 < from);
        let mut last = first;
        let (mut lo, mut hi) = (from, to);
        while let Some(&(a, b)) = self.there.get(last).filter(|r| r.0 <= to) {
            (lo, hi) = (lo.min(a), hi.max(b));
            last += 1;
        }
        if first < last {
            self.there[first] = (lo, hi);
            self.there.drain(first + 1..last);
        } else {
            self.there.insert(first, (lo, hi));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_given_away_is_not_brought_twice() {
        let mut ranges = Ranges::new(100, &[]);
        assert_eq!(ranges.gap(), Some((0, 100)));
        assert!(ranges.claim(1, (0, 100)));
        ranges.came(1, 20);
        assert_eq!((ranges.gap(), ranges.half(40), ranges.half(41)), (None, Some((60, 100)), None));
        assert!(ranges.claim(2, (60, 100)));
        assert_eq!((ranges.next(1), ranges.next(2)), (Some((20, 40)), Some((60, 40))));
        // Somebody brings it, or it is there.
        assert!(!ranges.claim(3, (10, 30)) && !ranges.claim(3, (20, 30)) && !ranges.claim(3, (60, 100)));
        ranges.came(2, 40);
        ranges.release(2);
        assert_eq!(ranges.there(), [(0, 20), (60, 100)]);
        // A connection breaks.
        ranges.release(1);
        assert_eq!((ranges.gap(), ranges.has_others(0)), (Some((20, 60)), false));
        assert!(ranges.claim(4, (20, 60)));
        ranges.came(4, 40);
        assert!(ranges.is_whole());
        assert_eq!((ranges.len(), ranges.gap()), (100, None));
    }

    #[test]
    fn a_file_without_a_length_ends_where_it_ends() {
        let mut ranges = Ranges::new(UNKNOWN, &[]);
        assert!(ranges.claim(1, (0, UNKNOWN)));
        ranges.came(1, 5);
        assert_eq!((ranges.half(1), ranges.is_whole()), (None, false));
        ranges.ends_here();
        assert!(ranges.is_whole());
        assert_eq!((ranges.whole(), ranges.next(1)), (5, Some((5, 0))));
    }

    proptest! {
        #[test]
        fn whatever_is_split_and_broken_comes_once(steps in prop::collection::vec((0u8..4, any::<u16>()), 0..200)) {
            let whole = 1000;
            let mut ranges = Ranges::new(whole, &[]);
            let mut times = vec![0; whole as usize];
            let mut ids = Vec::new();
            let mut next = 0;
            let steps = steps.into_iter().chain((0..4000).map(|n| ([0, 2, 2, 2][n % 4], n as u16)));
            for (what, n) in steps {
                match what {
                    0 => {
                        if let Some(range) = ranges.gap().or_else(|| ranges.half(10)) {
                            next += 1;
                            prop_assert!(ranges.claim(next, range));
                            ids.push(next);
                        }
                    }
                    1 if !ids.is_empty() => ranges.release(ids.swap_remove(n as usize % ids.len())),
                    _ if !ids.is_empty() => {
                        let id = ids[n as usize % ids.len()];
                        let (at, left) = ranges.next(id).unwrap();
                        let bytes = left.min(u64::from(n % 50));
                        for byte in at..at + bytes {
                            times[byte as usize] += 1;
                        }
                        ranges.came(id, bytes);
                        if left == bytes {
                            ranges.release(id);
                            ids.retain(|i| *i != id);
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(ranges.len(), times.iter().sum::<u64>());
            }
            prop_assert!(ranges.is_whole());
            prop_assert!(times.iter().all(|n| *n == 1));
        }
    }
}
