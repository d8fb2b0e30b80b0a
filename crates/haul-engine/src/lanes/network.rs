//! Notices that this machine's own network is gone: hosts that have nothing to do with each other cannot
//! be reached, and nothing answered since.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use haul_core::LaneId;
use haul_core::lane::Sign;

/// As many hosts do not vanish at once.
const HOSTS: usize = 3;
/// How long an item waits that could not be sent for it.
pub(super) const WAIT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(super) struct Network {
    /// Something was reached in this process.
    worked: AtomicBool,
    /// There are hosts in `missing`.
    broken: AtomicBool,
    /// Lanes that could not be reached since anything was; at most as many as there are lanes.
    missing: Mutex<HashSet<LaneId>>,
}

impl Network {
    /// A request ended.
    pub(super) fn on(&self, lane: LaneId, sign: Sign) {
        if sign == Sign::Unreachable {
            self.broken.store(true, Ordering::Relaxed);
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(lane);
        } else if sign != Sign::Lost {
            self.worked.store(true, Ordering::Relaxed);
            if self.broken.swap(false, Ordering::Relaxed) {
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        }
    }

    /// Nothing can be reached that could be before.
    pub(super) fn is_gone(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
            && self.worked.load(Ordering::Relaxed)
            && self.missing.lock().unwrap_or_else(PoisonError::into_inner).len() >= HOSTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_when_several_hosts_are_and_back_with_the_first_answer() {
        let network = Network::default();
        let lost = |n: u32| (0..n).for_each(|i| network.on(LaneId(i), Sign::Unreachable));
        lost(10);
        assert!(!network.is_gone(), "it never worked: names may be wrong");
        network.on(LaneId(0), Sign::Answered);
        lost(2);
        network.on(LaneId(1), Sign::Unreachable);
        assert!(!network.is_gone());
        lost(3);
        assert!(network.is_gone());
        network.on(LaneId(9), Sign::Lost);
        assert!(network.is_gone(), "a reply that never came is none");
        network.on(LaneId(9), Sign::Erred);
        assert!(!network.is_gone());
    }
}
