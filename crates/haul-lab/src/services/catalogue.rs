//! What a lookup service serves: a function of seed and id, kept ready-made.
//!
//! A reply is `{"data":{"id":ID` and the rest of one of a few thousand texts. In gzip, the part with
//! the id is a stored block and the rest a block that was compressed once: a valid stream that costs
//! two copies and a checksum, so that the lab leaves the machine to the client under test.

use std::ops::Range;
use std::sync::OnceLock;

use crate::http::Head;
use crate::limits;
use crate::mix::{below, mix};
use crate::scan::members;

/// A gzip header without name or time (RFC 1952), then the start of a stored block that is not the last
/// (RFC 1951, 3.2.4).
const GZIP_HEAD: [u8; 11] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 0];
/// Members of a document; more are not compared, and so count as altered.
const MEMBERS: usize = 16;

/// A source of repeatable choices.
pub(super) struct Draw(u64);

impl Draw {
    /// A number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = mix(self.0);
        below(self.0, n)
    }

    /// One of them.
    pub(super) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len() as u64) as usize).copied().unwrap_or_default()
    }
}

/// The text of an object without the value of its id.
pub(super) struct Text {
    /// Up to the id, from the start of the reply; the object starts at `object`.
    open: String,
    object: usize,
    /// From the end of the id to the end of the object, and of the reply.
    rest: String,
    members: Vec<(&'static str, Range<usize>)>,
    colon: &'static str,
    comma: &'static str,
}

impl Text {
    /// Most are set tightly; an eighth has space where JSON allows it.
    pub(super) fn new(draw: &mut Draw) -> Self {
        let (outer, inner, colon, comma) = match draw.below(24) {
            0 => ("{ \"data\" : ", "{ \"id\" :  ", " : ", " , "),
            1 => ("{\n\t\"data\": ", "{\n\t\t\"id\": ", ": ", ",\n\t\t"),
            2 => ("{\"data\":", "{\"id\": ", ":  ", ", "),
            _ => ("{\"data\":", "{\"id\":", ":", ","),
        };
        Text {
            open: [outer, inner].concat(),
            object: outer.len(),
            rest: String::new(),
            members: vec![],
            colon,
            comma,
        }
    }

    /// Adds a member; `value` is JSON.
    pub(super) fn member(mut self, name: &'static str, value: String) -> Self {
        self.rest.push_str(self.comma);
        self.rest.push('"');
        self.rest.push_str(name);
        self.rest.push('"');
        self.rest.push_str(self.colon);
        let start = self.rest.len();
        self.rest.push_str(&value);
        self.members.push((name, start..self.rest.len()));
        self
    }
}

/// One text, ready to be sent.
struct Variant {
    text: Text,
    /// `rest` as the last blocks of a deflate stream.
    deflated: Vec<u8>,
}

impl Variant {
    fn new(mut text: Text) -> Self {
        text.rest.push_str("}}");
        let mut deflate = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
        let mut deflated = vec![0; deflate.deflate_compress_bound(text.rest.len())];
        // The bound makes room for any input; were it ever short, the reply would be an empty stream.
        let n = deflate.deflate_compress(text.rest.as_bytes(), &mut deflated).unwrap_or(0);
        deflated.truncate(n);
        Variant { text, deflated }
    }

    /// The object from its brace to its brace, around the id.
    fn object(&self) -> (&[u8], &[u8]) {
        let rest = self.text.rest.as_bytes();
        let open = self.text.open.as_bytes();
        (open.get(self.text.object..).unwrap_or_default(), rest.get(..rest.len() - 1).unwrap_or_default())
    }

    fn has(&self, name: &[u8], value: &[u8]) -> bool {
        let rest = self.text.rest.as_bytes();
        let at = |range: &Range<usize>| rest.get(range.clone()).unwrap_or_default();
        match self.text.members.iter().find(|(own, _)| own.as_bytes() == name) {
            Some((_, range)) => at(range) == value,
            // Selected under another name: any served value will do.
            None => self.text.members.iter().any(|(_, range)| at(range) == value),
        }
    }
}

/// What a posted member turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    /// Byte for byte what was served for this id, whole or in part.
    Served(u64),
    /// This id, but not what was served for it.
    Altered(u64),
    /// Not an object with an id.
    Unknown,
}

