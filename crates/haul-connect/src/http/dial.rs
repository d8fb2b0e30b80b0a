//! Opens connections: names to addresses, TCP, TLS.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haul_core::Fault;
use haul_core::limits::{DNS_AGE, DNS_NAMES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::conn::{Conn, Patience};
use super::head::parse_head;
use super::headers::USER_AGENT;
use super::proxy::{Proxies, Proxy};
use super::status::reason;
use super::tls::{H2, Tls};
use super::url::{Scheme, Url};
use super::wire::{Counted, Wire};

/// Names looked up at the same time: each takes a thread of the blocking pool.
const LOOKUPS: usize = 4;
/// Least time for one of several addresses.
const ADDRESS_LEAST: Duration = Duration::from_millis(250);

/// The code of a proxy that wants other credentials.
pub(crate) const PROXY_DENIED: &str = "proxy_denied";
/// The longest answer of a proxy to the wish for a tunnel.
const TUNNEL_HEAD: usize = 16 * 1024;

/// A connection, by what is spoken on it.
pub(crate) enum Opened {
    /// HTTP/1.1.
    One(Conn),
    /// HTTP/2.
    Two(Box<TlsStream<Counted>>),
}

/// Opens connections.
pub(crate) struct Dialer {
    names: Names,
    tls: Tls,
    proxies: Proxies,
}

impl Dialer {
    pub(crate) fn new(tls: Tls, proxies: Proxies) -> Self {
        Dialer { names: Names::default(), tls, proxies }
    }

    /// Opens a connection to the origin of `url` within `connect` and the patience of the attempt, to
    /// speak HTTP/1.1 on it.
    pub(crate) async fn open(
        &self,
        url: &Url,
        connect: Duration,
        patience: &Patience,
    ) -> Result<Conn, Fault> {
        let (wire, via) = self.open_within(url, connect, patience, false).await?;
        Ok(Conn::new(wire, via, patience))
    }

    /// As [`Dialer::open`], in the protocol that the service likes best.
    pub(crate) async fn open_any(
        &self,
        url: &Url,
        connect: Duration,
        patience: &Patience,
    ) -> Result<Opened, Fault> {
        Ok(match self.open_within(url, connect, patience, true).await? {
            (Wire::Tls(tls), _) if tls.get_ref().1.alpn_protocol() == Some(H2) => Opened::Two(tls),
            (wire, via) => Opened::One(Conn::new(wire, via, patience)),
        })
    }

    async fn open_within(
        &self,
        url: &Url,
        connect: Duration,
        patience: &Patience,
        any: bool,
    ) -> Result<(Wire, Option<Arc<Proxy>>), Fault> {
        let until = patience.deadline.min(Instant::now() + connect);
        timeout_at(until, self.open_now(url, until, any)).await.unwrap_or_else(|_| {
            Err(Fault::transient("timeout", format!("{}: no connection within {connect:?}", url.base())))
        })
    }

    async fn open_now(
        &self,
        url: &Url,
        until: Instant,
        any: bool,
    ) -> Result<(Wire, Option<Arc<Proxy>>), Fault> {
        let proxy = self.proxies.to(url);
        let mut tcp = match proxy {
            None => self.connect(url, until).await?,
            Some(proxy) => self.connect(proxy.url(), until).await.map_err(|fault| {
                let message = format!("{}: its proxy: {}", url.base(), fault.message());
                Fault::transient("connect", message)
            })?,
        };
        if let Some(proxy) = proxy.filter(|_| url.scheme() == Scheme::Https) {
            tunnel(&mut tcp, url, proxy).await?;
        }
        let tcp = Counted::new(tcp);
        Ok(match url.scheme() {
            Scheme::Http => (Wire::Plain(tcp), proxy.cloned()),
            Scheme::Https => (Wire::Tls(Box::new(self.tls.handshake(url, tcp, any).await?)), None),
        })
    }

    /// Tries the addresses of a host in turn.
    async fn connect(&self, url: &Url, until: Instant) -> Result<TcpStream, Fault> {
        let addresses = self.names.resolve(url).await?;
        let mut last = None;
        for (tried, address) in addresses.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let socket = SocketAddr::new(*address, url.port());
            match timeout(share.max(ADDRESS_LEAST), TcpStream::connect(socket)).await {
                Ok(Ok(tcp)) => {
                    if tried > 0 {
                        self.names.prefer(url.host(), *address);
                    }
                    // A request is one write: waiting to fill a segment only delays it.
                    tcp.set_nodelay(true).map_err(|e| refused(url, &e))?;
                    return Ok(tcp);
                }
                Ok(Err(e)) => last = Some(e),
                Err(_) => last = Some(io::ErrorKind::TimedOut.into()),
            }
        }
        // Perhaps the name has moved.
        self.names.forget(url.host());
        Err(refused(url, &last.unwrap_or_else(|| io::ErrorKind::NotFound.into())))
    }
}

