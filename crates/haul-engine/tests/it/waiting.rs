//! Bad days: services that stay away, machines that sleep.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use haul_core::lane::Sign;
use haul_core::pace::hint::Stated;
use haul_core::{
    Applied, Clock, Counts, Cx, Effect, Fault, FaultClass, Item, LaneId, Moment, Step, UnixMs, Verdict,
};
use haul_engine::ledger::MemoryLedger;
use haul_engine::{Stop, TokioClock, Why};

use crate::engine::enrich;
use crate::fake::{Answer, Texts, World, drive, drive_by, nothing, orders, origin};

fn good(_: &str, _: u64) -> Answer {
    Answer::Good
}

#[test]
fn a_service_that_stays_away_is_given_up_after_a_while_and_nothing_is_lost() {
    let (world, ledger, texts): (Arc<World>, _, _) =
        (Arc::default(), MemoryLedger::new(), Texts::numbers(3000));
    let down = Arc::new(AtomicBool::new(false));
    let (script, switch) = (down.clone(), down.clone());
    let index =
        move |_: &str, _: u64| if script.load(Ordering::Relaxed) { Answer::Down } else { Answer::Good };
    let mut o = enrich(&texts, &world, good, index);
    o.policy.retry.give_up_after = Some(Duration::from_secs(3600));
    let end = drive(o, &ledger, async move |handle| {
        while handle.snapshot().settled_now < 500 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        switch.store(true, Ordering::Relaxed);
        nothing(handle).await;
    })
    .unwrap();
    let Why::GaveUp { message } = &end.why else { panic!("{:?}", end.why) };
    assert_eq!(message, "index:80 cannot be reached (refused) for 60 min");
    assert!((3_600_000..3_700_000).contains(&end.last.elapsed_ms), "{}", end.last.elapsed_ms);
    assert_eq!(end.counts.failed, 0);
    down.store(false, Ordering::Relaxed);
    let end = drive(enrich(&texts, &world, good, good), &ledger, nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 3000, ..Counts::default() });
    assert_eq!((world.unique(), world.repeated()), (3000, 0));
}

/// A clock on a machine that can be suspended: the wall goes on meanwhile.
struct Machine(TokioClock, Arc<AtomicI64>);

