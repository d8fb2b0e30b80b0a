//! The parts of one commit, each within the transaction that is already open.

use haul_core::aggregate::Saved;
use haul_core::ledger::{Commit, Exception, LaneNote, SliceCommit};
use haul_core::limits;
use haul_core::watermark::CHUNK_BITS;
use haul_core::{Mark, Seq, SliceId};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Readable, signed, unsigned};
use super::{changes, ticks};

/// Why a commit was not written.
#[derive(Debug)]
pub(super) enum Refused {
    Sql(rusqlite::Error),
    /// The stored fence is above the commit's.
    Fenced(u64),
    /// The keys do not join the key log of the slice.
    Gap(SliceId, u64, u64),
}

impl From<rusqlite::Error> for Refused {
    fn from(e: rusqlite::Error) -> Self {
        Refused::Sql(e)
    }
}

/// Bounds that tests make small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) keys_kept: u64,
    pub(super) lane_rows: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { keys_kept: u64::MAX, lane_rows: limits::LANE_ROWS }
    }
}

/// Everything of a commit except the thinning of ticks.
pub(super) fn commit(tx: &Connection, c: &Commit, bounds: Bounds) -> Result<(), Refused> {
    fence(tx, c.fence)?;
    for s in &c.slices {
        slice(tx, s, c.fence, bounds)?;
    }
    for (slice, seq) in &c.cleared {
        clear(tx, *slice, *seq)?;
    }
    for e in &c.exceptions {
        exception(tx, e)?;
    }
    for (name, m) in &c.marks {
        mark(tx, name, m)?;
    }
    for (name, saved) in &c.aggregates {
        aggregate(tx, name, saved)?;
    }
    ticks::append(tx, &c.ticks)?;
    lanes(tx, &c.lanes, bounds)?;
    changes::append(tx, &c.changes)?;
    Ok(())
}

fn fence(tx: &Connection, given: u64) -> Result<(), Refused> {
    let stored: i64 = tx.prepare_cached("SELECT fence FROM run WHERE id = 1")?.query_row([], |r| r.get(0))?;
    if unsigned(stored) > given {
        return Err(Refused::Fenced(unsigned(stored)));
    }
    if unsigned(stored) < given {
        tx.execute("UPDATE run SET fence = ?1", [signed(given)])?;
    }
    Ok(())
}

fn slice(tx: &Connection, s: &SliceCommit, fence: u64, bounds: Bounds) -> Result<(), Refused> {
    let c = &s.counts;
    tx.prepare_cached(
        "INSERT INTO slice (id, lo, hi, parent, state, cursor, first, watermark, fence, bytes,
           done, skipped, failed, rejected, in_doubt, waiting)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (id) DO UPDATE SET lo = excluded.lo, hi = excluded.hi, parent = excluded.parent,
           state = excluded.state, cursor = excluded.cursor, first = excluded.first,
           watermark = excluded.watermark, fence = excluded.fence, bytes = excluded.bytes,
           done = excluded.done, skipped = excluded.skipped, failed = excluded.failed,
           rejected = excluded.rejected, in_doubt = excluded.in_doubt, waiting = excluded.waiting",
    )?
    .execute(params![
        s.slice.id.0,
        s.slice.lo,
        s.slice.hi,
        s.slice.parent.map(|p| p.0),
        s.state.as_str(),
        s.resume.cursor.as_ref().map(|c| c.0.as_str()),
        signed(s.resume.first.0),
        signed(s.watermark.0),
        signed(fence),
        signed(s.bytes),
        signed(c.done),
        signed(c.skipped),
        signed(c.failed),
        signed(c.rejected),
        signed(c.in_doubt),
        signed(c.waiting),
    ])?;
    settled(tx, s)?;
    keys(tx, s, bounds.keys_kept)
}

/// Bitmaps above the watermark; those it passed are dropped.
fn settled(tx: &Connection, s: &SliceCommit) -> rusqlite::Result<()> {
    let low = s.watermark.0 / CHUNK_BITS;
    tx.prepare_cached("DELETE FROM settled WHERE slice = ?1 AND chunk < ?2")?
        .execute((s.slice.id.0, signed(low)))?;
    for chunk in s.chunks.iter().filter(|c| c.index >= low) {
        tx.prepare_cached("INSERT OR REPLACE INTO settled (slice, chunk, bits) VALUES (?1, ?2, ?3)")?
            .execute((s.slice.id.0, signed(chunk.index), chunk.to_bytes()))?;
    }
    Ok(())
}

/// Appends to the key log. Keys that it already has (input read again after a crash) are passed over.
fn keys(tx: &Connection, s: &SliceCommit, kept: u64) -> Result<(), Refused> {
    if s.keys.is_empty() {
        return Ok(());
    }
    let (from, end) = tx
        .prepare_cached("SELECT keys_from, keys_end FROM slice WHERE id = ?1")?
        .query_row([s.slice.id.0], |r| Ok((unsigned(r.get(0)?), unsigned(r.get(1)?))))?;
    let Some(span) = join_keys(from, end, s.keys_from.0, s.keys.len() as u64) else {
        return Err(Refused::Gap(s.slice.id, end, s.keys_from.0));
    };
    let new = &s.keys[span.skip..];
    if new.is_empty() {
        return Ok(());
    }
    let hashes: Vec<u8> = new.iter().flat_map(|k| k.0).collect();
    tx.prepare_cached("INSERT INTO key (slice, first, hashes) VALUES (?1, ?2, ?3)")?.execute((
        s.slice.id.0,
        signed(span.at),
        hashes,
    ))?;
    let end = span.at + new.len() as u64;
    let from = trim_keys(tx, s.slice.id, span.from, end, kept)?;
    tx.prepare_cached("UPDATE slice SET keys_from = ?2, keys_end = ?3 WHERE id = ?1")?.execute((
        s.slice.id.0,
        signed(from),
        signed(end),
    ))?;
    Ok(())
}

