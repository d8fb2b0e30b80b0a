//! A validating JSON scanner (RFC 8259): finds where values end without building them.
//!
//! It checks the grammar completely; that the text is UTF-8 is checked beforehand by
//! [`validate`] (with simdutf8), since every byte above 0x7f can only stand in a string. Escapes of
//! lone surrogates (`\ud800`) are well-formed. Numbers have no bounds. Differential property tests
//! hold it against serde_json.

use super::error::{JsonErrorKind, NotJson};

/// How deep arrays and objects may stand in each other. jq itself stopped at 256 for many years;
/// the bound keeps everything that recurses over a validated document off the stack's end.
pub const DEPTH: usize = 512;

/// Checks that `text` is exactly one JSON value (white space around it is allowed) in UTF-8.
pub fn validate(text: &[u8]) -> Result<(), NotJson> {
    utf8(text)?;
    let mut s = Scanner::new(text);
    s.value(0)?;
    s.end()
}

/// Checks that it is UTF-8.
pub(crate) fn utf8(text: &[u8]) -> Result<(), NotJson> {
    if simdutf8::basic::from_utf8(text).is_ok() {
        return Ok(());
    }
    let offset = std::str::from_utf8(text).err().map_or(0, |e| e.valid_up_to());
    Err(NotJson::new(JsonErrorKind::Utf8, offset, "invalid UTF-8"))
}

/// A position in a text.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    /// Next byte to be read.
    pub(crate) at: usize,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks (in the high bit of each byte) quotes, backslashes and control characters. The lowest mark
