//! One lane: its permits, its slots, its breaker and the limit of what may be in flight.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::lane::{LanePolicy, Sign};
use haul_core::pace::breaker::Turn;
use haul_core::pace::limit::{Change, Ended, Limiter, Reason};
use haul_core::pace::{Admit, Breaker, Concurrency, Gcra, Quotas};
use haul_core::{Fault, Moment, Origin, Verdict, limits};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::view::LaneView;

/// The service knows who asks, and refuses; it may mean this item, or everything.
pub(super) const FORBIDDEN: u16 = 403;

/// One scheme + host + port + credential.
pub(super) struct Lane {
    pub(super) name: Arc<str>,
    /// The word messages use for its credential; empty for none.
    pub(super) credential: Arc<str>,
    /// Named by the job; the others were named by items.
    pub(super) known: bool,
    permits: Semaphore,
    /// The limit outside probes: for how many it is worth having workers.
    room: AtomicU32,
    /// The breaker closed: whoever waits for it may go on.
    pub(super) closed: Notify,
    /// Requests of the lanes that stand in for it when it was asked last whether it still refuses.
    probed_after: AtomicU64,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) policy: LanePolicy,
    pub(super) gcra: Option<Gcra>,
    /// It asked to be left alone until then.
    pub(super) held_until: Moment,
    /// The limits it states.
    pub(super) quotas: Quotas,
    /// Why the rate is what it is, when that was learned.
    pub(super) rate_why: String,
    pub(super) breaker: Breaker,
    /// Finds the limit, unless it is fixed.
    limiter: Option<Box<Limiter>>,
    /// The limit in force.
    limit: u32,
    /// Permits above the limit, taken in as requests end.
    over: u32,
    /// Sent and not ended.
    in_flight: u32,
    /// With a permit, and waiting for their slot: in nobody's way.
    asleep: u32,
    requests: u64,
    throttled: u64,
    /// What it last failed with.
    pub(super) why: Option<Fault>,
    /// Status of the last refusal of access; `None` when it was not to be trusted.
    pub(super) denied: Option<u16>,
    news: News,
    /// Why the limit is what it is.
    limit_why: Option<Reason>,
}

/// Changes of the limit that nobody was told of yet: the last one of each kind.
#[derive(Default)]
struct News([Option<Change>; 3]);

impl News {
    fn add(&mut self, change: Change) {
        let at = match change.reason {
            Reason::Used { .. } => 0,
            Reason::Queue { .. } => 1,
            Reason::Refused { .. } => 2,
            // They come and go, and are no news.
            Reason::Probe | Reason::Probed { .. } => return,
        };
        self.0[at] = Some(change);
    }
}

impl State {
    /// Tells the breaker how a request ended.
    fn tell_breaker(&mut self, v: &Verdict, known: bool, tail: bool, now: Moment) -> Turn {
        if v.sign == Sign::Denied {
            self.denied = v.status;
        }
        let sign = if v.sign == Sign::Denied && self.is_items_doing(tail) { Sign::Answered } else { v.sign };
        match sign {
            Sign::Answered => self.breaker.on(sign, now),
            _ if !self.has_breaker(known) => Turn::Same,
            Sign::Denied if self.denied == Some(FORBIDDEN) => self.breaker.on_forbidden(now),
            _ => self.breaker.on(sign, now),
        }
    }

    /// Whether a refusal of access speaks of items rather than of the service: it was answered before,
    /// all that is left has been tried before, and it is no matter of credentials (401).
    pub(super) fn is_items_doing(&self, tail: bool) -> bool {
        tail && self.breaker.has_answered() && self.denied == Some(FORBIDDEN)
    }

    /// A host that an item names may not exist at all: it is not waited for until it has answered.
    fn has_breaker(&self, known: bool) -> bool {
        known || self.breaker.has_answered()
    }

