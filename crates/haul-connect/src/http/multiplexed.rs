//! One request over HTTP/2: finds a stream on its lane, opens a connection where none is free, and
//! sends again what the peer says it did not look at.

use tokio::time::{Instant, timeout_at};

use haul_core::lane::Sign;
use haul_core::{Cx, Fault, FaultClass};

use super::client::{Client, Hop, Unanswered, Whole};
use super::conn::Patience;
use super::dial::Opened;
use super::frame::ReplyError;
use super::mux::{LaneMux, MuxBroken, Offer, Stream};
use super::reply::{bounded, origin_of};
use super::url::Url;
use super::wire::Traffic;

/// How often a request is sent again that was not looked at (RFC 9113 §8.7): a connection that is
/// being closed is followed by one that is not.
const SENT_AGAIN: u32 = 2;

impl Client {
    /// Sends a request over HTTP/2; `None`: the service speaks HTTP/1.1, and nothing was sent.
    pub(crate) async fn multiplexed(&self, hop: &Hop<'_>, cx: &Cx<'_>) -> Result<Option<Whole>, Unanswered> {
        let lane = self.muxes.lane(hop.lane);
        let patience = self.patience(hop.call.timeout, Instant::now());
        let mut again = 0;
        loop {
            let Some(stream) = self.stream_of(&lane, hop, &patience).await? else { return Ok(None) };
            let started = Instant::now();
            let ended = stream.exchange(hop.call, (hop.url, hop.foreign), &patience, cx.budget).await;
            let traffic = stream.traffic();
            let broken = match ended {
                Ok(reply) => {
                    let elapsed = reply.at.duration_since(started);
                    return Ok(Some(Whole { head: reply.head, body: reply.body, elapsed, traffic }));
                }
                Err(broken) => broken,
            };
            if broken.wants_http1() {
                lane.speaks_one();
                return Ok(None);
            }
            if broken.is_unprocessed() && again < SENT_AGAIN {
                again += 1;
                continue;
            }
            return Err(unanswered(hop.url, &broken, stream.was_sent(), started, traffic));
        }
    }

    /// A stream on the lane's connections, or on one that is opened for it.
    async fn stream_of(
        &self,
        lane: &LaneMux,
        hop: &Hop<'_>,
        patience: &Patience,
    ) -> Result<Option<Stream>, Unanswered> {
        let began = Instant::now();
        let gone = |fault: Fault| self.unopened(hop.url, fault, began);
        let late = || {
            let message = format!("{}: no connection within {:?}", hop.url.base(), patience.timeout);
            gone(Fault::transient("timeout", message))
        };
        loop {
            match lane.offer() {
                Offer::One => return Ok(None),
                Offer::Stream(stream) => return Ok(Some(stream)),
                Offer::Dial => {}
            }
            let one = timeout_at(patience.deadline, lane.dialing.lock()).await.map_err(|_| late())?;
            match lane.offer() {
                Offer::One => return Ok(None),
                Offer::Stream(stream) => return Ok(Some(stream)),
                Offer::Dial => {}
            }
            // What another has just met need not be met again by everyone who waited for it.
            if let Some(fault) = lane.failed_since(began) {
                return Err(gone(fault));
            }
            let opened = self.dialer.open_any(hop.url, self.options.connect_timeout, patience).await;
            match opened {
                Ok(Opened::One(conn)) => {
                    lane.speaks_one();
                    self.pool.put(hop.lane, conn, Instant::now());
                }
                Ok(Opened::Two(tls)) => {
                    if let Err(broken) = lane.add(*tls, patience).await {
                        let fault = unanswered(hop.url, &broken, false, began, Traffic::default()).fault;
                        lane.failed(&fault);
                        return Err(gone(fault));
                    }
                }
                Err(fault) => {
                    lane.failed(&fault);
                    return Err(gone(fault));
                }
            }
            drop(one);
        }
    }
}

/// What is said of a request that got no reply, and what its lane is told.
fn unanswered(url: &Url, broken: &MuxBroken, sent: bool, started: Instant, traffic: Traffic) -> Unanswered {
    let text = |what: &dyn std::fmt::Display| bounded(format!("{url}: {what}"));
    let transient = |code, what: &dyn std::fmt::Display| Fault::transient(code, text(what));
    let (fault, sign) = match broken {
        MuxBroken::Deadline(after) => {
            (transient("timeout", &format_args!("no complete reply within {after:?}")), Sign::Lost)
        }
        MuxBroken::Silence(after) => {
            (transient("timeout", &format_args!("nothing came for {after:?}")), Sign::Lost)
        }
        MuxBroken::Unsent => (transient("reset", &"the connection takes no more requests"), Sign::Lost),
        MuxBroken::NoStreams => {
            let what = format!("{url}: it allows no requests for now (HTTP/2: no streams)");
            (Fault::new(FaultClass::Throttled, "stream", bounded(what)), Sign::Throttled)
        }
        MuxBroken::Stream(e) if broken.wants_less() => {
            let what = format!("{url}: it is asked for too much (HTTP/2: {e})");
            (Fault::new(FaultClass::Throttled, "stream", bounded(what)), Sign::Throttled)
        }
        MuxBroken::Stream(e) if broken.is_unprocessed() => {
            (transient("stream", &format_args!("it refused the request (HTTP/2: {e})")), Sign::Lost)
        }
        MuxBroken::Stream(e) => {
            (transient("reset", &format_args!("the connection broke (HTTP/2: {e})")), Sign::Lost)
        }
        MuxBroken::Reply(e @ ReplyError::BodyTooLarge) => {
            (Fault::permanent("too_large", text(e)), Sign::Answered)
        }
        MuxBroken::Reply(e) => (transient("body", e), Sign::Erred),
    };
    let fault = fault.with_origin(origin_of(url));
    let fault = if sent && !broken.is_unprocessed() { fault.ambiguous() } else { fault };
    Unanswered { fault, sign, elapsed: started.elapsed(), traffic }
}
