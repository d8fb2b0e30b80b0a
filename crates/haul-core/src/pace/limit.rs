//! How many requests may be in flight on a lane when nobody said: found from how long they take.
//!
//! Vegas-style (Brakmo and Peterson, "TCP Vegas", 1994). By Little's law, of `n` requests in flight
//! `n × (1 − base / rtt)` wait in a queue when a reply takes `rtt`, and `base` without load. The limit
//! is moved until about `0.75 × √n` of them wait: enough that the service is never idle, few enough
//! that several runs on one service share it fairly (an aim in proportion to `n` would let the first
//! one keep everything).
//!
//! What makes it hold against real services:
//!
//! - **The time without load is measured, not remembered.** About every 10 s the limit is halved for a
//!   couple of round trips and replies are timed then. A minimum would read jitter as load, and would
//!   never learn that the service changed. A base is trusted down to half of the limit it was taken
//!   at; to go lower, it is taken again.
//! - **Times are averaged as logarithms**, over as many requests as their spread demands, and over all
//!   that were sent in a round rather than those that came back first: a few slow ones among many
//!   (mixed sizes, spikes) neither hide a queue nor look like one.
//! - **A queue of a millisecond harms nobody.** Below that, time is the client's own scheduling.
//! - **A paced lane starts with what its pace allows** and keeps what it uses of that.
//! - **It grows only when at least 80 % is used**, doubling in the beginning and after an outage, and in
//!   ever larger steps while no queue shows.
//! - **Time-outs, broken connections, 429 and 503 cut it, once per round trip, in proportion to their
//!   share** (as RFC 8257 does with marks). A share that is usual for the service says nothing about
//!   load and costs half of itself; one that is not is a wall: the limit goes to what was carried
//!   under it, and does not come back for seconds. Bare 500s count for nothing.
//! - **What waits for its time-out loads nobody**: it is added to the limit, not counted in it.

use std::time::Duration;

use crate::clock::Moment;
use crate::lane::Sign;

mod base;
mod change;
mod queue;
mod round;
mod stuck;

use base::Base;
pub use change::{Change, Reason};
use queue::{QUEUE, Queue};
use round::{Round, Times, Usual, is_refusal, unlog};
use stuck::Stuck;

/// Least and most in flight when nothing is said.
pub const AUTO: (u32, u32) = (1, 1024);
/// The limit before anything is known.
const START: f64 = 4.0;
/// Growth needs this share of the limit in use.
const USED: f64 = 0.8;
/// A paced lane starts with as many as it sends in so long: replies that take up to that do not hold its
/// rate up.
const PACED_START: Duration = Duration::from_millis(500);
/// What it keeps of them after the first round, as a multiple of those in flight then: enough for
/// replies that take longer, and for its rate to stay the bound.
const PACED_KEPT: f64 = 2.2;
/// A share of refusals that is none.
const CALM: f64 = 0.02;
/// Most replies in a round.
const MOST: f64 = 512.0;
/// Replies over which their spread is averaged.
const SPREAD_OVER: f64 = 100.0;
/// Gap between probes, and the least gap as a multiple of what the last one took: half the limit for a
/// 40th of the time costs little more than 1 %.
const PROBE_GAP: Duration = Duration::from_secs(10);
const PROBE_GAP_TIMES: u32 = 40;
/// The same while the base is in doubt: the limit would fall below what it was taken at, or has fallen
/// below this part of the limit then.
const PROBE_SOON: Duration = Duration::from_secs(1);
const PROBE_SOON_TIMES: u32 = 10;
const FAR_BELOW: f64 = 0.75;
/// How long growth stops at a wall: at first, and at most.
const WALL_HOLD: Duration = Duration::from_secs(2);
const WALL_HOLD_MOST: Duration = Duration::from_secs(8);

/// A request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// When it ended.
    pub now: Moment,
    /// When it was sent: the moment that [`Limiter::on_send`] was told.
    pub sent: Moment,
    /// How.
    pub sign: Sign,
    /// From the send to the end.
    pub rtt: Duration,
    /// Requests in flight when it ended, itself included.
    pub in_flight: u32,
}

