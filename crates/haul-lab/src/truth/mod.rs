//! The record of the truth: what was really asked for and accepted.

mod hashes;
mod meter;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use hashes::Hashes;
pub(crate) use hashes::lock;
use meter::Meter;

use crate::limits;
use crate::mix::mix;
use crate::services::Service;
use crate::services::pages::population::PagesTruth;

/// What a service saw. `requests` is the sum of `statuses`, `dropped`, `reply_lost`, `truncated`, `html`,
/// `hung` and what is in flight.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Truth {
    /// Whose it is.
    pub service: Service,
    /// Connections accepted.
    pub connections: u64,
    /// Requests read, the lab's own (`/_…`) not counted.
    pub requests: u64,
    /// Whole replies, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections closed before the effect.
    pub dropped: u64,
    /// Connections closed after the effect, instead of a reply.
    pub reply_lost: u64,
    /// Replies cut off, after the effect.
    pub truncated: u64,
    /// HTML pages sent.
    pub html: u64,
    /// Requests left without an answer.
    pub hung: u64,
    /// Most requests in any window of one second.
    pub busiest_second: u64,
    /// From the first request to the last, ms.
    #[serde(default)]
    pub span_ms: f64,
    /// Pages: requests up to the last one for a page that nobody had asked for before. What comes after
    /// are second attempts.
    #[serde(default)]
    pub new_requests: u64,
    /// From the first request to that one, ms.
    #[serde(default)]
    pub new_span_ms: f64,
    /// Requests in work now.
    pub in_flight: u32,
    /// Most requests in work at once.
    pub max_in_flight: u32,
    /// Lookups and pages: documents served. Index: documents accepted, each `Idempotency-Key` counted once.
    pub accepted: u64,
    /// Lookups and pages: different ids, or starts of pages, served. Index: different (user, video) pairs accepted.
    pub unique: u64,
    /// Lookups and pages: documents served again. Index: pairs accepted again under a different key, or under none.
    pub repeated: u64,
    /// Posts that came again under the key they were accepted with: a retry, and as it should be.
    pub replayed: u64,
    /// Posts under a key that had been used for another pair; not accepted.
    pub conflicts: u64,
    /// Documents accepted whose user or video is not byte for byte what was served.
    pub mismatched: u64,
    /// Documents accepted that name no user or no video.
    pub unidentified: u64,
    /// Posts without an `Idempotency-Key`.
    pub keyless: u64,
    /// Index: documents received, several in a bulk request; every sending counts.
    #[serde(default)]
    pub documents: u64,
    /// Of these, those in requests or places that were refused for what a document holds.
    #[serde(default)]
    pub refused: u64,
    /// The start of the first mismatched document.
    pub first_mismatch: Option<String>,
    /// Pages, when asked for over HTTP: exact counts of everything there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<PagesTruth>,
}

/// A document that was posted.
pub(crate) struct Posted<'a> {
    /// Hash of its user and video, where it has both.
    pub(crate) pair: Option<u64>,
    pub(crate) key: Option<&'a [u8]>,
    /// Not what was served.
    pub(crate) altered: bool,
    pub(crate) body: &'a [u8],
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    requests: AtomicU64,
    dropped: AtomicU64,
    reply_lost: AtomicU64,
    truncated: AtomicU64,
    html: AtomicU64,
    hung: AtomicU64,
    accepted: AtomicU64,
    repeated: AtomicU64,
    replayed: AtomicU64,
    conflicts: AtomicU64,
    mismatched: AtomicU64,
    unidentified: AtomicU64,
    keyless: AtomicU64,
    documents: AtomicU64,
    refused: AtomicU64,
    max_in_flight: AtomicU32,
}

impl Counters {
    /// All but `connections`: those stay open over a reset.
    fn clear(&self) {
        for counter in [
            &self.requests,
            &self.dropped,
            &self.reply_lost,
            &self.truncated,
            &self.html,
            &self.hung,
            &self.accepted,
            &self.repeated,
            &self.replayed,
            &self.conflicts,
            &self.mismatched,
            &self.unidentified,
            &self.keyless,
            &self.documents,
            &self.refused,
        ] {
            counter.store(0, Relaxed);
        }
        self.max_in_flight.store(0, Relaxed);
    }
}

