//! A body of any size, handed on as it arrives: for downloads.
//!
//! Other than a stream (which is read for as long as its run), a download holds its permit to the end,
//! takes its connection from the pool and gives it back. What its lane learns as the time of the reply is
//! the time to its head: bodies differ in size, services in how soon they answer.

use std::time::Duration;

use haul_core::budget::Account;
use haul_core::lane::{LaneId, Sign, Verdict};
use haul_core::{Cx, Fault, FaultClass};
use tokio::time::Instant;

use super::client::{Answered, Client, Hop, Unanswered, unanswered};
use super::conn::Exchange;
use super::decoding::Decoding;
use super::encoding::Coding;
use super::frame::{DRAINED_KEEP, ReplyReader};
use super::head::Head;
use super::redirect::{Route, Stop, followed};
use super::reply::{Reply, bounded, origin_of};
use super::request::Call;
use super::status::{Meaning, StatusRules, sign};
use super::url::Url;
use super::witness::Watched;

/// Bytes gathered before they are handed on: one write for most files.
const BLOCK: usize = 128 * 1024;
/// First bytes that are handed on by themselves, so that what is wrong is cut off at once.
pub(super) const FIRST: usize = 512;
/// A body has no end in time; silence and slowness end it. Thirty years, as far as a timer goes.
const FOREVER: Duration = Duration::from_secs(86_400 * 365 * 30);
/// Over how long a least throughput is measured: a pause of a few seconds is no slowness.
const MEASURED: Duration = Duration::from_secs(30);

/// What the head of a reply says of the body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchHead {
    /// Its status, a success.
    pub status: u16,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// First byte and length of the whole, of a part (206).
    pub range: Option<(u64, Option<u64>)>,
    /// `ETag`, else `Last-Modified`.
    pub validator: Option<String>,
}

/// Takes a body. A fault ends the request at once.
pub trait Receive: Send {
    /// The head has come; called once, first.
    fn head(&mut self, head: &FetchHead, url: &Url) -> Result<(), Fault>;
    /// The first bytes (all, when there are fewer than 512; none, when there are none); they come again
    /// with the body.
    fn first(&mut self, bytes: &[u8], url: &Url) -> Result<(), Fault>;
    /// The next bytes.
    fn body(&mut self, bytes: &[u8]) -> Result<(), Fault>;
    /// The body has ended, and is complete.
    fn end(&mut self) -> Result<(), Fault> {
        Ok(())
    }
    /// True when a body is wanted in this coding: it is what makes it the file that it is.
    fn keeps(&self, _coding: Coding) -> bool {
        false
    }
    /// True when the rest is not needed: the request ends here, as if that were all.
    fn is_enough(&self) -> bool {
        false
    }
}

/// How a request for a body ended.
#[derive(Debug)]
pub enum Fetched {
    /// All of it was handed on; where redirects led, when they did.
    Whole,
    /// The status is no success: the reply, with the beginning of its body.
    Reply(Reply),
}

/// How one hop ended.
enum HopEnd {
    Fetched(Fetched),
    Moved(Box<str>),
}

impl Client {
    /// Sends a GET and hands its body to `to`. Follows redirects; `call.timeout` bounds the time to the
    /// head of each hop, after it only silence and slowness end the body.
    ///
    /// # Errors
    /// As [`Client::send`], `slow`, and whatever `to` says.
    pub async fn fetch(
        &self,
        call: &Call<'_>,
        lane: LaneId,
        rules: &StatusRules,
        cx: &Cx<'_>,
        to: &mut dyn Receive,
    ) -> Result<Fetched, Fault> {
        let Some(witness) = &self.options.witness else {
            return self.fetch_along(call, lane, rules, cx, to).await;
        };
        let (began, mut to) = (Instant::now(), Watched::new(to));
        let fetched = self.fetch_along(call, lane, rules, cx, &mut to).await;
        to.tell(witness.as_ref(), call, &fetched, began.elapsed());
        fetched
    }

    /// Hop by hop.
    async fn fetch_along(
        &self,
        call: &Call<'_>,
        mut lane: LaneId,
        rules: &StatusRules,
        cx: &Cx<'_>,
        to: &mut dyn Receive,
    ) -> Result<Fetched, Fault> {
        let mut route = Route::new(call.url, !call.headers.secret.is_empty());
        let mut moved: Option<Url> = None;
        loop {
            let url = moved.as_ref().unwrap_or(call.url);
            let hop = Hop { call, url, foreign: route.is_foreign(), lane };
            match self.fetch_hop(&hop, rules, cx, to).await? {
                HopEnd::Fetched(Fetched::Reply(mut reply)) => {
                    reply.moved = moved;
                    return Ok(Fetched::Reply(reply));
                }
                HopEnd::Fetched(whole) => return Ok(whole),
                HopEnd::Moved(location) => match route.follow(&location)? {
                    Stop::SameHost(next) => moved = Some(next),
                    Stop::OtherHost(next) => {
                        lane = cx.lanes.lane(&next.origin(&"".into()));
                        moved = Some(next);
                    }
                },
            }
        }
    }

