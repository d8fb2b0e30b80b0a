//! Services with a knee, as they are met in the wild: what one does with a request depends on how many
//! it has in work.

use super::sim::{MS, Ns, Random, SECOND};

/// How service time depends on load.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kind {
    /// All in work share the service: beyond its capacity everything takes longer in proportion, and
    /// beyond four times as many it sheds.
    Shared,
    /// As many servers as its capacity, and a line before them.
    Line,
    /// No line at all: what comes beyond its capacity is refused at once.
    Door,
}

/// How single requests differ.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sizes {
    Equal,
    /// Up to this much longer.
    Jitter(Ns),
    /// One of so many takes so much longer.
    Mixed(u64, Ns),
}

/// So many requests are allowed in each window, aligned to the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) count: u64,
    pub(super) window: Ns,
    pub(super) retry_after: Option<Ns>,
}

#[derive(Clone)]
pub(super) struct Service {
    pub(super) kind: Kind,
    /// From when on how many at once.
    pub(super) capacity: Vec<(Ns, u32)>,
    pub(super) time: Ns,
    pub(super) sizes: Sizes,
    /// From, until, and what it adds to each request.
    pub(super) spikes: Vec<(Ns, Ns, Ns)>,
    /// Shares: bare 500s, 503s and requests that are never answered.
    pub(super) errors: f64,
    pub(super) refusals: f64,
    pub(super) hangs: f64,
    pub(super) quota: Option<Quota>,
    /// Refuses connections from, until.
    pub(super) down: Option<(Ns, Ns)>,
    /// Takes requests and never answers them from, until.
    pub(super) silent: Vec<(Ns, Ns)>,
}

/// What became of a request, and when its reply leaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fate {
    Answer,
    Error,
    /// 429 or 503, with what it says about coming back.
    Refusal(Option<Ns>),
    NoConnection,
    Silence,
}

impl Service {
    pub(super) fn knee(capacity: u32, time: Ns) -> Self {
        Service {
            kind: Kind::Shared,
            capacity: vec![(0, capacity)],
            time,
            sizes: Sizes::Equal,
            spikes: Vec::new(),
            errors: 0.0,
            refusals: 0.0,
            hangs: 0.0,
            quota: None,
            down: None,
            silent: Vec::new(),
        }
    }

    fn capacity_at(&self, now: Ns) -> u32 {
        self.capacity.iter().rev().find(|(from, _)| *from <= now).map_or(1, |(_, k)| *k)
    }
}

/// A service at work.
pub(super) struct Running {
    pub(super) spec: Service,
    in_work: u32,
    /// When each server of a line is free.
    servers: Vec<Ns>,
    window: (u64, u64),
}

/// What a refusal at the door takes.
const DOOR: Ns = MS;

impl Running {
    pub(super) fn new(spec: Service) -> Self {
        Running { spec, in_work: 0, servers: Vec::new(), window: (0, 0) }
    }

    /// A request arrives: its fate, and when the reply leaves. `left` is to be called then.
    pub(super) fn arrive(&mut self, now: Ns, random: &mut Random) -> (Fate, Ns) {
        let spec = &self.spec;
        self.in_work += 1;
        if spec.down.is_some_and(|(from, until)| (from..until).contains(&now)) {
            return (Fate::NoConnection, now + DOOR);
        }
        if let Some(quota) = spec.quota {
            let window = now / quota.window;
            if window != self.window.0 {
                self.window = (window, 0);
            }
            self.window.1 += 1;
            if self.window.1 > quota.count {
                return (Fate::Refusal(quota.retry_after), now + DOOR);
            }
        }
        let capacity = spec.capacity_at(now);
        let full = match spec.kind {
            Kind::Shared => 4 * capacity,
            Kind::Line => u32::MAX,
            Kind::Door => capacity,
        };
        if self.in_work > full {
            return (Fate::Refusal(None), now + DOOR);
        }
        let mut time = spec.time;
        time += match spec.sizes {
            Sizes::Equal => 0,
            Sizes::Jitter(most) => (most as f64 * random.unit()) as Ns,
            Sizes::Mixed(one_of, more) => more * Ns::from(random.below(one_of) == 0),
        };
        let spike = spec.spikes.iter().find(|(from, until, _)| (*from..*until).contains(&now));
        time += spike.map_or(0, |(_, _, more)| *more);
        let leaves = match spec.kind {
            Kind::Shared => {
                now + (time as f64 * (f64::from(self.in_work) / f64::from(capacity)).max(1.0)) as Ns
            }
            Kind::Line => self.line_up(now, time, capacity),
            Kind::Door => now + time,
        };
        let at = random.unit();
        let spec = &self.spec;
        let silent = spec.silent.iter().any(|(from, until)| (*from..*until).contains(&now));
        let fate = match at {
            _ if silent => Fate::Silence,
            x if x < spec.errors => Fate::Error,
            x if x < spec.errors + spec.refusals => Fate::Refusal(None),
            x if x < spec.errors + spec.refusals + spec.hangs => Fate::Silence,
            _ => Fate::Answer,
        };
        (fate, leaves)
    }

    fn line_up(&mut self, now: Ns, time: Ns, capacity: u32) -> Ns {
        self.servers.resize(capacity as usize, now);
        let first = self.servers.iter_mut().min().unwrap();
        *first = (*first).max(now) + time;
        *first
    }

    pub(super) fn left(&mut self) {
        self.in_work -= 1;
    }
}

pub(super) const fn ms(n: u64) -> Ns {
    n * MS
}

pub(super) const fn secs(n: u64) -> Ns {
    n * SECOND
}
