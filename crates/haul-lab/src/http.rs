//! HTTP/1.1 of the lab: a request out of a buffer, a reply into one. No I/O.

use std::borrow::Cow;

use crate::limits;

/// A whole request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Request line and header lines, as sent.
    head: &'a [u8],
    /// As sent.
    pub(crate) method: &'a str,
    /// Path and query, as sent.
    pub(crate) path: &'a str,
    /// `Idempotency-Key`.
    pub(crate) key: Option<&'a [u8]>,
    /// `Authorization`.
    pub(crate) authorization: Option<&'a [u8]>,
    /// `Range`
    pub(crate) range: Option<&'a [u8]>,
    /// `If-Range`
    pub(crate) if_range: Option<&'a [u8]>,
    /// Decoded.
    pub(crate) body: Cow<'a, [u8]>,
    /// Whether the connection is to stay open.
    pub(crate) keep_alive: bool,
}

impl Request<'_> {
    /// Names and values of all headers, as sent.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.split(|b| *b == b'\n').skip(1);
        lines.filter_map(|line| std::str::from_utf8(line).ok()?.trim_end().split_once(':'))
    }
}

/// What a buffer holds.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    /// A request and the bytes it took.
    Whole(Request<'a>, usize),
    /// Only a part of one.
    Partial {
        /// Its sender waits for `100 Continue` before it sends the body.
        expects: bool,
    },
    /// Something else.
    Bad(BadRequest),
}

/// Why a request cannot be answered; the connection is closed after the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadRequest {
    /// Status of the reply.
    pub(crate) status: u16,
    /// What is wrong.
    pub(crate) reason: &'static str,
}

const fn bad(status: u16, reason: &'static str) -> Parsed<'static> {
    Parsed::Bad(BadRequest { status, reason })
}

/// What the headers say about the rest.
#[derive(Default)]
struct Framing {
    length: usize,
    chunked: bool,
    gzip: bool,
    expects: bool,
    close: bool,
}

/// Reads the first request in `buffer`.
pub(crate) fn parse(buffer: &[u8]) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; limits::HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let head_len = match head.parse(buffer) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(httparse::Status::Partial) if buffer.len() > limits::HEAD_BYTES => {
            return bad(431, "the head is longer than 64 KiB");
        }
        Ok(httparse::Status::Partial) => return Parsed::Partial { expects: false },
        Err(httparse::Error::TooManyHeaders) => return bad(431, "more than 64 headers"),
        Err(_) => return bad(400, "not an HTTP/1.1 request"),
    };
    let mut framing = Framing::default();
    let (mut key, mut authorization) = (None, None);
    let (mut range, mut if_range) = (None, None);
    for header in head.headers.iter() {
        match header.name.len() {
            // Told apart by length first: most headers are none of these.
            5 if is(header.name, "range") => range = Some(header.value),
            6 if is(header.name, "expect") => framing.expects = true,
            8 if is(header.name, "if-range") => if_range = Some(header.value),
            10 if is(header.name, "connection") => framing.close = contains(header.value, b"close"),
            13 if is(header.name, "authorization") => authorization = Some(header.value),
            14 if is(header.name, "content-length") => match number(header.value) {
                Some(n) => framing.length = n,
                None => return bad(400, "Content-Length is not a number"),
            },
            15 if is(header.name, "idempotency-key") => key = Some(header.value),
            16 if is(header.name, "content-encoding") => {
                if contains(header.value, b"gzip") {
                    framing.gzip = true;
                } else if !contains(header.value, b"identity") {
                    return bad(415, "only gzip is understood as Content-Encoding");
                }
            }
            17 if is(header.name, "transfer-encoding") => {
                framing.chunked = contains(header.value, b"chunked")
            }
            _ => {}
        }
    }
    let keep_alive = head.version == Some(1) && !framing.close;
    let (method, path) = (head.method.unwrap_or_default(), head.path.unwrap_or_default());
    let (head, rest) = buffer.split_at_checked(head_len).unwrap_or_default();
    let (body, body_len) = match body(rest, &framing) {
        Ok(Some(found)) => found,
        Ok(None) => return Parsed::Partial { expects: framing.expects && rest.is_empty() },
        Err(reason) => return Parsed::Bad(reason),
    };
    let request = Request { head, method, path, key, authorization, range, if_range, body, keep_alive };
    Parsed::Whole(request, head_len + body_len)
}

