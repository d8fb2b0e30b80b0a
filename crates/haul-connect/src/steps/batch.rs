//! `post` and `put` with `batch`: several items in one request, each with an outcome of its own.
//!
//! Items gather in the step. The worker of the first one leads: it waits for company, then for its
//! permit, and only then closes the batch, so that a slow lane makes batches larger instead of more.
//! The workers of the others wait for what it brings them. A batch that is refused as a whole is
//! halved until the items are found that are to blame.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::budget::Account;
use haul_core::job::BatchFormat;
use haul_core::step::{Applied, Effect, Step};
use haul_core::{Cx, Fault, FaultClass, Item};

use super::each::Each;
use super::endpoint::{Aim, Asked, Endpoint};
use super::gather::{Answer, Gather, Leader, Member};
use super::get::skipped;
use super::granted::Granted;
use super::outcomes::{Outcomes, list};
use super::sent::Sent;
use super::write::Body;
use crate::expr::{Expr, end_line};
use crate::http::headers::HeaderError;
use crate::http::{BodyUse, Call, Meaning, Method, Reply};

/// The member of an item under which a body finds its idempotency key.
pub const KEY_MEMBER: &str = "idempotency_key";

/// What a [`Batch`] is made of.
pub struct BatchSpec {
    /// Where requests go.
    pub endpoint: Endpoint,
    /// What is sent of an item, where `body` does not say it.
    pub part: Body,
    /// The body, over `{items: […]}`; `None`: the list of the parts.
    pub body: Option<Expr>,
    /// Items with equal values go together.
    pub by: Option<Expr>,
    /// What the reply says of each item; `None`: its status holds for all.
    pub outcomes: Option<Expr>,
    /// Most items in one request.
    pub max: u32,
    /// Longest wait for company.
    pub linger: Duration,
    /// How the body is written.
    pub format: BatchFormat,
    /// `PUT` instead of `POST`.
    pub put: bool,
    /// The body is compressed.
    pub gzip: bool,
}

/// A write of several items at once.
pub struct Batch {
    name: Arc<str>,
    spec: BatchSpec,
    outcomes: Option<Outcomes>,
    each: Option<Each>,
    sent: Sent,
    gather: Gather,
}

impl Batch {
    /// A step that gathers items.
    ///
    /// # Errors
    /// None but a header that cannot be written, which these are not.
    pub fn new(name: impl Into<Arc<str>>, mut spec: BatchSpec) -> Result<Self, HeaderError> {
        let kind = match spec.format {
            BatchFormat::Json => "application/json",
            BatchFormat::Ndjson => "application/x-ndjson",
        };
        let sent = Sent::new(kind, spec.endpoint.configured(), spec.gzip)?;
        let outcomes = spec.outcomes.take().map(Outcomes);
        let in_list = spec.format == BatchFormat::Json;
        let each = spec.body.as_ref().and_then(|body| Each::compile(body.source(), in_list));
        Ok(Batch { name: name.into(), outcomes, each, sent, gather: Gather::new(spec.max), spec })
    }

    /// What items of one batch have in common: where they go, and what `by` says.
    fn group(&self, item: &Item, aim: &Aim) -> Result<Bytes, Fault> {
        let mut group = aim.url.as_str().as_bytes().to_vec();
        if let Some(by) = &self.spec.by {
            group.push(b'\n');
            let value = by.eval_record(&item.record);
            group.extend_from_slice(
                &value
                    .map_err(|e| Fault::permanent("batch_expr", format!("batch.by {}: {e}", by.source())))?,
            );
        }
        Ok(group.into())
    }

    /// What is sent of an item, its idempotency key inside.
    fn part(&self, item: &Item, key: &str) -> Result<Bytes, Fault> {
        let mut item = item.clone();
        if self.spec.body.is_none() && !matches!(self.spec.part, Body::Record) {
            item.record = haul_core::Record::new(self.spec.part.render(&item)?);
        }
        item.record.attach(KEY_MEMBER.into(), format!("\"{key}\"").into());
        let mut out = Vec::with_capacity(item.record.len() + 64);
        item.record.write_json(&mut out);
        Ok(out.into())
    }

