//! What a reply takes without load, as measured by probes.

use super::round::Times;

/// What earlier probes may count against a new one.
const MEMORY: f64 = 3.0;
/// Bases differ by this much, as a logarithm, without a reason.
const DRIFT: f64 = 0.02;

/// Mean logarithm of the time of a reply in ns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub(super) ln: f64,
    /// Replies it is the mean of.
    replies: f64,
    /// The limit whose half it was taken at: it says nothing about less than that half.
    pub(super) level: f64,
}

impl Base {
    pub(super) fn of(times: &Times, level: f64) -> Self {
        Base { ln: times.mean, replies: times.replies, level }
    }

    /// Another probe: averaged with those before, each by its replies, or in their place when the
    /// service changed.
    pub(super) fn renew(&mut self, times: &Times, level: f64) {
        let new = Base::of(times, level);
        if self.is_apart(times) {
            *self = new;
            return;
        }
        let before = self.replies.min(MEMORY * new.replies);
        self.replies = before + new.replies;
        self.ln += (new.ln - self.ln) * new.replies / self.replies;
        self.level = level;
    }

    /// It differs by more than chance and drift from what replies take now.
    pub(super) fn is_apart(&self, times: &Times) -> bool {
        let error = times.spread * (1.0 / self.replies + 1.0 / times.replies).sqrt();
        (times.mean - self.ln).abs() > 3.0 * error + DRIFT
    }
}
