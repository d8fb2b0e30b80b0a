//! Bytes a second, by the time of day.

use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::job::units::{format_size, parse_size};

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// What may come at once: pieces arrive in blocks, and a pause between them is no idleness.
const BURST: Duration = Duration::from_millis(100);

/// A bound, and when it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bandwidth {
    /// From minute of the day, to minute (excluded; before the first: over midnight); None: always.
    pub within: Option<(u16, u16)>,
    /// Bytes a second.
    pub bytes_per_second: u64,
}

impl Bandwidth {
    /// Reads `20M` or `08:00-19:00=20M`.
    ///
    /// # Errors
    /// A sentence that names the text and shows how to write it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("\"{text}\" is no bandwidth: write it like 20M or 08:00-19:00=20M");
        let (within, size) = match text.split_once('=') {
            None => (None, text),
            Some((span, size)) => {
                let (from, to) = span.split_once('-').ok_or_else(bad)?;
                let (from, to) = (minute(from).ok_or_else(bad)?, minute(to).ok_or_else(bad)?);
                if from == to || from == DAY {
                    return Err(format!("\"{text}\" never holds: it ends when it begins"));
                }
                (Some((from, to)), size)
            }
        };
        let size = size.trim().strip_suffix("/s").unwrap_or(size);
        Ok(Bandwidth { within, bytes_per_second: parse_size(size).map_err(|_| bad())? })
    }

    fn holds(&self, minute: u16) -> bool {
        match self.within {
            None => true,
            Some((from, to)) if from < to => (from..to).contains(&minute),
            Some((from, to)) => minute >= from || minute < to,
        }
    }
}

/// `8:05` as a minute of the day; `24:00` is its end.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |t: &str| matches!(t.len(), 1..=2) && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((from, to)) = self.within {
            write!(f, "{:02}:{:02}-{:02}:{:02}=", from / 60, from % 60, to / 60, to % 60)?;
        }
        f.write_str(&format_size(self.bytes_per_second))
    }
}

/// Bytes a second at a minute of the day: of the first span that holds it, else of what always holds.
pub fn at(bounds: &[Bandwidth], minute: u16) -> Option<u64> {
    let holding = || bounds.iter().filter(|b| b.holds(minute));
    let found = holding().find(|b| b.within.is_some()).or_else(|| holding().next());
    found.map(|b| b.bytes_per_second)
}

/// What was read is paid for in time afterwards: whoever reads waits, and so the peer does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throttle {
    paid: Moment,
}

impl Throttle {
    /// Charges bytes that came, at so many a second; when to read on.
    pub fn charge(&mut self, bytes: u64, bytes_per_second: u64, now: Moment) -> Moment {
        let cost = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second.max(1));
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
        self.paid = self.paid.max(now - BURST) + cost;
        self.paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_people_write_them() {
        for (text, written) in [
            ("20M", "20M"),
            ("1MiB/s", "1MiB"),
            ("08:00-19:00=20M", "08:00-19:00=20M"),
            ("8:5 - 24:00 = 20M", "08:05-24:00=20M"),
            ("22:00-6:00=1G", "22:00-06:00=1G"),
        ] {
            let bound = Bandwidth::parse(text).unwrap();
            assert_eq!(bound.to_string(), written);
            assert_eq!(Bandwidth::parse(written), Ok(bound));
        }
        for text in [
            "",
            "0",
            "8-19=20M",
            "08:00-19:00",
            "25:00-26:00=1M",
            "8:60-9:00=1M",
            "9:00-9:00=1M",
            "+1:00-2:00=1M",
        ] {
            assert!(Bandwidth::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_time_of_day_decides() {
        let bounds: Vec<_> = ["100M", "08:00-19:00=20M", "18:00-20:00=5M", "22:00-06:00=1G"]
            .map(|t| Bandwidth::parse(t).unwrap())
            .into();
        for (hour, mb) in
            [(7, 100), (8, 20), (18, 20), (19, 5), (20, 100), (22, 1000), (0, 1000), (5, 1000), (6, 100)]
        {
            assert_eq!(at(&bounds, hour * 60), Some(mb * 1_000_000), "{hour}:00");
        }
        assert_eq!(at(&bounds[1..2], 0), None);
        assert_eq!(at(&[], 0), None);
    }

    #[test]
    fn no_more_passes_than_is_allowed_and_idle_time_is_not_saved_up() {
        let mut throttle = Throttle::default();
        let (rate, mut now, mut bytes) = (1_000_000, Moment(5_000_000_000), 0);
        let start = now;
        while now.since(start) < Duration::from_secs(10) {
            bytes += 64 * 1024;
            now = now.max(throttle.charge(64 * 1024, rate, now));
        }
        assert!((10_000_000..=10_250_000).contains(&bytes), "{bytes}");
        now = now + Duration::from_secs(3600);
        let free = throttle.charge(100_000, rate, now);
        assert!(free <= now && throttle.charge(1, rate, now) > now);
    }
}
