//! The head of a reply: its status, what its body is framed by, and the few fields that are used.

use std::mem::MaybeUninit;
use std::time::Duration;

use haul_core::pace::hint::LimitFields;
use smallvec::SmallVec;

use super::encoding::Coding;

/// Header fields of one reply that are looked at; more are an attack or a mistake.
const FIELDS_MAX: usize = 256;
/// Fields parsed without touching the heap: most replies have fewer.
const FIELDS_USUAL: usize = 48;

/// How a body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// With a chunk of zero.
    Chunked,
    /// When the connection is closed.
    Close,
}

/// What a body claims to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentKind {
    /// `text/html` or `application/xhtml+xml`.
    Html,
    /// Anything else, or nothing said.
    Other,
}

/// The head of a final or interim reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// 100 to 999.
    pub status: u16,
    /// How the body ends.
    pub framing: Framing,
    /// The connection may be used again after the body.
    pub keep_alive: bool,
    /// How long the service keeps a connection without a request (`Keep-Alive: timeout=5`).
    pub idle_limit: Option<Duration>,
    /// `Content-Encoding`, outermost last, as sent.
    pub codings: SmallVec<[Coding; 1]>,
    /// A coding that is not understood.
    pub unknown_coding: Option<Box<str>>,
    /// `Content-Type`, as far as it matters.
    pub content: ContentKind,
    /// `Retry-After`, as sent.
    pub retry_after: Option<Box<str>>,
    /// `RateLimit` and its kind, as sent.
    pub limits: Option<Box<LimitFields>>,
    /// `Location`, as sent.
    pub location: Option<Box<str>>,
    /// `Link`, as sent; several joined by commas.
    pub link: Option<Box<str>>,
    /// `Content-Length`, as sent, even where the body is framed otherwise.
    pub length: Option<u64>,
    /// First byte and length of the whole of a part, where it says so: only looked at when asked for.
    pub range: Option<(u64, Option<u64>)>,
    /// `ETag`, else `Last-Modified`: only looked at when asked for.
    pub validator: Option<Box<str>>,
    /// All fields, a line each, where they are asked for.
    pub fields: Option<Box<str>>,
}

/// Why a head cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadError {
    /// The bytes are no HTTP/1 reply.
    #[error("{0}")]
    Syntax(&'static str),
    /// Fields that contradict each other, or that this client does not speak.
    #[error("{0}")]
    Framing(String),
    /// More than `FIELDS_MAX` fields.
    #[error("it has more than {FIELDS_MAX} header fields")]
    TooMany,
}

/// Reads a head from the start of `bytes`: the head and its length, or `None` when more is needed.
pub fn parse_head(bytes: &[u8], validators: bool) -> Result<Option<(Head, usize)>, HeadError> {
    let mut few = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    match parse_with(bytes, &mut few, validators) {
        Err(HeadError::TooMany) => {
            let mut many = vec![MaybeUninit::uninit(); FIELDS_MAX];
            parse_with(bytes, &mut many, validators)
        }
        other => other,
    }
}

fn parse_with<'b>(
    bytes: &'b [u8],
    fields: &mut [MaybeUninit<httparse::Header<'b>>],
    validators: bool,
) -> Result<Option<(Head, usize)>, HeadError> {
    let mut config = httparse::ParserConfig::default();
    // Old services fold lines and put a space before the colon; neither changes what the names mean.
    config.allow_obsolete_multiline_headers_in_responses(true);
    config.allow_spaces_after_header_name_in_responses(true);
    let mut reply = httparse::Response::new(&mut []);
    let len = match config.parse_response_with_uninit_headers(&mut reply, bytes, fields) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooMany),
        Err(httparse::Error::Version) => return Err(HeadError::Syntax("it does not start with HTTP/1.")),
        Err(httparse::Error::Status) => return Err(HeadError::Syntax("its status line is malformed")),
        Err(_) => return Err(HeadError::Syntax("a header field is malformed")),
    };
    let mut scan = Scan::default();
    for field in reply.headers.iter() {
        scan.field(field.name, field.value, validators)?;
    }
    let status = reply.code.unwrap_or_default();
    let http11 = reply.version == Some(1);
    scan.finish(status, http11).map(|head| Some((head, len)))
}

