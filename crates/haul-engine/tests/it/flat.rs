//! A source that makes items up and a step that does nothing: what the engine itself costs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haul_core::source::{NewItem, Rereading, Slice};
use haul_core::{
    Applied, Cursor, Cx, Effect, Fault, Item, Opener, Page, Position, Record, Source, Step, limits,
};
use haul_engine::ledger::MemoryLedger;
use haul_engine::{Ending, TokioClock, control, system};

const ITEMS: u64 = 1_000_000;

/// So many items, made up as they are read.
#[derive(Clone)]
pub struct Made(pub u64);

struct Making {
    at: u64,
    end: u64,
}

#[async_trait]
impl Source for Making {
    async fn next_page(&mut self, _: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let end = (self.at + limits::PAGE_ITEMS as u64).min(self.end);
        if self.at == end {
            return Ok(None);
        }
        let items = (self.at..end).map(|i| NewItem {
            key: i.to_string().into(),
            position: Position { line: i + 1, offset: i },
            record: Ok(Record::new(format!("{{\"id\":{i}}}"))),
        });
        let items = items.collect();
        self.at = end;
        Ok(Some(Page { items, bytes: 1, next: Cursor(end.to_string()) }))
    }
}

#[async_trait]
impl Opener for Made {
    fn slices(&self) -> Vec<Slice> {
        vec![Slice::whole()]
    }

    async fn open(&self, _: &Slice, from: Option<&Cursor>, _: &Cx<'_>) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(Making { at: from.map_or(0, |c| c.0.parse().unwrap()), end: self.0 }))
    }

    fn rereading(&self) -> Rereading {
        Rereading::Seek
    }

    fn name(&self) -> &str {
        "made"
    }
}

struct Nothing(Arc<str>);

#[async_trait]
impl Step for Nothing {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn effect(&self) -> Effect {
        Effect::Pure
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        Some(&[])
    }

    async fn apply(&self, _: &Item, _: &Cx<'_>) -> Result<Applied, Fault> {
        tokio::task::yield_now().await;
        Ok(Applied::next())
    }
}

/// Set in the process that the measuring test starts for itself.
pub const ALONE: &str = "HAUL_TEST_FLAT_ALONE";

#[test]
fn a_million_items_alone() {
    let items = if std::env::var_os(ALONE).is_some() { ITEMS } else { return };
    assert_eq!(million(&MemoryLedger::new()).counts.done, items);
}

/// A million items; asserts that memory and rate are the same at the end as at the beginning.
fn million(ledger: &MemoryLedger) -> Ending {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let texts = crate::fake::Texts::numbers(0);
    let mut orders = crate::fake::orders(&texts, vec![vec![Arc::new(Nothing("nothing".into()))]]);
    orders.opener = Arc::new(Made(ITEMS));
    // The in-memory ledger would hold all key hashes; the one on disk does not.
    orders.policy.key_log = false;
    let ledger = Box::new(ledger.reopen());
    rt.block_on(async move {
        let (control, handle) = control();
        let began = system::cpu_time();
        let run = haul_engine::run(orders, ledger, Arc::new(TokioClock::new()), control);
        tokio::pin!(run);
        let mut samples: Vec<(u64, Duration, u64)> = Vec::new();
        let end = loop {
            tokio::select! {
                end = &mut run => break end.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    let settled = handle.snapshot().settled_now;
                    samples.push((settled, system::cpu_time(), system::resident()));
                }
            }
        };
        let whole = system::cpu_time();
        let tenth = samples.iter().find(|s| s.0 >= ITEMS / 10).copied().unwrap();
        let last = samples.iter().find(|s| s.0 >= ITEMS * 9 / 10).copied().unwrap();
        let grown = last.2.saturating_sub(tenth.2);
        assert!(grown < 6 << 20, "grew by {} KiB after the first tenth", grown >> 10);
        // Processor time, not the clock: the machines that run tests are noisy. The strict figure is
        // measured in bench/.
        let per_item = |cpu: Duration, items: u64| cpu.as_secs_f64() / items as f64 * 1e6;
        let first = per_item(tenth.1 - began, tenth.0);
        let end_rate = per_item(whole - last.1, ITEMS - last.0);
        assert!(
            end_rate < first * 1.5 + 0.5,
            "an item took {first:.2} µs at first, {end_rate:.2} µs at the end"
        );
        end
    })
}
