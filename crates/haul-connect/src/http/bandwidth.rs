//! The bound on all that comes in, shared by every connection of a run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use haul_core::clock::UnixMs;
use haul_core::pace::bandwidth::{Bandwidth, Throttle, at};
use haul_core::{Clock, Moment};

/// See the module.
#[derive(Debug)]
pub(crate) struct Intake {
    bounds: Vec<Bandwidth>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    throttle: Throttle,
    /// A minute since 1970, and how much may come in it.
    minute: Option<(i64, Option<u64>)>,
}

impl Intake {
    pub(crate) fn new(bounds: Vec<Bandwidth>) -> Self {
        Intake { bounds, state: Mutex::default() }
    }

    /// Pays for bytes that came; returns how long that took.
    pub(crate) async fn pay(&self, bytes: u64, clock: &dyn Clock) -> Duration {
        if self.bounds.is_empty() || bytes == 0 {
            return Duration::ZERO;
        }
        let now = clock.now();
        match self.due(bytes, now, clock.wall()) {
            Some(due) if due > now => {
                clock.sleep_until(due).await;
                clock.now().since(now)
            }
            _ => Duration::ZERO,
        }
    }

    fn due(&self, bytes: u64, now: Moment, wall: UnixMs) -> Option<Moment> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = wall.0.div_euclid(60_000);
        let bound = match state.minute {
            Some((known, bound)) if known == minute => bound,
            _ => {
                let bound = at(&self.bounds, minute_of_day(wall));
                state.minute = Some((minute, bound));
                bound
            }
        };
        Some(state.throttle.charge(bytes, bound?, now))
    }
}

/// In local time; in UTC where nobody knows that.
fn minute_of_day(wall: UnixMs) -> u16 {
    let Ok(at) = jiff::Timestamp::from_millisecond(wall.0) else { return 0 };
    let time = at.to_zoned(jiff::tz::TimeZone::system()).time();
    u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or_default()
}