/// Where keys go in a log that holds `from..end`.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct KeySpan {
    /// Start of the log.
    pub(super) from: u64,
    /// How many of the given keys it already has.
    pub(super) skip: usize,
    /// Where the rest begins.
    pub(super) at: u64,
}

/// `None` when the keys would leave a gap. An empty log may begin anywhere.
pub(super) fn join_keys(from: u64, end: u64, keys_from: u64, n: u64) -> Option<KeySpan> {
    if from == end {
        return Some(KeySpan { from: keys_from, skip: 0, at: keys_from });
    }
    let skip = end.checked_sub(keys_from)?.min(n);
    Some(KeySpan { from, skip: usize::try_from(skip).ok()?, at: end })
}

/// Drops whole rows of the key log while `kept` keys remain.
fn trim_keys(tx: &Connection, slice: SliceId, from: u64, end: u64, kept: u64) -> rusqlite::Result<u64> {
    if end - from <= kept {
        return Ok(from);
    }
    let keep: Option<i64> = tx
        .prepare_cached("SELECT max(first) FROM key WHERE slice = ?1 AND first <= ?2")?
        .query_row((slice.0, signed(end - kept)), |r| r.get(0))
        .optional()?
        .flatten();
    let Some(keep) = keep else { return Ok(from) };
    tx.prepare_cached("DELETE FROM key WHERE slice = ?1 AND first < ?2")?.execute((slice.0, keep))?;
    Ok(unsigned(keep))
}

fn clear(tx: &Connection, slice: SliceId, seq: Seq) -> rusqlite::Result<()> {
    let place = (slice.0, signed(seq.0));
    tx.prepare_cached("DELETE FROM item WHERE slice = ?1 AND seq = ?2")?.execute(place)?;
    tx.prepare_cached("DELETE FROM memo WHERE slice = ?1 AND seq = ?2")?.execute(place)?;
    Ok(())
}

fn exception(tx: &Connection, e: &Exception) -> rusqlite::Result<()> {
    let f = &e.fault;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO item (slice, seq, why, key, line, offset, record, attempts, uncharged_ms,
           signature, step, origin, code, status, message, first, last, due)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        e.slice.0,
        signed(e.seq.0),
        e.why.as_str(),
        Readable(&e.key.0),
        signed(e.position.line),
        signed(e.position.offset),
        Readable(&e.record),
        e.attempts,
        signed(e.uncharged_ms),
        f.signature,
        f.step,
        f.origin,
        f.code,
        f.status,
        f.message,
        e.first.0,
        e.last.0,
        e.due.0,
    ])?;
    let place = (e.slice.0, signed(e.seq.0));
    tx.prepare_cached("DELETE FROM memo WHERE slice = ?1 AND seq = ?2")?.execute(place)?;
    for (step, value) in &e.memos {
        tx.prepare_cached("INSERT OR REPLACE INTO memo (slice, seq, step, value) VALUES (?1, ?2, ?3, ?4)")?
            .execute((place.0, place.1, &**step, Readable(value)))?;
    }
    Ok(())
}

fn mark(tx: &Connection, name: &str, m: &Mark) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO sink (name, file, len, tail) VALUES (?1, ?2, ?3, ?4)")?
        .execute((name, signed(m.file), signed(m.len), m.tail))?;
    Ok(())
}

fn aggregate(tx: &Connection, name: &str, saved: &Saved) -> rusqlite::Result<()> {
    let (state, file, len) = match saved {
        Saved::Small(state) => (Some(state), None, None),
        Saved::Log { file, len } => (None, Some(file), Some(signed(*len))),
    };
    tx.prepare_cached("INSERT OR REPLACE INTO aggregate (name, state, file, len) VALUES (?1, ?2, ?3, ?4)")?
        .execute((name, state, file, len))?;
    Ok(())
}

fn lanes(tx: &Connection, notes: &[LaneNote], bounds: Bounds) -> rusqlite::Result<()> {
    for n in notes {
        tx.prepare_cached("INSERT INTO lane (lane, at, what, value, reason) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((&n.lane, n.at.0, n.what, n.value, &n.reason))?;
    }
    if !notes.is_empty() {
        tx.prepare_cached("DELETE FROM lane WHERE id <= (SELECT max(id) FROM lane) - ?1")?
            .execute([signed(bounds.lane_rows)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_join_a_log_where_it_ends() {
        let span = |from, skip, at| Some(KeySpan { from, skip, at });
        assert_eq!(join_keys(0, 0, 0, 3), span(0, 0, 0));
        assert_eq!(join_keys(0, 0, 7, 3), span(7, 0, 7), "an empty log begins anywhere");
        assert_eq!(join_keys(0, 10, 10, 3), span(0, 0, 10));
        assert_eq!(join_keys(0, 10, 8, 3), span(0, 2, 10), "an overlap is passed over");
        assert_eq!(join_keys(5, 10, 2, 3), span(5, 3, 10), "all of it known, or trimmed");
        assert_eq!(join_keys(0, 10, 11, 3), None, "a gap");
    }
}
