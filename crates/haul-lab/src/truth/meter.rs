//! Requests over time: the busiest second, and the limit of a service. Pure; time is nanoseconds
//! from any start.

use std::collections::VecDeque;

const SECOND: u64 = 1_000_000_000;

/// Arrivals of the last second and the most that any second held. Holds 8 bytes a request of it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    arrivals: VecDeque<u64>,
    busiest: u64,
    first: Option<u64>,
    all: Span,
    new: Span,
    tokens: f64,
    filled_at: u64,
    started: bool,
}

/// Requests from the first to the last of a kind, all in between counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) requests: u64,
    pub(crate) nanos: u64,
}

impl Meter {
    /// A request arrived, for something nobody asked for before (`is_new`) or again. A window is half
    /// open: two requests exactly a second apart do not share one.
    pub(crate) fn arrive(&mut self, now: u64, is_new: bool) {
        let first = *self.first.get_or_insert(now);
        self.all = Span { requests: self.all.requests + 1, nanos: now.saturating_sub(first) };
        if is_new {
            self.new = self.all;
        }
        while self.arrivals.front().is_some_and(|first| now.saturating_sub(*first) >= SECOND) {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(now);
        self.busiest = self.busiest.max(self.arrivals.len() as u64);
    }

    /// From the first request to the last.
    pub(crate) fn all(&self) -> Span {
        self.all
    }

    /// From the first request to the last for something new.
    pub(crate) fn until_new(&self) -> Span {
        self.new
    }

    /// Most requests in any window of one second.
    pub(crate) fn busiest(&self) -> u64 {
        self.busiest
    }

    /// Admits a request under `rate` a second, a tenth of a second's worth (at least two) at once: what is
    /// left of the burst, or `None` when the request is refused.
    pub(crate) fn admit(&mut self, now: u64, rate: u32) -> Option<u32> {
        let (rate, burst) = (f64::from(rate), (f64::from(rate) / 10.0).max(2.0));
        let gained = now.saturating_sub(self.filled_at) as f64 / SECOND as f64 * rate;
        self.tokens = if self.started { (self.tokens + gained).min(burst) } else { burst };
        self.started = true;
        self.filled_at = now;
        if self.tokens < 1.0 {
            return None;
        }
        self.tokens -= 1.0;
        Some(self.tokens as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_second_slides() {
        let mut meter = Meter::default();
        for ms in [0, 900, 950, 990, 1000, 1899, 1900, 5000] {
            meter.arrive(ms * 1_000_000, ms != 5000);
        }
        let spans = [meter.all(), meter.until_new()].map(|s| (s.requests, s.nanos / 1_000_000));
        assert_eq!(spans, [(8, 5000), (7, 1900)]);
        // 900 to 1899 ms: five; the one at 1900 is a second after the one at 900.
        assert_eq!(meter.busiest(), 5);
    }

    #[test]
    fn the_limit_admits_its_rate_and_little_at_once() {
        let mut meter = Meter::default();
        assert_eq!((0..50).filter(|_| meter.admit(0, 100).is_some()).count(), 10);
        let admitted = (0..10_000_u64).filter(|n| meter.admit(n * 1_000_000, 100).is_some()).count();
        assert!((998..=1001).contains(&admitted), "{admitted} in 10 s at 100/s");
        let mut slow = Meter::default();
        assert_eq!((0..10).filter(|_| slow.admit(0, 1).is_some()).count(), 2);
    }
}