    fn is_unreached(&self) -> bool {
        self.breaker.streak() > 0 && self.breaker.last_sign() == Some(Sign::Unreachable)
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests in flight beside one that was just answered.
    pub(super) fn others_in_flight(&self) -> u32 {
        self.in_flight.saturating_sub(1)
    }

    /// Counts a request as sent, or says when it may be: slots are no good when they are late.
    fn send(&mut self, now: Moment) -> Result<(), Moment> {
        if let Some(gcra) = &mut self.gcra {
            gcra.send(now)?;
        }
        self.quotas.on_send(now);
        self.in_flight += 1;
        self.requests += 1;
        if let Some(limiter) = &mut self.limiter {
            limiter.on_send(now);
        }
        Ok(())
    }
}

/// When a request may be sent.
pub(super) enum Slot {
    /// It counts as sent.
    Now,
    /// Then, when [`Lane::send`] still agrees.
    At(Moment),
    /// Ask again then, without a permit.
    Later(Moment),
    /// The same, so much later that items had better wait elsewhere.
    Shut(Moment),
}

/// What the end of a request changed.
pub(super) struct Ending {
    pub(super) turn: Turn,
    /// The lane has another number of permits from now on.
    pub(super) moved: bool,
    /// It asked to be left alone for longer than was known.
    pub(super) paused: bool,
}

impl Lane {
    pub(super) fn new(origin: &Origin, policy: LanePolicy, known: bool) -> Self {
        let (min, max) = policy.concurrency.bounds();
        let limiter = (min < max).then(|| {
            let limiter = Limiter::new(min, max);
            Box::new(match policy.rate {
                Some(rate) => limiter.paced(rate.interval()),
                None => limiter,
            })
        });
        let limit = limiter.as_ref().map_or(max, |l| l.limit());
        Lane {
            name: origin.to_string().into(),
            credential: origin.credential.clone(),
            known,
            permits: Semaphore::new(limit as usize),
            room: AtomicU32::new(limit),
            closed: Notify::new(),
            probed_after: AtomicU64::new(u64::MAX),
            state: Mutex::new(State {
                policy,
                gcra: policy.rate.map(Gcra::new),
                held_until: Moment(0),
                quotas: Quotas::default(),
                rate_why: String::new(),
                breaker: Breaker::default(),
                limiter,
                limit,
                over: 0,
                in_flight: 0,
                asleep: 0,
                requests: 0,
                throttled: 0,
                why: None,
                denied: None,
                news: News::default(),
                limit_why: None,
            }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit, which [`Lane::give_back`] or [`Lane::end`] takes back.
    pub(super) async fn take(&self) {
        // Most of the time there is one: that costs no place in the line.
        let permit = match self.permits.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(_) => self.permits.acquire().await,
        };
        if let Ok(permit) = permit {
            permit.forget();
        }
    }

    /// As [`Lane::take`], if there is one now.
    pub(super) fn try_take(&self) -> bool {
        self.permits.try_acquire().map(SemaphorePermit::forget).is_ok()
    }

    /// Permits that nobody has.
    pub(super) fn free(&self) -> usize {
        self.permits.available_permits()
    }

    /// Takes a permit back with which nothing was sent, though it may have had a slot.
    pub(super) fn give_back(&self, granted: bool) {
        let mut s = self.state();
        if granted {
            s.asleep = s.asleep.saturating_sub(1);
            // It may have been the probe of an open breaker.
            s.breaker.cancelled();
        }
        self.release(&mut s);
    }

    fn release(&self, s: &mut State) {
        match s.over {
            0 => self.permits.add_permits(1),
            _ => s.over -= 1,
        }
    }

    /// Permits that are out, but for what waits for its slot. A permit that was handed on counts from
    /// then on: replies come in bursts, and are all dealt with before the next requests are sent.
    fn in_use(&self, s: &State) -> u32 {
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX);
        (s.limit + s.over).saturating_sub(free).saturating_sub(s.asleep).max(1)
    }

    fn resize(&self, s: &mut State, limit: u32) {
        if limit >= s.limit {
            let more = limit - s.limit;
            let kept = more.min(s.over);
            s.over -= kept;
            self.permits.add_permits((more - kept) as usize);
        } else {
            let less = (s.limit - limit) as usize;
            let gone = self.permits.forget_permits(less);
            s.over += (less - gone) as u32;
        }
        s.limit = limit;
    }

    /// Another concurrency from now on. What is in flight above it ends first.
    pub(super) fn set_concurrency(&self, to: Concurrency) -> Concurrency {
        let mut s = self.state();
        let old = std::mem::replace(&mut s.policy.concurrency, to);
        let (min, max) = to.bounds();
        s.limiter = match s.limiter.take() {
            _ if min == max => None,
            Some(mut limiter) => {
                limiter.set_bounds(min, max);
                Some(limiter)
            }
            None => Some(Box::new(Limiter::new(min, max))),
        };
        let limit = s.limiter.as_ref().map_or(max, |l| l.limit());
        self.resize(&mut s, limit);
        self.room.store(limit, Ordering::Relaxed);
        old
    }

    /// With a permit in hand: when to send.
    pub(super) fn slot(&self, now: Moment) -> Slot {
        let mut s = self.state();
        let from = s.held(now);
        if from.since(now) >= limits::QUOTA_WAIT {
            return Slot::Shut(from);
        }
        if s.has_breaker(self.known)
            && let Admit::Wait(until) = s.breaker.admit(now)
        {
            return Slot::Later(until);
        }
        let next = s.gcra.as_ref().map_or(from, |g| g.peek(from));
        if next > now + limits::PERMIT_HOLD {
            s.breaker.cancelled();
            return Slot::Later(next);
        }
        let at = s.gcra.as_mut().map_or(next, |g| g.reserve(from));
        if at > now {
            s.asleep += 1;
            return Slot::At(at);
        }
        // It need not wait for its slot, unless those before it were sent late.
        match s.send(now) {
            Ok(()) => Slot::Now,
            Err(at) => {
                s.asleep += 1;
                Slot::At(at)
            }
        }
    }

    /// The moment of a slot has come: counts a request as sent, unless too many were sent late before it
    /// or the service asked to be left alone meanwhile.
    pub(super) fn send(&self, now: Moment) -> Slot {
        let mut s = self.state();
        let until = s.held(now);
        if until > now {
            return Slot::Later(until);
        }
        match s.send(now) {
            Ok(()) => {
                s.asleep = s.asleep.saturating_sub(1);
                Slot::Now
            }
            Err(at) => Slot::At(at),
        }
    }

    /// A request that was sent at `sent` ended, or was given up. Takes its permit back.
    pub(super) fn end(&self, sent: Moment, verdict: Option<&Verdict>, tail: bool, now: Moment) -> Ending {
        let mut s = self.state();
        let in_flight = self.in_use(&s);
        s.in_flight = s.in_flight.saturating_sub(1);
        let mut paused = false;
        let (turn, change) = match verdict {
            None => {
                s.breaker.cancelled();
                if let Some(limiter) = &mut s.limiter {
                    limiter.on_cancel(sent);
                }
                (Turn::Same, None)
            }
            Some(v) => {
                s.throttled += u64::from(v.sign == Sign::Throttled);
                if let Some(wait) = v.retry_after {
                    paused = now + wait > s.held_until + limits::PERMIT_HOLD;
                    s.held_until = s.held_until.max(now + wait);
                }
                let turn = s.tell_breaker(v, self.known, tail, now);
                let ended = Ended { now, sent, sign: v.sign, rtt: v.elapsed, in_flight };
                (turn, s.limiter.as_mut().and_then(|l| l.on_end(&ended)))
            }
        };
        let moved = change.is_some_and(|change| {
            self.resize(&mut s, change.limit);
            s.news.add(change);
            if !change.reason.is_probe() {
                s.limit_why = Some(change.reason);
            }
            !matches!(change.reason, Reason::Probe)
                && self.room.swap(change.limit, Ordering::Relaxed) != change.limit
        });
        self.release(&mut s);
        Ending { turn, moved, paused }
    }

    /// It waits as a whole, or could not be reached last; a host that an item names may not exist. What
    /// asks to be left alone for long speaks of a quota.
    pub(super) fn is_away(&self, now: Moment) -> bool {
        let s = self.state();
        if s.held(now).since(now) >= limits::QUOTA_WAIT {
            return true;
        }
        s.breaker.open_since().is_some() || self.known && s.is_unreached()
    }

    /// It could not be reached last.
    pub(super) fn is_unreached(&self) -> bool {
        self.state().is_unreached()
    }

    /// True when others that stand in for it were asked since it was; `others`: how often they were, so far.
    pub(super) fn is_turn(&self, others: u64) -> bool {
        self.probed_after.load(Ordering::Relaxed) != others
    }

    /// It is asked whether it still refuses.
    pub(super) fn probed(&self, others: u64) {
        self.probed_after.store(others, Ordering::Relaxed);
    }

    /// Requests it has room for, probes aside.
    pub(super) fn room(&self) -> u32 {
        self.room.load(Ordering::Relaxed)
    }

    /// Changes of the limit since the last call.
    pub(super) fn take_news(&self) -> impl Iterator<Item = Change> {
        std::mem::take(&mut self.state().news).0.into_iter().flatten()
    }

    pub(super) fn view(&self) -> LaneView {
        let s = self.state();
        LaneView {
            name: self.name.to_string(),
            in_flight: s.in_flight,
            limit: s.limit,
            rate: s.rate().map(|r| 1.0 / r.interval().as_secs_f64()),
            limit_why: s.limit_why.map_or_else(String::new, |why| why.to_string()),
            rate_why: s.rate_why.clone(),
            requests: s.requests,
            throttled: s.throttled,
        }
    }
}
