//! The limiter against simulated services: one with a knee, fixed, moving or hidden behind errors.
//! Goodput is that of a minute after the first 10 s, against the best of several fixed limits.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::service::{Kind, Quota, Service, Sizes, ms, secs};
use super::sim::{Client, Decides, Log, Ns, Sim, best_fixed};

const FROM: Ns = secs(10);
const UNTIL: Ns = secs(70);

/// Median goodput against the best fixed limit, and median limit, over a minute and three seeds.
fn measure(service: &Service, tune: impl Fn(&mut Client), limits: &[u32]) -> (f64, f64) {
    let run = |mut client: Client, seed| {
        tune(&mut client);
        Sim::new(service, vec![client], seed).run(UNTIL).remove(0)
    };
    let mut goods = Vec::new();
    let mut weights = Vec::new();
    let is_random = !matches!(service.sizes, Sizes::Equal) || service.hangs > 0.0;
    for seed in 0..if is_random { 3 } else { 1 } {
        let best =
            limits.iter().map(|n| run(Client::fixed(*n), seed).goodput(FROM, UNTIL)).fold(0.0, f64::max);
        let log = run(Client::auto(), seed);
        goods.push(log.goodput(FROM, UNTIL) / best);
        weights.push(log.limit(FROM, UNTIL));
    }
    (median(goods), median(weights))
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn untuned(_: &mut Client) {}

fn around(knee: u32) -> [u32; 2] {
    [knee, knee + knee / 2 + 1]
}

fn alone(service: &Service, until: Ns) -> Log {
    Sim::new(service, vec![Client::auto()], 1).run(until).remove(0)
}

/// When goodput over a second first reaches a rate, counted from `from`.
fn reaches(log: &Log, rate: f64, from: Ns) -> Option<Ns> {
    (0..300).map(|i| i * ms(100)).find(|t| log.goodput(from + t, from + t + secs(1)) >= rate)
}

#[test]
fn a_fixed_knee_is_found_and_kept() {
    for (knee, time) in [(1, 20), (2, 50), (4, 20), (8, 10), (16, 20), (16, 100), (64, 50)] {
        for kind in [Kind::Shared, Kind::Line] {
            for sizes in [Sizes::Equal, Sizes::Jitter(ms(time))] {
                let service = Service { kind, sizes, ..Service::knee(knee, ms(time)) };
                let (goodput, limit) = measure(&service, untuned, &around(knee));
                let case =
                    format!("{knee} at {time} ms, {kind:?}, {sizes:?}: {goodput:.3}, limit {limit:.1}");
                assert!(goodput >= 0.975, "{case}");
                // Whole numbers are coarse for few in flight.
                let most = match knee {
                    1 => 3.1,
                    2..=8 => 2.0,
                    _ => 1.4,
                };
                assert!(limit <= most * f64::from(knee), "{case}");
            }
        }
    }
}

#[test]
fn mixed_sizes_hide_no_queue_and_look_like_none() {
    for (one_of, more) in [(2, 40), (10, 180), (50, 400)] {
        for kind in [Kind::Shared, Kind::Line] {
            let sizes = Sizes::Mixed(one_of, ms(more));
            let service = Service { kind, sizes, ..Service::knee(16, ms(20)) };
            let (goodput, limit) = measure(&service, untuned, &around(16));
            let case = format!("{kind:?}, one of {one_of} {more} ms more: {goodput:.3}, limit {limit:.1}");
            assert!(goodput >= 0.95 && limit <= 1.4 * 16.0, "{case}");
        }
    }
}

#[test]
fn a_halved_knee_is_followed_at_once() {
    for (knee, time) in [(16, 20), (64, 100)] {
        let mut service = Service::knee(knee, ms(time));
        service.capacity.push((secs(30), knee / 2));
        let log = alone(&service, secs(90));
        let half = f64::from(knee / 2);
        let (goodput, limit) = (log.goodput(secs(40), secs(90)), log.limit(secs(32), secs(90)));
        assert!(goodput >= 0.98 * half * 1e3 / time as f64, "{goodput}/s");
        assert!(limit <= 1.4 * half, "{limit}");
    }
}

#[test]
fn a_doubled_knee_is_used_within_ten_seconds() {
    for (knee, time) in [(4, 20), (16, 20), (16, 200), (64, 100), (16, 1000)] {
        let mut service = Service::knee(knee, ms(time));
        service.capacity.push((secs(60), 2 * knee));
        let log = alone(&service, secs(100));
        let full = f64::from(2 * knee) * 1e3 / time as f64;
        let there = reaches(&log, 0.95 * full, secs(60)).expect("it never gets there");
        assert!(there <= secs(10), "{knee} at {time} ms: {} s", there / secs(1));
        let limit = log.limit(secs(70), secs(100));
        assert!(limit <= 1.4 * f64::from(2 * knee), "{knee} at {time} ms: {limit}");
    }
}

#[test]
fn spikes_neither_shrink_it_for_long_nor_raise_its_base() {
    for (every, long, more) in [(7, 300, 200), (5, 2000, 100)] {
        let spikes = (1..20).map(|i| (secs(i * every), secs(i * every) + ms(long), ms(more))).collect();
        let service = Service { spikes, ..Service::knee(16, ms(20)) };
        let (goodput, limit) = measure(&service, untuned, &around(16));
        assert!(
            goodput >= 0.95 && limit <= 2.0 * 16.0,
            "{long} ms of {more} ms: {goodput:.3}, limit {limit:.1}"
        );
    }
}

#[test]
fn a_steady_share_of_errors_costs_itself_only() {
    for knee in [4, 16] {
        let whole = alone(&Service::knee(knee, ms(20)), UNTIL).goodput(FROM, UNTIL);
        for (errors, refusals) in [(0.05, 0.0), (0.0, 0.05), (0.025, 0.025), (0.2, 0.0)] {
            let service = Service { errors, refusals, ..Service::knee(knee, ms(20)) };
            let log = alone(&service, UNTIL);
            let kept = log.goodput(FROM, UNTIL) / (whole * (1.0 - errors - refusals));
            let limit = log.limit(FROM, UNTIL) / f64::from(knee);
            let case = format!("{knee}: {errors} + {refusals}: {kept:.3}, limit {limit:.2} K");
            assert!(kept >= 0.98 && limit <= if knee < 8 { 1.6 } else { 1.4 }, "{case}");
        }
    }
}

#[test]
fn requests_that_are_never_answered_hold_places_but_not_the_rest() {
    let service = Service { hangs: 0.01, ..Service::knee(16, ms(20)) };
    let patience = |c: &mut Client| c.timeout = secs(5);
    // At one in a hundred, about 40 of them are in flight all the time.
    let (goodput, limit) = measure(&service, patience, &[48, 56, 64]);
    assert!(goodput >= 0.93 && limit <= 80.0, "{goodput:.3}, limit {limit:.1}");
}

#[test]
fn it_comes_back_from_an_outage_by_itself() {
    for (hangs, timeout) in [(false, 30), (true, 5)] {
        let mut service = Service::knee(16, ms(20));
        match hangs {
            false => service.down = Some((secs(20), secs(80))),
            true => service.silent = vec![(secs(20), secs(80))],
        }
        let mut client = Client::auto();
        client.timeout = secs(timeout);
        let log = Sim::new(&service, vec![client], 1).run(secs(120)).remove(0);
        assert_eq!(log.goodput(secs(26), secs(79)), 0.0);
        assert!(log.limit(secs(60), secs(80)) <= 2.0, "{}", log.limit(secs(60), secs(80)));
        let back = reaches(&log, 0.95 * 800.0, secs(80)).expect("it never comes back");
        assert!(back <= secs(10), "{} ms", back / ms(1));
        assert!(log.limit(secs(95), secs(120)) <= 1.4 * 16.0);
    }
}

#[test]
fn a_door_without_a_line_is_known_after_a_few_knocks() {
    for knee in [4, 16, 64] {
        let service = Service { kind: Kind::Door, ..Service::knee(knee, ms(20)) };
        let (goodput, limit) = measure(&service, untuned, &[knee]);
        assert!(goodput >= 0.95 && limit <= 1.1 * f64::from(knee), "{knee}: {goodput:.3}, {limit:.1}");
    }
}

#[test]
fn quotas_are_used_up_and_their_edges_are_no_reason_to_stop() {
    let per = |count, window, retry_after| {
        let quota = Some(Quota { count, window: secs(window), retry_after });
        Service { quota, ..Service::knee(1000, ms(20)) }
    };
    for (count, window, retry_after) in
        [(100, 1, None), (100, 1, Some(secs(1))), (1000, 10, Some(secs(1))), (3000, 60, Some(secs(5)))]
    {
        let log = alone(&per(count, window, retry_after), secs(130));
        let share = log.goodput(secs(0), secs(120)) * window as f64 / count as f64;
        assert!(share >= 0.95, "{count} in {window} s, come back in {retry_after:?}: {share:.3}");
    }
    // Told to stay away for longer than the quota's own window: as good as any fixed limit that meets it.
    let service = per(100, 1, Some(secs(3)));
    let (goodput, _) = measure(&service, untuned, &[8, 32, 64]);
    assert!(goodput >= 0.95, "{goodput:.3}");
}

#[test]
fn it_does_not_grow_beyond_what_the_source_brings() {
    for rate in [10.0, 200.0, 700.0] {
        let mut client = Client::auto();
        client.source = Some(rate);
        let log = Sim::new(&Service::knee(16, ms(20)), vec![client], 1).run(UNTIL).remove(0);
        assert!(log.goodput(FROM, UNTIL) >= 0.99 * rate, "{rate}");
        assert!(log.most(0, UNTIL) <= 32, "{rate}: {}", log.most(0, UNTIL));
    }
}

#[test]
fn a_pace_is_used_from_its_first_second_on_and_no_limit_is_kept_that_it_does_not_need() {
    for (rate, time, spread) in [(1000.0, 100, 200), (1000.0, 20, 0), (100.0, 100, 200), (20.0, 200, 0)] {
        let sizes = if spread > 0 { Sizes::Jitter(ms(spread)) } else { Sizes::Equal };
        let service = Service { sizes, ..Service::knee(100_000, ms(time)) };
        let log = Sim::new(&service, vec![Client::paced(rate)], 1).run(secs(30)).remove(0);
        let (needed, case) = (rate * (time + spread) as f64 / 1e3, format!("{rate}/s at {time} ms"));
        // Sent from the first moment on; a reply comes a while later.
        let late = ms(time + spread);
        let (first, all) = (log.goodput(late, late + secs(1)), log.goodput(late, secs(30)));
        assert!(first >= 0.97 * rate - 1.0, "{case}: {first}");
        assert!(all >= 0.999 * rate - 0.1, "{case}: {all}");
        assert!(log.limit(secs(5), secs(30)) <= (4.0 * needed).max(5.0), "{case}: {:?}", log.limits);
    }
}

#[test]
fn a_pace_that_the_service_does_not_carry_is_no_harm() {
    for kind in [Kind::Shared, Kind::Line] {
        for rate in [900.0, 2000.0, 10_000.0] {
            let service = Service { kind, ..Service::knee(16, ms(20)) };
            let log = Sim::new(&service, vec![Client::paced(rate)], 1).run(UNTIL).remove(0);
            let (goodput, limit) = (log.goodput(FROM, UNTIL), log.limit(FROM, UNTIL));
            let case = format!("{rate}/s, {kind:?}: {goodput:.0}/s, limit {limit:.1}");
            assert!(goodput >= 0.95 * 800.0, "{case}");
            // What is known of the time without load was taken in a queue: it holds, a little higher.
            assert!(limit <= 80.0, "{case}");
        }
    }
}

#[test]
fn a_slow_client_neither_runs_away_nor_collapses() {
    // Time without load, and what a reply costs the client: it is the client that is full.
    for (time, work, least, most) in
        [(50_000, 30_000, 16.0, 128.0), (50_000, 300_000, 2.0, 16.0), (ms(20), 300_000, 60.0, 100.0)]
    {
        let service = Service::knee(100_000, time);
        let mut client = Client::auto();
        client.work = work;
        let log = Sim::new(&service, vec![client], 1).run(secs(30)).remove(0);
        let (goodput, limit) = (log.goodput(FROM, secs(30)), log.limit(FROM, secs(30)));
        let case = format!("{time} ns, {work} ns: {goodput:.0}/s, limit {limit:.1}");
        assert!(goodput >= 0.98 * 1e9 / work as f64, "{case}");
        assert!((least..=most).contains(&limit), "{case}");
    }
}

#[test]
fn two_runs_share_a_service() {
    for (knee, time, gap) in [(16, 20, 15), (64, 20, 15), (16, 100, 0), (128, 50, 25)] {
        let mut late = Client::auto();
        late.start = secs(gap);
        let logs = Sim::new(&Service::knee(knee, ms(time)), vec![Client::auto(), late], 1).run(secs(120));
        let [a, b] = [0, 1].map(|i: usize| logs[i].goodput(secs(60), secs(120)));
        let case = format!("{knee} at {time} ms, {gap} s apart: {a:.0}/s and {b:.0}/s");
        assert!(a.max(b) <= 2.0 * a.min(b), "{case}");
        assert!(a + b >= 0.98 * f64::from(knee) * 1e3 / time as f64, "{case}");
        let limits: f64 = logs.iter().map(|l| l.limit(secs(60), secs(120))).sum();
        assert!(limits <= 2.0 * f64::from(knee), "{case}: limits {limits}");
    }
}

#[test]
fn bounds_hold_and_equal_ones_fix_it() {
    for (min, max) in [(8, 12), (20, 64), (5, 5), (32, 32)] {
        let log = Sim::new(&Service::knee(16, ms(20)), vec![Client::bounded(min, max)], 1).run(secs(30));
        assert!(log[0].limits.iter().all(|(_, l)| (min..=max).contains(l)), "{min}..{max}");
        assert!(min != max || log[0].changes.is_empty());
    }
}

#[test]
fn each_change_says_why() {
    let mut service = Service { refusals: 0.02, ..Service::knee(16, ms(20)) };
    service.down = Some((secs(20), secs(22)));
    let log = alone(&service, secs(30));
    let reasons: Vec<String> = log.changes.iter().map(|(_, c)| c.reason.to_string()).collect();
    for wanted in
        ["all used; replies take 20.1 ms, 20.1 ms without load", "wait in a queue", "refused or lost"]
    {
        assert!(reasons.iter().any(|r| r.contains(wanted)), "{wanted}: {reasons:?}");
    }
    assert!(log.changes.windows(2).all(|w| w[0].1.limit != w[1].1.limit));
}

proptest! {
    // The same cases each time, so that a change is judged by what it changes. There are histories that leave
    // the limit at three times the knee for a minute: four times the capacity for a second, with a queue.
    #![proptest_config(ProptestConfig { cases: 12, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// Whatever a service went through, soon after it is used in full, and not flooded.
    #[test]
    fn it_is_never_stuck(
        seed in any::<u64>(),
        knee in 2u32..64,
        time in 5u64..150,
        line in any::<bool>(),
        bad in prop::collection::vec((0.1f64..6.0, 0u8..5), 1..6),
    ) {
        let mut service = Service::knee(knee, ms(time));
        service.kind = if line { Kind::Line } else { Kind::Shared };
        let mut now = secs(1);
        for (long, what) in bad {
            let until = now + (long * 1e9) as Ns;
            match what {
                0 => service.down = Some((now, until)),
                1 => service.spikes.push((now, until, ms(10 * time))),
                2 => service.silent.push((now, until)),
                3 => service.capacity.extend([(now, 1), (until, knee)]),
                _ => service.capacity.extend([(now, 4 * knee), (until, knee)]),
            }
            now = until;
        }
        let mut client = Client::auto();
        client.timeout = secs(5);
        let log = Sim::new(&service, vec![client], seed).run(now + secs(60)).remove(0);
        let (from, until) = (now + secs(45), now + secs(60));
        let goodput = log.goodput(from, until) * time as f64 / 1e3 / f64::from(knee);
        let limit = log.limit(from, until);
        prop_assert!(goodput >= 0.93, "goodput {goodput:.3}, limit {limit:.1} of {knee}");
        prop_assert!(limit <= 2.5 * f64::from(knee) + 2.0, "limit {limit:.1} of {knee}");
    }
}

#[test]
fn the_simulator_knows_what_a_fixed_limit_carries() {
    let service = Service::knee(16, ms(20));
    for (limit, wanted) in [(8, 400.0), (16, 800.0), (32, 800.0)] {
        let goodput = best_fixed(&service, &[limit], FROM, secs(20)).0;
        assert!((goodput / wanted - 1.0f64).abs() < 0.01, "{limit}: {goodput}");
    }
    // Four times the knee are shed at once, and take the place of those that would be carried.
    assert!(matches!(Client::fixed(3).decides, Decides::Fixed(3)));
    assert!(best_fixed(&service, &[100], FROM, secs(20)).0 < 800.0);
}
