//! Requests as they were made, or would have been.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use haul_connect::http::{Call, Seen, Witness};

/// Bytes kept of a reply, to say what could be taken of it.
const BODY: usize = 256 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`.
    pub method: &'static str,
    /// Where it went, signatures hidden.
    pub url: String,
    /// Status, and the size of the decoded body; or why there is none.
    pub outcome: Outcome,
    /// The beginning of what was sent or received.
    pub body: Vec<u8>,
}

/// How a request went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was answered.
    Answered { status: u16, bytes: usize, elapsed: Duration },
    /// It was not.
    Unanswered { why: String, elapsed: Duration },
    /// It was kept back; whether a secret would have gone along.
    KeptBack { secret: bool },
}

/// Everything since it was last taken.
#[derive(Debug, Default)]
pub struct Log(Mutex<Vec<Request>>);

impl Log {
    /// What was made since the last call.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, call: &Call<'_>, url: String, outcome: Outcome, body: &[u8]) {
        let body = body[..body.len().min(BODY)].to_vec();
        let request = Request { method: call.method.as_str(), url, outcome, body };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }
}

impl Witness for Log {
    fn saw(&self, seen: Seen<'_>) {
        let elapsed = seen.elapsed;
        let (outcome, body) = match seen.outcome {
            Ok((status, body)) => {
                let bytes =
                    seen.whole.map_or(body.len(), |whole| usize::try_from(whole).unwrap_or(usize::MAX));
                (Outcome::Answered { status, bytes, elapsed }, body)
            }
            Err(fault) => {
                let why = fault.message().to_owned();
                (Outcome::Unanswered { why, elapsed }, &[][..])
            }
        };
        self.add(seen.call, seen.url.to_string(), outcome, body);
    }

    fn kept_back(&self, call: &Call<'_>) {
        let outcome = Outcome::KeptBack { secret: !call.headers.secret.is_empty() };
        self.add(call, call.url.to_string(), outcome, call.body.map(|b| &b[..]).unwrap_or_default());
    }
}
