//! What OpenDAL sends requests through: the client of the run, with its lanes.
//!
//! An operation of OpenDAL knows nothing of a [`Cx`]; what it wants sent goes to whoever runs it, who has one.
//! Contents do not pass OpenDAL at all: it makes and signs requests and understands replies, with a buffer
//! that [stands for](super::holes) the content on the way out, and an empty body on the way in.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use haul_core::job::{OnStatus, StatusSet};
use haul_core::store::Content;
use haul_core::{Cx, Fault, FaultClass};
use http::{Request, Response};
use opendal::raw::Operation;
use opendal::{Buffer, ErrorKind, HttpBody, HttpTransport, HttpTransporter, OperationContext};
use tokio::sync::{mpsc, oneshot};

use super::holes::{self, Piece};
use crate::http::pull::Answer;
use crate::http::{BodyUse, Call, Client, HeaderLines, Method, Reply, RequestHeaders, StatusRules, Url};
use crate::stores::Whole;

/// A request, and where the answer goes.
struct Asked {
    request: Request<Buffer>,
    answer: oneshot::Sender<opendal::Result<Response<HttpBody>>>,
}

struct Wire(mpsc::Sender<Asked>);

impl HttpTransport for Wire {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let given_up = || opendal::Error::new(ErrorKind::Unexpected, "nobody sends it");
        let (answer, answered) = oneshot::channel();
        self.0.send(Asked { request, answer }).await.map_err(|_| given_up())?;
        answered.await.map_err(|_| given_up())?
    }
}

