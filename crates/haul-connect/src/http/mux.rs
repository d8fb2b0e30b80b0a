//! HTTP/2: many requests on one connection. The frames are the `h2` crate's; here are the
//! connections of each lane, the streams that are free on them, and one exchange.
//!
//! A lane opens another connection only when all it has carry as many streams as the peer allows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong, Reason};
use haul_core::Fault;
use haul_core::budget::{Account, Budget};
use haul_core::lane::LaneId;
use haul_core::limits::{BODY_BYTES, HEAD_BYTES};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::conn::Patience;
use super::frame::{DRAINED_KEEP, DRAINED_READ, ReplyError};
use super::head::{Head, head_of};
use super::request::{BodyUse, Call};
use super::url::Url;
use super::wire::{Counted, Meter, Traffic};

/// Bytes that may come on a stream before they are asked for, and on all streams of a connection: what a
/// connection may hold for us.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Why an exchange ended without a reply.
#[derive(Debug)]
pub(crate) enum MuxBroken {
    /// The connection or the stream broke.
    Stream(h2::Error),
    /// What came cannot be used.
    Reply(ReplyError),
    /// The connection cannot carry it any more; nothing was sent.
    Unsent,
    /// The peer allows no stream at all.
    NoStreams,
    /// Nothing came for so long.
    Silence(Duration),
    /// It took longer than one attempt may.
    Deadline(Duration),
}

impl MuxBroken {
    /// True when the peer has said that it did nothing of it, or it was never sent: RFC 9113 §8.7.
    pub(crate) fn is_unprocessed(&self) -> bool {
        match self {
            MuxBroken::Unsent => true,
            MuxBroken::Stream(e) => {
                let refused = e.is_reset() && e.reason() == Some(Reason::REFUSED_STREAM);
                e.is_remote() && (e.is_go_away() || refused)
            }
            _ => false,
        }
    }

    /// True when the peer wants HTTP/1.1 for this.
    pub(crate) fn wants_http1(&self) -> bool {
        matches!(self, MuxBroken::Stream(e) if e.reason() == Some(Reason::HTTP_1_1_REQUIRED))
    }

    /// True when the peer says that it is asked for too much.
    pub(crate) fn wants_less(&self) -> bool {
        matches!(self, MuxBroken::Stream(e) if e.reason() == Some(Reason::ENHANCE_YOUR_CALM))
    }
}

/// One connection.
struct Mux {
    send: SendRequest<Bytes>,
    /// Streams in use.
    streams: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
    meter: Arc<Meter>,
}

impl Mux {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// What a lane speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Speaks {
    Unknown,
    One,
    Two,
}

/// What a lane has for a request.
pub(crate) enum Offer {
    /// It speaks HTTP/1.1.
    One,
    /// A stream.
    Stream(Stream),
    /// A connection is needed.
    Dial,
}

/// The connections of one lane.
pub(crate) struct LaneMux {
    /// One opens a connection, the others wait for what it finds.
    pub(crate) dialing: tokio::sync::Mutex<()>,
    inner: Mutex<Inner>,
}

struct Inner {
    speaks: Speaks,
    all: Vec<Arc<Mux>>,
    /// The last connection that could not be opened.
    failed: Option<(Instant, Fault)>,
}

impl LaneMux {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A free stream, or what is needed for one.
    pub(crate) fn offer(&self) -> Offer {
        let mut inner = self.inner();
        if inner.speaks == Speaks::One {
            return Offer::One;
        }
        inner.all.retain(|mux| !mux.is_closed());
        let has_room =
            |mux: &&Arc<Mux>| mux.streams.load(Ordering::Relaxed) < mux.send.current_max_send_streams();
        match inner.all.iter().find(has_room) {
            Some(mux) => {
                mux.streams.fetch_add(1, Ordering::Relaxed);
                Offer::Stream(Stream { mux: Arc::clone(mux), sent: AtomicBool::new(false) })
            }
            None => Offer::Dial,
        }
    }

    /// From now on it is asked in HTTP/1.1.
    pub(crate) fn speaks_one(&self) {
        self.inner().speaks = Speaks::One;
    }

