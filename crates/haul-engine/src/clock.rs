//! The clocks of a real run, on tokio's time so that tests can pause it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use haul_core::{Clock, Moment, UnixMs};
use tokio::time::Instant;

/// Monotonic time from tokio, wall time from the system.
pub struct TokioClock {
    start: Instant,
    /// Wall time follows tokio's clock from here on, instead of the system's.
    wall_start: Option<UnixMs>,
}

impl TokioClock {
    /// The clock of a real run.
    pub fn new() -> Self {
        TokioClock { start: Instant::now(), wall_start: None }
    }

    /// Wall time that moves with tokio's clock: under a paused runtime hours pass in no time.
    pub fn simulated() -> Self {
        TokioClock { start: Instant::now(), wall_start: Some(system_wall()) }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        TokioClock::new()
    }
}

fn system_wall() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Moment {
        // A second is added so that "before the start" can be expressed.
        Moment(1_000_000_000) + self.start.elapsed()
    }

    fn wall(&self) -> UnixMs {
        match self.wall_start {
            Some(start) => start + self.start.elapsed(),
            None => system_wall(),
        }
    }

    async fn sleep_until(&self, until: Moment) {
        let nanos = until.0.saturating_sub(1_000_000_000);
        tokio::time::sleep_until(self.start + Duration::from_nanos(nanos)).await;
    }
}
