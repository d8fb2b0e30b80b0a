//! When to try an item again: exponential backoff with full jitter; `Retry-After` wins.
//!
//! Source: Marc Brooker, "Exponential Backoff And Jitter" (2015): full jitter spreads retries best.

use std::time::Duration;

use crate::clock::UnixMs;
use crate::fault::{Fault, FaultClass};

/// Waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub base: Duration,
    /// Upper bound of any wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The wait before attempt `attempt + 1`, given that `attempt` (from 1) failed. `unit` is a
    /// random number in `0..1`. Never below a tenth of the bound, so that a wait is a wait.
    pub fn wait(&self, attempt: u32, unit: f64) -> Duration {
        let bound = self.base.saturating_mul(1u32 << attempt.saturating_sub(1).min(20)).min(self.cap);
        bound.mul_f64(0.1 + 0.9 * unit.clamp(0.0, 1.0))
    }
}

/// What is to become of an item after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Park it until then.
    At(UnixMs),
    /// Give it up: attempts or time ran out, or trying again cannot help.
    Fail,
}

/// What an item has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Attempts charged, the failed one included unless it was not the item's doing.
    pub attempts: u32,
    /// When the first attempt began.
    pub first: UnixMs,
    /// Time spent waiting that is not charged.
    pub uncharged: Duration,
}

/// Decides after a fault.
pub fn after_fault(
    fault: &Fault,
    tried: Tried,
    policy: &crate::job::RetrySpec,
    backoff: &Backoff,
    now: UnixMs,
    unit: f64,
) -> Retry {
    match fault.class() {
        FaultClass::Permanent | FaultClass::Fatal => return Retry::Fail,
        FaultClass::Transient | FaultClass::Throttled => {}
    }
    if !fault.is_uncharged() && tried.attempts >= policy.attempts {
        return Retry::Fail;
    }
    let spread = backoff.wait(tried.attempts.max(1), unit);
    // A hint is obeyed, and jitter added to it: a thousand items told "in 2 s" must not return at once.
    let wait = match fault.retry_after() {
        Some(hint) => hint + spread.min(hint.max(Duration::from_secs(1))),
        None => spread,
    };
    let due = now + wait;
    if let Some(within) = policy.within
        && !fault.is_uncharged()
        && fault.retry_after().is_none()
        && due.since(tried.first) > within + tried.uncharged
    {
        return Retry::Fail;
    }
    Retry::At(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::RetrySpec;

    fn tried(attempts: u32) -> Tried {
        Tried { attempts, first: UnixMs(0), uncharged: Duration::ZERO }
    }

    fn decide(fault: &Fault, tried: Tried, now: i64) -> Retry {
        let policy = RetrySpec { attempts: 3, within: Some(Duration::from_secs(10)), ..RetrySpec::default() };
        after_fault(fault, tried, &policy, &Backoff::default(), UnixMs(now), 1.0)
    }

    #[test]
    fn waits_double_and_are_capped() {
        let b = Backoff::default();
        assert_eq!(b.wait(1, 1.0), Duration::from_millis(250));
        assert_eq!(b.wait(3, 1.0), Duration::from_secs(1));
        assert_eq!(b.wait(40, 1.0), Duration::from_secs(60));
        assert!(b.wait(1, 0.0) > Duration::ZERO);
    }

    #[test]
    fn attempts_and_time_run_out() {
        let fault = Fault::transient("connect", "refused");
        assert_eq!(decide(&fault, tried(1), 0), Retry::At(UnixMs(250)));
        assert_eq!(decide(&fault, tried(3), 0), Retry::Fail);
        assert_eq!(decide(&fault, tried(2), 10_000), Retry::Fail);
        assert_eq!(decide(&Fault::permanent("json", "no"), tried(1), 0), Retry::Fail);
    }

    #[test]
    fn a_hint_wins_and_is_not_charged_to_the_time() {
        let fault = Fault::new(FaultClass::Throttled, "status", "429")
            .with_retry_after(Some(Duration::from_secs(3600)));
        let Retry::At(due) = decide(&fault, tried(1), 0) else { panic!("given up") };
        assert!(due >= UnixMs(3_600_000), "{due:?}");
    }

    #[test]
    fn what_is_not_the_items_doing_is_charged_to_neither() {
        let fault = Fault::transient("connect", "refused").uncharged();
        assert!(matches!(decide(&fault, tried(99), 1_000_000), Retry::At(_)));
    }
}
