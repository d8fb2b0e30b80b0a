//! A scripted source and scripted steps, and a world that remembers what was really done to it.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::cx::RunKey;
use haul_core::lane::{LanePolicy, Sign};
use haul_core::pace::Concurrency;
use haul_core::source::{NewItem, Rejection, Rereading, Slice};
use haul_core::{
    Applied, Budget, Clock, Cursor, Cx, Effect, Fault, Fingerprint, Item, Opener, Origin, Page, Position,
    Record, Source, Step, Verdict,
};
use haul_engine::ledger::MemoryLedger;
use haul_engine::{Control, Ending, EngineError, Handle, Orders, Policy, TokioClock, control};

/// Items are the texts of a shared list; a text that starts with `!` is bad input.
#[derive(Clone)]
pub struct Texts {
    pub texts: Arc<Mutex<Vec<String>>>,
    pub page: usize,
    pub rereading: Rereading,
    /// After the list: false ends, true stays open for ever.
    pub endless: bool,
}

impl Texts {
    pub fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let texts = Arc::new(Mutex::new(texts.into_iter().collect()));
        Texts { texts, page: 16, rereading: Rereading::Seek, endless: false }
    }

    pub fn numbers(n: usize) -> Self {
        Texts::new((0..n).map(|i| i.to_string()))
    }

    fn prefix(&self, n: usize) -> Fingerprint {
        let mut hash = std::hash::DefaultHasher::new();
        self.texts.lock().unwrap().get(..n).hash(&mut hash);
        Fingerprint(hash.finish().to_string())
    }
}

struct Reading(Texts, usize);

#[async_trait]
impl Source for Reading {
    async fn next_page(&mut self, _: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let at = self.1;
        let end = (at + self.0.page).min(self.0.texts.lock().unwrap().len());
        if at >= end {
            if self.0.endless {
                std::future::pending::<()>().await;
            }
            return Ok(None);
        }
        let texts = self.0.texts.lock().unwrap()[at..end].to_vec();
        let items = texts.iter().enumerate().map(|(i, t)| NewItem {
            key: t.clone().into(),
            position: Position { line: (at + i + 1) as u64, offset: (at + i) as u64 },
            record: match t.starts_with('!') {
                true => Err(Rejection { reason: "it starts with !".into(), raw: t.clone().into() }),
                false => Ok(Record::new(format!("{{\"id\":{t:?}}}"))),
            },
        });
        let items = items.collect();
        self.1 = end;
        let print = self.0.prefix(end).0;
        Ok(Some(Page { items, bytes: (end - at) as u64, next: Cursor(format!("{end}|{print}")) }))
    }
}

fn offset(cursor: &Cursor) -> usize {
    cursor.0.split('|').next().unwrap().parse().unwrap()
}

#[async_trait]
impl Opener for Texts {
    fn slices(&self) -> Vec<Slice> {
        vec![Slice::whole()]
    }

    async fn open(&self, _: &Slice, from: Option<&Cursor>, _: &Cx<'_>) -> Result<Box<dyn Source>, Fault> {
        let at = match self.rereading {
            Rereading::Seek | Rereading::Ordered => from.map_or(0, offset),
            Rereading::Refeed | Rereading::Once => 0,
        };
        Ok(Box::new(Reading(self.clone(), at)))
    }

    async fn fingerprint(&self, upto: &Cursor, _: &Cx<'_>) -> Result<Fingerprint, Fault> {
        Ok(self.prefix(offset(upto)))
    }

    fn remembered(&self, cursor: &Cursor) -> Fingerprint {
        Fingerprint(cursor.0.split_once('|').unwrap().1.to_owned())
    }

    fn rereading(&self) -> Rereading {
        self.rereading
    }

    fn name(&self) -> &str {
        "texts"
    }
}

/// What was really done: effects by idempotency key, and by text.
#[derive(Default)]
pub struct World {
    pub keys: Mutex<HashMap<String, (String, u64)>>,
    pub lookups: AtomicU64,
    pub sends: AtomicU64,
}

impl World {
    /// Texts that took effect under more than one key.
    pub fn repeated(&self) -> usize {
        let keys = self.keys.lock().unwrap();
        let mut texts: HashMap<&str, u32> = HashMap::new();
        for (text, _) in keys.values() {
            *texts.entry(text).or_default() += 1;
        }
        texts.values().filter(|n| **n > 1).count()
    }

    pub fn unique(&self) -> usize {
        let keys = self.keys.lock().unwrap();
        keys.values().map(|(t, _)| t).collect::<std::collections::HashSet<_>>().len()
    }
}

type Script = dyn Fn(&str, u64) -> Answer + Send + Sync;

/// What a service does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Good,
    /// 500 before the effect.
    Fails,
    /// The effect happens, the reply is lost.
    LosesReply,
    /// Connection refused.
    Down,
    /// 400.
    Refuses,
    /// 401.
    Denies,
    /// 403.
    Forbids,
}