    /// The body of a request.
    fn body(&self, members: &[Member]) -> Result<Bytes, Fault> {
        let parts = || members.iter().map(|m| &m.part);
        let said = self.spec.body.as_ref().map_or("", Expr::source);
        let failed = |e| Fault::permanent("body_expr", format!("the body {said}: {e}"));
        if let Some(each) = &self.each {
            let values: Result<Vec<Vec<Bytes>>, _> = parts().map(|part| each.values(part)).collect();
            let values = values.map_err(failed)?;
            return Ok(self.written(values.iter().flatten()));
        }
        let Some(expr) = &self.spec.body else { return Ok(self.written(parts())) };
        let mut document = Vec::with_capacity(parts().map(|p| p.len() + 1).sum::<usize>() + 16);
        document.extend_from_slice(b"{\"items\":");
        list(parts(), &mut document);
        document.push(b'}');
        let document = Bytes::from(document);
        match self.spec.format {
            BatchFormat::Json => expr.eval_json(&document),
            BatchFormat::Ndjson => expr.eval_lines(&document).map(Bytes::from),
        }
        .map_err(failed)
    }

    /// Values as the format has them.
    fn written<'a>(&self, values: impl Iterator<Item = &'a Bytes>) -> Bytes {
        let mut out = Vec::new();
        match self.spec.format {
            BatchFormat::Json => list(values, &mut out),
            BatchFormat::Ndjson => {
                for value in values {
                    let start = out.len();
                    out.extend_from_slice(value);
                    end_line(&mut out, start);
                }
            }
        }
        out.into()
    }

    /// Waits for company and for a permit, sends, and gives every member its answer.
    async fn lead(&self, leader: Leader<'_>, aim: &Aim, cx: &Cx<'_>) {
        tokio::select! {
            biased;
            () = leader.full() => {}
            () = cx.lanes.closed() => {}
            () = cx.clock.sleep_until(cx.clock.now() + self.spec.linger) => {}
        }
        let permit = aim.enter(cx).await;
        let lanes = Granted::new(cx.lanes, permit);
        let cx = Cx { lanes: &lanes, ..*cx };
        let mut under_way = UnderWay { open: Vec::new(), sending: Vec::new(), lanes: &lanes };
        under_way.open.push(Share { members: leader.seal(), then_blame_next: false });
        while let Some(share) = under_way.open.pop() {
            under_way.sending = share.members;
            lanes.sent.store(false, Ordering::Relaxed);
            let said = self.send(aim, &under_way.sending, &cx).await;
            let members = std::mem::take(&mut under_way.sending);
            let accepted = match said {
                Said::Each(answers) => {
                    let accepted = answers.iter().all(Result::is_ok);
                    members.into_iter().zip(answers).for_each(|(m, a)| m.end(a));
                    accepted
                }
                Said::All(answer) => {
                    members.into_iter().for_each(|m| m.end(answer.clone()));
                    answer.is_ok()
                }
                Said::Refused { by_size } => {
                    under_way.halve(members, !by_size);
                    false
                }
            };
            if accepted && share.then_blame_next {
                under_way.blame();
            }
        }
    }

    /// One request.
    async fn send(&self, aim: &Aim, members: &[Member], cx: &Cx<'_>) -> Said {
        let several = members.len() > 1;
        let body = match self.body(members) {
            Ok(body) => body,
            Err(_) if several => return Said::Refused { by_size: false },
            Err(fault) => return Said::All(Err(fault)),
        };
        let (body, own) = self.sent.encode(body);
        let _held = cx.budget.hold(Account::Bodies, body.len());
        let key = request_key(members);
        let asked = Asked {
            method: if self.spec.put { Method::Put } else { Method::Post },
            own,
            idempotency: Some(&key),
            body: Some(&body),
            body_use: if self.outcomes.is_some() { BodyUse::Keep } else { BodyUse::Drain },
        };
        let judged =
            self.spec.endpoint.ask(aim, asked, cx, |reply, call| self.judge(members, &reply, call)).await;
        match judged {
            Ok(said) => said,
            Err(fault) if several && is_of_the_content(&fault) => {
                Said::Refused { by_size: fault.status() == Some(413) }
            }
            Err(fault) => Said::All(Err(fault)),
        }
    }

    fn judge(&self, members: &[Member], reply: &Reply, call: &Call<'_>) -> Result<Said, Fault> {
        let rules = self.spec.endpoint.rules();
        let good = (200..300).contains(&reply.status) && !rules.names(reply.status);
        match rules.meaning(reply.status) {
            Meaning::Success | Meaning::Fault(_) if good && reply.looks_like_html() => {
                let what = "with an HTML page (if that is how it accepts, say so with --expect)";
                Err(reply.body_fault(FaultClass::Transient, "html", what, call).ambiguous())
            }
            Meaning::Success => match &self.outcomes {
                Some(outcomes) => outcomes.read(members, reply, call, (&self.name, rules)).map(Said::Each),
                None => Ok(Said::All(Ok(Applied::next()))),
            },
            Meaning::Done | Meaning::Null => Ok(Said::All(Ok(Applied::next()))),
            Meaning::Skip => Ok(Said::All(Ok(Applied::skip(skipped(&self.name, reply))))),
            Meaning::Fault(class) => Err(reply.status_fault(class, call, rules)),
        }
    }
}