#[async_trait]
impl Clock for Machine {
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn wall(&self) -> UnixMs {
        UnixMs(self.0.wall().0 + self.1.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, until: Moment) {
        self.0.sleep_until(until).await;
    }
}

#[test]
fn what_a_suspend_cuts_off_is_charged_to_nobody() {
    for suspended in [true, false] {
        let (world, ledger, texts): (Arc<World>, _, _) =
            (Arc::default(), MemoryLedger::new(), Texts::numbers(2000));
        let (cut, slept) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let (script, switch, ahead) = (cut.clone(), cut.clone(), slept.clone());
        let user = move |_: &str, _: u64| match script.load(Ordering::Relaxed) {
            true => Answer::LosesReply,
            false => Answer::Good,
        };
        let mut o = enrich(&texts, &world, user, good);
        o.policy.retry.attempts = 1;
        let machine = move || -> Arc<dyn Clock> { Arc::new(Machine(TokioClock::simulated(), ahead)) };
        let end = drive_by(machine, o, &ledger, async move |handle| {
            while handle.snapshot().settled_now < 200 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            switch.store(true, Ordering::Relaxed);
            if suspended {
                slept.fetch_add(8 * 3_600_000, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(8)).await;
            switch.store(false, Ordering::Relaxed);
            nothing(handle).await;
        })
        .unwrap();
        assert_eq!(end.counts.done == 2000, suspended, "{:?}", end.counts);
        assert!(end.last.faults > 0);
    }
}

/// Takes so many requests in each window, and says so.
struct Metered {
    name: Arc<str>,
    quota: u64,
    window: Duration,
    /// States the limit with every reply; or only says `Retry-After` when there are too many.
    states: bool,
    /// Current window, and requests in it.
    at: Mutex<(u64, u64)>,
    sends: AtomicU64,
    refusals: AtomicU64,
    /// When the last request came, ms.
    last: AtomicU64,
}

impl Metered {
    fn new(quota: u64, window: Duration, states: bool) -> Arc<Self> {
        let (at, sends, refusals, last) = Default::default();
        Arc::new(Metered { name: "metered".into(), quota, window, states, at, sends, refusals, last })
    }

    fn counts(&self) -> (u64, u64) {
        (self.sends.load(Ordering::Relaxed), self.refusals.load(Ordering::Relaxed))
    }

    /// What is left of the window, if the request is taken, and the time until the next.
    fn take(&self, now: Moment) -> (Option<u64>, Duration) {
        let window = self.window.as_nanos() as u64;
        let mut at = self.at.lock().unwrap();
        if at.0 != now.0 / window {
            *at = (now.0 / window, 0);
        }
        at.1 += 1;
        (self.quota.checked_sub(at.1), Duration::from_nanos(window - now.0 % window))
    }

    fn state(&self, left: u64, reset: Duration, lane: LaneId, cx: &Cx<'_>) {
        let whole = Duration::from_secs((reset.as_millis() as u64).div_ceil(1000));
        if self.states {
            let (limit, left, reset) = (Some(self.quota), Some(left), Some(whole));
            cx.lanes.stated(lane, &[Stated { limit, left, reset, ..Stated::default() }]);
        }
    }
}

#[async_trait]
impl Step for Metered {
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
        let lane = cx.lanes.lane(&origin(&self.name));
        let permit = cx.lanes.enter(lane).await;
        self.sends.fetch_add(1, Ordering::Relaxed);
        let (left, reset) = self.take(cx.clock.now());
        self.last.store(cx.clock.now().0 / 1_000_000, Ordering::Relaxed);
        cx.clock.sleep_until(cx.clock.now() + Duration::from_millis(20)).await;
        self.state(left.unwrap_or(0), reset, lane, cx);
        let elapsed = Duration::from_millis(20);
        if left.is_some() {
            permit.end(Verdict::new(Sign::Answered, elapsed));
            return Ok(Applied::next());
        }
        self.refusals.fetch_add(1, Ordering::Relaxed);
        permit.end(Verdict { retry_after: Some(reset), ..Verdict::new(Sign::Throttled, elapsed) });
        Err(Fault::new(FaultClass::Throttled, "status", "429")
            .with_origin("metered:80".into())
            .with_retry_after(Some(reset)))
    }
}

#[test]
fn a_quota_of_hours_is_waited_for_without_holding_items() {
    for states in [true, false] {
        // A day is the same, and takes longer to simulate.
        let hours = Duration::from_secs(4 * 3600);
        let (service, ledger) = (Metered::new(1000, hours, states), MemoryLedger::new());
        let mut o = orders(&Texts::numbers(2500), vec![vec![service.clone()]]);
        o.policy.retry.attempts = 1;
        let end = drive(o, &ledger, async move |handle| {
            tokio::time::sleep(Duration::from_secs(1800)).await;
            let now = handle.snapshot();
            assert_eq!(now.counts.done, 1000);
            assert_eq!((now.window, now.in_work), (0, 0), "states {states}");
            assert!(now.memory.0 < 64 << 10, "{} bytes held", now.memory.0);
            // What had been read goes to the ledger, and no more is.
            assert!(now.parked <= 1500, "{}", now.parked);
            let told = now.waiting_for.join("; ");
            let wanted = match states {
                true => "metered:80 has used up its quota, and goes on in 3 h",
                false => "metered:80 asked to wait 3 h",
            };
            assert!(told.starts_with(wanted), "{told}");
            nothing(handle).await;
        })
        .unwrap();
        assert_eq!(end.counts, Counts { done: 2500, ..Counts::default() });
        let (sends, refusals) = service.counts();
        // Counted down, none is sent only to be refused; else those in flight are.
        assert!(refusals <= if states { 0 } else { 2 * 32 }, "{refusals} of {sends} refused");
        let windows = end.last.elapsed_ms as f64 / hours.as_millis() as f64;
        assert!((1.9..2.2).contains(&windows), "{windows} windows");
        let pauses = ledger.lanes().into_iter().filter(|n| n.what == "pause" && n.value > 60.0).count();
        assert!((2..=6).contains(&pauses), "{pauses}");
    }
}

#[test]
fn a_stated_rate_is_kept_to_and_told_with_its_reason() {
    let (service, ledger) = (Metered::new(100, Duration::from_secs(1), true), MemoryLedger::new());
    let mut o = orders(&Texts::numbers(3000), vec![vec![service.clone()]]);
    o.lanes[0].1.rate = Some(haul_core::pace::Rate::per_second(5000));
    let end = drive(o, &ledger, nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 3000, ..Counts::default() });
    // As the first replies come, 32 are in flight.
    let (sends, refusals) = service.counts();
    assert!(refusals <= 32, "{refusals} of {sends} refused");
    // The clock of the simulation begins at 1 s.
    let took = service.last.load(Ordering::Relaxed) - 1000;
    assert!((29_000..31_000).contains(&took), "{took} ms");
    let note = ledger.lanes().into_iter().find(|n| n.what == "rate").unwrap();
    assert_eq!((note.lane.as_str(), note.value), ("metered:80", 100.0));
    assert_eq!(note.reason, "the service states 100 in 1 s");
    assert_eq!(
        (end.last.lanes[0].rate, end.last.lanes[0].rate_why.as_str()),
        (Some(100.0), "the service states 100 in 1 s")
    );
}

