//! What the engine itself costs: items from memory through a step that does nothing, with the ledger
//! on disk. Prints throughput, processor time and memory by tenths of the run.
//!
//!     cargo run --release -p haul-engine --example flat -- 100000000

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use haul_core::cx::RunKey;
use haul_core::lane::LanePolicy;
use haul_core::source::{NewItem, Rereading, Slice};
use haul_core::{
    Applied, Budget, Cursor, Cx, Effect, Fault, Item, Opener, Page, Position, Record, Source, Step, limits,
};
use haul_engine::ledger::{NewRun, SqliteLedger};
use haul_engine::{Orders, Policy, TokioClock, control, system};

struct Made(u64);

struct Making(u64, u64);

#[async_trait]
impl Source for Making {
    async fn next_page(&mut self, _: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let (from, end) = (self.0, (self.0 + limits::PAGE_ITEMS as u64).min(self.1));
        self.0 = end;
        let item = |i: u64| NewItem {
            key: i.to_string().into(),
            position: Position { line: i + 1, offset: i },
            record: Ok(Record::new(format!("{{\"user_id\":{i},\"video_id\":{i}}}"))),
        };
        let page = || Page {
            items: (from..end).map(item).collect(),
            bytes: end - from,
            next: Cursor(end.to_string()),
        };
        Ok((from < end).then(page))
    }
}

#[async_trait]
impl Opener for Made {
    fn slices(&self) -> Vec<Slice> {
        vec![Slice::whole()]
    }

    async fn open(&self, _: &Slice, from: Option<&Cursor>, _: &Cx<'_>) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(Making(from.and_then(|c| c.0.parse().ok()).unwrap_or(0), self.0)))
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
        Ok(Applied::next())
    }
}

fn orders(items: u64) -> Orders {
    Orders {
        run: RunKey([0; 16]),
        opener: Arc::new(Made(items)),
        stages: vec![vec![Arc::new(Nothing("nothing".into()))]],
        output: None,
        finish: None,
        aggregates: Vec::new(),
        lanes: Vec::new(),
        lane_default: LanePolicy {
            rate: None,
            concurrency: haul_core::pace::Concurrency::Fixed(32),
            replica_of: None,
        },
        ranks: None,
        budget: Budget::new(limits::MEMORY_DEFAULT),
        policy: Policy::default(),
    }
}

/// Where the run stands at the end of a tenth.
struct Stand {
    settled: u64,
    wall: Duration,
    cpu: Duration,
    resident: u64,
}

#[allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let items: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    let dir = tempfile::tempdir()?;
    let ledger = SqliteLedger::create(&dir.path().join("ledger.db"), &NewRun::new("bench", "bench", "0"))?;
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let stand = |settled: u64| Stand {
        settled,
        wall: began.elapsed(),
        cpu: system::cpu_time(),
        resident: system::resident(),
    };
    let mut tenths = vec![stand(0)];
    let end = rt.block_on(async {
        let (control, handle) = control();
        let run = haul_engine::run(orders(items), Box::new(ledger), Arc::new(TokioClock::new()), control);
        tokio::pin!(run);
        loop {
            tokio::select! {
                end = &mut run => break end,
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    let settled = handle.snapshot().settled_now;
                    if settled >= items / 10 * tenths.len() as u64 {
                        tenths.push(stand(settled));
                    }
                }
            }
        }
    })?;
    tenths.push(stand(end.counts.done));
    println!(
        "{} items in {:.1} s, {} commits",
        end.counts.done,
        began.elapsed().as_secs_f64(),
        end.last.commits
    );
    println!("{:>12}  {:>10}  {:>11}  {:>8}", "items", "items/s", "CPU µs/item", "RSS MB");
    for pair in tenths.windows(2) {
        let [a, b] = pair else { continue };
        let items = (b.settled - a.settled) as f64;
        if items > 0.0 {
            let rate = items / (b.wall - a.wall).as_secs_f64();
            let each = (b.cpu - a.cpu).as_secs_f64() / items * 1e6;
            println!("{:>12}  {rate:>10.0}  {each:>11.2}  {:>8.1}", b.settled, b.resident as f64 / 1e6);
        }
    }
    let size = std::fs::metadata(dir.path().join("ledger.db"))?.len();
    println!("peak RSS {:.1} MB, ledger {:.1} MB", system::peak_resident() as f64 / 1e6, size as f64 / 1e6);
    Ok(())
}
