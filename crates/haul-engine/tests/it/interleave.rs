//! Any interleaving of crash and restart gives the same outcome.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use haul_core::sink::{Mark, Row};
use haul_core::source::Rereading;
use haul_core::step::Render;
use haul_core::{Counts, Effect, Fault, Item, Sink, Step};
use haul_engine::ledger::MemoryLedger;
use haul_engine::{Orders, Output, Stop, Why};
use proptest::prelude::*;

use crate::fake::{Answer, Texts, World, drive, nothing, orders, service};

/// A file in memory: what was appended after the last mark is there after a crash, and must be cut.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn append(&mut self, rows: &[Row]) -> Result<(), Fault> {
        let rows = rows.iter().map(|r| String::from_utf8(r.0.to_vec()).unwrap());
        self.0.lock().unwrap().extend(rows);
        Ok(())
    }

    fn sync(&mut self) -> Result<Mark, Fault> {
        Ok(Mark { file: 1, len: self.0.lock().unwrap().len() as u64, tail: 0 })
    }

    fn cut(&mut self, to: &Mark) -> Result<(), Fault> {
        let mut lines = self.0.lock().unwrap();
        assert!(lines.len() as u64 >= to.len, "a committed row is gone");
        lines.truncate(to.len as usize);
        Ok(())
    }
}

struct KeyOnly;

impl Render for KeyOnly {
    fn render(&self, item: &Item, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.extend_from_slice(&item.key.0);
        Ok(())
    }
}

/// How one process of the run ends.
#[derive(Clone, Copy, Debug)]
enum Crash {
    /// The ledger fails after so many commits.
    AtCommit(u64),
    /// Attempts are dropped after so many items were settled.
    After(u64),
    /// A polite stop.
    Drained(u64),
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![
        (0u64..6).prop_map(Crash::AtCommit),
        (0u64..200).prop_map(Crash::After),
        (0u64..200).prop_map(Crash::Drained),
    ]
}

#[derive(Clone, Debug)]
struct Plan {
    items: usize,
    page: usize,
    window: usize,
    refed: bool,
    faults: u64,
    crashes: Vec<Crash>,
}

fn plan() -> impl Strategy<Value = Plan> {
    (1usize..400, 1usize..40, 16usize..128, any::<bool>(), any::<u64>(), prop::collection::vec(crash(), 0..6))
        .prop_map(|(items, page, window, refed, faults, crashes)| Plan {
            items,
            page,
            window,
            refed,
            faults,
            crashes,
        })
}

fn one_process(plan: &Plan, texts: &Texts, world: &Arc<World>, lines: &Lines) -> Orders {
    let faults = plan.faults;
    let answer = move |salt: u64| {
        move |text: &str, n: u64| {
            let mut hash = faults ^ salt;
            for b in text.bytes().chain(n.to_le_bytes()) {
                hash = (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3).rotate_left(17);
            }
            match hash % 16 {
                0 | 1 => Answer::Fails,
                2 => Answer::LosesReply,
                _ => Answer::Good,
            }
        }
    };
    let lookups: Vec<Arc<dyn Step>> = vec![
        service("user", Effect::Read, world, answer(1)),
        service("video", Effect::Read, world, answer(2)),
    ];
    let index = service("index", Effect::UnsafeWrite, world, answer(3));
    let mut o = orders(texts, vec![lookups, vec![index]]);
    o.policy.window_items = plan.window;
    o.policy.retry.attempts = 50;
    o.output =
        Some(Output { name: "lines".into(), sink: Box::new(lines.clone()), render: Arc::new(KeyOnly) });
    o
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn crashes_and_restarts_change_nothing_in_the_end(plan in plan()) {
        let (world, ledger, lines): (Arc<World>, _, _) = (Arc::default(), MemoryLedger::new(), Lines::default());
        // Every seventh text is bad input.
        let bad = |i: usize| i % 7 == 3;
        let mut texts = Texts::new((0..plan.items).map(|i| if bad(i) { format!("!{i}") } else { i.to_string() }));
        texts.page = plan.page;
        texts.rereading = if plan.refed { Rereading::Refeed } else { Rereading::Seek };
        for crash in plan.crashes.iter().copied() {
            let o = one_process(&plan, &texts, &world, &lines);
            if let Crash::AtCommit(n) = crash {
                ledger.break_after(n);
            }
            let ended = drive(o, &ledger, async move |handle| {
                let (n, how) = match crash {
                    Crash::AtCommit(_) => return nothing(handle).await,
                    Crash::After(n) => (n, Stop::Now),
                    Crash::Drained(n) => (n, Stop::Drain),
                };
                while handle.snapshot().settled_now < n {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                handle.stop(how);
                nothing(handle).await;
            });
            ledger.break_after(u64::MAX);
            if let Ok(end) = ended {
                prop_assert!(end.counts.read() <= plan.items as u64);
            }
        }
        let end = drive(one_process(&plan, &texts, &world, &lines), &ledger, nothing).unwrap();
        let rejected = (0..plan.items).filter(|i| bad(*i)).count();
        let good = plan.items - rejected;
        prop_assert_eq!(end.why, Why::Finished);
        let expected = Counts { done: good as u64, rejected: rejected as u64, ..Counts::default() };
        prop_assert_eq!(end.counts, expected);
        prop_assert_eq!((world.unique(), world.repeated()), (good, 0));
        let lines = lines.0.lock().unwrap();
        prop_assert_eq!(lines.len(), good);
        prop_assert_eq!(lines.iter().collect::<HashSet<_>>().len(), good);
    }
}
