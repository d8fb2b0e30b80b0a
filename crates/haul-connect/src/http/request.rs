//! One request, and its bytes in HTTP/1.1.

use std::time::Duration;

use bytes::Bytes;

use super::headers::HeaderLines;
use super::proxy::Proxy;
use super::url::Url;

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `PROPFIND` of WebDAV: what is known of a resource, or of the members of a collection.
    Propfind,
    /// `MKCOL` of WebDAV: makes a collection.
    Mkcol,
    /// `MOVE` of WebDAV.
    Move,
}

impl Method {
    /// What a request line names; `None` for what is never sent.
    pub fn parse(name: &str) -> Option<Method> {
        use Method::{Delete, Get, Head, Mkcol, Move, Post, Propfind, Put};
        [Get, Head, Post, Put, Delete, Propfind, Mkcol, Move].into_iter().find(|m| m.as_str() == name)
    }

    /// As written in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Propfind => "PROPFIND",
            Method::Mkcol => "MKCOL",
            Method::Move => "MOVE",
        }
    }

    /// True for what changes nothing.
    pub fn is_read(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Propfind)
    }

    /// True when sending it twice is the same as once (RFC 9110 §9.2.2): only then may the client
    /// send it again after a connection that it had kept open broke without a reply.
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Method::Post | Method::Move)
    }
}

/// What is done with a reply body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyUse {
    /// Needed whole: a body that is cut off or cannot be decoded is a fault.
    Keep,
    /// Needed whole, as it was sent (codings are not undone), with all fields of the head.
    Object,
    /// There is none, whatever the head says of one (`HEAD`); all fields of the head.
    Nothing,
    /// Only its beginning, for messages: it is read so that the connection can be used again, but
    /// the status alone decides.
    Drain,
}

/// Header lines of a request in three groups, because a redirect to another host takes only the
/// first along.
#[derive(Clone, Copy, Debug)]
pub struct RequestHeaders<'a> {
    /// Written by the client and the step: `User-Agent`, `Content-Type`, `Idempotency-Key`.
    pub own: &'a HeaderLines,
    /// Idempotency key, where the request has one.
    pub idempotency: Option<&'a str>,
    /// Configured by the user for this service or step.
    pub configured: &'a HeaderLines,
    /// With secrets in them.
    pub secret: &'a HeaderLines,
}

/// A request, before it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What it asks for.
    pub method: Method,
    /// Where it goes.
    pub url: &'a Url,
    /// What goes along.
    pub headers: RequestHeaders<'a>,
    /// What is sent; `None` for a request without a body.
    pub body: Option<&'a Bytes>,
    /// What is done with the reply's body.
    pub body_use: BodyUse,
    /// Most time from the permit to the last byte, redirects excluded (each hop has its own).
    pub timeout: Duration,
}

/// Bodies up to this size are copied behind the head, so that one small write sends both; larger
/// ones are sent from where they are.
pub(crate) const COPIED_BODY: usize = 8 * 1024;

/// Writes the head of a request (and a small body) into `out`, which is emptied first. `foreign`: a
/// redirect led to another host, and what the user configured stays behind. `via`: the proxy at the
/// other end, which is told the whole URL.
pub(crate) fn write_request(
    call: &Call<'_>,
    url: &Url,
    foreign: bool,
    via: Option<&Proxy>,
    out: &mut Vec<u8>,
) {
    write_head(call, (url, foreign, via), call.body.map(|body| body.len() as u64), out);
    if let Some(body) = call.body.filter(|body| body.len() <= COPIED_BODY) {
        out.extend_from_slice(body);
    }
}

/// Writes the head of a request whose body has so many bytes.
pub(crate) fn write_head(
    call: &Call<'_>,
    (url, foreign, via): (&Url, bool, Option<&Proxy>),
    length: Option<u64>,
    out: &mut Vec<u8>,
) {
    out.clear();
    out.extend_from_slice(call.method.as_str().as_bytes());
    out.push(b' ');
    let target = if via.is_some() { url.as_str() } else { url.target() };
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(url.authority().as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(via.map_or("", Proxy::authorization).as_bytes());
    out.extend_from_slice(call.headers.own.as_bytes());
    if !foreign {
        out.extend_from_slice(call.headers.configured.as_bytes());
        out.extend_from_slice(call.headers.secret.as_bytes());
    }
    if let Some(key) = call.headers.idempotency {
        out.extend_from_slice(b"Idempotency-Key: ");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(length) = length {
        out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_on_the_wire() {
        let url = Url::parse("http://h:81/p?q=1").unwrap();
        let (mut own, mut configured, mut secret) =
            (HeaderLines::new(), HeaderLines::new(), HeaderLines::new());
        own.push("Accept", "x").unwrap();
        configured.push("X-Team", "a").unwrap();
        secret.push("Authorization", "Bearer b").unwrap();
        let body = Bytes::from_static(b"{}");
        let call = Call {
            method: Method::Post,
            url: &url,
            headers: RequestHeaders {
                own: &own,
                idempotency: Some("k1"),
                configured: &configured,
                secret: &secret,
            },
            body: Some(&body),
            body_use: BodyUse::Drain,
            timeout: Duration::from_secs(1),
        };
        let mut out = vec![1];
        write_request(&call, &url, false, None, &mut out);
        assert_eq!(
            String::from_utf8(out.clone()).unwrap(),
            "POST /p?q=1 HTTP/1.1\r\nHost: h:81\r\nAccept: x\r\nX-Team: a\r\nAuthorization: Bearer b\r\n\
             Idempotency-Key: k1\r\nContent-Length: 2\r\n\r\n{}"
        );
        write_request(&call, &url, true, None, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("Bearer") && !text.contains("X-Team") && text.contains("Idempotency-Key: k1"));
    }
}
