//! The reading thread: reads, decompresses, cuts into rows, and hands over whole pages.
//!
//! Parsing on a thread of its own keeps it off the workers' cores, and a page at a time keeps the
//! hand-over cheap. The channel is bounded: a thread that is ahead waits. When the receiving side is
//! dropped, the thread ends with its next page (one that is blocked in a read of standard input
//! lingers; it does not keep the process from exiting).

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haul_core::Fault;
use haul_core::budget::{Account, Budget, Held};
use haul_core::limits::{LINE_BYTES, PAGES_AHEAD};
use haul_core::source::Page;
use memchr::memchr;
use tokio::sync::mpsc;
use xxhash_rust::xxh3::Xxh3;

use super::cursor::{Mark, digest};
use super::page::PageBuf;
use super::split::Split;
use crate::decode::Decoder;

/// Decoded bytes read at once.
pub(crate) const CHUNK: usize = 64 * 1024;
/// Input with NUL bytes and without a single record up to here is no text.
const SNIFFED: u64 = 64 * 1024;

/// What the thread hands over.
enum Handed {
    Page(Page, Held),
    Fault(Fault),
    End,
}

/// Where the thread begins.
pub(crate) struct Begin {
    /// The boundary between rows.
    pub(crate) mark: Mark,
    /// The state of the digest there, when the input already stands there; else the input stands at
    /// its start, and what lies before the mark is read and compared.
    pub(crate) hash: Option<Box<Xxh3>>,
}

/// What messages call the source, and what its rows should be.
#[derive(Clone)]
pub(crate) struct Label {
    pub(crate) name: Arc<str>,
    pub(crate) format: &'static str,
}

impl Label {
    /// A fault of reading: the stream's own, or one that tells what the system or the decoder said.
    pub(crate) fn fault(&self, error: io::Error) -> Fault {
        match error.downcast::<Fault>() {
            Ok(fault) => fault,
            Err(error) => Fault::fatal("source", format!("{}: {error}", self.name)),
        }
    }
}

/// The receiving side of a reading thread.
pub(crate) struct Feed {
    receiver: mpsc::Receiver<Handed>,
    label: Label,
    ended: bool,
}

impl Feed {
    /// Starts a thread that reads `input` from its beginning.
    pub(crate) fn start(
        input: Box<dyn Read + Send>,
        raw: Arc<AtomicU64>,
        begin: Begin,
        splitter: Box<dyn Split>,
        label: Label,
        budget: Budget,
    ) -> Result<Self, Fault> {
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let reader = Reader {
            // Bytes from the middle of a plain file are not looked at: they may look like anything.
            input: if begin.hash.is_some() { Decoder::plain(input) } else { Decoder::new(input) },
            raw,
            raw_told: 0,
            hash: Box::new(Xxh3::new()),
            mark: begin.mark,
            splitter,
            page: PageBuf::default(),
            buffer: Vec::new(),
            start: 0,
            read: 0,
            sniff: Sniff::default(),
            label: label.clone(),
            sender,
            budget,
        };
        std::thread::Builder::new()
            .name("haul-read".to_owned())
            .spawn(move || reader.run(begin.hash))
            .map_err(|e| Fault::fatal("source", format!("{}: no thread to read it: {e}", label.name)))?;
        Ok(Feed { receiver, label, ended: false })
    }

    /// The next page; `None` at the end. After a fault nothing more comes.
    pub(crate) async fn next(&mut self) -> Result<Option<Page>, Fault> {
        if self.ended {
            return Ok(None);
        }
        match self.receiver.recv().await {
            Some(Handed::Page(page, _held)) => Ok(Some(page)),
            Some(Handed::Fault(fault)) => Err(fault),
            Some(Handed::End) => {
                self.ended = true;
                Ok(None)
            }
            None => {
                Err(Fault::fatal("source", format!("{}: reading it ended unexpectedly", self.label.name)))
            }
        }
    }
}

/// Whether the input looks like text at all.
#[derive(Default)]
struct Sniff {
    /// A record was found: it is.
    settled: bool,
    nul: bool,
}

/// The thread's state.
struct Reader {
    input: Decoder<Box<dyn Read + Send>>,
    raw: Arc<AtomicU64>,
    raw_told: u64,
    hash: Box<Xxh3>,
    mark: Mark,
    splitter: Box<dyn Split>,
    page: PageBuf,
    /// Decoded bytes; those before `start` are taken.
    buffer: Vec<u8>,
    start: usize,
    /// Decoded bytes read by this thread after the mark it began at.
    read: u64,
    sniff: Sniff,
    label: Label,
    sender: mpsc::Sender<Handed>,
    budget: Budget,
}

