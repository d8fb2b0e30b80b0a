//! Records within one JSON document, streamed: `.[]`, `.data.items[]`. The document may be of any size;
//! held are one record and what is open around it.
//!
//! Records and what is passed beside them are checked completely, up to [`LINE_BYTES`]; something longer
//! that is not on the path is passed with its brackets and strings checked only. Several documents may
//! follow each other, as in jq. A cursor remembers what is open (`nest`), so that reading goes on in the
//! middle.

use haul_core::Fault;
use haul_core::item::Position;
use haul_core::job::EachStep;
use haul_core::limits::LINE_BYTES;
use memchr::memchr_iter;

use super::cursor::Mark;
use super::key::RecordKey;
use super::page::PageBuf;
use super::passing::Passing;
use super::split::{Overlong, Split, byte_order_mark, is_url, push_url};
use crate::expr::{JsonErrorKind, NotJson, Scanner, unescape, utf8};
use crate::template::Template;

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A document, or the end.
    Root,
    /// The first member or element of what was just opened, or its end.
    First,
    /// A member or element.
    Next,
    /// A comma, or the end of what is open.
    After,
}

/// Cuts a document into records.
pub(crate) struct DocumentSplit {
    source: String,
    each: Vec<EachStep>,
    /// Arrays (false) and objects (true) that are open around the records.
    open: Vec<bool>,
    phase: Phase,
    /// Name of the innermost member that is one of all of an object.
    name: Option<Vec<u8>>,
    offset: u64,
    line: u64,
    key: RecordKey,
    /// Something long that is being passed, and what becomes of it when it is a record.
    passing: Option<(Passing, Option<Overlong>)>,
    /// Something on the path was found.
    found: bool,
}

impl DocumentSplit {
    /// Goes on at a mark.
    pub(crate) fn new(source: &str, each: Vec<EachStep>, mark: &Mark, key: Option<Template>) -> Self {
        let (phase, open) = match mark.nest.split_at_checked(1) {
            None => (Phase::Root, ""),
            Some(("f", open)) => (Phase::First, open),
            Some(("n", open)) => (Phase::Next, open),
            Some((_, open)) => (Phase::After, open),
        };
        DocumentSplit {
            source: source.to_owned(),
            each,
            open: open.bytes().map(|b| b == b'{').collect(),
            phase,
            name: None,
            offset: mark.offset,
            line: mark.line,
            key: RecordKey::new(key),
            passing: None,
            found: mark.offset > 0,
        }
    }

    fn position(&self, input: &[u8], at: usize) -> Position {
        let lines = memchr_iter(b'\n', &input[..at]).count() as u64;
        Position { line: self.line + lines, offset: self.offset + at as u64 }
    }

