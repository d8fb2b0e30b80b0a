//! How much may fail before a run stops.

use std::fmt;

/// A bound on items that failed, were rejected or are in doubt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFailed {
    /// So many.
    Items(u64),
    /// So many of a hundred, once [`MaxFailed::ENOUGH`] items are settled.
    Percent(f64),
}

impl MaxFailed {
    /// Items that must be settled before a share of them means anything.
    pub const ENOUGH: u64 = 100;

    /// Reads `100` or `2.5%`.
    ///
    /// # Errors
    /// A sentence that shows how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("\"{text}\" is no number of failures: write it like 100 or 5%");
        match text.trim().strip_suffix('%') {
            None => text.trim().parse().map(MaxFailed::Items).map_err(|_| bad()),
            Some(share) => {
                let share: f64 = share.trim().parse().map_err(|_| bad())?;
                let fits = (0.0..100.0).contains(&share);
                if fits { Ok(MaxFailed::Percent(share)) } else { Err(bad()) }
            }
        }
    }

    /// Whether `failed` of `settled` items are too many.
    pub fn is_exceeded(self, failed: u64, settled: u64) -> bool {
        match self {
            MaxFailed::Items(n) => failed > n,
            MaxFailed::Percent(share) => {
                settled >= MaxFailed::ENOUGH && failed as f64 * 100.0 > share * settled as f64
            }
        }
    }
}

impl fmt::Display for MaxFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxFailed::Items(n) => write!(f, "{n}"),
            MaxFailed::Percent(share) => write!(f, "{share}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_and_written() {
        for text in ["0", "100", "5%", "2.5%"] {
            assert_eq!(MaxFailed::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "x", "-1", "100%", "-1%", "NaN%", "5 percent"] {
            assert!(MaxFailed::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_of_a_few_items_means_nothing() {
        let five = MaxFailed::Percent(5.0);
        assert!(!five.is_exceeded(9, 9) && !five.is_exceeded(5, 100) && five.is_exceeded(6, 100));
        assert!(MaxFailed::Items(0).is_exceeded(1, 1) && !MaxFailed::Items(1).is_exceeded(1, 1));
    }
}
