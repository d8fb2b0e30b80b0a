//! Reads one reply from the bytes of a connection: interim replies, head, body by its framing.
//! Without I/O, so that every split of every reply can be tested.

use bytes::BufMut;
use bytes::buf::Limit;
use haul_core::limits::{BODY_BYTES, HEAD_BYTES};

use super::chunks::{Chunks, Piece};
use super::head::{Framing, Head, HeadError, parse_head};
use super::request::BodyUse;
use super::room;

/// Interim (1xx) replies before the final one.
const INTERIM_MAX: u32 = 16;
/// Bytes kept of a body that is only drained: enough to quote its beginning, coded or not.
pub(crate) const DRAINED_KEEP: usize = 16 * 1024;
/// Bytes read to make a connection reusable; a new connection is cheaper than more of them.
pub(crate) const DRAINED_READ: u64 = 256 * 1024;
/// Bytes that a length reserves at once: it is a claim, and what comes beyond grows as it comes. Twice what is handed
/// on, so that a block that is nearly full has room for another read.
const RESERVED: usize = 256 * 1024;

/// Why bytes are no reply.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplyError {
    /// The head is malformed.
    #[error("the reply is not HTTP: {0}")]
    Head(#[from] HeadError),
    /// The head is longer than [`HEAD_BYTES`].
    #[error("the head of the reply is longer than {HEAD_BYTES} bytes")]
    HeadTooLarge,
    /// Chunks or interim replies are malformed.
    #[error("the reply is malformed: {0}")]
    Framing(&'static str),
    /// The body is longer than [`BODY_BYTES`].
    #[error("the reply body is larger than {BODY_BYTES} bytes")]
    BodyTooLarge,
    /// The connection ended within the head.
    #[error("the connection was closed before the reply was complete")]
    HeadCut,
    /// The connection ended within the body.
    #[error("the reply was cut off after {got} bytes of its body{}", of.map_or(String::new(), |n| format!(" (of {n})")))]
    BodyCut {
        /// Bytes of the body that came.
        got: u64,
        /// Bytes it should have.
        of: Option<u64>,
    },
}

/// How far a reply is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More bytes are needed.
    More,
    /// Complete; bytes after `used` belong to nothing.
    Done {
        /// Bytes of the last push that the reply took.
        used: usize,
    },
    /// A drained body is too long to be worth reading: the connection is to be given up.
    Enough,
}

enum Phase {
    Head,
    Length(u64),
    Chunks(Chunks),
    Close,
    Done,
}

/// A reply being read.
pub struct ReplyReader {
    phase: Phase,
    head: Option<Head>,
    body: Vec<u8>,
    body_total: u64,
    /// An unfinished head.
    partial: Vec<u8>,
    interim: u32,
    keep: BodyUse,
    validators: bool,
    streaming: bool,
}

impl ReplyReader {
    /// For a reply whose body is used so.
    pub fn new(keep: BodyUse) -> Self {
        ReplyReader {
            phase: Phase::Head,
            head: None,
            body: Vec::new(),
            body_total: 0,
            partial: Vec::new(),
            interim: 0,
            keep,
            validators: false,
            streaming: false,
        }
    }

    /// For a body of any length that is taken away piece by piece with [`ReplyReader::take_body`].
    pub fn streaming() -> Self {
        ReplyReader { validators: true, streaming: true, ..ReplyReader::new(BodyUse::Keep) }
    }

    /// As [`ReplyReader::streaming`], with all fields of the head.
    pub fn object() -> Self {
        ReplyReader { streaming: true, ..ReplyReader::new(BodyUse::Object) }
    }

    /// The final head, once it is there.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// True when not a byte of a reply has come.
    pub fn is_untouched(&self) -> bool {
        matches!(self.phase, Phase::Head) && self.partial.is_empty() && self.interim == 0
    }

    /// True when the reply is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Bytes of the body held now.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// What has come of the body and was not taken.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Lets go of it, and keeps its room: for this body, and after it for the next one of the thread.
    pub fn clear_body(&mut self) {
        self.body.clear();
        if self.is_done() {
            room::leave(self.take_body());
        }
    }

    /// True when the body is taken piece by piece.
    pub fn is_streaming(&self) -> bool {
        self.streaming
    }

    /// Takes what has come of the body.
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Head and body of a reply whose head has come.
    pub fn into_parts(self) -> Option<(Head, Vec<u8>)> {
        self.head.map(|head| (head, self.body))
    }

