//! Ranges of keys in order, read side by side while others put and delete keys: whatever crashes come, each key
//! that stays is done, and none again once that was committed.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use haul_core::job::IfChanged;
use haul_core::lane::{Sign, Verdict};
use haul_core::source::{Extent, Given, NewItem, Rereading, Slice};
use haul_core::{Cursor, Cx, Effect, Fault, Opener, Page, Position, Record, SliceId, Source, Step};
use haul_engine::ledger::MemoryLedger;
use haul_engine::{Orders, Stop, Why};
use proptest::prelude::*;

use crate::fake::{Answer, Texts, World, drive, nothing, orders, origin, service};

/// A store that is listed in order.
#[derive(Clone, Default)]
struct Keys {
    there: Arc<Mutex<BTreeSet<String>>>,
    page: usize,
    /// Slices that were ever opened.
    slices: Arc<Mutex<BTreeSet<SliceId>>>,
}

/// What is left of a range: keys after `at`, up to and with `upto`.
struct Range {
    keys: Keys,
    left: Mutex<(String, Option<String>)>,
}

impl Range {
    fn listed(&self, most: usize) -> Vec<String> {
        let (at, upto) = self.left.lock().unwrap().clone();
        let there = self.keys.there.lock().unwrap();
        let keys = there.range::<String, _>((Excluded(&at), Unbounded));
        keys.take_while(|key| upto.as_ref().is_none_or(|upto| *key <= upto)).take(most).cloned().collect()
    }
}

impl Extent for Range {
    fn spare_pages(&self) -> f64 {
        (self.listed(usize::MAX).len() / self.keys.page) as f64 - 1.0
    }

    fn give_away(&self) -> Option<Given> {
        let keys = self.listed(usize::MAX);
        let lo = keys.get(keys.len() / 2)?.clone();
        let hi = self.left.lock().unwrap().1.replace(lo.clone()).unwrap_or_default();
        Some(Given { lo, hi })
    }
}

struct Reading(Arc<Range>);

#[async_trait]
impl Source for Reading {
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let permit = cx.lanes.enter(cx.lanes.lane(&origin("list"))).await;
        let began = cx.clock.now();
        cx.clock.sleep_until(began + Duration::from_millis(20)).await;
        permit.end(Verdict::new(Sign::Answered, cx.clock.now().since(began)));
        let keys = self.0.listed(self.0.keys.page);
        let Some(last) = keys.last().cloned() else { return Ok(None) };
        self.0.left.lock().unwrap().0.clone_from(&last);
        let item = |key: &String| NewItem {
            key: key.clone().into(),
            position: Position { line: 1, offset: 0 },
            record: Ok(Record::new(format!("{{\"id\":{key:?}}}"))),
        };
        Ok(Some(Page { items: keys.iter().map(item).collect(), bytes: 1, next: Cursor(last) }))
    }

    fn extent(&self) -> Option<Arc<dyn Extent>> {
        Some(self.0.clone())
    }
}

#[async_trait]
impl Opener for Keys {
    fn slices(&self) -> Vec<Slice> {
        vec![Slice::whole()]
    }

    async fn open(&self, slice: &Slice, from: Option<&Cursor>, _: &Cx<'_>) -> Result<Box<dyn Source>, Fault> {
        self.slices.lock().unwrap().insert(slice.id);
        let lo = slice.lo.split('\n').next().unwrap();
        let at = from.map_or(lo, |cursor| &cursor.0).to_owned();
        let upto = Some(slice.hi.clone()).filter(|hi| !hi.is_empty());
        Ok(Box::new(Reading(Arc::new(Range { keys: self.clone(), left: Mutex::new((at, upto)) }))))
    }

    fn rereading(&self) -> Rereading {
        Rereading::Ordered
    }

    fn name(&self) -> &str {
        "keys"
    }
}

