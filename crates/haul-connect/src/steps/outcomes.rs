//! What a reply says about each item of a batch: one expression, whose value is a list in the order
//! of the items, or an object by idempotency key.

use bytes::Bytes;
use haul_core::{Applied, Fault, FaultClass};
use serde_json::Value;

use super::gather::{Answer, Member};
use crate::expr::{EvalError, Expr, JsonErrorKind};
use crate::http::reply::{bounded, excerpt, origin_of};
use crate::http::status::{is_ambiguous, reason};
use crate::http::{Call, Meaning, Reply, StatusRules};

/// Maps a reply to outcomes.
pub(super) struct Outcomes(pub(super) Expr);

/// What an item is judged by.
struct Bench<'a> {
    step: &'a str,
    rules: &'a StatusRules,
    reply: &'a Reply,
    call: &'a Call<'a>,
}

impl Outcomes {
    /// An answer for each member, in order.
    ///
    /// # Errors
    /// When the reply does not say what became of the items: they may all have been accepted.
    pub(super) fn read(
        &self,
        members: &[Member],
        reply: &Reply,
        call: &Call<'_>,
        (step, rules): (&str, &StatusRules),
    ) -> Result<Vec<Answer>, Fault> {
        let value = self.0.eval_json(&reply.body).map_err(|e| no_outcomes(&e, reply, call))?;
        let bench = Bench { step, rules, reply, call };
        let odd = |what: String| reply.body_fault(FaultClass::Permanent, "outcomes", &what, call).ambiguous();
        match serde_json::from_slice(&value) {
            Ok(Value::Array(said)) if said.len() == members.len() => {
                Ok(said.iter().map(|value| bench.answer(value)).collect())
            }
            Ok(Value::Array(said)) => {
                Err(odd(format!("but outcomes gives {} for {} items", said.len(), members.len())))
            }
            Ok(Value::Object(said)) => {
                let answer = |m: &Member| match said.get(&m.key) {
                    Some(value) => bench.answer(value),
                    None => Err(odd("but outcomes has nothing for this item".to_owned())),
                };
                Ok(members.iter().map(answer).collect())
            }
            _ => Err(odd(format!("but outcomes gives {}, not a list or an object", shown(&value)))),
        }
    }
}

impl Bench<'_> {
    /// `null` and `true` are success, text is an error, a number is a status, `{status, error}` both.
    fn answer(&self, value: &Value) -> Answer {
        match value {
            Value::Null | Value::Bool(true) => Ok(Applied::next()),
            Value::Bool(false) => Err(self.refused("refused")),
            Value::String(text) => Err(self.refused(&quoted(text))),
            Value::Number(_) => self.by_status(value, None),
            Value::Object(members) => {
                let error = members.get("error").filter(|e| !matches!(e, Value::Null | Value::Bool(false)));
                let error = error.map(|e| match e {
                    Value::String(text) => quoted(text),
                    Value::Bool(_) => "refused".to_owned(),
                    other => excerpt(other.to_string().as_bytes(), &[]),
                });
                match members.get("status").filter(|s| !s.is_null()) {
                    Some(status) => self.by_status(status, error.as_deref()),
                    None => error.map_or_else(|| Ok(Applied::next()), |error| Err(self.refused(&error))),
                }
            }
            Value::Array(_) => Err(self.unclear(value)),
        }
    }

    fn by_status(&self, status: &Value, error: Option<&str>) -> Answer {
        let said = status.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| (100..1000).contains(n));
        let Some(status) = said else { return Err(self.unclear(status)) };
        match (self.rules.meaning(status), error) {
            (Meaning::Success, Some(error)) => Err(self.refused(error)),
            (Meaning::Success | Meaning::Done | Meaning::Null, _) => Ok(Applied::next()),
            (Meaning::Skip, _) => Ok(Applied::skip(format!("{}: {status}", self.step))),
            (Meaning::Fault(class), _) => {
                let mut text = format!("{status} {}", reason(status));
                text.truncate(text.trim_end().len());
                if let Some(error) = error {
                    text.push_str(": ");
                    text.push_str(error);
                }
                let fault = self.fault(class, "status", &text).with_status(status);
                Err(if is_ambiguous(status) { fault.ambiguous() } else { fault })
            }
        }
    }

    fn refused(&self, what: &str) -> Fault {
        self.fault(FaultClass::Permanent, "refused", what)
    }

    fn unclear(&self, value: &Value) -> Fault {
        let what = format!("what outcomes gives for this item is no outcome: {}", shown(value.to_string()));
        self.fault(FaultClass::Permanent, "outcomes", &what).ambiguous()
    }

    fn fault(&self, class: FaultClass, code: &'static str, what: &str) -> Fault {
        let url = self.reply.url(self.call);
        let secrets: Vec<&str> = self.call.headers.secret.values().collect();
        let mut text = format!("{url}: {what}");
        crate::http::redact::scrub(&mut text, &secrets);
        Fault::new(class, code, bounded(text)).with_origin(origin_of(url))
    }
}

fn quoted(text: &str) -> String {
    excerpt(text.as_bytes(), &[])
}

fn shown(value: impl AsRef<[u8]>) -> String {
    excerpt(value.as_ref(), &[])
}

/// The whole reply cannot be used.
fn no_outcomes(e: &EvalError, reply: &Reply, call: &Call<'_>) -> Fault {
    let (class, what) = match e {
        EvalError::NotJson(_) if reply.looks_like_html() => {
            (FaultClass::Transient, "with HTML instead of JSON".to_owned())
        }
        EvalError::NotJson(bad) => match bad.kind {
            JsonErrorKind::Empty => (FaultClass::Transient, "with an empty body instead of JSON".to_owned()),
            JsonErrorKind::Truncated => {
                (FaultClass::Transient, "with JSON that ends in the middle".to_owned())
            }
            _ => {
                let what = format!("with a body that is not JSON ({} at byte {})", bad.what, bad.offset);
                (FaultClass::Permanent, what)
            }
        },
        EvalError::Failed(why) => (FaultClass::Permanent, format!("but outcomes fails ({why})")),
    };
    reply.body_fault(class, "outcomes", &what, call).ambiguous()
}

/// A list of parts as JSON: `[a,b]`.
pub(super) fn list<'a>(parts: impl Iterator<Item = &'a Bytes>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, part) in parts.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(part);
    }
    out.push(b']');
}
