//! The past of a run as small bars.

use std::collections::VecDeque;

use haul_core::ledger::TickRow;

/// What is drawn of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// Items settled a second.
    Settled,
    /// Latency of requests, microseconds: median.
    Latency,
}

/// Up to `width` values that end now, and the milliseconds that one of them covers. A run that is shorter
/// than the screen is wide is drawn by the second. Times without a row are times when nothing moved.
pub fn values(ticks: &VecDeque<TickRow>, of: Of, width: usize, now_ms: i64) -> (Vec<u64>, u64) {
    let (Some(first), false) = (ticks.front(), width == 0) else { return (Vec::new(), 1000) };
    let from = first.at.0 - i64::from(first.span_ms);
    let whole = u64::try_from(now_ms - from).unwrap_or(0).max(1);
    let step = whole.div_ceil(width as u64).max(1000);
    let count = usize::try_from(whole.div_ceil(step)).unwrap_or(width).min(width);
    let begin = now_ms - (count as u64 * step) as i64;
    let mut sums = vec![(0_u64, 0_u64); count];
    for tick in ticks {
        let (amount, weight) = match of {
            Of::Settled => (tick.settled, 0),
            Of::Latency => (u64::from(tick.p50_us) * tick.requests, tick.requests),
        };
        // A row may cover more than a bar: while the disk was waited for, or after the first hour.
        let (start, end) = (tick.at.0 - i64::from(tick.span_ms) - begin, tick.at.0 - begin);
        let span = u64::from(tick.span_ms).max(1);
        for bar in bars(start, end, step as i64) {
            let Some((sum, weights)) = sums.get_mut(bar) else { continue };
            let covered = overlap(start, end, bar as i64 * step as i64, step as i64);
            *sum += amount * covered / span;
            *weights += weight * covered / span;
        }
    }
    let value = |(sum, weight): (u64, u64)| match of {
        Of::Settled => sum * 1000 / step,
        Of::Latency => sum / weight.max(1),
    };
    (sums.into_iter().map(value).collect(), step)
}

/// The bars that a time touches.
fn bars(start: i64, end: i64, step: i64) -> std::ops::Range<usize> {
    let bar = |ms: i64| usize::try_from(ms.max(0)).unwrap_or(0);
    bar(start.div_euclid(step))..bar((end - 1).div_euclid(step) + 1)
}

/// Milliseconds that a time shares with a bar.
fn overlap(start: i64, end: i64, bar: i64, step: i64) -> u64 {
    u64::try_from(end.min(bar + step) - start.max(bar)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use haul_core::UnixMs;

    use super::*;

    fn tick(second: i64, settled: u64) -> TickRow {
        TickRow { at: UnixMs(second * 1000), span_ms: 1000, settled, ..TickRow::default() }
    }

    #[test]
    fn a_short_run_is_drawn_by_the_second_and_a_long_one_whole() {
        let ticks: VecDeque<TickRow> = [tick(1, 5), tick(2, 7), tick(4, 9)].into();
        assert_eq!(values(&ticks, Of::Settled, 80, 4000), (vec![5, 7, 0, 9], 1000));
        let ticks: VecDeque<TickRow> = (1..=100).map(|s| tick(s, 10)).collect();
        assert_eq!(values(&ticks, Of::Settled, 10, 100_000), (vec![10; 10], 10_000));
        assert_eq!(values(&VecDeque::new(), Of::Settled, 10, 0).0.len(), 0);
    }

    #[test]
    fn a_row_of_several_seconds_is_spread_over_them() {
        let long = TickRow { span_ms: 3000, p50_us: 20, requests: 30, ..tick(4, 90) };
        let ticks: VecDeque<TickRow> = [tick(1, 30), long].into();
        assert_eq!(values(&ticks, Of::Settled, 80, 4000).0, [30, 30, 30, 30]);
        assert_eq!(values(&ticks, Of::Latency, 80, 4000).0, [0, 20, 20, 20]);
    }

    #[test]
    fn latencies_are_weighed_by_requests() {
        let of = |second, p50_us, requests| TickRow { p50_us, requests, ..tick(second, 0) };
        let ticks: VecDeque<TickRow> = [of(1, 10, 1), of(2, 40, 2)].into();
        assert_eq!(values(&ticks, Of::Latency, 1, 2000).0, [30]);
    }
}
