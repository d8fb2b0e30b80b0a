//! Numbers of any size, compared exactly as they stand: no conversion to binary, no rounding.

use std::cmp::Ordering;

/// Largest magnitude of an order key that stands for one integer alone; see [`Number::key`].
const EXACT: i64 = i64::MAX - 1;

/// A number as text, taken apart: ± 0.DIGITS × 10^point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    negative: bool,
    /// Digits before and behind the point of the text; no leading zeros in the first unless the
    /// number is below one.
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Power of ten that the first digit of `whole`, then `fraction`, stands behind.
    point: i64,
}

impl<'a> Number<'a> {
    /// Takes apart a JSON number (a leading `+` and leading zeros are taken as well); `None` when it
    /// is no number.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (whole, rest) = digits(rest)?;
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest)?,
            rest => (&rest[..0], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        let whole = trim_zeros(whole);
        let mut point = exponent.saturating_add(whole.len() as i64);
        let mut fraction = fraction;
        if whole.is_empty() {
            let trimmed = trim_zeros(fraction);
            point = point.saturating_sub((fraction.len() - trimmed.len()) as i64);
            fraction = trimmed;
        }
        Some(Number { negative, whole, fraction, point })
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.whole.iter().chain(self.fraction).copied()
    }

    fn is_zero(&self) -> bool {
        self.digits().all(|d| d == b'0')
    }

    /// Exact order of values: `1.0`, `1` and `10e-1` are equal, and so are `-0` and `0`.
    pub(crate) fn cmp(&self, other: &Number<'_>) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return if other.negative { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if self.negative { Ordering::Less } else { Ordering::Greater },
            (false, false) => {}
        }
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
        }
    }

    fn cmp_magnitude(&self, other: &Number<'_>) -> Ordering {
        self.point.cmp(&other.point).then_with(|| {
            let (mut a, mut b) = (self.digits(), other.digits());
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return Ordering::Equal,
                    (x, y) => match x.unwrap_or(b'0').cmp(&y.unwrap_or(b'0')) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    },
                }
            }
        })
    }

    /// A key that orders as the value does (the floor, clamped), and whether it says everything: it
    /// is the number, and the number is written as an integer.
    pub(crate) fn key(&self) -> (i64, bool) {
        let plain = self.fraction.is_empty() && self.point == self.whole.len() as i64;
        if self.is_zero() {
            return (0, plain);
        }
        let below_one = self.point <= 0;
        if below_one {
            return (if self.negative { -1 } else { 0 }, false);
        }
        if self.point > 19 {
            return (if self.negative { -i64::MAX } else { i64::MAX }, false);
        }
        let places = self.point as usize;
        let mut floor: i128 = 0;
        for d in self.digits().chain(std::iter::repeat(b'0')).take(places) {
            floor = floor * 10 + i128::from(d - b'0');
        }
        let integer = self.digits().skip(places).all(|d| d == b'0');
        if self.negative {
            floor = -floor - i128::from(!integer);
        }
        match i64::try_from(floor) {
            Ok(key) if (-EXACT..=EXACT).contains(&key) => (key, plain),
            _ => (if self.negative { -i64::MAX } else { i64::MAX }, false),
        }
    }
}

/// A JSON number as it may be written in output: without `+`, without leading zeros.
pub(crate) fn write_canonical(text: &[u8], out: &mut Vec<u8>) {
    let (sign, rest): (&[u8], &[u8]) = match text {
        [b'-', rest @ ..] => (b"-", rest),
        [b'+', rest @ ..] => (b"", rest),
        rest => (b"", rest),
    };
    let end = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (whole, rest) = rest.split_at(end);
    let whole = trim_zeros(whole);
    if !(whole.is_empty() && rest.is_empty()) {
        out.extend_from_slice(sign);
    }
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    out.extend_from_slice(rest);
}

fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (all, rest) = digits(rest)?;
    if !rest.is_empty() {
        return None;
    }
    // Beyond 10^18 exponents saturate; a fraction long enough to matter there does not exist.
    let bound = 1_000_000_000_000_000_000;
    let value = trim_zeros(all)
        .iter()
        .fold(0i64, |n, d| n.saturating_mul(10).saturating_add(i64::from(d - b'0')).min(bound));
    Some(if negative { -value } else { value })
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    let start = digits.iter().position(|d| *d != b'0').unwrap_or(digits.len());
    digits.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number<'_> {
        Number::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn exponents_of_any_length_saturate() {
        let nines = "9".repeat(60);
        let large = number(&format!("1e{nines}")).cmp(&number("1e1000"));
        assert_eq!(large, Ordering::Greater);
        let small = number(&format!("1e-{nines}")).cmp(&number("1e-1000"));
        assert_eq!(small, Ordering::Less);
    }

    #[test]
    fn values_compare_exactly_in_any_notation() {
        let ascending = [
            "-1e40",
            "-123456789012345678901234567890",
            "-9223372036854775809",
            "-9223372036854775808",
            "-9223372036854775807",
            "-2",
            "-1.5",
            "-1",
            "-0.5",
            "-1e-30",
            "0",
            "1e-30",
            "0.001",
            "0.5",
            "1",
            "1.000000000000000000000000000001",
            "1.5",
            "2",
            "9007199254740993",
            "9223372036854775806",
            "9223372036854775807",
            "9223372036854775808",
            "12345678901234567890123456789012345678901",
            "1e41",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let (x, y) = (number(a), number(b));
                assert_eq!(x.cmp(&y), i.cmp(&j), "{a} {b}");
                let ((kx, ex), (ky, ey)) = (x.key(), y.key());
                assert!(kx == ky || kx.cmp(&ky) == i.cmp(&j), "{a} {b}: keys {kx} {ky}");
                assert!(i == j || kx != ky || !(ex && ey), "{a} {b}: one exact key {kx}");
            }
        }
    }

    #[test]
    fn notation_does_not_matter() {
        for (a, b) in
            [("1", "1.0"), ("10e-1", "1"), ("+007", "7"), ("-0", "0.0e5"), ("100", "1E+2"), ("0.01", "1e-2")]
        {
            assert_eq!(number(a).cmp(&number(b)), Ordering::Equal, "{a} {b}");
        }
        for bad in ["", "-", "+", ".5", "1.", "1e", "1e+", "0x1", "1_000", "NaN", "--1", "1 "] {
            assert!(Number::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn output_is_json() {
        let canonical = |t: &str| {
            let mut out = Vec::new();
            write_canonical(t.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(canonical("+007"), "7");
        assert_eq!(canonical("-000"), "0");
        assert_eq!(canonical("-012"), "-12");
        assert_eq!(canonical("+00.50"), "0.50");
        assert_eq!(canonical("-0.0"), "-0.0");
    }

    proptest! {
        #[test]
        fn integers_order_as_integers(a in any::<i128>(), b in any::<i128>(), shift in 0u32..120) {
            let (a, b) = (a >> shift, b >> shift);
            let (x, y) = (a.to_string(), b.to_string());
            let (x, y) = (number(&x), number(&y));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert!(x.key().0 == y.key().0 || x.key().0.cmp(&y.key().0) == a.cmp(&b));
        }

        #[test]
        fn decimals_order_as_floats(a in -1000i32..1000, b in -1000i32..1000, p in 0u32..4) {
            let scale = 10f64.powi(p as i32);
            let (x, y) = (format!("{:.*}", p as usize, f64::from(a) / scale), format!("{b}e-{p}"));
            prop_assert_eq!(number(&x).cmp(&number(&y)), a.cmp(&b));
        }
    }
}
