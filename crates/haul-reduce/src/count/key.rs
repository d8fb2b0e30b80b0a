//! What is counted: integers by value, strings by their text, anything else by its JSON text.

use std::cmp::Ordering;

use crate::format::Written;
use crate::format::csv::is_integer;
use crate::json::digits;
use crate::json::number::{Number, write_canonical};
use crate::json::text;

/// A value, borrowed from where it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key<'a> {
    /// An integer of 64 bits.
    Int(i64),
    /// A decoded string (see [`text::decode`]).
    Text(&'a [u8]),
    /// Any other JSON value as it stands; integers beyond 64 bits in their one usual form.
    Json(&'a [u8]),
}

impl<'a> Key<'a> {
    /// The key of a value. `room` holds what has to be decoded. A value that is absent is `null`.
    #[inline(always)]
    pub(crate) fn of(value: Option<&'a [u8]>, written: Written, room: &'a mut Vec<u8>) -> Self {
        let Some(value) = value else { return Key::Json(b"null") };
        if let Some(n) = small_integer(value) {
            return Key::Int(n);
        }
        Key::of_other(value, written, room)
    }

    fn of_other(value: &'a [u8], written: Written, room: &'a mut Vec<u8>) -> Self {
        room.clear();
        match (written, value) {
            (Written::Json, [b'"', inside @ .., b'"']) => {
                if !inside.contains(&b'\\') {
                    return Key::Text(inside);
                }
                text::decode(inside, room);
                Key::Text(room)
            }
            (Written::Json, [b'-' | b'0'..=b'9', digits @ ..]) if digits.iter().all(u8::is_ascii_digit) => {
                Key::of_integer(value, room)
            }
            (Written::Json, _) => Key::Json(value),
            (Written::Text, _) if is_integer(value) => Key::of_integer(value, room),
            (Written::Text, _) => Key::Text(value),
        }
    }

    fn of_integer(value: &'a [u8], room: &'a mut Vec<u8>) -> Self {
        write_canonical(value, room);
        let parsed = std::str::from_utf8(room).ok().and_then(|t| t.parse().ok());
        parsed.map_or(Key::Json(room), Key::Int)
    }

    /// Appends it as JSON.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Key::Int(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
            Key::Text(text) => text::encode(text, out),
            Key::Json(json) => out.extend_from_slice(json),
        }
    }

    /// Where its kind stands among the others: null, false, true, numbers, strings, arrays, objects.
    fn rank(&self) -> u8 {
        match self {
            Key::Int(_) => 3,
            Key::Text(_) => 4,
            Key::Json(json) => match json.first() {
                Some(b'n') => 0,
                Some(b'f') => 1,
                Some(b't') => 2,
                Some(b'[') => 5,
                Some(b'{') => 6,
                _ => 3,
            },
        }
    }
}

/// The value of an integer in its usual form of at most 18 digits; `None` for everything else.
#[inline(always)]
pub(crate) fn small_integer(value: &[u8]) -> Option<i64> {
    let negative = value.first() == Some(&b'-');
    let first = usize::from(negative);
    let count = value.len() - first;
    let (n, end) = digits::read(value, first);
    // One zero is a number in its usual form, two are not, and neither is a zero in front.
    if end != value.len()
        || !(1..=18).contains(&count)
        || (value.get(first) == Some(&b'0') && value.len() > 1)
    {
        return None;
    }
    let n = n.cast_signed();
    Some(if negative { -n } else { n })
}

impl Ord for Key<'_> {
    /// Integers numerically, strings bytewise; kinds in the order of [`Key::rank`].
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Key::Int(a), Key::Int(b)) => a.cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()).then_with(|| self.cmp_mixed(other)),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key<'_> {
    fn cmp_mixed(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        self.write_json(&mut a);
        other.write_json(&mut b);
        let by_value = match (Number::parse(&a), Number::parse(&b)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => Ordering::Equal,
        };
        by_value.then_with(|| a.cmp(&b))
    }
}

/// A [`Key`] that owns its bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum OwnedKey {
    Int(i64),
    Text(Box<[u8]>),
    Json(Box<[u8]>),
}

impl OwnedKey {
    pub(crate) fn borrow(&self) -> Key<'_> {
        match self {
            OwnedKey::Int(n) => Key::Int(*n),
            OwnedKey::Text(t) => Key::Text(t),
            OwnedKey::Json(j) => Key::Json(j),
        }
    }
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::Int(n) => OwnedKey::Int(n),
            Key::Text(t) => OwnedKey::Text(t.into()),
            Key::Json(j) => OwnedKey::Json(j.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str, written: Written) -> OwnedKey {
        Key::of(Some(value.as_bytes()), written, &mut Vec::new()).into()
    }

    fn json(value: &str) -> String {
        let mut out = Vec::new();
        key(value, Written::Json).borrow().write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn equal_values_are_one_key_and_others_are_not() {
        assert_eq!(key("42", Written::Json), OwnedKey::Int(42));
        assert_eq!(key("-0", Written::Json), OwnedKey::Int(0));
        assert_eq!(key("-9223372036854775808", Written::Json), OwnedKey::Int(i64::MIN));
        assert_eq!(
            key("9223372036854775808", Written::Json),
            OwnedKey::Json((*b"9223372036854775808").into())
        );
        assert_eq!(key("\"42\"", Written::Json), OwnedKey::Text((*b"42").into()));
        assert_eq!(key(r#""\u0061""#, Written::Json), key("\"a\"", Written::Json));
        assert_eq!(key("1.0", Written::Json), OwnedKey::Json((*b"1.0").into()));
        assert_eq!(key("42", Written::Text), OwnedKey::Int(42));
        assert_eq!(key("042", Written::Text), OwnedKey::Text((*b"042").into()));
        assert_eq!(key("-0", Written::Text), OwnedKey::Text((*b"-0").into()));
        assert_eq!(key("", Written::Text), OwnedKey::Text((*b"").into()));
        assert_eq!(key("-", Written::Text), OwnedKey::Text((*b"-").into()));
        assert_eq!(Key::of(None, Written::Json, &mut Vec::new()), Key::Json(b"null"));
        for same in ["42", "-1", "\"a\\\"b\"", "1.50", "null", "[1, 2]", "12345678901234567890"] {
            assert_eq!(json(same), same);
        }
    }

    #[test]
    fn values_of_all_kinds_have_one_order() {
        let ascending = [
            "null",
            "false",
            "true",
            "-12345678901234567890",
            "-5",
            "0",
            "1.5",
            "2",
            "2.0",
            "12345678901234567890",
            "\"\"",
            "\"10\"",
            "\"9\"",
            "\"a\"",
            "[1]",
            "[2]",
            "{}",
        ];
        let keys: Vec<OwnedKey> = ascending.iter().map(|v| key(v, Written::Json)).collect();
        for (i, a) in keys.iter().enumerate() {
            for (j, b) in keys.iter().enumerate() {
                assert_eq!(a.borrow().cmp(&b.borrow()), i.cmp(&j), "{} {}", ascending[i], ascending[j]);
            }
        }
    }
}
