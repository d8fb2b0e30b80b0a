//! The engine against scripted services, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haul_core::job::{Delivery, IfChanged, OnInvalid};
use haul_core::ledger::Ledger;
use haul_core::source::Rereading;
use haul_core::{Counts, Effect, Seq, Step};
use haul_engine::ledger::MemoryLedger;
use haul_engine::{EngineError, Orders, Stop, Why};

use crate::fake::{Answer, Texts, World, drive, nothing, orders, service};

pub fn enrich(
    texts: &Texts,
    world: &Arc<World>,
    user: impl Fn(&str, u64) -> Answer + Send + Sync + 'static,
    index: impl Fn(&str, u64) -> Answer + Send + Sync + 'static,
) -> Orders {
    let lookups: Vec<Arc<dyn Step>> = vec![
        service("user", Effect::Read, world, user),
        service("video", Effect::Read, world, |_, _| Answer::Good),
    ];
    orders(texts, vec![lookups, vec![service("index", Effect::UnsafeWrite, world, index)]])
}

fn good(_: &str, _: u64) -> Answer {
    Answer::Good
}

#[test]
fn every_item_is_done_once_and_the_line_adds_up() {
    let (world, ledger, texts) = (Arc::default(), MemoryLedger::new(), Texts::numbers(5000));
    let end = drive(enrich(&texts, &world, good, good), &ledger, nothing).unwrap();
    assert_eq!(end.why, Why::Finished);
    assert_eq!(end.counts, Counts { done: 5000, ..Counts::default() });
    assert_eq!((world.unique(), world.repeated(), world.sends.load(Ordering::Relaxed)), (5000, 0, 5000));
    assert_eq!(end.open, 0);
}

#[test]
fn faults_are_retried_with_memos_and_nothing_is_lost_or_repeated() {
    let (world, ledger, texts) = (Arc::default(), MemoryLedger::new(), Texts::numbers(2000));
    let index = |t: &str, n: u64| match (t.len() + n as usize) % 5 {
        0 => Answer::Fails,
        1 => Answer::LosesReply,
        _ => Answer::Good,
    };
    let end = drive(
        enrich(&texts, &world, |_, n| if n == 1 { Answer::Fails } else { Answer::Good }, index),
        &ledger,
        nothing,
    )
    .unwrap();
    assert_eq!(end.counts, Counts { done: 2000, ..Counts::default() });
    assert_eq!((world.unique(), world.repeated()), (2000, 0));
    // Each user is asked for twice, each video once: the memo keeps the half that worked.
    assert_eq!(world.lookups.load(Ordering::Relaxed), 6000);
    assert!(end.last.memo_saved >= 2000, "{}", end.last.memo_saved);
}

#[test]
fn an_item_parked_for_ten_minutes_holds_back_neither_watermark_nor_window() {
    let (world, ledger, texts): (Arc<World>, _, _) =
        (Arc::default(), MemoryLedger::new(), Texts::numbers(20_000));
    let mut o =
        enrich(&texts, &world, good, |t, n| if t == "7" && n < 4 { Answer::Fails } else { Answer::Good });
    o.policy.backoff.base = Duration::from_secs(600);
    o.policy.backoff.cap = Duration::from_secs(600);
    let (looker, seen) = (ledger.reopen(), Arc::new(AtomicBool::new(false)));
    let flag = seen.clone();
    let end = drive(o, &ledger, async move |handle| {
        while handle.snapshot().settled_now < 19_999 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let snapshot = handle.snapshot();
        assert!(snapshot.elapsed_ms < 540_000, "the others took {} ms", snapshot.elapsed_ms);
        let mut now = looker.reopen();
        let slices = now.recover().unwrap().slices;
        assert_eq!(slices[0].watermark, Seq(20_000));
        assert_eq!(slices[0].resume.first, Seq(20_000));
        flag.store(true, Ordering::Relaxed);
        nothing(handle).await;
    });
    // Looking raised the fence: the engine notices that it is no longer the owner.
    assert!(seen.load(Ordering::Relaxed));
    assert!(matches!(end, Err(EngineError::Ledger(_))), "{end:?}");
}

