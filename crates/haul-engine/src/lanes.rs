//! The lanes of a run: permits, slots, pauses and the breaker of each service.

mod tune;
mod words;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use haul_core::lane::{LaneEnd, LanePolicy, Saved, Sign};
use haul_core::ledger::LaneNote;
use haul_core::pace::breaker::{LONGEST_GAP, Turn};
use haul_core::pace::{Admit, Breaker, Gcra};
use haul_core::{Clock, Fault, LaneId, Lanes, Moment, Origin, Permit, Verdict, limits};
use tokio::sync::{Notify, Semaphore, watch};

pub(crate) use self::tune::Changed;
use self::tune::Policies;
use self::words::{reason, spoken};
use crate::gate::Gate;
use crate::meter::{Latency, Meter};
use crate::view::LaneView;

/// One scheme + host + port + credential.
struct Lane {
    name: Arc<str>,
    /// The word messages use for its credential; empty for none.
    credential: Arc<str>,
    /// Named by the job; the others were named by items.
    known: bool,
    permits: Semaphore,
    /// The breaker closed: whoever waits for it may go on.
    closed: Notify,
    state: Mutex<State>,
}

struct State {
    policy: LanePolicy,
    gcra: Option<Gcra>,
    held_until: Moment,
    breaker: Breaker,
    in_flight: u32,
    /// Permits to be withdrawn when they come back, since the limit was lowered.
    owed: u32,
    requests: u64,
    throttled: u64,
    /// What it last failed with.
    why: Option<Fault>,
    /// Status of the last refusal of access; `None` when it was not to be trusted.
    denied: Option<u16>,
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
    fn is_items_doing(&self, tail: bool) -> bool {
        tail && self.breaker.has_answered() && self.denied == Some(FORBIDDEN)
    }

    /// A host that an item names may not exist at all: it is not waited for until it has answered.
    fn has_breaker(&self, known: bool) -> bool {
        known || self.breaker.has_answered()
    }
}

