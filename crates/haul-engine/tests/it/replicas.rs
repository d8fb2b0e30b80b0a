//! Several hosts that answer the same: requests go where there is room, and round one that is away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::lane::{LanePolicy, Sign};
use haul_core::pace::{Concurrency, Rate};
use haul_core::{Applied, Counts, Cx, Effect, Fault, Item, LaneId, Step, Verdict};
use haul_engine::Orders;
use haul_engine::ledger::MemoryLedger;

use crate::fake::{Texts, drive, nothing, orders, origin};

/// How a replica does at a moment: answers after so long, or is down.
type Health = Box<dyn Fn(Duration) -> Option<Duration> + Send + Sync>;

struct Replicas {
    name: Arc<str>,
    hosts: Vec<(&'static str, Health)>,
    /// When each was asked.
    asked: Mutex<Vec<Vec<Duration>>>,
    in_flight: Vec<AtomicU64>,
    peak: Vec<AtomicU64>,
}

fn replicas(hosts: Vec<(&'static str, Health)>) -> Arc<Replicas> {
    let counters = || hosts.iter().map(|_| AtomicU64::new(0)).collect();
    let (in_flight, peak) = (counters(), counters());
    let asked = Mutex::new(hosts.iter().map(|_| Vec::new()).collect());
    Arc::new(Replicas { name: "user".into(), hosts, asked, in_flight, peak })
}

impl Replicas {
    /// From the first request to the last.
    fn span(&self) -> Duration {
        let asked = self.asked.lock().unwrap();
        let all = || asked.iter().flatten();
        *all().max().unwrap() - *all().min().unwrap()
    }

    fn counts(&self) -> Vec<usize> {
        self.asked.lock().unwrap().iter().map(Vec::len).collect()
    }
}

#[async_trait]
impl Step for Replicas {
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
        let lanes: Vec<LaneId> = self.hosts.iter().map(|(h, _)| cx.lanes.lane(&origin(h))).collect();
        let permit = cx.lanes.enter_any(&lanes).await;
        let at = lanes.iter().position(|l| *l == permit.lane()).unwrap();
        let began = cx.clock.now();
        let since = Duration::from_nanos(began.0);
        self.asked.lock().unwrap()[at].push(since);
        let now = self.in_flight[at].fetch_add(1, Ordering::Relaxed) + 1;
        self.peak[at].fetch_max(now, Ordering::Relaxed);
        let (host, health) = &self.hosts[at];
        let answer = health(since);
        cx.clock.sleep_until(began + answer.unwrap_or(Duration::from_millis(1))).await;
        self.in_flight[at].fetch_sub(1, Ordering::Relaxed);
        let elapsed = cx.clock.now().since(began);
        match answer {
            Some(_) => {
                permit.end(Verdict::new(Sign::Answered, elapsed));
                Ok(Applied::attach(Bytes::from_static(b"1")))
            }
            None => {
                permit.end(Verdict::new(Sign::Unreachable, elapsed));
                let fault = Fault::transient("connect", "refused");
                Err(fault.with_origin(origin(host).to_string().into()))
            }
        }
    }
}

fn job(texts: &Texts, service: &Arc<Replicas>, concurrency: Concurrency, rate: Option<Rate>) -> Orders {
    let mut o = orders(texts, vec![vec![service.clone()]]);
    let policy = LanePolicy { rate, concurrency, replica_of: Some(0) };
    o.lanes = service.hosts.iter().map(|(host, _)| (origin(host), policy)).collect();
    o.policy.retry.attempts = 2;
    o
}

fn within(ms: u64) -> Health {
    Box::new(move |_| Some(Duration::from_millis(ms)))
}

#[test]
fn each_gets_as_much_as_it_does() {
    let service = replicas(vec![("a", within(5)), ("b", within(5)), ("slow", within(50))]);
    let texts = Texts::numbers(6000);
    let end =
        drive(job(&texts, &service, Concurrency::Fixed(8), None), &MemoryLedger::new(), nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 6000, ..Counts::default() });
    let counts = service.counts();
    assert!(counts[0].abs_diff(counts[1]) < 600, "{counts:?}");
    assert!((200..600).contains(&counts[2]), "a tenth of the pace: {counts:?}");
    for peak in &service.peak {
        assert_eq!(peak.load(Ordering::Relaxed), 8);
    }
    // All eight of each are in use from start to end: 3,360 a second.
    assert!(service.span() < Duration::from_millis(2_000), "{:?}", service.span());
}

#[test]
fn rates_add_up() {
    let service = replicas(vec![("a", within(1)), ("b", within(1))]);
    let texts = Texts::numbers(1000);
    let rate = Some(Rate::per_second(50));
    let end =
        drive(job(&texts, &service, Concurrency::default(), rate), &MemoryLedger::new(), nothing).unwrap();
    assert_eq!(end.counts.done, 1000);
    let seconds = service.span().as_secs_f64();
    assert!((9.9..10.3).contains(&seconds), "{seconds}");
    for asked in service.asked.lock().unwrap().iter() {
        for (i, at) in asked.iter().enumerate() {
            let in_second = asked[i..].iter().take_while(|t| **t < *at + Duration::from_secs(1)).count();
            assert!(in_second <= 51, "{in_second}");
        }
    }
}

#[test]
fn one_that_is_down_fails_nothing_and_comes_back_into_use() {
    // It is away from the start, comes back after a while, and goes once more.
    let away = |t: Duration| t < Duration::from_secs(20) || t > Duration::from_secs(80);
    let b: Health = Box::new(move |t| if away(t) { None } else { Some(Duration::from_millis(200)) });
    let service = replicas(vec![("a", within(200)), ("b", b)]);
    let texts = Texts::numbers(8_000);
    let end =
        drive(job(&texts, &service, Concurrency::Fixed(8), None), &MemoryLedger::new(), nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 8_000, ..Counts::default() });
    let (span, asked) = (service.span(), service.asked.lock().unwrap());
    let down = asked[1].iter().filter(|t| away(**t)).count();
    let up = asked[1].len() - down;
    // Until it is known to be away, then a probe every half minute at most.
    assert!(down < 100, "{down}");
    // 40 a second, from the first probe after it came back on.
    assert!(up > 1_700, "{up}");
    // It never cost the other one anything: eight in flight, until only those wait that were sent as probes.
    let most = asked[0].len() * 95 / 100;
    let busy = Duration::from_millis(200) * u32::try_from(most).unwrap() / 8;
    let took = asked[0][most] - asked[0][0];
    assert!(busy > took.mul_f64(0.95), "{busy:?} of {took:?}");
    // A retry on its own is no probe again and again.
    assert!(span < Duration::from_secs(3_600), "{span:?}");
}

#[test]
fn when_all_are_down_from_the_start_the_run_says_so() {
    let service = replicas(vec![("a", Box::new(|_| None)), ("b", Box::new(|_| None))]);
    let texts = Texts::numbers(1000);
    let end = drive(job(&texts, &service, Concurrency::Fixed(8), None), &MemoryLedger::new(), nothing);
    let why = end.unwrap_err().to_string();
    assert!(why.contains("refused"), "{why}");
}
