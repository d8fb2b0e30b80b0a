//! Items that wait for a worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore};

use crate::worker::Work;

/// First in, first out; retries go in front. The window bounds its length.
pub(crate) struct Queue {
    works: Mutex<VecDeque<Work>>,
    ready: Semaphore,
    in_work: AtomicU64,
    idle: Notify,
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

    fn works(&self) -> std::sync::MutexGuard<'_, VecDeque<Work>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds items in one go: one lock and one round of wake-ups a page.
    pub(crate) fn extend(&self, works: impl IntoIterator<Item = Work>) {
        let mut queue = self.works();
        let before = queue.len();
        queue.extend(works);
        let added = queue.len() - before;
        drop(queue);
        self.ready.add_permits(added);
    }

    /// Adds an item before all others.
    pub(crate) fn push_front(&self, work: Work) {
        self.works().push_front(work);
        self.ready.add_permits(1);
    }

    /// The next item, in work from now on; `None` when the queue is closed.
    pub(crate) async fn pop(&self) -> Option<Work> {
        loop {
            self.ready.acquire().await.ok()?.forget();
            if let Some(work) = self.works().pop_front() {
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
        self.works().back().is_some_and(|work| !work.had_row)
    }

    /// Drops what no worker has begun; it will be read again. Returns how much that was.
    pub(crate) fn clear(&self) -> usize {
        let mut works = self.works();
        let n = works.len();
        works.clear();
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
