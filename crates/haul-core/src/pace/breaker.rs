//! The breaker of a lane: when a service refuses everything, the lane waits as a whole.
//!
//! It opens after a streak of refusals without a single answer, long enough that it is no accident,
//! then lets one probe through: after a second, and at doubling gaps up to 30 s. The first answer
//! closes it. Bare 500s are no refusal: they say something about one item as often as about the
//! service, and count neither for nor against.

use std::time::Duration;

use crate::clock::Moment;
use crate::lane::Sign;

/// Refusals in a row before the breaker may open.
const STREAK: u32 = 5;
/// Refusals in a row that open it at once, however quickly they came.
const LONG_STREAK: u32 = 50;
/// How long a shorter streak must have lasted.
const SPAN: Duration = Duration::from_secs(1);
/// Gap before the first probe.
const FIRST_GAP: Duration = Duration::from_secs(1);
/// Longest gap between probes.
pub const LONGEST_GAP: Duration = Duration::from_secs(30);
/// How long a service may be unreachable at the start before the run gives up starting.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// May a request be sent now?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admit {
    /// Yes.
    Go,
    /// Ask again then, or when the breaker closes.
    Wait(Moment),
}

/// What a sign changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Nothing.
    Same,
    /// The lane waits from now on.
    Opened,
    /// The lane goes on.
    Closed,
    /// The service refused from the very first request on: there is no point in starting.
    Hopeless,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Moment,
    probe_at: Moment,
    gap: Duration,
    probing: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    streak: u32,
    streak_since: Moment,
    open: Option<Open>,
    answered: bool,
    last: Option<Sign>,
    last_at: Moment,
}

impl Breaker {
    /// May a request be sent at `now`? `Go` on an open breaker is its probe.
    pub fn admit(&mut self, now: Moment) -> Admit {
        match &mut self.open {
            None => Admit::Go,
            Some(open) if !open.probing && now >= open.probe_at => {
                open.probing = true;
                Admit::Go
            }
            Some(open) => Admit::Wait(open.probe_at.max(now + Duration::from_millis(100))),
        }
    }

