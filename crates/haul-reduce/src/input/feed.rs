//! Streams: one thread reads and cuts at line ends, the others look at the lines.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::open::fill;
use super::scan::{Failure, ScanError, Shared};
use super::{BYTE_ORDER_MARK, Bad, Lines, Piece, Split};
use crate::limits;

/// What the reading thread hands over.
enum Chunk {
    /// Whole lines.
    Text { text: Vec<u8>, at: u64, line: u64 },
    /// A line too long to be held, in parts.
    Long { parts: Receiver<Vec<u8>>, at: u64, line: u64 },
}

/// Reads one stream to its end; each worker runs on a thread of its own.
pub(super) fn feed<L: Lines>(
    input: u32,
    reader: Box<dyn Read + Send>,
    split: Split,
    block: usize,
    workers: &mut [L],
    shared: &Shared<'_>,
) -> Result<(), ScanError> {
    let (send, receive) = sync_channel(workers.len());
    let (give_back, spare) = channel();
    let receive = Mutex::new(receive);
    std::thread::scope(|scope| {
        let receive = &receive;
        for worker in workers {
            let builder = std::thread::Builder::new().stack_size(limits::STACK_BYTES);
            let give_back = give_back.clone();
            let work = move || {
                loop {
                    let chunk = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(chunk) = chunk else { return };
                    if let Some(buffer) = take(input, chunk, worker, shared) {
                        let _ = give_back.send(buffer);
                    }
                }
            };
            builder.spawn_scoped(scope, work).map_err(ScanError::Thread)?;
        }
        let mut feeder = Feeder { input, reader, split, block, at: 0, line: 1, send, spare, shared };
        if let Err(failure) = feeder.run() {
            shared.fail(failure);
        }
        Ok(())
    })
}

/// Shows a chunk to a worker; returns its buffer for the next read.
fn take(input: u32, chunk: Chunk, lines: &mut dyn Lines, shared: &Shared<'_>) -> Option<Vec<u8>> {
    match chunk {
        Chunk::Text { text, at, line } => {
            if !shared.is_past_failure(input, at) {
                let piece = Piece { text: &text, input, at, line };
                if let Err(bad) = lines.take(piece.without_mark()) {
                    shared.fail(Failure::bad(bad));
                }
            }
            Some(text)
        }
        Chunk::Long { parts, at, line } => {
            lines.long_start(input, at, line);
            for (i, part) in parts.iter().enumerate() {
                let mark = if at == 0 && i == 0 { part.strip_prefix(BYTE_ORDER_MARK) } else { None };
                lines.long_part(mark.unwrap_or(&part));
            }
            if let Err(bad) = lines.long_end() {
                shared.fail(Failure::bad(bad));
            }
            None
        }
    }
}

/// The reading side.
struct Feeder<'s, 'p> {
    input: u32,
    reader: Box<dyn Read + Send>,
    split: Split,
    block: usize,
    /// Place and line number of the first byte that was not handed over.
    at: u64,
    line: u64,
    send: SyncSender<Chunk>,
    spare: Receiver<Vec<u8>>,
    shared: &'s Shared<'p>,
}

impl Feeder<'_, '_> {
    fn run(&mut self) -> Result<(), Failure> {
        // Starts with a line of which the end was not handed over yet.
        let mut buffer = Vec::new();
        loop {
            let ended = self.read(&mut buffer)?;
            if self.shared.is_past_failure(self.input, self.at) {
                return Ok(());
            }
            if ended {
                if buffer.last().is_some_and(|b| *b != b'\n') {
                    buffer.push(b'\n');
                }
                self.text(buffer);
                return Ok(());
            }
            let cut = match self.split {
                Split::Lines => memchr::memrchr(b'\n', &buffer).map(|at| at + 1),
                Split::Quoted(delimiter) => last_record_end(&buffer, delimiter),
            };
            match cut {
                Some(cut) => {
                    let mut next = self.spare.try_recv().unwrap_or_default();
                    next.clear();
                    next.extend_from_slice(buffer.get(cut..).unwrap_or_default());
                    buffer.truncate(cut);
                    self.text(buffer);
                    buffer = next;
                }
                None if self.split == Split::Lines && buffer.len() > limits::HELD_BYTES => {
                    buffer = self.long(buffer)?;
                }
                None if buffer.len() <= limits::RECORD_BYTES => {}
                None => {
                    let reason = "a record of more than 1 MiB (is a quote never closed?)".to_owned();
                    let bad = Bad { input: self.input, at: self.at, line: self.line, reason, fatal: false };
                    return Err(Failure::bad(bad));
                }
            }
        }
    }

