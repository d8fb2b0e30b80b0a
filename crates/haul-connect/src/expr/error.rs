//! What can be wrong with an expression, and with a document it is applied to.

use std::fmt;

/// An expression that does not compile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExprError {
    /// What is wrong: `expected closing parenthesis`.
    pub message: String,
    /// Byte of the expression at which it is wrong.
    pub offset: usize,
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.message, self.offset)
    }
}

impl std::error::Error for ExprError {}

/// Why bytes are not one JSON document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonErrorKind {
    /// There is nothing but white space.
    Empty,
    /// It ends in the middle of a value: a reply that was cut off.
    Truncated,
    /// A byte stands where the grammar does not allow it.
    Syntax,
    /// Text that is not UTF-8.
    Utf8,
    /// Arrays and objects stand in each other deeper than [`super::DEPTH`].
    TooDeep,
}

/// Bytes that are not one JSON document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotJson {
    /// In which way.
    pub kind: JsonErrorKind,
    /// Byte at which it shows, from 0.
    pub offset: usize,
    /// What was expected there: `expected a value`.
    pub what: &'static str,
    /// The beginning of the bytes, printable, for the message; empty where the place says enough.
    pub begins: String,
}

impl NotJson {
    pub(crate) fn new(kind: JsonErrorKind, offset: usize, what: &'static str) -> Self {
        NotJson { kind, offset, what, begins: String::new() }
    }

    /// Adds the beginning of the document to the message.
    pub(crate) fn beginning(mut self, text: &[u8]) -> Self {
        self.begins = printable(text, 40);
        self
    }

    /// True when the document looks like a page for people: an error page, a login form.
    pub fn looks_like_html(&self) -> bool {
        self.begins.starts_with('<')
    }
}

/// The first characters of `text` with everything unprintable replaced, without leading white space.
fn printable(text: &[u8], chars: usize) -> String {
    let text = text.trim_ascii_start();
    let head = String::from_utf8_lossy(&text[..text.len().min(chars * 4)]);
    let mut out: String = head.chars().take(chars).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if head.chars().nth(chars).is_some() {
        out.push('…');
    }
    out
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            JsonErrorKind::Empty => return f.write_str("not JSON: it is empty"),
            JsonErrorKind::Truncated => {
                write!(f, "not JSON: it ends after {} bytes, {}", self.offset, self.what)?;
            }
            _ => write!(f, "not JSON: {} at byte {}", self.what, self.offset)?,
        }
        if self.looks_like_html() {
            write!(f, "; it looks like HTML: {}", self.begins)
        } else if !self.begins.is_empty() {
            write!(f, "; it begins with {}", self.begins)
        } else {
            Ok(())
        }
    }
}

impl std::error::Error for NotJson {}

/// Why an expression has no value for a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EvalError {
    /// The document is not JSON; the expression is not to blame.
    NotJson(NotJson),
    /// The document is JSON, and the expression does not fit it: `Cannot index string with "id"`.
    Failed(String),
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::NotJson(e) => e.fmt(f),
            EvalError::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for EvalError {}

impl From<NotJson> for EvalError {
    fn from(e: NotJson) -> Self {
        EvalError::NotJson(e)
    }
}
