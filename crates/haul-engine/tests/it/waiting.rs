//! Bad days: services that stay away, machines that sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use haul_core::{Clock, Counts, Moment, UnixMs};
use haul_engine::ledger::MemoryLedger;
use haul_engine::{TokioClock, Why};

use crate::engine::enrich;
use crate::fake::{Answer, Texts, World, drive, drive_by, nothing};

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