#[test]
fn three_hours_of_outage_fail_nothing_and_it_goes_on_by_itself() {
    let (world, ledger, texts): (Arc<World>, _, _) =
        (Arc::default(), MemoryLedger::new(), Texts::numbers(30_000));
    let down = Arc::new(AtomicBool::new(false));
    let (script, switch) = (down.clone(), down.clone());
    let index =
        move |_: &str, _: u64| if script.load(Ordering::Relaxed) { Answer::Down } else { Answer::Good };
    let mut o = enrich(&texts, &world, good, index);
    // Nobody is charged for it.
    o.policy.retry.attempts = 1;
    let end = drive(o, &ledger, async move |handle| {
        while handle.snapshot().settled_now < 1000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        switch.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        let s = handle.snapshot();
        assert!(
            s.waiting_for.iter().any(|w| w.contains("index:80 cannot be reached")),
            "{:?}",
            s.waiting_for
        );
        assert!(s.parked < 1000, "{} parked: the lane waits as a whole", s.parked);
        assert!(s.window <= 4096 && s.memory.1 < 4 << 20, "{} in the window, {:?} bytes", s.window, s.memory);
        switch.store(false, Ordering::Relaxed);
        nothing(handle).await;
    })
    .unwrap();
    assert_eq!(end.counts, Counts { done: 30_000, ..Counts::default() });
    assert_eq!((world.unique(), world.repeated()), (30_000, 0));
    assert!(end.last.elapsed_ms >= 3 * 3_600_000);
    let sends = world.sends.load(Ordering::Relaxed);
    assert!(sends < 30_000 + 1000, "{sends} sends: an outage costs a probe every 30 s");
}

#[test]
fn refused_credentials_before_the_first_success_end_the_run_with_nothing_settled() {
    let (world, ledger, texts): (Arc<World>, _, _) =
        (Arc::default(), MemoryLedger::new(), Texts::numbers(100));
    let end = drive(enrich(&texts, &world, |_, _| Answer::Denies, good), &ledger, nothing);
    let Err(EngineError::Fault(fault)) = end else { panic!("{end:?}") };
    assert!(fault.message().contains("user:80 refuses access"), "{fault}");
    assert_eq!(ledger.counts(), Counts::default());
}

#[test]
fn hosts_that_items_name_fail_their_items_only() {
    for dead in [Answer::Denies, Answer::Down] {
        let (world, ledger, texts): (Arc<World>, _, _) =
            (Arc::default(), MemoryLedger::new(), Texts::numbers(400));
        let mut orders = enrich(&texts, &world, move |_, _| dead, good);
        orders.lanes.clear();
        let end = drive(orders, &ledger, nothing).unwrap();
        assert_eq!(end.counts, Counts { failed: 400, ..Counts::default() });
        assert!(end.last.retries <= 400 * 8, "{} retries", end.last.retries);
    }
}

#[test]
fn items_that_are_forbidden_fail_alone_and_do_not_hold_up_the_end() {
    for share in [50, 10, 2] {
        let (world, ledger, texts): (Arc<World>, _, _) =
            (Arc::default(), MemoryLedger::new(), Texts::numbers(3000));
        let forbids = move |text: &str, _: u64| {
            let n: u64 = text.parse().unwrap();
            if n > 0 && n.is_multiple_of(share) { Answer::Forbids } else { Answer::Good }
        };
        let end = drive(enrich(&texts, &world, forbids, good), &ledger, nothing).unwrap();
        let failed = 2999 / share;
        assert_eq!(end.counts, Counts { done: 3000 - failed, failed, ..Counts::default() }, "1 in {share}");
        assert!(end.last.retries <= failed * 4, "1 in {share}: {} retries", end.last.retries);
    }
}

#[test]
fn attempts_run_out_and_permanent_faults_fail_at_once() {
    let (world, ledger, texts): (Arc<World>, _, _) =
        (Arc::default(), MemoryLedger::new(), Texts::numbers(100));
    let index = |t: &str, _: u64| match t {
        "3" => Answer::Fails,
        "4" => Answer::Refuses,
        _ => Answer::Good,
    };
    let end = drive(enrich(&texts, &world, good, index), &ledger, nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 98, failed: 2, ..Counts::default() });
    let rows = ledger.exceptions();
    let row = |k: &str| rows.iter().find(|r| r.key.to_string() == k).unwrap();
    assert_eq!((row("3").attempts, row("4").attempts), (8, 1));
    assert_eq!(row("4").fault.signature, "index index:80 400 #");
    assert_eq!(row("3").memos.len(), 2);
}

#[test]
fn a_lost_reply_under_at_most_once_is_in_doubt_and_never_sent_again() {
    let (world, ledger, texts): (Arc<World>, _, _) =
        (Arc::default(), MemoryLedger::new(), Texts::numbers(50));
    let index = |t: &str, n: u64| match t {
        "7" => Answer::LosesReply,
        "8" if n < 3 => Answer::Fails,
        _ => Answer::Good,
    };
    let mut o = enrich(&texts, &world, good, index);
    o.policy.delivery = Delivery::AtMostOnce;
    let end = drive(o, &ledger, nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 49, in_doubt: 1, ..Counts::default() });
    assert_eq!(world.sends.load(Ordering::Relaxed), 50 + 2);
}

