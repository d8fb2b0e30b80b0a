//! The N best entries seen so far, in memory proportional to N.
//!
//! Entries that pass the bar go to an unsorted list; when it is full the N best are selected in
//! linear time and the worst of them becomes the bar. An ascending input, where every entry passes,
//! costs a small constant an entry whatever N is; a heap would cost log N.

use std::cmp::Ordering;

use crate::json::number::{Number, write_canonical};

/// Where an entry stands in the input: of equal scores the earlier is the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Place {
    /// Which input, or slice.
    pub(crate) input: u32,
    /// Offset in it.
    pub(crate) at: u64,
}

/// An entry as it is offered. All parts as they stand in the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// See [`Number::key`].
    pub(crate) key: i64,
    /// True when the key says everything about the score.
    pub(crate) exact: bool,
    /// The score; only looked at when the key is not exact.
    pub(crate) score: &'a [u8],
    /// JSON.
    pub(crate) id: &'a [u8],
    /// JSON; empty unless records are kept.
    pub(crate) record: &'a [u8],
    /// Where it stands.
    pub(crate) place: Place,
}

/// An entry that is kept: its parts lie in the arena one behind the other.
#[derive(Clone, Copy, Debug)]
struct Kept {
    key: i64,
    place: Place,
    start: usize,
    score: u32,
    id: u32,
    record: u32,
}

/// The N best.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    limit: usize,
    lowest: bool,
    /// Entries come in the order of their places.
    ordered: bool,
    room: usize,
    kept: Vec<Kept>,
    arena: Vec<u8>,
    live: usize,
    /// Set once `limit` entries are there: the key of the worst of them, and whether it is exact.
    bar: Option<(i64, bool)>,
}

/// Unused bytes of the arena that are not worth moving the others.
const SLACK: usize = 32 * 1024;

impl Best {
    /// The `limit` highest, or lowest.
    pub(crate) fn new(limit: usize, lowest: bool) -> Self {
        // Room beyond the limit: larger makes selections rarer, smaller saves memory when N is large.
        let spare = limit.min(4096).max(limit / 4).max(512);
        let room = limit.saturating_add(spare);
        Best { limit, lowest, ordered: true, room, kept: Vec::new(), arena: Vec::new(), live: 0, bar: None }
    }

    /// Entries may come in any order of their places.
    pub(crate) fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// True when the lowest are asked for.
    pub(crate) fn is_lowest(&self) -> bool {
        self.lowest
    }

    /// False when an entry with this key cannot be among the best.
    #[inline(always)]
    pub(crate) fn wants(&self, key: i64, exact: bool) -> bool {
        match self.bar {
            None => self.limit > 0,
            Some((bar, bar_exact)) => {
                let key = if self.lowest { -key } else { key };
                key > bar || (key == bar && !(self.ordered && exact && bar_exact))
            }
        }
    }

    /// Takes an entry.
    pub(crate) fn push(&mut self, entry: Entry<'_>) {
        if self.limit == 0 {
            return;
        }
        let start = self.arena.len();
        let score = if entry.exact { &[][..] } else { entry.score };
        for part in [score, entry.id, entry.record] {
            self.arena.extend_from_slice(part);
        }
        self.live += self.arena.len() - start;
        let key = if self.lowest { -entry.key } else { entry.key };
        let len = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX);
        let (score, id, record) = (len(score), len(entry.id), len(entry.record));
        self.kept.push(Kept { key, place: entry.place, start, score, id, record });
        if self.kept.len() >= self.room || self.arena.len() > 2 * self.live + SLACK {
            self.select();
        }
    }

    /// Takes the entries of another.
    pub(crate) fn merge(&mut self, other: &Best) {
        for kept in &other.kept {
            self.push(other.entry(kept));
        }
    }

    fn entry(&self, kept: &Kept) -> Entry<'_> {
        let parts = parts(&self.arena, kept);
        let key = if self.lowest { -kept.key } else { kept.key };
        Entry { key, exact: kept.score == 0, score: parts.0, id: parts.1, record: parts.2, place: kept.place }
    }

    /// Drops all but the best, and what they left in the arena.
    fn select(&mut self) {
        if self.kept.len() >= self.limit && self.limit > 0 {
            let (arena, lowest) = (&self.arena, self.lowest);
            let (_, worst, _) =
                self.kept.select_nth_unstable_by(self.limit - 1, |a, b| compare(arena, lowest, a, b));
            self.bar = Some((worst.key, worst.score == 0));
            self.kept.truncate(self.limit);
        }
        self.live = self.kept.iter().map(Kept::len).sum();
        if self.arena.len() > 2 * self.live + SLACK / 2 {
            let mut arena = Vec::with_capacity(self.live + SLACK);
            for kept in &mut self.kept {
                let start = arena.len();
                arena.extend_from_slice(
                    self.arena.get(kept.start..kept.start + kept.len()).unwrap_or_default(),
                );
                kept.start = start;
            }
            self.arena = arena;
        }
    }

    /// The best, best first.
    pub(crate) fn sorted(&mut self) -> impl Iterator<Item = Entry<'_>> {
        self.select();
        let (arena, lowest) = (&self.arena, self.lowest);
        self.kept.sort_unstable_by(|a, b| compare(arena, lowest, a, b));
        self.kept.iter().map(|kept| self.entry(kept))
    }
}

