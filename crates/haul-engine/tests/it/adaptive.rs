//! Concurrency that the engine finds by itself, against a service with a knee, in virtual time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use haul_core::lane::{LanePolicy, Sign};
use haul_core::pace::{Concurrency, Rate};
use haul_core::{Applied, Cx, Effect, Fault, Item, Step, Verdict};
use haul_engine::ledger::MemoryLedger;
use haul_engine::{Handle, Orders};

use crate::fake::{Texts, drive, orders, origin};
use crate::flat::Made;

/// Time of a reply without load: long enough that the clock's milliseconds are fine.
const TIME: Duration = Duration::from_millis(100);

/// Replies take longer in proportion when more than `knee` are in flight.
struct Knee {
    name: Arc<str>,
    knee: AtomicU32,
    /// From so many ms on it is another.
    then: Option<(u64, u32)>,
    /// Of a hundred requests so many are answered with 500.
    errors: u32,
    in_flight: AtomicU32,
    most: AtomicU32,
    /// When each request was sent, and whether it was answered well; seconds.
    log: Mutex<Vec<(f64, f64, bool)>>,
}

impl Knee {
    fn new(knee: u32, errors: u32) -> Arc<Self> {
        Knee::then(knee, None, errors)
    }

    fn then(knee: u32, then: Option<(u64, u32)>, errors: u32) -> Arc<Self> {
        Arc::new(Knee {
            name: "knee".into(),
            knee: AtomicU32::new(knee),
            then,
            errors,
            in_flight: AtomicU32::new(0),
            most: AtomicU32::new(0),
            log: Mutex::default(),
        })
    }

    fn good(&self) -> u64 {
        self.log.lock().unwrap().iter().filter(|(.., good)| *good).count() as u64
    }

    /// Good replies a second.
    fn goodput(&self, from: f64, until: f64) -> f64 {
        let log = self.log.lock().unwrap();
        let good = log.iter().filter(|(_, at, good)| *good && (from..until).contains(at)).count();
        good as f64 / (until - from)
    }

    fn most_sent_in_a_second(&self) -> usize {
        let mut sent: Vec<f64> = self.log.lock().unwrap().iter().map(|(sent, ..)| *sent).collect();
        sent.sort_by(f64::total_cmp);
        (0..sent.len()).map(|i| sent[i..].iter().take_while(|s| **s < sent[i] + 1.0).count()).max().unwrap()
    }
}

#[async_trait]
impl Step for Knee {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        Some(&[])
    }

    async fn apply(&self, _: &Item, cx: &Cx<'_>) -> Result<Applied, Fault> {
        let permit = cx.lanes.enter(cx.lanes.lane(&origin(&self.name))).await;
        let began = cx.clock.now();
        let n = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(n, Ordering::Relaxed);
        let load = (f64::from(n) / f64::from(self.knee.load(Ordering::Relaxed))).max(1.0);
        cx.clock.sleep_until(began + TIME.mul_f64(load)).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let now = cx.clock.now();
        let count = {
            let mut log = self.log.lock().unwrap();
            let nth = log.len() as u32;
            let good = (nth * 37) % 100 >= self.errors;
            let secs = |t: haul_core::Moment| t.0 as f64 / 1e9 - 1.0;
            log.push((secs(began), secs(now), good));
            good
        };
        let sign = if count { Sign::Answered } else { Sign::Erred };
        permit.end(Verdict::new(sign, now.since(began)));
        match count {
            true => Ok(Applied::next()),
            false => Err(Fault::transient("status", "500").with_origin("knee:80".into())),
        }
    }
}

fn lane(service: &Arc<Knee>, items: u64, rate: Option<Rate>, concurrency: Concurrency) -> Orders {
    let mut o = orders(&Texts::numbers(0), vec![vec![service.clone()]]);
    o.opener = Arc::new(Made(items));
    o.lanes = vec![(origin("knee"), LanePolicy { rate, concurrency, replica_of: None })];
    o.policy.concurrency = concurrency;
    o
}

/// Runs until its items are done; the limit as of every tenth of a second, and what was in work.
fn watch(service: &Arc<Knee>, orders: Orders, ledger: &MemoryLedger) -> Vec<(u32, u64)> {
    let seen: Arc<Mutex<Vec<(u32, u64)>>> = Arc::default();
    let (log, service) = (seen.clone(), service.clone());
    let end = drive(orders, ledger, async move |handle: Handle| {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // Commits take real time, and hours may pass in a millisecond of it.
            while service.good() > handle.snapshot().counts.done + 500 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let now = handle.snapshot();
            log.lock().unwrap().push((now.lanes.first().map_or(0, |l| l.limit), now.in_work));
            if let Some((_, knee)) = service.then.filter(|(at, _)| now.elapsed_ms >= *at) {
                service.knee.store(knee, Ordering::Relaxed);
            }
        }
    });
    assert!(!end.unwrap().counts.has_open());
    let seen = seen.lock().unwrap();
    seen.clone()
}

