//! Validates one JSON object that comes in pieces, in constant memory, and says what is wrong.
//!
//! The slow twin of [`super::fast`]: for lines too long to be held, and for the reason why a line
//! was refused. Same grammar.

use super::simd;
use super::text;
use crate::limits;

/// What is wrong with a text, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Flaw {
    /// Bytes of the object before it.
    pub(crate) at: u64,
    /// What should have stood there.
    pub(crate) expected: &'static str,
    /// What stands there; `None` at the end of the line.
    pub(crate) found: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Root,
    FirstKey,
    Key,
    Colon,
    FirstElement,
    Value,
    After,
    Text,
    Escape,
    Hex(u8),
    /// Continuation bytes to come, and the range of the next one.
    Wide(u8, u8, u8),
    Minus,
    Zero,
    Int,
    Dot,
    Fraction,
    Exponent,
    Sign,
    Power,
    /// Index into [`WORDS`].
    Word(u8),
    End,
    NotUtf8,
    Deep,
}

/// What is left of `true`, `false` and `null` behind their first letters; zero ends a word.
const WORDS: &[u8; 13] = b"rue\0alse\0ull\0";

/// What is kept of the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keep {
    /// The wanted members.
    Values,
    /// The wanted members, and the object as it stands.
    Record,
}

/// A validator of one object in pieces.
#[derive(Debug)]
pub(crate) struct Stream {
    names: Vec<Box<[u8]>>,
    state: State,
    at: u64,
    depth: usize,
    /// One bit a level, 1 for an object.
    open: Vec<u64>,
    /// The last of them.
    object: bool,
    is_key: bool,
    /// The key being read, as it stands, as far as it may matter.
    key: Vec<u8>,
    key_limit: usize,
    /// The wanted member whose value comes next.
    pending: Option<usize>,
    /// The wanted member whose value is being read.
    current: Option<usize>,
    values: Vec<Option<Vec<u8>>>,
    record: Option<Vec<u8>>,
    too_long: Option<&'static str>,
}

impl Stream {
    /// Starts before the object.
    pub(crate) fn new(names: &[Box<[u8]>], keep: Keep) -> Self {
        // Six bytes of an escape stand for one byte of a name or more; the quote, and one byte to
        // know that a key goes on.
        let key_limit = names.iter().map(|n| n.len() * 6).max().unwrap_or(0) + 2;
        Stream {
            names: names.to_vec(),
            state: State::Root,
            at: 0,
            depth: 0,
            open: Vec::new(),
            object: false,
            is_key: false,
            key: Vec::new(),
            key_limit,
            pending: None,
            current: None,
            values: vec![None; names.len()],
            record: (keep == Keep::Record).then(Vec::new),
            too_long: None,
        }
    }

    /// The value of a wanted member, as it stands.
    pub(crate) fn value(&self, k: usize) -> Option<&[u8]> {
        self.values.get(k)?.as_deref()
    }

    /// The object as it stands; empty unless it was to be kept.
    pub(crate) fn record(&self) -> &[u8] {
        self.record.as_deref().unwrap_or_default().trim_ascii()
    }

    /// True while there were only blanks: a blank line, however long, is no record.
    pub(crate) fn is_blank(&self) -> bool {
        self.state == State::Root
    }

