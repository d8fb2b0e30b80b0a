//! The bytes of one JSON object, and the members that steps attached to it.
//!
//! A record is never parsed into a tree: numbers and strings stay as the source wrote them. What a
//! lookup brings is attached beside the original bytes and spliced in when the record is written.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

/// One JSON object as bytes, plus attached members (name, JSON value) in order of attachment.
#[derive(Clone, Debug, Default)]
pub struct Record {
    base: Bytes,
    /// Apart: thousands of records wait that have none yet.
    attached: Option<Box<Attached>>,
}

type Attached = SmallVec<[(Arc<str>, Bytes); 3]>;

impl Record {
    /// Wraps the bytes of one JSON object. The caller has validated them.
    pub fn new(object: impl Into<Bytes>) -> Self {
        Record { base: object.into(), attached: None }
    }

    /// The object as it was read.
    pub fn base(&self) -> &Bytes {
        &self.base
    }

    /// Attaches a member; a later one of the same name replaces the earlier.
    pub fn attach(&mut self, name: Arc<str>, value: Bytes) {
        let attached = self.attached.get_or_insert_default();
        match attached.iter_mut().find(|(n, _)| *n == name) {
            Some(slot) => slot.1 = value,
            None => attached.push((name, value)),
        }
    }

    /// The attached member of that name, if there is one.
    pub fn attached(&self, name: &str) -> Option<&Bytes> {
        self.attached.as_deref()?.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
    }

    /// All attached members in order.
    pub fn members(&self) -> impl Iterator<Item = (&Arc<str>, &Bytes)> {
        self.attached.as_deref().map_or(&[][..], |attached| &attached[..]).iter().map(|(n, v)| (n, v))
    }

    /// Bytes held, for the budget.
    pub fn len(&self) -> usize {
        self.base.len() + self.members().map(|(_, v)| v.len()).sum::<usize>()
    }

    /// True when it holds no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the whole object, attached members spliced in before the closing brace.
    ///
    /// An attached member shadows one of the same name in the original object by coming later:
    /// JSON readers take the last.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let Some(attached) = &self.attached else {
            out.extend_from_slice(&self.base);
            return;
        };
        let body = self.base.trim_ascii_end();
        let body = body.strip_suffix(b"}").unwrap_or(body).trim_ascii_end();
        out.extend_from_slice(body);
        let mut first = body.trim_ascii_start() == b"{";
        if body.is_empty() {
            out.push(b'{');
            first = true;
        }
        for (name, value) in attached.iter() {
            if !first {
                out.push(b',');
            }
            first = false;
            write_json_string(name, out);
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.push(b'}');
    }
}

/// Appends `s` as a JSON string with its quotes, escaping what RFC 8259 requires.
pub fn write_json_string(s: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = s.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b @ 0..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(b >> 4)]);
                out.push(HEX[usize::from(b & 15)]);
            }
            b => out.extend_from_slice(&[b'\\', b]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(r: &Record) -> String {
        let mut out = Vec::new();
        r.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn attached_members_are_spliced_before_the_closing_brace() {
        let mut r = Record::new(&b"{\"id\": 1.0e400 } "[..]);
        r.attach("user".into(), Bytes::from_static(b"{\"a\":1}"));
        assert_eq!(json(&r), "{\"id\": 1.0e400,\"user\":{\"a\":1}}");
        r.attach("user".into(), Bytes::from_static(b"null"));
        assert_eq!(json(&r), "{\"id\": 1.0e400,\"user\":null}");
    }

    #[test]
    fn an_empty_object_takes_members_without_a_stray_comma() {
        let mut r = Record::new(&b"{ }"[..]);
        r.attach("x\"y".into(), Bytes::from_static(b"2"));
        assert_eq!(json(&r), "{\"x\\\"y\":2}");
    }

    #[test]
    fn strings_are_escaped_as_json_wants() {
        let text: String = (0..0x80).map(char::from).chain("é\u{2028}😀".chars()).collect();
        let mut out = Vec::new();
        write_json_string(&text, &mut out);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        out.clear();
        write_json_string("a\"\\\n\u{1f}", &mut out);
        assert_eq!(out, br#""a\"\\\n\u001f""#);
    }
}
