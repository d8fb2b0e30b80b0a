//! A body of any size that is taken piece by piece, at the pace of whoever takes it: for objects on their
//! way from one store to another.
//!
//! Other than what [`super::fetch`] hands on, it is asked for; as there, it holds its permit to the end,
//! and its connection comes from the pool and goes back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::budget::{Account, Held};
use haul_core::lane::{LaneId, Permit, Sign, Verdict};
use haul_core::store::Content;
use haul_core::{Cx, Fault};
use tokio::time::Instant;

use super::client::{Answered, Client, Hop, unanswered};
use super::conn::{Conn, Ended, Exchange};
use super::frame::{DRAINED_KEEP, ReplyReader};
use super::redirect::{Route, Stop, followed};
use super::reply::{Reply, bounded, origin_of};
use super::request::Call;
use super::status::{Meaning, StatusRules, sign};
use super::url::Url;
use super::wire::Traffic;

/// Bytes of a piece, but for the last: one write for most objects.
pub(crate) const PIECE: usize = 128 * 1024;
/// A body has no end in time; silence and slowness end it. Thirty years, as far as a timer goes.
pub(super) const FOREVER: Duration = Duration::from_secs(86_400 * 365 * 30);
/// Over how long a least throughput is measured; what is not asked for is not slow.
const MEASURED: Duration = Duration::from_secs(30);

/// A body on its way.
pub(crate) struct Pulled {
    client: Arc<Client>,
    url: Url,
    lane: LaneId,
    /// Gone when the reply is over.
    conn: Option<Conn>,
    reader: ReplyReader,
    ended: Ended,
    before: Traffic,
    permit: Option<Permit>,
    /// From the send to the head.
    elapsed: Duration,
    /// The head of the reply.
    pub(crate) reply: Reply,
    /// `Content-Length`.
    pub(crate) length: Option<u64>,
    /// Time spent waiting for bytes, and how many came in it.
    slow: (Duration, u64),
    held: Option<Held>,
}

/// How a request for a body was answered.
pub(crate) enum Answer {
    /// A success, and its body.
    Body(Box<Pulled>),
    /// Another status, with the beginning of its body.
    Reply(Reply),
}

impl Client {
    /// Sends a GET, whose body is then taken piece by piece. Follows redirects that the rules do not name.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(crate) async fn pull(
        self: &Arc<Self>,
        call: &Call<'_>,
        mut lane: LaneId,
        rules: &StatusRules,
        cx: &Cx<'_>,
    ) -> Result<Answer, Fault> {
        let mut route = Route::new(call.url, !call.headers.secret.is_empty());
        let mut url = call.url.clone();
        loop {
            let hop = Hop { call, url: &url, foreign: route.is_foreign(), lane };
            let (answer, location) = self.pull_hop(&hop, rules, cx).await?;
            match (answer, location) {
                (_, Some(location)) => match route.follow(&location)? {
                    Stop::SameHost(next) => url = next,
                    Stop::OtherHost(next) => {
                        lane = cx.lanes.lane(&next.origin(&"".into()));
                        url = next;
                    }
                },
                (Answer::Reply(mut reply), None) => {
                    reply.moved = (url != *call.url).then_some(url);
                    return Ok(Answer::Reply(reply));
                }
                (body, None) => return Ok(body),
            }
        }
    }

    async fn pull_hop(
        self: &Arc<Self>,
        hop: &Hop<'_>,
        rules: &StatusRules,
        cx: &Cx<'_>,
    ) -> Result<(Answer, Option<Box<str>>), Fault> {
        let lane = hop.lane;
        let permit = cx.lanes.enter(lane).await;
        let answered = match self.exchange(hop, ReplyReader::object(), cx).await {
            Ok(answered) => answered,
            Err(unanswered) => {
                permit.end(unanswered.verdict());
                return Err(unanswered.fault);
            }
        };
        let Some(mut head) = answered.reader.head().cloned() else {
            return Err(Fault::transient("body", format!("{}: no reply", hop.url)));
        };
        let location = followed(&mut head, hop.call.method, rules);
        head.tell_limits(lane, cx);
        let (status, length) = (head.status, head.length);
        let Answered { conn, reader, ended, started, before } = answered;
        let mut pulled = Pulled {
            client: Arc::clone(self),
            url: hop.url.clone(),
            lane,
            conn: Some(conn),
            reader,
            ended,
            before,
            permit: Some(permit),
            elapsed: started.elapsed(),
            reply: Reply::new(head, Vec::new(), None),
            length,
            slow: (Duration::ZERO, 0),
            held: None,
        };
        if location.is_none() && matches!(rules.meaning(status), Meaning::Success) {
            // Mostly it is all there: then the connection and the permit are free for others.
            pulled.fill(PIECE, cx).await?;
            return Ok((Answer::Body(Box::new(pulled)), None));
        }
        // Why there is none; what is missing of that does not matter.
        let _ = pulled.fill(DRAINED_KEEP, cx).await;
        pulled.end_permit(sign(status, rules.names(status)));
        pulled.reply.body = pulled.reader.take_body().into();
        Ok((Answer::Reply(pulled.reply), location))
    }
}

