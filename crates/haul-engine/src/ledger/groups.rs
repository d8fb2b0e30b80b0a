//! Failures grouped by signature, with short ids that people type.

use std::str::FromStr;

use haul_core::ledger::Why;
use haul_core::{Key, UnixMs};
use rusqlite::{Connection, params};

use super::rows::{bytes, unsigned, word};

/// Kinds of failure that get an id (the triggers of the schema hold it too). The rest is counted
/// together: nobody reads on so far, and each costs memory.
pub const GROUPS: usize = 1000;

/// Keys and messages shown of a group.
pub const SAMPLES: usize = 3;

/// The short id of a group, in the order in which kinds of failure first happened. It holds for ever:
/// a kind that comes back after a retry has the id it had.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub u32);

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "e{}", self.0)
    }
}

impl FromStr for GroupId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix('e').and_then(|n| n.parse().ok()).filter(|n| *n > 0);
        number.map(GroupId).ok_or_else(|| format!("{text:?} is no id of a failure: they look like e1"))
    }
}

/// Failures of one outcome and signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Failed, rejected or in doubt.
    pub why: Why,
    /// What its items share.
    pub signature: String,
    /// How many there are.
    pub count: u64,
    /// Step of the last sample; empty for bad input.
    pub step: String,
    /// Host and port of it; empty where none.
    pub origin: String,
    /// Its code.
    pub code: String,
    /// Status of its reply.
    pub status: Option<u16>,
    /// First attempt of any of its items.
    pub first: UnixMs,
    /// Last attempt of any of its items.
    pub last: UnixMs,
    /// A few of its items' keys, oldest failure first.
    pub keys: Vec<Key>,
    /// Their messages, each once.
    pub messages: Vec<String>,
}

/// All groups, largest first; equal ones by outcome and signature. Beyond the first [`GROUPS`] kinds
/// only their number of items is given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Groups {
    /// The groups.
    pub groups: Vec<Group>,
    /// Items of groups that are not listed.
    pub unlisted: u64,
}

/// Spelt as in the index `item_open`, or SQLite would not use it.
pub(super) const OPEN: &str = "why IN ('failed', 'in_doubt', 'rejected')";

pub(super) fn read(conn: &Connection) -> rusqlite::Result<Groups> {
    let mut query = conn.prepare(&format!(
        "SELECT g.why, g.signature, n, first, last, kind.id FROM
           (SELECT why, signature, count(*) AS n, min(first) AS first, max(last) AS last
            FROM item INDEXED BY item_open WHERE {OPEN} GROUP BY why, signature) AS g
         LEFT JOIN kind ON kind.why = g.why AND kind.signature = g.signature
         ORDER BY n DESC, g.why, g.signature"
    ))?;
    let mut rows = query.query([])?;
    let mut all = Groups::default();
    while let Some(r) = rows.next()? {
        let count = unsigned(r.get(2)?);
        let Some(id) = r.get::<_, Option<u32>>(5)? else {
            all.unlisted += count;
            continue;
        };
        all.groups.push(Group {
            id: GroupId(id),
            why: word(r, "why", Why::from_word)?,
            signature: r.get(1)?,
            count,
            step: String::new(),
            origin: String::new(),
            code: String::new(),
            status: None,
            first: UnixMs(r.get(3)?),
            last: UnixMs(r.get(4)?),
            keys: Vec::new(),
            messages: Vec::new(),
        });
    }
    for group in &mut all.groups {
        samples(conn, group)?;
    }
    Ok(all)
}

/// Fills in what only single items tell.
fn samples(conn: &Connection, group: &mut Group) -> rusqlite::Result<()> {
    let mut query = conn.prepare_cached(&format!(
        "SELECT key, message, step, origin, code, status FROM item INDEXED BY item_open
         WHERE {OPEN} AND why = ?1 AND signature = ?2 ORDER BY first, last, rowid LIMIT ?3"
    ))?;
    let mut rows = query.query(params![group.why.as_str(), group.signature, SAMPLES as i64])?;
    while let Some(r) = rows.next()? {
        group.keys.push(Key(bytes(r, 0)?));
        let message: String = r.get(1)?;
        if !group.messages.contains(&message) {
            group.messages.push(message);
        }
        group.step = r.get(2)?;
        group.origin = r.get(3)?;
        group.code = r.get(4)?;
        group.status = r.get(5)?;
    }
    Ok(())
}
