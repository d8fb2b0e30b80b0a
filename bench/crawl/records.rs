//! What counting costs: pages of records from memory instead of a service, through the engine, into
//! the aggregates of a crawl, with the ledger and the logs on disk. Prints throughput and memory by
//! tenths of the run, and fails unless the counts are exact.
//!
//!     cargo run --release -p haul --example records -- 150000000

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use haul::core::aggregate::Saved;
use haul::core::cx::RunKey;
use haul::core::lane::LanePolicy;
use haul::core::source::{NewItem, Rereading, Slice};
use haul::core::{Budget, Cursor, Cx, Fault, Key, Opener, Page, Position, Record, SliceId, Source, limits};
use haul::engine::ledger::{NewRun, Reader, SqliteLedger};
use haul::engine::{Orders, Policy, TokioClock, control, system};
use haul::job::{Given, Job, parse};

/// Records of a page.
const PAGE: u64 = 100;
/// Slices that are read side by side.
const SLICES: u64 = 150;
/// Different values that are counted: the n-th comes about 1/n as often as the first.
const FOODS: u64 = 200_000;
const CATEGORIES: u64 = 96;

const JOB: &str = r#"
haul = 1
[source]
get       = "http://127.0.0.1:9/foodstats"
items     = ".response"
offset    = "offset"
page_size = { limit = 100 }
id        = ".id"
[aggregate.food_id]
count = ".food_id"
n     = 100
[aggregate.food__category_id]
count = ".food__category_id"
"#;

/// What a record holds: a function of its id.
fn values(id: u64) -> (u64, u64) {
    let mut bits = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    let unit = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    let rank = ((unit * (FOODS as f64 + 1.0).ln()).exp() as u64).clamp(1, FOODS);
    (100_000 + rank, 1 + rank.wrapping_mul(0x9e37_79b9) % CATEGORIES)
}

struct Made(u64);

struct Making {
    at: u64,
    end: u64,
}

#[async_trait]
impl Source for Making {
    async fn next_page(&mut self, _: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let (from, end) = (self.at, (self.at + PAGE).min(self.end));
        if from >= end {
            return Ok(None);
        }
        self.at = end;
        // As a reply's body: its records are parts of it.
        let (mut body, mut cuts) = (Vec::with_capacity(64 * PAGE as usize), vec![0]);
        for id in from..end {
            let (food, category) = values(id);
            body.extend_from_slice(
                format!(r#"{{"id": {id}, "food_id": {food}, "food__category_id": {category}}}"#).as_bytes(),
            );
            cuts.push(body.len());
        }
        let body = Bytes::from(body);
        let item = |(id, cut): (u64, &[usize])| NewItem {
            key: Key(body.slice(cut[0] + 7..cut[0] + 8)),
            position: Position { line: 0, offset: id },
            record: Ok(Record::new(body.slice(cut[0]..cut[1]))),
        };
        let items = (from..end).zip(cuts.windows(2)).map(item).collect();
        Ok(Some(Page { items, bytes: end - from, next: Cursor(end.to_string()) }))
    }
}

#[async_trait]
impl Opener for Made {
    fn slices(&self) -> Vec<Slice> {
        let cut = |n: u64| (self.0 * n / SLICES).to_string();
        let slice = |n: u64| Slice { id: SliceId(n as u32), lo: cut(n), hi: cut(n + 1), parent: None };
        (0..SLICES).map(slice).collect()
    }

    async fn open(&self, s: &Slice, from: Option<&Cursor>, _: &Cx<'_>) -> Result<Box<dyn Source>, Fault> {
        let number = |text: &str| text.parse().map_err(|_| Fault::fatal("cursor", "no number"));
        Ok(Box::new(Making { at: number(from.map_or(&s.lo, |c| &c.0))?, end: number(&s.hi)? }))
    }

    fn rereading(&self) -> Rereading {
        Rereading::Once
    }

    fn name(&self) -> &str {
        "made"
    }

