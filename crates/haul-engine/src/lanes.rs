//! The lanes of a run: permits, slots, pauses and the breaker of each service.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use haul_core::lane::{LanePolicy, Sign};
use haul_core::ledger::LaneNote;
use haul_core::pace::breaker::{LONGEST_GAP, Turn};
use haul_core::{Clock, Fault, LaneId, Moment, Origin, UnixMs, Verdict, limits};
use tokio::sync::{Notify, watch};

pub(crate) use tune::Changed;
use tune::Policies;

use crate::gate::Gate;
use crate::meter::Latency;
use crate::view::LaneView;

mod hold;
mod lane;
mod network;
mod sleep;
mod stand_in;
mod step;
mod tune;
mod words;

use hold::Holds;
use lane::{Lane, Slot};
use network::Network;
use sleep::Sleep;
pub(crate) use step::StepLanes;
use words::spoken;

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
    /// A limit changed, or there is a new lane.
    moved: Notify,
    sleep: Sleep,
    holds: Holds,
    network: Network,
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
        learned: &[LaneNote],
    ) -> Arc<Self> {
        Arc::new(LaneSet {
            clock,
            lanes: RwLock::default(),
            by_origin: Mutex::default(),
            policies: Mutex::new(Policies { known: policies, fallback }),
            alarm: watch::Sender::new(None),
            tail: AtomicBool::new(false),
            moved: Notify::new(),
            sleep: Sleep::default(),
            holds: Holds::of(learned),
            network: Network::default(),
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
        let lane = Lane::new(origin, policy, known);
        self.take_up(&lane);
        lanes.push(Arc::new(lane));
        by_origin.insert(origin.clone(), id);
        self.moved.notify_one();
        id
    }

    /// Waits for a permit and its slot. Who is not patient is told when the lane is shut for long.
    async fn enter(&self, id: LaneId, patient: bool) -> Result<Moment, Fault> {
        let Some(lane) = self.get(id) else { return Ok(self.clock.now()) };
        loop {
            lane.take().await;
            // From here on the permit is given back by `end`; until then by this, also when we are
            // cancelled.
            let mut permit = Held { lane: Some(&lane), granted: false };
            if self.gate.is_shut() {
                drop(permit);
                self.gate.pass().await;
                continue;
            }
            let closed = lane.closed.notified();
            let now = self.clock.now();
            match lane.slot(now) {
                Slot::Now => return Ok(permit.sent(now)),
                Slot::Shut(until) if !patient => return Err(self.shut(&lane, until)),
                Slot::At(at) => {
                    permit.granted = true;
                    if let Some(sent) = self.await_slot(&lane, at).await {
                        return Ok(permit.sent(sent));
                    }
                }
                Slot::Later(until) | Slot::Shut(until) => {
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

    /// Sends at the moment of a slot, or soon after; `None` when it has to begin anew.
    async fn await_slot(&self, lane: &Lane, mut at: Moment) -> Option<Moment> {
        loop {
            self.clock.sleep_until(at).await;
            // Under a paused clock nothing is ever late.
            let now = self.clock.now().max(at);
            match lane.send(now) {
                Slot::Now => return Some(now),
                Slot::At(later) => at = later,
                Slot::Later(_) | Slot::Shut(_) => return None,
            }
        }
    }

    /// Takes a permit back that was granted for the moment `sent`.
    fn end(&self, id: LaneId, sent: Moment, verdict: Option<&Verdict>) {
        let Some(lane) = self.get(id) else { return };
        // A clock that was read for the verdict need not be read again.
        let now = verdict.map_or_else(|| self.clock.now(), |v| sent + v.elapsed);
        let ending = lane.end(sent, verdict, self.tail.load(Ordering::Relaxed), now);
        if ending.moved {
            self.moved.notify_one();
        }
        match ending.turn {
            Turn::Same => {}
            Turn::Opened => self.note(&lane, "breaker", 1.0, self.refusal(&lane)),
            Turn::Closed => {
                lane.closed.notify_waiters();
                self.note(&lane, "breaker", 0.0, Some("it answers again".into()));
            }
            // Credentials that are refused are refused everywhere.
            Turn::Hopeless if lane.is_unreached() && self.has_stand_in(&lane, now) => {}
            Turn::Hopeless => self.raise(lane.hopeless()),
        }
        if let Some(v) = verdict {
            self.network.on(id, v.sign);
            if let Some(wait) = v.retry_after.filter(|_| ending.paused) {
                self.asked_to_wait(&lane, wait);
            }
            let mut i = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
            i.requests += 1;
            i.wire_in += v.wire_in;
            i.wire_out += v.wire_out;
            i.latency.record(v.elapsed);
        }
    }

    /// Requests that all lanes together have room for.
    pub(crate) fn room(&self) -> usize {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().map(|l| l.room() as usize).sum()
    }

    /// Returns when [`LaneSet::room`] may have changed.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
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

    /// What is said of a lane that has refused everything for so long.
    pub(crate) fn refused_for(&self, most: Duration) -> Option<String> {
        let now = self.clock.now();
        self.all().iter().find_map(|lane| {
            let (since, says) = lane.refusal()?;
            let age = now.since(since);
            (age >= most && !self.has_stand_in(lane, now))
                .then(|| format!("{} {says} for {}", lane.name, spoken(age)))
        })
    }

    /// Notices when the machine, or this process, stood still.
    pub(crate) fn look_at_clocks(&self) {
        let slept = self.sleep.look(self.clock.now(), self.clock.wall());
        if !slept.is_zero() {
            self.slept(slept);
        }
    }

    /// True when the connections of an attempt that began then were cut by a standstill, not by a service.
    pub(crate) fn stood_still(&self, began: UnixMs) -> bool {
        self.look_at_clocks();
        self.sleep.spoiled(began)
    }

    fn refusal(&self, lane: &Lane) -> Option<String> {
        let (since, says) = lane.refusal()?;
        let age = self.clock.now().since(since);
        let gap = LONGEST_GAP.as_secs();
        // Its first moment is no length of time.
        let long = if age < Duration::from_secs(1) { String::new() } else { format!(" for {}", spoken(age)) };
        Some(format!("{} {says}{long}; probe every {gap} s", lane.name))
    }

    /// Fires when a lane refused from its very first request on.
    pub(crate) fn alarm(&self) -> watch::Receiver<Option<Fault>> {
        self.alarm.subscribe()
    }

    /// True when the lane waits as a whole, for its quota, or nothing was answered since it could not be
    /// reached: what fails there now is not the item's doing.
    pub(crate) fn is_waiting(&self, origin: &str) -> bool {
        let now = self.clock.now();
        self.all().iter().any(|l| &*l.name == origin && l.is_away(now))
    }

    /// How long what could not be reached is better left alone, when this machine's own network is gone.
    pub(crate) fn without_network(&self) -> Option<Duration> {
        self.network.is_gone().then_some(network::WAIT)
    }

    /// Why nothing moves, for people.
    pub(crate) fn waiting_for(&self) -> Vec<String> {
        let now = self.clock.now();
        let mut reasons = Vec::new();
        if self.network.is_gone() {
            reasons.push(
                "no host can be reached any more: this machine's own network seems to be gone".to_owned(),
            );
        }
        for lane in self.all() {
            // When it said how long, nothing probes it before that.
            let hold = lane.hold(now);
            let refusal = self.refusal(&lane).filter(|_| hold.as_ref().is_none_or(|(w, _)| *w < LONGEST_GAP));
            if let Some(refusal) = refusal {
                reasons.push(refusal);
            } else if let Some((_, why)) = hold {
                reasons.push(format!("{} {why}", lane.name));
            }
        }
        reasons
    }

    pub(crate) fn views(&self) -> Vec<LaneView> {
        self.all().iter().map(|l| l.view()).collect()
    }

    /// What changed since the last call, with reasons. Of the changes of a limit the last of each kind.
    pub(crate) fn take_notes(&self) -> Vec<LaneNote> {
        for lane in self.all() {
            for change in lane.take_news() {
                let reason = change.reason.to_string();
                self.note(&lane, "concurrency", f64::from(change.limit), Some(reason));
            }
        }
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

/// A permit with which nothing was sent yet.
struct Held<'a> {
    lane: Option<&'a Lane>,
    /// It has a slot.
    granted: bool,
}

impl Held<'_> {
    /// Its request is sent: whoever ends that gives the permit back.
    fn sent(mut self, at: Moment) -> Moment {
        self.lane = None;
        at
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(lane) = self.lane {
            lane.give_back(self.granted);
        }
    }
}