    /// Takes the next bytes of the connection.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Progress, ReplyError> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.phase {
                Phase::Head => match self.push_head(rest)? {
                    Some(used) => at += used,
                    None => return Ok(Progress::More),
                },
                Phase::Length(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.add_body(&rest[..n])?;
                    at += n;
                    let left = left - n as u64;
                    self.phase = if left == 0 { Phase::Done } else { Phase::Length(left) };
                    if left > 0 {
                        return Ok(self.more());
                    }
                }
                Phase::Chunks(ref mut chunks) => match chunks.next(rest)? {
                    Piece::Data(data) => {
                        self.add_body(data)?;
                        at += data.len();
                    }
                    Piece::Between(used) => at += used,
                    Piece::End(used) => {
                        at += used;
                        self.phase = Phase::Done;
                    }
                    Piece::More => return Ok(self.more()),
                },
                Phase::Close => {
                    self.add_body(rest)?;
                    return Ok(self.more());
                }
                Phase::Done => return Ok(Progress::Done { used: at }),
            }
        }
    }

    /// Where the next bytes of the connection may be put instead of being pushed: they belong to the body, which has
    /// room for them.
    pub fn room(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let Phase::Length(left) = self.phase else { return None };
        let room = (self.body.capacity() - self.body.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        (self.streaming && room > 0).then(|| (&mut self.body).limit(room))
    }

    /// So many bytes were put into the room.
    pub fn came(&mut self, bytes: usize) -> Progress {
        self.body_total += bytes as u64;
        if let Phase::Length(left) = &mut self.phase {
            *left = left.saturating_sub(bytes as u64);
            if *left == 0 {
                self.phase = Phase::Done;
                return Progress::Done { used: bytes };
            }
        }
        self.more()
    }

    /// The connection ended: fine only for a body that ends with it.
    pub fn eof(&mut self) -> Result<(), ReplyError> {
        match self.phase {
            Phase::Done => Ok(()),
            Phase::Close => {
                self.phase = Phase::Done;
                Ok(())
            }
            Phase::Head => Err(ReplyError::HeadCut),
            Phase::Length(left) => {
                Err(ReplyError::BodyCut { got: self.body_total, of: Some(self.body_total + left) })
            }
            Phase::Chunks(_) => Err(ReplyError::BodyCut { got: self.body_total, of: None }),
        }
    }

    fn more(&self) -> Progress {
        let long = match self.phase {
            Phase::Length(left) => self.body_total + left > DRAINED_READ,
            // It ends with the connection, which is lost in any case.
            Phase::Close => self.body_total >= DRAINED_KEEP as u64,
            _ => self.body_total > DRAINED_READ,
        };
        match self.keep {
            BodyUse::Drain if long && self.body.len() >= DRAINED_KEEP => Progress::Enough,
            _ => Progress::More,
        }
    }

    /// Reads a head; `Some(used)` when an interim or the final one is complete.
    fn push_head(&mut self, rest: &[u8]) -> Result<Option<usize>, ReplyError> {
        if rest.is_empty() {
            return Ok(None);
        }
        let before = self.partial.len();
        let (head, used) = if before == 0 {
            match parse_head(rest, self.validators)? {
                Some((mut head, len)) => {
                    head.fields = self.fields_of(&rest[..len]);
                    (head, len)
                }
                None => {
                    self.partial.extend_from_slice(rest);
                    return self.check_partial_head();
                }
            }
        } else {
            self.partial.extend_from_slice(rest);
            // Parsing starts over each time: only where a blank line may have come is it worth it.
            let from = before.saturating_sub(3);
            if before > 16 && !has_blank_line(&self.partial[from..]) {
                return self.check_partial_head();
            }
            match parse_head(&self.partial, self.validators)? {
                Some((mut head, len)) => {
                    head.fields = self.fields_of(&self.partial[..len]);
                    self.partial = Vec::new();
                    (head, len - before)
                }
                None => return self.check_partial_head(),
            }
        };
        if before + used > HEAD_BYTES {
            return Err(ReplyError::HeadTooLarge);
        }
        if head.status < 200 && head.status != 101 {
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                return Err(ReplyError::Framing("more than 16 interim (1xx) replies"));
            }
            return Ok(Some(used));
        }
        self.start_body(head)?;
        Ok(Some(used))
    }

    /// The lines of a head, where they are kept.
    fn fields_of(&self, head: &[u8]) -> Option<Box<str>> {
        matches!(self.keep, BodyUse::Object | BodyUse::Nothing).then(|| String::from_utf8_lossy(head).into())
    }

    fn check_partial_head(&self) -> Result<Option<usize>, ReplyError> {
        if self.partial.len() > HEAD_BYTES { Err(ReplyError::HeadTooLarge) } else { Ok(None) }
    }

    fn start_body(&mut self, head: Head) -> Result<(), ReplyError> {
        self.phase = match head.framing {
            _ if self.keep == BodyUse::Nothing => Phase::Done,
            Framing::Empty => Phase::Done,
            Framing::Length(length) => {
                if self.keep != BodyUse::Drain && !self.streaming && length > BODY_BYTES as u64 {
                    return Err(ReplyError::BodyTooLarge);
                }
                let len = usize::try_from(length).unwrap_or(usize::MAX).min(RESERVED);
                if self.streaming {
                    self.body = room::take(len);
                }
                self.body.reserve_exact(len);
                Phase::Length(length)
            }
            Framing::Chunked => Phase::Chunks(Chunks::default()),
            Framing::Close => Phase::Close,
        };
        self.head = Some(head);
        Ok(())
    }

    fn add_body(&mut self, bytes: &[u8]) -> Result<(), ReplyError> {
        self.body_total += bytes.len() as u64;
        if self.keep == BodyUse::Drain {
            let room = DRAINED_KEEP.saturating_sub(self.body.len());
            self.body.extend_from_slice(&bytes[..room.min(bytes.len())]);
            return Ok(());
        }
        if !self.streaming && self.body.len() + bytes.len() > BODY_BYTES {
            return Err(ReplyError::BodyTooLarge);
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }
}

fn has_blank_line(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

#[cfg(test)]
mod tests;
