//! Items that wait for a worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use haul_core::rank::RANKS;
use tokio::sync::{Notify, Semaphore};

use crate::worker::Work;

/// Of so many starts one goes to the least urgent, so that they do not wait for ever.
const LEAST_SHARE: u64 = 10;

/// First in, first out among equally urgent ones; retries go in front. The window bounds its length.
pub(crate) struct Queue {
    works: Mutex<Works>,
    ready: Semaphore,
    in_work: AtomicU64,
    idle: Notify,
}

#[derive(Default)]
struct Works {
    /// By rank.
    waiting: [VecDeque<Work>; RANKS],
    starts: u64,
}

impl Works {
    fn len(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    fn of(&mut self, work: &Work) -> &mut VecDeque<Work> {
        &mut self.waiting[work.rank.index()]
    }

    /// The most urgent; one in ten is of the least urgent.
    fn pop(&mut self) -> Option<Work> {
        self.starts += 1;
        let mut queues = self.waiting.iter_mut().filter(|queue| !queue.is_empty());
        let next = if self.starts.is_multiple_of(LEAST_SHARE) { queues.next() } else { queues.next_back() };
        next?.pop_front()
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        Queue {
            works: Mutex::default(),
            ready: Semaphore::new(0),
            in_work: AtomicU64::new(0),
            idle: Notify::new(),
        }
    }

    fn works(&self) -> std::sync::MutexGuard<'_, Works> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds items in one go: one lock and one round of wake-ups a page.
    pub(crate) fn extend(&self, works: impl IntoIterator<Item = Work>) {
        let mut queue = self.works();
        let mut added = 0;
        for work in works {
            queue.of(&work).push_back(work);
            added += 1;
        }
        drop(queue);
        self.ready.add_permits(added);
    }

    /// Adds an item before all others that are as urgent.
    pub(crate) fn push_front(&self, work: Work) {
        self.works().of(&work).push_front(work);
        self.ready.add_permits(1);
    }

    /// The next item, in work from now on; `None` when the queue is closed.
    pub(crate) async fn pop(&self) -> Option<Work> {
        loop {
            self.ready.acquire().await.ok()?.forget();
            if let Some(work) = self.works().pop() {
                self.in_work.fetch_add(1, Ordering::Relaxed);
                return Some(work);
            }
        }
    }

    /// An item's work ended.
    pub(crate) fn finished(&self) {
        if self.in_work.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn in_work(&self) -> u64 {
        self.in_work.load(Ordering::Relaxed)
    }

    /// True while an item waits that was never tried.
    pub(crate) fn has_fresh(&self) -> bool {
        self.works().waiting.iter().any(|queue| queue.back().is_some_and(|work| !work.had_row))
    }

    /// Drops what no worker has begun; it will be read again. Returns how much that was.
    pub(crate) fn clear(&self) -> usize {
        let mut works = self.works();
        let n = works.len();
        works.waiting.iter_mut().for_each(VecDeque::clear);
        n
    }

    /// Returns when nothing is in work.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.in_work() == 0 {
                return;
            }
            idle.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use haul_core::rank::Rank;
    use haul_core::{Item, Position, Record, Seq, SliceId};

    use super::*;

    fn work(seq: u64, rank: u8) -> Work {
        let (key, record) = (seq.to_string().into(), Record::new("{}"));
        Work {
            item: Item { slice: SliceId(0), seq: Seq(seq), key, position: Position::default(), record },
            rank: Rank::new(rank),
            read: haul_core::UnixMs(0),
            attempts: 0,
            uncharged: std::time::Duration::ZERO,
            first: None,
            uncharged_since: None,
            had_row: false,
            parked_at: String::new(),
            bytes: 0,
        }
    }

    #[tokio::test]
    async fn the_most_urgent_goes_first_and_the_least_gets_a_tenth() {
        let queue = Queue::new();
        queue.extend((0..100).map(|seq| work(seq, 0)).chain((100..200).map(|seq| work(seq, 3))));
        queue.push_front(work(200, 0));
        let mut order = Vec::new();
        for _ in 0..201 {
            order.push(queue.pop().await.unwrap().item.seq.0);
        }
        let usual = order[..110].iter().filter(|seq| !(100..200).contains(*seq)).count();
        assert_eq!(usual, 11, "{:?}", &order[..110]);
        assert_eq!((order[0], order[9], order[19]), (100, 200, 0));
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..201).collect::<Vec<_>>());
    }
}
