//! What people change in a ledger that nobody drives: `haul retry` and `haul settle`.

use haul_core::ledger::{Change, LedgerError, Why};
use haul_core::{Outcome, UnixMs};
use rusqlite::{Connection, Transaction, TransactionBehavior, params, params_from_iter, types::Value};

use crate::rundir::RunLock;

use super::error::Place;
use super::groups::{Groups, OPEN};
use super::read::Selection;
use super::rows::{bytes, signed, unsigned};
use super::{LEDGER_FILE, changes, groups, recover, run, schema};

/// Items as people name them: all open ones, or those of some groups.
pub type Filter = Selection;

/// Keys that the record of settled items names.
const NOTE_KEYS: usize = 20;

/// What [`Amend::reopen`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reopened {
    /// Items that are parked now, due at once.
    pub items: u64,
    /// Rejected items that the filter names: bad input cannot be tried again as it is.
    pub rejected: u64,
}

/// Changes one run's ledger. It borrows the run's lock, so that no process drives the run meanwhile.
#[derive(Debug)]
pub struct Amend<'a> {
    conn: Connection,
    place: Place,
    who: String,
    _lock: &'a RunLock,
}

impl<'a> Amend<'a> {
    /// Opens the ledger of the run that `lock` holds. Intents that a dead process left become in
    /// doubt first, so that they can be chosen.
    pub fn open(lock: &'a RunLock) -> Result<Self, LedgerError> {
        let path = lock.dir().join(LEDGER_FILE);
        let place = Place::new(&path);
        let conn = schema::open(&path, &place)?;
        let amend = Amend { conn, place, who: String::new(), _lock: lock };
        amend.change(recover::intents_to_doubt)?;
        Ok(amend)
    }

    /// Who makes the changes that follow. Without it they are made by the program itself, and are not
    /// recorded as changes by a person.
    pub fn by(mut self, who: &str) -> Self {
        who.clone_into(&mut self.who);
        self
    }

    fn change<T>(&self, what: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let result = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate).and_then(|tx| {
            let value = what(&tx)?;
            tx.commit()?;
            Ok(value)
        });
        result.map_err(|e| self.place.error(e))
    }

    /// The groups, with their ids.
    pub fn groups(&self) -> Result<Groups, LedgerError> {
        groups::read(&self.conn).map_err(|e| self.place.error(e))
    }

    /// Parks failed and in-doubt items again, due at `now`, with a fresh number of attempts and the
    /// memos they have. Without a filter: the failed ones only, since an in-doubt effect may have
    /// happened. One transaction.
    pub fn reopen(&mut self, filter: &Filter, now: UnixMs) -> Result<Reopened, LedgerError> {
        self.reopen_some(filter, u64::MAX, now)
    }

    /// As [`Amend::reopen`], but only the first `most` items in the order of the input.
    pub fn reopen_some(&mut self, filter: &Filter, most: u64, now: UnixMs) -> Result<Reopened, LedgerError> {
        let mut filter = filter.clone();
        if filter == Filter::default() {
            filter.whys = vec![Why::Failed];
        }
        let (mut chosen, values) = filter.sql();
        if most < u64::MAX {
            chosen = format!(
                "(slice, seq) IN (SELECT slice, seq FROM item WHERE {OPEN} AND why <> 'rejected' AND {chosen}
                 ORDER BY slice, seq LIMIT {})",
                signed(most)
            );
        }
        self.change(|tx| {
            let per_slice = tally(tx, &chosen, &values)?;
            for t in &per_slice {
                tx.execute(
                    "UPDATE slice SET failed = failed - ?2, in_doubt = in_doubt - ?3, waiting = waiting + ?4
                     WHERE id = ?1",
                    params![t.slice, signed(t.failed), signed(t.in_doubt), signed(t.failed + t.in_doubt)],
                )?;
            }
            let sql = format!(
                "UPDATE item SET why = 'parked', attempts = 0, uncharged_ms = 0, first = {now}, due = {now}
                 WHERE {OPEN} AND why <> 'rejected' AND {chosen}",
                now = now.0
            );
            let items = tx.execute(&sql, params_from_iter(&values))? as u64;
            if items > 0 && !self.who.is_empty() {
                let failed: u64 = per_slice.iter().map(|t| t.failed).sum();
                let old = format!("{failed} failed, {} in doubt", items - failed.min(items));
                let new = format!("{items} waiting");
                record(tx, &self.who, now, "retry", (old, new))?;
            }
            run::recount(tx)?;
            Ok(Reopened { items, rejected: per_slice.iter().map(|t| t.rejected).sum() })
        })
    }

    /// Gives failed and in-doubt items the outcome that a person knows (`done`, `skipped`, `failed`).
    /// The reason goes into the record of changes with the time, how many items there were and the first
    /// 20 keys; for `failed` it also becomes each item's message. One transaction. Gives the number of
    /// items.
    pub fn settle(
        &mut self,
        filter: &Filter,
        as_: Settled,
        reason: &str,
        now: UnixMs,
    ) -> Result<u64, LedgerError> {
        let (chosen, values) = filter.sql();
        let chosen = format!("{OPEN} AND {chosen}");
        self.change(|tx| {
            let per_slice = tally(tx, &chosen, &values)?;
            let n = per_slice.iter().map(|t| t.failed + t.in_doubt + t.rejected).sum();
            if n == 0 {
                return Ok(0);
            }
            // One line, whatever people type.
            let reason = reason.replace(['\n', '\r'], " ");
            let keys = keys(tx, &chosen, &values, n)?;
            let new = format!("{n} {}: {reason}: {keys}", as_.outcome().as_str());
            record(tx, &self.who, now, "settle", (were(&per_slice), new))?;
            for t in &per_slice {
                let word = as_.outcome().as_str();
                tx.execute("UPDATE slice SET failed = failed - ?2, in_doubt = in_doubt - ?3, rejected = rejected - ?4 WHERE id = ?1",
                    params![t.slice, signed(t.failed), signed(t.in_doubt), signed(t.rejected)])?;
                tx.execute(
                    &format!("UPDATE slice SET {word} = {word} + ?2 WHERE id = ?1"),
                    params![t.slice, signed(t.failed + t.in_doubt + t.rejected)],
                )?;
            }
            match as_ {
                Settled::Failed => fail(tx, &chosen, &values, &reason)?,
                Settled::Done | Settled::Skipped => remove(tx, &chosen, &values)?,
            }
            run::recount(tx)?;
            Ok(n)
        })
    }
}

