//! An error that carries its decision.
//!
//! Retry, parking, the ledger, the breaker and the exit status all read [`FaultClass`]; nothing
//! decides from the text of a message.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is to be done about a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FaultClass {
    /// May succeed if tried again: the item is parked.
    Transient,
    /// The service asks for less: parked until it is due, and the lane slows down.
    Throttled,
    /// Trying again will not help: the item fails.
    Permanent,
    /// The run cannot go on (credentials refused before the first success, a broken ledger).
    Fatal,
}

impl FaultClass {
    /// The word used in the ledger and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultClass::Transient => "transient",
            FaultClass::Throttled => "throttled",
            FaultClass::Permanent => "permanent",
            FaultClass::Fatal => "fatal",
        }
    }
}

/// An error with class, code, message and what is known about when to come back.
#[derive(Clone)]
pub struct Fault(Box<Inner>);

#[derive(Clone)]
struct Inner {
    class: FaultClass,
    code: Cow<'static, str>,
    message: String,
    status: Option<u16>,
    retry_after: Option<Duration>,
    origin: Option<Arc<str>>,
    step: Option<Arc<str>>,
    ambiguous: bool,
    uncharged: bool,
}

impl Fault {
    /// A fault of a class; `code` is a short stable word (`connect`, `timeout`, `status`, `json`).
    pub fn new(class: FaultClass, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Fault(Box::new(Inner {
            class,
            code: code.into(),
            message: message.into(),
            status: None,
            retry_after: None,
            origin: None,
            step: None,
            ambiguous: false,
            uncharged: false,
        }))
    }

    /// See [`FaultClass::Transient`].
    pub fn transient(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Fault::new(FaultClass::Transient, code, message)
    }

    /// See [`FaultClass::Permanent`].
    pub fn permanent(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Fault::new(FaultClass::Permanent, code, message)
    }

    /// See [`FaultClass::Fatal`].
    pub fn fatal(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Fault::new(FaultClass::Fatal, code, message)
    }

    /// The same fault with another class (an `--on` rule, or a class known only later).
    pub fn with_class(mut self, class: FaultClass) -> Self {
        self.0.class = class;
        self
    }

    /// The status of a reply that was received.
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// When the service asked to be left alone until.
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// The scheme, host and port it happened at.
    pub fn with_origin(mut self, origin: Arc<str>) -> Self {
        self.0.origin = Some(origin);
        self
    }

    /// The step it happened in; the engine sets it.
    pub fn with_step(mut self, step: Arc<str>) -> Self {
        self.0.step = Some(step);
        self
    }

    /// The request may have taken effect although no usable reply came.
    pub fn ambiguous(mut self) -> Self {
        self.0.ambiguous = true;
        self
    }

    /// Not the item's doing: the attempt is charged to neither `attempts` nor `within`.
    pub fn uncharged(mut self) -> Self {
        self.0.uncharged = true;
        self
    }

    /// What is to be done about it.
    pub fn class(&self) -> FaultClass {
        self.0.class
    }

    /// Short stable word, for signatures and `--json`.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What happened, for a person. Holds no secret.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Status of the reply, where there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// How long the service asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> Option<&str> {
        self.0.origin.as_deref()
    }

    /// Name of the step.
    pub fn step(&self) -> Option<&str> {
        self.0.step.as_deref()
    }

    /// True when the effect may have happened.
    pub fn is_ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// True when the attempt must not be charged to the item.
    pub fn is_uncharged(&self) -> bool {
        self.0.uncharged
    }

    /// Groups failures: `step host status-or-code message`, the message normalised so that numbers,
    /// hex ids and quoted values do not make every failure its own group.
    pub fn signature(&self) -> String {
        let mut s = String::with_capacity(64);
        for part in [self.step(), self.origin()].into_iter().flatten() {
            s.push_str(part);
            s.push(' ');
        }
        match self.status() {
            Some(status) => s.push_str(&status.to_string()),
            None => s.push_str(self.code()),
        }
        s.push(' ');
        normalise(self.message(), &mut s);
        s
    }
}

/// Replaces digits runs, long hex words and quoted text by `#` and `"…"`, bounded to 160 characters.
fn normalise(message: &str, out: &mut String) {
    let limit = out.len() + 160;
    let mut chars = message.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() > limit {
            out.push('…');
            return;
        }
        match c {
            '0'..='9' => {
                while chars.peek().is_some_and(|c| c.is_ascii_hexdigit() || *c == '.') {
                    chars.next();
                }
                out.push('#');
            }
            '"' => {
                out.push_str("\"…\"");
                for c in chars.by_ref() {
                    if c == '"' {
                        break;
                    }
                }
            }
            c => out.push(c),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({} {}: {})", self.0.class.as_str(), self.0.code, self.0.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_ignore_what_differs_from_item_to_item() {
        let a = Fault::permanent("json", "user 1042 has no field \"a\"").with_step("user".into());
        let b = Fault::permanent("json", "user 7 has no field \"bc\"").with_step("user".into());
        assert_eq!(a.signature(), b.signature());
        assert_eq!(a.signature(), "user json user # has no field \"…\"");
    }

    #[test]
    fn a_signature_is_bounded() {
        let f = Fault::permanent("x", "y".repeat(10_000));
        assert!(f.signature().len() < 200);
    }
}
