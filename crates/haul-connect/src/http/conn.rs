//! One open connection, and one exchange of a request for a reply on it.
//!
//! Nothing is spawned: the connection is polled inside the future of the request that uses it, so
//! a reply wakes the worker that waits for it and nobody else. A connection without a request holds
//! no buffers.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use haul_core::budget::{Account, Budget, Held};
use haul_core::limits::CONNECTION_IDLE_AGE;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::frame::{Progress, ReplyError, ReplyReader};
use super::proxy::Proxy;
use super::wire::{Traffic, Wire};

/// What is read at once. Shared by all connections of a thread: bytes stay in it only within a poll.
const SCRATCH: usize = 64 * 1024;
/// Request heads up to this size stay allocated on an idle connection.
const OUT_KEPT: usize = 2 * 1024;
/// Bodies below this are not worth counting while they arrive.
const HELD_FROM: usize = 16 * 1024;

/// How long before the service closes an idle connection it is no longer used.
const SAFE: Duration = Duration::from_secs(1);

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Why an exchange ended without a reply.
#[derive(Debug)]
pub(crate) enum Broken {
    /// What came is no reply, or only the beginning of one.
    Reply(ReplyError),
    /// The connection broke.
    Io(io::Error),
    /// Nothing came for so long.
    Silence(Duration),
    /// It took longer than one attempt may.
    Deadline(Duration),
}

impl Broken {
    /// True when the connection was lost, as opposed to a reply that is bad or late.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Broken::Io(_) | Broken::Reply(ReplyError::HeadCut | ReplyError::BodyCut { .. }))
    }
}

/// When to give up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The end of the attempt.
    pub(crate) deadline: Instant,
    /// How long that was at the start, for the message.
    pub(crate) timeout: Duration,
    /// Longest time in which no byte passes.
    pub(crate) silence: Duration,
}

/// An open connection.
pub(crate) struct Conn {
    wire: Wire,
    /// Fires at or before the moment to look at the clock; set anew only when it has fired or fires
    /// too late. A timer per request would cost a registration each.
    timer: Pin<Box<Sleep>>,
    /// The bytes of the request.
    pub(crate) out: Vec<u8>,
    /// When it last ended an exchange.
    pub(crate) idle_since: Instant,
    /// The proxy at the other end, when requests go to it as they are.
    pub(crate) via: Option<Arc<Proxy>>,
    /// How long it may be without one: a bit less than the service says it keeps it.
    idle_age: Duration,
}

