//! Pages whose items need no work: a job without steps only counts and writes them down.

use haul_core::aggregate::At;
use haul_core::budget::Account;
use haul_core::source::NewItem;
use haul_core::{Item, Seq, SliceId};

use super::Driver;
use crate::inbox::{Note, PageRead, Whole};

/// What a record takes on its way to the committer beside its bytes.
const RECORD_OVERHEAD: usize = 64;

impl Driver {
    /// Settles a page at once when none of its items needs work: no steps, and nothing that is bad or
    /// was settled before. Gives it back otherwise.
    pub(super) fn settle_whole(&mut self, read: PageRead, from: u64, items: &[NewItem]) -> Option<PageRead> {
        let (slice, count) = (read.slice, items.len() as u64);
        let known = self.behind.get(&slice).is_some_and(|b| (from..from + count).any(|q| b.contains(Seq(q))))
            || self.skip.get(&slice).is_some_and(|s| !s.is_empty());
        if !self.shop.stages.is_empty() || known || items.is_empty() {
            return Some(read);
        }
        let mut whole =
            Whole { page: read, from: Seq(from), settled: count, rows: vec![], observed: vec![], bytes: 0 };
        for (item, seq) in items.iter().zip((from..).map(Seq)) {
            let Ok(record) = &item.record else { return Some(whole.page) };
            whole.bytes += record.len() + RECORD_OVERHEAD;
            if let Some(render) = &self.shop.render {
                let (key, position, record) = (item.key.clone(), item.position, record.clone());
                let mut out = Vec::with_capacity(record.len());
                // A row that fails is the worker's to tell.
                if render.render(&Item { slice, seq, key, position, record }, &mut out).is_err() {
                    return Some(whole.page);
                }
                whole.bytes += out.len();
                whole.rows.push(out.into());
            }
            if self.shop.observe {
                let at = if self.global_positions { SliceId(0) } else { slice };
                whole.observed.push((record.base().clone(), At::new(at, item.position)));
            }
        }
        self.state.anything_new = true;
        self.state.window += count;
        self.state.window_bytes += whole.bytes;
        self.shop.budget.add(Account::Window, whole.bytes);
        self.shop.inbox.push(Note::Whole(Box::new(whole)));
        if !self.has_room() {
            self.shop.inbox.hurry();
        }
        None
    }
}
