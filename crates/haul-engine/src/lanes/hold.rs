//! What services ask for: to be left alone for a while, and no more than so many requests in a window.
//! Both only ever lower what the job allows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haul_core::ledger::LaneNote;
use haul_core::pace::hint::Stated;
use haul_core::pace::{Gcra, Rate};
use haul_core::{Fault, FaultClass, LaneId, Moment, UnixMs, limits};

use super::LaneSet;
use super::lane::{Lane, State};
use super::words::spoken;

/// What a lane asked for, as the ledger calls it.
pub(super) const PAUSE: &str = "pause";

/// The lanes that are shut for long, as a whole.
#[derive(Default)]
pub(super) struct Holds {
    /// Those of the job are, until then (ns); nothing is admitted meanwhile.
    shut_until: AtomicU64,
    /// What an earlier process was asked, by name.
    earlier: HashMap<String, UnixMs>,
}

impl Holds {
    /// From what was learned in the last 24 hours.
    pub(super) fn of(notes: &[LaneNote]) -> Self {
        let pauses = notes.iter().filter(|n| n.what == PAUSE && n.value > 0.0);
        let until = |n: &LaneNote| UnixMs(n.at.0.saturating_add((n.value * 1000.0) as i64));
        let earlier = pauses.map(|n| (n.lane.clone(), until(n))).collect();
        Holds { shut_until: AtomicU64::new(0), earlier }
    }
}

impl State {
    /// When it may be asked again: now, or when it said.
    pub(super) fn held(&self, now: Moment) -> Moment {
        let stated = self.quotas.shut_until(now).unwrap_or(now);
        self.held_until.max(stated).max(now)
    }

    /// The rate in force: that of the job, or a lower one that the service states.
    pub(super) fn rate(&self) -> Option<Rate> {
        let both = [self.policy.rate, self.quotas.rate()];
        both.into_iter().flatten().max_by_key(|rate| rate.interval())
    }

    /// Slots at the rate in force.
    pub(super) fn pace(&mut self) {
        match (self.rate(), &mut self.gcra) {
            (Some(rate), Some(gcra)) => gcra.set_rate(rate),
            (Some(rate), none) => *none = Some(Gcra::new(rate)),
            (None, gcra) => *gcra = None,
        }
    }
}

impl Lane {
    /// What it is held for, when it is: how long, and why.
    pub(super) fn hold(&self, now: Moment) -> Option<(Duration, String)> {
        let s = self.state();
        let wait = s.held(now).since(now);
        let by_quota = s.quotas.shut_until(now).is_some_and(|until| until > s.held_until);
        let why = match by_quota {
            true => format!("has used up its quota, and goes on in {}", spoken(wait)),
            false => format!("asked to wait {} more", spoken(wait)),
        };
        (wait > limits::PERMIT_HOLD).then_some((wait, why))
    }
}

impl LaneSet {
    /// A reply states limits.
    pub(super) fn stated(&self, id: LaneId, stated: &[Stated]) {
        let Some(lane) = self.get(id) else { return };
        let now = self.clock.now();
        let (learned, rate) = {
            let mut s = lane.state();
            let (others, before) = (s.others_in_flight(), s.rate());
            let learned = s.quotas.told(stated, others, now);
            let rate = s.rate().filter(|rate| Some(*rate) != before);
            if let Some((_, why)) = learned.rate.as_ref().filter(|_| rate.is_some()) {
                s.rate_why = why.to_string();
                s.pace();
            }
            (learned, rate)
        };
        if let Some((rate, (_, why))) = rate.zip(learned.rate) {
            self.note(&lane, "rate", 1.0 / rate.interval().as_secs_f64(), Some(why.to_string()));
        }
        if let Some((wait, why)) = learned.shut.filter(|(wait, _)| *wait > limits::PERMIT_HOLD) {
            self.note(&lane, PAUSE, wait.as_secs_f64(), Some(why.to_string()));
            self.count_shut();
        }
        if learned.opened {
            self.note(&lane, PAUSE, 0.0, Some("the service states that some are left".into()));
            lane.closed.notify_waiters();
            self.count_shut();
        }
    }

    /// Notes that a lane asked to be left alone.
    pub(super) fn asked_to_wait(&self, lane: &Lane, wait: Duration) {
        if wait > limits::PERMIT_HOLD {
            self.note(lane, PAUSE, wait.as_secs_f64(), Some("Retry-After".into()));
            self.count_shut();
        }
    }

    fn count_shut(&self) {
        let now = self.clock.now();
        let alone = self.all().into_iter().filter(|lane| lane.known && !self.has_stand_in(lane, now));
        let until = alone.map(|lane| lane.state().held(now).0).max().unwrap_or(0);
        self.holds.shut_until.store(until, Ordering::Relaxed);
    }

    /// A lane of the job is shut for so long that nothing more is begun: what waits for it holds memory.
    pub(crate) fn is_shut(&self) -> bool {
        match self.holds.shut_until.load(Ordering::Relaxed) {
            0 => false,
            until => Moment(until).since(self.clock.now()) >= limits::QUOTA_WAIT,
        }
    }

    /// What an earlier process was asked by this service still holds.
    pub(super) fn take_up(&self, lane: &Lane) {
        let Some(until) = self.holds.earlier.get(&*lane.name) else { return };
        let wait = until.since(self.clock.wall());
        if !wait.is_zero() {
            lane.state().held_until = self.clock.now() + wait;
        }
    }

    /// The machine was suspended for so long, which a hold does not notice.
    pub(super) fn slept(&self, long: Duration) {
        for lane in self.all() {
            let mut s = lane.state();
            s.held_until = Moment(s.held_until.0.saturating_sub(long.as_nanos() as u64));
            // A window may have passed: the next reply tells.
            s.quotas.forget();
            drop(s);
            lane.closed.notify_waiters();
        }
        self.count_shut();
    }

    /// Why an item that wants a lane which is shut for so long is set aside.
    pub(super) fn shut(&self, lane: &Lane, until: Moment) -> Fault {
        let wait = until.since(self.clock.now());
        let why =
            lane.hold(self.clock.now()).map_or_else(|| "is to be left alone".to_owned(), |(_, why)| why);
        Fault::new(FaultClass::Throttled, "quota", format!("{} {why}", lane.name))
            .with_origin(lane.name.clone())
            .with_retry_after(Some(wait))
            .uncharged()
    }
}