/// How a request ended without a whole reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    Dropped,
    ReplyLost,
    Truncated,
    Html,
    Hung,
}

/// The record as it is being written.
pub(crate) struct Record {
    counters: Counters,
    statuses: Box<[AtomicU64]>,
    in_flight: AtomicU32,
    meter: Mutex<Meter>,
    /// Ids served, or pairs accepted.
    things: Hashes<()>,
    /// Pages asked for.
    targets: Hashes<()>,
    /// Idempotency keys, each with a part of the hash of its pair.
    keys: Hashes<u32>,
    first_mismatch: Mutex<Option<String>>,
}

/// A request in work; ends when dropped.
pub(crate) struct InFlight<'a>(&'a Record);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// What is known of a request when it arrives.
pub(crate) struct Arrival<'a> {
    /// How many came before it.
    pub(crate) ordinal: u64,
    /// Requests in work, this one included.
    pub(crate) in_flight: u32,
    /// Whether the rate limit admits it, and what is left; `None`: refused.
    pub(crate) admitted: Option<u32>,
    pub(crate) _guard: InFlight<'a>,
}

impl Record {
    pub(crate) fn new() -> Self {
        Record {
            counters: Counters::default(),
            statuses: (0..600).map(|_| AtomicU64::new(0)).collect(),
            in_flight: AtomicU32::new(0),
            meter: Mutex::default(),
            things: Hashes::default(),
            targets: Hashes::default(),
            keys: Hashes::default(),
            first_mismatch: Mutex::default(),
        }
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.counters.requests.load(Relaxed)
    }

    pub(crate) fn connected(&self) {
        self.counters.connections.fetch_add(1, Relaxed);
    }

