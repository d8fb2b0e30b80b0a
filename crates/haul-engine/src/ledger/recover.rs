//! What a ledger knows when a process takes the run over.

use std::collections::BTreeMap;

use haul_core::aggregate::Saved;
use haul_core::ledger::{IN_WORK, LaneNote, Recovered, RecoveredSlice, Resume, SliceState};
use haul_core::source::{Cursor, Slice};
use haul_core::watermark::{Chunk, Settled};
use haul_core::{Counts, Mark, Seq, SliceId, UnixMs};
use rusqlite::{Connection, Row};

use super::rows::{signed, unsigned, word};

/// Learned values older than this say nothing about a service any more.
pub(super) const LEARNED_MS: i64 = 24 * 3_600_000;

/// Code of an item whose process ended between its intent and its outcome.
pub(super) const LOST_CODE: &str = "lost";
/// What is said of it.
pub(super) const LOST_MESSAGE: &str =
    "the process ended after the request may have been sent and before its reply was recorded";

/// Raises the fence and turns intents into `in doubt`; within a transaction.
pub(super) fn take_over(tx: &Connection) -> rusqlite::Result<u64> {
    tx.execute("UPDATE run SET fence = fence + 1", [])?;
    intents_to_doubt(tx)?;
    // What was in work is due: nobody works on it.
    let in_work = "UPDATE item SET due = last WHERE why = 'parked' AND due >= ?1";
    tx.execute(in_work, [IN_WORK.0])?;
    tx.query_row("SELECT fence FROM run", [], |r| Ok(unsigned(r.get(0)?)))
}

/// An intent without an outcome is in doubt: settled, as far as the watermark is concerned.
pub(super) fn intents_to_doubt(tx: &Connection) -> rusqlite::Result<()> {
    let mut by_slice: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut query = tx.prepare("SELECT slice, seq FROM item WHERE why = 'intent'")?;
    for row in query.query_map([], |r| Ok((r.get(0)?, unsigned(r.get(1)?))))? {
        let (slice, seq) = row?;
        by_slice.entry(slice).or_default().push(seq);
    }
    for (slice, seqs) in by_slice {
        settle_seqs(tx, SliceId(slice), &seqs)?;
        // Parked rows are counted anew: an intent may have taken the place of one.
        tx.execute(
            "UPDATE slice SET in_doubt = in_doubt + ?2,
               waiting = (SELECT count(*) FROM item WHERE slice = ?1 AND why = 'parked') WHERE id = ?1",
            (slice, signed(seqs.len() as u64)),
        )?;
    }
    tx.execute(
        "UPDATE item SET why = 'in_doubt', code = ?1, message = ?2, status = NULL,
           signature = trim(step || ' ' || origin) || ' ' || ?1 || ' ' || ?2 WHERE why = 'intent'",
        [LOST_CODE, LOST_MESSAGE],
    )?;
    Ok(())
}

/// Puts seqs behind the watermark.
fn settle_seqs(tx: &Connection, slice: SliceId, seqs: &[u64]) -> rusqlite::Result<()> {
    let watermark = tx.query_row("SELECT watermark FROM slice WHERE id = ?1", [slice.0], |r| {
        Ok(Seq(unsigned(r.get(0)?)))
    })?;
    let mut settled = Settled::restore(watermark, chunks(tx, slice)?);
    for &seq in seqs {
        settled.insert(Seq(seq));
    }
    let low = settled.watermark();
    tx.execute("UPDATE slice SET watermark = ?2 WHERE id = ?1", (slice.0, signed(low.0)))?;
    tx.execute(
        "DELETE FROM settled WHERE slice = ?1 AND chunk < ?2",
        (slice.0, signed(low.0 / haul_core::watermark::CHUNK_BITS)),
    )?;
    for chunk in settled.take_changed() {
        tx.execute(
            "INSERT OR REPLACE INTO settled (slice, chunk, bits) VALUES (?1, ?2, ?3)",
            (slice.0, signed(chunk.index), chunk.to_bytes()),
        )?;
    }
    Ok(())
}

fn chunks(conn: &Connection, slice: SliceId) -> rusqlite::Result<Vec<Chunk>> {
    let mut query = conn.prepare_cached("SELECT chunk, bits FROM settled WHERE slice = ?1 ORDER BY chunk")?;
    let rows = query.query_map([slice.0], |r| {
        let bits = r.get_ref(1)?.as_blob()?;
        Chunk::from_bytes(unsigned(r.get(0)?), bits).ok_or_else(|| {
            let e = format!("a bitmap of slice {slice} has {} bytes", bits.len());
            rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Blob, e.into())
        })
    })?;
    rows.collect()
}

