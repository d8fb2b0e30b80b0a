//! Interval rows, thinned with age: a second for an hour, a minute for a week, an hour after that.

use haul_core::UnixMs;
use haul_core::ledger::TickRow;
use haul_core::limits::{TICKS_1MIN, TICKS_1S};
use rusqlite::{Connection, Row};

use super::rows::{signed, unsigned};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// Rows after which it is worth looking for old ones.
pub(super) const THIN_EVERY: usize = 60;

/// Whole minutes and hours before these moments are kept as one row each.
fn cuts(newest: UnixMs) -> (i64, i64) {
    let minutes = newest.0 - 1000 * TICKS_1S as i64;
    let hours = newest.0 - MINUTE_MS * TICKS_1MIN as i64;
    (minutes.div_euclid(MINUTE_MS) * MINUTE_MS, hours.div_euclid(HOUR_MS) * HOUR_MS)
}

/// One row for several: amounts are added, gauges are those of the last, latencies are means weighted
/// by requests (a 99th percentile of percentiles would need the whole distribution).
pub(super) fn merge(rows: &[TickRow]) -> TickRow {
    let requests: u64 = rows.iter().map(|r| r.requests).sum();
    let mean = |of: fn(&TickRow) -> u32| {
        let sum: u128 = rows.iter().map(|r| u128::from(of(r)) * u128::from(r.requests)).sum();
        u32::try_from(sum / u128::from(requests.max(1))).unwrap_or(u32::MAX)
    };
    let last = rows.last().cloned().unwrap_or_default();
    TickRow {
        span_ms: rows.iter().fold(0, |sum, r| sum.saturating_add(r.span_ms)),
        settled: rows.iter().map(|r| r.settled).sum(),
        faults: rows.iter().map(|r| r.faults).sum(),
        requests,
        wire_in: rows.iter().map(|r| r.wire_in).sum(),
        wire_out: rows.iter().map(|r| r.wire_out).sum(),
        p50_us: mean(|r| r.p50_us),
        p95_us: mean(|r| r.p95_us),
        p99_us: mean(|r| r.p99_us),
        ..last
    }
}

/// Thins rows in order of time; `newest` is the time they age against.
pub(super) fn thin(rows: &[TickRow], newest: UnixMs) -> Vec<TickRow> {
    let (minutes, hours) = cuts(newest);
    let bucket = |r: &TickRow| match r.at.0 {
        at if at < hours => (0, at.div_euclid(HOUR_MS)),
        at if at < minutes => (1, at.div_euclid(MINUTE_MS)),
        at => (2, at),
    };
    rows.chunk_by(|a, b| bucket(a) == bucket(b)).map(merge).collect()
}

pub(super) fn append(tx: &Connection, rows: &[TickRow]) -> rusqlite::Result<()> {
    for t in rows {
        // Two rows of one millisecond (the clock was set back): the later one stands for both.
        tx.prepare_cached(
            "INSERT OR REPLACE INTO tick (at, span_ms, settled, faults, requests, wire_in, wire_out,
               in_flight, concurrency, p50_us, p95_us, p99_us, rss)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(rusqlite::params![
            t.at.0,
            t.span_ms,
            signed(t.settled),
            signed(t.faults),
            signed(t.requests),
            signed(t.wire_in),
            signed(t.wire_out),
            t.in_flight,
            t.limit,
            t.p50_us,
            t.p95_us,
            t.p99_us,
            signed(t.rss),
        ])?;
    }
    Ok(())
}

/// Thins what is stored and gives the moments (minutes, hours) before which it now is thin. Only rows
/// since the moments of the last call are read, so that it costs the same however long the run.
pub(super) fn thin_stored(tx: &Connection, newest: UnixMs, last: (i64, i64)) -> rusqlite::Result<(i64, i64)> {
    let (minutes, hours) = cuts(newest);
    for (since, below) in [(last.1, hours), (last.0.max(hours), minutes)] {
        let mut query = tx.prepare_cached("SELECT * FROM tick WHERE at >= ?1 AND at < ?2 ORDER BY at")?;
        let rows: Vec<TickRow> = query.query_map((since, below), from_row)?.collect::<Result<_, _>>()?;
        let thinned = thin(&rows, newest);
        if thinned.len() < rows.len() {
            tx.prepare_cached("DELETE FROM tick WHERE at >= ?1 AND at < ?2")?.execute((since, below))?;
            append(tx, &thinned)?;
        }
    }
    Ok((minutes, hours))
}

pub(super) fn from_row(r: &Row<'_>) -> rusqlite::Result<TickRow> {
    Ok(TickRow {
        at: UnixMs(r.get(0)?),
        span_ms: r.get(1)?,
        settled: unsigned(r.get(2)?),
        faults: unsigned(r.get(3)?),
        requests: unsigned(r.get(4)?),
        wire_in: unsigned(r.get(5)?),
        wire_out: unsigned(r.get(6)?),
        in_flight: r.get(7)?,
        limit: r.get(8)?,
        p50_us: r.get(9)?,
        p95_us: r.get(10)?,
        p99_us: r.get(11)?,
        rss: unsigned(r.get(12)?),
    })
}
