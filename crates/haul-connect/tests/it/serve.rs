//! A TCP server that does what a test says, byte by byte, and remembers what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haul_connect::http::Url;
use haul_core::clock::{Clock, Moment, UnixMs};
use haul_core::cx::{Cx, NoMemo, RunKey};
use haul_core::lane::{LaneEnd, LaneId, Lanes, Origin, Permit, Saved, Verdict};
use haul_core::{Budget, Fault};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One thing the server does after a request.
pub(crate) enum Act {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Closes the connection in order.
    Close,
    /// Closes it with a reset.
    Reset,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which connection, from 0.
    pub(crate) connection: usize,
    /// Which request of all, from 0.
    pub(crate) number: usize,
    /// Request line and header lines.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, v) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| v.trim())
        })
    }

    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }
}

type Script = dyn Fn(&Seen) -> Vec<Act> + Send + Sync;

/// The server; it ends with the runtime of its test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    /// `script` is asked once a request has come whole.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Server {
        Self::start_with(None, Arc::new(script), false).await
    }

    /// Asked as soon as the head of a request has come; the body is never read.
    pub(crate) async fn start_early(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Server {
        Self::start_with(None, Arc::new(script), true).await
    }

    pub(crate) async fn start_tls(
        tls: tokio_rustls::TlsAcceptor,
        script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    ) -> Server {
        Self::start_with(Some(tls), Arc::new(script), false).await
    }

    async fn start_with(tls: Option<tokio_rustls::TlsAcceptor>, script: Arc<Script>, early: bool) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (Arc::clone(&server.seen), Arc::clone(&server.connections));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                let connection = {
                    let mut n = connections.lock().unwrap();
                    *n += 1;
                    *n - 1
                };
                let (seen, script, tls) = (Arc::clone(&seen), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, connection, &seen, &*script, early).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, connection, &seen, &*script, early).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn url(&self, target: &str) -> Url {
        Url::parse(&format!("{}://{}{target}", self.scheme, self.address)).unwrap()
    }

    /// The same server under another host name.
    pub(crate) fn url_as(&self, host: &str, target: &str) -> Url {
        Url::parse(&format!("{}://{host}:{}{target}", self.scheme, self.address.port())).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

trait Linger {
    /// Makes the next close a reset.
    fn reset(self);
}

impl Linger for TcpStream {
    fn reset(self) {
        self.set_zero_linger().unwrap();
    }
}

impl Linger for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(self) {
        self.get_ref().0.set_zero_linger().unwrap();
    }
}

async fn serve<S>(mut stream: S, connection: usize, seen: &Mutex<Vec<Seen>>, script: &Script, early: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Linger,
{
    let mut buf = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !matches!(stream.read_buf(&mut buf).await, Ok(n) if n > 0) {
                return;
            }
        };
        let head = String::from_utf8(buf[..end].to_vec()).unwrap();
        let mut request = Seen { connection, number: 0, head, body: Vec::new() };
        let length = request.header("content-length").map_or(0, |v| v.parse().unwrap());
        while !early && buf.len() < end + length {
            if !matches!(stream.read_buf(&mut buf).await, Ok(n) if n > 0) {
                return;
            }
        }
        let used = buf.len().min(end + length);
        request.body = buf[end..used].to_vec();
        buf.drain(..used);
        {
            let mut all = seen.lock().unwrap();
            request.number = all.len();
            all.push(request.clone());
        }
        for act in script(&request) {
            match act {
                Act::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                Act::Wait(time) => tokio::time::sleep(time).await,
                Act::Close => {
                    let _ = stream.shutdown().await;
                    return;
                }
                Act::Reset => {
                    stream.reset();
                    return;
                }
            }
        }
    }
}

/// A reply with a length.
pub(crate) fn reply(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<Act> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    vec![Act::Send([head.as_bytes(), body].concat())]
}

/// Bytes, then the end of the connection.
pub(crate) fn then_close(bytes: impl AsRef<[u8]>) -> Vec<Act> {
    vec![Act::Send(bytes.as_ref().to_vec()), Act::Close]
}

