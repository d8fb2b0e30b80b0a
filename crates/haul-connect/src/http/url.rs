//! Absolute http(s) URLs, checked once and never shown with a secret in them.

use std::fmt;
use std::sync::Arc;

use haul_core::lane::Origin;

use super::redact::redact;

/// `http` or `https`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port that needs not be written.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Why a text is no URL that can be requested. Never shows user info or signature parameters.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

/// An absolute http(s) URL without user info and fragment, its path never empty, every byte of it
/// fit for a request line. `Display` and `Debug` redact known signature parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// `scheme://authority/path?query`, scheme and authority in lower case.
    text: String,
    scheme: Scheme,
    port: u16,
    /// End of the host within `text`, before any `:port`.
    host_end: usize,
    /// Start of the path within `text`.
    path: usize,
}

impl Url {
    /// Reads an absolute URL. Spaces, non-ASCII and other bytes that may not stand in a request
    /// line are percent-encoded; control characters are refused.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let bad = |why: &str| UrlError(format!("\"{}\" {why}", redact(text)));
        let (scheme, rest) = split_scheme(text)
            .ok_or_else(|| bad("is not an http or https URL (it must start with http:// or https://)"))?;
        let authority_len = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(authority_len);
        if authority.contains('@') {
            return Err(UrlError(format!(
                "{}://***@… has user info, which is refused: put the credential into a [secret] sent in a header",
                scheme.as_str()
            )));
        }
        let (host, port) = split_port(authority).ok_or_else(|| bad("has a port that is not 1–65535"))?;
        check_host(host).map_err(|why| bad(&why))?;
        let port = port.unwrap_or(scheme.default_port());

        let mut out = String::with_capacity(text.len() + 1);
        out.push_str(scheme.as_str());
        out.push_str("://");
        out.push_str(host);
        out.make_ascii_lowercase();
        let host_end = out.len();
        if port != scheme.default_port() {
            out.push(':');
            out.push_str(&port.to_string());
        }
        let path = out.len();
        push_target(tail, &mut out).map_err(|why| bad(&why))?;
        Ok(Url { text: out, scheme, port, host_end, path })
    }

    /// Reads an absolute URL that most likely is on the same origin as this one: then only its path
    /// and query are looked at.
    pub fn sibling(&self, text: String) -> Result<Url, UrlError> {
        let target = text.strip_prefix(self.base()).filter(|t| t.starts_with('/'));
        match target {
            Some(target) if target.as_bytes().iter().all(is_fit) => Ok(Url { text, ..*self }),
            _ => Url::parse(&text),
        }
    }

    /// The URL that a `Location` header names, seen from this one (RFC 3986 §5.2).
    pub fn join(&self, reference: &str) -> Result<Url, UrlError> {
        let reference = reference.trim();
        if split_scheme(reference).is_some() {
            return Url::parse(reference);
        }
        if let Some(authority) = reference.strip_prefix("//") {
            return Url::parse(&format!("{}://{authority}", self.scheme.as_str()));
        }
        let name = reference.split(['/', '?', '#']).next().unwrap_or_default();
        if name.contains(':') {
            return Err(UrlError(format!("\"{}\" is not an http or https URL", redact(reference))));
        }
        let target = self.target();
        let own_path = target.split('?').next().unwrap_or(target);
        let base = &self.text[..self.path];
        if reference.is_empty() || reference.starts_with('#') {
            return Ok(self.clone());
        }
        if reference.starts_with('?') {
            return Url::parse(&format!("{base}{own_path}{reference}"));
        }
        let (path, query) = match reference.find(['?', '#']) {
            Some(at) => reference.split_at(at),
            None => (reference, ""),
        };
        let merged = if path.starts_with('/') {
            remove_dots(path)
        } else {
            let folder = own_path.rfind('/').map_or("/", |at| &own_path[..=at]);
            remove_dots(&format!("{folder}{path}"))
        };
        Url::parse(&format!("{base}{merged}{query}"))
    }

    /// Scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host in lower case; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        &self.text[self.scheme.as_str().len() + 3..self.host_end]
    }

    /// Port, the scheme's default filled in.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host` or `host:port`, as the `Host` header has it.
    pub fn authority(&self) -> &str {
        &self.text[self.scheme.as_str().len() + 3..self.path]
    }

    /// `scheme://host:port` without a path: what messages call a service.
    pub fn base(&self) -> &str {
        &self.text[..self.path]
    }

    /// Path and query, as the request line has it.
    pub fn target(&self) -> &str {
        &self.text[self.path..]
    }

    /// The whole text, with whatever it holds: for requests and records, not for messages.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True when scheme, host and port are the same: only then do secrets go along.
    pub fn same_origin(&self, other: &Url) -> bool {
        self.text[..self.path] == other.text[..other.path]
    }

    /// The origin of its lane, under the name of a credential.
    pub fn origin(&self, credential: &Arc<str>) -> Origin {
        Origin {
            scheme: self.scheme.as_str().into(),
            host: self.host().into(),
            port: self.port,
            credential: Arc::clone(credential),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.text))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let of = |s: &Scheme| scheme.eq_ignore_ascii_case(s.as_str());
    let scheme = [Scheme::Http, Scheme::Https].into_iter().find(of)?;
    Some((scheme, rest.strip_prefix("//")?))
}

