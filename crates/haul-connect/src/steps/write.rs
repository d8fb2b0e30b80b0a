//! `post` and `put`: the effect of a job, always its last step.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::budget::Account;
use haul_core::record::write_json_string;
use haul_core::step::{Applied, Effect, Step};
use haul_core::{Cx, Fault, FaultClass, Item};

use super::endpoint::{Asked, Endpoint};
use super::get::skipped;
use super::sent::Sent;
use crate::expr::Expr;
use crate::http::headers::HeaderError;
use crate::http::{BodyUse, Call, Meaning, Method, Reply};

/// What is sent.
pub enum Body {
    /// The value of an expression over the record.
    Expr(Expr),
    /// An object of lookups by name; one that attached nothing is `null`.
    Lookups(Vec<Arc<str>>),
    /// The record with everything attached.
    Record,
}

impl Body {
    /// What is sent of an item.
    ///
    /// # Errors
    /// `body_expr`: the expression has no value for it.
    pub(super) fn render(&self, item: &Item) -> Result<Bytes, Fault> {
        match self {
            Body::Expr(expr) => expr
                .eval_record(&item.record)
                .map_err(|e| Fault::permanent("body_expr", format!("the body {}: {e}", expr.source()))),
            Body::Lookups(names) => {
                let mut out = Vec::with_capacity(item.record.len() + 32);
                for (i, name) in names.iter().enumerate() {
                    out.push(if i == 0 { b'{' } else { b',' });
                    write_json_string(name, &mut out);
                    out.push(b':');
                    out.extend_from_slice(item.record.attached(name).map_or(b"null", |v| &v[..]));
                }
                out.push(b'}');
                Ok(out.into())
            }
            Body::Record => {
                let mut out = Vec::with_capacity(item.record.len() + 64);
                item.record.write_json(&mut out);
                Ok(out.into())
            }
        }
    }
}

/// A `post` or a `put`.
pub struct Write {
    name: Arc<str>,
    endpoint: Endpoint,
    body: Body,
    put: bool,
    sent: Sent,
    reads: Option<Vec<Arc<str>>>,
}

impl Write {
    /// A step that sends `body` as JSON, with an idempotency key of its own for every item; `put`:
    /// `PUT` instead of `POST`, `gzip`: compressed.
    ///
    /// # Errors
    /// None but a header that cannot be written, which these are not.
    pub fn new(
        name: impl Into<Arc<str>>,
        endpoint: Endpoint,
        body: Body,
        (put, gzip): (bool, bool),
    ) -> Result<Self, HeaderError> {
        let sent = Sent::new("application/json", endpoint.configured(), gzip)?;
        let of_body = match &body {
            Body::Expr(expr) => expr.names().map(<[_]>::to_vec),
            Body::Lookups(names) => Some(names.clone()),
            Body::Record => None,
        };
        let reads = of_body.map(|mut names| {
            names.extend(endpoint.names().iter().cloned());
            names
        });
        Ok(Write { name: name.into(), endpoint, body, put, sent, reads })
    }

    fn judge(&self, reply: &Reply, call: &Call<'_>) -> Result<Applied, Fault> {
        let rules = self.endpoint.rules();
        let good = (200..300).contains(&reply.status) && !rules.names(reply.status);
        match rules.meaning(reply.status) {
            // A sign-in or maintenance page says 200 as well, and nothing was done.
            Meaning::Success | Meaning::Fault(_) if good && reply.looks_like_html() => {
                let what = "with an HTML page (if that is how it accepts, say so with --expect)";
                Err(reply.body_fault(FaultClass::Transient, "html", what, call).ambiguous())
            }
            Meaning::Success | Meaning::Done | Meaning::Null => Ok(Applied::next()),
            Meaning::Skip => Ok(Applied::skip(skipped(&self.name, reply))),
            Meaning::Fault(class) => Err(reply.status_fault(class, call, rules)),
        }
    }
}

#[async_trait]
impl Step for Write {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn effect(&self) -> Effect {
        if self.put { Effect::IdempotentWrite } else { Effect::UnsafeWrite }
    }

    fn reads(&self) -> Option<&[Arc<str>]> {
        self.reads.as_deref()
    }

    async fn apply(&self, item: &Item, cx: &Cx<'_>) -> Result<Applied, Fault> {
        let (body, own) = self.sent.encode(self.body.render(item)?);
        let _held = cx.budget.hold(Account::Bodies, body.len());
        let key = cx.run.idempotency(item, &self.name);
        let asked = Asked {
            method: if self.put { Method::Put } else { Method::Post },
            own,
            idempotency: Some(&key),
            body: Some(&body),
            body_use: BodyUse::Drain,
        };
        self.endpoint.request(item, asked, cx, |reply, call| self.judge(&reply, call)).await
    }
}