/// Growth stops here for a while.
#[derive(Clone, Copy, Debug)]
struct Wall {
    at: f64,
    until: Moment,
    hold: Duration,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Limiter {
    min: f64,
    max: f64,
    /// The limit outside probes.
    level: f64,
    /// Doubling.
    starting: bool,
    /// The limit is what a pace was given in advance.
    lent: bool,
    /// Limit in force during a probe.
    probing: Option<u32>,
    /// When the last probe ended, and how long it took.
    probed: Option<(Moment, Duration)>,
    /// The base may have been taken in a queue.
    in_doubt: bool,
    base: Option<Base>,
    round: Round,
    usual: Usual,
    wall: Option<Wall>,
    /// A limit that was used in full without unusual refusals, if the last cut was from above it.
    calm: f64,
    /// Refusals of requests sent before are known.
    cut: Moment,
    /// Nothing was answered since before the last cut.
    dark: bool,
    /// Rounds without a queue, one after the other.
    clear: i32,
    /// Recent time of a reply, its spread as a logarithm, and the longest times.
    rtt: Duration,
    spread: f64,
    slowest: Duration,
    stuck: Stuck,
}

impl Limiter {
    /// A limiter between two bounds.
    pub fn new(min: u32, max: u32) -> Self {
        let min = f64::from(min.max(1));
        let max = f64::from(max).max(min);
        Limiter {
            min,
            max,
            level: START.clamp(min, max),
            starting: true,
            lent: false,
            probing: None,
            probed: None,
            in_doubt: false,
            base: None,
            round: Round::default(),
            usual: Usual::default(),
            wall: None,
            calm: 0.0,
            cut: Moment(0),
            dark: false,
            clear: 0,
            rtt: Duration::ZERO,
            spread: 0.1,
            slowest: Duration::ZERO,
            stuck: Stuck::default(),
        }
    }

    /// Of a lane that sends one request an `interval` and no faster. That is what the service is known
    /// to allow, and more requests than have been sent cannot be in flight: doubling from a few would
    /// keep the rate unused for several round trips and protect nobody. What proves too much is cut
    /// as always.
    #[must_use]
    pub fn paced(mut self, interval: Duration) -> Self {
        let sent = PACED_START.as_secs_f64() / interval.as_secs_f64().max(1e-6);
        if sent > self.level {
            self.level = sent.floor().clamp(self.min, self.max);
            self.lent = true;
        }
        self
    }

    /// Other bounds from now on.
    pub fn set_bounds(&mut self, min: u32, max: u32) {
        self.min = f64::from(min.max(1));
        self.max = f64::from(max).max(self.min);
        self.level = self.level.clamp(self.min, self.max);
        self.probing = self.probing.map(|n| n.clamp(self.min as u32, self.max as u32));
    }

    /// Requests that may be in flight now.
    pub fn limit(&self) -> u32 {
        self.probing.unwrap_or(self.level.round() as u32)
    }

    /// A request is sent.
    pub fn on_send(&mut self, now: Moment) {
        // As many as are in flight and more when times differ: then a queue of a quarter of the aim is
        // more than chance. A probe costs, and is averaged with those before it.
        let live = self.live(f64::from(self.limit())).max(6.0);
        let error = 0.25 * QUEUE / self.live(self.level).sqrt();
        let wanted = (self.spread / if self.probing.is_some() { 2.0 * error } else { error }).powi(2);
        let most = if self.probing.is_some() { 4.0 * live } else { MOST.max(live) };
        self.round.send(now, wanted.min(most).max(live.min(2.0 * self.level)));
    }

    /// A request was given up without telling anything about the service.
    pub fn on_cancel(&mut self, sent: Moment) {
        self.round.cancel(sent);
    }