/// Where contents come from and go to.
pub(super) enum Bodies<'a> {
    /// There are none.
    None,
    /// What stands for content in a request is this.
    Send(&'a mut dyn Content),
    /// The body of what is read is put here.
    Take(&'a mut Option<Taken>),
}

/// The body of a reply that OpenDAL did not see.
pub(super) struct Taken {
    pub(super) status: u16,
    pub(super) content: Box<dyn Content>,
}

/// Why an operation failed.
pub(super) struct Failed {
    error: opendal::Error,
    /// What the last request ran into.
    fault: Option<Fault>,
}

impl Failed {
    /// There is no such object.
    pub(super) fn is_nothing(&self) -> bool {
        self.error.kind() == ErrorKind::NotFound
            && self.fault.as_ref().is_none_or(|fault| fault.status() == Some(404))
    }

    pub(super) fn fault(self, store: &str) -> Fault {
        if let Some(fault) = self.fault {
            return fault;
        }
        // Nothing was refused: OpenDAL did not come as far as that, or could not read what it was told.
        let text = crate::http::reply::bounded(format!("{store}: {}", self.error.message()));
        match self.error.kind() {
            ErrorKind::PermissionDenied => Fault::fatal("credentials", text),
            ErrorKind::ConfigInvalid | ErrorKind::Unsupported => Fault::permanent("store", text),
            _ => Fault::transient("store", text),
        }
    }
}

/// One operation of OpenDAL, or several, one after the other.
pub(super) struct Relay {
    context: OperationContext,
    asked: mpsc::Receiver<Asked>,
}

impl Relay {
    pub(super) fn new() -> Self {
        let (wire, asked) = mpsc::channel(1);
        let context = OperationContext::new().with_http_transport(HttpTransporter::new(Wire(wire)));
        Relay { context, asked }
    }

    /// What operations through this relay are given.
    pub(super) fn context(&self) -> OperationContext {
        self.context.clone()
    }

    /// Runs an operation and sends what it asks for, a request at a time.
    pub(super) async fn run<T>(
        &mut self,
        http: &Http,
        work: impl Future<Output = opendal::Result<T>>,
        mut bodies: Bodies<'_>,
        cx: &Cx<'_>,
    ) -> Result<T, Failed> {
        let mut work = pin!(work);
        let mut fault = None;
        loop {
            let asked = tokio::select! {
                biased;
                done = &mut work => return done.map_err(|error| Failed { error, fault }),
                Some(asked) = self.asked.recv() => asked,
            };
            let answer = match http.send(asked.request, &mut bodies, cx).await {
                Ok((response, refused)) => {
                    fault = refused;
                    Ok(response)
                }
                Err(failed) => {
                    let error = opendal::Error::new(ErrorKind::Unexpected, failed.message());
                    fault = Some(failed);
                    Err(error)
                }
            };
            // Who does not wait for it any more does not need it.
            let _ = asked.answer.send(answer);
        }
    }
}

/// The client of the run, as a store uses it.
pub(super) struct Http {
    /// Names the credential of lanes.
    pub(super) name: Arc<str>,
    pub(super) client: Arc<Client>,
    timeout: Duration,
    rules: StatusRules,
    none: HeaderLines,
    /// The service has granted something.
    granted: AtomicBool,
}

/// Where machines of a provider get their credentials; elsewhere nobody answers.
const METADATA: [&str; 2] = ["metadata.google.internal", "169.254.169.254"];

impl Http {
    pub(super) fn new(name: Arc<str>, client: Arc<Client>, timeout: Duration) -> Self {
        // A signature does not go along with a redirect.
        let on = vec![(StatusSet::Class(3), OnStatus::Fail)];
        let rules = StatusRules { on, expect: Vec::new() };
        Http { name, client, timeout, rules, none: HeaderLines::new(), granted: AtomicBool::new(false) }
    }

    /// Sends a request; the reply, and what is wrong with it, if it is no success. When the last place where
    /// credentials could be has none, and there never were any, that is said.
    async fn send(
        &self,
        request: Request<Buffer>,
        bodies: &mut Bodies<'_>,
        cx: &Cx<'_>,
    ) -> Result<(Response<HttpBody>, Option<Fault>), Fault> {
        let is_metadata = request.uri().host().is_some_and(|host| METADATA.contains(&host));
        let none = |fault: Fault| match is_metadata && !self.granted.load(Ordering::Relaxed) {
            true => {
                let hint = "name its secret with env, file or command";
                let text = format!("store {}: no credentials ({hint} in [store.{0}]): {fault}", self.name);
                Fault::fatal("credentials", text)
            }
            false => fault,
        };
        match self.exchange(request, bodies, cx).await {
            Ok((response, refused)) => {
                if refused.is_none() && !is_metadata {
                    self.granted.store(true, Ordering::Relaxed);
                }
                Ok((response, refused.map(none)))
            }
            Err(fault) => Err(none(fault)),
        }
    }

    async fn exchange(
        &self,
        request: Request<Buffer>,
        bodies: &mut Bodies<'_>,
        cx: &Cx<'_>,
    ) -> Result<(Response<HttpBody>, Option<Fault>), Fault> {
        let wrong = |what: &dyn std::fmt::Display| Fault::permanent("url", format!("{}: {what}", self.name));
        let (parts, body) = request.into_parts();
        let Some(method) = Method::parse(parts.method.as_str()) else {
            return Err(wrong(&format!("{} is not sent", parts.method)));
        };
        let url = Url::parse(&parts.uri.to_string()).map_err(|e| wrong(&e))?;
        let lines = self.lines(&parts.headers).map_err(|e| wrong(&e))?;
        let lane = cx.lanes.lane(&url.origin(&self.name));
        let is_content =
            parts.extensions.get::<Operation>() == Some(&Operation::Read) && method == Method::Get;
        let len = body.len() as u64;
        let pieces = holes::pieces(body);
        let is_filled = pieces.iter().any(|piece| matches!(piece, Piece::Hole(_)));
        let whole = (!is_filled)
            .then(|| holes::whole(&pieces))
            .filter(|whole| !whole.is_empty() || matches!(method, Method::Put | Method::Post));
        let none = &self.none;
        let call = Call {
            method,
            url: &url,
            headers: RequestHeaders { own: none, idempotency: None, configured: none, secret: &lines },
            body: whole.as_ref(),
            body_use: if method == Method::Head { BodyUse::Nothing } else { BodyUse::Object },
            timeout: self.timeout,
        };
        let reply = match bodies {
            Bodies::Send(content) if is_filled => {
                let mut filled = Filled { pieces: pieces.into(), content: &mut **content };
                self.client.push(&call, (len, &mut filled), lane, &self.rules, cx).await?
            }
            Bodies::Take(slot) if is_content && self.client.options.witness.is_none() => {
                match self.client.pull(&call, lane, &self.rules, cx).await? {
                    Answer::Reply(reply) => reply,
                    Answer::Body(pulled) => {
                        let response = response(&pulled.reply, Bytes::new())?;
                        **slot = Some(Taken { status: pulled.reply.status, content: pulled });
                        return Ok((response, None));
                    }
                }
            }
            _ => self.client.send(&call, lane, &self.rules, cx).await?,
        };
        let refused = (!(200..300).contains(&reply.status)).then(|| self.refused(&reply, &call));
        if let (Bodies::Take(slot), true, None) = (bodies, is_content, &refused) {
            let content = Box::new(Whole(Some(reply.body.clone())));
            **slot = Some(Taken { status: reply.status, content });
            return Ok((response(&reply, Bytes::new())?, None));
        }
        Ok((response(&reply, reply.body.clone())?, refused))
    }

    fn refused(&self, reply: &Reply, call: &Call<'_>) -> Fault {
        let class = match reply.status {
            // It changed meanwhile, or somebody holds it.
            412 | 423 => FaultClass::Transient,
            status => crate::http::status::class(status),
        };
        reply.status_fault(class, call, &self.rules)
    }

    /// What goes along with a request; the client writes the framing.
    fn lines(&self, headers: &http::HeaderMap) -> Result<HeaderLines, String> {
        let mut lines = HeaderLines::new();
        for (name, value) in headers {
            if name == http::header::HOST || name == http::header::CONTENT_LENGTH {
                continue;
            }
            let value = value.to_str().map_err(|_| format!("the value of {name} is not ASCII"))?;
            lines.push(name.as_str(), value).map_err(|e| e.to_string())?;
        }
        Ok(lines)
    }
}

/// A reply as OpenDAL reads it.
fn response(reply: &Reply, body: Bytes) -> Result<Response<HttpBody>, Fault> {
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in reply.fields() {
        // The body was framed here; its length says how long an object is.
        if !name.eq_ignore_ascii_case("transfer-encoding") {
            builder = builder.header(name, value);
        }
    }
    let body = HttpBody::new(stream::iter([Ok(Buffer::from(body))]), None);
    builder.body(body).map_err(|e| Fault::transient("body", format!("the reply cannot be read: {e}")))
}

/// A body with the content where something stood for it.
struct Filled<'a> {
    pieces: VecDeque<Piece>,
    content: &'a mut dyn Content,
}

#[async_trait]
impl Content for Filled<'_> {
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Bytes>, Fault> {
        match self.pieces.front_mut() {
            None => Ok(None),
            Some(Piece::Bytes(bytes)) => {
                let bytes = std::mem::take(bytes);
                self.pieces.pop_front();
                Ok(Some(bytes))
            }
            Some(Piece::Hole(left)) => {
                let Some(piece) = self.content.next(cx).await? else {
                    return Err(Fault::transient("truncated", "the content is shorter than it should be"));
                };
                *left = left.saturating_sub(piece.len() as u64);
                if *left == 0 {
                    self.pieces.pop_front();
                }
                Ok(Some(piece))
            }
        }
    }
}