#[test]
fn a_pause_that_was_asked_for_holds_in_the_next_process() {
    let hour = Duration::from_secs(3600);
    let (service, ledger) = (Metered::new(100, hour, true), MemoryLedger::new());
    let o = || orders(&Texts::numbers(150), vec![vec![service.clone()]]);
    let end = drive(o(), &ledger, async |handle| {
        while handle.snapshot().waiting_for.is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        handle.stop(Stop::Drain);
        nothing(handle).await;
    })
    .unwrap();
    assert_eq!((end.why, end.counts.done), (Why::Stopped, 100));
    // The simulated clock of the second process begins at its start, so its windows do as well.
    *service.at.lock().unwrap() = (0, 100);
    let end = drive(o(), &ledger, nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 150, ..Counts::default() });
    assert_eq!(service.counts(), (150, 0), "nothing is sent to ask again");
}

/// Each item names a host of its own; all of them answer, until none can be reached.
struct Hosts {
    name: Arc<str>,
    gone: Arc<AtomicBool>,
    tries: AtomicU64,
}

#[async_trait]
impl Step for Hosts {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        Some(&[])
    }

    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Result<Applied, Fault> {
        let at = origin(&format!("host-{}", item.seq.0 % 400));
        let permit = cx.lanes.enter(cx.lanes.lane(&at)).await;
        // However many are tried at once, the first ones still get through.
        let is_early = self.tries.fetch_add(1, Ordering::Relaxed) < 100;
        let elapsed = Duration::from_millis(100);
        cx.clock.sleep_until(cx.clock.now() + elapsed).await;
        if !is_early && self.gone.load(Ordering::Relaxed) {
            permit.end(Verdict::new(Sign::Unreachable, elapsed));
            return Err(Fault::transient("connect", "no address").with_origin(at.to_string().into()));
        }
        permit.end(Verdict::new(Sign::Answered, elapsed));
        Ok(Applied::next())
    }
}

#[test]
fn without_a_network_no_host_is_blamed_and_little_is_tried() {
    let (gone, ledger) = (Arc::new(AtomicBool::new(true)), MemoryLedger::new());
    let hosts = Arc::new(Hosts { name: "page".into(), gone: gone.clone(), tries: AtomicU64::new(0) });
    let mut o = orders(&Texts::numbers(400), vec![vec![hosts.clone()]]);
    o.lanes.clear();
    o.policy.retry.attempts = 2;
    let counter = hosts.clone();
    let end = drive(o, &ledger, async move |handle| {
        tokio::time::sleep(Duration::from_secs(600)).await;
        let told = handle.snapshot().waiting_for.join("; ");
        assert!(told.starts_with("no host can be reached any more: this machine's own network"), "{told}");
        gone.store(false, Ordering::Relaxed);
        assert!(counter.tries.load(Ordering::Relaxed) < 400 * 80, "each about every ten seconds");
        nothing(handle).await;
    })
    .unwrap();
    assert_eq!(end.counts, Counts { done: 400, ..Counts::default() });
}
