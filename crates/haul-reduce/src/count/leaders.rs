//! The keys with the highest counts; of equal counts the smaller key is first.

use std::cmp::Reverse;

use super::key::{Key, OwnedKey};

/// Counts of different keys are offered, each key once; the best stay.
#[derive(Clone, Debug)]
pub(crate) struct Leaders {
    limit: usize,
    room: usize,
    // Integers and others apart: the best of both are among the best of each.
    ints: Vec<(Reverse<u64>, i64)>,
    int_bar: Option<(Reverse<u64>, i64)>,
    texts: Vec<(Reverse<u64>, OwnedKey)>,
    text_bar: u64,
    /// Different keys offered.
    pub(crate) distinct: u64,
    /// Sum of the counts offered.
    pub(crate) total: u64,
}

impl Leaders {
    pub(crate) fn new(limit: usize) -> Self {
        let room = limit.saturating_add(limit.clamp(256, 65_536));
        let (ints, texts) = (Vec::new(), Vec::new());
        Leaders { limit, room, ints, int_bar: None, texts, text_bar: 0, distinct: 0, total: 0 }
    }

    /// An integer with its final count.
    #[inline(always)]
    pub(crate) fn offer_int(&mut self, n: i64, count: u64) {
        self.distinct += 1;
        self.total += count;
        let entry = (Reverse(count), n);
        if self.int_bar.is_none_or(|bar| entry < bar) {
            self.push_int(entry);
        }
    }

    fn push_int(&mut self, entry: (Reverse<u64>, i64)) {
        self.ints.push(entry);
        if self.ints.len() >= self.room {
            self.select_ints();
        }
    }

    fn select_ints(&mut self) {
        if self.limit == 0 {
            self.ints.clear();
        } else if self.ints.len() >= self.limit {
            let (_, worst, _) = self.ints.select_nth_unstable(self.limit - 1);
            self.int_bar = Some(*worst);
            self.ints.truncate(self.limit);
        }
    }

    /// Any key with its final count.
    pub(crate) fn offer(&mut self, key: Key<'_>, count: u64) {
        if let Key::Int(n) = key {
            return self.offer_int(n, count);
        }
        self.distinct += 1;
        self.total += count;
        if count >= self.text_bar {
            self.texts.push((Reverse(count), key.into()));
            if self.texts.len() >= self.room {
                self.select_texts();
            }
        }
    }

    fn select_texts(&mut self) {
        if self.limit == 0 {
            self.texts.clear();
        } else if self.texts.len() >= self.limit {
            let by = |a: &(Reverse<u64>, OwnedKey), b: &(Reverse<u64>, OwnedKey)| {
                a.0.cmp(&b.0).then_with(|| a.1.borrow().cmp(&b.1.borrow()))
            };
            let (_, worst, _) = self.texts.select_nth_unstable_by(self.limit - 1, by);
            self.text_bar = worst.0.0;
            self.texts.truncate(self.limit);
        }
    }

    /// Takes the best of another, which saw other keys.
    pub(crate) fn merge(&mut self, other: Leaders) {
        for entry in other.ints {
            self.push_int(entry);
        }
        for (Reverse(count), key) in other.texts {
            self.offer(key.borrow(), count);
            self.distinct -= 1;
            self.total -= count;
        }
        self.distinct += other.distinct;
        self.total += other.total;
    }

    /// The best, best first.
    pub(crate) fn into_sorted(self) -> Vec<(OwnedKey, u64)> {
        let ints = self.ints.into_iter().map(|(Reverse(count), n)| (OwnedKey::Int(n), count));
        let mut all: Vec<(OwnedKey, u64)> =
            ints.chain(self.texts.into_iter().map(|(c, k)| (k, c.0))).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.borrow().cmp(&b.0.borrow())));
        all.truncate(self.limit);
        all
    }
}