/// What a request told.
enum Said {
    /// Something of each.
    Each(Vec<Answer>),
    /// The same of all.
    All(Answer),
    /// Refused as a whole: some of them are to blame, or there are too many.
    Refused { by_size: bool },
}

/// True for a refusal that speaks of what was sent, so that a part of it may be accepted. Others (no
/// such path, no access) would be said of every part as well.
fn is_of_the_content(fault: &Fault) -> bool {
    fault.class() == FaultClass::Permanent
        && matches!(fault.status(), Some(400 | 409 | 412 | 413 | 422 | 451))
}

/// The `Idempotency-Key` of the request: the same for the same items in the same order.
fn request_key(members: &[Member]) -> String {
    if let [only] = members {
        return only.key.clone();
    }
    let all: String = members.iter().map(|m| m.key.as_str()).collect();
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(all.as_bytes()))
}

/// Members that are to be sent together.
struct Share {
    members: Vec<Member>,
    /// It is the first half of a batch that was refused: when it is accepted, the second is to blame.
    then_blame_next: bool,
}

/// Members that have no answer yet. Dropped with some left, it tells them what is known.
struct UnderWay<'a> {
    open: Vec<Share>,
    sending: Vec<Member>,
    lanes: &'a Granted<'a>,
}

impl UnderWay<'_> {
    /// Puts the halves where the next are taken from, the first on top.
    fn halve(&mut self, mut members: Vec<Member>, blamed: bool) {
        let second = members.split_off(members.len().div_ceil(2));
        self.open.push(Share { members: second, then_blame_next: false });
        self.open.push(Share { members, then_blame_next: blamed });
    }

    /// What is to blame is in the share that comes next, which need not be sent whole to know it.
    fn blame(&mut self) {
        if let Some(share) = self.open.pop() {
            match share.members.len() {
                0 | 1 => self.open.push(share),
                _ => self.halve(share.members, true),
            }
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let sent = self.lanes.sent.load(Ordering::Relaxed);
        for member in std::mem::take(&mut self.sending) {
            member.end(Err(if sent { cut_off().ambiguous() } else { cut_off() }));
        }
        for member in self.open.drain(..).flat_map(|share| share.members) {
            member.end(Err(cut_off()));
        }
    }
}

/// The leader of the batch is gone.
fn cut_off() -> Fault {
    Fault::transient("stopped", "the run was stopped before this was sent").uncharged()
}

#[async_trait]
impl Step for Batch {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn effect(&self) -> Effect {
        if self.spec.put { Effect::IdempotentWrite } else { Effect::UnsafeWrite }
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        None
    }

    fn gathers(&self) -> u32 {
        self.spec.max
    }

    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Answer {
        let aim = self.spec.endpoint.aim(item, cx)?;
        let group = self.group(item, &aim)?;
        let key = cx.run.idempotency(item, &self.name);
        let part = self.part(item, &key)?;
        let held = cx.budget.hold(Account::Bodies, part.len());
        let (member, answered) = Member::new(part, key, held);
        if let Some(leader) = self.gather.join(group, member) {
            self.lead(leader, &aim, cx).await;
        }
        answered.await.unwrap_or_else(|_| Err(cut_off()))
    }
}
