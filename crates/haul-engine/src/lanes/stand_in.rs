//! Lanes that stand in for each other: the replicas of one service. A request goes to the one that is
//! well and has most room, and does not wait for one that is away while another is not.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use haul_core::{Fault, LaneId, Moment, limits};

use super::lane::{Lane, Slot};
use super::{Held, LaneSet};

/// After a refusal a lane is left alone for so long while others are well. Its breaker takes a second
/// as well to know more.
const SHUNNED: Duration = Duration::from_secs(1);

/// How long a request waits before it looks again whether another lane has become the better one.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a lane has to offer to a request; the least is the best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Outlook {
    class: Class,
    /// All its permits are out.
    full: bool,
    /// When something can be sent.
    at: Moment,
    room: Reverse<usize>,
    /// Requests so far: of two that are alike the one that did less.
    requests: u64,
    /// It refuses, and it is time to ask whether it still does.
    probes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    /// It is well, or it is time to ask whether it is again.
    Well,
    /// It refused the last request, a moment ago.
    Shunned,
    /// Nothing can be sent for a while.
    Away,
}

impl Lane {
    pub(super) fn outlook(&self, now: Moment) -> Outlook {
        let room = self.free();
        let s = self.state();
        let from = s.held(now);
        let paced = s.gcra.as_ref().map_or(from, |g| g.peek(from));
        let probe = s.breaker.next_probe();
        let at = probe.map_or(paced, |probe| paced.max(probe));
        let shunned = probe.is_none() && s.breaker.last_refusal().is_some_and(|last| now < last + SHUNNED);
        let class = match () {
            () if at > now + limits::PERMIT_HOLD || probe.is_some_and(|probe| probe > now) => Class::Away,
            () if shunned => Class::Shunned,
            () => Class::Well,
        };
        Outlook {
            class,
            full: room == 0,
            at,
            room: Reverse(room),
            requests: s.requests(),
            probes: probe.is_some(),
        }
    }
}

/// The best of these lanes. One that refuses is asked again by one request for each that another has answered
/// or refused meanwhile: a retry on its own would otherwise find the same lane due each time, and never end.
fn best(lanes: &[(LaneId, Arc<Lane>)], now: Moment) -> Option<(Outlook, &(LaneId, Arc<Lane>))> {
    let all: Vec<_> = lanes.iter().map(|lane| (lane.1.outlook(now), lane)).collect();
    let asked: u64 = all.iter().map(|(o, _)| o.requests).sum();
    let others = |o: &Outlook| asked - o.requests;
    let turn = |(o, lane): &&(Outlook, &(LaneId, Arc<Lane>))| !o.probes || lane.1.is_turn(others(o));
    let best = all.iter().filter(turn).min_by_key(|(o, _)| *o).filter(|(o, _)| o.class != Class::Away);
    let (outlook, lane) = best.or_else(|| all.iter().min_by_key(|(o, _)| *o))?;
    if outlook.probes && outlook.class != Class::Away {
        lane.1.probed(others(outlook));
    }
    Some((*outlook, *lane))
}

impl LaneSet {
    /// As [`LaneSet::enter`], on the best of these lanes.
    pub(super) async fn enter_any(&self, ids: &[LaneId], patient: bool) -> Result<(LaneId, Moment), Fault> {
        let lanes: Vec<(LaneId, Arc<Lane>)> =
            ids.iter().filter_map(|id| Some((*id, self.get(*id)?))).collect();
        loop {
            self.gate.pass().await;
            let now = self.clock.now();
            let Some((outlook, mut chosen)) = best(&lanes, now) else {
                return Ok((ids.first().copied().unwrap_or(LaneId(0)), now));
            };
            if outlook.class == Class::Away {
                let opens = lanes.iter().map(|l| l.1.state().held(now)).min().unwrap_or(now);
                if !patient && opens.since(now) >= limits::QUOTA_WAIT {
                    return Err(self.shut(&chosen.1, opens));
                }
                self.clock.sleep_until(outlook.at.min(now + LOOK_AGAIN)).await;
                continue;
            }
            if outlook.full || !chosen.1.try_take() {
                match self.any_permit(&lanes, outlook.class, now).await {
                    Some(lane) => chosen = lane,
                    None => continue,
                }
            }
            let (id, lane) = chosen;
            let mut permit = Held { lane: Some(lane), granted: false };
            let now = self.clock.now();
            match lane.slot(now) {
                Slot::Now => return Ok((*id, permit.sent(now))),
                Slot::At(at) => {
                    permit.granted = true;
                    if let Some(sent) = self.await_slot(lane, at).await {
                        return Ok((*id, permit.sent(sent)));
                    }
                }
                // Somebody else was quicker.
                Slot::Later(until) | Slot::Shut(until) => {
                    drop(permit);
                    self.clock.sleep_until(until.min(now + Duration::from_millis(10))).await;
                }
            }
        }
    }

    /// Waits for a permit of whichever lane of that class has one first, for a while.
    async fn any_permit<'l>(
        &self,
        lanes: &'l [(LaneId, Arc<Lane>)],
        class: Class,
        now: Moment,
    ) -> Option<&'l (LaneId, Arc<Lane>)> {
        let candidates: Vec<_> = lanes.iter().filter(|l| l.1.outlook(now).class <= class).collect();
        if candidates.is_empty() {
            return None;
        }
        let waits = candidates.iter().map(|l| Box::pin(l.1.take()));
        tokio::select! {
            biased;
            ((), at, _) = select_all(waits) => Some(candidates[at]),
            () = self.clock.sleep_until(now + LOOK_AGAIN) => None,
        }
    }

    /// The other replicas of a lane's service.
    fn stand_ins(&self, lane: &Lane) -> Vec<Arc<Lane>> {
        let Some(service) = lane.state().policy.replica_of else { return Vec::new() };
        let of_service = |l: &Arc<Lane>| l.state().policy.replica_of == Some(service);
        self.all().into_iter().filter(|l| !std::ptr::eq(&**l, lane) && of_service(l)).collect()
    }

    /// True when another replica of its service can do what this lane cannot.
    pub(super) fn has_stand_in(&self, lane: &Lane, now: Moment) -> bool {
        self.stand_ins(lane).iter().any(|other| !other.is_away(now))
    }
}
