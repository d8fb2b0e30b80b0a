//! How items come into the window: new ones from the page at hand, parked ones when they are due.

use std::time::Duration;

use haul_core::budget::Account;
use haul_core::ledger::{Exception, FaultNote, Why as RowWhy};
use haul_core::rank::Rank;
use haul_core::source::NewItem;
use haul_core::{Fault, Item, Position, Record, Seq, SliceId, UnixMs};

use super::{Driver, Held};
use crate::inbox::{self, Judgement, Note};
use crate::worker::Work;

/// Retries that were held back so long ago are held back no more.
pub(super) const HELD_GAP: Duration = Duration::from_secs(1);
/// What an item takes in the window beside its bytes.
const ITEM_OVERHEAD: usize = 256;

impl Driver {
    pub(super) fn has_room(&self) -> bool {
        let (s, p, budget) = (&self.state, &self.shop.policy, &self.shop.budget);
        // The window may not take all of the memory: bodies and pages need some of it.
        let window_bytes = p.window_bytes.min(usize::try_from(budget.limit() / 2).unwrap_or(usize::MAX));
        !self.shop.lanes.is_shut()
            && s.window < p.window_items as u64
            && s.window_bytes < window_bytes
            && (s.window == 0 || !budget.is_over())
    }

    pub(super) fn admit_new(&mut self) {
        if self.state.pending.is_empty() {
            return;
        }
        let mut works = Vec::with_capacity(self.state.pending.len());
        while self.has_room() {
            let Some((slice, seq, new)) = self.state.pending.pop_front() else { break };
            self.state.anything_new = true;
            if let Some(work) = self.admit_one(slice, seq, new) {
                works.push(work);
            }
        }
        self.retries.first_attempts(works.len());
        self.queue.extend(works);
    }

    /// Counts an item into the window; rejected and skipped ones go straight to the committer.
    fn admit_one(&mut self, slice: SliceId, seq: Seq, new: NewItem) -> Option<Work> {
        let NewItem { key, position, record } = new;
        self.state.window += 1;
        let record = match record {
            Ok(record) => record,
            Err(rejection) => {
                let name = &self.source_name;
                let fault = Fault::permanent("input", rejection.reason);
                let row =
                    rejected(slice, seq, key, position, rejection.raw, &fault, name, self.shop.clock.wall());
                self.settle(slice, seq, Judgement::Exception(Box::new(row)));
                return None;
            }
        };
        if let Some(n) = self.skip.get_mut(&slice).and_then(|s| s.get_mut(&key.hash())).filter(|n| **n > 0) {
            *n -= 1;
            self.settle(slice, seq, Judgement::Skipped);
            return None;
        }
        let item = Item { slice, seq, key, position, record };
        Some(self.count_in(item, None))
    }

    fn settle(&self, slice: SliceId, seq: Seq, judgement: Judgement) {
        self.shop.inbox.push(Note::Settled(inbox::Settled {
            slice,
            seq,
            judgement,
            had_row: false,
            bytes: 0,
        }));
    }

    fn count_in(&mut self, item: Item, row: Option<&Exception>) -> Work {
        let bytes = item.record.len() + item.key.0.len() + ITEM_OVERHEAD;
        self.state.window_bytes += bytes;
        self.shop.budget.add(Account::Window, bytes);
        // A lane that waited, or asked to be left alone, is not the item's doing; nor is a pause.
        let uncharged_since = row
            .filter(|r| r.due.since(r.last) > self.shop.policy.backoff.cap || r.attempts == 0)
            .map(|r| r.last);
        let paused = row
            .filter(|_| uncharged_since.is_none())
            .map_or(Duration::ZERO, |r| self.shop.lanes.gate.shut_between(r.last, self.shop.clock.wall()));
        let rank = self.shop.ranks.as_ref().map_or_else(Rank::default, |r| r.rank(&item.record));
        Work {
            item,
            rank,
            read: row.map_or_else(|| self.shop.clock.wall(), |r| r.first),
            attempts: row.map_or(0, |r| r.attempts),
            uncharged: Duration::from_millis(row.map_or(0, |r| r.uncharged_ms)) + paused,
            first: row.map(|r| r.first),
            uncharged_since,
            had_row: row.is_some(),
            parked_at: row.map_or_else(String::new, |r| r.fault.origin.clone()),
            bytes,
        }
    }

    /// Parked items come first, as far as the retry budget of their lane allows.
    pub(super) fn admit_due(&mut self) {
        self.state.retry_at = None;
        while self.has_room() {
            let Some(row) = self.state.due.front() else { return };
            let now = self.shop.clock.now();
            // One that begins anew (`haul retry`, or nothing was charged) is no retry.
            if row.attempts == 0 {
                self.retries.first_attempts(1);
            } else if let Err(wait) = self.retries.may_retry(&row.fault.origin, now) {
                self.state.retry_at = Some(now + wait);
                match &mut self.state.held {
                    Some(held) if now.since(held.last) <= HELD_GAP => held.last = now,
                    held => *held = Some(Held { origin: row.fault.origin.clone(), since: now, last: now }),
                }
                return;
            }
            let Some(row) = self.state.due.pop_front() else { return };
            self.state.window += 1;
            let mut record = Record::new(row.record.clone());
            for (step, value) in &row.memos {
                record.attach(step.clone(), value.clone());
            }
            let (slice, seq, position) = (row.slice, row.seq, row.position);
            let item = Item { slice, seq, key: row.key.clone(), position, record };
            let work = self.count_in(item, Some(&row));
            self.queue.push_front(work);
        }
    }
}

/// The row of bad input.
#[allow(clippy::too_many_arguments, reason = "the fields of one row, made in one place")]
fn rejected(
    slice: SliceId,
    seq: Seq,
    key: haul_core::Key,
    position: Position,
    raw: bytes::Bytes,
    fault: &Fault,
    source: &str,
    now: UnixMs,
) -> Exception {
    let mut note = FaultNote::from(fault);
    note.step = "source".into();
    note.message = format!("{source}:{}: {}", position.line, note.message);
    Exception {
        slice,
        seq,
        why: RowWhy::Rejected,
        key,
        position,
        record: raw,
        attempts: 0,
        uncharged_ms: 0,
        fault: note,
        first: now,
        last: now,
        due: now,
        memos: Vec::new(),
    }
}