    /// What was wanted and too long to be kept.
    pub(crate) fn too_long(&self) -> Option<&'static str> {
        self.too_long
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        if let Some(record) = &mut self.record {
            if record.len() + bytes.len() <= limits::LONG_RECORD_BYTES {
                record.extend_from_slice(bytes);
            } else {
                self.too_long = Some("a record of more than 64 MiB cannot be kept (leave out --record)");
            }
        }
        let mut i = 0;
        while let Some(&b) = bytes.get(i) {
            let run = self.run(b, bytes.get(i..).unwrap_or_default());
            if run > 0 {
                self.keep(bytes.get(i..i + run).unwrap_or_default());
                self.at += run as u64;
                i += run;
                continue;
            }
            if self.step(b)? {
                self.keep(&[b]);
                i += 1;
                self.at += 1;
            }
            if self.state == State::After && self.depth == 1 {
                self.current = None;
            }
        }
        Ok(())
    }

    /// How many bytes there are, the first being `b`, that leave the state as it is.
    #[inline(always)]
    fn run(&self, b: u8, bytes: &[u8]) -> usize {
        match self.state {
            State::Text if !matches!(b, b'"' | b'\\') => simd::plain_run(bytes),
            State::Int | State::Fraction | State::Power => {
                bytes.iter().take_while(|b| b.is_ascii_digit()).count()
            }
            _ => 0,
        }
    }

    /// Says whether the object was complete.
    pub(crate) fn finish(&self) -> Result<(), Flaw> {
        if self.state == State::End { Ok(()) } else { Err(self.flaw(None)) }
    }

    /// Keeps bytes of a key or of a wanted value.
    #[inline(always)]
    fn keep(&mut self, bytes: &[u8]) {
        if (self.is_key && self.depth == 1) || self.current.is_some() {
            self.keep_indeed(bytes);
        }
    }

    fn keep_indeed(&mut self, bytes: &[u8]) {
        if self.is_key && self.depth == 1 {
            let room = self.key_limit.saturating_sub(self.key.len());
            self.key.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
        let Some(value) = self.current.and_then(|k| self.values.get_mut(k)) else { return };
        let value = value.get_or_insert_default();
        if value.len() + bytes.len() <= limits::LONG_VALUE_BYTES {
            value.extend_from_slice(bytes);
        } else {
            self.too_long = Some("a wanted value is longer than 1 MiB");
        }
    }

    fn flaw(&self, found: Option<u8>) -> Flaw {
        let expected = match self.state {
            State::Root => "an object",
            State::FirstKey => "a key or '}'",
            State::Key => "a key",
            State::Colon => "':'",
            State::FirstElement => "a value or ']'",
            State::Value => "a value",
            State::After if self.object => "',' or '}'",
            State::After => "',' or ']'",
            State::Text => "text or '\"' (control characters are written as escapes)",
            State::Escape => "one of \" \\ / b f n r t u after a backslash",
            State::Hex(_) => "four hexadecimal digits after \\u",
            State::Wide(..) | State::NotUtf8 => "valid UTF-8",
            State::Minus | State::Dot => "a digit",
            State::Exponent | State::Sign => "a digit of an exponent",
            State::Zero if found.is_some_and(|b| b.is_ascii_digit()) => "no digit after a leading zero",
            // A number may end here: what follows it is what is missing.
            State::Zero | State::Int | State::Fraction | State::Power if self.object => "',' or '}'",
            State::Zero | State::Int | State::Fraction | State::Power => "',' or ']'",
            State::Word(_) => "true, false or null",
            State::Deep => "at most 8,388,608 levels of nesting in a line over 1 MiB",
            State::End => "the end of the line after the object",
        };
        Flaw { at: self.at, expected, found }
    }

    fn push(&mut self, object: bool) -> State {
        if self.depth == limits::LONG_DEPTH {
            return State::Deep;
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.open.len() {
            self.open.push(0);
        }
        if let Some(w) = self.open.get_mut(word) {
            *w = *w & !(1 << bit) | u64::from(object) << bit;
        }
        self.depth += 1;
        self.object = object;
        if object { State::FirstKey } else { State::FirstElement }
    }

    fn pop(&mut self) -> State {
        self.depth -= 1;
        let Some(level) = self.depth.checked_sub(1) else { return State::End };
        self.object = self.open.get(level / 64).is_some_and(|w| w >> (level % 64) & 1 == 1);
        State::After
    }

    /// One byte; false when it was not used up (it only ends a number).
    #[inline(always)]
    fn step(&mut self, b: u8) -> Result<bool, Flaw> {
        let next = match self.state {
            State::Text | State::Escape | State::Hex(_) | State::Wide(..) => self.in_text(b),
            State::Minus | State::Zero | State::Int | State::Dot | State::Fraction => self.in_number(b),
            State::Exponent | State::Sign | State::Power => self.in_number(b),
            State::Word(at) => (WORDS.get(usize::from(at)) == Some(&b)).then(|| {
                if WORDS.get(usize::from(at) + 1) == Some(&0) { State::After } else { State::Word(at + 1) }
            }),
            blank if matches!(b, b' ' | b'\t' | b'\r') => Some(blank),
            State::Root => (b == b'{').then(|| self.push(true)),
            State::FirstKey if b == b'}' => Some(self.pop()),
            State::FirstKey | State::Key => (b == b'"').then(|| self.start_key()),
            State::Colon => (b == b':').then_some(State::Value),
            State::FirstElement if b == b']' => Some(self.pop()),
            State::FirstElement | State::Value => self.start_value(b),
            State::After => match (b, self.object) {
                (b',', true) => Some(State::Key),
                (b',', false) => Some(State::Value),
                (b'}', true) | (b']', false) => Some(self.pop()),
                _ => None,
            },
            State::NotUtf8 | State::Deep | State::End => None,
        };
        let number_ends = next == Some(State::After)
            && matches!(self.state, State::Zero | State::Int | State::Fraction | State::Power);
        match next {
            Some(bad @ (State::NotUtf8 | State::Deep)) => {
                self.state = bad;
                Err(self.flaw(Some(b)))
            }
            Some(state) => {
                self.state = state;
                Ok(!number_ends)
            }
            None => Err(self.flaw(Some(b))),
        }
    }

    fn start_key(&mut self) -> State {
        self.is_key = true;
        self.key.clear();
        State::Text
    }

    #[inline(always)]
    fn start_value(&mut self, b: u8) -> Option<State> {
        if self.depth == 1 {
            self.current = self.pending.take();
            if let Some(value) = self.current.and_then(|k| self.values.get_mut(k)) {
                *value = None;
            }
        }
        match b {
            b'{' => Some(self.push(true)),
            b'[' => Some(self.push(false)),
            b'"' => Some(State::Text),
            b'-' => Some(State::Minus),
            b'0' => Some(State::Zero),
            b'1'..=b'9' => Some(State::Int),
            b't' => Some(State::Word(0)),
            b'f' => Some(State::Word(4)),
            b'n' => Some(State::Word(9)),
            _ => None,
        }
    }

    #[inline(always)]
    fn in_text(&mut self, b: u8) -> Option<State> {
        match self.state {
            State::Escape => match b {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(State::Text),
                b'u' => Some(State::Hex(4)),
                _ => None,
            },
            State::Hex(left) => b.is_ascii_hexdigit().then_some(match left {
                1 => State::Text,
                more => State::Hex(more - 1),
            }),
            State::Wide(left, low, high) => (low..=high).contains(&b).then_some(match left {
                1 => State::Text,
                more => State::Wide(more - 1, 0x80, 0xbf),
            }),
            _ => match b {
                b'"' if self.is_key => Some(self.end_key()),
                b'"' => Some(State::After),
                b'\\' => Some(State::Escape),
                0..=0x1f => None,
                0x20..=0x7f => Some(State::Text),
                // Table 3-7 of the Unicode standard: well-formed UTF-8.
                0xc2..=0xdf => Some(State::Wide(1, 0x80, 0xbf)),
                0xe0 => Some(State::Wide(2, 0xa0, 0xbf)),
                0xed => Some(State::Wide(2, 0x80, 0x9f)),
                0xe1..=0xef => Some(State::Wide(2, 0x80, 0xbf)),
                0xf0 => Some(State::Wide(3, 0x90, 0xbf)),
                0xf1..=0xf3 => Some(State::Wide(3, 0x80, 0xbf)),
                0xf4 => Some(State::Wide(3, 0x80, 0x8f)),
                _ => Some(State::NotUtf8),
            },
        }
    }

    fn end_key(&mut self) -> State {
        self.is_key = false;
        if self.depth == 1 {
            let mut decoded = Vec::new();
            text::decode(self.key.get(1..).unwrap_or_default(), &mut decoded);
            self.pending = self.names.iter().position(|n| **n == *decoded);
        }
        State::Colon
    }

    #[inline(always)]
    fn in_number(&self, b: u8) -> Option<State> {
        let digit = b.is_ascii_digit();
        match (self.state, b) {
            (State::Minus, b'0') => Some(State::Zero),
            (State::Minus | State::Int, _) if digit => Some(State::Int),
            (State::Dot | State::Fraction, _) if digit => Some(State::Fraction),
            (State::Exponent | State::Sign | State::Power, _) if digit => Some(State::Power),
            (State::Exponent, b'+' | b'-') => Some(State::Sign),
            (State::Zero | State::Int, b'.') => Some(State::Dot),
            (State::Zero | State::Int | State::Fraction, b'e' | b'E') => Some(State::Exponent),
            (State::Zero, _) if digit => None,
            (State::Zero | State::Int | State::Fraction | State::Power, _) => Some(State::After),
            _ => None,
        }
    }
}
