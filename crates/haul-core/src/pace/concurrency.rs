//! How many requests may be in flight to one service, as a person says it.

use std::fmt;

use super::limit::AUTO;
use crate::limits;

/// Requests in flight to one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Concurrency {
    /// As many as the service carries without a queue, found while it works.
    #[default]
    Auto,
    /// As many at once, always; at least 1.
    Fixed(u32),
    /// Found between two bounds, both included: `1 <= .0 < .1`.
    Bounded(u32, u32),
}

impl Concurrency {
    /// Reads `auto`, `8` or `4..64`; the end of the range is included, also when it is written as
    /// `4..=64`.
    ///
    /// # Errors
    /// What is wrong, and how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "auto" {
            return Ok(Concurrency::Auto);
        }
        let hint =
            || format!("\"{text}\" is no concurrency: write auto, a number like 8, or bounds like 4..64");
        let number = |n: &str| -> Result<u32, String> {
            let n: u32 = n.trim().parse().map_err(|_| hint())?;
            match n {
                1..=limits::CONCURRENCY_MAX => Ok(n),
                _ => Err(format!("concurrency is from 1 to {}, not {n}", limits::CONCURRENCY_MAX)),
            }
        };
        let Some((min, max)) = text.split_once("..") else {
            return Ok(Concurrency::Fixed(number(text)?));
        };
        let (min, max) = (number(min)?, number(max.strip_prefix('=').unwrap_or(max))?);
        match min.cmp(&max) {
            std::cmp::Ordering::Less => Ok(Concurrency::Bounded(min, max)),
            std::cmp::Ordering::Equal => Ok(Concurrency::Fixed(min)),
            std::cmp::Ordering::Greater => Err(format!("{min} is above {max}: write {max}..{min}")),
        }
    }

    /// Least and most in flight.
    pub fn bounds(self) -> (u32, u32) {
        match self {
            Concurrency::Auto => AUTO,
            Concurrency::Fixed(n) => (n.max(1), n.max(1)),
            Concurrency::Bounded(min, max) => (min.max(1), max.max(min)),
        }
    }

    /// What holds for two services behind one address: what was said counts more than what was not,
    /// and of two that were said the stricter.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Concurrency::Auto, said) | (said, Concurrency::Auto) => said,
            (a, b) => {
                let ((a, most_a), (b, most_b)) = (a.bounds(), b.bounds());
                let most = most_a.min(most_b);
                match a.min(b).min(most) {
                    least if least == most => Concurrency::Fixed(most),
                    least => Concurrency::Bounded(least, most),
                }
            }
        }
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Concurrency::Auto => f.write_str("auto"),
            Concurrency::Fixed(n) => write!(f, "{n}"),
            Concurrency::Bounded(min, max) => write!(f, "{min}..{max}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        for (text, meant) in [
            ("auto", Concurrency::Auto),
            ("8", Concurrency::Fixed(8)),
            ("4..64", Concurrency::Bounded(4, 64)),
        ] {
            assert_eq!(Concurrency::parse(text), Ok(meant));
            assert_eq!(meant.to_string(), text);
        }
        assert_eq!(Concurrency::parse(" 4 ..= 64 "), Ok(Concurrency::Bounded(4, 64)));
        assert_eq!(Concurrency::parse("5..5"), Ok(Concurrency::Fixed(5)));
    }

    #[test]
    fn what_it_is_not_says_how_to_write_it() {
        for (text, says) in [
            ("many", "write auto, a number like 8, or bounds like 4..64"),
            ("4..", "write auto"),
            ("0", "from 1 to 65535, not 0"),
            ("1..70000", "from 1 to 65535, not 70000"),
            ("64..4", "write 4..64"),
        ] {
            let error = Concurrency::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_stricter_of_two_counts() {
        use Concurrency::{Auto, Bounded, Fixed};
        for (a, b, both) in [
            (Auto, Fixed(9), Fixed(9)),
            (Fixed(9), Fixed(2), Fixed(2)),
            (Bounded(4, 64), Fixed(9), Bounded(4, 9)),
            (Bounded(4, 64), Bounded(2, 8), Bounded(2, 8)),
            (Auto, Auto, Auto),
        ] {
            assert_eq!((a.stricter(b), b.stricter(a)), (both, both));
        }
    }
}