/// All replies of a lookup service.
pub(crate) struct Catalogue {
    seed: u64,
    write: fn(&mut Draw) -> Text,
    variants: Box<[OnceLock<Variant>]>,
}

impl Catalogue {
    /// `write` makes up a text.
    pub(super) fn new(seed: u64, write: fn(&mut Draw) -> Text) -> Self {
        Catalogue { seed, write, variants: (0..limits::VARIANTS).map(|_| OnceLock::new()).collect() }
    }

    fn variant(&self, id: u64) -> &Variant {
        let n = below(mix(self.seed ^ mix(id)), limits::VARIANTS as u64);
        // The multiplication keeps it in bounds.
        #[allow(clippy::indexing_slicing)]
        self.variants[n as usize].get_or_init(|| Variant::new((self.write)(&mut Draw(self.seed ^ mix(n)))))
    }

    /// Appends a whole 200 reply; returns the length of its body.
    pub(crate) fn reply(&self, id: u64, gzip: bool, out: &mut Vec<u8>) -> usize {
        let variant = self.variant(id);
        let mut digits = itoa::Buffer::new();
        let id = digits.format(id).as_bytes();
        let (open, rest) = (variant.text.open.as_bytes(), variant.text.rest.as_bytes());
        let stored = open.len() + id.len();
        let body = if gzip {
            GZIP_HEAD.len() + 4 + stored + variant.deflated.len() + 8
        } else {
            stored + rest.len()
        };
        out.reserve(body + 128);
        let head = Head::start(out, 200).header("content-type", "application/json");
        if !gzip {
            head.end(body);
            for part in [open, id, rest] {
                out.extend_from_slice(part);
            }
            return body;
        }
        head.header("content-encoding", "gzip").end(body);
        let mut crc = libdeflater::Crc::new();
        for part in [open, id, rest] {
            crc.update(part);
        }
        let len = stored as u16;
        out.extend_from_slice(&GZIP_HEAD);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(open);
        out.extend_from_slice(id);
        out.extend_from_slice(&variant.deflated);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&((stored + rest.len()) as u32).to_le_bytes());
        body
    }

    /// The value of `data` that is served for an id.
    pub(crate) fn object(&self, id: u64) -> Vec<u8> {
        let (open, rest) = self.variant(id).object();
        [open, id.to_string().as_bytes(), rest].concat()
    }

    /// Compares a posted value (an object, or the whole reply around it) with what was served for the id it
    /// holds.
    pub(crate) fn check(&self, value: &[u8]) -> Check {
        let check = self.check_object(value);
        if check != Check::Unknown {
            return check;
        }
        let (mut data, mut count) = (None, 0);
        let read = members(value, |name, inner| {
            data = (name == b"data").then_some(inner);
            count += 1;
        });
        match (read, data, count) {
            (Some(()), Some(inner), 1) => self.check_object(inner),
            _ => Check::Unknown,
        }
    }

    fn check_object(&self, value: &[u8]) -> Check {
        let mut found: [(&[u8], &[u8]); MEMBERS] = [(b"", b""); MEMBERS];
        let mut count = 0;
        let mut id: Option<&[u8]> = None;
        let read = members(value, |name, value| {
            if name == b"id" {
                id = Some(value);
            } else if let Some(place) = found.get_mut(count) {
                *place = (name, value);
                count += 1;
            } else {
                count = MEMBERS + 1;
            }
        });
        let digits = match (read, id) {
            (Some(()), Some(digits)) => digits,
            _ => return Check::Unknown,
        };
        let Some(id) = std::str::from_utf8(digits).ok().and_then(|d| d.parse::<u64>().ok()) else {
            return Check::Unknown;
        };
        let variant = self.variant(id);
        let (open, rest) = variant.object();
        let whole = || {
            value.strip_prefix(open)?.strip_prefix(digits)?.strip_prefix(rest).filter(|end| end.is_empty())
        };
        let served = itoa::Buffer::new().format(id).as_bytes() == digits
            && (whole().is_some()
                || found
                    .get(..count)
                    .is_some_and(|found| found.iter().all(|(name, value)| variant.has(name, value))));
        if served { Check::Served(id) } else { Check::Altered(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::{users, videos};

    fn body(catalogue: &Catalogue, id: u64, gzip: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let n = catalogue.reply(id, gzip, &mut out);
        out.split_off(out.len() - n)
    }

    #[test]
    fn gzip_and_plain_say_the_same_and_are_json() {
        let mut inflate = libdeflater::Decompressor::new();
        for catalogue in [users::catalogue(1), videos::catalogue(1)] {
            for id in (0..2000).chain([u64::MAX]) {
                let plain = body(&catalogue, id, false);
                let mut decoded = vec![0; 4096];
                let n = inflate.gzip_decompress(&body(&catalogue, id, true), &mut decoded).unwrap();
                assert_eq!(&decoded[..n], plain, "id {id}");
                let value: serde_json::Value = serde_json::from_slice(&plain).unwrap();
                assert_eq!(value["data"]["id"].to_string(), id.to_string());
                assert!(plain.windows(catalogue.object(id).len()).any(|w| w == catalogue.object(id)));
            }
        }
    }

    #[test]
    fn replies_depend_on_seed_and_id_alone() {
        let (a, b, c) = (users::catalogue(1), users::catalogue(1), users::catalogue(2));
        assert_eq!(a.object(5), b.object(5));
        assert_ne!(
            (0..9).map(|n| a.object(n)).collect::<Vec<_>>(),
            (0..9).map(|n| c.object(n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_a_careless_round_trip_spoils_is_there() {
        let catalogue = videos::catalogue(3);
        let all: Vec<String> = (0..2000).map(|id| String::from_utf8(catalogue.object(id)).unwrap()).collect();
        for needle in ["23.9760239760", "1.0e2", "12345678901234567890123", "\\u00e9", "n\\/a", "東京", " : "]
        {
            let count = all.iter().filter(|text| text.contains(needle)).count();
            assert!((10..1990).contains(&count), "{needle} in {count} of 2000");
        }
    }

    #[test]
    fn only_the_served_bytes_pass() {
        let catalogue = videos::catalogue(3);
        let odd =
            (0..2000).find(|id| String::from_utf8(catalogue.object(*id)).unwrap().contains("1.0e2")).unwrap();
        let whole = String::from_utf8(catalogue.object(odd)).unwrap();
        assert_eq!(catalogue.check(whole.as_bytes()), Check::Served(odd));
        assert_eq!(catalogue.check(&body(&catalogue, odd, false)), Check::Served(odd));
        let part = format!("{{\"id\": {odd},\"audioSampleRate\":1.0e2}}");
        assert_eq!(catalogue.check(part.as_bytes()), Check::Served(odd));
        let renamed = format!("{{\"rate\":1.0e2, \"id\": {odd}}}");
        assert_eq!(catalogue.check(renamed.as_bytes()), Check::Served(odd));
        for (from, to) in [("1.0e2", "100.0"), ("\"audioSampleRate\"", "\"frameRate\"")] {
            assert_eq!(catalogue.check(part.replace(from, to).as_bytes()), Check::Altered(odd), "{to}");
        }
        assert_eq!(catalogue.check(whole.replace("1.0e2", "1e2").as_bytes()), Check::Altered(odd));
        assert_eq!(catalogue.check(whole.replacen(&odd.to_string(), "77", 1).as_bytes()), Check::Altered(77));
        for text in ["null", "{}", "{\"id\":\"7\"}", "{\"id\":1.5}", "[1]"] {
            assert_eq!(catalogue.check(text.as_bytes()), Check::Unknown, "{text}");
        }
    }
}
