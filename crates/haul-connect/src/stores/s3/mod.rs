//! S3 and what is compatible with it.
//!
//! Keys are put into the path byte by byte, percent-encoded as signatures have it, and never normalised.
//! Every request waits for its permit first and is signed then, so that no signature grows old in a line.

mod bucket;
mod comparing;
mod listing;
mod multipart;
mod sign;
mod sigv4;
mod xml;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use haul_core::clock::UnixMs;
use haul_core::job::{OnStatus, StatusSet, StoreSpec};
use haul_core::lane::{LaneId, Origin, Permit};
use haul_core::store::Content;
use haul_core::{Cx, Fault, FaultClass};

use crate::http::pull::Answer;
use crate::http::reply::origin_of;
use crate::http::url::UrlError;
use crate::http::{BodyUse, Call, Client, HeaderLines, Method, Reply, RequestHeaders, StatusRules, Url};
use crate::steps::granted::Granted;
use sign::{SignError, Signer};
use sigv4::Request;

pub use bucket::Bucket;

/// Why a store cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum S3Error {
    /// Its endpoint is no URL.
    #[error("{0}")]
    Endpoint(#[from] UrlError),
    /// It is known neither by endpoint nor by region.
    #[error("the store needs an endpoint, or a region of AWS")]
    Nowhere,
}

/// How buckets are addressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    /// `https://endpoint/bucket/key`
    Path,
    /// `https://bucket.endpoint/key`
    Host,
}

/// A store.
pub struct S3 {
    name: Arc<str>,
    client: Arc<Client>,
    endpoint: Url,
    style: Style,
    signer: Signer,
    region: Box<str>,
    timeout: Duration,
    rules: StatusRules,
    lane: OnceLock<LaneId>,
    none: HeaderLines,
}

/// A request.
#[derive(Clone, Copy)]
struct Ask<'a> {
    method: Method,
    bucket: &'a str,
    /// Empty for the bucket itself.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    /// Signed as well.
    headers: &'a [(&'a str, &'a str)],
    body: Option<&'a Bytes>,
    body_use: BodyUse,
}

/// A request that may be sent now.
struct Ready {
    url: Url,
    lane: LaneId,
    permit: Permit,
    signed: HeaderLines,
}

/// What is wrong with a reply that is no success.
struct Refused(Option<Fault>);

impl Refused {
    fn fault(self) -> Fault {
        self.0.unwrap_or_else(|| Fault::transient("status", "it was no refusal"))
    }
}

impl S3 {
    /// A store; nothing is sent yet.
    ///
    /// # Errors
    /// When it cannot be said where it is.
    pub fn new(name: &str, spec: &StoreSpec, client: Arc<Client>, timeout: Duration) -> Result<S3, S3Error> {
        let endpoint = match (&spec.endpoint, &spec.region) {
            (Some(endpoint), _) => Url::parse(endpoint)?,
            (None, Some(region)) => Url::parse(&format!("https://s3.{region}.amazonaws.com"))?,
            (None, None) => return Err(S3Error::Nowhere),
        };
        let by_path = spec.path_style.unwrap_or(spec.endpoint.is_some());
        // Another region answers with a redirect; a signature does not go along.
        let on = vec![(StatusSet::Class(3), OnStatus::Fail)];
        let region = spec.region.as_deref().unwrap_or("us-east-1");
        Ok(S3 {
            name: name.into(),
            client,
            endpoint,
            style: if by_path { Style::Path } else { Style::Host },
            signer: Signer::new(spec.profile.as_deref(), region),
            region: region.into(),
            timeout,
            rules: StatusRules { on, expect: Vec::new() },
            lane: OnceLock::new(),
            none: HeaderLines::new(),
        })
    }