fn mean(limits: &[(u32, u64)]) -> f64 {
    limits.iter().map(|(l, _)| f64::from(*l)).sum::<f64>() / limits.len() as f64
}

#[test]
fn the_knee_is_found_kept_and_told_with_reasons() {
    let (service, ledger) = (Knee::new(16, 0), MemoryLedger::new());
    let seen = watch(&service, lane(&service, 10_000, None, Concurrency::Auto), &ledger);
    // 16 in flight at 100 ms.
    let goodput = service.goodput(10.0, 60.0);
    assert!(goodput >= 0.95 * 160.0, "{goodput}/s");
    let limit = mean(&seen[100..]);
    assert!((14.0..=1.5 * 16.0).contains(&limit), "limit {limit}");
    let notes = ledger.lanes();
    for wanted in ["all used; replies take 100 ms, 100 ms without load", "wait in a queue"] {
        let told = |n: &&haul_core::ledger::LaneNote| n.what == "concurrency" && n.reason.contains(wanted);
        assert!(
            notes.iter().any(|n| told(&n) && n.lane == "knee:80" && n.value >= 1.0),
            "{wanted}: {notes:?}"
        );
    }
    assert!(notes.len() < 3 * seen.len() / 10, "{} notes in {} s", notes.len(), seen.len() / 10);
    let last = ledger.ticks().into_iter().rev().nth(5).unwrap();
    assert!((8..=32).contains(&last.limit) && last.in_flight <= last.limit, "{last:?}");
}

#[test]
fn a_doubled_knee_is_used_within_ten_seconds() {
    let (service, ledger) = (Knee::then(16, Some((30_000, 32)), 0), MemoryLedger::new());
    watch(&service, lane(&service, 14_000, None, Concurrency::Auto), &ledger);
    let goodput = service.goodput(40.0, 55.0);
    assert!(goodput >= 0.95 * 320.0, "{goodput}/s");
}

#[test]
fn a_steady_share_of_500s_costs_itself_only() {
    let (clean, ill) = (Knee::new(16, 0), Knee::new(16, 5));
    let kept = [&clean, &ill].map(|service| {
        watch(service, lane(service, 8000, None, Concurrency::Auto), &MemoryLedger::new());
        service.goodput(10.0, 45.0)
    });
    assert!(kept[1] / 0.95 >= 0.97 * kept[0], "{kept:?}");
}

#[test]
fn a_paced_lane_does_not_grow_for_what_waits_for_its_slot() {
    let rate = Rate::per_second(50);
    let (service, ledger) = (Knee::new(1000, 0), MemoryLedger::new());
    let seen = watch(&service, lane(&service, 3000, Some(rate), Concurrency::Auto), &ledger);
    let goodput = service.goodput(10.0, 55.0);
    assert!(goodput >= 0.99 * 50.0, "{goodput}/s");
    assert!(service.most_sent_in_a_second() <= 51, "{}", service.most_sent_in_a_second());
    // Five are in flight at 50/s and 100 ms.
    assert!(mean(&seen[50..]) <= 15.0, "limit {}", mean(&seen[50..]));
    let worst = seen.iter().map(|(_, work)| *work).max().unwrap();
    assert!(worst <= 48, "{worst} in work for a limit of a few");
}

#[test]
fn workers_follow_the_limit_and_bounds_hold() {
    let (service, ledger) = (Knee::new(150, 0), MemoryLedger::new());
    let seen = watch(&service, lane(&service, 30_000, None, Concurrency::Auto), &ledger);
    // Everything here happens in step: at some moments nothing is in work.
    let middle = &seen[seen.len() / 4..seen.len() * 3 / 4];
    let (limit, work) = (mean(middle), middle.iter().map(|(_, work)| *work).max().unwrap() as f64);
    assert!((120.0..=225.0).contains(&limit), "limit {limit}");
    assert!(work >= limit && work <= limit * 2.0 + 32.0, "{work} in work, limit {limit}");
    for (concurrency, most) in [(Concurrency::Bounded(2, 6), 6), (Concurrency::Fixed(9), 9)] {
        let service = Knee::new(64, 0);
        let seen = watch(&service, lane(&service, 1000, None, concurrency), &MemoryLedger::new());
        assert_eq!(service.most.load(Ordering::Relaxed), most, "{concurrency}");
        assert!(seen.iter().all(|(limit, _)| (2..=most).contains(limit) || *limit == 0));
    }
}
