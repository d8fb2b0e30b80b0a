//! JSON Lines: one object a line, each validated completely and kept as it was written. Lists of URLs:
//! each line becomes an object with the member `url`.

use haul_core::Fault;
use haul_core::item::Position;
use haul_core::limits::LINE_BYTES;
use memchr::memchr;

use super::key::RecordKey;
use super::page::PageBuf;
use super::split::{Overlong, Split, byte_order_mark, is_url, line_end, push_url, shown};
use crate::expr::{JsonErrorKind, NotJson, utf8};
use crate::template::Template;

/// What a line holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// A JSON object.
    Object,
    /// An http(s) URL.
    Url,
}

/// Cuts lines.
pub(crate) struct JsonlSplit {
    form: Line,
    /// What messages call the source.
    source: String,
    offset: u64,
    line: u64,
    /// Bytes of the line at hand that are known to hold no newline.
    looked: usize,
    overlong: Option<Overlong>,
    key: RecordKey,
}

impl JsonlSplit {
    /// Starts at a byte offset and line.
    pub(crate) fn new(source: &str, form: Line, offset: u64, line: u64, key: Option<Template>) -> Self {
        let key = RecordKey::new(key);
        JsonlSplit { form, source: source.to_owned(), offset, line, looked: 0, overlong: None, key }
    }

    /// Takes one line; returns its length with terminator, or `None` when it is not all there.
    fn row(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<Option<usize>, Fault> {
        if input.is_empty() {
            let overlong = if last { self.overlong.take() } else { None };
            return Ok(overlong.map(|overlong| {
                overlong.reject(page);
                0
            }));
        }
        let newline = memchr(b'\n', &input[self.looked.min(input.len())..]).map(|n| n + self.looked);
        if let Some(overlong) = &mut self.overlong {
            let end = newline.unwrap_or(input.len());
            overlong.take(&input[..end]);
            self.looked = 0;
            if newline.is_none() && !last {
                return Ok(Some(end));
            }
        } else {
            let end = newline.or(last.then_some(input.len()));
            match end {
                Some(end) if end <= LINE_BYTES + 1 => {
                    self.looked = 0;
                    self.object(&input[..end], page)?;
                    let whole = line_end(input, end, true).map_or(end, |(_, whole)| whole);
                    return Ok(Some(self.next(whole.min(input.len()), newline.is_some())));
                }
                None if input.len() <= LINE_BYTES + 1 => {
                    self.looked = input.len();
                    return Ok(None);
                }
                // Too long. What came before it is handed on first, so that no cursor points into it.
                _ if !page.is_empty() => return Ok(None),
                _ => {
                    self.overlong = Some(Overlong::new(self.position(), None));
                    self.looked = 0;
                    return self.row(input, last, page);
                }
            }
        }
        if let Some(overlong) = self.overlong.take() {
            overlong.reject(page);
        }
        let end = newline.unwrap_or(input.len());
        Ok(Some(self.next((end + 1).min(input.len()), newline.is_some())))
    }

    fn next(&mut self, bytes: usize, newline: bool) -> usize {
        self.line += u64::from(newline);
        bytes
    }

    fn position(&self) -> Position {
        Position { line: self.line, offset: self.offset }
    }

    /// One line without its newline.
    fn object(&self, line: &[u8], page: &mut PageBuf) -> Result<(), Fault> {
        let text = line.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        let position = self.position();
        if line.strip_suffix(b"\r").unwrap_or(line).len() > LINE_BYTES {
            let mut overlong = Overlong::new(position, None);
            overlong.take(line);
            overlong.reject(page);
            return Ok(());
        }
        if self.form == Line::Url {
            self.url(text, page);
            return Ok(());
        }
        let column = |e: &NotJson| e.offset + 1 + (line.len() - line.trim_ascii_start().len());
        let found = match utf8(text).and_then(|()| self.key.find(text)) {
            Ok(found) => found,
            Err(e) if self.line == 1 && text[0] == b'[' && e.kind == JsonErrorKind::Truncated => {
                // Its last line alone would pass for an object.
                let name = &self.source;
                let message = format!(
                    "{name} is one JSON array over many lines, not an object a line: jq -c '.[]' {name} | haul … - --jsonl"
                );
                return Err(Fault::fatal("source", message));
            }
            Err(e) => {
                let reason = match self.document_hint(text) {
                    "" => format!("{} in column {}", wrong(&e), column(&e)),
                    hint => format!("not JSON{hint}"),
                };
                page.reject(position, text, reason);
                return Ok(());
            }
        };
        if text.first() != Some(&b'{') {
            let kind = match text.first() {
                Some(b'[') => "an array",
                Some(b'"') => "a string",
                Some(b't' | b'f') => "a boolean",
                Some(b'n') => "null",
                _ => "a number",
            };
            let reason = format!("{kind}, not an object{}", self.document_hint(text));
            page.reject(position, text, reason);
            return Ok(());
        }
        let start = page.bytes().len();
        page.bytes().extend_from_slice(text);
        let end = page.bytes().len();
        if let Err(reason) = self.key.write(text, &found, None, page.bytes()) {
            page.bytes().truncate(start);
            page.reject(position, text, reason);
            return Ok(());
        }
        let key = end..page.bytes().len();
        page.push(position, key, start..end);
        Ok(())
    }

    /// A URL; blank lines have been passed, and `#` begins a comment.
    fn url(&self, text: &[u8], page: &mut PageBuf) {
        if text.starts_with(b"#") {
            return;
        }
        let position = self.position();
        let url = match std::str::from_utf8(text) {
            Ok(url) if is_url(url) => url,
            _ => return page.reject(position, text, format!("{} is no http(s) URL", shown(text))),
        };
        if let Err(reason) = push_url(position, url, None, self.key.template(), page) {
            page.reject(position, text, reason);
        }
    }

    /// A way out when the first line looks like the start of one large document.
    fn document_hint(&self, text: &[u8]) -> &'static str {
        match (self.line, text) {
            (1, [b'[', ..]) => " (one array for all? jq -c '.[]' FILE makes one object a line)",
            (1, [b'{', ..]) => " (an object over many lines? jq -c . FILE makes one object a line)",
            _ => "",
        }
    }
}

/// A line that is not JSON, without the place (it has a column instead).
fn wrong(e: &NotJson) -> String {
    use JsonErrorKind::{Empty, Truncated};
    match e.kind {
        Truncated => format!("not JSON: the line ends too early ({})", e.what),
        Empty => "not JSON: the line is empty".to_owned(),
        _ => format!("not JSON: {}", e.what),
    }
}

impl Split for JsonlSplit {
    fn split(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<usize, Fault> {
        let mut used = 0;
        if self.offset == 0 {
            match byte_order_mark(input, last) {
                None => return Ok(0),
                Some(mark) => used = mark,
            }
            self.offset += used as u64;
        }
        while !page.is_full() {
            let Some(taken) = self.row(&input[used..], last, page)? else { break };
            used += taken;
            self.offset += taken as u64;
            if taken == 0 {
                break;
            }
        }
        Ok(used)
    }

    fn line(&self) -> u64 {
        self.line
    }
}
