//! The bytes of a connection: plain TCP or TLS over it, counted as they pass.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Bytes that passed over a connection, TLS records included.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Traffic {
    /// Received.
    pub(crate) wire_in: u64,
    /// Sent.
    pub(crate) wire_out: u64,
}

impl Traffic {
    /// What passed since an earlier reading.
    pub(crate) fn since(self, earlier: Traffic) -> Traffic {
        Traffic { wire_in: self.wire_in - earlier.wire_in, wire_out: self.wire_out - earlier.wire_out }
    }
}

/// What passed over a connection, for those who share it.
#[derive(Default, Debug)]
pub(crate) struct Meter {
    wire_in: AtomicU64,
    wire_out: AtomicU64,
}

impl Meter {
    fn traffic(&self) -> Traffic {
        Traffic { wire_in: self.wire_in.load(Relaxed), wire_out: self.wire_out.load(Relaxed) }
    }

    /// What passed since the last call: the sum of all calls is what passed. For connections whose
    /// traffic is never read otherwise.
    pub(crate) fn take(&self) -> Traffic {
        Traffic { wire_in: self.wire_in.swap(0, Relaxed), wire_out: self.wire_out.swap(0, Relaxed) }
    }
}

/// A TCP connection that counts.
pub(crate) struct Counted {
    tcp: TcpStream,
    meter: Arc<Meter>,
}

impl Counted {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Counted { tcp, meter: Arc::default() }
    }

    /// Its counts.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.meter.wire_in.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = &polled {
            self.meter.wire_out.fetch_add(*n as u64, Relaxed);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(n)) = &polled {
            self.meter.wire_out.fetch_add(*n as u64, Relaxed);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// One connection, with or without TLS.
pub(crate) enum Wire {
    Plain(Counted),
    Tls(Box<TlsStream<Counted>>),
}

impl Wire {
    /// Everything that passed so far.
    pub(crate) fn traffic(&self) -> Traffic {
        match self {
            Wire::Plain(tcp) => tcp.meter.traffic(),
            Wire::Tls(tls) => tls.get_ref().0.meter.traffic(),
        }
    }

    /// Writes from `head`, then from `body`, in one call where both have something left.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        let both = [io::IoSlice::new(head), io::IoSlice::new(body)];
        match self {
            Wire::Plain(tcp) if body.is_empty() => Pin::new(tcp).poll_write(cx, head),
            Wire::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, &both),
            Wire::Tls(tls) if body.is_empty() => Pin::new(tls).poll_write(cx, head),
            Wire::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, &both),
        }
    }

    /// TLS holds records back until it is flushed.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Wire::Plain(_) => Poll::Ready(Ok(())),
            Wire::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Wire::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}
