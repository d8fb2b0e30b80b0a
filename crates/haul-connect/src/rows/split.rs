//! What CSV and JSON Lines have in common: cutting bytes into rows, and passing lines that are too
//! long to be held.

use haul_core::Fault;
use haul_core::item::Position;
use haul_core::limits::{LINE_BYTES, REJECTED_BYTES};
use haul_core::record::{Record, write_json_string};

use super::page::PageBuf;
use crate::template::Template;

/// Cuts decoded bytes into rows and writes them into pages.
pub(crate) trait Split: Send {
    /// Takes whole rows from the start of `input` until the page is full or more input is needed,
    /// and returns how many bytes they were. Nothing taken and an empty page mean that more input
    /// is needed; nothing taken and a page with items, that these are to be handed on first.
    /// `last`: no more input will come; then all of it is taken in the end.
    fn split(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<usize, Fault>;

    /// Line of the next byte, from 1.
    fn line(&self) -> u64;

    /// Names of the columns, once they are known.
    fn columns(&self) -> &[String] {
        &[]
    }

    /// True when rows are lines, so that one without a newline may still go on.
    fn is_lines(&self) -> bool {
        true
    }

    /// See [`super::cursor::Mark::nest`].
    fn nest(&self) -> String {
        String::new()
    }

    /// See [`super::cursor::Mark::searched`].
    fn searched(&self) -> u64 {
        0
    }
}

/// The byte-order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Length of the byte-order mark at the start of `input`; `None` when more input is needed to tell.
pub(crate) fn byte_order_mark(input: &[u8], last: bool) -> Option<usize> {
    if input.starts_with(MARK) {
        Some(MARK.len())
    } else if MARK.starts_with(input) && !last {
        None
    } else {
        Some(0)
    }
}

/// Where a line ends: its length without and with its terminator (LF, CR LF or CR). `None` when
/// that cannot be told before more input comes.
pub(crate) fn line_end(input: &[u8], at: usize, last: bool) -> Option<(usize, usize)> {
    match (input.get(at), input.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Some((at, at + 2)),
        (Some(b'\r'), None) if !last => None,
        _ => Some((at, at + 1)),
    }
}

/// A line that is passed without being held.
pub(crate) struct Overlong {
    position: Position,
    /// Bytes of it so far.
    len: u64,
    /// Its beginning.
    raw: Vec<u8>,
    /// Why it is passed; the default speaks of its length.
    reason: Option<String>,
}

impl Overlong {
    pub(crate) fn new(position: Position, reason: Option<String>) -> Self {
        Overlong { position, len: 0, raw: Vec::new(), reason }
    }

    /// Takes bytes of the line (without its terminator).
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let room = REJECTED_BYTES.saturating_sub(self.raw.len());
        self.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.len += bytes.len() as u64;
    }

    /// The line is over: it is rejected.
    pub(crate) fn reject(self, page: &mut PageBuf) {
        let reason = self
            .reason
            .unwrap_or_else(|| format!("the line is {} bytes long, at most {LINE_BYTES} are read", self.len));
        page.reject(self.position, &self.raw, reason);
    }
}

/// True for what looks like an http(s) URL.
pub(crate) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty()) && !text.contains(char::is_whitespace)
}

/// Adds the record of a URL alone: `{"url": …}`. Its key is that of the template, else `name`, else the
/// URL itself.
pub(crate) fn push_url(
    position: Position,
    url: &str,
    name: Option<&[u8]>,
    template: Option<&Template>,
    page: &mut PageBuf,
) -> Result<(), String> {
    let start = page.bytes().len();
    page.bytes().extend_from_slice(b"{\"url\":");
    write_json_string(url, page.bytes());
    page.bytes().push(b'}');
    let end = page.bytes().len();
    match template {
        Some(template) => {
            let record = Record::new(page.bytes()[start..].to_vec());
            match template.key(&record) {
                Ok(key) => page.bytes().extend_from_slice(&key.0),
                Err(e) => {
                    page.bytes().truncate(start);
                    return Err(format!("no key: {e}"));
                }
            }
        }
        None => page.bytes().extend_from_slice(name.unwrap_or(url.as_bytes())),
    }
    let key = end..page.bytes().len();
    page.push(position, key, start..end);
    Ok(())
}

/// A value as a message shows it: in quotes, shortened, nothing unprintable.
pub(crate) fn shown(value: &[u8]) -> String {
    const CHARS: usize = 40;
    let text = String::from_utf8_lossy(&value[..value.len().min(CHARS * 4)]);
    let mut out = String::from("\"");
    for c in text.chars().take(CHARS) {
        match c {
            '"' | '\\' | '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.push_str(if text.chars().nth(CHARS).is_some() { "…\"" } else { "\"" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_wait_for_the_second_half() {
        assert_eq!(line_end(b"ab\ncd", 2, false), Some((2, 3)));
        assert_eq!(line_end(b"ab\r\ncd", 2, false), Some((2, 4)));
        assert_eq!(line_end(b"ab\rcd", 2, false), Some((2, 3)));
        assert_eq!(line_end(b"ab\r", 2, false), None);
        assert_eq!(line_end(b"ab\r", 2, true), Some((2, 3)));
    }

    #[test]
    fn shown_values_fit_in_a_line() {
        assert_eq!(shown(b"a\"b\n\x01\xff"), "\"a\\\"b\\n\\u{1}\u{fffd}\"");
        assert_eq!(shown(&[b'x'; 100]).chars().count(), 43);
    }
}
