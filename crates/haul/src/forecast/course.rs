//! When items passed, and what the processor had worked by then: the pace that follows from it. Pure but for
//! the clocks that are read when an item passes.

use std::time::{Duration, Instant};

use crate::cost;

/// How often the processor's clocks are read: to read them costs as much as an item may.
const CPU_EACH: Duration = Duration::from_millis(5);
/// A pace that rises by less from one quarter of the events to the next does not rise.
const RISES: f64 = 1.1;
/// Fewer events say nothing.
const LEAST: usize = 10;

/// What is done in a second, and what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stride {
    /// Events a second.
    pub per_second: f64,
    /// Seconds of processor time an event; None: too few events.
    pub cpu_s: Option<f64>,
    /// The same of all processes of this machine.
    pub machine_s: Option<f64>,
}

/// Items that passed the first step, or pages that came, in their order.
#[derive(Clone, Debug, Default)]
pub struct Course {
    at: Vec<Instant>,
    cpu: Vec<Worked>,
}

/// After so many events, so much processor time.
#[derive(Clone, Copy, Debug)]
struct Worked {
    events: usize,
    at: Instant,
    here: Duration,
    /// Of all processes of this machine.
    machine: Option<Duration>,
}

impl Course {
    /// Something passes now.
    pub fn note(&mut self) {
        let (events, at) = (self.at.len(), Instant::now());
        if self.cpu.last().is_none_or(|last| at.duration_since(last.at) >= CPU_EACH) {
            self.cpu.push(Worked { events, at, here: cost::cpu(), machine: cost::machine() });
        }
        self.at.push(at);
    }

    /// Events.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// From the first event to the last.
    pub fn span(&self) -> Duration {
        match (self.at.first(), self.at.last()) {
            (Some(first), Some(last)) => last.duration_since(*first),
            _ => Duration::ZERO,
        }
    }

    /// Between the beginning, when connections are made and, unless it is `fixed`, concurrency is found, and
    /// the end, when there is less and less to do. None: there are too few.
    pub fn stride(&self, fixed: bool) -> Option<Stride> {
        let n = self.len();
        let (from, to) = (if fixed { n / 5 } else { n / 2 }, n * 19 / 20);
        let within = |w: &&Worked| (from..=to).contains(&w.events);
        let ends = self.cpu.iter().find(within).zip(self.cpu.iter().rev().find(within));
        let ends = ends.filter(|(a, b)| b.events > a.events);
        let each =
            |took: Duration, (a, b): (&Worked, &Worked)| took.as_secs_f64() / (b.events - a.events) as f64;
        Some(Stride {
            per_second: self.pace(from, to).filter(|_| to - from >= LEAST)?,
            cpu_s: ends
                .filter(|(_, b)| !b.here.is_zero())
                .map(|(a, b)| each(b.here.saturating_sub(a.here), (a, b))),
            machine_s: ends.and_then(|(a, b)| Some(each(b.machine?.saturating_sub(a.machine?), (a, b)))),
        })
    }

    /// Whether the last quarter of the events was faster than the one before.
    pub fn rises(&self) -> bool {
        let n = self.len();
        let (third, last) = (self.pace(n / 2, n * 3 / 4), self.pace(n * 3 / 4, n.saturating_sub(1)));
        third.zip(last).is_none_or(|(third, last)| last > third * RISES)
    }

    fn pace(&self, from: usize, to: usize) -> Option<f64> {
        let span = self.at.get(to)?.duration_since(*self.at.get(from)?).as_secs_f64();
        (to > from && span > 0.0).then(|| (to - from) as f64 / span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(ms: impl IntoIterator<Item = u64>) -> Course {
        let start = Instant::now();
        let at: Vec<Instant> = ms.into_iter().map(|ms| start + Duration::from_millis(ms)).collect();
        // The first half costs ten times as much of the processor; all processes take twice as much.
        let here = |i: usize| {
            Duration::from_micros(if i < at.len() / 2 { 100 * i } else { 45 * at.len() + 10 * i } as u64)
        };
        let worked = |i: usize| Worked { events: i, at: at[i], here: here(i), machine: Some(here(i) * 2) };
        let cpu = (0..at.len()).step_by(16).map(worked).collect();
        Course { at, cpu }
    }

    #[test]
    fn the_stride_leaves_out_beginning_and_end() {
        // A slow start, then one each 10 ms, then a slow end.
        let slow = (0..20).map(|i| i * 50);
        let found = course(slow.chain((0..175).map(|i| 1000 + i * 10)).chain((0..5).map(|i| 4000 + i * 500)));
        let stride = found.stride(true).unwrap();
        assert!((90.0..110.0).contains(&stride.per_second), "{stride:?}");
        let late = found.stride(false).unwrap();
        assert!((9e-6..11e-6).contains(&late.cpu_s.unwrap()), "{late:?}");
        assert!((18e-6..22e-6).contains(&late.machine_s.unwrap()), "{late:?}");
        assert_eq!(course((0..5).map(|i| i * 50)).stride(true), None);
    }

    #[test]
    fn a_pace_rises_until_it_does_not() {
        // Each round trip of 10 ms twice as many.
        let doubling = (0..8u32).flat_map(|round| vec![u64::from(round) * 10; 4 << round]);
        assert!(course(doubling.clone()).rises());
        let steady = doubling.chain((0..4000).map(|i| 80 + i / 51));
        assert!(!course(steady).rises());
        assert!(course([]).rises(), "nothing is known");
    }
}