    /// The same with these credentials, whatever the environment says.
    pub fn with_keys(self, access: &str, secret: &str) -> S3 {
        S3 { signer: Signer::with_keys(access, secret, &self.region), ..self }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The origin of the lane of a bucket.
    ///
    /// # Errors
    /// The bucket cannot be part of a host name.
    pub fn origin(&self, bucket: &str) -> Result<Origin, UrlError> {
        Ok(self.url(bucket, "", &[])?.origin(&self.name))
    }

    fn url(&self, bucket: &str, key: &str, query: &[(&str, &str)]) -> Result<Url, UrlError> {
        let base = self.endpoint.as_str().trim_end_matches('/');
        let mut text = match self.style {
            Style::Path => format!("{base}/{}", encoded(bucket, false)),
            Style::Host => {
                let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
                format!("{scheme}://{bucket}.{rest}")
            }
        };
        if !key.is_empty() || self.style == Style::Host {
            text.push('/');
            text.push_str(&encoded(key, true));
        }
        for (i, (name, value)) in query.iter().enumerate() {
            text.push(if i == 0 { '?' } else { '&' });
            text.push_str(&format!("{}={}", encoded(name, false), encoded(value, false)));
        }
        Url::parse(&text)
    }

    /// A request that has its permit, and is signed.
    async fn ready(&self, ask: &Ask<'_>, cx: &Cx<'_>) -> Result<Ready, Fault> {
        let bad = |what: &dyn std::fmt::Display| Fault::permanent("url", format!("{}: {what}", self.name));
        let url = self.url(ask.bucket, ask.key, ask.query).map_err(|e| bad(&e))?;
        // Its host may be that of the bucket, which is the same for all keys.
        let lane = match self.style {
            Style::Path => *self.lane.get_or_init(|| cx.lanes.lane(&url.origin(&self.name))),
            Style::Host => cx.lanes.lane(&url.origin(&self.name)),
        };
        let permit = cx.lanes.enter(lane).await;
        let signed = self.signed(ask, &url, cx.clock.wall()).await?;
        Ok(Ready { url, lane, permit, signed })
    }

    fn call<'a>(&'a self, ask: &Ask<'a>, url: &'a Url, signed: &'a HeaderLines) -> Call<'a> {
        let none = &self.none;
        Call {
            method: ask.method,
            url,
            headers: RequestHeaders { own: none, idempotency: None, configured: none, secret: signed },
            body: ask.body,
            body_use: ask.body_use,
            timeout: self.timeout,
        }
    }

    /// Sends a request; the reply, if it is a success.
    async fn send(&self, ask: Ask<'_>, cx: &Cx<'_>) -> Result<Reply, Fault> {
        match self.ask(&ask, cx).await? {
            (reply, _) if (200..300).contains(&reply.status) => Ok(reply),
            (_, refused) => Err(refused.fault()),
        }
    }

    /// Sends a request; the reply, and its fault, if it is one.
    async fn ask(&self, ask: &Ask<'_>, cx: &Cx<'_>) -> Result<(Reply, Refused), Fault> {
        let Ready { url, lane, permit, signed } = self.ready(ask, cx).await?;
        let granted = Granted::new(cx.lanes, permit);
        let cx = Cx { lanes: &granted, ..*cx };
        let call = self.call(ask, &url, &signed);
        let reply = self.client.send(&call, lane, &self.rules, &cx).await?;
        let fault = (!(200..300).contains(&reply.status)).then(|| self.refused(&reply, &call));
        Ok((reply, Refused(fault)))
    }

    /// Sends a request whose body comes piece by piece; the reply, if it is a success.
    async fn push(&self, ask: Ask<'_>, body: (u64, &mut dyn Content), cx: &Cx<'_>) -> Result<Reply, Fault> {
        let Ready { url, lane, permit, signed } = self.ready(&ask, cx).await?;
        let granted = Granted::new(cx.lanes, permit);
        let cx = Cx { lanes: &granted, ..*cx };
        let call = self.call(&ask, &url, &signed);
        let reply = self.client.push(&call, body, lane, &self.rules, &cx).await?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        Err(self.refused(&reply, &call))
    }

    /// Asks for a body that is taken piece by piece.
    async fn pull(&self, ask: &Ask<'_>, cx: &Cx<'_>) -> Result<(Answer, Refused), Fault> {
        let Ready { url, lane, permit, signed } = self.ready(ask, cx).await?;
        let granted = Granted::new(cx.lanes, permit);
        let cx = Cx { lanes: &granted, ..*cx };
        let call = self.call(ask, &url, &signed);
        let answer = self.client.pull(&call, lane, &self.rules, &cx).await?;
        let fault = match &answer {
            Answer::Body(_) => None,
            Answer::Reply(reply) => Some(self.refused(reply, &call)),
        };
        Ok((answer, Refused(fault)))
    }

    /// Somebody looks on, and wants to see whole replies.
    fn is_watched(&self) -> bool {
        self.client.options.witness.is_some()
    }

    /// What a document says; an error may come with a status of 200.
    fn told(&self, reply: &Reply, element: &str, key: &str) -> Result<String, Fault> {
        let failed =
            |what: &str| Fault::transient("xml", format!("{}: {key}: {what}", self.name())).ambiguous();
        if let Some(code) = xml::element(&reply.body, "Code") {
            return Err(failed(&format!("it failed half-way ({code})")));
        }
        let text =
            xml::element(&reply.body, element).ok_or_else(|| failed(&format!("there is no {element}")))?;
        Ok(text.trim_matches('"').to_owned())
    }

    async fn signed(&self, ask: &Ask<'_>, url: &Url, now: UnixMs) -> Result<HeaderLines, Fault> {
        let coded = |(name, value): &(&str, &str)| (encoded(name, false), encoded(value, false));
        let query: Vec<_> = ask.query.iter().map(coded).collect();
        let request = Request { method: ask.method.as_str(), url, query: &query, headers: ask.headers };
        self.signer.sign(request, now).await.map_err(|e| match e {
            SignError::Header(e) => Fault::permanent("header", format!("{}: {e}", self.name)),
            e @ SignError::Credentials(_) => {
                let hint =
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile in [store.NAME]";
                Fault::fatal("credentials", format!("{}: {e} ({hint})", self.name))
            }
        })
    }

    /// The fault of a reply that is no success, by what its document says.
    fn refused(&self, reply: &Reply, call: &Call<'_>) -> Fault {
        let code = xml::element(&reply.body, "Code").unwrap_or_default();
        let class = match (reply.status, code.as_str()) {
            (_, "SlowDown" | "ServiceUnavailable" | "Busy") => FaultClass::Throttled,
            (_, "RequestTimeout" | "InternalError" | "OperationAborted" | "BadDigest") => {
                FaultClass::Transient
            }
            (412, _) => FaultClass::Transient,
            // It never will.
            (_, "NotImplemented") => FaultClass::Permanent,
            (status, _) => crate::http::status::class(status),
        };
        let message = xml::element(&reply.body, "Message");
        let fault = reply.status_fault(class, call, &self.rules);
        if code.is_empty() {
            return fault;
        }
        let told = message.as_deref().and_then(|m| m.lines().next()).unwrap_or_default();
        let colon = if told.is_empty() { "" } else { ": " };
        let text = format!("{}: {} {code}{colon}{told}", call.url, reply.status);
        let text = crate::http::reply::bounded(text);
        let named = match code.as_str() {
            // As it is called when the comparison is made here.
            "BadDigest" => Fault::new(class, "checksum", text),
            _ => Fault::new(class, "status", text).with_status(reply.status),
        };
        named.with_origin(origin_of(call.url)).with_retry_after(reply.wait())
    }
}

/// Percent-encoding as signatures have it: everything but letters, digits and `-._~`.
fn encoded(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            b'/' if keep_slash => out.push('/'),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