/// Asks a proxy for a tunnel (RFC 9110 §9.3.6).
async fn tunnel(tcp: &mut TcpStream, url: &Url, proxy: &Proxy) -> Result<(), Fault> {
    let to = format!("{}:{}", url.host(), url.port());
    let auth = proxy.authorization();
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: {USER_AGENT}\r\n{auth}\r\n");
    let broke = |why: &dyn std::fmt::Display| {
        let message = format!("{}: its proxy {} opens no tunnel: {why}", url.base(), proxy.url().base());
        Fault::transient("proxy", message)
    };
    tcp.write_all(request.as_bytes()).await.map_err(|e| broke(&e))?;
    let mut head = Vec::new();
    // Byte by byte at its end: what comes after the head belongs to the service.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > TUNNEL_HEAD {
            return Err(broke(&"its answer has no end"));
        }
        head.push(tcp.read_u8().await.map_err(|_| broke(&"it closed the connection"))?);
    }
    let status = match parse_head(&head, false) {
        Ok(Some((head, _))) => head.status,
        _ => return Err(broke(&"its answer is not HTTP")),
    };
    match status {
        200..=299 => Ok(()),
        407 => {
            let fault = broke(&"407: put user and password into HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT");
            Err(Fault::transient(PROXY_DENIED, fault.message()))
        }
        status => Err(broke(&format_args!("{status} {}", reason(status)))),
    }
}

/// A connection that could not be opened.
fn refused(url: &Url, e: &io::Error) -> Fault {
    let base = url.base();
    if is_out_of_files(e) {
        let message = format!(
            "{base}: this system allows no more open files: raise the limit (ulimit -n) or lower --concurrency"
        );
        return Fault::transient("connect", message).uncharged();
    }
    match e.kind() {
        io::ErrorKind::TimedOut => Fault::transient("timeout", format!("{base}: the connection timed out")),
        io::ErrorKind::ConnectionRefused => {
            Fault::transient("connect", format!("{base}: connection refused"))
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown | io::ErrorKind::HostUnreachable => {
            Fault::transient("connect", format!("{base}: the network is unreachable")).uncharged()
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => {
            let message = format!("{base}: this system has no free port left: lower --concurrency");
            Fault::transient("connect", message).uncharged()
        }
        _ => Fault::transient("connect", format!("{base}: cannot connect: {e}")),
    }
}

#[cfg(unix)]
fn is_out_of_files(e: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(e), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
fn is_out_of_files(_: &io::Error) -> bool {
    false
}

/// The addresses of a host, and when they were looked up.
struct Known {
    at: Instant,
    addresses: Vec<IpAddr>,
}

/// Addresses of hosts, remembered for a while.
struct Names {
    known: Mutex<HashMap<Box<str>, Known>>,
    lookups: Semaphore,
}

impl Default for Names {
    fn default() -> Self {
        Names { known: Mutex::default(), lookups: Semaphore::new(LOOKUPS) }
    }
}

impl Names {
    async fn resolve(&self, url: &Url) -> Result<Vec<IpAddr>, Fault> {
        let host = url.host();
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(vec![address]);
        }
        if let Some(addresses) = self.recall(host) {
            return Ok(addresses);
        }
        let _one_of_few = self.lookups.acquire().await;
        // Another request may have asked for the same name meanwhile.
        if let Some(addresses) = self.recall(host) {
            return Ok(addresses);
        }
        let found = tokio::net::lookup_host((host, url.port())).await.map_err(|e| {
            Fault::transient("connect", format!("{}: no address for {host}: {e}", url.base()))
        })?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.map(|socket| socket.ip()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(Fault::transient("connect", format!("{}: {host} has no address", url.base())));
        }
        self.remember(host, addresses.clone());
        Ok(addresses)
    }

    fn recall(&self, host: &str) -> Option<Vec<IpAddr>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(host).filter(|k| k.at.elapsed() < DNS_AGE).map(|k| k.addresses.clone())
    }

    fn remember(&self, host: &str, addresses: Vec<IpAddr>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DNS_NAMES {
            known.retain(|_, k| k.at.elapsed() < DNS_AGE);
            if known.len() >= DNS_NAMES {
                known.clear();
            }
        }
        known.insert(host.into(), Known { at: Instant::now(), addresses });
    }

    /// The next connection tries this address first.
    fn prefer(&self, host: &str, address: IpAddr) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(host) {
            known.addresses.sort_by_key(|a| *a != address);
        }
    }

    fn forget(&self, host: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }
}