    /// A request was cancelled: if it was the probe, another may be sent.
    pub fn cancelled(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = false;
        }
    }

    /// A request ended.
    pub fn on(&mut self, sign: Sign, now: Moment) -> Turn {
        self.ended(sign, 1, now)
    }

    /// A request was answered with 403: as [`Sign::Denied`], but at the start a few of these may be
    /// about items.
    pub fn on_forbidden(&mut self, now: Moment) -> Turn {
        self.ended(Sign::Denied, STREAK, now)
    }

    /// `denials`: as many in a row before the first answer are hopeless.
    fn ended(&mut self, sign: Sign, denials: u32, now: Moment) -> Turn {
        match sign {
            Sign::Answered => {
                self.answered = true;
                self.streak = 0;
                return if self.open.take().is_some() { Turn::Closed } else { Turn::Same };
            }
            Sign::Erred => {
                self.cancelled();
                return Turn::Same;
            }
            Sign::Throttled | Sign::Unreachable | Sign::Lost | Sign::Denied => {}
        }
        if self.streak == 0 {
            self.streak_since = now;
        }
        self.streak += 1;
        (self.last, self.last_at) = (Some(sign), now);
        let lasted = now.since(self.streak_since);
        let hopeless = !self.answered && {
            let denied = sign == Sign::Denied && self.streak >= denials;
            denied || sign == Sign::Unreachable && self.streak >= STREAK && lasted >= START_PATIENCE
        };
        // It goes on as it does later: another service may stand in for one that cannot be started with.
        let turn = self.count_refusal(lasted, now);
        if hopeless { Turn::Hopeless } else { turn }
    }

    fn count_refusal(&mut self, lasted: Duration, now: Moment) -> Turn {
        if let Some(open) = &mut self.open {
            if open.probing {
                open.probing = false;
                open.gap = (open.gap * 2).min(LONGEST_GAP);
                open.probe_at = now + open.gap;
            }
            return Turn::Same;
        }
        if self.streak >= LONG_STREAK || (self.streak >= STREAK && lasted >= SPAN) {
            let probe_at = now + FIRST_GAP;
            self.open = Some(Open { since: now, probe_at, gap: FIRST_GAP, probing: false });
            return Turn::Opened;
        }
        Turn::Same
    }

    /// Since when the lane waits, and what it last said.
    pub fn open_since(&self) -> Option<(Moment, Sign)> {
        self.open.map(|o| (o.since, self.last.unwrap_or(Sign::Lost)))
    }

    /// When the next probe may be sent, while the lane waits; while one is under way nobody knows.
    pub fn next_probe(&self) -> Option<Moment> {
        self.open.map(|o| if o.probing { Moment(u64::MAX) } else { o.probe_at })
    }

    /// When it last refused; `None` after an answer.
    pub fn last_refusal(&self) -> Option<Moment> {
        (self.streak > 0).then_some(self.last_at)
    }

    /// Refusals since the last answer.
    pub fn streak(&self) -> u32 {
        self.streak
    }

    /// The last refusal.
    pub fn last_sign(&self) -> Option<Sign> {
        self.last
    }

    /// True once any request was answered.
    pub fn has_answered(&self) -> bool {
        self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(ms * 1_000_000)
    }

    fn opened() -> Breaker {
        let mut b = Breaker::default();
        b.on(Sign::Answered, at(0));
        for i in 0..4 {
            assert_eq!(b.on(Sign::Lost, at(i * 300)), Turn::Same);
        }
        assert_eq!(b.on(Sign::Lost, at(1200)), Turn::Opened);
        b
    }

    #[test]
    fn a_streak_opens_it_and_one_probe_at_a_time_goes_through() {
        let mut b = opened();
        assert!(matches!(b.admit(at(1300)), Admit::Wait(_)));
        assert_eq!(b.admit(at(2200)), Admit::Go);
        assert!(matches!(b.admit(at(2201)), Admit::Wait(_)));
        assert_eq!(b.on(Sign::Lost, at(2300)), Turn::Same);
        assert!(matches!(b.admit(at(4200)), Admit::Wait(_)));
        assert_eq!(b.admit(at(4300)), Admit::Go);
        assert_eq!(b.on(Sign::Answered, at(4400)), Turn::Closed);
        assert_eq!(b.admit(at(4401)), Admit::Go);
    }

    #[test]
    fn probes_come_every_30_seconds_in_a_long_outage() {
        let mut b = opened();
        let (mut now, mut probes) = (2000u64, 0);
        while now < 3 * 3_600_000 {
            match b.admit(at(now)) {
                Admit::Go => {
                    probes += 1;
                    b.on(Sign::Lost, at(now + 1));
                }
                Admit::Wait(until) => now = until.0.div_ceil(1_000_000),
            }
        }
        assert!((355..=370).contains(&probes), "{probes}");
    }

    #[test]
    fn a_few_errors_among_answers_never_open_it() {
        let mut b = Breaker::default();
        b.on(Sign::Answered, at(0));
        for i in 0..10_000u64 {
            let sign = if i % 5 == 4 { Sign::Answered } else { Sign::Lost };
            assert_eq!(b.on(sign, at(1000 + i * 500)), Turn::Same);
        }
    }

    #[test]
    fn bare_500s_do_not_open_it() {
        let mut b = Breaker::default();
        b.on(Sign::Answered, at(0));
        for i in 0..1000 {
            assert_eq!(b.on(Sign::Erred, at(i * 100)), Turn::Same);
        }
        assert_eq!(b.admit(at(100_001)), Admit::Go);
    }

    #[test]
    fn refused_from_the_start_is_hopeless() {
        let mut b = Breaker::default();
        assert_eq!(b.on(Sign::Denied, at(0)), Turn::Hopeless);
        let mut b = Breaker::default();
        for i in 0..4 {
            assert_eq!(b.on_forbidden(at(i)), Turn::Same);
        }
        assert_eq!(b.clone().on(Sign::Answered, at(5)), Turn::Same);
        assert_eq!(b.on_forbidden(at(5)), Turn::Hopeless);
        let mut b = Breaker::default();
        for i in 0..20 {
            assert_eq!(b.on(Sign::Unreachable, at(i * 10)), Turn::Same);
        }
        assert_eq!(b.on(Sign::Unreachable, at(1_100)), Turn::Opened);
        assert_eq!(b.on(Sign::Unreachable, at(5_100)), Turn::Hopeless);
    }

    #[test]
    fn a_cancelled_probe_does_not_block_the_next() {
        let mut b = opened();
        assert_eq!(b.admit(at(5000)), Admit::Go);
        b.cancelled();
        assert_eq!(b.admit(at(5001)), Admit::Go);
    }
}