    /// Takes one thing from the start of `input`; `None`: more input is needed.
    fn advance(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<Option<usize>, Fault> {
        if let Some((passing, _)) = &mut self.passing {
            return match passing.take(input) {
                Err(what) => Err(self.wrong(input, 0, what)),
                Ok((0, false)) if last => Err(self.cut_off(input)),
                Ok((n, false)) => Ok(Some(n).filter(|n| *n > 0)),
                Ok((n, true)) => {
                    self.passed(&input[..n], page);
                    Ok(Some(n))
                }
            };
        }
        let space = input.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
        let at = match space {
            Some(0) => 0,
            Some(n) => return Ok(Some(n)),
            None if !input.is_empty() => return Ok(Some(input.len())),
            None if last && self.phase != Phase::Root => return Err(self.cut_off(input)),
            None if last && !self.found && self.offset > 0 => return Err(self.nothing_there()),
            None => return Ok(None),
        };
        let object = self.open.last() == Some(&true);
        let closer = if object { b'}' } else { b']' };
        match (self.phase, input[at]) {
            (Phase::Root, _) => self.value(input, 0, last, page),
            (Phase::First | Phase::After, byte) if byte == closer => {
                self.open.pop();
                self.phase = if self.open.is_empty() { Phase::Root } else { Phase::After };
                Ok(Some(1))
            }
            (Phase::After, b',') => {
                self.phase = Phase::Next;
                Ok(Some(1))
            }
            (Phase::After, _) => {
                let what = if object { "expected , or }" } else { "expected , or ]" };
                Err(self.wrong(input, 0, what))
            }
            (Phase::First | Phase::Next, _) if object => self.member(input, last, page),
            (Phase::First | Phase::Next, _) => {
                self.name = None;
                self.value(input, 0, last, page)
            }
        }
    }

    /// Takes `"name": value`.
    fn member(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<Option<usize>, Fault> {
        let mut s = Scanner::new(input);
        let mut head = || {
            if s.peek() != Some(b'"') {
                return Err(s.wrong("expected a member name in quotes"));
            }
            let escaped = s.string()?;
            let end = s.at;
            s.space();
            s.take(b':', "expected : after the member name")?;
            s.space();
            if s.peek().is_none() { Err(s.wrong("expected a value")) } else { Ok((escaped, end)) }
        };
        let (escaped, end) = match head() {
            Ok(found) => found,
            Err(e) => return self.unfinished(&e, input, last).map(|()| None),
        };
        let value = s.at;
        let raw = &input[1..end - 1];
        let decoded = if escaped { unescape(raw) } else { raw.to_vec() };
        match &self.each[self.open.len() - 1] {
            EachStep::Field(wanted) if wanted.as_bytes() != decoded => self.pass(input, value, last, page),
            EachStep::Field(_) => self.value(input, value, last, page),
            EachStep::All => {
                self.name = Some(decoded);
                self.value(input, value, last, page)
            }
        }
    }

    /// Takes a value on the path, which starts at `at`.
    fn value(
        &mut self,
        input: &[u8],
        at: usize,
        last: bool,
        page: &mut PageBuf,
    ) -> Result<Option<usize>, Fault> {
        let Some(step) = self.each.get(self.open.len()) else {
            return self.record(input, at, last, page);
        };
        let fits = match (input[at], step) {
            (b'{', _) | (b'[', EachStep::All) => true,
            // As in jq: a member of null is null, and there is nothing in it.
            (b'n', _) => return self.pass(input, at, last, page),
            _ => false,
        };
        if fits {
            self.found |= self.open.len() + 1 == self.each.len();
            self.open.push(input[at] == b'{');
            self.phase = Phase::First;
            return Ok(Some(at + 1));
        }
        let there = kind(input[at]);
        let what = match step {
            EachStep::Field(name) => format!("there is {there} where an object with \"{name}\" should be"),
            EachStep::All => format!("there is {there} where an array or object of records should be"),
        };
        if self.open.is_empty() {
            let place = self.position(input, at);
            let message = format!("{}:{}: {what}: see --each", self.source, place.line);
            return Err(Fault::fatal("source", message));
        }
        let Some(end) = self.end_of(input, at, last)? else { return Ok(None) };
        page.reject(self.position(input, at), &input[at..end], what);
        self.ended();
        Ok(Some(end))
    }

    /// Takes a record, which starts at `at`.
    fn record(
        &mut self,
        input: &[u8],
        at: usize,
        last: bool,
        page: &mut PageBuf,
    ) -> Result<Option<usize>, Fault> {
        let Some(end) = self.end_of(input, at, last)? else {
            return self.maybe_too_long(input, at, true, page);
        };
        self.found = true;
        let text = &input[at..end];
        let position = self.position(input, at);
        let name = self.name.clone();
        if let Err(reason) = self.push(text, position, name.as_deref(), page) {
            page.reject(position, text, reason);
        }
        self.ended();
        Ok(Some(end))
    }

    fn push(
        &self,
        text: &[u8],
        position: Position,
        name: Option<&[u8]>,
        page: &mut PageBuf,
    ) -> Result<(), String> {
        let found =
            utf8(text).and_then(|()| self.key.find(text)).map_err(|e| format!("not JSON: {}", e.what))?;
        match text[0] {
            b'{' => {}
            b'"' => {
                let url = unescape(&text[1..text.len() - 1]);
                let url = std::str::from_utf8(&url).ok().filter(|url| is_url(url));
                let url = url.ok_or("a string that is no http(s) URL, not an object")?;
                return push_url(position, url, name, self.key.template(), page);
            }
            other => return Err(format!("{}, not an object", kind(other))),
        }
        let start = page.bytes().len();
        page.bytes().extend_from_slice(text);
        let end = page.bytes().len();
        if let Err(reason) = self.key.write(text, &found, name, page.bytes()) {
            page.bytes().truncate(start);
            return Err(reason);
        }
        let key = end..page.bytes().len();
        page.push(position, key, start..end);
        Ok(())
    }

    /// Passes a value beside the path, which starts at `at`.
    fn pass(
        &mut self,
        input: &[u8],
        at: usize,
        last: bool,
        page: &mut PageBuf,
    ) -> Result<Option<usize>, Fault> {
        let Some(end) = self.end_of(input, at, last)? else {
            return self.maybe_too_long(input, at, false, page);
        };
        utf8(&input[at..end]).map_err(|e| self.wrong(input, at, e.what))?;
        self.ended();
        Ok(Some(end))
    }

    /// A value is over.
    fn ended(&mut self) {
        self.phase = if self.open.is_empty() { Phase::Root } else { Phase::After };
    }

    /// Where the value that starts at `at` ends; `None`: not in this input.
    fn end_of(&self, input: &[u8], at: usize, last: bool) -> Result<Option<usize>, Fault> {
        let mut s = Scanner::new(input);
        s.at = at;
        match s.value(self.open.len()) {
            // A number may go on.
            Ok(()) if s.at == input.len() && !last && matches!(input[at], b'-' | b'0'..=b'9') => Ok(None),
            Ok(()) => Ok(Some(s.at)),
            Err(e) => self.unfinished(&e, input, last).map(|()| None),
        }
    }

    /// `Ok`: only the end of the input is missing.
    fn unfinished(&self, e: &NotJson, input: &[u8], last: bool) -> Result<(), Fault> {
        match e.kind {
            JsonErrorKind::Truncated | JsonErrorKind::Empty if last => Err(self.cut_off(input)),
            JsonErrorKind::Truncated | JsonErrorKind::Empty => Ok(()),
            _ => Err(self.wrong(input, e.offset.min(input.len()), e.what)),
        }
    }

    /// A value of which only the beginning is there: once that is too long to be held, it is passed.
    fn maybe_too_long(
        &mut self,
        input: &[u8],
        at: usize,
        record: bool,
        page: &mut PageBuf,
    ) -> Result<Option<usize>, Fault> {
        // What came before it is handed on first, so that no cursor points into it.
        if input.len() - at <= LINE_BYTES || !page.is_empty() {
            return Ok(None);
        }
        let overlong = record.then(|| {
            let reason =
                format!("the record is longer than {LINE_BYTES} bytes, which is the most that is held");
            Overlong::new(self.position(input, at), Some(reason))
        });
        self.passing = Some((Passing::default(), overlong));
        Ok(Some(at))
    }

    /// The end of something long has come.
    fn passed(&mut self, end: &[u8], page: &mut PageBuf) {
        if let Some((_, Some(mut overlong))) = self.passing.take() {
            overlong.take(&end[..end.len().min(200)]);
            overlong.reject(page);
        }
        self.ended();
    }

    fn wrong(&self, input: &[u8], at: usize, what: &str) -> Fault {
        let line = self.position(input, at).line;
        Fault::fatal("source", format!("{}:{line}: not JSON: {what}", self.source))
    }

    fn cut_off(&self, input: &[u8]) -> Fault {
        let line = self.position(input, input.len()).line;
        let name = &self.source;
        Fault::fatal("source", format!("{name}:{line}: the document ends too early: it was cut off"))
    }

    fn nothing_there(&self) -> Fault {
        let path: String = self
            .each
            .iter()
            .map(|step| match step {
                EachStep::Field(name) => format!(".\"{name}\""),
                EachStep::All => "[]".to_owned(),
            })
            .collect();
        Fault::fatal("source", format!("{}: there is no {path} in it: see --each", self.source))
    }
}

/// What begins with a byte, for messages.
fn kind(first: u8) -> &'static str {
    match first {
        b'{' => "an object",
        b'[' => "an array",
        b'"' => "a string",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        _ => "a number",
    }
}

impl Split for DocumentSplit {
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
            let Some(taken) = self.advance(&input[used..], last, page)? else { break };
            self.line += memchr_iter(b'\n', &input[used..used + taken]).count() as u64;
            self.offset += taken as u64;
            used += taken;
        }
        Ok(used)
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn is_lines(&self) -> bool {
        false
    }

    fn nest(&self) -> String {
        let mut nest = match self.phase {
            Phase::Root => return String::new(),
            Phase::First => "f",
            Phase::Next => "n",
            Phase::After => "a",
        }
        .to_owned();
        nest.extend(self.open.iter().map(|object| if *object { '{' } else { '[' }));
        nest
    }
}
