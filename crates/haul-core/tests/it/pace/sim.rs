//! A discrete-event simulator: clients with a limiter (or a fixed limit) against one service, in
//! virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use haul_core::Moment;
use haul_core::lane::Sign;
use haul_core::pace::limit::{Change, Ended, Limiter};

use super::service::{Fate, Running, Service};

/// Virtual nanoseconds.
pub(super) type Ns = u64;
pub(super) const MS: Ns = 1_000_000;
pub(super) const SECOND: Ns = 1000 * MS;

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..1`.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Who decides how many are in flight.
pub(super) enum Decides {
    Fixed(u32),
    Auto(Box<Limiter>),
}

/// A client as it is set up.
pub(super) struct Client {
    pub(super) decides: Decides,
    /// Begins then.
    pub(super) start: Ns,
    /// Items that its source brings a second; none: as many as it can send.
    pub(super) source: Option<f64>,
    /// What it takes the client to deal with a reply, one after the other.
    pub(super) work: Ns,
    /// Gives up on a request.
    pub(super) timeout: Ns,
    /// Way to the service and back.
    pub(super) way: Ns,
}

impl Client {
    pub(super) fn auto() -> Self {
        Client::bounded(1, 1024)
    }

    pub(super) fn bounded(min: u32, max: u32) -> Self {
        Client::with(Decides::Auto(Box::new(Limiter::new(min, max))))
    }

    /// Sends so many a second, and says so.
    pub(super) fn paced(rate: f64) -> Self {
        let limiter = Limiter::new(1, 1024).paced(Duration::from_secs_f64(1.0 / rate));
        Client { source: Some(rate), ..Client::with(Decides::Auto(Box::new(limiter))) }
    }

    pub(super) fn fixed(n: u32) -> Self {
        Client::with(Decides::Fixed(n))
    }

    fn with(decides: Decides) -> Self {
        Client { decides, start: 0, source: None, work: 0, timeout: 30 * SECOND, way: MS / 10 }
    }
}

/// What happened to a client.
#[derive(Default)]
pub(super) struct Log {
    /// Moments of good replies, ascending.
    pub(super) good: Vec<Ns>,
    pub(super) refused: Vec<Ns>,
    pub(super) sent: u64,
    /// From when on which limit.
    pub(super) limits: Vec<(Ns, u32)>,
    pub(super) changes: Vec<(Ns, Change)>,
}

impl Log {
    /// Good replies a second.
    pub(super) fn goodput(&self, from: Ns, until: Ns) -> f64 {
        let before = |t: Ns| self.good.partition_point(|good| *good < t);
        (before(until) - before(from)) as f64 * 1e9 / (until - from) as f64
    }

    /// Time-weighted limit.
    pub(super) fn limit(&self, from: Ns, until: Ns) -> f64 {
        let ends = self.limits.iter().skip(1).map(|(t, _)| *t).chain([Ns::MAX]);
        let spans = self.limits.iter().zip(ends).map(|((since, limit), to)| {
            f64::from(*limit) * to.min(until).saturating_sub((*since).max(from)) as f64
        });
        spans.sum::<f64>() / (until - from) as f64
    }

    pub(super) fn most(&self, from: Ns, until: Ns) -> u32 {
        let inside = self.limits.iter().filter(|(t, _)| (from..until).contains(t));
        inside.map(|(_, l)| *l).max().unwrap_or(0)
    }
}

struct Lane {
    client: Client,
    in_flight: u32,
    backlog: f64,
    fed: Ns,
    woken_at: Ns,
    held_until: Ns,
    busy_until: Ns,
    log: Log,
}

#[derive(Clone, Copy)]
struct Request {
    lane: usize,
    sent: Ns,
    fate: Fate,
    over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Reach(usize),
    Leave(usize),
    Back(usize),
    Handled(usize),
    GiveUp(usize),
}

/// The world.
pub(super) struct Sim {
    now: Ns,
    events: BinaryHeap<Reverse<(Ns, u64, Event)>>,
    count: u64,
    service: Running,
    lanes: Vec<Lane>,
    requests: Vec<Request>,
    random: Random,
}

impl Sim {
    pub(super) fn new(service: &Service, clients: Vec<Client>, seed: u64) -> Self {
        let lane = |client| Lane {
            client,
            in_flight: 0,
            backlog: 0.0,
            fed: 0,
            woken_at: 0,
            held_until: 0,
            busy_until: 0,
            log: Log::default(),
        };
        let mut sim = Sim {
            now: 0,
            events: BinaryHeap::new(),
            count: 0,
            service: Running::new(service.clone()),
            lanes: clients.into_iter().map(lane).collect(),
            requests: Vec::new(),
            random: Random(seed),
        };
        for i in 0..sim.lanes.len() {
            sim.at(sim.lanes[i].client.start, Event::Wake(i));
        }
        sim
    }

    fn at(&mut self, when: Ns, event: Event) {
        self.count += 1;
        self.events.push(Reverse((when, self.count, event)));
    }

    /// Runs until then; what happened to each client.
    pub(super) fn run(mut self, until: Ns) -> Vec<Log> {
        while let Some(Reverse((when, _, event))) = self.events.pop() {
            if when >= until {
                break;
            }
            self.now = when;
            self.on(event);
        }
        self.lanes.into_iter().map(|l| l.log).collect()
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Wake(lane) => self.send_all(lane),
            Event::Reach(r) => {
                let (fate, leaves) = self.service.arrive(self.now, &mut self.random);
                self.requests[r].fate = fate;
                let Request { lane, sent, .. } = self.requests[r];
                let patience = sent + self.lanes[lane].client.timeout;
                if fate == Fate::Silence || leaves >= patience {
                    self.at(patience, Event::GiveUp(r));
                }
                self.at(leaves, Event::Leave(r));
            }
            Event::Leave(r) => {
                self.service.left();
                let Request { lane, fate, .. } = self.requests[r];
                if fate != Fate::Silence {
                    self.at(self.now + self.lanes[lane].client.way / 2, Event::Back(r));
                }
            }
            Event::Back(r) => {
                let lane = &mut self.lanes[self.requests[r].lane];
                lane.busy_until = lane.busy_until.max(self.now) + lane.client.work;
                let when = lane.busy_until;
                self.at(when, Event::Handled(r));
            }
            Event::Handled(r) => {
                let (sign, wait) = match self.requests[r].fate {
                    Fate::Answer => (Sign::Answered, None),
                    Fate::Error => (Sign::Erred, None),
                    Fate::Refusal(wait) => (Sign::Throttled, wait),
                    Fate::NoConnection => (Sign::Unreachable, None),
                    Fate::Silence => return,
                };
                self.end(r, sign, wait);
            }
            Event::GiveUp(r) => self.end(r, Sign::Lost, None),
        }
    }

    fn end(&mut self, r: usize, sign: Sign, wait: Option<Ns>) {
        let Request { lane: at, sent, over, .. } = self.requests[r];
        if over {
            return;
        }
        self.requests[r].over = true;
        let now = self.now;
        let lane = &mut self.lanes[at];
        match sign {
            Sign::Answered => lane.log.good.push(now),
            Sign::Throttled | Sign::Lost | Sign::Unreachable => lane.log.refused.push(now),
            Sign::Erred | Sign::Denied => {}
        }
        if let Some(wait) = wait {
            lane.held_until = lane.held_until.max(now + wait);
            let until = lane.held_until;
            self.at(until, Event::Wake(at));
        }
        let lane = &mut self.lanes[at];
        if let Decides::Auto(limiter) = &mut lane.client.decides {
            let ended = Ended {
                now: Moment(now),
                sent: Moment(sent),
                sign,
                rtt: Duration::from_nanos(now - sent),
                in_flight: lane.in_flight,
            };
            if let Some(change) = limiter.on_end(&ended) {
                assert_eq!(change.limit, limiter.limit());
                lane.log.changes.push((now, change));
                lane.log.limits.push((now, change.limit));
            }
        }
        lane.in_flight -= 1;
        self.send_all(at);
    }

    fn send_all(&mut self, at: usize) {
        let now = self.now;
        loop {
            let lane = &mut self.lanes[at];
            let limit = match &lane.client.decides {
                Decides::Fixed(n) => *n,
                Decides::Auto(limiter) => limiter.limit(),
            };
            if lane.log.limits.is_empty() {
                lane.log.limits.push((now, limit));
            }
            if lane.in_flight >= limit || now < lane.held_until || now < lane.client.start {
                return;
            }
            if let Some(rate) = lane.client.source {
                lane.backlog += (now - lane.fed) as f64 / 1e9 * rate;
                lane.fed = now;
                if lane.backlog < 1.0 {
                    let next = now + ((1.0 - lane.backlog) / rate * 1e9) as Ns + 1;
                    if lane.woken_at <= now {
                        lane.woken_at = next;
                        self.at(next, Event::Wake(at));
                    }
                    return;
                }
                lane.backlog -= 1.0;
            }
            lane.in_flight += 1;
            lane.log.sent += 1;
            if let Decides::Auto(limiter) = &mut lane.client.decides {
                limiter.on_send(Moment(now));
            }
            let way = lane.client.way;
            self.requests.push(Request { lane: at, sent: now, fate: Fate::Silence, over: false });
            let r = self.requests.len() - 1;
            self.at(now + way / 2, Event::Reach(r));
        }
    }
}

/// Goodput of the best of many fixed limits, and the limit.
pub(super) fn best_fixed(service: &Service, limits: &[u32], from: Ns, until: Ns) -> (f64, u32) {
    let goodput = |n: u32| {
        let log = Sim::new(service, vec![Client::fixed(n)], 1).run(until);
        (log[0].goodput(from, until), n)
    };
    limits.iter().map(|n| goodput(*n)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}