/// A decoded body and how many bytes it took; `None` when it is not all there.
type Body<'a> = Option<(Cow<'a, [u8]>, usize)>;

/// The body at the start of `rest`.
fn body<'a>(rest: &'a [u8], framing: &Framing) -> Result<Body<'a>, BadRequest> {
    const LONG: BadRequest = BadRequest { status: 413, reason: "the body is longer than 16 MiB" };
    let (raw, len) = if framing.chunked {
        match dechunk(rest)? {
            Some((body, len)) => (Cow::Owned(body), len),
            None if rest.len() > 2 * limits::BODY_BYTES => return Err(LONG),
            None => return Ok(None),
        }
    } else {
        if framing.length > limits::BODY_BYTES {
            return Err(LONG);
        }
        match rest.get(..framing.length) {
            Some(body) => (Cow::Borrowed(body), framing.length),
            None => return Ok(None),
        }
    };
    if raw.len() > limits::BODY_BYTES {
        return Err(LONG);
    }
    let body = if framing.gzip && !raw.is_empty() { Cow::Owned(gunzip(&raw)?) } else { raw };
    Ok(Some((body, len)))
}

/// Takes the chunks apart (RFC 9112, 7.1); trailers are skipped.
fn dechunk(rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, BadRequest> {
    const BROKEN: BadRequest = BadRequest { status: 400, reason: "the chunks do not add up" };
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let (start, size) = match httparse::parse_chunk_size(rest.get(at..).unwrap_or_default()) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(BROKEN),
        };
        let size = usize::try_from(size).map_err(|_| BROKEN)?;
        if size > limits::BODY_BYTES {
            return Err(BadRequest { status: 413, reason: "the body is longer than 16 MiB" });
        }
        at += start;
        if size == 0 {
            return Ok(trailers(rest, at).map(|end| (body, end)));
        }
        let Some(chunk) = rest.get(at..at + size) else { return Ok(None) };
        match rest.get(at + size..at + size + 2) {
            Some(b"\r\n") => {}
            Some(_) => return Err(BROKEN),
            None => return Ok(None),
        }
        body.extend_from_slice(chunk);
        at += size + 2;
    }
}

/// The end of the empty line after the trailers that start at `at`.
fn trailers(rest: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let line = rest.get(at..)?;
        let end = memchr::memchr(b'\n', line)?;
        at += end + 1;
        if end <= 1 {
            return Some(at);
        }
    }
}

fn gunzip(raw: &[u8]) -> Result<Vec<u8>, BadRequest> {
    const BROKEN: BadRequest = BadRequest { status: 400, reason: "the gzip body cannot be decoded" };
    let tail: [u8; 4] = raw.last_chunk().copied().ok_or(BROKEN)?;
    let size = u32::from_le_bytes(tail) as usize;
    if size > limits::BODY_BYTES {
        return Err(BadRequest { status: 413, reason: "the body is longer than 16 MiB" });
    }
    let mut body = vec![0; size];
    let n = libdeflater::Decompressor::new().gzip_decompress(raw, &mut body).map_err(|_| BROKEN)?;
    body.truncate(n);
    Ok(body)
}

fn is(name: &str, lower: &str) -> bool {
    name.eq_ignore_ascii_case(lower)
}