    async fn fetch_hop(
        &self,
        hop: &Hop<'_>,
        rules: &StatusRules,
        cx: &Cx<'_>,
        to: &mut dyn Receive,
    ) -> Result<HopEnd, Fault> {
        let permit = cx.lanes.enter(hop.lane).await;
        let answered = match self.exchange(hop, ReplyReader::streaming(), cx).await {
            Ok(answered) => answered,
            Err(unanswered) => {
                permit.end(unanswered.verdict());
                return Err(unanswered.fault);
            }
        };
        let mut told = Told {
            sign: Sign::Answered,
            status: answered.reader.head().map(|h| h.status),
            elapsed: answered.started.elapsed(),
            wire: (0, 0),
            decoded: 0,
            retry_after: None,
        };
        let mut body = Body { hop, answered, cx, last: Instant::now(), window: (Instant::now(), 0) };
        let end = self.receive(&mut body, rules, to, &mut told).await;
        self.put_back(body, &end, &mut told);
        if let Ok(HopEnd::Fetched(Fetched::Reply(reply))) = &end {
            told.retry_after = reply.wait();
        }
        permit.end(told.verdict());
        end
    }

    /// Reads what follows the head.
    async fn receive(
        &self,
        body: &mut Body<'_, '_>,
        rules: &StatusRules,
        to: &mut dyn Receive,
        told: &mut Told,
    ) -> Result<HopEnd, Fault> {
        let hop = body.hop;
        let Some(mut head) = body.answered.reader.head().cloned() else {
            return Err(Fault::transient("body", format!("{}: no reply", hop.url)));
        };
        told.sign = sign(head.status, rules.names(head.status));
        let location = followed(&mut head, hop.call.method, rules);
        if location.is_none() && matches!(rules.meaning(head.status), Meaning::Success) {
            return body.hand_on(self, &head, to).await.map(|()| HopEnd::Fetched(Fetched::Whole));
        }
        body.keep_beginning(self).await;
        let bytes = body.answered.reader.take_body();
        Ok(match location {
            Some(location) => HopEnd::Moved(location),
            None => HopEnd::Fetched(Fetched::Reply(Reply::new(head, bytes, None))),
        })
    }

    /// Keeps the connection of a body that has ended, if it can take another request.
    fn put_back(&self, body: Body<'_, '_>, end: &Result<HopEnd, Fault>, told: &mut Told) {
        let Answered { mut conn, reader, ended, before, .. } = body.answered;
        let traffic = conn.traffic().since(before);
        (told.wire, told.decoded) = ((traffic.wire_in, traffic.wire_out), traffic.wire_in);
        if let Err(fault) = end
            && matches!(fault.code(), "timeout" | "reset" | "truncated" | "slow")
        {
            told.sign = Sign::Lost;
        }
        if end.is_ok() && reader.is_done() && ended.reusable {
            conn.rest();
            self.put_aside(body.hop.lane, conn, ended.at);
        }
    }
}

/// What the lane is told.
struct Told {
    sign: Sign,
    status: Option<u16>,
    elapsed: Duration,
    wire: (u64, u64),
    decoded: u64,
    retry_after: Option<Duration>,
}

impl Told {
    fn verdict(&self) -> Verdict {
        Verdict {
            status: self.status,
            retry_after: self.retry_after,
            wire_in: self.wire.0,
            decoded_in: self.decoded,
            wire_out: self.wire.1,
            ..Verdict::new(self.sign, self.elapsed)
        }
    }
}

/// The coding that is to be undone.
fn coding_of(head: &Head, to: &dyn Receive, url: &Url) -> Result<Option<Coding>, Fault> {
    let unsupported = |what: &str| {
        let message = bounded(format!("{url}: its Content-Encoding {what} is not supported"));
        Err(Fault::permanent("body", message).with_origin(origin_of(url)))
    };
    match (&head.unknown_coding, head.codings.as_slice()) {
        (Some(name), _) => unsupported(&format!("\"{name}\"")),
        (None, []) => Ok(None),
        (None, [_]) if head.status == 206 => {
            let message = bounded(format!("{url}: a part (206) in a Content-Encoding"));
            Err(Fault::transient("range", message).with_origin(origin_of(url)))
        }
        (None, [coding]) => Ok(Some(*coding).filter(|coding| !to.keeps(*coding))),
        (None, _) => unsupported("(several codings)"),
    }
}