    /// A request ended. Returns the new limit when it is another.
    pub fn on_end(&mut self, e: &Ended) -> Option<Change> {
        let before = self.limit();
        self.round.end(e, self.cut);
        self.stuck.add(e);
        if e.sign == Sign::Answered {
            self.dark = false;
            self.rtt = if self.rtt.is_zero() { e.rtt } else { (self.rtt * 7 + e.rtt) / 8 };
        }
        let reason = if self.at_wall(e) {
            Some(self.cut_back(e.now))
        } else if self.probing.is_some() {
            self.end_probe(e.now)
        } else if self.round.is_over(e.now, self.slowest) {
            self.adjust(e.now)
        } else {
            None
        };
        let limit = self.limit();
        reason.filter(|_| limit != before).map(|reason| Change { limit, reason })
    }

    /// More is refused than is usual, for longer than one round trip.
    fn at_wall(&self, e: &Ended) -> bool {
        is_refusal(e.sign) && self.round.age(e.now) >= 2 * self.rtt && self.usual.is_exceeded(&self.round)
    }

    /// To what was carried in spite of the refusals, and no further than half.
    fn cut_back(&mut self, now: Moment) -> Reason {
        let reason = self.round.refusals();
        let level = f64::from(self.limit()).min(self.level);
        let kept = (level * self.round.keep()).max(self.round.carried(now));
        self.probing = None;
        if level < self.calm + 0.5 {
            self.calm = 0.0;
        }
        self.level = kept.max(self.calm).clamp(level * 0.5, level * 0.97).max(self.min);
        if std::mem::take(&mut self.lent) {
            // Nothing said yet that the service carries half of it.
            self.level = self.round.carried(now).clamp(START.min(level), level).max(self.min);
        }
        let dark = self.round.carried(now) == 0.0;
        if !(dark && self.dark) {
            let again = self.wall.filter(|w| now.since(w.until) < 2 * w.hold);
            let hold = again.map_or(WALL_HOLD, |w| (w.hold * 2).min(WALL_HOLD_MOST));
            self.wall = Some(Wall { at: self.level, until: now + hold, hold });
        }
        // When nothing was carried at all, that is an outage or far too much: back to the wall at once
        // when it is over.
        self.in_doubt |= self.starting && !dark;
        (self.starting, self.dark) = (dark, dark);
        self.clear = 0;
        self.cut = now;
        self.round = Round::starting_at(now);
        reason
    }

    /// Looks at a whole round.
    fn adjust(&mut self, now: Moment) -> Option<Reason> {
        if self.round.answered() == 0 {
            self.round.reopen(now);
            return None;
        }
        let round = std::mem::replace(&mut self.round, Round::starting_at(now));
        let (times, in_flight) = (self.learn(&round, now), round.in_flight());
        let queue = Queue::told_by(&times, in_flight, self.stuck, &mut self.base);
        self.in_doubt |= queue.is_base_of_load;
        self.usual.learn(&round);
        if std::mem::take(&mut self.lent) {
            self.level = self.level.min((PACED_KEPT * in_flight).ceil().max(START));
            return Some(Reason::Used { rtt: queue.rtt, base: queue.base });
        }
        let used = in_flight >= USED * f64::from(self.limit());
        if in_flight < 0.5 * f64::from(self.limit()) {
            // Less than half is used: as good as a probe.
            if let Some(base) = &mut self.base {
                base.renew(&times, 2.0 * in_flight);
            }
            self.clear = 0;
            return None;
        }
        if !self.starting && self.probe_is_due(now) && queue.waiting > queue.aim / 4.0 && self.can_probe() {
            return Some(self.probe(now));
        }
        if used && round.share() < CALM {
            self.calm = self.calm.max(f64::from(self.limit()));
        }
        let reason = match queue.waiting <= queue.aim {
            true => used.then(|| self.grow(&queue, &round, now)),
            false => self.shrink(&queue, &round),
        };
        self.level = self.level.clamp(self.min, self.max);
        reason
    }