    /// A request was read, `now` in nanoseconds; `rate_limit` 0: none. `target`: hash of what it asks
    /// for, where that matters.
    pub(crate) fn arrive(&self, now: u64, rate_limit: u32, target: Option<u64>) -> Arrival<'_> {
        let ordinal = self.counters.requests.fetch_add(1, Relaxed);
        let in_flight = self.in_flight.fetch_add(1, Relaxed) + 1;
        self.counters.max_in_flight.fetch_max(in_flight, Relaxed);
        let is_new = target.is_some_and(|target| self.targets.learn(mix(target), ()).is_none());
        let mut meter = lock(&self.meter);
        meter.arrive(now, is_new);
        let admitted = if rate_limit == 0 { Some(u32::MAX) } else { meter.admit(now, rate_limit) };
        Arrival { ordinal, in_flight, admitted, _guard: InFlight(self) }
    }

    /// A request stays in work beyond its exchange.
    pub(crate) fn hold(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self)
    }

    /// A whole reply is on its way.
    pub(crate) fn replied(&self, status: u16) {
        if let Some(counter) = self.statuses.get(usize::from(status)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn lost(&self, loss: Loss) {
        let counter = match loss {
            Loss::Dropped => &self.counters.dropped,
            Loss::ReplyLost => &self.counters.reply_lost,
            Loss::Truncated => &self.counters.truncated,
            Loss::Html => &self.counters.html,
            Loss::Hung => &self.counters.hung,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// A lookup took effect.
    pub(crate) fn served(&self, id: u64) {
        self.counters.accepted.fetch_add(1, Relaxed);
        if self.things.learn(mix(id), ()).is_some() {
            self.counters.repeated.fetch_add(1, Relaxed);
        }
    }

    /// Documents came that were refused.
    pub(crate) fn refused(&self, documents: u64) {
        self.counters.documents.fetch_add(documents, Relaxed);
        self.counters.refused.fetch_add(documents, Relaxed);
    }

    /// A post took effect.
    pub(crate) fn posted(&self, posted: Posted<'_>) {
        let c = &self.counters;
        c.documents.fetch_add(1, Relaxed);
        match posted.key {
            None => {
                c.keyless.fetch_add(1, Relaxed);
            }
            Some(key) => {
                let pair = posted.pair.unwrap_or_default() as u32;
                match self.keys.learn(xxh3_64(key), pair) {
                    Some(same) if same == pair => {
                        c.replayed.fetch_add(1, Relaxed);
                        return;
                    }
                    Some(_) => {
                        c.conflicts.fetch_add(1, Relaxed);
                        return;
                    }
                    None => {}
                }
            }
        }
        c.accepted.fetch_add(1, Relaxed);
        match posted.pair {
            None => {
                c.unidentified.fetch_add(1, Relaxed);
            }
            Some(pair) => {
                if self.things.learn(pair, ()).is_some() {
                    c.repeated.fetch_add(1, Relaxed);
                }
            }
        }
        if posted.altered && c.mismatched.fetch_add(1, Relaxed) == 0 {
            let sample =
                String::from_utf8_lossy(posted.body.get(..4 * limits::SAMPLE_CHARS).unwrap_or(posted.body))
                    .chars()
                    .take(limits::SAMPLE_CHARS)
                    .collect();
            *lock(&self.first_mismatch) = Some(sample);
        }
    }

    pub(crate) fn snapshot(&self, service: Service) -> Truth {
        let c = &self.counters;
        let meter = lock(&self.meter);
        let (all, new) = (meter.all(), meter.until_new());
        let busiest_second = meter.busiest();
        drop(meter);
        let statuses = self.statuses.iter().enumerate().map(|(status, n)| (status as u16, n.load(Relaxed)));
        Truth {
            service,
            connections: c.connections.load(Relaxed),
            requests: c.requests.load(Relaxed),
            statuses: statuses.filter(|(_, n)| *n > 0).collect(),
            dropped: c.dropped.load(Relaxed),
            reply_lost: c.reply_lost.load(Relaxed),
            truncated: c.truncated.load(Relaxed),
            html: c.html.load(Relaxed),
            hung: c.hung.load(Relaxed),
            busiest_second,
            span_ms: all.nanos as f64 / 1e6,
            new_requests: new.requests,
            new_span_ms: new.nanos as f64 / 1e6,
            in_flight: self.in_flight.load(Relaxed),
            max_in_flight: c.max_in_flight.load(Relaxed),
            accepted: c.accepted.load(Relaxed),
            unique: self.things.len(),
            repeated: c.repeated.load(Relaxed),
            replayed: c.replayed.load(Relaxed),
            conflicts: c.conflicts.load(Relaxed),
            mismatched: c.mismatched.load(Relaxed),
            unidentified: c.unidentified.load(Relaxed),
            keyless: c.keyless.load(Relaxed),
            documents: c.documents.load(Relaxed),
            refused: c.refused.load(Relaxed),
            first_mismatch: lock(&self.first_mismatch).clone(),
            pages: None,
        }
    }

    /// Starts anew; what is in flight stays in flight.
    pub(crate) fn reset(&self) {
        self.counters.clear();
        for counter in &self.statuses {
            counter.store(0, Relaxed);
        }
        *lock(&self.meter) = Meter::default();
        self.things.clear();
        self.targets.clear();
        self.keys.clear();
        *lock(&self.first_mismatch) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(record: &Record, pair: u64, key: Option<&str>) {
        record.posted(Posted {
            pair: Some(mix(pair)),
            key: key.map(str::as_bytes),
            altered: false,
            body: b"",
        });
    }

    #[test]
    fn retries_repeats_and_conflicts_are_told_apart() {
        let record = Record::new();
        post(&record, 1, Some("a"));
        post(&record, 1, Some("a"));
        post(&record, 1, Some("b"));
        post(&record, 2, Some("a"));
        post(&record, 3, None);
        post(&record, 3, None);
        let t = record.snapshot(Service::Index);
        assert_eq!(
            (t.accepted, t.unique, t.repeated, t.replayed, t.conflicts, t.keyless),
            (4, 2, 2, 1, 1, 2)
        );
        assert_eq!(t.accepted, t.unique + t.repeated + t.unidentified);
    }

    #[test]
    fn a_reset_forgets_everything_but_what_is_in_flight() {
        let record = Record::new();
        let arrival = record.arrive(0, 0, None);
        post(&record, 1, Some("a"));
        record.replied(201);
        record.lost(Loss::Hung);
        record.reset();
        let t = record.snapshot(Service::Index);
        assert_eq!((t.requests, t.accepted, t.unique, t.hung, t.in_flight), (0, 0, 0, 0, 1));
        assert!(t.statuses.is_empty());
        drop(arrival);
        assert_eq!(record.snapshot(Service::Index).in_flight, 0);
        post(&record, 1, Some("a"));
        assert_eq!(record.snapshot(Service::Index).replayed, 0);
    }
}
