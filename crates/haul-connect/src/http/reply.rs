//! A reply that came whole, and what is said about one that is not what was asked for.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use haul_core::budget::Held;
use haul_core::limits::MESSAGE_CHARS;
use haul_core::{Cx, Fault, FaultClass, LaneId, pace};

use super::head::{ContentKind, Head};
use super::redact::{redact, scrub};
use super::request::Call;
use super::status::{StatusRules, is_ambiguous, reason};
use super::url::Url;

/// Characters of a body that messages quote.
const EXCERPT_CHARS: usize = 120;

/// A reply with its body, decoded.
#[derive(Debug)]
pub struct Reply {
    /// 101, or 200 to 999.
    pub status: u16,
    /// The body says that it is HTML.
    pub is_html: bool,
    /// `Retry-After`, as sent.
    pub retry_after: Option<Box<str>>,
    /// `Link`, as sent.
    pub link: Option<Box<str>>,
    /// The body; of a drained one only the beginning.
    pub body: Bytes,
    /// Where redirects led, when they did.
    pub moved: Option<Url>,
    /// All fields of the head, a line each, where they were asked for.
    fields: Option<Box<str>>,
    /// Counts the body while the reply lives.
    _held: Option<Held>,
}

impl Head {
    /// Tells the lane which limits the service states. The request that was answered is still in flight.
    pub(super) fn tell_limits(&self, lane: LaneId, cx: &Cx<'_>) {
        if let Some(fields) = &self.limits {
            let stated = fields.read(SystemTime::now());
            if !stated.is_empty() {
                cx.lanes.stated(lane, &stated);
            }
        }
    }
}

impl Reply {
    pub(crate) fn new(head: Head, body: Vec<u8>, held: Option<Held>) -> Self {
        Reply {
            status: head.status,
            is_html: head.content == ContentKind::Html,
            retry_after: head.retry_after,
            link: head.link,
            body: Bytes::from(body),
            moved: None,
            fields: head.fields,
            _held: held,
        }
    }

    /// Names and values of the fields of the head, where they were asked for.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.fields.as_deref().unwrap_or_default().lines();
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The URL that answered.
    pub fn url<'a>(&'a self, call: &Call<'a>) -> &'a Url {
        self.moved.as_ref().unwrap_or(call.url)
    }

    /// The fault of a reply whose status is not what was asked for.
    pub fn status_fault(&self, class: FaultClass, call: &Call<'_>, rules: &StatusRules) -> Fault {
        let mut message = format!("{}: {} {}", self.url(call), self.status, reason(self.status));
        message.truncate(message.trim_end().len());
        if self.status < 400 {
            message.push_str(&format!(" (expected {}: see --expect)", rules.expected()));
        }
        if !self.body.is_empty() {
            message.push_str(": ");
            message.push_str(&self.excerpt(call));
        }
        let fault = Fault::new(class, "status", bounded(message))
            .with_status(self.status)
            .with_origin(origin_of(self.url(call)))
            .with_retry_after(self.wait());
        if is_ambiguous(self.status) { fault.ambiguous() } else { fault }
    }

    /// A fault about the body.
    pub fn body_fault(&self, class: FaultClass, code: &'static str, what: &str, call: &Call<'_>) -> Fault {
        let message = format!("{}: {} {what}: {}", self.url(call), self.status, self.excerpt(call));
        Fault::new(class, code, bounded(message)).with_origin(origin_of(self.url(call)))
    }

    /// True for a page for people, whatever its status says.
    pub fn looks_like_html(&self) -> bool {
        self.is_html || self.body.trim_ascii_start().first() == Some(&b'<')
    }

    /// How long `Retry-After` asks to wait.
    pub fn wait(&self) -> Option<std::time::Duration> {
        pace::hint::retry_after(self.retry_after.as_deref()?, SystemTime::now())
    }

    /// The beginning of the body in quotes, on one line, without secrets.
    pub fn excerpt(&self, call: &Call<'_>) -> String {
        let secrets: Vec<&str> = call.headers.secret.values().collect();
        excerpt(&self.body, &secrets)
    }
}

/// The first `EXCERPT_CHARS` characters of a body in quotes, on one line, without secrets.
pub fn excerpt(body: &[u8], secrets: &[&str]) -> String {
    // Cut after hiding, or half a secret would remain.
    let mut text = String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned();
    scrub(&mut text, secrets);
    let mut out = String::with_capacity(EXCERPT_CHARS + 8);
    out.push('"');
    let mut chars = 0;
    let mut space = true;
    for c in redact(&text).chars() {
        if chars == EXCERPT_CHARS {
            out.push('…');
            break;
        }
        match c {
            c if c.is_whitespace() || c.is_control() => {
                if !space {
                    out.push(' ');
                    chars += 1;
                }
                space = true;
                continue;
            }
            // Signatures take what stands between quotes as one thing.
            '"' => out.push('\''),
            c => out.push(c),
        }
        space = false;
        chars += 1;
    }
    out.truncate(out.trim_end().len());
    out.push('"');
    out
}

/// A message of at most [`MESSAGE_CHARS`] characters.
pub(crate) fn bounded(mut message: String) -> String {
    if let Some((at, _)) = message.char_indices().nth(MESSAGE_CHARS) {
        message.truncate(at);
        message.push('…');
    }
    message
}

/// `host:port` as faults carry it: the name of the lane, with the scheme's default port filled in.
pub(crate) fn origin_of(url: &Url) -> Arc<str> {
    format!("{}:{}", url.host(), url.port()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_their_lane() {
        for text in
            ["http://h/x", "https://H/x", "https://h:444", "http://[::1]:80/", "http://127.0.0.1:8000"]
        {
            let url = Url::parse(text).unwrap();
            assert_eq!(*origin_of(&url), *url.origin(&"".into()).to_string());
        }
    }

    #[test]
    fn excerpts_are_short_quiet_and_on_one_line() {
        assert_eq!(excerpt(b"{\"error\":\n\t\"no such\x00 user\"}\n", &[]), "\"{'error': 'no such user'}\"");
        let long = excerpt("\u{e9}".repeat(500).as_bytes(), &[]);
        assert_eq!(long.chars().count(), EXCERPT_CHARS + 3);
        assert_eq!(excerpt(b"\xff\xfe", &[]), "\"\u{fffd}\u{fffd}\"");
        let echoed = excerpt(b"bad key s3cr3t, see http://h/?token=t0k3n", &["s3cr3t"]);
        assert!(!echoed.contains("s3cr3t") && !echoed.contains("t0k3n"), "{echoed}");
    }
}
