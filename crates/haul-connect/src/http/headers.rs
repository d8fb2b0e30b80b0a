//! Header lines of a request, checked and written once, copied into every request as they are.

/// What every request says of itself.
pub const USER_AGENT: &str = concat!("haul/", env!("CARGO_PKG_VERSION"));

/// The codings of reply bodies that are understood.
pub const ACCEPT_ENCODING: &str = "gzip, br, zstd, deflate";

/// Headers that the client itself writes: setting them would break the framing.
const OURS: &[&str] =
    &["connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"];

/// Why a header cannot be sent. Never shows the value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// The name is empty or has a character that a name may not have.
    #[error("\"{0}\" is not a header name")]
    Name(String),
    /// The value has a control character.
    #[error("the value of header {0} has a control character (a line break at its end?)")]
    Value(String),
    /// The header belongs to the client.
    #[error("header {0} is written by haul itself and cannot be set")]
    Ours(String),
}

/// Lines `name: value\r\n`, in order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderLines {
    bytes: Vec<u8>,
}

impl HeaderLines {
    /// No lines.
    pub const fn new() -> Self {
        HeaderLines { bytes: Vec::new() }
    }

    /// Appends a header.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(HeaderError::Name(name.to_owned()));
        }
        if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            return Err(HeaderError::Ours(name.to_owned()));
        }
        let value = value.trim_matches([' ', '\t']);
        if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return Err(HeaderError::Value(name.to_owned()));
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// The lines.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True when a header of that name is there.
    pub fn has(&self, name: &str) -> bool {
        self.bytes.split(|b| *b == b'\n').any(|line| {
            line.iter()
                .position(|b| *b == b':')
                .is_some_and(|at| line[..at].eq_ignore_ascii_case(name.as_bytes()))
        })
    }

    /// The values, for hiding them in what a service echoes.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.bytes.split(|b| *b == b'\n').filter_map(|line| {
            let line = std::str::from_utf8(line).ok()?.trim_end();
            line.split_once(": ").map(|(_, value)| value)
        })
    }

    /// Names and values, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.bytes.split(|b| *b == b'\n').filter_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            Some((std::str::from_utf8(&line[..at]).ok()?, line[at + 1..].trim_ascii()))
        })
    }

    /// True when there is no line.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends all lines of another.
    pub fn push_all(&mut self, other: &HeaderLines) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// As [`HeaderLines::standard`], for bodies that are wanted as they are.
    pub fn plain(accept: &str, configured: &HeaderLines) -> HeaderLines {
        let mut lines = HeaderLines::new();
        for (name, value) in [("User-Agent", USER_AGENT), ("Accept", accept), ("Accept-Encoding", "identity")]
        {
            if !configured.has(name) {
                lines.bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        lines
    }

    /// What every request carries (`User-Agent`, `Accept-Encoding`, and `Accept` with the given
    /// value), except for what `configured` says otherwise.
    pub fn standard(accept: &str, configured: &HeaderLines) -> HeaderLines {
        let mut lines = HeaderLines::new();
        for (name, value) in
            [("User-Agent", USER_AGENT), ("Accept", accept), ("Accept-Encoding", ACCEPT_ENCODING)]
        {
            if !configured.has(name) {
                lines.bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        lines
    }
}

impl std::fmt::Debug for HeaderLines {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.bytes.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b':').next());
        f.debug_list().entries(names.filter(|n| !n.is_empty()).map(String::from_utf8_lossy)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_checked() {
        let mut h = HeaderLines::new();
        h.push("X-Api-Key", " s3cret ").unwrap();
        assert_eq!(h.as_bytes(), b"X-Api-Key: s3cret\r\n");
        assert!(h.has("x-api-key") && !h.has("x-api"));
        assert_eq!(format!("{h:?}"), "[\"X-Api-Key\"]");
        for (name, value) in
            [("a b", "x"), ("", "x"), ("a:", "x"), ("a", "x\r\nEvil: y"), ("a", "\0"), ("hOst", "x")]
        {
            let e = h.push(name, value).unwrap_err();
            assert!(!e.to_string().contains("Evil"));
        }
        assert_eq!(h.as_bytes(), b"X-Api-Key: s3cret\r\n");
    }

    #[test]
    fn standard_lines_give_way_to_configured_ones() {
        let mut mine = HeaderLines::new();
        mine.push("accept-encoding", "identity").unwrap();
        let lines = HeaderLines::standard("*/*", &mine);
        let text = String::from_utf8(lines.as_bytes().to_vec()).unwrap();
        assert!(text.starts_with("User-Agent: haul/") && text.ends_with("Accept: */*\r\n"), "{text}");
    }
}