/// Splits `host:port`; `None` for a port that is no port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_host = if authority.starts_with('[') { authority.find(']')? + 1 } else { 0 };
    match authority[after_host..].find(':') {
        None => Some((authority, None)),
        Some(at) => {
            let (host, port) = authority.split_at(after_host + at);
            let digits = &port[1..];
            if digits.is_empty() {
                return Some((host, None));
            }
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            digits.parse().ok().filter(|p| *p > 0).map(|p| (host, Some(p)))
        }
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("names no host".into());
    }
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').unwrap_or_default();
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("has an IPv6 address that is none".into()),
        };
    }
    if !host.is_ascii() {
        return Err("has a host that is not ASCII: write it in its xn-- form".into());
    }
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if !plain || host.len() > 253 {
        return Err("has a host that is no host name".into());
    }
    Ok(())
}

/// May stand in a request line as it is (`#` may not: it starts a fragment).
fn is_fit(b: &u8) -> bool {
    matches!(b, b'!' | b'$'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~')
}

/// Appends path and query, encoded; the fragment is dropped.
fn push_target(tail: &str, out: &mut String) -> Result<(), String> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let tail = tail.split('#').next().unwrap_or_default();
    if !tail.starts_with('/') {
        out.push('/');
    }
    if tail.as_bytes().iter().all(is_fit) {
        out.push_str(tail);
        return Ok(());
    }
    for b in tail.bytes() {
        if is_fit(&b) {
            out.push(char::from(b));
        } else if b.is_ascii_control() {
            return Err("has a control character".into());
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
    Ok(())
}

/// RFC 3986 §5.2.4 on an absolute path.
fn remove_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => parts.push(""),
            "." => {}
            ".." => {
                parts.pop();
                if last {
                    parts.push("");
                }
            }
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn parts_of_a_url() {
        let u = url("HTTP://Users.Example:8000/users/1?x=Y#frag");
        assert_eq!(u.as_str(), "http://users.example:8000/users/1?x=Y");
        assert_eq!((u.host(), u.port(), u.target()), ("users.example", 8000, "/users/1?x=Y"));
        assert_eq!(u.authority(), "users.example:8000");
        assert_eq!(url("https://a").as_str(), "https://a/");
        assert_eq!(url("https://a:443?q").as_str(), "https://a/?q");
        assert_eq!(url("http://[::1]:8000/").host(), "[::1]");
        assert_eq!(url("http://a/b c/\u{e9}").target(), "/b%20c/%C3%A9");
    }

    #[test]
    fn a_sibling_is_what_parsing_gives() {
        let home = url("http://h:8000/base");
        for text in [
            "http://h:8000/users/1?x=Y",
            "http://h:8000/a b",
            "http://h:8000/a#frag",
            "http://h:80001/",
            "http://h:8000",
            "http://h:8000.evil/",
            "http://other/",
            "https://h:8000/",
        ] {
            assert_eq!(home.sibling(text.to_owned()), Url::parse(text), "{text}");
        }
    }

    #[test]
    fn bad_urls_say_why() {
        for (text, why) in [
            ("ftp://a/", "must start with http"),
            ("a/b", "must start with http"),
            ("http://", "names no host"),
            ("http:///x", "names no host"),
            ("http://a:0/", "port"),
            ("http://a:65536/", "port"),
            ("http://a:8x/", "port"),
            ("http://a b/", "no host name"),
            ("http://\u{e9}.example/", "xn--"),
            ("http://[::1/", "port"),
            ("http://[nonsense]/", "IPv6"),
            ("http://a/\r\nx", "control"),
        ] {
            let e = Url::parse(text).unwrap_err().to_string();
            assert!(e.contains(why), "{text}: {e}");
        }
    }

    #[test]
    fn user_info_is_refused_and_not_shown() {
        for text in ["http://me:pass@host/", "https://me@host", "http://a@b@c/"] {
            let e = Url::parse(text).unwrap_err().to_string();
            assert!(e.contains("user info") && !e.contains("me") && !e.contains("pass"), "{e}");
        }
    }

    #[test]
    fn signatures_are_not_shown() {
        let u = url("https://b.example/k?X-Amz-Signature=abc123&x=1");
        assert!(u.as_str().contains("abc123"));
        assert!(!format!("{u} {u:?}").contains("abc123"));
    }

    #[test]
    fn locations_are_resolved() {
        let from = url("http://a.example:81/b/c/d?q=1");
        for (location, to) in [
            ("https://z.example/y", "https://z.example/y"),
            ("//z.example/y", "http://z.example/y"),
            ("/y/../z", "http://a.example:81/z"),
            ("y", "http://a.example:81/b/c/y"),
            ("./y?k#f", "http://a.example:81/b/c/y?k"),
            ("../../../y/.", "http://a.example:81/y/"),
            ("?k=v", "http://a.example:81/b/c/d?k=v"),
            ("", "http://a.example:81/b/c/d?q=1"),
            ("y?u=http://x/", "http://a.example:81/b/c/y?u=http://x/"),
        ] {
            assert_eq!(from.join(location).unwrap().as_str(), to, "{location}");
        }
        assert!(from.join("mailto:x@y").is_err());
        assert!(from.join("ftp://x/y").is_err());
    }

    #[test]
    fn origins_compare_by_scheme_host_and_port() {
        let a = url("http://a/x");
        assert!(a.same_origin(&url("http://A:80/y")));
        assert!(!a.same_origin(&url("https://a/x")));
        assert!(!a.same_origin(&url("http://a:81/x")));
        assert!(!a.same_origin(&url("http://a.b/x")));
    }
}