#[derive(Clone, Debug)]
struct Plan {
    keys: usize,
    page: usize,
    window: usize,
    /// Items after which each process ends, and whether at once.
    crashes: Vec<(u64, bool)>,
    /// Keys that are put (odd) or deleted (every eighth) after each.
    changes: Vec<Vec<usize>>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let changes = prop::collection::vec(prop::collection::vec(0usize..900, 0..12), 6);
    let crashes = prop::collection::vec((0u64..250, any::<bool>()), 0..6);
    (1usize..400, 1usize..20, 16usize..128, crashes, changes)
        .prop_map(|(keys, page, window, crashes, changes)| Plan { keys, page, window, crashes, changes })
}

fn name(n: usize) -> String {
    format!("k{n:05}")
}

fn one_process(plan: &Plan, keys: &Keys, world: &Arc<World>) -> Orders {
    let copy = service("copy", Effect::IdempotentWrite, world, |_, _| Answer::Good);
    let stages: Vec<Vec<Arc<dyn Step>>> = vec![vec![copy]];
    let mut o = orders(&Texts::numbers(0), stages);
    o.opener = Arc::new(keys.clone());
    o.policy.window_items = plan.window;
    o.policy.if_changed = IfChanged::SkipDone;
    o
}

/// Drives the processes of a plan to the end; `change`: others change the keys meanwhile.
fn carry(plan: &Plan, change: bool) -> (haul_engine::Ending, Arc<World>, Keys, u64) {
    let (world, ledger): (Arc<World>, _) = (Arc::default(), MemoryLedger::new());
    let keys = Keys { page: plan.page, ..Keys::default() };
    keys.there.lock().unwrap().extend((0..plan.keys).map(|n| name(2 * n)));
    let mut crashed = 0;
    for ((after, now), changes) in plan.crashes.iter().copied().zip(&plan.changes) {
        let ended = drive(one_process(plan, &keys, &world), &ledger, async move |handle| {
            while handle.snapshot().settled_now < after {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            handle.stop(if now { Stop::Now } else { Stop::Drain });
            nothing(handle).await;
        });
        crashed += u64::from(ended.unwrap().why != Why::Finished);
        let mut there = keys.there.lock().unwrap();
        for n in changes.iter().filter(|_| change) {
            match n % 8 {
                0 => _ = there.remove(&name(*n)),
                1 | 3 | 5 | 7 => _ = there.insert(name(*n)),
                _ => {}
            }
        }
    }
    let end = drive(one_process(plan, &keys, &world), &ledger, nothing).unwrap();
    (end, world, keys, crashed)
}

fn done(world: &World) -> BTreeSet<String> {
    world.keys.lock().unwrap().values().map(|(text, _)| text.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn ranges_of_what_stays_the_same_are_done_exactly(plan in plan()) {
        let (end, world, keys, _) = carry(&plan, false);
        prop_assert_eq!(end.why, Why::Finished);
        prop_assert_eq!(done(&world), keys.there.lock().unwrap().clone());
        prop_assert_eq!((end.counts.done, end.counts.read()), (plan.keys as u64, plan.keys as u64));
        prop_assert_eq!(world.repeated(), 0);
    }

    #[test]
    fn ranges_that_others_change_lose_nothing(plan in plan()) {
        let (end, world, keys, crashed) = carry(&plan, true);
        prop_assert_eq!(end.why, Why::Finished);
        let done = done(&world);
        let stayed = (0..plan.keys).map(|n| name(2 * n)).filter(|key| keys.there.lock().unwrap().contains(key));
        for key in stayed {
            prop_assert!(done.contains(&key), "{} was lost", key);
        }
        // Only what was under way when a process ended is done once more.
        prop_assert!(world.repeated() as u64 <= crashed * plan.window as u64);
    }
}

#[test]
fn more_ranges_are_read_where_listing_is_what_takes_time() {
    let plan = Plan { keys: 4000, page: 10, window: 4096, crashes: vec![(900, true)], changes: vec![vec![]] };
    let (end, world, keys, crashed) = carry(&plan, false);
    assert_eq!((end.counts.done, crashed, world.repeated()), (4000, 1, 0));
    let slices = keys.slices.lock().unwrap().len();
    assert!(slices > 4, "{slices} slices");
}
