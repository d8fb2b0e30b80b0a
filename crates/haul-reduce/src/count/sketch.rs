//! Who leads, roughly, while counting goes on: the Space-Saving algorithm (Metwally et al. 2005),
//! emptied in bulk so that an observation costs constant time.

use std::collections::HashMap;

use super::key::{Key, OwnedKey};

/// Keys that are kept after emptying.
const KEPT: usize = 512;

/// Estimates: never below the true count of a key that is in it, and above it by no more than
/// [`Sketch::error`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Sketch {
    counts: HashMap<OwnedKey, u64>,
    floor: u64,
}

impl Sketch {
    pub(crate) fn add(&mut self, key: Key<'_>, count: u64) {
        let floor = self.floor;
        *self.counts.entry(key.into()).or_insert(floor) += count;
        if self.counts.len() >= 2 * KEPT {
            let mut all: Vec<(OwnedKey, u64)> = self.counts.drain().collect();
            all.sort_unstable_by(order);
            // A key that comes back may have had as much as the largest that goes.
            self.floor = all.get(KEPT).map_or(self.floor, |(_, count)| *count);
            self.counts.extend(all.into_iter().take(KEPT));
        }
    }

    /// Most that an estimate is too high by.
    pub(crate) fn error(&self) -> u64 {
        self.floor
    }

    /// The keys with the highest estimates, best first.
    pub(crate) fn leaders(&self, n: usize) -> Vec<(OwnedKey, u64)> {
        let mut all: Vec<(OwnedKey, u64)> = self.counts.iter().map(|(k, c)| (k.clone(), *c)).collect();
        all.sort_unstable_by(order);
        all.truncate(n);
        all
    }
}

fn order(a: &(OwnedKey, u64), b: &(OwnedKey, u64)) -> std::cmp::Ordering {
    b.1.cmp(&a.1).then_with(|| a.0.borrow().cmp(&b.0.borrow()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frequent_is_found_among_many_rare_ones() {
        let mut sketch = Sketch::default();
        let mut truth = HashMap::new();
        for i in 0..100_000i64 {
            let n = if i % 4 == 0 { i % 3 } else { i };
            *truth.entry(n).or_insert(0u64) += 1;
            sketch.add(Key::Int(n), 1);
        }
        assert!(sketch.counts.len() < 2 * KEPT);
        let leaders = sketch.leaders(3);
        let found: Vec<&OwnedKey> = leaders.iter().map(|(k, _)| k).collect();
        for n in 0..3 {
            assert!(found.contains(&&OwnedKey::Int(n)), "{found:?}");
        }
        for (key, estimate) in leaders {
            let OwnedKey::Int(n) = key else { panic!("{key:?}") };
            let count = truth[&n];
            assert!((count..=count + sketch.error()).contains(&estimate));
        }
    }
}
