//! Sums of floating-point numbers without rounding: a fixed-point number wide enough for any of them.
//! The order of additions makes no difference; the only rounding is at the end.

/// Bits below the binary point: the smallest double is 2^-1074.
const FRACTION_BITS: usize = 1088;
/// Words: 1088 bits below the point, 1024 above it, and 64 for the number of additions.
const WORDS: usize = (FRACTION_BITS + 1024) / 64 + 1;

/// An exact sum, two's complement, lowest word first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sum([u64; WORDS]);

impl Default for Sum {
    fn default() -> Self {
        Sum([0; WORDS])
    }
}

impl Sum {
    /// Adds a finite number.
    pub(super) fn add(&mut self, x: f64) {
        let bits = x.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        // Subnormal numbers have the exponent of the smallest normal ones and no hidden bit.
        let (mantissa, exponent) = if exponent == 0 { (fraction, 1) } else { (fraction | 1 << 52, exponent) };
        self.add_shifted(mantissa, exponent - 1 + FRACTION_BITS - 1074, x.is_sign_negative());
    }

    /// Adds an integer.
    pub(super) fn add_int(&mut self, n: i64) {
        self.add_shifted(n.unsigned_abs(), FRACTION_BITS, n < 0);
    }

    /// Adds or subtracts `value` × 2^`shift` units of the lowest bit.
    fn add_shifted(&mut self, value: u64, shift: usize, negative: bool) {
        let (word, bit) = (shift / 64, shift % 64);
        let wide = u128::from(value) << bit;
        let parts = [wide as u64, (wide >> 64) as u64];
        let mut carry = false;
        for (i, slot) in self.0.iter_mut().enumerate().skip(word) {
            let part = parts.get(i - word).copied().unwrap_or(0);
            if i - word >= parts.len() && !carry {
                break;
            }
            (*slot, carry) =
                if negative { slot.borrowing_sub_(part, carry) } else { slot.carrying_add_(part, carry) };
        }
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Sum) {
        let mut carry = false;
        for (slot, part) in self.0.iter_mut().zip(other.0) {
            (*slot, carry) = slot.carrying_add_(part, carry);
        }
    }

    fn is_negative(&self) -> bool {
        self.0.last().is_some_and(|top| top >> 63 == 1)
    }

    /// The nearest double, ties to even; infinite beyond the largest.
    pub(super) fn value(&self) -> f64 {
        self.divided(1)
    }

    /// The sum divided by `n`, rounded once, towards the nearest but for the last bit of the division.
    pub(super) fn divided(&self, n: u64) -> f64 {
        let mut words = self.0;
        let negative = self.is_negative();
        if negative {
            let mut carry = true;
            for word in &mut words {
                (*word, carry) = (!*word).carrying_add_(0, carry);
            }
        }
        let mut rest: u128 = 0;
        for word in words.iter_mut().rev() {
            let part = rest << 64 | u128::from(*word);
            *word = (part / u128::from(n.max(1))) as u64;
            rest = part % u128::from(n.max(1));
        }
        // What the division left behind only matters for ties.
        let magnitude = round(&words, rest != 0);
        if negative { -magnitude } else { magnitude }
    }

    /// As bytes, without the zero or one words at both ends.
    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }

    /// The inverse of [`Sum::words`].
    pub(super) fn from_words(words: &[u64]) -> Option<Self> {
        words.try_into().ok().map(Sum)
    }
}

/// The double nearest to a magnitude, ties to even.
fn round(words: &[u64; WORDS], sticky: bool) -> f64 {
    let Some(top) = words.iter().rposition(|w| *w != 0) else { return 0.0 };
    let high = top * 64 + 63 - words[top].leading_zeros() as usize;
    // 53 bits from `high` down, but none below the smallest double.
    let low = high.saturating_sub(52).max(FRACTION_BITS - 1074);
    let mut mantissa = (low..=high).rev().fold(0u64, |m, bit| m << 1 | (words[bit / 64] >> (bit % 64) & 1));
    let half = low > 0 && words[(low - 1) / 64] >> ((low - 1) % 64) & 1 == 1;
    let rest = sticky || (0..low.saturating_sub(1)).any(|bit| words[bit / 64] >> (bit % 64) & 1 == 1);
    if half && (rest || mantissa & 1 == 1) {
        mantissa += 1;
    }
    // The mantissa may have grown to 2^53, which is exact as well.
    let exponent = low as i64 - FRACTION_BITS as i64;
    if exponent > 971 {
        return f64::INFINITY;
    }
    // In two steps, so that the factor itself does not leave the range.
    mantissa as f64 * power(exponent / 2) * power(exponent - exponent / 2)
}

/// 2^e for -1022 ≤ e ≤ 1023, exactly.
fn power(e: i64) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

trait Carry: Sized {
    fn carrying_add_(self, other: Self, carry: bool) -> (Self, bool);
    fn borrowing_sub_(self, other: Self, borrow: bool) -> (Self, bool);
}

impl Carry for u64 {
    fn carrying_add_(self, other: u64, carry: bool) -> (u64, bool) {
        let (sum, a) = self.overflowing_add(other);
        let (sum, b) = sum.overflowing_add(u64::from(carry));
        (sum, a || b)
    }

    fn borrowing_sub_(self, other: u64, borrow: bool) -> (u64, bool) {
        let (rest, a) = self.overflowing_sub(other);
        let (rest, b) = rest.overflowing_sub(u64::from(borrow));
        (rest, a || b)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(numbers: &[f64]) -> Sum {
        let mut sum = Sum::default();
        numbers.iter().for_each(|x| sum.add(*x));
        sum
    }

    #[test]
    fn nothing_is_lost_to_rounding() {
        assert_eq!(sum(&[1e308, 1.0, -1e308]).value(), 1.0);
        assert_eq!(sum(&[0.1; 10]).value(), 1.0);
        assert_eq!(sum(&[1e16, 1.0, 1.0]).value(), 1e16 + 2.0);
        assert_eq!(sum(&[5e-324, 5e-324]).value(), 1e-323);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).divided(2), f64::MAX);
        assert_eq!(sum(&[-1.5, -2.5]).value(), -4.0);
        assert_eq!(sum(&[]).value(), 0.0);
        let mut ints = Sum::default();
        for _ in 0..4 {
            ints.add_int(i64::MAX);
            ints.add_int(i64::MIN);
        }
        assert_eq!(ints.value(), -4.0);
        assert_eq!(sum(&[1.0, 2.0, 2.0]).divided(3), 5.0 / 3.0);
    }

    proptest! {
        #[test]
        fn one_number_is_itself(x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
            prop_assert_eq!(sum(&[x]).value(), x);
        }

        #[test]
        fn two_numbers_round_as_the_machine_does(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assert_eq!(sum(&[a, b]).value(), a + b);
        }

        #[test]
        fn order_makes_no_difference(mut numbers in prop::collection::vec(-1e300f64..1e300, 0..40), cut in 0usize..40) {
            let forward = sum(&numbers);
            let cut = cut.min(numbers.len());
            let mut halves = sum(&numbers[cut..]);
            halves.merge(&sum(&numbers[..cut]));
            numbers.reverse();
            prop_assert_eq!(&sum(&numbers), &forward);
            prop_assert_eq!(&halves, &forward);
        }
    }
}