/// Bytes, a moment for them to arrive, then a reset.
pub(crate) fn then_reset(bytes: impl AsRef<[u8]>) -> Vec<Act> {
    vec![Act::Send(bytes.as_ref().to_vec()), Act::Wait(Duration::from_millis(20)), Act::Reset]
}

/// What a step can reach in a test: lanes without limits that remember their verdicts.
pub(crate) struct World {
    lanes: OpenLanes,
    clock: TestClock,
    pub(crate) budget: Budget,
    run: RunKey,
}

#[derive(Default)]
struct OpenLanes {
    origins: Mutex<Vec<Origin>>,
    saved: Mutex<Vec<Saved>>,
    ended: Arc<Ended>,
}

#[derive(Default)]
struct Ended(Mutex<Vec<(LaneId, Option<Verdict>)>>);

impl LaneEnd for Ended {
    fn end(&self, lane: LaneId, _: Moment, verdict: Option<Verdict>) {
        self.0.lock().unwrap().push((lane, verdict));
    }
}

#[async_trait::async_trait]
impl Lanes for OpenLanes {
    fn lane(&self, origin: &Origin) -> LaneId {
        let mut origins = self.origins.lock().unwrap();
        let at = origins.iter().position(|o| o == origin).unwrap_or_else(|| {
            origins.push(origin.clone());
            origins.len() - 1
        });
        LaneId(u32::try_from(at).unwrap())
    }

    async fn enter(&self, lane: LaneId) -> Permit {
        Permit::new(lane, Moment(0), Arc::<Ended>::clone(&self.ended))
    }

    fn saved(&self, how: Saved) {
        self.saved.lock().unwrap().push(how);
    }
}

struct TestClock(tokio::time::Instant);

#[async_trait::async_trait]
impl Clock for TestClock {
    fn now(&self) -> Moment {
        Moment(self.0.elapsed().as_nanos() as u64)
    }

    fn wall(&self) -> UnixMs {
        UnixMs(0)
    }

    async fn sleep_until(&self, until: Moment) {
        tokio::time::sleep_until(self.0 + Duration::from_nanos(until.0)).await;
    }
}

impl World {
    pub(crate) fn new() -> World {
        World::with_memory(1 << 30)
    }

    /// One whose budget is so many bytes.
    pub(crate) fn with_memory(bytes: u64) -> World {
        World {
            lanes: OpenLanes::default(),
            clock: TestClock(tokio::time::Instant::now()),
            budget: Budget::new(bytes),
            run: RunKey([1; 16]),
        }
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx { lanes: &self.lanes, clock: &self.clock, budget: &self.budget, run: &self.run, memo: &NoMemo }
    }

    pub(crate) fn lane(&self, url: &Url) -> LaneId {
        self.lanes.lane(&url.origin(&"".into()))
    }

    /// Requests that were not sent: because one was in flight, because its result was kept.
    pub(crate) fn saved(&self) -> (usize, usize) {
        let saved = self.lanes.saved.lock().unwrap();
        let of = |how| saved.iter().filter(|s| **s == how).count();
        (of(Saved::Coalesced), of(Saved::Cached))
    }

    /// Every permit that ended, in order; `None` for one that was dropped.
    pub(crate) fn verdicts(&self) -> Vec<Option<Verdict>> {
        self.lanes.ended.0.lock().unwrap().iter().map(|(_, v)| *v).collect()
    }

    pub(crate) fn last_verdict(&self) -> Verdict {
        self.verdicts().pop().expect("a permit ended").expect("with a verdict")
    }

    /// The lanes whose permits ended, in order.
    pub(crate) fn lanes_used(&self) -> Vec<u32> {
        self.lanes.ended.0.lock().unwrap().iter().map(|(lane, _)| lane.0).collect()
    }
}

/// `class code: message`, for assertions.
pub(crate) fn shown(fault: &Fault) -> String {
    format!("{} {}: {}", fault.class().as_str(), fault.code(), fault.message())
}
