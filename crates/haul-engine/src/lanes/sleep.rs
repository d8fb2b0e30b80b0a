//! Notices that the machine was suspended, or that this process was stopped for a while: what was in
//! flight then is lost, and that is nobody's doing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use haul_core::{Moment, UnixMs};

/// A gap this long is no mere delay.
const GAP: Duration = Duration::from_secs(15);
/// How long connections from before may still come to light, and networks take to be back.
const WAKING: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Default)]
pub(super) struct Sleep(Mutex<Looks>);

#[derive(Default)]
struct Looks {
    last: Option<(Moment, UnixMs)>,
    /// What began before has been through a standstill.
    spoiled_until: Option<UnixMs>,
}

impl Sleep {
    /// To be called every few seconds. The wall clock goes on while the machine is suspended, the other
    /// does not; both go on while the process is stopped.
    /// Returns for how long the machine was suspended since the last time.
    pub(super) fn look(&self, now: Moment, wall: UnixMs) -> Duration {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slept = Duration::ZERO;
        if let Some((then, wall_then)) = looks.last {
            let (passed, on_the_wall) = (now.since(then), wall.since(wall_then));
            if passed >= GAP || on_the_wall >= passed + GAP {
                looks.spoiled_until = Some(wall + WAKING);
            }
            if on_the_wall >= passed + GAP {
                slept = on_the_wall - passed;
            }
        }
        looks.last = Some((now, wall));
        slept
    }

    /// Whether an attempt that began then may have met it.
    pub(super) fn spoiled(&self, began: UnixMs) -> bool {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.spoiled_until.is_some_and(|until| began <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment(secs * 1_000_000_000)
    }

    #[test]
    fn a_standstill_spoils_what_began_before_it_and_just_after() {
        let wall = |secs: i64| UnixMs(secs * 1000);
        // Suspended: only the wall clock went on. Stopped: both did.
        for (now, then) in [(at(102), wall(28_902)), (at(28_902), wall(28_902))] {
            let sleep = Sleep::default();
            sleep.look(at(100), wall(100));
            assert!(!sleep.spoiled(wall(99)));
            sleep.look(now, then);
            assert!(sleep.spoiled(wall(99)) && sleep.spoiled(wall(28_930)));
            assert!(!sleep.spoiled(wall(28_933)));
        }
    }

    #[test]
    fn delays_and_a_clock_that_is_set_back_are_none() {
        let sleep = Sleep::default();
        for (now, wall) in [(100, 100), (102, 102), (112, 112), (113, -4000), (115, -3998)] {
            sleep.look(at(now), UnixMs(wall * 1000));
        }
        assert!(!sleep.spoiled(UnixMs(0)));
    }
}
