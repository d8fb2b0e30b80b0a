//! `SCORE: RECORD` lines for the top workload.

use std::io::Write;

use super::{GenerateError, Lines, Written};
use crate::mix::{below, mix};

/// Order of the scores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Any.
    Random,
    /// Rising: each line displaces one of the highest so far.
    Ascending,
    /// Falling: none after the first does.
    Descending,
}

/// What is wrong with the bad line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// The score is not an integer.
    Score,
    /// The record is cut off.
    Json,
    /// The record is not an object.
    Object,
    /// The record has no `id`.
    Id,
}

/// What to write.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Lines; `u64::MAX`: without end.
    pub count: u64,
    /// Bytes of a line, its end included: as near to it as the members allow.
    pub size: usize,
    /// Order of the scores.
    pub order: Order,
    /// The one line (counted from 1) that is invalid, and how.
    pub bad: Option<(u64, Flaw)>,
    /// Decides the lines.
    pub seed: u64,
}

impl Default for Scores {
    fn default() -> Self {
        Scores { count: 1000, size: 90, order: Order::Random, bad: None, seed: 1 }
    }
}

/// Random scores are below this.
const SPAN: u64 = 100_000_000;
/// Letters of payloads come from one text of this length, each from its own place.
const TEXT: usize = 4096;
const HEX: [u8; 16] = *b"0123456789abcdef";
const MEMBERS: [&str; 8] = ["foo", "bar", "baz", "qux", "spam", "eggs", "ham", "zip"];

impl Scores {
    /// Writes them. Ids are unique: 16 of their digits are a bijection of the line number.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<Written, GenerateError> {
        if self.order == Order::Descending && self.count > u64::MAX / 4 {
            return Err(GenerateError::Spec("falling scores need an end: give a count".to_owned()));
        }
        if self.size > 1 << 30 {
            return Err(GenerateError::Spec(format!(
                "a line of {} bytes: up to 1 GiB is possible",
                self.size
            )));
        }
        let text: Vec<u8> = (0..TEXT as u64).map(|n| b'a' + below(mix(self.seed ^ n), 26) as u8).collect();
        let mut lines = Lines::new(out);
        for n in 0..self.count {
            self.line(&mut lines, n, &text);
            lines.end()?;
        }
        lines.finish()
    }

    fn line(&self, lines: &mut Lines<'_>, n: u64, text: &[u8]) {
        let bits = mix(self.seed ^ mix(n));
        let start = lines.block.len();
        let flaw = self.bad.filter(|(line, _)| *line == n + 1).map(|(_, flaw)| flaw);
        if flaw == Some(Flaw::Score) {
            lines.text(b"x");
        }
        lines.number(match self.order {
            Order::Random => below(bits, SPAN),
            Order::Ascending => n.wrapping_mul(4) + bits % 4,
            Order::Descending => (self.count - 1 - n) * 4 + bits % 4,
        });
        lines.text(match flaw {
            Some(Flaw::Object) => b": [{\"id\":\"",
            Some(Flaw::Id) => b": {\"di\":\"",
            _ => b": {\"id\":\"",
        });
        lines.text(&hex(mix(n ^ self.seed), (bits >> 32) as u32));
        lines.text(b"\",\"x\":\"");
        lines.text(MEMBERS.get(bits as usize % MEMBERS.len()).map_or(b"".as_slice(), |m| m.as_bytes()));
        lines.text(b"\",\"payload\":\"");
        let end = if flaw == Some(Flaw::Object) { "\"}]" } else { "\"}" };
        let mut room = self.size.saturating_sub(lines.block.len() - start + end.len() + 1);
        let mut at = (bits >> 8) as usize % (TEXT / 2);
        while room > 0 {
            let part = text.get(at..(at + room).min(TEXT)).unwrap_or(text);
            lines.text(part);
            room -= part.len();
            at = 0;
        }
        if flaw == Some(Flaw::Json) {
            lines.text(b"\"");
        } else {
            lines.text(end.as_bytes());
        }
        lines.written.bad += u64::from(flaw.is_some());
    }
}

/// 24 hexadecimal digits.
fn hex(high: u64, low: u32) -> [u8; 24] {
    let mut digits = [0; 24];
    let number = (u128::from(high) << 32) | u128::from(low);
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = HEX.get((number >> (4 * place)) as usize & 15).copied().unwrap_or(b'0');
    }
    digits
}