/// The head of a reply whose fields were taken apart already, its body framed by other means.
pub(crate) fn head_of<'a>(
    status: u16,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Head, HeadError> {
    let mut scan = Scan::default();
    for (name, value) in fields {
        scan.field(name, value, false)?;
    }
    scan.finish(status, true)
}

/// What was seen of the fields so far.
#[derive(Default)]
struct Scan {
    length: Option<u64>,
    chunked: bool,
    chunked_twice: bool,
    other_transfer: Option<String>,
    close: bool,
    keep_alive: bool,
    idle_limit: Option<Duration>,
    codings: SmallVec<[Coding; 1]>,
    unknown_coding: Option<Box<str>>,
    html: bool,
    retry_after: Option<Box<str>>,
    limits: Option<Box<LimitFields>>,
    location: Option<Box<str>>,
    link: Option<Box<str>>,
    etag: Option<Box<str>>,
    last_modified: Option<Box<str>>,
    range: Option<(u64, Option<u64>)>,
}

impl Scan {
    fn field(&mut self, name: &str, value: &[u8], validators: bool) -> Result<(), HeadError> {
        // The length tells most names apart before any byte is compared.
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        match name.len() {
            4 if validators && is("etag") => self.etag = Some(text(value)),
            4 if is("link") => self.link(value),
            8 if is("location") => self.location = Some(text(value)),
            10 if is("connection") => self.connection(value),
            10 if is("keep-alive") => self.idle_limit = idle_limit(value),
            11 if is("retry-after") => self.retry_after = Some(text(value)),
            12 if is("content-type") => self.html = is_html(value),
            13 if validators && is("content-range") => self.range = content_range(value),
            13 if validators && is("last-modified") => self.last_modified = Some(text(value)),
            14 if is("content-length") => self.content_length(value)?,
            16 if is("content-encoding") => self.content_encoding(value),
            17 if is("transfer-encoding") => self.transfer_encoding(value),
            _ if LimitFields::is_one(name) => self.limits.get_or_insert_default().add(name, value),
            _ => {}
        }
        Ok(())
    }

    fn link(&mut self, value: &[u8]) {
        self.link = Some(match self.link.take() {
            None => text(value),
            Some(before) => format!("{before}, {}", text(value)).into(),
        });
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for part in value.split(|b| *b == b',') {
            let part = part.trim_ascii();
            let digits = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(part).ok().filter(|_| digits).and_then(|s| s.parse().ok());
            match (length, self.length) {
                (Some(now), Some(before)) if now != before => {
                    return Err(HeadError::Framing(format!(
                        "it has two Content-Lengths, {before} and {now}"
                    )));
                }
                (Some(now), _) => self.length = Some(now),
                (None, _) => {
                    return Err(HeadError::Framing(format!("its Content-Length is \"{}\"", text(value))));
                }
            }
        }
        Ok(())
    }