impl Conn {
    pub(crate) fn new(wire: Wire, via: Option<Arc<Proxy>>, patience: &Patience) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(patience.deadline));
        let idle_age = CONNECTION_IDLE_AGE;
        Conn { wire, timer, out: Vec::new(), idle_since: Instant::now(), via, idle_age }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.wire.traffic()
    }

    /// True when it has been without a request for longer than is safe.
    pub(crate) fn is_old(&self, now: Instant) -> bool {
        now.duration_since(self.idle_since) > self.idle_age
    }

    /// False when the peer has closed it, or has sent something nobody asked for.
    pub(crate) fn is_open(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.wire).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Gives up the buffers before it is put aside.
    pub(crate) fn rest(&mut self) {
        self.out.clear();
        if self.out.capacity() > OUT_KEPT {
            self.out = Vec::new();
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    /// The connection can take another request.
    pub(crate) reusable: bool,
    /// When the last byte came.
    pub(crate) at: Instant,
}

/// Sends `conn.out`, then `body`, and reads until `reader` has a whole reply.
pub(crate) struct Exchange<'a> {
    conn: &'a mut Conn,
    body: &'a [u8],
    reader: &'a mut ReplyReader,
    patience: Patience,
    written: usize,
    flushed: bool,
    write_error: Option<io::Error>,
    last_progress: Instant,
    budget: &'a Budget,
    held: Option<Held>,
    /// Stop as soon as the head is there.
    head_only: bool,
    /// Stop as soon as all is written.
    write_only: bool,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        conn: &'a mut Conn,
        body: &'a [u8],
        reader: &'a mut ReplyReader,
        patience: Patience,
        budget: &'a Budget,
    ) -> Self {
        Exchange {
            conn,
            body,
            reader,
            patience,
            written: 0,
            flushed: false,
            write_error: None,
            last_progress: Instant::now(),
            budget,
            held: None,
            head_only: false,
            write_only: false,
        }
    }

    /// Ends with the head of the reply (and what came with it of the body).
    pub(crate) fn head_only(mut self) -> Self {
        self.head_only = true;
        self
    }

    /// Ends when all is written, or with a reply that came before that.
    pub(crate) fn write_only(mut self) -> Self {
        self.write_only = true;
        self
    }

    /// Reads on after an exchange that ended with its head: returns when some of the body has come.
    pub(crate) fn read_on(mut self) -> Self {
        self.written = self.conn.out.len() + self.body.len();
        self.flushed = true;
        self.head_only = true;
        self
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) {
        let head = self.conn.out.len();
        let total = head + self.body.len();
        while self.written < total && self.write_error.is_none() {
            let from_head = self.written.min(head);
            let from_body = self.written - from_head;
            let (rest, body) = (&self.conn.out[from_head..], &self.body[from_body..]);
            match self.conn.wire.poll_write(cx, rest, body) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.write_error = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => self.written += n,
                // The reply may have come before the peer stopped reading: it is looked for first.
                Poll::Ready(Err(e)) => self.write_error = Some(e),
            }
        }
        if !self.flushed && self.write_error.is_none() {
            match self.conn.wire.poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.flushed = true,
                Poll::Ready(Err(e)) => self.write_error = Some(e),
            }
        }
    }

    /// Reads once: the number of bytes that came, and how far the reply is with them.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Result<(usize, Progress), Broken>> {
        let read = match self.reader.room() {
            // A large body goes where it is handed on from, and is not copied.
            Some(mut room) => {
                let read = ready!(pin!(self.conn.wire.read_buf(&mut room)).poll(cx));
                read.map(|n| (n, Ok(self.reader.came(n))))
            }
            None => {
                let mut buf = ReadBuf::new(scratch);
                let read = ready!(Pin::new(&mut self.conn.wire).poll_read(cx, &mut buf));
                read.map(|()| (buf.filled().len(), self.reader.push(buf.filled())))
            }
        };
        Poll::Ready(match read {
            Ok((n, progress)) => progress.map(|progress| (n, progress)).map_err(Broken::Reply),
            Err(e) => Err(self.lost(e)),
        })
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Result<Ended, Broken>> {
        loop {
            let (came, progress) = ready!(self.poll_read(cx, scratch))?;
            self.last_progress = Instant::now();
            if came == 0 {
                return Poll::Ready(self.eof());
            }
            match progress {
                Progress::Enough => return Poll::Ready(Ok(self.ended(false))),
                Progress::Done { used } => {
                    let clean = used == came && self.flushed;
                    let head = self.reader.head();
                    let keep_alive = head.is_some_and(|head| head.keep_alive);
                    if let Some(limit) = head.and_then(|head| head.idle_limit) {
                        // A request sent at the last moment would cross the end of the connection.
                        let safe = limit.saturating_sub(SAFE).max(limit / 2);
                        self.conn.idle_age = safe.min(CONNECTION_IDLE_AGE);
                    }
                    return Poll::Ready(Ok(self.ended(clean && keep_alive)));
                }
                Progress::More => self.count(),
            }
            if self.head_only && self.reader.head().is_some() {
                return Poll::Ready(Ok(self.ended(false)));
            }
        }
    }

    fn ended(&self, reusable: bool) -> Ended {
        Ended { reusable, at: self.last_progress }
    }

    fn eof(&mut self) -> Result<Ended, Broken> {
        match (self.reader.eof(), self.write_error.take()) {
            (Ok(()), _) => Ok(self.ended(false)),
            (Err(ReplyError::HeadCut), Some(write)) => Err(Broken::Io(write)),
            (Err(e), _) => Err(Broken::Reply(e)),
        }
    }

    /// A read error, or the write error that came first. An end of TLS without its alert is an end
    /// like any other: what is missing of the reply says whether it matters.
    fn lost(&mut self, read: io::Error) -> Broken {
        if read.kind() == io::ErrorKind::UnexpectedEof {
            let framed_by_close = self.reader.eof();
            return Broken::Reply(match framed_by_close {
                Ok(()) => ReplyError::BodyCut { got: self.reader.body_len() as u64, of: None },
                Err(e) => e,
            });
        }
        Broken::Io(self.write_error.take().unwrap_or(read))
    }

    /// Counts a body that takes its time.
    fn count(&mut self) {
        let len = self.reader.body_len();
        match &mut self.held {
            Some(held) => held.resize(len),
            None if len >= HELD_FROM => self.held = Some(self.budget.hold(Account::Bodies, len)),
            None => {}
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        let due = self.patience.deadline.min(self.last_progress + self.patience.silence);
        if self.conn.timer.deadline() > due {
            self.conn.timer.as_mut().reset(due);
        }
        while self.conn.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.patience.deadline {
                return Poll::Ready(Broken::Deadline(self.patience.timeout));
            }
            if now >= due {
                return Poll::Ready(Broken::Silence(self.patience.silence));
            }
            self.conn.timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl Future for Exchange<'_> {
    type Output = Result<Ended, Broken>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if !this.flushed {
            let before = this.written;
            this.poll_write(cx);
            // Mostly all of it is sent by the first poll, for which the clock was just read.
            if this.written > before && before > 0 {
                this.last_progress = Instant::now();
            }
        }
        if this.write_only && this.flushed {
            return Poll::Ready(Ok(this.ended(false)));
        }
        let polled = READ.with_borrow_mut(|scratch| this.poll_reply(cx, scratch));
        if polled.is_ready() {
            return polled;
        }
        this.poll_patience(cx).map(Err)
    }
}
