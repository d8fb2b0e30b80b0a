//! What requests cost: counts, bytes and latency of a step, cheap to add to and bounded.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haul_core::Verdict;
use haul_core::lane::Saved;
use hdrhistogram::Histogram;

use crate::view::StepView;

/// Latencies above are counted as this: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// A histogram of microseconds within 1 %.
pub(crate) struct Latency(Option<Histogram<u64>>);

impl Latency {
    pub(crate) fn new() -> Self {
        // The bounds are valid constants; were they not, latency would simply not be shown.
        Latency(Histogram::new_with_bounds(1, LONGEST_US, 2).ok())
    }

    pub(crate) fn record(&mut self, elapsed: Duration) {
        let us = u64::try_from(elapsed.as_micros()).unwrap_or(LONGEST_US).clamp(1, LONGEST_US);
        if let Some(h) = &mut self.0 {
            h.saturating_record(us);
        }
    }

    /// Median, 95th and 99th percentile in microseconds.
    pub(crate) fn quantiles(&self) -> (u64, u64, u64) {
        match &self.0 {
            Some(h) if !h.is_empty() => {
                (h.value_at_quantile(0.5), h.value_at_quantile(0.95), h.value_at_quantile(0.99))
            }
            _ => (0, 0, 0),
        }
    }

    /// One quantile in microseconds.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        self.0.as_ref().filter(|h| !h.is_empty()).map_or(0, |h| h.value_at_quantile(share))
    }

    pub(crate) fn reset(&mut self) {
        if let Some(h) = &mut self.0 {
            h.reset();
        }
    }
}

/// Traffic of one step.
pub(crate) struct Meter {
    name: String,
    inner: Mutex<Inner>,
}

struct Inner {
    requests: u64,
    wire_in: u64,
    decoded_in: u64,
    wire_out: u64,
    coalesced: u64,
    cached: u64,
    latency: Latency,
}

impl Meter {
    pub(crate) fn new(name: &str) -> Self {
        let inner = Inner {
            requests: 0,
            wire_in: 0,
            decoded_in: 0,
            wire_out: 0,
            coalesced: 0,
            cached: 0,
            latency: Latency::new(),
        };
        Meter { name: name.to_owned(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self, verdict: &Verdict) {
        let mut m = self.lock();
        m.requests += 1;
        m.wire_in += verdict.wire_in;
        m.decoded_in += verdict.decoded_in;
        m.wire_out += verdict.wire_out;
        m.latency.record(verdict.elapsed);
    }

    /// A request was not sent.
    pub(crate) fn saved(&self, how: Saved) {
        let mut m = self.lock();
        match how {
            Saved::Coalesced => m.coalesced += 1,
            Saved::Cached => m.cached += 1,
        }
    }

    pub(crate) fn view(&self) -> StepView {
        let m = self.lock();
        StepView {
            name: self.name.clone(),
            requests: m.requests,
            wire_in: m.wire_in,
            decoded_in: m.decoded_in,
            wire_out: m.wire_out,
            coalesced: m.coalesced,
            cached: m.cached,
            latency_us: m.latency.quantiles(),
        }
    }
}
