//! What every ledger keeps for people to look at: interval rows and the history of lanes.

use haul_core::UnixMs;
use haul_core::ledger::{LaneNote, TickRow};
use haul_engine::ledger::run::wall;

use super::{Kept, commit};

for_each_ledger!(ticks_thin_with_age, learned_values_are_forgotten_after_a_day);

fn ticks_thin_with_age(kept: &mut dyn Kept) {
    const HOURS: i64 = 24 * 9;
    let mut ledger = kept.open();
    let fence = ledger.recover().unwrap().fence;
    // Nine days, a row a minute, then two hours, a row a second.
    let minutes = (0..HOURS * 60).map(|m| (m * 60_000, 60_000));
    let seconds = (0..7200).map(|s| (HOURS * 3_600_000 + s * 1000, 1000));
    let all: Vec<TickRow> = minutes
        .chain(seconds)
        .map(|(at, span_ms)| TickRow {
            at: UnixMs(at),
            span_ms,
            settled: 2,
            requests: 1,
            p50_us: 7,
            ..TickRow::default()
        })
        .collect();
    for some in all.chunks(100) {
        let mut c = commit(fence);
        c.ticks = some.to_vec();
        ledger.commit(&c).unwrap();
    }
    let kept_rows = kept.ticks();
    assert!(kept_rows.windows(2).all(|w| w[0].at < w[1].at), "in order");
    assert_eq!(kept_rows.iter().map(|t| t.settled).sum::<u64>(), 2 * all.len() as u64, "nothing is lost");
    assert!(kept_rows.iter().all(|t| t.p50_us == 7));
    let newest = kept_rows.last().unwrap().at.0;
    let fine = kept_rows.iter().filter(|t| t.span_ms == 1000).count();
    assert!((3600..3800).contains(&fine), "{fine} rows of a second");
    let coarse: Vec<_> = kept_rows.iter().filter(|t| t.span_ms == 3_600_000).collect();
    assert!((45..=50).contains(&coarse.len()), "{} rows of an hour", coarse.len());
    assert!(coarse.iter().all(|t| newest - t.at.0 > 6 * 24 * 3_600_000));
    assert!(kept_rows.len() < 3800 + 7 * 24 * 60 + 200, "{}", kept_rows.len());
}

fn learned_values_are_forgotten_after_a_day(kept: &mut dyn Kept) {
    let now = wall().0;
    let note = |lane: &str, hours: i64, what, value| LaneNote {
        lane: lane.into(),
        at: UnixMs(now - hours * 3_600_000),
        what,
        value,
        reason: "x-ratelimit-limit: 50".into(),
    };
    let mut ledger = kept.open();
    let mut c = commit(ledger.recover().unwrap().fence);
    c.lanes =
        vec![note("a:80", 30, "rate", 10.0), note("b:80", 30, "rate", 1.0), note("a:80", 3, "rate", 50.0)];
    c.lanes.push(note("a:80", 2, "concurrency", 7.5));
    ledger.commit(&c).unwrap();
    assert_eq!(kept.lanes(), c.lanes, "the history is shown whole");
    let learned: Vec<(String, &str, f64)> =
        kept.open().recover().unwrap().lanes.into_iter().map(|n| (n.lane, n.what, n.value)).collect();
    assert_eq!(learned, [("a:80".to_owned(), "concurrency", 7.5), ("a:80".to_owned(), "rate", 50.0)]);
}
