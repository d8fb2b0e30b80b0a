//! The retry budgets of all lanes, shared by the driver (which spends) and the workers (which give
//! back what succeeded).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haul_core::Moment;
use haul_core::pace::RetryShare;

/// Budgets by host and port. Only lanes that had a fault have one; there are at most as many as
/// lanes.
#[derive(Default)]
pub(crate) struct Retries(Mutex<HashMap<String, RetryShare>>);

impl Retries {
    fn shares(&self) -> MutexGuard<'_, HashMap<String, RetryShare>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many items begin their first attempt.
    pub(crate) fn first_attempts(&self, n: usize) {
        for share in self.shares().values_mut() {
            share.first_attempts(n);
        }
    }

    /// Takes one retry on a lane, or says how long to wait.
    pub(crate) fn may_retry(&self, origin: &str, now: Moment) -> Result<(), Duration> {
        let mut shares = self.shares();
        match shares.get_mut(origin) {
            Some(share) => share.retry(now),
            None => shares.entry(origin.to_owned()).or_default().retry(now),
        }
    }

    /// A retry succeeded.
    pub(crate) fn succeeded(&self, origin: &str) {
        if let Some(share) = self.shares().get_mut(origin) {
            share.retry_succeeded();
        }
    }
}
