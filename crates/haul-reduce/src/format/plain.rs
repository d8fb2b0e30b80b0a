//! Plain lines: each is a value; empty ones are ignored.

use super::{BadLines, Refusal, line_at};
use crate::input::{Bad, Lines, Piece};
use crate::json::digits;
use crate::limits;

/// What is done with plain lines; one for each thread.
pub(crate) trait TakeLine: Send {
    /// Takes an integer in its usual form.
    fn take_int(&mut self, n: i64) -> Result<(), Refusal>;
    /// Takes any other line, which is valid UTF-8.
    fn take_text(&mut self, line: &[u8]) -> Result<(), Refusal>;
}

/// Reads plain lines into a [`TakeLine`].
pub(crate) struct PlainLines<T> {
    pub(crate) take: T,
    pub(crate) bad: BadLines,
    long: Option<LongLine>,
}

/// A line that comes in parts, and is put together as far as it may be counted.
struct LongLine {
    input: u32,
    at: u64,
    line: u64,
    text: Vec<u8>,
}

impl<T: TakeLine> PlainLines<T> {
    pub(crate) fn new(take: T, skip: bool) -> Self {
        PlainLines { take, bad: BadLines::new(skip), long: None }
    }

    /// A line that is not a short integer; where the next starts.
    #[inline(never)]
    fn other(&mut self, piece: &Piece<'_>, start: usize, valid: &mut Option<bool>) -> Result<usize, Bad> {
        let (line, next) = line_at(piece, start);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(next);
        }
        // The whole piece is checked once; its lines one by one only if something is wrong in it.
        let piece_valid = *valid.get_or_insert_with(|| simdutf8::basic::from_utf8(piece.text).is_ok());
        let result = if piece_valid || simdutf8::basic::from_utf8(line).is_ok() {
            self.take.take_text(line)
        } else {
            Err(Refusal::Invalid("the line is not valid UTF-8".to_owned()))
        };
        if let Err(why) = result {
            self.bad.refuse(piece, start, why)?;
        }
        Ok(next)
    }
}

impl<T: TakeLine> Lines for PlainLines<T> {
    fn take(&mut self, piece: Piece<'_>) -> Result<(), Bad> {
        let text = piece.text;
        let mut valid = None;
        let mut start = 0;
        while start < text.len() {
            let (n, end) = digits::read(text, start);
            let len = end - start;
            let usual = len == 1 || (len.wrapping_sub(1) < 18 && text.get(start) != Some(&b'0'));
            if usual && text.get(end) == Some(&b'\n') {
                if let Err(why) = self.take.take_int(n.cast_signed()) {
                    self.bad.refuse(&piece, start, why)?;
                }
                start = end + 1;
            } else {
                start = self.other(&piece, start, &mut valid)?;
            }
        }
        Ok(())
    }

    fn long_start(&mut self, input: u32, at: u64, line: u64) {
        self.long = Some(LongLine { input, at, line, text: Vec::new() });
    }

    fn long_part(&mut self, bytes: &[u8]) {
        if let Some(long) = &mut self.long {
            let room = (limits::RECORD_BYTES + 1).saturating_sub(long.text.len());
            long.text.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
    }

    fn long_end(&mut self) -> Result<(), Bad> {
        let Some(LongLine { input, at, line, text: mut whole }) = self.long.take() else { return Ok(()) };
        if whole.len() > limits::RECORD_BYTES {
            let reason = "a line of more than 1 MiB is too long to be counted".to_owned();
            return self.bad.note(Bad { input, at, line, reason, fatal: false });
        }
        whole.push(b'\n');
        self.take(Piece { text: &whole, input, at, line })
    }
}
