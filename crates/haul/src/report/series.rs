//! Interval rows as points of a plot: thinned, with the gaps in which nothing was sent.

use haul_core::ledger::TickRow;

/// A plot shows no more points than this; a screen has hardly more columns.
const POINTS: usize = 400;
/// Silence that is longer is a gap.
const GAP_MS: i64 = 2500;

/// What happened around one moment. Rates are per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Milliseconds since the first row began.
    pub at: i64,
    /// Nothing is known of the time before it.
    pub after_gap: bool,
    pub items: f64,
    pub requests: f64,
    pub faults: f64,
    pub bytes_in: f64,
    pub bytes_out: f64,
    pub in_flight: f64,
    pub limit: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub rss: f64,
}

/// Thins rows to at most `most` points (about [`POINTS`] when that is more).
pub fn points(rows: &[TickRow], most: usize) -> Vec<Point> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Vec::new() };
    let start = first.at.0 - i64::from(first.span_ms);
    let width = ((last.at.0 - start) / most.clamp(1, POINTS) as i64).max(1);
    let mut all: Vec<Point> = Vec::new();
    let mut end = start;
    for bucket in rows.chunk_by(|a, b| {
        let silent = b.at.0 - i64::from(b.span_ms) - a.at.0 > GAP_MS;
        !silent && (a.at.0 - start) / width == (b.at.0 - start) / width
    }) {
        let began = bucket[0].at.0 - i64::from(bucket[0].span_ms);
        all.push(Point { after_gap: began - end > GAP_MS, ..merged(bucket, start) });
        end = bucket[bucket.len() - 1].at.0;
    }
    all
}

fn merged(rows: &[TickRow], start: i64) -> Point {
    let secs = rows.iter().map(|r| f64::from(r.span_ms)).sum::<f64>().max(1.0) / 1000.0;
    let per_second = |of: fn(&TickRow) -> u64| rows.iter().map(of).sum::<u64>() as f64 / secs;
    let mean =
        |of: fn(&TickRow) -> u32| rows.iter().map(|r| f64::from(of(r))).sum::<f64>() / rows.len() as f64;
    let requests: u64 = rows.iter().map(|r| r.requests).sum();
    // Latencies count by the requests they are of.
    let latency = |of: fn(&TickRow) -> u32| {
        let sum: f64 = rows.iter().map(|r| f64::from(of(r)) * r.requests as f64).sum();
        sum / requests.max(1) as f64 / 1000.0
    };
    Point {
        at: rows[rows.len() - 1].at.0 - start,
        after_gap: false,
        items: per_second(|r| r.settled),
        requests: per_second(|r| r.requests),
        faults: per_second(|r| r.faults),
        bytes_in: per_second(|r| r.wire_in),
        bytes_out: per_second(|r| r.wire_out),
        in_flight: mean(|r| r.in_flight),
        limit: mean(|r| r.limit),
        p50: latency(|r| r.p50_us),
        p95: latency(|r| r.p95_us),
        p99: latency(|r| r.p99_us),
        rss: rows.iter().map(|r| r.rss).max().unwrap_or(0) as f64,
    }
}

#[cfg(test)]
mod tests {
    use haul_core::UnixMs;

    use super::*;

    fn row(second: i64, settled: u64) -> TickRow {
        let at = UnixMs(1_700_000_000_000 + second * 1000);
        TickRow {
            at,
            span_ms: 1000,
            settled,
            requests: 2 * settled,
            p50_us: 5000,
            rss: 7,
            ..TickRow::default()
        }
    }

    #[test]
    fn many_rows_are_few_points_and_add_up() {
        let rows: Vec<TickRow> = (1..=3600).map(|s| row(s, 100)).collect();
        let all = points(&rows, POINTS);
        assert!((350..=POINTS + 1).contains(&all.len()), "{}", all.len());
        assert!(all.iter().all(|p| p.items == 100.0 && p.requests == 200.0 && p.p50 == 5.0 && !p.after_gap));
        assert_eq!(all.last().unwrap().at, 3_600_000);
        assert!(points(&rows, 40).len() <= 41);
    }

    #[test]
    fn silence_is_a_gap_and_no_rate() {
        let rows: Vec<TickRow> = (1..=10).chain(100..=110).map(|s| row(s, 10)).collect();
        let all = points(&rows, POINTS);
        let gaps: Vec<i64> = all.iter().filter(|p| p.after_gap).map(|p| p.at / 1000).collect();
        assert_eq!(gaps, [100]);
        assert!(points(&[], POINTS).is_empty());
    }
}
