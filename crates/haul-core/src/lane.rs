//! Lanes: all that Haul knows about one scheme + host + port + credential.
//!
//! A step asks for a [`Permit`] before each request and ends it with a [`Verdict`]. The engine
//! implements [`Lanes`]; rate, concurrency, breaker and learned limits live behind it. A permit is
//! granted together with a reserved slot: when `enter` returns, the request is to be sent at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Moment;
use crate::fault::Fault;
use crate::pace::hint::Stated;

/// Scheme, host, port and the name of the credential used there: what makes a lane.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: Arc<str>,
    /// Host in lower case, without port.
    pub host: Arc<str>,
    /// Port, the scheme's default filled in.
    pub port: u16,
    /// Name of the secret (never its value); empty for none.
    pub credential: Arc<str>,
}

impl fmt::Display for Origin {
    /// `host:port`, as messages show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Index of a lane in its run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LaneId(pub u32);

/// How a request went, as far as its lane is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// A reply came, whatever it means for the item (a 404 is a healthy service).
    Answered,
    /// A bare 5xx: the service is unwell, which says little about its load.
    Erred,
    /// 429 or 503: the service asks for less.
    Throttled,
    /// No connection could be made.
    Unreachable,
    /// A time-out or a broken connection, or a gateway that could not reach the service.
    Lost,
    /// 401 or 403, or a certificate that does not verify: nothing changes until a person acts.
    Denied,
}

/// What a request told about its lane.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// How it went.
    pub sign: Sign,
    /// Status of the reply, where one came.
    pub status: Option<u16>,
    /// From the send to the last byte of the reply (or to the fault).
    pub elapsed: Duration,
    /// How long the service asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Bytes received, as they came over the wire.
    pub wire_in: u64,
    /// Bytes received, after decoding.
    pub decoded_in: u64,
    /// Bytes sent.
    pub wire_out: u64,
}

impl Verdict {
    /// A verdict with no bytes counted yet.
    pub fn new(sign: Sign, elapsed: Duration) -> Self {
        Verdict { sign, status: None, elapsed, retry_after: None, wire_in: 0, decoded_in: 0, wire_out: 0 }
    }
}

/// The side of a lane that takes permits back.
pub trait LaneEnd: Send + Sync {
    /// A permit ends; `None` when it was dropped without a verdict (the attempt was cancelled).
    fn end(&self, lane: LaneId, sent: Moment, verdict: Option<Verdict>);
}

/// The right to one request in flight, to be sent now. Ends with a verdict, or when dropped.
pub struct Permit {
    lane: LaneId,
    sent: Moment,
    end: Option<Arc<dyn LaneEnd>>,
}

impl Permit {
    /// Made by the implementation of [`Lanes`]; `sent` is the moment of the slot.
    pub fn new(lane: LaneId, sent: Moment, end: Arc<dyn LaneEnd>) -> Self {
        Permit { lane, sent, end: Some(end) }
    }

    /// The lane it was granted on.
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// The moment of its slot.
    pub fn sent(&self) -> Moment {
        self.sent
    }

    /// Ends it with what the request told.
    pub fn end(mut self, verdict: Verdict) {
        if let Some(end) = self.end.take() {
            end.end(self.lane, self.sent, Some(verdict));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.end(self.lane, self.sent, None);
        }
    }
}

/// All lanes of a run. Async, so that a shared rate can be asked of another machine one day.
#[async_trait]
pub trait Lanes: Send + Sync {
    /// The lane of an origin, made at its first use.
    fn lane(&self, origin: &Origin) -> LaneId;

    /// Waits for a permit, then for its slot.
    async fn enter(&self, lane: LaneId) -> Permit;

    /// As [`Lanes::enter`], on whichever of these lanes, which stand in for each other, is well and has
    /// room first: [`Permit::lane`] says which. Lanes that bound nothing take the first; what stands
    /// before other lanes passes this on.
    async fn enter_any(&self, lanes: &[LaneId]) -> Permit {
        match lanes {
            [first, ..] => self.enter(*first).await,
            [] => std::future::pending().await,
        }
    }

    /// Returns when nothing more will be sent: what waits for company is not to wait any longer.
    async fn closed(&self) {
        std::future::pending().await
    }

    /// A reply states limits of its service. The request that it answers has not ended yet.
    fn stated(&self, lane: LaneId, limits: &[Stated]) {
        let _ = (lane, limits);
    }

    /// A request need not be sent; for the summary.
    fn saved(&self, how: Saved) {
        let _ = how;
    }

    /// What a request failed with, for the words in which messages speak of its lane.
    fn failed(&self, fault: &Fault) {
        let _ = fault;
    }
}

/// Why a request was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saved {
    /// An identical one was in flight, and brought the answer.
    Coalesced,
    /// Its result was kept from an earlier one.
    Cached,
}

/// The pace a lane starts with.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LanePolicy {
    /// Ceiling of the rate.
    pub rate: Option<crate::pace::Rate>,
    /// Requests in flight.
    pub concurrency: crate::pace::Concurrency,
    /// Lanes with the same number stand in for each other: the replicas of one service.
    pub replica_of: Option<u32>,
}