/// A step at a service that follows a script: (text, how often it was asked for this text).
pub struct Service {
    pub name: Arc<str>,
    pub effect: Effect,
    pub world: Arc<World>,
    pub script: Box<Script>,
    pub latency: Duration,
    tries: Mutex<HashMap<String, u64>>,
}

pub fn service(
    name: &str,
    effect: Effect,
    world: &Arc<World>,
    script: impl Fn(&str, u64) -> Answer + Send + Sync + 'static,
) -> Arc<Service> {
    Arc::new(Service {
        name: name.into(),
        effect,
        world: world.clone(),
        script: Box::new(script),
        latency: Duration::from_millis(5),
        tries: Mutex::default(),
    })
}

pub fn origin(name: &str) -> Origin {
    Origin { scheme: "http".into(), host: name.into(), port: 80, credential: "".into() }
}

#[async_trait]
impl Step for Service {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        Some(&[])
    }

    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Result<Applied, Fault> {
        let lane = cx.lanes.lane(&origin(&self.name));
        let permit = cx.lanes.enter(lane).await;
        let began = cx.clock.now();
        cx.clock.sleep_until(began + self.latency).await;
        let text = item.key.to_string();
        let answer = {
            let mut tries = self.tries.lock().unwrap();
            let n = tries.entry(text.clone()).or_default();
            *n += 1;
            (self.script)(&text, *n)
        };
        let takes_effect = matches!(answer, Answer::Good | Answer::LosesReply);
        match self.effect {
            Effect::Read => _ = self.world.lookups.fetch_add(1, Ordering::Relaxed),
            _ => _ = self.world.sends.fetch_add(1, Ordering::Relaxed),
        }
        if takes_effect && self.effect.is_write() {
            let key = cx.run.idempotency(item, &self.name);
            self.world.keys.lock().unwrap().entry(key).or_insert((text, 0)).1 += 1;
        }
        let elapsed = cx.clock.now().since(began);
        let status = match answer {
            Answer::Denies => Some(401),
            Answer::Forbids => Some(403),
            _ => None,
        };
        let end = |sign| permit.end(Verdict { status, ..Verdict::new(sign, elapsed) });
        let at = |f: Fault| f.with_origin(origin(&self.name).to_string().into());
        match answer {
            Answer::Good => {
                end(Sign::Answered);
                Ok(match self.effect {
                    Effect::Read => Applied::attach(Bytes::from_static(b"{\"v\": 1.0}")),
                    _ => Applied::next(),
                })
            }
            Answer::Fails => {
                end(Sign::Erred);
                Err(at(Fault::transient("status", "500").with_status(500)))
            }
            Answer::LosesReply => {
                end(Sign::Lost);
                Err(at(Fault::transient("reset", "connection reset").ambiguous()))
            }
            Answer::Down => {
                end(Sign::Unreachable);
                Err(at(Fault::transient("connect", "refused")))
            }
            Answer::Refuses => {
                end(Sign::Answered);
                Err(at(Fault::permanent("status", "400").with_status(400)))
            }
            Answer::Denies => {
                end(Sign::Denied);
                Err(at(Fault::transient("status", "401").with_status(401)))
            }
            Answer::Forbids => {
                end(Sign::Denied);
                Err(at(Fault::transient("status", "403").with_status(403)))
            }
        }
    }
}

pub fn orders(texts: &Texts, stages: Vec<Vec<Arc<dyn Step>>>) -> Orders {
    let policy = LanePolicy { rate: None, concurrency: Concurrency::Fixed(32), replica_of: None };
    let lanes = stages.iter().flatten().map(|step| (origin(step.name()), policy)).collect();
    Orders {
        run: RunKey([9; 16]),
        opener: Arc::new(texts.clone()),
        stages,
        output: None,
        finish: None,
        aggregates: Vec::new(),
        lanes,
        lane_default: policy,
        ranks: None,
        budget: Budget::new(12 << 20),
        policy: Policy::default(),
    }
}

/// Runs on a paused clock; the handle is given to `during`, which runs beside it.
pub fn drive(
    orders: Orders,
    ledger: &MemoryLedger,
    during: impl AsyncFnOnce(Handle) + 'static,
) -> Result<Ending, EngineError> {
    drive_by(|| Arc::new(TokioClock::simulated()), orders, ledger, during)
}

/// As [`drive`], by a clock of its own.
pub fn drive_by(
    clock: impl FnOnce() -> Arc<dyn Clock>,
    orders: Orders,
    ledger: &MemoryLedger,
    during: impl AsyncFnOnce(Handle) + 'static,
) -> Result<Ending, EngineError> {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let ledger = Box::new(ledger.reopen());
    rt.block_on(async move {
        let (control, handle): (Control, Handle) = control();
        let run = haul_engine::run(orders, ledger, clock(), control);
        tokio::pin!(run);
        tokio::select! {
            biased;
            done = &mut run => done,
            () = during(handle) => run.await,
        }
    })
}

pub async fn nothing(_: Handle) {
    std::future::pending::<()>().await
}
