//! The HTTP client: one request at a time through the lane of its host, sent once.

use std::sync::Arc;
use std::time::Duration;

use haul_core::budget::Account;
use haul_core::lane::{LaneId, Sign, Verdict};
use haul_core::limits::BODY_BYTES;
use haul_core::pace::Bandwidth;
use haul_core::{Cx, Fault};
use tokio::time::Instant;

use super::bandwidth::Intake;
use super::conn::{Broken, Conn, Ended, Exchange, Patience};
use super::dial::{Dialer, PROXY_DENIED};
use super::encoding::{DecodeError, decode};
use super::frame::{ReplyError, ReplyReader};
use super::head::Head;
use super::mux::Muxes;
use super::pool::Pool;
use super::proxy::Proxies;
use super::redirect::{Route, Stop, followed};
use super::reply::{Reply, bounded, origin_of};
use super::request::{BodyUse, COPIED_BODY, Call, write_request};
use super::status::{StatusRules, sign};
use super::tls::{Roots, Tls, UNTRUSTED};
use super::url::{Scheme, Url};
use super::wire::Traffic;
use super::witness::{Seen, Witness, kept_back};

/// A service that closes connections does so to those that were idle for at least this long.
const STALE_AFTER: Duration = Duration::from_secs(1);

/// What holds for every request of a client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Time for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest time in which no byte passes.
    pub read_timeout: Duration,
    /// Bytes a second below which a body that is handed on is given up.
    pub least_throughput: u64,
    /// Bytes a second that may come in.
    pub bandwidth: Vec<Bandwidth>,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// Looks on; with it, POST and PUT are kept back.
    pub witness: Option<Arc<dyn Witness>>,
    /// Which proxies lead where.
    pub proxies: Proxies,
}

impl Default for ClientOptions {
    fn default() -> Self {
        let limits = haul_core::job::LimitsSpec::default();
        ClientOptions {
            connect_timeout: limits.connect_timeout,
            read_timeout: limits.read_timeout,
            least_throughput: limits.min_throughput,
            bandwidth: Vec::new(),
            roots: Roots::System,
            witness: None,
            proxies: Proxies::default(),
        }
    }
}

/// The connections of a run.
pub struct Client {
    pub(crate) dialer: Dialer,
    pub(crate) pool: Pool,
    pub(crate) muxes: Muxes,
    pub(crate) options: ClientOptions,
    pub(crate) intake: Intake,
}

/// One request to one host: the first, or where a redirect led.
pub(crate) struct Hop<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) url: &'a Url,
    /// Another host than the one the call was made for: secrets and configured headers stay behind.
    pub(crate) foreign: bool,
    pub(crate) lane: LaneId,
}

/// A connection that answered, and how.
pub(crate) struct Answered {
    pub(crate) conn: Conn,
    pub(crate) reader: ReplyReader,
    pub(crate) ended: Ended,
    pub(crate) started: Instant,
    pub(crate) before: Traffic,
}

/// A request that got no reply.
pub(crate) struct Unanswered {
    pub(crate) fault: Fault,
    pub(crate) sign: Sign,
    pub(crate) elapsed: Duration,
    pub(crate) traffic: Traffic,
}

/// A reply that came whole.
pub(crate) struct Whole {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// From the send to the last byte.
    pub(crate) elapsed: Duration,
    pub(crate) traffic: Traffic,
}

impl Unanswered {
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict {
            wire_in: self.traffic.wire_in,
            wire_out: self.traffic.wire_out,
            ..Verdict::new(self.sign, self.elapsed)
        }
    }
}

impl Client {
    /// A client without connections.
    pub fn new(options: ClientOptions) -> Self {
        let dialer = Dialer::new(Tls::new(options.roots.clone()), options.proxies.clone());
        let intake = Intake::new(options.bandwidth.clone());
        Client { dialer, pool: Pool::new(), muxes: Muxes::default(), options, intake }
    }