/// Whether a comma-separated header value names `token` (lower case).
fn contains(value: &[u8], token: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

fn number(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// The head of a reply, being written.
pub(crate) struct Head<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Head<'a> {
    /// Starts one.
    pub(crate) fn start(out: &'a mut Vec<u8>, status: u16) -> Self {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        Head { out }
    }

    /// Adds a header.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Adds a header with a number.
    pub(crate) fn number(self, name: &str, value: u64) -> Self {
        self.header(name, itoa::Buffer::new().format(value))
    }

    /// Ends it, announcing a body of `len` bytes, which the caller appends.
    pub(crate) fn end(self, len: usize) {
        self.number("content-length", len as u64).out.extend_from_slice(b"\r\n");
    }
}

/// The phrase of a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> (Request<'_>, usize) {
        match parse(bytes) {
            Parsed::Whole(request, n) => (request, n),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_prefix_of_a_request_is_partial() {
        let requests: [&[u8]; 3] = [
            b"GET /users/1 HTTP/1.1\r\nhost: a\r\n\r\n",
            b"POST /index HTTP/1.1\r\nContent-Length: 5\r\nIdempotency-Key: k\r\n\r\nhello",
            b"POST /index HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nt: 1\r\n\r\n",
        ];
        for bytes in requests {
            for n in 0..bytes.len() {
                assert!(matches!(parse(&bytes[..n]), Parsed::Partial { .. }), "{n} bytes of {bytes:?}");
            }
            assert_eq!(whole(bytes).1, bytes.len());
        }
        assert_eq!(&*whole(requests[1]).0.body, b"hello");
        assert_eq!(whole(requests[1]).0.key, Some(&b"k"[..]));
        assert_eq!(&*whole(requests[2]).0.body, b"hello");
    }

    #[test]
    fn gzip_bodies_are_decoded() {
        let text = b"{\"user\": 1}".repeat(50);
        let mut packed = vec![0; 1000];
        let mut deflate = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
        let n = deflate.gzip_compress(&text, &mut packed).unwrap();
        let mut request =
            format!("POST / HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: {n}\r\n\r\n").into_bytes();
        request.extend_from_slice(&packed[..n]);
        assert_eq!(&*whole(&request).0.body, &text[..]);
        let last = request.len() - 12;
        request[last] ^= 0xff;
        assert!(matches!(parse(&request), Parsed::Bad(BadRequest { status: 400, .. })));
    }

    #[test]
    fn bad_requests_are_told_apart() {
        let status = |bytes: &[u8]| match parse(bytes) {
            Parsed::Bad(bad) => bad.status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00"), 400);
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"), 400);
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n"), 413);
        assert_eq!(status(b"POST / HTTP/1.1\r\ncontent-encoding: br\r\n\r\n"), 415);
        assert_eq!(status(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n"), 400);
        assert_eq!(status(&[&b"GET / HTTP/1.1\r\nx: "[..], &[b'y'; 70_000]].concat()), 431);
    }

    #[test]
    fn the_connection_stays_open_unless_told() {
        assert!(whole(b"GET / HTTP/1.1\r\n\r\n").0.keep_alive);
        assert!(!whole(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n").0.keep_alive);
        assert!(!whole(b"GET / HTTP/1.0\r\n\r\n").0.keep_alive);
        assert!(matches!(
            parse(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"),
            Parsed::Partial { expects: true }
        ));
    }

    #[test]
    fn no_bytes_make_it_panic_or_take_more_than_there_is() {
        let seed = b"POST /index HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        for n in 0..20_000_u64 {
            let bits = crate::mix::mix(n);
            let mut bytes = seed.to_vec();
            for change in 0..=bits % 3 {
                let at = crate::mix::mix(bits ^ change) as usize % bytes.len();
                bytes[at] = (bits >> (8 * change)) as u8;
            }
            bytes.truncate(bytes.len() - (bits >> 40) as usize % 20);
            if let Parsed::Whole(_, taken) = parse(&bytes) {
                assert!(taken <= bytes.len(), "{taken} of {bytes:?}");
            }
        }
    }
}
