//! One connection: requests in, fates met, replies out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xxhash_rust::xxh3::xxh3_64;

use crate::control;
use crate::http::{self, Head, Parsed, Request};
use crate::limits;
use crate::script::{Fate, Script};
use crate::services::{Part, Service, Written, answer, message};
use crate::truth::Loss;
use crate::world::{Live, World};

const HTML: &[u8] = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body><h1>Welcome to the guest network</h1></body></html>\n";

/// What becomes of the connection after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// It stays open.
    Stay,
    /// It is closed after what was written.
    Close,
    /// It is reset.
    Reset,
    /// It stays open, and silent.
    Hang,
}

struct Connection {
    world: Arc<World>,
    index: usize,
    stream: TcpStream,
    /// Replies not sent yet.
    out: Vec<u8>,
    script: Arc<Script>,
    version: u64,
}

/// Serves a connection until its end. Errors of the connection only end it: the other side sees them too.
pub(crate) async fn serve(world: Arc<World>, index: usize, stream: TcpStream) {
    let Some(live) = world.lives.get(index) else { return };
    live.record.connected();
    let (version, script) = (live.version(), live.script());
    let connection = Connection { world, index, stream, out: Vec::with_capacity(1024), script, version };
    let _ = connection.run().await;
}

impl Connection {
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(limits::READ_BYTES);
        loop {
            if self.stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            let mut used = 0;
            let next = loop {
                let rest = buffer.get(used..).unwrap_or_default();
                if rest.is_empty() {
                    break Next::Stay;
                }
                match http::parse(rest) {
                    Parsed::Whole(request, len) => {
                        used += len;
                        let next = self.exchange(&request).await?;
                        if next != Next::Stay {
                            break next;
                        }
                    }
                    Parsed::Partial { expects } => {
                        if expects {
                            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                        }
                        break Next::Stay;
                    }
                    Parsed::Bad(bad) => {
                        message(&mut self.out, bad.status, bad.reason);
                        break Next::Close;
                    }
                }
            };
            match next {
                Next::Stay => self.flush().await?,
                Next::Close => {
                    self.flush().await?;
                    return self.stream.shutdown().await;
                }
                Next::Reset => {
                    self.flush().await?;
                    return self.stream.set_zero_linger();
                }
                Next::Hang => return self.stay_silent(&mut buffer).await,
            }
            shift(&mut buffer, used);
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
            self.out.shrink_to(limits::KEEP_BYTES);
        }
        Ok(())
    }

    /// Reads on, so that the other side's close is seen, and says nothing.
    async fn stay_silent(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.flush().await?;
        // The request counts as in work for as long as its sender waits.
        let world = self.world.clone();
        let _in_work = world.lives.get(self.index).map(|live| live.record.hold());
        loop {
            buffer.clear();
            if self.stream.read_buf(buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Sends a part of a file as it is read from memory.
    async fn send(&mut self, world: &World, part: &Part) -> io::Result<()> {
        let mut at = part.from;
        while at < part.to {
            let most = match part.pace {
                0 => part.to - at,
                pace => (pace / 10).clamp(1, part.to - at),
            };
            let piece = world.files.piece(&part.file, at, most);
            self.stream.write_all(piece).await?;
            at += piece.len() as u64;
            if part.pace > 0 && at < part.to {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Carries one request through its fate; its reply is appended to `out`.
    async fn exchange(&mut self, request: &Request<'_>) -> io::Result<Next> {
        let world = self.world.clone();
        let Some(live) = world.lives.get(self.index) else { return Ok(Next::Close) };
        if request.path.starts_with("/_") {
            control::answer(&world, live, request, &mut self.out);
            return Ok(if request.keep_alive { Next::Stay } else { Next::Close });
        }
        if self.version != live.version() {
            (self.version, self.script) = (live.version(), live.script());
        }
        let script = self.script.clone();
        let target = (live.service == Service::Pages).then(|| xxh3_64(request.path.as_bytes()));
        let arrival = live.record.arrive(world.now(), script.rate_limit, target);
        let refused =
            refuse(&script, request, arrival.ordinal, arrival.in_flight, arrival.admitted, &mut self.out);
        if let Some(written) = refused {
            live.record.replied(written.status);
            return Ok(if request.keep_alive { Next::Stay } else { Next::Close });
        }
        let wait = script.service_time(live.seed, arrival.ordinal, arrival.in_flight);
        if wait > Duration::ZERO {
            self.flush().await?;
            tokio::time::sleep(wait).await;
        }
        let fate = script.fate(live.seed, arrival.ordinal);
        let start = self.out.len();
        let (next, part) = meet(fate, (&world, live, &script), request, &mut self.out);
        state_limit(&script, arrival.admitted, start, &mut self.out);
        if let Some(part) = part {
            self.flush().await?;
            self.send(&world, &part).await?;
            if let Some(file) = part.completes() {
                live.record.served(file);
            }
        }
        Ok(if request.keep_alive || next != Next::Stay { next } else { Next::Close })
    }
}

/// Requests that are turned away at the door: credentials, rate, load.
fn refuse(
    script: &Script,
    request: &Request<'_>,
    ordinal: u64,
    in_flight: u32,
    admitted: Option<u32>,
    out: &mut Vec<u8>,
) -> Option<Written> {
    if script.deny != 0 && ordinal >= script.deny_after {
        return Some(message(out, script.deny, "access denied"));
    }
    if !script.token.is_empty() {
        let given = request.authorization.and_then(|value| value.strip_prefix(b"Bearer "));
        if given != Some(script.token.as_bytes()) {
            return Some(message(out, 401, "a valid token is needed"));
        }
    }
    if admitted.is_none() {
        return Some(slow_down(script, 429, out));
    }
    if script.sheds(in_flight) {
        return Some(slow_down(script, 503, out));
    }
    None
}

/// A 429 or 503 with what the script says about coming back.
fn slow_down(script: &Script, status: u16, out: &mut Vec<u8>) -> Written {
    let body = b"{\"error\":\"slow down\"}";
    let start = out.len();
    let mut head = Head::start(out, status).header("content-type", "application/json");
    let retry_after = script.retry_after_s.or((status == 429).then_some(1));
    if let Some(seconds) = retry_after {
        head = head.number("retry-after", u64::from(seconds));
    }
    head.end(body.len());
    if status == 429 {
        state_limit(script, Some(0), start, out);
    }
    out.extend_from_slice(body);
    Written { status, body: body.len() }
}

/// Puts the limit into the head of a reply that begins at `start`, when the script says so.
fn state_limit(script: &Script, left: Option<u32>, start: usize, out: &mut Vec<u8>) {
    let Some(left) = left.filter(|_| script.rate_headers && script.rate_limit > 0) else { return };
    let written = out.get(start..).unwrap_or_default();
    let Some(line) = memchr::memmem::find(written, b"\r\n").map(|at| start + at + 2) else { return };
    let (limit, reset) = (script.rate_limit, script.retry_after_s.unwrap_or(1));
    let fields = format!(
        "x-ratelimit-limit: {limit}\r\nx-ratelimit-remaining: {left}\r\nx-ratelimit-reset: {reset}\r\n"
    );
    out.splice(line..line, fields.into_bytes());
}

/// What the fate of a request does to its effect, its reply and its connection.
fn meet(
    fate: Fate,
    (world, live, script): (&World, &Live, &Script),
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> (Next, Option<Part>) {
    let record = &live.record;
    let start = out.len();
    let next = match fate {
        Fate::Answer => {
            let (written, part) = answer(world, live, script, request, out);
            record.replied(written.status);
            return (Next::Stay, part);
        }
        Fate::Error(503) => {
            record.replied(slow_down(script, 503, out).status);
            Next::Stay
        }
        Fate::Error(status) => {
            record.replied(message(out, status, "something went wrong").status);
            Next::Stay
        }
        Fate::Html => {
            record.lost(Loss::Html);
            Head::start(out, 200).header("content-type", "text/html; charset=utf-8").end(HTML.len());
            out.extend_from_slice(HTML);
            Next::Stay
        }
        Fate::Drop => {
            record.lost(Loss::Dropped);
            Next::Close
        }
        Fate::Reset => {
            record.lost(Loss::Dropped);
            Next::Reset
        }
        Fate::Hang => {
            record.lost(Loss::Hung);
            Next::Hang
        }
        Fate::LoseReply => {
            answer(world, live, script, request, out);
            out.truncate(start);
            record.lost(Loss::ReplyLost);
            Next::Close
        }
        Fate::Truncate => {
            let (written, mut part) = answer(world, live, script, request, out);
            out.truncate(out.len() - written.body.div_ceil(2));
            if let Some(part) = &mut part {
                part.halve();
            }
            record.lost(Loss::Truncated);
            return (Next::Close, part);
        }
    };
    (next, None)
}

/// Drops the requests that were answered, and the room a large one took.
fn shift(buffer: &mut Vec<u8>, used: usize) {
    if used >= buffer.len() {
        buffer.clear();
        if buffer.capacity() > limits::KEEP_BYTES {
            *buffer = Vec::with_capacity(limits::READ_BYTES);
        }
    } else {
        buffer.drain(..used);
    }
    if buffer.len() == buffer.capacity() {
        // Doubles, so that a long body is not read in ever more small steps.
        buffer.reserve(buffer.len());
    }
}
