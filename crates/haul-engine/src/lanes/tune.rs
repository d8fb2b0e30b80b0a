//! Another pace for lanes that are at work, and for those still to come.

use std::sync::{Arc, MutexGuard, PoisonError};

use haul_core::Origin;
use haul_core::job::Concurrency;
use haul_core::lane::LanePolicy;
use haul_core::pace::Rate;

use super::LaneSet;
use super::lane::Lane;
use crate::view::Tune;

/// The pace that lanes begin with.
pub(super) struct Policies {
    pub(super) known: Vec<(Origin, LanePolicy)>,
    pub(super) fallback: LanePolicy,
}

/// What changed: what, how it was, how it is.
pub(crate) type Changed = (String, String, String);

impl LaneSet {
    fn policies(&self) -> MutexGuard<'_, Policies> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pace that a lane begins with, and whether the job names its origin.
    pub(super) fn policy_of(&self, origin: &Origin) -> (LanePolicy, bool) {
        let policies = self.policies();
        let known = policies.known.iter().find(|(o, _)| o == origin);
        (known.map_or(policies.fallback, |(_, p)| *p), known.is_some())
    }

    /// Lays a pace over all lanes that it names, at once.
    ///
    /// # Errors
    /// A sentence, when it names a host that no lane has; nothing is changed then.
    pub(crate) fn tune(&self, tune: &Tune) -> Result<Vec<Changed>, String> {
        let mut policies = self.policies();
        let lanes = self.all();
        for host in tune.rates.iter().filter_map(|(host, _)| host.as_deref()) {
            let known = policies.known.iter().any(|(o, _)| is_at(&o.to_string(), host))
                || lanes.iter().any(|l| is_at(&l.name, host));
            if !known {
                return Err(format!("no service is at {host}; there are: {}", names(&policies, &lanes)));
            }
        }
        let mut changed = Vec::new();
        for (host, rate) in &tune.rates {
            changed.push(self.set_rate(host.as_deref(), *rate, &mut policies));
        }
        if let Some(concurrency) = tune.concurrency {
            changed.push(self.set_concurrency(concurrency, &mut policies));
        }
        drop(policies);
        for lane in lanes {
            // Whoever waits for a slot of the old pace asks again.
            lane.closed.notify_waiters();
        }
        Ok(changed)
    }

    fn set_rate(&self, host: Option<&str>, rate: Rate, policies: &mut Policies) -> Changed {
        let meant = |name: &str| host.is_none_or(|host| is_at(name, host));
        let mut old = Vec::new();
        for (_, policy) in policies.known.iter_mut().filter(|(o, _)| meant(&o.to_string())) {
            old.push(policy.rate.replace(rate));
        }
        if host.is_none() {
            old.push(policies.fallback.rate.replace(rate));
        }
        for lane in self.all().iter().filter(|l| meant(&l.name)) {
            let mut state = lane.state();
            old.push(state.policy.rate.replace(rate));
            state.pace();
        }
        let what = host.map_or("rate".to_owned(), |host| format!("rate {host}"));
        let old = old.into_iter().map(|r| r.map_or("none".to_owned(), |r| r.to_string()));
        (what, each_once(old), rate.to_string())
    }

    fn set_concurrency(&self, to: Concurrency, policies: &mut Policies) -> Changed {
        let mut old = vec![std::mem::replace(&mut policies.fallback.concurrency, to)];
        for (_, policy) in &mut policies.known {
            old.push(std::mem::replace(&mut policy.concurrency, to));
        }
        for lane in self.all() {
            lane.set_concurrency(to);
        }
        self.moved.notify_one();
        ("concurrency".to_owned(), each_once(old.into_iter().map(|c| c.to_string())), to.to_string())
    }
}

/// Whether a lane of that name (`host:port`) is meant by `host`, with or without a port.
fn is_at(name: &str, host: &str) -> bool {
    name.eq_ignore_ascii_case(host)
        || name.rsplit_once(':').is_some_and(|(h, _)| h.eq_ignore_ascii_case(host))
}

fn names(policies: &Policies, lanes: &[Arc<Lane>]) -> String {
    let known = policies.known.iter().map(|(o, _)| o.to_string());
    each_once(known.chain(lanes.iter().map(|l| l.name.to_string())))
}

fn each_once(values: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen.join(", ")
}