    /// Why a connection could not be opened since then.
    pub(crate) fn failed_since(&self, since: Instant) -> Option<Fault> {
        self.inner().failed.as_ref().filter(|(at, _)| *at >= since).map(|(_, fault)| fault.clone())
    }

    /// A connection could not be opened.
    pub(crate) fn failed(&self, fault: &Fault) {
        self.inner().failed = Some((Instant::now(), fault.clone()));
    }

    /// Begins to speak HTTP/2 on a connection. The peer's settings are known when this returns.
    pub(crate) async fn add(&self, tls: TlsStream<Counted>, patience: &Patience) -> Result<(), MuxBroken> {
        let meter = tls.get_ref().0.meter();
        let hands = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES as u32)
            .handshake::<_, Bytes>(tls);
        let (send, mut connection) = within(patience, hands).await?.map_err(MuxBroken::Stream)?;
        let ping = connection.ping_pong();
        let (streams, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (settled, has_settled) = oneshot::channel();
        let (silence, used, flag) = (patience.silence, Arc::clone(&streams), Arc::clone(&closed));
        tokio::spawn(async move {
            let watch = async {
                if let Some(ping) = ping {
                    watch(ping, settled, silence, &used).await;
                }
            };
            tokio::select! {
                // How it ended is told to the streams on it; dropping it ends them.
                _ = connection => {}
                () = watch => {}
            }
            flag.store(true, Ordering::Relaxed);
        });
        // Settings come first: when a ping has been answered, they have been read. A connection that
        // broke meanwhile tells so when it is used.
        let _ = within(patience, has_settled).await?;
        if send.current_max_send_streams() == 0 {
            return Err(MuxBroken::NoStreams);
        }
        let mut inner = self.inner();
        inner.speaks = Speaks::Two;
        inner.all.push(Arc::new(Mux { send, streams, closed, meter }));
        Ok(())
    }
}

/// Ends when the peer does not answer any more: a connection that leads nowhere would be given to every
/// request, for many of them fit on it, until the system gives it up after a quarter of an hour. It is
/// asked only while it is in use; what waits on an idle one is nobody.
async fn watch(mut ping: PingPong, settled: oneshot::Sender<()>, silence: Duration, streams: &AtomicUsize) {
    let mut settled = Some(settled);
    loop {
        match timeout(silence / 2, ping.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            _ => return,
        }
        if let Some(settled) = settled.take() {
            let _ = settled.send(());
        }
        tokio::time::sleep(silence / 2).await;
        while streams.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(silence / 2).await;
        }
    }
}

/// The connections of all lanes.
#[derive(Default)]
pub(crate) struct Muxes(Mutex<HashMap<LaneId, Arc<LaneMux>>>);

impl Muxes {
    /// Those of one lane.
    pub(crate) fn lane(&self, lane: LaneId) -> Arc<LaneMux> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let inner = Inner { speaks: Speaks::Unknown, all: Vec::new(), failed: None };
            Arc::new(LaneMux { dialing: tokio::sync::Mutex::default(), inner: Mutex::new(inner) })
        };
        Arc::clone(lanes.entry(lane).or_insert_with(new))
    }
}

/// The right to one stream.
pub(crate) struct Stream {
    mux: Arc<Mux>,
    sent: AtomicBool,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.mux.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A whole reply.
pub(crate) struct MuxReply {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// When its last byte came.
    pub(crate) at: Instant,
}

impl Stream {
    /// Bytes that passed on the connection and were not counted yet: of all its streams.
    pub(crate) fn traffic(&self) -> Traffic {
        self.mux.meter.take()
    }