#[test]
fn bad_input_is_rejected_with_its_place_or_stops_the_run() {
    let texts = || Texts::new(["a", "!b", "c"].map(String::from));
    let (world, ledger): (Arc<World>, _) = (Arc::default(), MemoryLedger::new());
    let end = drive(enrich(&texts(), &world, good, good), &ledger, nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 2, rejected: 1, ..Counts::default() });
    assert_eq!(ledger.exceptions()[0].fault.message, "texts:2: it starts with !");

    let ledger = MemoryLedger::new();
    let mut o = enrich(&texts(), &world, good, good);
    o.policy.on_invalid = OnInvalid::Stop;
    let end = drive(o, &ledger, nothing).unwrap();
    assert_eq!(end.why, Why::Invalid { message: "texts:2: it starts with !".into() });
    assert_eq!(end.counts.rejected, 0);
}

#[test]
fn a_limit_stops_reading_and_a_higher_one_goes_on_from_there() {
    let (world, ledger, texts): (Arc<World>, _, _) =
        (Arc::default(), MemoryLedger::new(), Texts::numbers(100));
    for (limit, total) in [(Some(21), 21), (Some(21), 21), (Some(32), 32), (None, 100)] {
        let mut o = enrich(&texts, &world, good, good);
        o.policy.limit = limit;
        let end = drive(o, &ledger, nothing).unwrap();
        assert_eq!(end.counts, Counts { done: total, ..Counts::default() });
    }
    assert_eq!((world.unique(), world.repeated(), world.sends.load(Ordering::Relaxed)), (100, 0, 100));
}

#[test]
fn stopping_lets_attempts_end_and_the_next_process_goes_on() {
    let (world, ledger, texts): (Arc<World>, _, _) =
        (Arc::default(), MemoryLedger::new(), Texts::numbers(3000));
    let end = drive(enrich(&texts, &world, good, good), &ledger, async |handle| {
        while handle.snapshot().settled_now < 500 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        handle.stop(Stop::Drain);
        nothing(handle).await;
    })
    .unwrap();
    assert_eq!(end.why, Why::Stopped);
    assert!(end.counts.done < 3000);
    assert_eq!(end.counts.done, world.sends.load(Ordering::Relaxed), "what was sent is committed");
    let end = drive(enrich(&texts, &world, good, good), &ledger, nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 3000, ..Counts::default() });
    assert_eq!((world.unique(), world.repeated(), world.sends.load(Ordering::Relaxed)), (3000, 0, 3000));
    let end = drive(enrich(&texts, &world, good, good), &ledger, nothing).unwrap();
    assert!(end.nothing_new);
}

/// Runs over `before`, changes the input to `after`, runs again.
fn change(
    before: &[&str],
    after: &[&str],
    policy: IfChanged,
    rereading: Rereading,
) -> (Result<Counts, u64>, usize, usize) {
    let (world, ledger): (Arc<World>, _) = (Arc::default(), MemoryLedger::new());
    let mut texts = Texts::new(before.iter().map(|s| s.to_string()));
    texts.rereading = rereading;
    drive(enrich(&texts, &world, good, good), &ledger, nothing).unwrap();
    *texts.texts.lock().unwrap() = after.iter().map(|s| s.to_string()).collect();
    let mut o = enrich(&texts, &world, good, good);
    o.policy.if_changed = policy;
    let result = match drive(o, &ledger, nothing) {
        Ok(end) => Ok(end.counts),
        Err(EngineError::Changed { seq, .. }) => Err(seq),
        Err(other) => panic!("{other}"),
    };
    (result, world.unique(), world.sends.load(Ordering::Relaxed) as usize)
}

#[test]
fn changed_input_is_noticed_and_the_policy_decides() {
    let before = ["a", "b", "c", "d"];
    let done = |n| Ok(Counts { done: n, ..Counts::default() });
    for rereading in [Rereading::Seek, Rereading::Refeed] {
        let change = |after: &[&str], policy| change(&before, after, policy, rereading);
        // Only grew.
        assert_eq!(change(&["a", "b", "c", "d", "e"], IfChanged::Stop), (done(5), 5, 5));
        // A line was prepended.
        let after = ["x", "a", "b", "c", "d"];
        assert_eq!(change(&after, IfChanged::Stop).0, Err(1));
        let skipped = Ok(Counts { done: 5, skipped: 4, ..Counts::default() });
        assert_eq!(change(&after, IfChanged::SkipDone), (skipped, 5, 5));
        assert_eq!(change(&after, IfChanged::All), (done(9), 5, 9));
        // A line in the middle changed: what stands before it is known.
        let after = ["a", "b", "x", "d"];
        assert_eq!(change(&after, IfChanged::Stop).0, Err(3));
        assert_eq!(change(&after, IfChanged::All), (done(6), 5, 6));
        let skipped = Ok(Counts { done: 5, skipped: 1, ..Counts::default() });
        assert_eq!(change(&after, IfChanged::SkipDone), (skipped, 5, 5));
    }
}