/// What a person may settle an item as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// See [`Outcome::Done`].
    Done,
    /// See [`Outcome::Skipped`].
    Skipped,
    /// See [`Outcome::Failed`].
    Failed,
}

impl Settled {
    /// The outcome.
    pub fn outcome(self) -> Outcome {
        match self {
            Settled::Done => Outcome::Done,
            Settled::Skipped => Outcome::Skipped,
            Settled::Failed => Outcome::Failed,
        }
    }

    /// Reads the word of `--as`.
    pub fn from_word(word: &str) -> Option<Self> {
        [Settled::Done, Settled::Skipped, Settled::Failed].into_iter().find(|s| s.outcome().as_str() == word)
    }
}

/// Chosen items of one slice.
struct Tally {
    slice: u32,
    failed: u64,
    in_doubt: u64,
    rejected: u64,
}

fn tally(tx: &Connection, chosen: &str, values: &[Value]) -> rusqlite::Result<Vec<Tally>> {
    let mut query = tx.prepare(&format!(
        "SELECT slice, sum(why = 'failed'), sum(why = 'in_doubt'), sum(why = 'rejected') FROM item
         WHERE {OPEN} AND {chosen} GROUP BY slice"
    ))?;
    let rows = query.query_map(params_from_iter(values), |r| {
        Ok(Tally {
            slice: r.get(0)?,
            failed: unsigned(r.get(1)?),
            in_doubt: unsigned(r.get(2)?),
            rejected: unsigned(r.get(3)?),
        })
    })?;
    rows.collect()
}

fn remove(tx: &Connection, chosen: &str, values: &[Value]) -> rusqlite::Result<()> {
    tx.execute(
        &format!("DELETE FROM memo WHERE (slice, seq) IN (SELECT slice, seq FROM item WHERE {chosen})"),
        params_from_iter(values),
    )?;
    tx.execute(&format!("DELETE FROM item WHERE {chosen}"), params_from_iter(values))?;
    Ok(())
}

fn fail(tx: &Connection, chosen: &str, values: &[Value], reason: &str) -> rusqlite::Result<()> {
    let text = Value::from(reason.to_owned());
    let signature = Value::from(format!("settled {reason}"));
    let values = [text, signature].iter().chain(values).cloned().collect::<Vec<_>>();
    tx.execute(
        &format!(
            "UPDATE item SET why = 'failed', code = 'settled', message = ?, signature = ? WHERE {chosen}"
        ),
        params_from_iter(values),
    )?;
    Ok(())
}

fn record(
    tx: &Connection,
    who: &str,
    at: UnixMs,
    what: &str,
    (old, new): (String, String),
) -> rusqlite::Result<()> {
    changes::append(tx, &[Change { at, who: who.to_owned(), what: what.to_owned(), old, new }])
}

/// `4 failed, 1 in doubt`.
fn were(per_slice: &[Tally]) -> String {
    let sum = |of: fn(&Tally) -> u64| per_slice.iter().map(of).sum::<u64>();
    let all =
        [(sum(|t| t.failed), "failed"), (sum(|t| t.in_doubt), "in doubt"), (sum(|t| t.rejected), "rejected")];
    let some = all.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
    some.collect::<Vec<_>>().join(", ")
}

/// The first keys of chosen items.
fn keys(tx: &Connection, chosen: &str, values: &[Value], n: u64) -> rusqlite::Result<String> {
    let mut query =
        tx.prepare(&format!("SELECT key FROM item WHERE {chosen} ORDER BY slice, seq LIMIT {NOTE_KEYS}"))?;
    let keys: Vec<String> = query
        .query_map(params_from_iter(values), |r| Ok(String::from_utf8_lossy(&bytes(r, 0)?).into_owned()))?
        .collect::<Result<_, _>>()?;
    let more = if n > keys.len() as u64 { " …" } else { "" };
    Ok(format!("{}{more}", keys.join(" ")))
}