/// A body on its way.
struct Body<'a, 'h> {
    hop: &'a Hop<'h>,
    answered: Answered,
    cx: &'a Cx<'a>,
    last: Instant,
    /// Since when throughput is measured, and how much came since.
    window: (Instant, u64),
}

impl Body<'_, '_> {
    async fn hand_on(&mut self, client: &Client, head: &Head, to: &mut dyn Receive) -> Result<(), Fault> {
        let url = self.hop.url;
        let coding = coding_of(head, to, url)?;
        let mut about = FetchHead {
            status: head.status,
            length: head.length.filter(|_| head.framing != super::head::Framing::Chunked),
            range: head.range.filter(|_| head.status == 206),
            validator: head.validator.as_deref().map(str::to_owned),
        };
        if head.status == 206 && about.range.is_none() {
            let message = bounded(format!("{url}: a part (206) that does not say which (Content-Range)"));
            return Err(Fault::transient("range", message).with_origin(origin_of(url)));
        }
        let mut decoding;
        let to = match coding {
            None => to,
            Some(coding) => {
                // They speak of what is sent, not of the file.
                (about.length, about.validator) = (None, None);
                decoding = Decoding::new(coding, to, url)?;
                &mut decoding
            }
        };
        to.head(&about, url)?;
        let room = usize::try_from(about.length.unwrap_or(u64::MAX)).unwrap_or(usize::MAX).min(BLOCK);
        let _held = self.cx.budget.hold(Account::Bodies, room);
        // What came with the head.
        self.pay(client, self.answered.reader.body_len()).await;
        let mut first = true;
        loop {
            let (len, done) = (self.answered.reader.body_len(), self.answered.reader.is_done());
            if first && (len >= FIRST || done) {
                to.first(self.answered.reader.body(), url)?;
                first = false;
            }
            if len >= BLOCK || done {
                if len > 0 {
                    to.body(self.answered.reader.body())?;
                    self.answered.reader.clear_body();
                }
                if done {
                    return to.end();
                }
                if to.is_enough() {
                    return Ok(());
                }
            }
            let before = self.answered.reader.body_len();
            if let Err(fault) = self.read_on(client).await {
                // What came is good as far as it goes.
                if !first && self.answered.reader.body_len() > 0 {
                    to.body(self.answered.reader.body())?;
                }
                return Err(fault);
            }
            self.pay(client, self.answered.reader.body_len() - before).await;
            self.is_fast_enough(client)?;
        }
    }

    /// Holds what comes to the bandwidth; what we do not take does not make the peer slow.
    async fn pay(&mut self, client: &Client, came: usize) {
        self.window.0 += client.intake.pay(came as u64, self.cx.clock).await;
    }

    /// Reads the beginning of a body that only says why there is none; errors do not matter.
    async fn keep_beginning(&mut self, client: &Client) {
        while !self.answered.reader.is_done() && self.answered.reader.body_len() < DRAINED_KEEP {
            if self.read_on(client).await.is_err() {
                return;
            }
        }
    }

    async fn read_on(&mut self, client: &Client) -> Result<(), Fault> {
        let before = self.answered.reader.body_len();
        let started = Instant::now();
        let mut patience = client.patience(self.hop.call.timeout, started);
        patience.deadline = started + FOREVER;
        let Answered { conn, reader, ended, .. } = &mut self.answered;
        let exchange = Exchange::new(conn, &[], reader, patience, self.cx.budget).read_on();
        match exchange.await {
            Ok(now) => {
                *ended = now;
                self.last = now.at;
                self.window.1 += (self.answered.reader.body_len() - before) as u64;
                Ok(())
            }
            Err(broken) => {
                let traffic = self.answered.conn.traffic();
                let Unanswered { fault, .. } =
                    unanswered(self.hop.url, &broken, &self.answered.reader, started, traffic);
                Err(fault)
            }
        }
    }

    /// Ends a body that comes too slowly to be waited for.
    fn is_fast_enough(&mut self, client: &Client) -> Result<(), Fault> {
        let span = self.last.duration_since(self.window.0);
        if span < MEASURED {
            return Ok(());
        }
        let least = client.options.least_throughput;
        let came = std::mem::replace(&mut self.window, (self.last, 0)).1;
        if (came as f64) < least as f64 * span.as_secs_f64() {
            let url = self.hop.url;
            let message =
                bounded(format!("{url}: slower than {least} bytes a second for {} s", span.as_secs()));
            return Err(Fault::new(FaultClass::Transient, "slow", message).with_origin(origin_of(url)));
        }
        Ok(())
    }
}