    fn positions_are_global(&self) -> bool {
        true
    }
}

fn orders(records: u64, job: &Job, spill: &std::path::Path) -> Result<Orders, Box<dyn std::error::Error>> {
    Ok(Orders {
        run: RunKey([0; 16]),
        opener: Arc::new(Made(records)),
        stages: Vec::new(),
        output: None,
        finish: None,
        aggregates: haul::aggregates(job, spill)?,
        lanes: Vec::new(),
        lane_default: LanePolicy {
            rate: None,
            concurrency: haul::core::pace::Concurrency::Fixed(32),
            replica_of: None,
        },
        ranks: None,
        budget: Budget::new(job.limits.memory),
        policy: Policy {
            key_log: false,
            window_items: limits::WINDOW_ITEMS_READ,
            linger: limits::COMMIT_LINGER_READ,
            ..Policy::default()
        },
    })
}

/// The most common first, of equals the smaller.
fn leaders(counts: &[u64], base: u64, n: usize) -> Vec<Vec<String>> {
    let mut all: Vec<(u64, u64)> =
        counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (base + i as u64, *n)).collect();
    all.sort_unstable_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
    all.into_iter().take(n).map(|(value, count)| vec![value.to_string(), count.to_string()]).collect()
}

fn truth(records: u64) -> [Vec<Vec<String>>; 2] {
    let (mut foods, mut categories) = (vec![0; FOODS as usize + 1], vec![0; CATEGORIES as usize + 1]);
    for id in 0..records {
        let (food, category) = values(id);
        foods[(food - 100_000) as usize] += 1;
        categories[category as usize] += 1;
    }
    [leaders(&foods, 100_000, 100), leaders(&categories, 0, 10)]
}

#[allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let records: u64 = std::env::args().nth(1).map_or(Ok(15_000_000), |n| n.parse())?;
    let scratch = std::env::args().nth(2).map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(scratch)?;
    let spill = dir.path().join("spill");
    std::fs::create_dir(&spill)?;
    let given = Given { text: JOB, name: "records", profile: None, set: &[] };
    let job = parse(&given).map_err(|_| "the job is damaged")?.job;
    let ledger = SqliteLedger::create(&dir.path().join("ledger.db"), &NewRun::new("bench", "bench", "0"))?;
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (began, settled) = (Instant::now(), AtomicU64::new(0));
    println!("{:>12}  {:>10}  {:>13}  {:>8}", "records", "records/s", "CPU µs/record", "RSS MB");
    let mut last = (0, Duration::ZERO, Duration::ZERO);
    let orders = orders(records, &job, &spill)?;
    let end = rt.block_on(async {
        let (control, handle) = control();
        let run = haul::engine::run(orders, Box::new(ledger), Arc::new(TokioClock::new()), control);
        tokio::pin!(run);
        loop {
            tokio::select! {
                end = &mut run => break end,
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    settled.store(handle.snapshot().settled_now, Relaxed);
                    let now = settled.load(Relaxed);
                    if now - last.0 >= records / 10 {
                        last = tell(last, now, began);
                    }
                }
            }
        }
    })?;
    tell(last, end.counts.done, began);
    let seconds = began.elapsed().as_secs_f64();
    let counted = Instant::now();
    let summed = Reader::open(dir.path())?.summed_up()?;
    let mut found = Vec::new();
    let mut logged = 0;
    for spec in &job.aggregates {
        let saved = summed.aggregates.iter().find(|(name, _)| *name == spec.name).map(|(_, s)| s.clone());
        if let Some(Saved::Log { len, .. }) = &saved {
            logged += len;
        }
        found.push(haul::aggregates::result(spec, &job, &spill, saved)?.rows);
    }
    println!(
        "{} records in {seconds:.1} s, {} commits, {:.0} MB of logs counted in {:.1} s, peak RSS {:.1} MB",
        end.counts.done,
        end.last.commits,
        logged as f64 / 1e6,
        counted.elapsed().as_secs_f64(),
        system::peak_resident() as f64 / 1e6
    );
    // Only now: what the truth takes is no part of the run.
    let same = found == truth(records) && end.counts.done == records;
    println!("counts {} the truth", if same { "equal" } else { "ARE NOT" });
    if same { Ok(()) } else { Err("the counts are wrong".into()) }
}

#[allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn tell(
    (records, wall, cpu): (u64, Duration, Duration),
    now: u64,
    began: Instant,
) -> (u64, Duration, Duration) {
    let (wall_now, cpu_now) = (began.elapsed(), system::cpu_time());
    let more = (now - records) as f64;
    if more > 0.0 {
        let each = (cpu_now - cpu).as_secs_f64() / more * 1e6;
        let rate = more / (wall_now - wall).as_secs_f64();
        println!("{now:>12}  {rate:>10.0}  {each:>13.2}  {:>8.1}", system::resident() as f64 / 1e6);
    }
    (now, wall_now, cpu_now)
}