/// is exact; higher ones may be false (borrows), so only the lowest may be used.
fn special(word: u64) -> u64 {
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Scanner { text, at: 0 }
    }

    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(crate) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The error for the byte at hand, or for the end of the text.
    pub(crate) fn wrong(&self, what: &'static str) -> NotJson {
        if self.at < self.text.len() {
            NotJson::new(JsonErrorKind::Syntax, self.at, what)
        } else if self.text.trim_ascii().is_empty() {
            NotJson::new(JsonErrorKind::Empty, 0, what)
        } else {
            NotJson::new(JsonErrorKind::Truncated, self.text.len(), what)
        }
    }

    fn too_deep(&self) -> NotJson {
        NotJson::new(JsonErrorKind::TooDeep, self.at, "nested deeper than 512 levels")
    }

    /// Checks that only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), NotJson> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("expected the end after the value")),
        }
    }

    /// Takes `byte` or says what was expected.
    pub(crate) fn take(&mut self, byte: u8, what: &'static str) -> Result<(), NotJson> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(what))
    }

    /// Passes one value that stands `depth` arrays and objects deep, white space before it included.
    pub(crate) fn value(&mut self, depth: usize) -> Result<(), NotJson> {
        self.space();
        match self.peek() {
            Some(b'{' | b'[') => self.nested(depth),
            _ => self.scalar(),
        }
    }

    /// Passes a string, number or literal.
    pub(crate) fn scalar(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.wrong("expected a value")),
        }
    }

    /// Passes an array or object without recursion.
    fn nested(&mut self, depth: usize) -> Result<(), NotJson> {
        let mut open = Open::new(DEPTH.saturating_sub(depth));
        loop {
            // A value is due here.
            self.space();
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                    } else {
                        open.push(true).ok_or_else(|| self.too_deep())?;
                        self.name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(b']') {
                        self.at += 1;
                    } else {
                        open.push(false).ok_or_else(|| self.too_deep())?;
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // A value has just ended.
            loop {
                let Some(object) = open.top() else { return Ok(()) };
                self.space();
                match (self.peek(), object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.space();
                        self.name()?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        open.pop();
                    }
                    (_, true) => return Err(self.wrong("expected , or }")),
                    (_, false) => return Err(self.wrong("expected , or ]")),
                }
            }
        }
    }

    /// Passes a member name and its colon.
    fn name(&mut self) -> Result<(), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("expected a member name in quotes"));
        }
        self.string()?;
        self.space();
        self.take(b':', "expected : after the member name")
    }

    /// Passes a string, whose opening quote is at hand; true when it has escapes.
    pub(crate) fn string(&mut self) -> Result<bool, NotJson> {
        self.at += 1;
        let mut escaped = false;
        loop {
            while let Some(chunk) = self.text.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
                let marks = special(u64::from_le_bytes(*chunk));
                if marks == 0 {
                    self.at += 8;
                } else {
                    self.at += (marks.trailing_zeros() / 8) as usize;
                    break;
                }
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                Some(0..=0x1f) => return Err(self.wrong("control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.wrong("in a string")),
            }
        }
    }

    /// Passes what follows a backslash.
    fn escape(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|b| b.is_ascii_hexdigit()) {
                        return Err(self.wrong("expected four hex digits after \\u"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.wrong("invalid escape in a string")),
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.wrong("expected a digit")) }
    }

    /// Passes a number; what may follow it is the caller's to say.
    pub(crate) fn number(&mut self) -> Result<(), NotJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if self.peek().is_some_and(|b| b.is_ascii_digit()) {
                return Err(self.wrong("a number with a leading zero"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    pub(crate) fn literal(&mut self, word: &'static [u8]) -> Result<(), NotJson> {
        for &byte in word {
            self.take(byte, "expected a value")?;
        }
        Ok(())
    }
}

/// Which arrays (false) and objects (true) are open, as bits.
struct Open {
    bits: [u64; DEPTH / 64],
    len: usize,
    max: usize,
}

impl Open {
    fn new(max: usize) -> Self {
        Open { bits: [0; DEPTH / 64], len: 0, max }
    }

    fn push(&mut self, object: bool) -> Option<()> {
        if self.len >= self.max {
            return None;
        }
        let (word, mask) = (self.len / 64, 1 << (self.len % 64));
        if object {
            self.bits[word] |= mask;
        } else {
            self.bits[word] &= !mask;
        }
        self.len += 1;
        Some(())
    }

    fn top(&self) -> Option<bool> {
        let last = self.len.checked_sub(1)?;
        Some(self.bits[last / 64] & (1 << (last % 64)) != 0)
    }

    fn pop(&mut self) {
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn good_documents() {
        for text in [
            "1",
            "-0",
            "0.5e+7",
            "1E400",
            "123456789012345678901234567890",
            "null",
            " true ",
            "false",
            r#""""#,
            r#""\u0000\ud800 \"\\\/\b\f\n\r\t""#,
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[1,[2,{}],[]]",
            "{\"a\" : 1 , \"a\":[{}]}",
            "\t\r\n {\"\\ud800\":0}\n",
            "\"é\u{7f}\u{10ffff}\"",
        ] {
            assert_eq!(validate(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn each_bad_form_says_where_and_in_which_way() {
        use JsonErrorKind::{Empty, Syntax, TooDeep, Truncated, Utf8};
        let deep = "[".repeat(DEPTH + 1);
        for (text, kind, offset) in [
            (&b""[..], Empty, 0),
            (b" \n", Empty, 0),
            (b"{\"a\":1", Truncated, 6),
            (b"\"abc", Truncated, 4),
            (b"[1,", Truncated, 3),
            (b"tru", Truncated, 3),
            (b"-", Truncated, 1),
            (b"1.", Truncated, 2),
            (b"{\"a\"}", Syntax, 4),
            (b"{a:1}", Syntax, 1),
            (b"{\"a\":1,}", Syntax, 7),
            (b"[1,]", Syntax, 3),
            (b"[1 2]", Syntax, 3),
            (b"[1}", Syntax, 2),
            (b"{\"a\":1]", Syntax, 6),
            (b"01", Syntax, 1),
            (b"+1", Syntax, 0),
            (b".5", Syntax, 0),
            (b"1.e5", Syntax, 2),
            (b"1e", Truncated, 2),
            (b"NaN", Syntax, 0),
            (b"nul1", Syntax, 3),
            (b"'a'", Syntax, 0),
            (b"1 2", Syntax, 2),
            (b"{} x", Syntax, 3),
            (b"1a", Syntax, 1),
            (b"\"\x01\"", Syntax, 1),
            (b"\"tab\there\"", Syntax, 4),
            (b"\"\\x\"", Syntax, 2),
            (b"\"\\u12g4\"", Syntax, 5),
            (b"\xef\xbb\xbf{}", Syntax, 0),
            (b"\"\xff\"", Utf8, 1),
            (b"{\"a\":\"\xed\xa0\x80\"}", Utf8, 6),
            (b"<html>", Syntax, 0),
            (deep.as_bytes(), TooDeep, DEPTH + 1),
        ] {
            let error = validate(text).unwrap_err();
            assert_eq!((error.kind, error.offset), (kind, offset), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn nesting_up_to_the_bound_is_accepted() {
        let text = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
        assert_eq!(validate(text.as_bytes()), Ok(()));
        let text = format!("{}1{}", "{\"a\":[".repeat(DEPTH / 2), "]}".repeat(DEPTH / 2));
        assert_eq!(validate(text.as_bytes()), Ok(()));
    }
}
