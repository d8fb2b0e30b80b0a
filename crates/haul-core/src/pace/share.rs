//! The retry budget of a lane: retries are at most a fifth of its requests.
//!
//! A token bucket fed by first attempts: each brings [`limits::RETRY_SHARE`] of a retry, and a retry
//! that succeeds gives its token back, so that only failing retries are held down. When the bucket is
//! empty, retries are delayed, never failed; a trickle keeps them moving when no first attempts are
//! left (the end of a run is nothing but retries).

use std::time::Duration;

use crate::clock::Moment;
use crate::limits;

/// Retries that may be sent now.
#[derive(Clone, Debug)]
pub struct RetryShare {
    tokens: f64,
    fed: Moment,
}

/// Retries that may be saved up.
const BURST: f64 = 100.0;
/// Retries a second that are always allowed.
const TRICKLE: f64 = 20.0;

impl Default for RetryShare {
    fn default() -> Self {
        RetryShare { tokens: BURST, fed: Moment(0) }
    }
}

impl RetryShare {
    /// So many first attempts are being sent.
    pub fn first_attempts(&mut self, n: usize) {
        self.tokens = (self.tokens + limits::RETRY_SHARE * n as f64).min(BURST);
    }

    /// A retry succeeded: its token comes back.
    pub fn retry_succeeded(&mut self) {
        self.tokens = (self.tokens + 1.0).min(BURST);
    }

    /// Asks for one retry: `Ok` takes it, `Err` says how long to wait before asking again.
    pub fn retry(&mut self, now: Moment) -> Result<(), Duration> {
        self.tokens = (self.tokens + now.since(self.fed).as_secs_f64() * TRICKLE).min(BURST);
        self.fed = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // Never a wait of nothing: a rounding error must not make the caller ask again at once.
        Err(Duration::from_secs_f64((1.0 - self.tokens) / TRICKLE).max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_fifth_of_first_attempts_once_the_savings_are_spent() {
        let mut share = RetryShare::default();
        let now = Moment(1);
        while share.retry(now).is_ok() {}
        share.first_attempts(1000);
        let mut sent = 0;
        while share.retry(now).is_ok() {
            sent += 1;
        }
        assert!((99..=100).contains(&sent), "{sent}: savings are bounded");
    }

    #[test]
    fn without_first_attempts_retries_still_trickle() {
        let mut share = RetryShare::default();
        let mut now = Moment(0);
        while share.retry(now).is_ok() {}
        let mut sent = 0;
        for _ in 0..1000 {
            match share.retry(now) {
                Ok(()) => sent += 1,
                Err(wait) => now = now + wait + Duration::from_nanos(1),
            }
        }
        assert!(sent > 400, "{sent}");
        let secs = now.since(Moment(0)).as_secs_f64();
        assert!(f64::from(sent) / secs <= TRICKLE * 1.01);
    }
}