    /// Sends a request and reads its reply.
    pub(crate) async fn exchange(
        &self,
        call: &Call<'_>,
        (url, foreign): (&Url, bool),
        patience: &Patience,
        budget: &Budget,
    ) -> Result<MuxReply, MuxBroken> {
        let request = request(call, url, foreign).ok_or(MuxBroken::Unsent)?;
        let ready = within(patience, self.mux.send.clone().ready()).await?;
        let mut send = ready.map_err(|_| self.unsent())?;
        let body = call.body.filter(|body| !body.is_empty());
        let (reply, out) = send.send_request(request, body.is_none()).map_err(|_| self.unsent())?;
        self.sent.store(true, Ordering::Relaxed);
        let reply = async {
            let mut reply = std::pin::pin!(reply);
            let sending = std::pin::pin!(send_body(out, body.cloned().unwrap_or_default()));
            tokio::select! {
                biased;
                reply = &mut reply => reply,
                // A reply may come before all was sent; why it could not be sent the reply tells.
                () = sending => reply.await,
            }
        };
        let reply = within(patience, reply).await?.map_err(MuxBroken::Stream)?;
        let (parts, mut body) = reply.into_parts();
        let fields = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let mut head = head_of(parts.status.as_u16(), fields).map_err(|e| MuxBroken::Reply(e.into()))?;
        if matches!(call.body_use, BodyUse::Object | BodyUse::Nothing) {
            let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
            };
            head.fields = Some(parts.headers.iter().map(line).collect::<String>().into());
        }
        let (mut bytes, mut total) = (Vec::new(), 0_u64);
        let mut held = budget.hold(Account::Bodies, 0);
        while let Some(data) = within(patience, body.data()).await? {
            let data = match data {
                Ok(data) => data,
                // The status of an effect says what became of it.
                Err(_) if call.body_use == BodyUse::Drain => break,
                Err(e) => return Err(MuxBroken::Stream(e)),
            };
            // It fails when the stream has ended meanwhile, which the next call tells.
            let _ = body.flow_control().release_capacity(data.len());
            total += data.len() as u64;
            match call.body_use {
                BodyUse::Keep | BodyUse::Object if bytes.len() + data.len() > BODY_BYTES => {
                    return Err(MuxBroken::Reply(ReplyError::BodyTooLarge));
                }
                BodyUse::Nothing => {}
                BodyUse::Keep | BodyUse::Object => bytes.extend_from_slice(&data),
                BodyUse::Drain => {
                    let room = DRAINED_KEEP.saturating_sub(bytes.len()).min(data.len());
                    bytes.extend_from_slice(&data[..room]);
                    if total > DRAINED_READ {
                        break;
                    }
                }
            }
            held.resize(bytes.len());
        }
        Ok(MuxReply { head, body: bytes, at: Instant::now() })
    }

    /// The connection takes no more.
    fn unsent(&self) -> MuxBroken {
        self.mux.closed.store(true, Ordering::Relaxed);
        MuxBroken::Unsent
    }

    /// True when the request, or a part of it, was handed to the connection.
    pub(crate) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Waits for something of a connection: neither longer than the attempt may take, nor in silence for
/// longer than is allowed.
async fn within<T>(patience: &Patience, what: impl Future<Output = T>) -> Result<T, MuxBroken> {
    let silent = Instant::now() + patience.silence;
    timeout_at(patience.deadline.min(silent), what).await.map_err(|_| {
        if patience.deadline <= silent {
            MuxBroken::Deadline(patience.timeout)
        } else {
            MuxBroken::Silence(patience.silence)
        }
    })
}

/// The head of a request; `None` when it cannot be written in HTTP/2, which its checks rule out.
fn request(call: &Call<'_>, url: &Url, foreign: bool) -> Option<http::Request<()>> {
    let mut request = http::Request::builder().method(call.method.as_str()).uri(url.as_str());
    let mut groups = vec![call.headers.own];
    if !foreign {
        groups.extend([call.headers.configured, call.headers.secret]);
    }
    for (name, value) in groups.into_iter().flat_map(|lines| lines.fields()) {
        request = request.header(name, value);
    }
    if let Some(key) = call.headers.idempotency {
        request = request.header("idempotency-key", key);
    }
    if let Some(body) = call.body {
        request = request.header("content-length", body.len());
    }
    request.version(http::Version::HTTP_2).body(()).ok()
}

/// Sends a body as the peer makes room for it.
async fn send_body(mut out: h2::SendStream<Bytes>, mut body: Bytes) {
    while !body.is_empty() {
        out.reserve_capacity(body.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| out.poll_capacity(cx)).await else {
            // The reply says why; without one the wait for it ends.
            return;
        };
        let part = body.split_to(room.min(body.len()));
        if out.send_data(part, body.is_empty()).is_err() {
            return;
        }
    }
    // Until the reply is there the stream must not be given up.
    std::future::pending::<()>().await;
}