impl Kept {
    fn len(&self) -> usize {
        self.score as usize + self.id as usize + self.record as usize
    }
}

fn parts<'a>(arena: &'a [u8], kept: &Kept) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let id = kept.start + kept.score as usize;
    let record = id + kept.id as usize;
    let get = |from: usize, len: u32| arena.get(from..from + len as usize).unwrap_or_default();
    (get(kept.start, kept.score), get(id, kept.id), get(record, kept.record))
}

/// Best first.
#[inline(always)]
fn compare(arena: &[u8], lowest: bool, a: &Kept, b: &Kept) -> Ordering {
    b.key.cmp(&a.key).then_with(|| exactly(arena, lowest, a, b)).then_with(|| a.place.cmp(&b.place))
}

/// Of two with equal keys.
fn exactly(arena: &[u8], lowest: bool, a: &Kept, b: &Kept) -> Ordering {
    if a.score == 0 && b.score == 0 {
        return Ordering::Equal;
    }
    let text = |kept: &Kept| match kept.score {
        0 => (if lowest { -kept.key } else { kept.key }).to_string().into_bytes(),
        _ => parts(arena, kept).0.to_vec(),
    };
    let (x, y) = (text(a), text(b));
    let (Some(x), Some(y)) = (Number::parse(&x), Number::parse(&y)) else { return Ordering::Equal };
    if lowest { x.cmp(&y) } else { y.cmp(&x) }
}

impl Entry<'_> {
    /// Appends the score as JSON.
    pub(crate) fn write_score(&self, out: &mut Vec<u8>) {
        if self.exact {
            out.extend_from_slice(itoa::Buffer::new().format(self.key).as_bytes());
        } else {
            write_canonical(self.score, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(best: &mut Best, scores: &[(u64, String)]) {
        for (at, score) in scores {
            let (key, exact) = Number::parse(score.as_bytes()).unwrap().key();
            if best.wants(key, exact) {
                let id = at.to_string();
                let place = Place { input: 0, at: *at };
                let entry =
                    Entry { key, exact, score: score.as_bytes(), id: id.as_bytes(), record: b"", place };
                best.push(entry);
            }
        }
    }

    fn ids(best: &mut Best) -> Vec<u64> {
        best.sorted().map(|e| std::str::from_utf8(e.id).unwrap().parse().unwrap()).collect()
    }

    fn scores() -> impl Strategy<Value = Vec<String>> {
        let score = prop_oneof![
            6 => (-20i64..20).prop_map(|n| n.to_string()),
            1 => (-20i64..20, 0..100u8).prop_map(|(n, f)| format!("{n}.{f}")),
            1 => prop::sample::select(vec![
                "9223372036854775807", "9223372036854775808", "-9223372036854775808", "123456789012345678901234567890",
                "-1e40", "1.0", "0.5", "-0", "20",
            ]).prop_map(str::to_owned),
        ];
        prop::collection::vec(score, 0..1500)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_split_and_merge_order_gives_what_sorting_gives(
            scores in scores(), limit in 0usize..40, lowest in any::<bool>(),
            split in prop::collection::vec(0usize..4, 1500), reverse in any::<bool>(), ordered in any::<bool>(),
        ) {
            let all: Vec<(u64, String)> = (0..).zip(scores).collect();
            let mut model = all.clone();
            model.sort_by(|(at, a), (bt, b)| {
                let order = Number::parse(b.as_bytes()).unwrap().cmp(&Number::parse(a.as_bytes()).unwrap());
                (if lowest { order.reverse() } else { order }).then(at.cmp(bt))
            });
            let want: Vec<u64> = model.iter().take(limit).map(|(at, _)| *at).collect();

            let mut parts = vec![Vec::new(); 4];
            for (i, entry) in all.into_iter().enumerate() {
                parts[split[i]].push(entry);
            }
            if !ordered {
                parts.iter_mut().for_each(|p| p.reverse());
            }
            let mut workers: Vec<Best> = parts.iter().map(|part| {
                let mut best = Best::new(limit, lowest);
                best.ordered = ordered;
                // A small room, so that the bar matters within a few hundred entries.
                best.room = limit + 3;
                offer(&mut best, part);
                best
            }).collect();
            if reverse {
                workers.reverse();
            }
            let mut merged = Best::new(limit, lowest).unordered();
            for worker in &workers {
                merged.merge(worker);
            }
            prop_assert_eq!(ids(&mut merged), want);
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_input() {
        let mut best = Best::new(10, false);
        let ascending: Vec<(u64, String)> = (0..200_000u64).map(|i| (i, i.to_string())).collect();
        offer(&mut best, &ascending);
        assert!(best.arena.capacity() < 4 * SLACK && best.kept.capacity() < 2048);
        assert_eq!(ids(&mut best), (199_990..200_000).rev().collect::<Vec<u64>>());
    }
}