/// Its faults: `truncated`, `timeout`, `reset`, `slow` or `body`.
#[async_trait]
impl Content for Pulled {
    async fn next(&mut self, cx: &Cx<'_>) -> Result<Option<Bytes>, Fault> {
        self.fill(PIECE, cx).await?;
        self.held = None;
        let piece = self.reader.take_body();
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}

impl Pulled {
    /// Reads until so many bytes are there, or the end.
    async fn fill(&mut self, enough: usize, cx: &Cx<'_>) -> Result<(), Fault> {
        while !self.reader.is_done() && self.reader.body_len() < enough {
            self.read_on(cx).await?;
        }
        let len = self.reader.body_len();
        if self.held.is_none() && len > 0 {
            self.held = Some(cx.budget.hold(Account::Bodies, len));
        }
        if self.reader.is_done() {
            self.give_back();
        }
        Ok(())
    }

    async fn read_on(&mut self, cx: &Cx<'_>) -> Result<(), Fault> {
        let Some(conn) = &mut self.conn else {
            return Err(Fault::transient("body", format!("{}: it was given up", self.url)));
        };
        let (began, before) = (Instant::now(), self.reader.body_len());
        let mut patience = self.client.patience(FOREVER, began);
        patience.deadline = began + FOREVER;
        match Exchange::new(conn, &[], &mut self.reader, patience, cx.budget).read_on().await {
            Ok(now) => self.ended = now,
            Err(broken) => {
                let failed = unanswered(&self.url, &broken, &self.reader, began, conn.traffic());
                self.end_permit(failed.sign);
                self.conn = None;
                return Err(failed.fault);
            }
        }
        let came = (self.reader.body_len() - before) as u64;
        self.slow = (self.slow.0 + began.elapsed(), self.slow.1 + came);
        self.client.intake.pay(came, cx.clock).await;
        self.is_fast_enough()
    }

    fn is_fast_enough(&mut self) -> Result<(), Fault> {
        if self.slow.0 < MEASURED {
            return Ok(());
        }
        let (span, came) = std::mem::take(&mut self.slow);
        let least = self.client.options.least_throughput;
        if (came as f64) >= least as f64 * span.as_secs_f64() {
            return Ok(());
        }
        self.end_permit(Sign::Lost);
        self.conn = None;
        let text = format!("{}: slower than {least} bytes a second for {} s", self.url, span.as_secs());
        Err(Fault::transient("slow", bounded(text)).with_origin(origin_of(&self.url)))
    }

    fn end_permit(&mut self, sign: Sign) {
        let Some(permit) = self.permit.take() else { return };
        let mut verdict = Verdict::new(sign, self.elapsed);
        verdict.status = Some(self.reply.status);
        verdict.retry_after = self.reply.wait();
        if let Some(conn) = &self.conn {
            let traffic = conn.traffic().since(self.before);
            (verdict.wire_in, verdict.wire_out) = (traffic.wire_in, traffic.wire_out);
            verdict.decoded_in = traffic.wire_in;
        }
        permit.end(verdict);
    }

    /// The reply is over: its connection can carry another, its permit is free.
    fn give_back(&mut self) {
        let status = self.reply.status;
        if (200..300).contains(&status) {
            self.end_permit(sign(status, false));
        }
        if let Some(mut conn) = self.conn.take().filter(|_| self.ended.reusable) {
            conn.rest();
            self.client.put_aside(self.lane, conn, self.ended.at);
        }
    }
}
