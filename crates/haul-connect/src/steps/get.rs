//! `get`: a lookup. The reply's JSON is attached under the step's name.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::step::{Applied, Effect, Step};
use haul_core::{Cx, Fault, FaultClass, Item};

use super::endpoint::{Asked, Endpoint};
use super::shared::Shared;
use crate::expr::{EvalError, Expr, JsonErrorKind, validate};
use crate::http::{BodyUse, Call, HeaderLines, Meaning, Method, Reply};

/// A lookup.
pub struct Get {
    name: Arc<str>,
    endpoint: Endpoint,
    take: Option<Expr>,
    own: HeaderLines,
    shared: Shared,
}

impl Get {
    /// A lookup that attaches what `take` makes of the reply's body (`None`: the whole body), and keeps
    /// it for equal URLs as long as `cache` says.
    pub fn new(
        name: impl Into<Arc<str>>,
        endpoint: Endpoint,
        take: Option<Expr>,
        cache: Option<Duration>,
    ) -> Self {
        let own = HeaderLines::standard("application/json", endpoint.configured());
        Get { name: name.into(), endpoint, take, own, shared: Shared::new(cache) }
    }

    fn judge(&self, reply: Reply, call: &Call<'_>) -> Result<Applied, Fault> {
        let rules = self.endpoint.rules();
        match rules.meaning(reply.status) {
            Meaning::Success => self.value(&reply, call).map(Applied::attach),
            Meaning::Skip => Ok(Applied::skip(skipped(&self.name, &reply))),
            Meaning::Null => Ok(Applied::attach(Bytes::from_static(b"null"))),
            Meaning::Done => Ok(Applied::next()),
            Meaning::Fault(class) => Err(reply.status_fault(class, call, rules)),
        }
    }

    /// What is attached of a reply that succeeded.
    fn value(&self, reply: &Reply, call: &Call<'_>) -> Result<Bytes, Fault> {
        let body = &without_mark(&reply.body);
        // 204 and 205 say that there is nothing.
        if body.is_empty() && matches!(reply.status, 204 | 205) {
            return Ok(Bytes::from_static(b"null"));
        }
        let taken = match &self.take {
            Some(take) => take.eval_json(body),
            None => validate(body).map(|()| body.slice_ref(body.trim_ascii())).map_err(EvalError::NotJson),
        };
        taken.map(|value| owned(value, body)).map_err(|e| no_value(&e, reply, call))
    }
}

/// JSON without a byte-order mark, which a reader may ignore (RFC 8259 §8.1).
pub(crate) fn without_mark(body: &Bytes) -> Bytes {
    body.slice(if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }..)
}

/// A value that does not keep a much larger body alive: the budget counts the value only.
fn owned(value: Bytes, body: &Bytes) -> Bytes {
    let is_slice = body.as_ptr_range().contains(&value.as_ptr());
    if is_slice && value.len() < body.len() - body.len() / 8 { Bytes::copy_from_slice(&value) } else { value }
}

/// Why a skipped item was skipped.
pub(super) fn skipped(step: &str, reply: &Reply) -> String {
    format!("{step}: {}", reply.status)
}

/// A reply without the value that was looked for. A page for people often comes from something that
/// stands before the service for a while; JSON that stops in the middle although the transfer was
/// complete was cut off behind it. Both may be otherwise next time.
fn no_value(e: &EvalError, reply: &Reply, call: &Call<'_>) -> Fault {
    match e {
        EvalError::NotJson(_) if reply.looks_like_html() => {
            reply.body_fault(FaultClass::Transient, "json", "with HTML instead of JSON", call)
        }
        EvalError::NotJson(bad) => match bad.kind {
            JsonErrorKind::Empty => {
                reply.body_fault(FaultClass::Transient, "json", "with an empty body instead of JSON", call)
            }
            JsonErrorKind::Truncated => {
                reply.body_fault(FaultClass::Transient, "json", "with JSON that ends in the middle", call)
            }
            JsonErrorKind::Syntax | JsonErrorKind::Utf8 | JsonErrorKind::TooDeep => {
                let what = format!("with a body that is not JSON ({} at byte {})", bad.what, bad.offset);
                reply.body_fault(FaultClass::Permanent, "json", &what, call)
            }
        },
        EvalError::Failed(why) => {
            reply.body_fault(FaultClass::Permanent, "take", &format!("but take fails ({why})"), call)
        }
    }
}

#[async_trait]
impl Step for Get {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        Some(self.endpoint.names())
    }

    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Result<Applied, Fault> {
        let aim = self.endpoint.aim(item, cx)?;
        // Pinned here: a future that is handed on by value is kept twice.
        let fetch = pin!(async {
            let asked = Asked {
                method: Method::Get,
                own: &self.own,
                idempotency: None,
                body: None,
                body_use: BodyUse::Keep,
            };
            self.endpoint.ask(&aim, asked, cx, |reply, call| self.judge(reply, call)).await
        });
        self.shared.answer(aim.url.as_str(), cx, fetch).await
    }
}
