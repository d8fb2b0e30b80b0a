//! What lookups share: of identical ones in flight one is sent, and for a while its result is kept.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use haul_core::budget::{Account, Held};
use haul_core::lane::Saved;
use haul_core::limits::CACHE_SHARE;
use haul_core::{Applied, Cx, Fault, Moment};
use tokio::sync::Notify;

type Answer = Result<Applied, Fault>;

/// Bytes that an entry takes beside its URL and its value.
const ENTRY_BYTES: usize = 192;

/// The lookups of one step, by URL. Those in flight are bounded by the items in work, those kept by
/// a share of `--memory`.
pub(super) struct Shared {
    ttl: Option<Duration>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    flights: HashMap<Arc<str>, Arc<Flight>>,
    kept: HashMap<Arc<str>, Kept>,
    /// Oldest first, which is also the order in which they expire. What was asked for often is not
    /// kept longer: it would only be older.
    order: VecDeque<Arc<str>>,
}

struct Kept {
    applied: Applied,
    at: Moment,
    _held: Held,
}

/// A lookup that was sent, or is about to be.
struct Flight {
    /// `None` when it was dropped without an answer.
    answer: OnceLock<Option<Answer>>,
    landed: Notify,
}

/// What a lookup finds.
enum Found<'a> {
    Kept(Applied),
    Flying(Arc<Flight>),
    Nothing(Pilot<'a>),
}

/// Whoever sends it; dropped without an answer, the next one that waits does.
struct Pilot<'a> {
    shared: &'a Shared,
    url: Arc<str>,
    flight: Arc<Flight>,
}

impl Shared {
    pub(super) fn new(ttl: Option<Duration>) -> Self {
        Shared { ttl, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of a URL: kept, brought by a lookup in flight, or fetched.
    pub(super) async fn answer(
        &self,
        url: &str,
        cx: &Cx<'_>,
        fetch: impl Future<Output = Answer> + Send,
    ) -> Answer {
        loop {
            match self.find(url, cx.clock.now()) {
                Found::Kept(applied) => {
                    cx.lanes.saved(Saved::Cached);
                    return Ok(applied);
                }
                Found::Flying(flight) => {
                    if let Some(answer) = flight.wait().await {
                        cx.lanes.saved(Saved::Coalesced);
                        return answer;
                    }
                }
                Found::Nothing(pilot) => {
                    let answer = fetch.await;
                    pilot.land(&answer, cx);
                    return answer;
                }
            }
        }
    }

    fn find(&self, url: &str, now: Moment) -> Found<'_> {
        let mut inner = self.inner();
        if let Some(ttl) = self.ttl {
            inner.expire(ttl, now);
            if let Some(kept) = inner.kept.get(url) {
                return Found::Kept(kept.applied.clone());
            }
        }
        if let Some(flight) = inner.flights.get(url) {
            return Found::Flying(Arc::clone(flight));
        }
        let url: Arc<str> = url.into();
        let flight = Arc::new(Flight { answer: OnceLock::new(), landed: Notify::new() });
        inner.flights.insert(Arc::clone(&url), Arc::clone(&flight));
        Found::Nothing(Pilot { shared: self, url, flight })
    }
}

impl Inner {
    fn expire(&mut self, ttl: Duration, now: Moment) {
        while let Some(oldest) = self.order.front() {
            if self.kept.get(oldest).is_some_and(|kept| now.since(kept.at) < ttl) {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.order.pop_front() else { return false };
        self.kept.remove(&oldest);
        true
    }

    /// Keeps a result, and drops old ones while all caches together hold more than their share.
    fn keep(&mut self, url: &Arc<str>, applied: &Applied, cx: &Cx<'_>) {
        let bytes = url.len() + applied.attach.as_ref().map_or(0, |value| value.len()) + ENTRY_BYTES;
        let held = cx.budget.hold(Account::Cache, bytes);
        let share = cx.budget.limit() / CACHE_SHARE;
        while cx.budget.held(Account::Cache) > share && self.drop_oldest() {}
        if cx.budget.held(Account::Cache) > share {
            return;
        }
        let kept = Kept { applied: applied.clone(), at: cx.clock.now(), _held: held };
        if self.kept.insert(Arc::clone(url), kept).is_none() {
            self.order.push_back(Arc::clone(url));
        }
    }
}

impl Flight {
    async fn wait(&self) -> Option<Answer> {
        loop {
            let landed = self.landed.notified();
            if let Some(answer) = self.answer.get() {
                return answer.clone();
            }
            landed.await;
        }
    }
}

impl Pilot<'_> {
    fn land(self, answer: &Answer, cx: &Cx<'_>) {
        // Nobody else sets it.
        let _ = self.flight.answer.set(Some(answer.clone()));
        if let (Ok(applied), Some(_)) = (answer, self.shared.ttl) {
            self.shared.inner().keep(&self.url, applied, cx);
        }
    }
}

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        self.shared.inner().flights.remove(&self.url);
        let _ = self.flight.answer.set(None);
        self.flight.landed.notify_waiters();
    }
}
