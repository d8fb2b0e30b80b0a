//! How many requests wait in a queue of the service, and how many should.

use std::time::Duration;

use super::base::Base;
use super::round::{Times, unlog};
use super::stuck::Stuck;

/// How many may wait, as a multiple of the root of those in flight.
pub(super) const QUEUE: f64 = 0.75;
/// A queue this short is not worth avoiding.
const SHORT: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    /// Requests that wait.
    pub(super) waiting: f64,
    /// Requests that should.
    pub(super) aim: f64,
    /// Standard error of `waiting`.
    error: f64,
    /// Time of a reply.
    pub(super) rtt: Duration,
    /// The same without load.
    pub(super) base: Duration,
    /// It had to be taken under load, and may hold a queue.
    pub(super) is_base_of_load: bool,
}

impl Queue {
    /// What the times of so many in flight tell, with the base renewed when it cannot be right.
    pub(super) fn told_by(times: &Times, in_flight: f64, stuck: Stuck, base: &mut Option<Base>) -> Self {
        let fresh = Base::of(times, 2.0 * in_flight);
        let base = base.get_or_insert(fresh);
        // Faster under more load: the base was taken when something else was in the way. And one in
        // flight waits for none of ours.
        let is_base_of_load = times.mean < base.ln && base.is_apart(times);
        if in_flight < 1.5 || is_base_of_load {
            *base = fresh;
        }
        let live = stuck.out_of(in_flight);
        let rtt = unlog(times.mean);
        let short = live * SHORT.as_secs_f64() / rtt.as_secs_f64();
        Queue {
            waiting: live * (1.0 - (base.ln - times.mean).exp()).max(0.0),
            aim: (QUEUE * live.sqrt()).max(short).max(1.0),
            error: live * times.error(),
            rtt,
            base: unlog(base.ln),
            is_base_of_load,
        }
    }

    /// More wait than should, beyond chance.
    pub(super) fn is_certain(&self) -> bool {
        self.waiting - self.aim > 2.0 * self.error
    }

    /// What is uncertain is followed in smaller steps.
    pub(super) fn gain(&self) -> f64 {
        (0.5 * self.aim / self.error.max(1e-9)).min(1.0)
    }
}