/// Everything [`Recovered`] holds, at `now`.
pub(super) fn read(conn: &Connection, fence: u64, now: UnixMs) -> rusqlite::Result<Recovered> {
    Ok(Recovered {
        fence,
        slices: slices(conn)?,
        marks: marks(conn)?,
        aggregates: aggregates(conn)?,
        next_due: conn.query_row("SELECT min(due) FROM item WHERE why = 'parked'", [], |r| {
            Ok(r.get::<_, Option<i64>>(0)?.map(UnixMs))
        })?,
        resumed: fence > 1,
        lanes: learned(conn, now)?,
    })
}

pub(super) fn slices(conn: &Connection) -> rusqlite::Result<Vec<RecoveredSlice>> {
    let mut query = conn.prepare("SELECT * FROM slice ORDER BY id")?;
    let mut slices: Vec<RecoveredSlice> = query.query_map([], slice)?.collect::<Result<_, _>>()?;
    for s in &mut slices {
        s.chunks = chunks(conn, s.slice.id)?;
    }
    Ok(slices)
}

fn slice(r: &Row<'_>) -> rusqlite::Result<RecoveredSlice> {
    let n = |column| -> rusqlite::Result<u64> { Ok(unsigned(r.get(column)?)) };
    Ok(RecoveredSlice {
        slice: Slice {
            id: SliceId(r.get("id")?),
            lo: r.get("lo")?,
            hi: r.get("hi")?,
            parent: r.get::<_, Option<u32>>("parent")?.map(SliceId),
        },
        resume: Resume { cursor: r.get::<_, Option<String>>("cursor")?.map(Cursor), first: Seq(n("first")?) },
        watermark: Seq(n("watermark")?),
        chunks: Vec::new(),
        counts: Counts {
            done: n("done")?,
            skipped: n("skipped")?,
            failed: n("failed")?,
            rejected: n("rejected")?,
            in_doubt: n("in_doubt")?,
            waiting: n("waiting")?,
        },
        keys_from: Seq(n("keys_from")?),
        keys: n("keys_end")?,
        state: word(r, "state", SliceState::from_word)?,
        bytes: n("bytes")?,
    })
}

fn marks(conn: &Connection) -> rusqlite::Result<Vec<(String, Mark)>> {
    let mut query = conn.prepare("SELECT name, file, len, tail FROM sink ORDER BY name")?;
    let rows = query.query_map([], |r| {
        Ok((r.get(0)?, Mark { file: unsigned(r.get(1)?), len: unsigned(r.get(2)?), tail: r.get(3)? }))
    })?;
    rows.collect()
}

pub(super) fn aggregates(conn: &Connection) -> rusqlite::Result<Vec<(String, Saved)>> {
    let mut query = conn.prepare("SELECT name, state, file, len FROM aggregate ORDER BY name")?;
    let rows = query.query_map([], |r| {
        let saved = match r.get::<_, Option<String>>(2)? {
            Some(file) => Saved::Log { file, len: unsigned(r.get(3)?) },
            None => Saved::Small(r.get(1)?),
        };
        Ok((r.get(0)?, saved))
    })?;
    rows.collect()
}

/// The newest value of everything learned about every lane, unless it is too old to mean anything.
fn learned(conn: &Connection, now: UnixMs) -> rusqlite::Result<Vec<LaneNote>> {
    let mut query = conn.prepare(
        "SELECT lane, at, what, value, reason FROM lane
         WHERE id IN (SELECT max(id) FROM lane GROUP BY lane, what) AND at >= ?1 ORDER BY lane, what",
    )?;
    let rows = query.query_map([now.0.saturating_sub(LEARNED_MS)], lane)?;
    // What a newer version learns under another name is of no use here.
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// A row `lane, at, what, value, reason`; `None` when `what` is unknown.
pub(super) fn lane(r: &Row<'_>) -> rusqlite::Result<Option<LaneNote>> {
    let word: String = r.get(2)?;
    let Some(what) = ["rate", "concurrency", "pause", "breaker", "goal"].into_iter().find(|w| *w == word)
    else {
        return Ok(None);
    };
    Ok(Some(LaneNote { lane: r.get(0)?, at: UnixMs(r.get(1)?), what, value: r.get(3)?, reason: r.get(4)? }))
}
