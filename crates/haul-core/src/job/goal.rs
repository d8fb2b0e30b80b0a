//! A latency goal: which share of the items is to be settled how soon after they were read.

use std::fmt;
use std::time::Duration;

use super::units::{format_duration, parse_duration};

/// `p95 < 5s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goal {
    /// The share in thousandths: 950 for p95.
    pub permille: u32,
    /// How soon.
    pub within: Duration,
}

impl Goal {
    /// Reads `p95 < 5s`, `p99.9 < 1m`.
    ///
    /// # Errors
    /// A sentence that names the text and shows how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("\"{text}\" is not a goal: write it like p95 < 5s or p99.9 < 1m");
        let (share, within) = text.split_once('<').ok_or_else(bad)?;
        let share = share.trim().strip_prefix('p').ok_or_else(bad)?;
        let (whole, tenths) = share.split_once('.').unwrap_or((share, "0"));
        let digits =
            |s: &str, most: usize| (1..=most).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, 2) || !digits(tenths, 1) {
            return Err(bad());
        }
        let number = |s: &str| s.parse::<u32>().map_err(|_| bad());
        let permille = number(whole)? * 10 + number(tenths)?;
        if permille == 0 {
            return Err(bad());
        }
        Ok(Goal { permille, within: parse_duration(within)? })
    }

    /// The share as a quantile, 0 to 1.
    pub fn quantile(self) -> f64 {
        f64::from(self.permille) / 1000.0
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.permille / 10)?;
        if !self.permille.is_multiple_of(10) {
            write!(f, ".{}", self.permille % 10)?;
        }
        write!(f, " < {}", format_duration(self.within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read_as_they_are_written() {
        for text in ["p95 < 5s", "p50 < 200ms", "p99.9 < 1m30s", "p5 < 1s"] {
            assert_eq!(Goal::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Goal::parse("p95<5s").unwrap().quantile(), 0.95);
        for bad in [
            "",
            "95 < 5s",
            "p95",
            "p95 < 5",
            "p100 < 5s",
            "p0 < 5s",
            "p9.55 < 1s",
            "p95 > 5s",
            "p < 5s",
            "p95 < 0s",
        ] {
            assert!(Goal::parse(bad).is_err(), "{bad}");
        }
    }
}