    /// Appends what fills a block; true at the end of the stream.
    fn read(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Failure> {
        let held = buffer.len();
        let want = if held < self.block / 2 { self.block - held } else { self.block };
        buffer.resize(held + want, 0);
        let got = fill(&mut *self.reader, buffer.get_mut(held..).unwrap_or_default());
        let got = got.map_err(|e: io::Error| Failure::io(self.input, self.at, e))?;
        buffer.truncate(held + got);
        self.shared.progress.add(got as u64);
        Ok(got < want)
    }

    /// Hands over whole lines. That nobody takes them any more shows in the shared failure.
    fn text(&mut self, text: Vec<u8>) {
        let (at, line) = (self.at, self.line);
        self.at += text.len() as u64;
        self.line += memchr::memchr_iter(b'\n', &text).count() as u64;
        let _ = self.send.send(Chunk::Text { text, at, line });
    }

    /// Hands over a line too long to be held, of which `part` was read; returns what was read behind
    /// its end.
    fn long(&mut self, part: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let (give, parts) = sync_channel(2);
        let _ = self.send.send(Chunk::Long { parts, at: self.at, line: self.line });
        self.at += part.len() as u64;
        self.line += 1;
        let _ = give.send(part);
        loop {
            let mut part = Vec::new();
            let ended = self.read(&mut part)?;
            let newline = memchr::memchr(b'\n', &part);
            let rest = newline.map(|at| part.split_off(at + 1)).unwrap_or_default();
            self.at += part.len() as u64;
            if newline.is_some() {
                part.pop();
            }
            let _ = give.send(part);
            if newline.is_some() || ended {
                return Ok(rest);
            }
        }
    }
}

/// Behind the last newline that ends a CSV record; quotes open a field only at its start.
pub(crate) fn last_record_end(text: &[u8], delimiter: u8) -> Option<usize> {
    let (mut from, mut end) = (0, None);
    loop {
        let rest = text.get(from..)?;
        let quote = memchr::memchr(b'"', rest).map(|at| from + at);
        let plain = text.get(from..quote.unwrap_or(text.len()))?;
        end = memchr::memrchr(b'\n', plain).map(|at| from + at + 1).or(end);
        let Some(quote) = quote else { return end };
        let before = quote.checked_sub(1).and_then(|at| text.get(at));
        from = quote + 1;
        if before.is_none_or(|b| *b == delimiter || matches!(b, b'\n' | b'\r')) {
            // Quoted: two quotes stand for one, so each pair is passed over.
            loop {
                let Some(close) = memchr::memchr(b'"', text.get(from..)?) else { return end };
                from += close + 1;
                if text.get(from) != Some(&b'"') {
                    break;
                }
                from += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_at_newlines_outside_of_quotes() {
        let end = |t: &str| last_record_end(t.as_bytes(), b',');
        assert_eq!(end("a,b\nc"), Some(4));
        assert_eq!(end("a,\"x\ny\"\nc,\"d\n"), Some(8));
        assert_eq!(end("a,\"x\"\"\ny\"\nc"), Some(10));
        assert_eq!(end("5\" disk\nb\n"), Some(10));
        assert_eq!(end("\"a\nb"), None);
        assert_eq!(end("abc"), None);
        assert_eq!(end("\"\"\n"), Some(3));
        // A lone carriage return ends a record as well.
        assert_eq!(end("a\r\"b\nc\"d\n"), Some(9));
    }
}