impl Lane {
    fn new(origin: &Origin, policy: LanePolicy, known: bool) -> Self {
        Lane {
            name: origin.to_string().into(),
            credential: origin.credential.clone(),
            known,
            permits: Semaphore::new(policy.concurrency.max(1) as usize),
            closed: Notify::new(),
            state: Mutex::new(State {
                policy,
                gcra: policy.rate.map(Gcra::new),
                held_until: Moment(0),
                breaker: Breaker::default(),
                in_flight: 0,
                owed: 0,
                requests: 0,
                throttled: 0,
                why: None,
                denied: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With a permit in hand: the moment to send at, or when to ask again without it.
    fn slot(&self, now: Moment) -> Slot {
        let mut s = self.state();
        if s.has_breaker(self.known)
            && let Admit::Wait(until) = s.breaker.admit(now)
        {
            return Slot::Later(until);
        }
        let from = s.held_until.max(now);
        let next = s.gcra.as_ref().map_or(from, |g| g.peek(from));
        if next > now + limits::PERMIT_HOLD {
            s.breaker.cancelled();
            return Slot::Later(next);
        }
        let at = s.gcra.as_mut().map_or(next, |g| g.reserve(from));
        s.in_flight += 1;
        s.requests += 1;
        Slot::At(at)
    }

    /// Since when the lane waits as a whole, and what is said of it.
    fn refusal(&self) -> Option<(Moment, String)> {
        let s = self.state();
        let (since, sign) = s.breaker.open_since()?;
        let why = s.why.as_ref();
        let says = match sign {
            Sign::Unreachable => match why.map(reason) {
                Some(reason) => format!("cannot be reached ({reason})"),
                None => "cannot be reached".to_owned(),
            },
            Sign::Lost => "loses every request".to_owned(),
            Sign::Throttled => "refuses everything (429 or 503)".to_owned(),
            Sign::Denied => match (s.denied, why) {
                (None, Some(why)) => format!("cannot be trusted ({})", reason(why)),
                (Some(FORBIDDEN), _) => {
                    "refuses access to everything (403; if that is meant: --on 403=fail)".to_owned()
                }
                _ if self.credential.is_empty() => "refuses access".to_owned(),
                _ => format!("refuses the credentials ({}), which are read again", self.credential),
            },
            Sign::Answered | Sign::Erred => "does not answer".to_owned(),
        };
        Some((since, says))
    }

    /// Why a run cannot start: the service refused from the very first request on.
    fn hopeless(&self) -> Fault {
        let name = &self.name;
        let s = self.state();
        let denied = s.denied.map_or(String::new(), |status| format!(" with {status}"));
        let fault = match (&s.why, s.breaker.last_sign()) {
            (Some(why), Some(Sign::Denied)) if s.denied.is_none() => Fault::fatal("untrusted", why.message()),
            (_, Some(Sign::Denied)) if self.credential.is_empty() => Fault::fatal(
                "denied",
                format!(
                    "{name} refuses access{denied}, and no credentials were given: add -H 'Authorization: …'"
                ),
            ),
            (_, Some(Sign::Denied)) => Fault::fatal(
                "denied",
                format!(
                    "{name} refuses the credentials ({}){denied}: correct what the secret refers to, then run the same command again",
                    self.credential
                ),
            ),
            (why, _) => {
                let reason = why.as_ref().map_or(String::new(), |why| format!(" ({})", reason(why)));
                Fault::fatal(
                    "connect",
                    format!(
                        "{name} cannot be reached{reason}: nothing answered since the start; is the address right?"
                    ),
                )
            }
        };
        fault.with_origin(name.clone())
    }

    fn view(&self) -> LaneView {
        let s = self.state();
        LaneView {
            name: self.name.to_string(),
            in_flight: s.in_flight,
            limit: s.policy.concurrency,
            rate: s.policy.rate.map(|r| 1.0 / r.interval().as_secs_f64()),
            requests: s.requests,
            throttled: s.throttled,
        }
    }
}

/// The service knows who asks, and refuses; it may mean this item, or everything.
const FORBIDDEN: u16 = 403;

enum Slot {
    At(Moment),
    Later(Moment),
}

/// All lanes of a run.
pub(crate) struct LaneSet {
    clock: Arc<dyn Clock>,
    lanes: RwLock<Vec<Arc<Lane>>>,
    by_origin: Mutex<HashMap<Origin, LaneId>>,
    policies: Mutex<Policies>,
    /// A lane that refused from the very first request on: the run cannot start.
    alarm: watch::Sender<Option<Fault>>,
    /// Only items are left that have been tried before.
    tail: AtomicBool,
    notes: Mutex<Vec<LaneNote>>,
    interval: Mutex<Interval>,
    pub(crate) gate: Gate,
}

/// Requests since the last tick.
pub(crate) struct Interval {
    pub(crate) requests: u64,
    pub(crate) wire_in: u64,
    pub(crate) wire_out: u64,
    pub(crate) latency: Latency,
}

impl LaneSet {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        policies: Vec<(Origin, LanePolicy)>,
        fallback: LanePolicy,
    ) -> Arc<Self> {
        Arc::new(LaneSet {
            clock,
            lanes: RwLock::default(),
            by_origin: Mutex::default(),
            policies: Mutex::new(Policies { known: policies, fallback }),
            alarm: watch::Sender::new(None),
            tail: AtomicBool::new(false),
            notes: Mutex::default(),
            interval: Mutex::new(Interval { requests: 0, wire_in: 0, wire_out: 0, latency: Latency::new() }),
            gate: Gate::default(),
        })
    }

    fn get(&self, id: LaneId) -> Option<Arc<Lane>> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.get(id.0 as usize).cloned()
    }

    fn all(&self) -> Vec<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lane_of(&self, origin: &Origin) -> LaneId {
        let mut by_origin = self.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = by_origin.get(origin) {
            return *id;
        }
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= limits::LANES {
            // Too many hosts to know each: the rest share one lane and its limits.
            return LaneId(limits::LANES as u32 - 1);
        }
        let (policy, known) = self.policy_of(origin);
        let id = LaneId(lanes.len() as u32);
        lanes.push(Arc::new(Lane::new(origin, policy, known)));
        by_origin.insert(origin.clone(), id);
        id
    }

    async fn enter(&self, id: LaneId) -> Moment {
        let Some(lane) = self.get(id) else { return self.clock.now() };
        loop {
            // Most of the time there is one: that costs no place in the line.
            let permit = match lane.permits.try_acquire() {
                Ok(permit) => Ok(permit),
                Err(_) => lane.permits.acquire().await,
            };
            if self.gate.is_shut() {
                drop(permit);
                self.gate.pass().await;
                continue;
            }
            let closed = lane.closed.notified();
            let now = self.clock.now();
            match lane.slot(now) {
                Slot::At(at) => {
                    // From here on the permit is given back by `end`, also when we are cancelled.
                    let guard = Entered { set: self, id, armed: true };
                    if let Ok(permit) = permit {
                        permit.forget();
                    }
                    if at > now {
                        self.clock.sleep_until(at).await;
                    }
                    return guard.granted(at);
                }
                Slot::Later(until) => {
                    drop(permit);
                    let wait = until.since(self.clock.now());
                    let jitter = wait.min(Duration::from_secs(10)).mul_f64(0.1 * fastrand::f64());
                    tokio::select! {
                        () = self.clock.sleep_until(until + jitter) => {}
                        () = closed => {}
                    }
                }
            }
        }
    }

    /// Takes a permit back that was granted for the moment `sent`.
    fn end(&self, id: LaneId, sent: Moment, verdict: Option<&Verdict>) {
        let Some(lane) = self.get(id) else { return };
        // A clock that was read for the verdict need not be read again.
        let now = verdict.map_or_else(|| self.clock.now(), |v| sent + v.elapsed);
        let turn = {
            let mut s = lane.state();
            s.in_flight = s.in_flight.saturating_sub(1);
            // Under the lock, so that a new limit cannot come in between.
            match s.owed.checked_sub(1) {
                Some(left) => s.owed = left,
                None => lane.permits.add_permits(1),
            }
            match verdict {
                None => {
                    s.breaker.cancelled();
                    Turn::Same
                }
                Some(v) => {
                    if v.sign == Sign::Throttled {
                        s.throttled += 1;
                    }
                    if let Some(wait) = v.retry_after {
                        s.held_until = s.held_until.max(now + wait);
                    }
                    s.tell_breaker(v, lane.known, self.tail.load(Ordering::Relaxed), now)
                }
            }
        };
        match turn {
            Turn::Same => {}
            Turn::Opened => self.note(&lane, "breaker", 1.0, self.refusal(&lane)),
            Turn::Closed => {
                lane.closed.notify_waiters();
                self.note(&lane, "breaker", 0.0, Some("it answers again".into()));
            }
            Turn::Hopeless => self.raise(lane.hopeless()),
        }
        if let Some(v) = verdict {
            if let Some(wait) = v.retry_after.filter(|w| *w > limits::PERMIT_HOLD) {
                self.note(&lane, "pause", wait.as_secs_f64(), Some("Retry-After".into()));
            }
            let mut i = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
            i.requests += 1;
            i.wire_in += v.wire_in;
            i.wire_out += v.wire_out;
            i.latency.record(v.elapsed);
        }
    }

    /// Told while only items are left that have been tried before. What is forbidden to each of these
    /// would look like a service that refuses everything, and be waited for without end.
    pub(crate) fn at_tail(&self, tail: bool) {
        if self.tail.swap(tail, Ordering::Relaxed) == tail || !tail {
            return;
        }
        for lane in self.all() {
            let mut s = lane.state();
            let denied = s.breaker.open_since().is_some_and(|(_, sign)| sign == Sign::Denied);
            if denied && s.is_items_doing(true) {
                s.breaker.on(Sign::Answered, self.clock.now());
                drop(s);
                lane.closed.notify_waiters();
            }
        }
    }

    /// True when a refusal of credentials (401) is not to be charged to the item: nobody was answered
    /// since another was refused, or the item is refused for the first time.
    pub(crate) fn is_expired(&self, origin: &str, first: bool) -> bool {
        let at_origin = |l: &&Arc<Lane>| &*l.name == origin && !l.credential.is_empty();
        self.all().iter().filter(at_origin).any(|l| first || l.state().breaker.streak() > 1)
    }

    /// What a request failed with, for the words in which its lane speaks of it.
    pub(crate) fn failed(&self, fault: &Fault) {
        let Some(origin) = fault.origin() else { return };
        for lane in self.all().iter().filter(|l| &*l.name == origin) {
            lane.state().why = Some(fault.clone());
            // The request that ended the run told its lane before it told why.
            self.alarm.send_if_modified(|a| {
                if a.as_ref().is_some_and(|a| a.origin() == Some(&*lane.name)) {
                    *a = Some(lane.hopeless());
                }
                false
            });
        }
    }

    /// Ends the run with a fault; the first one counts.
    pub(crate) fn raise(&self, fault: Fault) {
        self.alarm.send_if_modified(|a| {
            let first = a.is_none();
            a.get_or_insert(fault);
            first
        });
    }

    fn note(&self, lane: &Lane, what: &'static str, value: f64, reason: Option<String>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < 1000 {
            notes.push(LaneNote {
                lane: lane.name.to_string(),
                at: self.clock.wall(),
                what,
                value,
                reason: reason.unwrap_or_default(),
            });
        }
    }

    fn refusal(&self, lane: &Lane) -> Option<String> {
        let (since, says) = lane.refusal()?;
        let age = self.clock.now().since(since).as_secs();
        let gap = LONGEST_GAP.as_secs();
        Some(format!("{} {says} for {}; probe every {gap} s", lane.name, spoken(age)))
    }

    /// Fires when a lane refused from its very first request on.
    pub(crate) fn alarm(&self) -> watch::Receiver<Option<Fault>> {
        self.alarm.subscribe()
    }

    /// True when the lane waits as a whole: what fails there now is not the item's doing.
    pub(crate) fn is_waiting(&self, origin: &str) -> bool {
        self.all().iter().any(|l| &*l.name == origin && l.state().breaker.open_since().is_some())
    }

    /// Why nothing moves, for people.
    pub(crate) fn waiting_for(&self) -> Vec<String> {
        let now = self.clock.now();
        let mut reasons = Vec::new();
        for lane in self.all() {
            let held = lane.state().held_until.since(now);
            if let Some(refusal) = self.refusal(&lane) {
                reasons.push(refusal);
            } else if held > limits::PERMIT_HOLD {
                reasons.push(format!("{} asked to wait {} more", lane.name, spoken(held.as_secs())));
            }
        }
        reasons
    }

    pub(crate) fn views(&self) -> Vec<LaneView> {
        self.all().iter().map(|l| l.view()).collect()
    }

    /// Names of all lanes, for retry budgets.
    pub(crate) fn take_notes(&self) -> Vec<LaneNote> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Requests since the last call.
    pub(crate) fn take_interval<T>(&self, read: impl FnOnce(&Interval) -> T) -> T {
        let mut i = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        let out = read(&i);
        i.requests = 0;
        i.wire_in = 0;
        i.wire_out = 0;
        i.latency.reset();
        out
    }
}

/// A granted slot that has not become a permit yet.
struct Entered<'a> {
    set: &'a LaneSet,
    id: LaneId,
    armed: bool,
}

