//! A person pauses a run: nothing more is sent until it is resumed, what is in flight ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haul_core::UnixMs;
use tokio::sync::Notify;

/// Pauses that are remembered, to leave them out of the time that items may take.
const PAUSES: usize = 100;

/// Open, unless the run is paused.
#[derive(Default)]
pub(crate) struct Gate {
    shut: AtomicBool,
    opened: Notify,
    /// From and to; the last one has no end while the gate is shut.
    pauses: Mutex<Vec<(UnixMs, Option<UnixMs>)>>,
}

impl Gate {
    fn pauses(&self) -> MutexGuard<'_, Vec<(UnixMs, Option<UnixMs>)>> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts it; false when it was shut.
    pub(crate) fn shut(&self, now: UnixMs) -> bool {
        if self.shut.swap(true, Ordering::Relaxed) {
            return false;
        }
        let mut pauses = self.pauses();
        if pauses.len() == PAUSES {
            pauses.remove(0);
        }
        pauses.push((now, None));
        true
    }

    /// Opens it; false when it was open.
    pub(crate) fn open(&self, now: UnixMs) -> bool {
        if !self.shut.swap(false, Ordering::Relaxed) {
            return false;
        }
        if let Some((_, end @ None)) = self.pauses().last_mut() {
            *end = Some(now);
        }
        self.opened.notify_waiters();
        true
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }

    /// Since when it is shut.
    pub(crate) fn since(&self) -> Option<UnixMs> {
        if self.is_shut() { self.pauses().last().map(|(from, _)| *from) } else { None }
    }

    /// Returns when it is open.
    pub(crate) async fn pass(&self) {
        while self.is_shut() {
            let opened = self.opened.notified();
            if self.is_shut() {
                opened.await;
            }
        }
    }

    /// How long it was shut between two moments.
    pub(crate) fn shut_between(&self, from: UnixMs, to: UnixMs) -> Duration {
        let pauses = self.pauses();
        pauses.iter().map(|(a, b)| b.unwrap_or(to).min(to).since((*a).max(from))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_of_a_pause_that_lies_between_counts() {
        let gate = Gate::default();
        assert!(gate.shut(UnixMs(100)) && !gate.shut(UnixMs(150)));
        assert_eq!(gate.since(), Some(UnixMs(100)));
        assert_eq!(gate.shut_between(UnixMs(50), UnixMs(180)), Duration::from_millis(80));
        assert!(gate.open(UnixMs(200)) && !gate.open(UnixMs(201)));
        gate.shut(UnixMs(300));
        gate.open(UnixMs(310));
        assert_eq!(gate.shut_between(UnixMs(150), UnixMs(1000)), Duration::from_millis(60));
        assert_eq!(gate.shut_between(UnixMs(400), UnixMs(1000)), Duration::ZERO);
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_it_opens() {
        let gate = std::sync::Arc::new(Gate::default());
        gate.shut(UnixMs(0));
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gate.open(UnixMs(1));
        waiting.await.unwrap();
    }
}
