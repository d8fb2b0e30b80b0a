//! Quantiles with a stated error: a histogram over the bits of doubles.
//!
//! A bucket is an exponent and the first bits of the mantissa, so the widths of neighbours are a
//! constant share of their values (as in DDSketch, Masson et al. 2019, without its logarithm: the
//! index is exact on every machine). When there are too many buckets all of them are halved in
//! resolution at once (uniform collapse, as in UDDSketch, Epicoco et al. 2020): the resolution then
//! depends only on which values were seen, not on their order, and merging is exact.

use std::collections::BTreeMap;

use crate::varint;

/// Mantissa bits at the start: an error of 1/512 at most.
const BITS: u32 = 8;
/// Buckets above which the resolution is halved. Without mantissa bits there are at most 4,096.
const BUCKETS: usize = 4096;

/// Counts by bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Buckets {
    bits: u32,
    counts: BTreeMap<i32, u64>,
}

impl Default for Buckets {
    fn default() -> Self {
        Buckets { bits: BITS, counts: BTreeMap::new() }
    }
}

impl Buckets {
    /// Adds a finite number.
    pub(super) fn add(&mut self, x: f64) {
        *self.counts.entry(index(x, self.bits)).or_insert(0) += 1;
        self.collapse();
    }

    /// Adds the counts of another.
    pub(super) fn merge(&mut self, other: &Buckets) {
        let bits = self.bits.min(other.bits);
        self.coarsen(bits);
        for (i, count) in &other.counts {
            *self.counts.entry(coarser(*i, other.bits - bits)).or_insert(0) += count;
        }
        self.collapse();
    }

    fn collapse(&mut self) {
        while self.counts.len() > BUCKETS && self.bits > 0 {
            self.coarsen(self.bits - 1);
        }
    }

    fn coarsen(&mut self, bits: u32) {
        let by = self.bits - bits;
        if by > 0 {
            let mut counts = BTreeMap::new();
            for (i, count) in std::mem::take(&mut self.counts) {
                *counts.entry(coarser(i, by)).or_insert(0) += count;
            }
            self.counts = counts;
            self.bits = bits;
        }
    }

    /// Appends its state, at most 48 KiB.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        varint::write(u64::from(self.bits), out);
        varint::write(self.counts.len() as u64, out);
        let mut last = 0;
        for (i, count) in &self.counts {
            varint::write(varint::zigzag(i64::from(*i) - last), out);
            varint::write(*count, out);
            last = i64::from(*i);
        }
    }

    /// The inverse of [`Buckets::write`].
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let bits = u32::try_from(varint::read(bytes)?).ok().filter(|b| *b <= BITS)?;
        let (mut counts, mut last) = (BTreeMap::new(), 0i64);
        for _ in 0..varint::read(bytes)? {
            last = last.checked_add(varint::unzigzag(varint::read(bytes)?))?;
            counts.insert(i32::try_from(last).ok()?, varint::read(bytes)?);
        }
        Some(Buckets { bits, counts })
    }

    /// Largest relative error of [`Buckets::quantile`].
    pub(super) fn error(&self) -> f64 {
        0.5f64.powi(self.bits as i32 + 1)
    }

    /// The value that the share `q` (0 to 1) of all values is at or below; 0 when there is none.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        let total: u64 = self.counts.values().sum();
        let rank = (q * total.saturating_sub(1) as f64).round() as u64;
        let mut seen = 0;
        for (i, count) in &self.counts {
            seen += count;
            if seen > rank {
                return middle(*i, self.bits);
            }
        }
        0.0
    }
}

/// Buckets of positive numbers count up from 1, of negative ones down from -1; 0 is zero.
fn index(x: f64, bits: u32) -> i32 {
    let magnitude = (x.abs().to_bits() >> (52 - bits)) as i32;
    match x {
        0.0 => 0,
        x if x < 0.0 => -1 - magnitude,
        _ => 1 + magnitude,
    }
}

fn coarser(i: i32, by: u32) -> i32 {
    match i {
        0 => 0,
        i if i < 0 => -1 - ((-i - 1) >> by),
        i => 1 + ((i - 1) >> by),
    }
}

/// The value in the middle of a bucket.
fn middle(i: i32, bits: u32) -> f64 {
    if i == 0 {
        return 0.0;
    }
    let magnitude = u64::from(i.unsigned_abs() - 1);
    let low = f64::from_bits(magnitude << (52 - bits));
    let high = f64::from_bits((magnitude + 1) << (52 - bits));
    // Behind the last bucket there is infinity.
    let middle = if high.is_finite() { low + (high - low) / 2.0 } else { low };
    if i < 0 { -middle } else { middle }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Buckets {
        let mut buckets = Buckets::default();
        values.iter().for_each(|x| buckets.add(*x));
        buckets
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_stated_error(
            mut values in prop::collection::vec(prop_oneof![-1e6f64..1e6, -1.0f64..1.0, Just(0.0)], 1..500), q in 0.0f64..=1.0,
        ) {
            let buckets = of(&values);
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64).round() as usize];
            let found = buckets.quantile(q);
            prop_assert!((found - exact).abs() <= exact.abs() * buckets.error() * 1.0000001, "{found} {exact}");
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_split_gives_the_same_even_when_resolution_is_lost(
            seed in any::<u64>(), count in 0usize..9000, cut in 0usize..9000,
        ) {
            // Spread over all exponents, so that the buckets do not suffice.
            let mut state = seed | 1;
            let values: Vec<f64> = (0..count).map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                f64::from_bits(state >> 1 & !(1 << 62) | (state & 1) << 63)
            }).collect();
            let cut = cut.min(count);
            let whole = of(&values);
            let mut halves = of(&values[cut..]);
            halves.merge(&of(&values[..cut]));
            let mut stored = Vec::new();
            whole.write(&mut stored);
            prop_assert!(whole.counts.len() <= BUCKETS && stored.len() <= 48 * 1024);
            let read = Buckets::read(&mut stored.as_slice());
            prop_assert_eq!(read.as_ref(), Some(&whole));
            prop_assert_eq!(halves, whole);
        }
    }
}