impl Entered<'_> {
    fn granted(mut self, at: Moment) -> Moment {
        self.armed = false;
        at
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.set.end(self.id, Moment(0), None);
        }
    }
}

/// The lanes as one step sees them: its requests are metered under its name.
pub(crate) struct StepLanes(Arc<StepEnd>);

struct StepEnd {
    set: Arc<LaneSet>,
    meter: Arc<Meter>,
}

impl StepLanes {
    pub(crate) fn new(set: Arc<LaneSet>, meter: Arc<Meter>) -> Self {
        StepLanes(Arc::new(StepEnd { set, meter }))
    }

    /// As [`Lanes::enter`], without a future on the heap.
    pub(crate) async fn permit(&self, lane: LaneId) -> Permit {
        let sent = self.0.set.enter(lane).await;
        Permit::new(lane, sent, self.0.clone())
    }
}

impl LaneEnd for StepEnd {
    fn end(&self, lane: LaneId, sent: Moment, verdict: Option<Verdict>) {
        if let Some(v) = &verdict {
            self.meter.record(v);
        }
        self.set.end(lane, sent, verdict.as_ref());
    }
}

#[async_trait]
impl Lanes for StepLanes {
    fn lane(&self, origin: &Origin) -> LaneId {
        self.0.set.lane_of(origin)
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        self.permit(lane).await
    }

    fn saved(&self, how: Saved) {
        self.0.meter.saved(how);
    }

    fn failed(&self, fault: &Fault) {
        self.0.set.failed(fault);
    }
}
