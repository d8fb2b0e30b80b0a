//! The workers: as many as the lanes have room for, so that a limit is what bounds a lane and nothing
//! else.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use haul_core::pace::Concurrency;
use haul_core::{Fault, limits};
use tokio::task::JoinSet;

use crate::queue::Queue;
use crate::retries::Retries;
use crate::worker::Shop;

/// See the module.
pub(crate) struct Staff {
    desk: Arc<Desk>,
    workers: JoinSet<Left>,
}

/// What workers share among each other.
struct Desk {
    shop: Arc<Shop>,
    queue: Arc<Queue>,
    retries: Arc<Retries>,
    concurrency: Mutex<Concurrency>,
    hired: AtomicUsize,
    wanted: AtomicUsize,
}

/// Why a worker left.
enum Left {
    /// There are more than enough.
    Spare,
    /// Its step panicked.
    Broken,
}

impl Staff {
    pub(crate) fn new(shop: Arc<Shop>, queue: Arc<Queue>, retries: Arc<Retries>) -> Self {
        let concurrency = Mutex::new(shop.policy.concurrency);
        let (hired, wanted) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let desk = Desk { shop, queue, retries, concurrency, hired, wanted };
        let mut staff = Staff { desk: Arc::new(desk), workers: JoinSet::new() };
        staff.hire();
        staff
    }

    /// Brings their number up to what is wanted now; when it is less, they leave as they finish.
    fn hire(&mut self) {
        let desk = &self.desk;
        let wanted = desk.wanted_now();
        desk.wanted.store(wanted, Ordering::Relaxed);
        while desk.hired.load(Ordering::Relaxed) < wanted {
            desk.hired.fetch_add(1, Ordering::Relaxed);
            self.workers.spawn(work(desk.clone()));
        }
    }

    /// Another number of items in work, or none that is fixed.
    pub(crate) fn follow(&mut self, concurrency: Concurrency) {
        *self.desk.concurrency.lock().unwrap_or_else(PoisonError::into_inner) = concurrency;
        self.hire();
    }

    /// Keeps their number right for as long as it is awaited; returns when one of them broke, which
    /// none ever should.
    pub(crate) async fn keep(&mut self) -> Fault {
        loop {
            let lanes = self.desk.shop.lanes.clone();
            tokio::select! {
                () = lanes.moved() => self.hire(),
                Some(left) = self.workers.join_next() => {
                    let reason = match left {
                        Ok(Left::Spare) => continue,
                        Ok(Left::Broken) => String::new(),
                        Err(e) => e.to_string(),
                    };
                    return Fault::fatal("bug", format!("a worker ended: {reason}"));
                }
            }
        }
    }

    /// Ends all of them, whatever they are at.
    pub(crate) async fn dismiss(&mut self) {
        self.workers.shutdown().await;
    }
}

impl Desk {
    /// One for each request that the lanes have room for, however these are spread over the steps of
    /// items, and some for what takes no permit. Those that wait for company in a batch take a worker
    /// each, though not a permit; more than the window holds there never are.
    fn wanted_now(&self) -> usize {
        let Shop { lanes, stages, policy, .. } = &*self.shop;
        let wanted = match *self.concurrency.lock().unwrap_or_else(PoisonError::into_inner) {
            Concurrency::Fixed(n) => (n as usize).max(1),
            _ => {
                let room = lanes.room();
                (room + room / 4).clamp(limits::WORKERS_LEAST, limits::WORKERS)
            }
        };
        let gathers = stages.iter().flatten().map(|slot| slot.step.gathers()).max().unwrap_or(1);
        match gathers {
            0 | 1 => wanted,
            n => wanted.saturating_mul(n as usize).min(policy.window_items.max(1)),
        }
    }

    /// True when there are clearly too many: limits move up and down by a few all the time.
    fn lets_go(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        let enough = wanted + wanted / 4 + limits::WORKERS_LEAST / 4;
        let fewer = |hired: usize| (hired > enough).then(|| hired - 1);
        self.hired.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }
}

/// One worker: takes an item, carries it to its outcome, hands it over.
async fn work(desk: Arc<Desk>) -> Left {
    let Desk { shop, queue, retries, .. } = &*desk;
    let alarm = shop.lanes.alarm();
    while let Some(work) = queue.pop().await {
        if shop.lanes.gate.is_shut() {
            tokio::select! {
                () = shop.lanes.gate.pass() => {}
                () = shop.closing.wait() => {}
            }
        }
        let retried_at = work.had_row.then(|| work.parked_at.clone());
        let carried = AssertUnwindSafe(shop.carry(work)).catch_unwind().await;
        let Ok((note, overcome)) = carried else {
            // The item stays open and is read again; the driver ends the run.
            queue.finished();
            break;
        };
        if let Some(origin) = retried_at.filter(|_| overcome) {
            retries.succeeded(&origin);
        }
        // A run that cannot go on settles nothing more.
        if alarm.borrow().is_none() {
            shop.inbox.push(note);
        }
        queue.finished();
        if desk.lets_go() {
            return Left::Spare;
        }
    }
    Left::Broken
}
