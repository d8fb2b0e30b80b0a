//! Requests that wait for nothing but their time-out: they hold a place in flight, and load nobody.

use super::Ended;
use crate::clock::Moment;
use crate::lane::Sign;

/// Seconds over which they are averaged.
const OVER: f64 = 20.0;

/// How many there are, by Little's law: the time they took, per time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stuck {
    mean: f64,
    at: Moment,
}

impl Stuck {
    pub(super) fn add(&mut self, e: &Ended) {
        if self.mean == 0.0 && e.sign != Sign::Lost {
            return;
        }
        self.mean *= (-e.now.since(self.at).as_secs_f64() / OVER).exp();
        self.at = e.now;
        if e.sign == Sign::Lost {
            self.mean += e.rtt.as_secs_f64() / OVER;
        }
    }

    /// Of so many in flight, those that are not stuck: at least a tenth, as this is an estimate.
    pub(super) fn out_of(self, in_flight: f64) -> f64 {
        (in_flight - self.mean).max(in_flight / 10.0)
    }
}
