//! Which ids exist and what they hold: a function of seed and id, so that a page of any place costs no
//! memory and the exact counts can be told at any time.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::mix::{mix, unit};

/// Categories of food.
const CATEGORIES: u64 = 96;
/// Values that the truth lists of each member.
const LISTED: usize = 100;

/// What the pages service holds.
#[derive(Clone, Debug, PartialEq)]
pub struct PagesSpec {
    /// Ids that may exist.
    pub range: Range<u64>,
    /// Share of them that do.
    pub density: f64,
    /// Nine tenths of the ids stand in a hundredth of the range, in its middle.
    pub skew: bool,
    /// Different values of `food_id`: the n-th comes about 1/n as often as the first.
    pub foods: u64,
    /// Records of the services that page in other styles.
    pub chain: u64,
}

impl Default for PagesSpec {
    fn default() -> Self {
        PagesSpec {
            range: 658_330_693..732_158_493,
            density: 0.93,
            skew: false,
            foods: 200_000,
            chain: 1_234,
        }
    }
}

impl PagesSpec {
    /// Checks it; the message names the member.
    pub(crate) fn check(&self) -> Result<(), String> {
        let PagesSpec { range, density, foods, .. } = self;
        if range.start >= range.end {
            return Err(format!("no id is from {} to before {}", range.start, range.end));
        }
        if !(density > &0.0 && density <= &1.0) {
            return Err(format!("the density is {density}: it is a share of the ids, above 0 and up to 1"));
        }
        if *foods == 0 || *foods > 10_000_000 {
            return Err(format!("{foods} foods: 1 to 10,000,000 are possible"));
        }
        Ok(())
    }
}

/// How often a value stands in the whole population.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Often {
    /// The value.
    pub value: u64,
    /// How often.
    pub count: u64,
}

/// The exact counts of the whole population, most common first, of equals the smaller value first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PagesTruth {
    /// Ids that exist.
    pub records: u64,
    /// The hundred most common foods.
    pub food_id: Vec<Often>,
    /// The hundred most common categories.
    #[serde(rename = "food__category_id")]
    pub category_id: Vec<Often>,
}

/// What the service holds, for one seed.
#[derive(Debug)]
pub(crate) struct Population {
    pub(crate) spec: PagesSpec,
    seed: u64,
    hot: Range<u64>,
    /// An id of the hot range, and of the rest, exists when its number is below this.
    bars: (u64, u64),
    log: f64,
}

impl Population {
    pub(crate) fn new(spec: PagesSpec, seed: u64) -> Self {
        let width = spec.range.end.saturating_sub(spec.range.start);
        let (hot, cold) = if spec.skew {
            let hot = (width / 100).max(1);
            let start = spec.range.start + (width - hot) / 2;
            // One tenth of all ids in the other 99 hundredths.
            (start..start + hot, spec.density / 9.0 / 99.0)
        } else {
            (spec.range.clone(), spec.density)
        };
        let bar = |density: f64| (density * (1_u64 << 53) as f64) as u64;
        let bars = (bar(spec.density), bar(cold));
        let log = (spec.foods as f64 + 1.0).ln();
        Population { spec, seed: mix(seed ^ 0x0070_6167_6573), hot, bars, log }
    }

    fn exists(&self, id: u64) -> bool {
        let bar = if self.hot.contains(&id) { self.bars.0 } else { self.bars.1 };
        mix(self.seed ^ id) >> 11 < bar
    }

    /// Ids that exist, from one on.
    pub(crate) fn from(&self, id: u64) -> impl Iterator<Item = u64> + '_ {
        (id.max(self.spec.range.start)..self.spec.range.end).filter(|id| self.exists(*id))
    }

    /// The food and its category of a record.
    pub(crate) fn values(&self, id: u64) -> (u64, u64) {
        let bits = mix(self.seed.rotate_left(32) ^ mix(id));
        // The inverse of the distribution with density 1/x on [1, foods + 1).
        let rank = ((unit(bits) * self.log).exp() as u64).clamp(1, self.spec.foods);
        (100_000 + rank, 1 + mix(rank) % CATEGORIES)
    }

    /// Counts all of it: about 10 ns an id.
    pub(crate) fn truth(&self) -> PagesTruth {
        let mut foods = vec![0_u64; self.spec.foods as usize + 1];
        let mut categories = vec![0_u64; CATEGORIES as usize + 1];
        let mut records = 0;
        for id in self.from(0) {
            let (food, category) = self.values(id);
            let slots = [foods.get_mut((food - 100_000) as usize), categories.get_mut(category as usize)];
            slots.into_iter().flatten().for_each(|n| *n += 1);
            records += 1;
        }
        let listed = |counts: &[u64], base: u64| {
            let counts = counts.iter().enumerate().filter(|(_, n)| **n > 0);
            let mut all: Vec<Often> =
                counts.map(|(i, n)| Often { value: base + i as u64, count: *n }).collect();
            all.sort_unstable_by_key(|o| (std::cmp::Reverse(o.count), o.value));
            all.truncate(LISTED);
            all
        };
        PagesTruth { records, food_id: listed(&foods, 100_000), category_id: listed(&categories, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_dense_as_said_and_values_follow_zipf() {
        let spec = PagesSpec { range: 1_000..201_000, foods: 1_000, ..PagesSpec::default() };
        let people = Population::new(spec, 3);
        let ids: Vec<u64> = people.from(0).collect();
        assert!((184_000..188_000).contains(&ids.len()), "{}", ids.len());
        assert_eq!(people.from(5_000).next(), ids.iter().copied().find(|id| *id >= 5_000));
        let truth = people.truth();
        assert_eq!(truth.records, ids.len() as u64);
        assert_eq!(truth.food_id.len(), 100);
        let (first, tenth) = (truth.food_id[0].count, truth.food_id[9].count);
        assert!(first > 5 * tenth && first < 15 * tenth, "{first} {tenth}");
        assert_eq!(truth.category_id.iter().map(|o| o.count).sum::<u64>(), truth.records);
    }

    #[test]
    fn with_skew_nine_tenths_stand_in_a_hundredth() {
        let spec = PagesSpec { range: 0..1_000_000, skew: true, ..PagesSpec::default() };
        let people = Population::new(spec, 3);
        let hot = people.from(0).filter(|id| people.hot.contains(id)).count();
        let all = people.from(0).count();
        assert_eq!(people.hot.end - people.hot.start, 10_000);
        let share = hot as f64 / all as f64;
        assert!((0.87..0.93).contains(&share), "{share}");
    }
}
