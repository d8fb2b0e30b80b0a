//! What people changed: pauses, rates, settled items, each with who and when.

use haul_core::UnixMs;
use haul_core::ledger::Change;
use haul_core::limits::CHANGE_ROWS;
use rusqlite::{Connection, params};

/// Characters of one value: reasons are typed by people.
const TEXT_CHARS: usize = 1000;

/// Appends changes; the oldest go when there are too many.
pub(super) fn append(conn: &Connection, changes: &[Change]) -> rusqlite::Result<()> {
    for c in changes {
        let cut = |text: &str| text.chars().take(TEXT_CHARS).collect::<String>();
        conn.prepare_cached("INSERT INTO change (at, who, what, old, new) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![c.at.0, c.who, c.what, cut(&c.old), cut(&c.new)])?;
    }
    if !changes.is_empty() {
        conn.prepare_cached("DELETE FROM change WHERE id <= (SELECT max(id) FROM change) - ?1")?
            .execute([CHANGE_ROWS as i64])?;
    }
    Ok(())
}

/// The newest `limit` changes, oldest first.
pub(super) fn newest(conn: &Connection, limit: usize) -> rusqlite::Result<Vec<Change>> {
    let mut query =
        conn.prepare_cached("SELECT at, who, what, old, new FROM change ORDER BY id DESC LIMIT ?1")?;
    let rows = query.query_map([limit as i64], |r| {
        Ok(Change { at: UnixMs(r.get(0)?), who: r.get(1)?, what: r.get(2)?, old: r.get(3)?, new: r.get(4)? })
    })?;
    let mut changes = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    changes.reverse();
    Ok(changes)
}