    fn grow(&mut self, queue: &Queue, round: &Round, now: Moment) -> Reason {
        let (before, keep) = (self.level, round.keep());
        let room = queue.aim - queue.waiting;
        let held = self.wall.filter(|w| now < w.until);
        let most = held.map_or(self.max, |w| w.at.min(self.max));
        if self.starting {
            self.level = (self.level * 2.0 * keep).min(most.max(self.level));
            self.starting = self.level < most;
        } else if room > queue.aim / 4.0 {
            self.clear = if queue.waiting < queue.aim / 2.0 && held.is_none() { self.clear + 1 } else { 0 };
            let faster = 1.5f64.powi((self.clear - 1).clamp(0, 40));
            let step = (room * queue.gain() * faster).min((self.level / 2.0).max(1.0));
            self.level = ((self.level + step) * keep).min(most.max(self.level));
        }
        match self.level < before {
            true => round.refusals(),
            false => Reason::Used { rtt: queue.rtt, base: queue.base },
        }
    }

    fn shrink(&mut self, queue: &Queue, round: &Round) -> Option<Reason> {
        self.clear = 0;
        let over = queue.waiting - queue.aim;
        let reason = Reason::Queue { waiting: queue.waiting, rtt: queue.rtt, base: queue.base };
        if self.starting {
            self.starting = false;
            self.level = (self.level - over).max(self.level / 2.0);
            self.in_doubt = true;
            return Some(reason);
        }
        if over < queue.aim / 4.0 {
            return None;
        }
        let taken_at = self.base.map_or(0.0, |b| b.level);
        let floor = self.halved(taken_at);
        let wanted = (self.level - over * queue.gain()).max(self.level * 0.6) * round.keep();
        self.level = wanted.max(floor.min(self.level));
        // A base taken at a limit far above may have been taken in a queue.
        if (wanted < floor && queue.is_certain()) || self.level < FAR_BELOW * taken_at {
            self.in_doubt = true;
        }
        Some(reason)
    }

    /// Of so many in flight, those that are not waiting for their time-out.
    fn live(&self, level: f64) -> f64 {
        self.stuck.out_of(level)
    }

    /// Half of what is not stuck, and what is.
    fn halved(&self, level: f64) -> f64 {
        level - self.live(level) / 2.0
    }

    fn half(&self) -> f64 {
        self.halved(self.level.round()).floor().max(self.min)
    }

    fn probe_is_due(&self, now: Moment) -> bool {
        let Some((probed, took)) = self.probed else { return true };
        // What it took in bad times is no measure for good ones.
        let took = took.min(4 * self.slowest);
        now.since(probed)
            >= match self.in_doubt {
                true => PROBE_SOON.max(PROBE_SOON_TIMES * took),
                false => PROBE_GAP.max(PROBE_GAP_TIMES * took),
            }
    }

    fn can_probe(&self) -> bool {
        self.half() < self.level.round()
    }

    fn probe(&mut self, now: Moment) -> Reason {
        self.probing = Some(self.half() as u32);
        self.round = Round::starting_at(now);
        Reason::Probe
    }

    /// Ends the probe once it tells, or once it has cost enough.
    fn end_probe(&mut self, now: Moment) -> Option<Reason> {
        let since = self.probed.map_or(PROBE_GAP, |(probed, _)| now.since(probed).min(10 * PROBE_GAP));
        let patience = (6 * self.rtt).max(since / 50);
        if !self.round.is_over(now, self.slowest) && self.round.age(now) < patience {
            return None;
        }
        let round = std::mem::replace(&mut self.round, Round::starting_at(now));
        self.probed = Some((now, round.age(now)));
        self.in_doubt = false;
        if round.answered() >= 4 {
            let times = self.learn(&round, now);
            let fresh = Base::of(&times, self.level);
            self.base.get_or_insert(fresh).renew(&times, self.level);
        }
        self.probing = None;
        Some(Reason::Probed { base: self.base.map_or(Duration::ZERO, |b| unlog(b.ln)) })
    }

    /// The times of a round, and what they say of the next.
    fn learn(&mut self, round: &Round, now: Moment) -> Times {
        let mut times = round.times(now);
        // A few replies that happen to be alike are not exact.
        let weight = (times.replies / SPREAD_OVER).min(0.5);
        self.spread += (times.spread - self.spread) * weight;
        times.spread = self.spread.max(times.spread);
        self.slowest = (self.slowest * 9 / 10).max(times.longest);
        times
    }
}