/// Why the thread stops before the end.
enum Stop {
    Fault(Fault),
    /// Nobody listens any more.
    Gone,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

impl Reader {
    fn run(mut self, hash: Option<Box<Xxh3>>) {
        let handed = match self.read_all(hash) {
            Ok(()) => Handed::End,
            Err(Stop::Fault(fault)) => Handed::Fault(fault),
            Err(Stop::Gone) => return,
        };
        // When nobody listens, nobody needs to know.
        let _ = self.sender.blocking_send(handed);
    }

    fn read_all(&mut self, hash: Option<Box<Xxh3>>) -> Result<(), Stop> {
        match hash {
            Some(hash) => self.hash = hash,
            None => {
                let prefix =
                    hash_prefix(&mut self.input, self.mark.offset).map_err(|e| self.label.fault(e))?;
                self.hash = prefix;
            }
        }
        if digest(&self.hash) != self.mark.digest {
            let text =
                format!("{} changed before byte {} since that was read", self.label.name, self.mark.offset);
            return Err(Fault::fatal("changed", text).into());
        }
        self.raw_told = self.raw.load(Ordering::Relaxed);
        loop {
            let more = self.fill()?;
            self.cut(!more)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Reads once; false at the end.
    fn fill(&mut self) -> Result<bool, Stop> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let len = self.buffer.len();
        self.buffer.resize(len + CHUNK, 0);
        let n = loop {
            match self.input.read(&mut self.buffer[len..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.label.fault(e).into()),
                Ok(n) => break n,
            }
        };
        self.buffer.truncate(len + n);
        // What one long line needed is given back after it.
        if self.buffer.capacity() > LINE_BYTES && self.buffer.len() < CHUNK {
            self.buffer.shrink_to(2 * CHUNK);
        }
        self.read += n as u64;
        if !self.sniff.settled && !self.sniff.nul {
            self.sniff.nul = memchr(0, &self.buffer[len..]).is_some();
        }
        Ok(n > 0)
    }

    /// Cuts what has been read into pages and hands them over.
    fn cut(&mut self, last: bool) -> Result<(), Stop> {
        loop {
            let rest = &self.buffer[self.start..];
            let taken = match self.splitter.split(rest, last, &mut self.page) {
                Ok(taken) => taken,
                // What is wrong with the columns of binary data is of no use to anybody.
                Err(_) if self.sniff.nul && !self.sniff.settled => return Err(self.binary().into()),
                Err(fault) => return Err(fault.into()),
            };
            self.hash.update(&rest[..taken]);
            if let Some(byte) = taken.checked_sub(1).map(|at| rest[at]) {
                self.mark.open = self.splitter.is_lines() && !matches!(byte, b'\n' | b'\r');
            }
            self.mark.offset += taken as u64;
            self.start += taken;
            let waits = self.page.is_empty() || self.sniffing(last)?;
            if !waits {
                self.hand_over()?;
            } else if taken == 0 {
                return Ok(());
            }
        }
    }

    /// True while the page is held back until it is known whether the input is text.
    fn sniffing(&mut self, last: bool) -> Result<bool, Stop> {
        if self.sniff.settled || self.page.has_records() {
            self.sniff.settled = true;
            return Ok(false);
        }
        if !self.sniff.nul {
            self.sniff.settled = self.read >= SNIFFED;
            return Ok(false);
        }
        if self.read < SNIFFED && !self.page.is_full() && !last {
            return Ok(true);
        }
        Err(self.binary().into())
    }

    fn binary(&self) -> Fault {
        let Label { name, format } = &self.label;
        let text = format!(
            "{name} is not {format}: binary data (NUL bytes, and no good row at its beginning): give a text file, or one compressed with gzip or zstd"
        );
        Fault::fatal("source", text)
    }

    fn hand_over(&mut self) -> Result<(), Stop> {
        self.mark.line = self.splitter.line();
        self.mark.digest = digest(&self.hash);
        self.mark.searched = self.splitter.searched();
        self.mark.nest = self.splitter.nest();
        if self.mark.columns.is_empty() {
            self.mark.columns = self.splitter.columns().to_vec();
        }
        let raw = self.raw.load(Ordering::Relaxed);
        let bytes = raw.saturating_sub(std::mem::replace(&mut self.raw_told, raw));
        let held = self.budget.hold(Account::Pages, self.page.len());
        let page = self.page.take(self.mark.cursor(), bytes);
        self.sender.blocking_send(Handed::Page(page, held)).map_err(|_| Stop::Gone)
    }
}

/// Reads `len` bytes (or all, if there are fewer) and returns the state of their digest.
pub(crate) fn hash_prefix(input: &mut impl Read, len: u64) -> io::Result<Box<Xxh3>> {
    let mut hash = Box::new(Xxh3::new());
    let mut buffer = vec![0; CHUNK];
    let mut left = len;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        match input.read(&mut buffer[..want]) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(&buffer[..n]);
                left -= n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(hash)
}
