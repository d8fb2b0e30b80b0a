//! A reply body piece by piece, for sources.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haul_core::budget::Budget;
use haul_core::lane::{LaneId, Verdict};
use haul_core::{Cx, Fault, FaultClass};
use tokio::time::Instant;

use super::client::{Client, Hop, unanswered};
use super::conn::{Conn, Exchange, Patience};
use super::frame::ReplyReader;
use super::head::Head;
use super::redirect::{Route, Stop, followed};
use super::reply::{bounded, origin_of};
use super::request::{Call, write_request};
use super::status::{StatusRules, class, reason, sign};
use super::url::Url;

/// A stream has no end of its own; silence ends it. Thirty years, as far as a timer goes.
const FOREVER: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A body being read, as it was sent: its codings are not undone (sources know compression by
/// content).
pub struct ByteStream {
    conn: Conn,
    reader: ReplyReader,
    url: Url,
    patience: Patience,
    budget: Budget,
    length: Option<u64>,
    validator: Option<Box<str>>,
    ended: bool,
}

impl Client {
    /// Sends a GET and returns its body as a stream. `call.timeout` bounds the time to the head of
    /// the reply; after it only silence ends the stream.
    ///
    /// The permit ends with the head: a stream may last as long as its run, and would keep a lane of
    /// one permit from ever serving a lookup.
    ///
    /// # Errors
    /// As [`Client::send`], and `status` for anything but 200.
    pub async fn stream(&self, call: &Call<'_>, mut lane: LaneId, cx: &Cx<'_>) -> Result<ByteStream, Fault> {
        let mut route = Route::new(call.url, !call.headers.secret.is_empty());
        let mut url = call.url.clone();
        loop {
            let hop = Hop { call, url: &url, foreign: route.is_foreign(), lane };
            let (stream, mut head) = self.start(&hop, cx).await?;
            match followed(&mut head, call.method, &StatusRules::default()) {
                None if head.status == 200 => return Ok(stream),
                None => return Err(refused(&url, &head)),
                Some(location) => match route.follow(&location)? {
                    Stop::SameHost(next) => url = next,
                    Stop::OtherHost(next) => {
                        lane = cx.lanes.lane(&next.origin(&Arc::from("")));
                        url = next;
                    }
                },
            }
        }
    }

    async fn start(&self, hop: &Hop<'_>, cx: &Cx<'_>) -> Result<(ByteStream, Head), Fault> {
        let permit = cx.lanes.enter(hop.lane).await;
        let started = Instant::now();
        let mut patience = self.patience(hop.call.timeout, started);
        let mut conn = match self.open(hop.url, &patience, started).await {
            Ok(conn) => conn,
            Err(failed) => {
                permit.end(failed.verdict());
                return Err(failed.fault);
            }
        };
        write_request(hop.call, hop.url, hop.foreign, conn.via.as_deref(), &mut conn.out);
        let mut reader = ReplyReader::streaming();
        let exchange = Exchange::new(&mut conn, &[], &mut reader, patience, cx.budget).head_only();
        if let Err(broken) = exchange.await {
            let failed = unanswered(hop.url, &broken, &reader, started, conn.traffic());
            permit.end(failed.verdict());
            return Err(failed.fault);
        }
        let Some(head) = reader.head().cloned() else {
            return Err(Fault::transient("body", format!("{}: no reply", hop.url)));
        };
        head.tell_limits(hop.lane, cx);
        let mut verdict = Verdict::new(sign(head.status, false), started.elapsed());
        verdict.wire_out = conn.traffic().wire_out;
        verdict.wire_in = conn.traffic().wire_in;
        permit.end(verdict);
        patience.deadline = started + FOREVER;
        let stream = ByteStream {
            ended: reader.is_done(),
            conn,
            reader,
            url: hop.url.clone(),
            patience,
            budget: cx.budget.clone(),
            length: head.length,
            validator: head.validator.clone(),
        };
        Ok((stream, head))
    }
}

fn refused(url: &Url, head: &Head) -> Fault {
    let message = format!("{url}: {} {}", head.status, reason(head.status));
    let class = if head.status < 400 { FaultClass::Permanent } else { class(head.status) };
    let wait = head.retry_after.as_deref();
    let wait = wait.and_then(|v| haul_core::pace::hint::retry_after(v, std::time::SystemTime::now()));
    Fault::new(class, "status", bounded(message.trim_end().to_owned()))
        .with_status(head.status)
        .with_origin(origin_of(url))
        .with_retry_after(wait)
}

impl ByteStream {
    /// The next bytes, never empty; `None` at the end of a body that is complete.
    ///
    /// # Errors
    /// `truncated`, `timeout`, `reset` or `body`, all transient: what was read before stands.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let bytes = self.reader.take_body();
            if !bytes.is_empty() {
                return Ok(Some(bytes.into()));
            }
            if self.ended {
                return Ok(None);
            }
            let started = Instant::now();
            let exchange =
                Exchange::new(&mut self.conn, &[], &mut self.reader, self.patience, &self.budget).read_on();
            if let Err(broken) = exchange.await {
                let traffic = self.conn.traffic();
                return Err(unanswered(&self.url, &broken, &self.reader, started, traffic).fault);
            }
            self.ended = self.reader.is_done();
        }
    }

    /// Bytes of the whole body as sent, where the service said.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// `ETag`, else `Last-Modified`: equal means unchanged.
    pub fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }
}
