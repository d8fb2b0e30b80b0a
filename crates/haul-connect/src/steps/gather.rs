//! Where items wait for company: the first to come leads the batch, the others wait for what the
//! leader brings them. Nothing is spawned, and nothing is held when nobody waits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use haul_core::budget::Held;
use haul_core::limits::BATCH_BYTES;
use haul_core::{Applied, Fault};
use tokio::sync::{Notify, oneshot};

/// What became of one item.
pub(crate) type Answer = Result<Applied, Fault>;

/// An item in a batch.
pub(crate) struct Member {
    /// What is sent of it.
    pub(crate) part: Bytes,
    /// Its idempotency key.
    pub(crate) key: String,
    answer: oneshot::Sender<Answer>,
    _held: Held,
}

impl Member {
    /// A member, and where its answer comes.
    pub(crate) fn new(part: Bytes, key: String, held: Held) -> (Member, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        (Member { part, key, answer, _held: held }, answered)
    }

    /// Tells it what became of it.
    pub(crate) fn end(self, answer: Answer) {
        // Its worker may have been dropped by an urgent stop: the item is open then.
        let _ = self.answer.send(answer);
    }
}

/// Batches that are open, by what their items have in common. The window bounds how many wait.
pub(crate) struct Gather {
    max: usize,
    open: Mutex<HashMap<Bytes, Arc<Batch>>>,
}

struct Batch {
    members: Mutex<Members>,
    full: Notify,
}

#[derive(Default)]
struct Members {
    all: Vec<Member>,
    bytes: usize,
}

impl Members {
    fn is_full(&self, max: usize) -> bool {
        self.all.len() >= max || self.bytes >= BATCH_BYTES
    }
}

impl Batch {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits until the batch is to go, and carries it. Dropped before that, it ends the wait of the
/// others: their senders go with it.
pub(crate) struct Leader<'a> {
    gather: &'a Gather,
    group: Bytes,
    batch: Arc<Batch>,
}

impl Gather {
    /// For batches of at most so many items.
    pub(crate) fn new(max: u32) -> Self {
        Gather { max: max.max(1) as usize, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Bytes, Arc<Batch>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a member in; the first of a batch is to lead it.
    pub(crate) fn join(&self, group: Bytes, member: Member) -> Option<Leader<'_>> {
        let mut open = self.open();
        let (batch, first) = match open.entry(group.clone()) {
            Entry::Occupied(entry) => (Arc::clone(entry.get()), false),
            Entry::Vacant(entry) => {
                let batch = Arc::new(Batch { members: Mutex::default(), full: Notify::new() });
                (Arc::clone(entry.insert(batch)), true)
            }
        };
        let mut members = batch.members();
        members.bytes += member.part.len();
        members.all.push(member);
        let full = members.is_full(self.max);
        drop(members);
        if full {
            // The next to come leads another.
            open.remove(&group);
            batch.full.notify_one();
        }
        // Not `then_some`: a leader that is dropped closes its batch.
        first.then(|| Leader { gather: self, group, batch })
    }
}

impl Leader<'_> {
    /// Returns when no more go in.
    pub(crate) async fn full(&self) {
        if !self.batch.members().is_full(self.gather.max) {
            self.batch.full.notified().await;
        }
    }

    /// Closes the batch and takes its members.
    pub(crate) fn seal(self) -> Vec<Member> {
        self.close()
    }

    fn close(&self) -> Vec<Member> {
        let mut open = self.gather.open();
        if open.get(&self.group).is_some_and(|batch| Arc::ptr_eq(batch, &self.batch)) {
            open.remove(&self.group);
        }
        std::mem::take(&mut self.batch.members().all)
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use haul_core::Budget;
    use haul_core::budget::Account;

    use super::*;

    fn member(bytes: usize) -> (Member, oneshot::Receiver<Answer>) {
        let held = Budget::new(1).hold(Account::Bodies, bytes);
        Member::new(Bytes::from(vec![b'x'; bytes]), String::new(), held)
    }

    #[test]
    fn the_first_leads_and_a_full_batch_makes_room_for_the_next() {
        let gather = Gather::new(3);
        let leaders: Vec<bool> =
            (0..7).map(|_| gather.join("a".into(), member(1).0).map(std::mem::forget).is_some()).collect();
        assert_eq!(leaders, [true, false, false, true, false, false, true]);
        assert_eq!(gather.open().len(), 1);
    }

    #[test]
    fn groups_do_not_mix_and_bytes_are_bounded() {
        let gather = Gather::new(100);
        let a = gather.join("a".into(), member(1).0).unwrap();
        assert!(gather.join("b".into(), member(1).0).is_some());
        assert!(gather.join("a".into(), member(BATCH_BYTES).0).is_none());
        let other = gather.join("a".into(), member(1).0).unwrap();
        assert_eq!((a.seal().len(), other.seal().len()), (2, 1));
        assert!(gather.open().is_empty());
    }

    #[tokio::test]
    async fn a_leader_that_is_dropped_ends_the_wait_of_the_others() {
        let gather = Gather::new(3);
        let leader = gather.join("a".into(), member(1).0);
        let (other, answered) = member(1);
        assert!(gather.join("a".into(), other).is_none());
        drop(leader);
        assert!(answered.await.is_err());
        assert!(gather.open().is_empty());
    }
}