#[test]
fn a_million_items_through_a_fast_step_at_a_flat_rate_in_flat_memory() {
    // In a process of its own: other tests would be counted as its memory.
    let test = "flat::a_million_items_alone";
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(crate::flat::ALONE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_stop_does_not_wait_for_a_service_that_is_down() {
    for delivery in [Delivery::AtLeastOnce, Delivery::AtMostOnce] {
        let (world, ledger, texts): (Arc<World>, _, _) =
            (Arc::default(), MemoryLedger::new(), Texts::numbers(3000));
        let down = Arc::new(AtomicBool::new(false));
        let (script, switch) = (down.clone(), down.clone());
        let index =
            move |_: &str, _: u64| if script.load(Ordering::Relaxed) { Answer::Down } else { Answer::Good };
        let mut o = enrich(&texts, &world, good, index);
        o.policy.delivery = delivery;
        let end = drive(o, &ledger, async move |handle| {
            while handle.snapshot().settled_now < 500 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            switch.store(true, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(600)).await;
            assert!(!handle.snapshot().waiting_for.is_empty());
            let before = handle.snapshot().elapsed_ms;
            handle.stop(Stop::Drain);
            while handle.snapshot().in_work > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(handle.snapshot().elapsed_ms < before + 5000);
            }
            nothing(handle).await;
        })
        .unwrap();
        assert_eq!(end.why, Why::Stopped);
        assert_eq!(end.counts.in_doubt, 0, "what was held back was not sent");
        down.store(false, Ordering::Relaxed);
        let mut o = enrich(&texts, &world, good, good);
        o.policy.delivery = delivery;
        let end = drive(o, &ledger, nothing).unwrap();
        assert_eq!(end.counts, Counts { done: 3000, ..Counts::default() });
        assert_eq!((world.unique(), world.repeated()), (3000, 0));
    }
}

/// Every seventh item is urgent.
struct Sevens;

impl haul_core::rank::Ranks for Sevens {
    fn rank(&self, record: &haul_core::Record) -> haul_core::rank::Rank {
        let text = String::from_utf8_lossy(record.base()).into_owned();
        let n: u64 = text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap();
        haul_core::rank::Rank::new(if n.is_multiple_of(7) { 2 } else { 0 })
    }
}

#[test]
fn urgent_items_of_the_window_are_begun_first_and_the_others_get_a_tenth() {
    let (world, ledger, texts) = (Arc::default(), MemoryLedger::new(), Texts::numbers(1400));
    let order: Arc<std::sync::Mutex<Vec<u64>>> = Arc::default();
    let log = order.clone();
    let index = move |text: &str, _: u64| {
        log.lock().unwrap().push(text.parse().unwrap());
        Answer::Good
    };
    let mut o = enrich(&texts, &world, good, index);
    o.ranks = Some(Arc::new(Sevens));
    o.policy.goal = Some(haul_core::job::Goal::parse("p50 < 1h").unwrap());
    // Everything is in the window before the first one is begun.
    let end = drive(o, &ledger, nothing).unwrap();
    assert_eq!(end.counts, Counts { done: 1400, ..Counts::default() });
    let goal = end.last.goal.unwrap();
    assert_eq!((goal.met, goal.items, goal.goal.as_str()), (true, 1400, "p50 < 1h"));
    assert!(ledger.lanes().iter().any(|n| n.what == "goal" && n.reason == "p50 < 1h: met over 1400 items"));
    let order = order.lock().unwrap();
    let urgent = |n: &&u64| n.is_multiple_of(7);
    let (first, last) = (&order[300..900], &order[1100..]);
    let others = last.iter().filter(urgent).count();
    assert!(order[..300].iter().filter(urgent).count() > 150, "{:?}", &order[..300]);
    assert_eq!(others, 0, "the urgent ones are all done by then");
    assert!(first.iter().any(|n| !n.is_multiple_of(7)), "the others are not left waiting");
}