    fn content_encoding(&mut self, value: &[u8]) {
        for name in value.split(|b| *b == b',') {
            let name = name.trim_ascii();
            match Coding::from_name(name) {
                Some(Coding::Identity) => {}
                Some(coding) => self.codings.push(coding),
                None if name.is_empty() => {}
                None => self.unknown_coding = Some(text(name)),
            }
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        for name in value.split(|b| *b == b',') {
            let name = name.trim_ascii();
            if name.eq_ignore_ascii_case(b"chunked") {
                self.chunked_twice |= self.chunked;
                self.chunked = true;
            } else if !name.is_empty() && !name.eq_ignore_ascii_case(b"identity") {
                self.other_transfer = Some(text(name).into());
            }
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|b| *b == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn finish(self, status: u16, http11: bool) -> Result<Head, HeadError> {
        if let Some(coding) = self.other_transfer {
            return Err(HeadError::Framing(format!("its Transfer-Encoding \"{coding}\" is not supported")));
        }
        if self.chunked_twice {
            return Err(HeadError::Framing("it is chunked twice".into()));
        }
        let bodiless = status < 200 || status == 204 || status == 304;
        let framing = if bodiless {
            Framing::Empty
        } else if self.chunked {
            Framing::Chunked
        } else {
            match self.length {
                Some(0) => Framing::Empty,
                Some(length) => Framing::Length(length),
                None => Framing::Close,
            }
        };
        // Both framings at once is how requests are smuggled: the connection is not trusted further.
        let contradiction = self.chunked && (self.length.is_some() || !http11);
        let wanted = if http11 { !self.close } else { self.keep_alive && !self.close };
        Ok(Head {
            status,
            framing,
            keep_alive: wanted && !contradiction && framing != Framing::Close && status != 101,
            idle_limit: self.idle_limit,
            codings: self.codings,
            unknown_coding: self.unknown_coding,
            content: if self.html { ContentKind::Html } else { ContentKind::Other },
            retry_after: self.retry_after,
            limits: self.limits,
            location: self.location,
            link: self.link,
            length: self.length,
            range: self.range,
            validator: self.etag.or(self.last_modified),
            fields: None,
        })
    }
}

/// `bytes 4000-8999/9000`: first byte and length of the whole.
fn content_range(value: &[u8]) -> Option<(u64, Option<u64>)> {
    let text = std::str::from_utf8(value).ok()?.trim().strip_prefix("bytes")?;
    let (range, whole) = text.trim().split_once('/')?;
    let (from, _) = range.split_once('-')?;
    Some((from.trim().parse().ok()?, whole.trim().parse().ok()))
}

fn idle_limit(value: &[u8]) -> Option<Duration> {
    let options = std::str::from_utf8(value).ok()?;
    let seconds = options.split(',').find_map(|option| option.trim().strip_prefix("timeout="))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn is_html(value: &[u8]) -> bool {
    let kind = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"text/html") || kind.eq_ignore_ascii_case(b"application/xhtml+xml")
}

/// A field value as text, at most 2 KiB of it (a `Location` is the longest that is used).
fn text(value: &[u8]) -> Box<str> {
    String::from_utf8_lossy(&value[..value.len().min(2048)]).trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse_head(text.as_bytes(), true).unwrap().unwrap().0
    }

    #[test]
    fn framing_follows_the_rules() {
        for (text, framing, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Framing::Empty, true),
            ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", Framing::Chunked, true),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nContent-Length: 5\r\n\r\n",
                Framing::Chunked,
                false,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::Close, false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Framing::Empty, true),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Framing::Empty, true),
            (
                "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\n",
                Framing::Length(5),
                false,
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), false),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
                Framing::Length(5),
                true,
            ),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Framing::Empty, false),
            ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length : 5\r\n\r\n", Framing::Length(5), true),
        ] {
            let h = head(text);
            assert_eq!((h.framing, h.keep_alive), (framing, keep_alive), "{text}");
        }
    }

    #[test]
    fn contradictions_and_nonsense_are_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH_9\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(parse_head(text.as_bytes(), false).is_err(), "{text}");
        }
        assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n", false), Ok(None));
    }

    #[test]
    fn fields_that_matter() {
        let h = head(
            "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nLocation: /x\r\nContent-Encoding: gzip, br, identity\r\n\
             Content-Type: Text/HTML; charset=utf-8\r\nKeep-Alive: max=9, timeout=5\r\nLast-Modified: then\r\nETag: \"v1\"\r\n\r\n",
        );
        assert_eq!((h.retry_after.as_deref(), h.location.as_deref()), (Some("7"), Some("/x")));
        assert_eq!(h.codings.as_slice(), [Coding::Gzip, Coding::Brotli]);
        assert_eq!(h.idle_limit, Some(Duration::from_secs(5)));
        assert_eq!((h.content, h.validator.as_deref()), (ContentKind::Html, Some("\"v1\"")));
        let h = head("HTTP/1.1 200 OK\r\nContent-Encoding: snappy\r\n\r\n");
        assert_eq!(h.unknown_coding.as_deref(), Some("snappy"));
    }

    #[test]
    fn many_fields_up_to_a_bound() {
        let with = |n: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(n));
        assert!(parse_head(with(FIELDS_MAX).as_bytes(), false).unwrap().is_some());
        assert_eq!(parse_head(with(FIELDS_MAX + 1).as_bytes(), false), Err(HeadError::TooMany));
    }
}