    /// Sends a request once, follows redirects, and returns the reply whatever its status. `lane` is
    /// that of the call's URL; a redirect to another host goes through the lane of that host.
    ///
    /// # Errors
    /// Faults with the codes `connect`, `timeout`, `reset`, `truncated`, `tls`, `untrusted`, `redirect`,
    /// `too_large` and `body`; ambiguous when the request may have been delivered.
    pub async fn send(
        &self,
        call: &Call<'_>,
        lane: LaneId,
        rules: &StatusRules,
        cx: &Cx<'_>,
    ) -> Result<Reply, Fault> {
        match &self.options.witness {
            None => self.dispatch(call, lane, rules, cx).await,
            // What is rare is boxed here and below: there is one of these futures for each item in work.
            Some(witness) => Box::pin(self.before(witness.as_ref(), call, lane, (rules, cx))).await,
        }
    }

    /// As [`Client::send`], before a witness.
    async fn before(
        &self,
        witness: &dyn Witness,
        call: &Call<'_>,
        lane: LaneId,
        (rules, cx): (&StatusRules, &Cx<'_>),
    ) -> Result<Reply, Fault> {
        if !call.method.is_read() {
            witness.kept_back(call);
            return Err(kept_back(call));
        }
        let started = Instant::now();
        let reply = self.dispatch(call, lane, rules, cx).await;
        witness.saw(Seen {
            call,
            url: reply.as_ref().map_or(call.url, |r| r.url(call)),
            outcome: reply.as_ref().map(|r| (r.status, &r.body[..])),
            whole: None,
            elapsed: started.elapsed(),
        });
        reply
    }

    async fn dispatch(
        &self,
        call: &Call<'_>,
        lane: LaneId,
        rules: &StatusRules,
        cx: &Cx<'_>,
    ) -> Result<Reply, Fault> {
        let hop = Hop { call, url: call.url, foreign: false, lane };
        let (reply, location) = self.hop(&hop, rules, cx).await?;
        match location {
            None => Ok(reply),
            Some(location) => Box::pin(self.follow(call, lane, location, rules, cx)).await,
        }
    }

    /// Goes where `Location` says, hop by hop.
    async fn follow(
        &self,
        call: &Call<'_>,
        mut lane: LaneId,
        mut location: Box<str>,
        rules: &StatusRules,
        cx: &Cx<'_>,
    ) -> Result<Reply, Fault> {
        let mut route = Route::new(call.url, !call.headers.secret.is_empty());
        loop {
            let url = match route.follow(&location)? {
                Stop::SameHost(next) => next,
                Stop::OtherHost(next) => {
                    lane = cx.lanes.lane(&next.origin(&Arc::from("")));
                    next
                }
            };
            let hop = Hop { call, url: &url, foreign: route.is_foreign(), lane };
            let (mut reply, further) = self.hop(&hop, rules, cx).await?;
            match further {
                None => {
                    reply.moved = Some(url);
                    return Ok(reply);
                }
                Some(further) => location = further,
            }
        }
    }

    /// One permit, one request, one verdict. The reply comes with its `Location` when it is a
    /// redirect to be followed.
    async fn hop(
        &self,
        hop: &Hop<'_>,
        rules: &StatusRules,
        cx: &Cx<'_>,
    ) -> Result<(Reply, Option<Box<str>>), Fault> {
        let permit = cx.lanes.enter(hop.lane).await;
        let whole = match self.whole(hop, cx).await {
            Ok(whole) => whole,
            Err(unanswered) => {
                permit.end(unanswered.verdict());
                return Err(unanswered.fault);
            }
        };
        let Whole { mut head, body, elapsed, traffic } = whole;
        head.tell_limits(hop.lane, cx);
        let location = followed(&mut head, hop.call.method, rules);
        let decoded = decode_body(&head, body, hop);
        let mut verdict = Verdict::new(sign(head.status, rules.names(head.status)), elapsed);
        verdict.status = Some(head.status);
        verdict.wire_in = traffic.wire_in;
        verdict.wire_out = traffic.wire_out;
        match decoded {
            Err(fault) => {
                verdict.sign = Sign::Erred;
                permit.end(verdict);
                Err(fault)
            }
            Ok(body) => {
                verdict.decoded_in = body.len() as u64;
                let held = (!body.is_empty()).then(|| cx.budget.hold(Account::Bodies, body.len()));
                let reply = Reply::new(head, body, held);
                verdict.retry_after = reply.wait();
                permit.end(verdict);
                self.intake.pay(traffic.wire_in, cx.clock).await;
                Ok((reply, location))
            }
        }
    }

    /// One request and its whole reply, in the protocol that the service likes best.
    async fn whole(&self, hop: &Hop<'_>, cx: &Cx<'_>) -> Result<Whole, Unanswered> {
        if hop.url.scheme() == Scheme::Https
            && let Some(whole) = Box::pin(self.multiplexed(hop, cx)).await?
        {
            return Ok(whole);
        }
        let mut answered = self.exchange(hop, ReplyReader::new(hop.call.body_use), cx).await?;
        answered.conn.rest();
        let traffic = answered.conn.traffic().since(answered.before);
        let elapsed = answered.ended.at.duration_since(answered.started);
        if answered.ended.reusable {
            self.pool.put(hop.lane, answered.conn, answered.ended.at);
        }
        match answered.reader.into_parts() {
            Some((head, body)) => Ok(Whole { head, body, elapsed, traffic }),
            None => {
                let fault = Fault::transient("body", format!("{}: no reply", hop.url));
                Err(Unanswered { fault, sign: Sign::Erred, elapsed, traffic })
            }
        }
    }

    /// Sends the request on an idle connection or a new one. One that had been idle for long and turns
    /// out to have been closed is replaced in silence when the request cannot have had an effect. The
    /// loss of a busy one is the service's doing: it is a fault, and what is sent again is paced.
    pub(crate) async fn exchange(
        &self,
        hop: &Hop<'_>,
        mut reader: ReplyReader,
        cx: &Cx<'_>,
    ) -> Result<Answered, Unanswered> {
        let call = hop.call;
        let mut started = Instant::now();
        let patience = self.patience(call.timeout, started);
        let mut idle = self.pool.take(hop.lane, started);
        loop {
            let stale = idle.as_ref().is_some_and(|conn| started - conn.idle_since >= STALE_AFTER);
            let reused = idle.is_some();
            let mut conn = match idle.take() {
                Some(conn) => conn,
                None => {
                    let conn = self.open(hop.url, &patience, started).await?;
                    started = Instant::now();
                    conn
                }
            };
            let before = conn.traffic();
            write_request(call, hop.url, hop.foreign, conn.via.as_deref(), &mut conn.out);
            let large = call.body.filter(|body| body.len() > COPIED_BODY);
            let body = large.map(|body| &body[..]).unwrap_or_default();
            let streaming = reader.is_streaming();
            let exchange = Exchange::new(&mut conn, body, &mut reader, patience, cx.budget);
            let ended = if streaming { exchange.head_only() } else { exchange }.await;
            let broken = match ended {
                Ok(ended) => return Ok(Answered { conn, reader, ended, started, before }),
                Err(broken) => broken,
            };
            // The status of an effect says what became of it; the rest of its body does not matter.
            if call.body_use == BodyUse::Drain && reader.head().is_some() {
                let ended = Ended { reusable: false, at: Instant::now() };
                return Ok(Answered { conn, reader, ended, started, before });
            }
            let traffic = conn.traffic().since(before);
            let unsent = traffic.wire_out == 0;
            let harmless = unsent || stale && call.method.is_idempotent();
            if reused && broken.is_loss() && reader.is_untouched() && harmless {
                continue;
            }
            return Err(unanswered(hop.url, &broken, &reader, started, traffic));
        }
    }

    /// A connection that was just opened, for a body that is read piece by piece.
    pub(crate) async fn open(
        &self,
        url: &Url,
        patience: &Patience,
        started: Instant,
    ) -> Result<Conn, Unanswered> {
        let opened = Box::pin(self.dialer.open(url, self.options.connect_timeout, patience)).await;
        opened.map_err(|fault| self.unopened(url, fault, started))
    }

    /// What is said of a connection that could not be opened.
    pub(crate) fn unopened(&self, url: &Url, fault: Fault, started: Instant) -> Unanswered {
        Unanswered {
            sign: match fault.code() {
                UNTRUSTED | PROXY_DENIED => Sign::Denied,
                _ => Sign::Unreachable,
            },
            fault: fault.with_origin(origin_of(url)),
            elapsed: started.elapsed(),
            traffic: Traffic::default(),
        }
    }

    /// Keeps a connection for the next request of a lane.
    pub(crate) fn put_aside(&self, lane: LaneId, conn: Conn, at: Instant) {
        self.pool.put(lane, conn, at);
    }

    pub(crate) fn patience(&self, timeout: Duration, from: Instant) -> Patience {
        Patience { deadline: from + timeout, timeout, silence: self.options.read_timeout }
    }
}

fn decode_body(head: &Head, body: Vec<u8>, hop: &Hop<'_>) -> Result<Vec<u8>, Fault> {
    let as_sent = matches!(hop.call.body_use, BodyUse::Object | BodyUse::Nothing);
    if as_sent || head.codings.is_empty() && head.unknown_coding.is_none() {
        return Ok(body);
    }
    let fault = |fault: Fault| fault.with_origin(origin_of(hop.url));
    let drained = hop.call.body_use == BodyUse::Drain;
    if let Some(coding) = &head.unknown_coding {
        if drained || body.is_empty() {
            return Ok(Vec::new());
        }
        let message = format!("{}: its Content-Encoding \"{coding}\" is not supported", hop.url);
        return Err(fault(Fault::permanent("body", bounded(message))));
    }
    match decode(body, &head.codings, BODY_BYTES) {
        Ok(body) => Ok(body),
        Err(_) if drained => Ok(Vec::new()),
        Err(e @ DecodeError::TooLarge(_)) => {
            Err(fault(Fault::permanent("too_large", format!("{}: {e}", hop.url))))
        }
        Err(e @ DecodeError::Broken(_)) => Err(fault(Fault::transient("body", format!("{}: {e}", hop.url)))),
    }
}

/// What is said of a request that got no reply, and what its lane is told.
pub(crate) fn unanswered(
    url: &Url,
    broken: &Broken,
    reader: &ReplyReader,
    started: Instant,
    traffic: Traffic,
) -> Unanswered {
    let text = |what: &dyn std::fmt::Display| bounded(format!("{url}: {what}"));
    let (fault, sign) = match broken {
        Broken::Deadline(after) => (
            Fault::transient("timeout", text(&format_args!("no complete reply within {after:?}"))),
            Sign::Lost,
        ),
        Broken::Silence(after) => {
            (Fault::transient("timeout", text(&format_args!("nothing came for {after:?}"))), Sign::Lost)
        }
        Broken::Io(e) if reader.is_untouched() => {
            (Fault::transient("reset", text(&format_args!("the connection broke: {e}"))), Sign::Lost)
        }
        Broken::Io(e) => (
            Fault::transient("truncated", text(&format_args!("the connection broke within the reply: {e}"))),
            Sign::Lost,
        ),
        Broken::Reply(e @ ReplyError::HeadCut) if reader.is_untouched() => {
            (Fault::transient("reset", text(e)), Sign::Lost)
        }
        Broken::Reply(e @ (ReplyError::HeadCut | ReplyError::BodyCut { .. })) => {
            (Fault::transient("truncated", text(e)), Sign::Lost)
        }
        Broken::Reply(e @ (ReplyError::HeadTooLarge | ReplyError::BodyTooLarge)) => {
            (Fault::permanent("too_large", text(e)), Sign::Answered)
        }
        Broken::Reply(e) => (Fault::transient("body", text(e)), Sign::Erred),
    };
    let fault = fault.with_origin(origin_of(url));
    let fault = if traffic.wire_out > 0 { fault.ambiguous() } else { fault };
    Unanswered { fault, sign, elapsed: started.elapsed(), traffic }
}
