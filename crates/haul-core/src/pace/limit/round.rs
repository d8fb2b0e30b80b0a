//! What one round of requests told: mean times with their error, use, and the share of refusals.

use std::time::Duration;

use super::{Ended, Reason};
use crate::clock::Moment;
use crate::lane::Sign;

/// The requests sent since the limit was last looked at, until they are enough; their times count when
/// (nearly) all of them have ended. Taking what comes back first would count short ones only.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// It began then, and the first of its requests was sent then or later.
    since: Moment,
    from: Moment,
    /// The last of them was sent then.
    closed: Option<Moment>,
    sent: u32,
    over: u32,
    /// Answered. Of those: sums of the logarithm of the time in ns, of its square, and of requests in
    /// flight; and the longest time.
    answered: u32,
    sum: f64,
    squares: f64,
    flight: f64,
    longest: Duration,
    /// Of all that ended meanwhile and were sent since the last cut: how many, how many were refused,
    /// and the seconds that the answered took.
    ended: u32,
    refused: u32,
    good_time: f64,
}

impl Round {
    pub(super) fn starting_at(from: Moment) -> Self {
        Round { since: from, from, ..Round::default() }
    }

    /// A request is sent; the round is closed when it has as many as are wanted.
    pub(super) fn send(&mut self, now: Moment, wanted: f64) {
        if self.closed.is_none() {
            self.sent += 1;
            self.closed = (f64::from(self.sent) >= wanted).then_some(now);
        }
    }

    fn has(&self, sent: Moment) -> bool {
        sent >= self.from && self.closed.is_none_or(|closed| sent <= closed)
    }

    /// A request ended; `cut` is when the limit was last cut.
    pub(super) fn end(&mut self, e: &Ended, cut: Moment) {
        let mine = self.has(e.sent);
        self.over += u32::from(mine);
        if e.sent >= cut {
            self.ended += 1;
            self.refused += u32::from(is_refusal(e.sign));
        }
        if e.sign == Sign::Answered {
            self.good_time += e.rtt.as_secs_f64();
            if mine {
                self.time(e.rtt, 1.0);
                self.longest = self.longest.max(e.rtt);
                self.answered += 1;
                self.flight += f64::from(e.in_flight);
            }
        }
    }

    /// A request was given up without telling anything.
    pub(super) fn cancel(&mut self, sent: Moment) {
        self.over += u32::from(self.has(sent));
    }

    fn time(&mut self, rtt: Duration, times: f64) {
        let ln = log(rtt);
        self.sum += times * ln;
        self.squares += times * ln * ln;
    }

    /// True when all have ended, or what is still out takes longer than the slowest usually do. Those
    /// count as if they ended now.
    pub(super) fn is_over(&self, now: Moment, slowest: Duration) -> bool {
        let Some(closed) = self.closed else { return false };
        let late = slowest.max(self.longest);
        self.over >= self.sent || now.since(closed) > late + late / 4
    }

    /// None of them was answered: takes others instead.
    pub(super) fn reopen(&mut self, now: Moment) {
        let Round { since, ended, refused, good_time, .. } = *self;
        *self = Round { since, from: now, ended, refused, good_time, ..Round::default() };
    }

    /// The times, with those still out as if they ended now.
    pub(super) fn times(&self, now: Moment) -> Times {
        let mut all = self.clone();
        let out = f64::from(self.sent.saturating_sub(self.over)).min(f64::from(self.answered));
        all.time(now.since(self.from), out);
        let n = f64::from(self.answered) + out;
        let mean = all.sum / n.max(1.0);
        // What few replies do not show of their spread is assumed.
        let spread = (all.squares / n.max(1.0) - mean * mean).max(0.0).sqrt() * (1.0 + 1.0 / n.max(1.0));
        Times { mean, spread, replies: n.max(1.0), longest: self.longest }
    }

    pub(super) fn answered(&self) -> u32 {
        self.answered
    }

    /// Mean requests in flight.
    pub(super) fn in_flight(&self) -> f64 {
        self.flight / f64::from(self.answered.max(1))
    }

    /// Share of what ended that was refused.
    pub(super) fn share(&self) -> f64 {
        f64::from(self.refused) / f64::from(self.ended.max(1))
    }

    /// What refusals leave of the limit: half of their share is taken off (RFC 8257).
    pub(super) fn keep(&self) -> f64 {
        1.0 - self.share() / 2.0
    }

    /// The refusals as a reason.
    pub(super) fn refusals(&self) -> Reason {
        Reason::Refused { refused: self.refused, of: self.ended }
    }

    /// Requests in flight that were answered in the end, on average (Little's law).
    pub(super) fn carried(&self, now: Moment) -> f64 {
        self.good_time / self.age(now).as_secs_f64().max(1e-9)
    }

    /// How long it has lasted.
    pub(super) fn age(&self, now: Moment) -> Duration {
        now.since(self.since)
    }
}

/// True for what the service did not take.
pub(super) fn is_refusal(sign: Sign) -> bool {
    matches!(sign, Sign::Throttled | Sign::Lost | Sign::Unreachable)
}

/// What replies took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Mean logarithm of the time in ns.
    pub(super) mean: f64,
    /// Standard deviation of single ones.
    pub(super) spread: f64,
    /// How many there are.
    pub(super) replies: f64,
    pub(super) longest: Duration,
}

impl Times {
    /// Standard error of the mean.
    pub(super) fn error(&self) -> f64 {
        self.spread / self.replies.sqrt()
    }
}

/// Logarithm of a time in ns.
fn log(time: Duration) -> f64 {
    (time.as_nanos().max(1) as f64).ln()
}

/// The inverse of [`log`].
pub(super) fn unlog(ln: f64) -> Duration {
    Duration::from_secs_f64((ln.exp() / 1e9).clamp(1e-9, 1e6))
}

/// The share of refusals that is usual, whatever the limit: some services always refuse a few.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usual(f64);

/// Requests over which the usual share is averaged.
const USUAL_OVER: f64 = 1000.0;
/// A larger share is never usual.
const USUAL_MOST: f64 = 0.2;
/// A smaller share is never a wall.
const WALL_LEAST: f64 = 0.15;

impl Usual {
    pub(super) fn learn(&mut self, round: &Round) {
        let weight = (f64::from(round.ended) / USUAL_OVER).min(0.5);
        self.0 += (round.share().min(USUAL_MOST) - self.0) * weight;
    }

    /// True when a round refused more than chance explains: four standard deviations and two.
    pub(super) fn is_exceeded(self, round: &Round) -> bool {
        let expected = self.0 * f64::from(round.ended);
        round.share() >= WALL_LEAST && f64::from(round.refused) >= expected + 4.0 * expected.sqrt() + 2.0
    }
}
