//! Paths to a member of a record: `.a`, `.a.b`, `."with space"`, `.["a"]`, `.a[0]`.

use std::borrow::Cow;
use std::fmt;

use super::text;

/// One step of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    /// A member of an object, its name decoded.
    Member(Box<[u8]>),
    /// An element of an array, from 0.
    Element(usize),
}

/// A path to a value, as the user wrote it and taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    written: String,
    parts: Vec<Part>,
}

/// Why a path could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{path:?} is not a path: {reason} (write .name, .a.b, .\"with space\" or .a[0])")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl std::str::FromStr for Path {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        let wrong = |reason| PathError { path: path.to_owned(), reason };
        let mut rest = path;
        if !rest.starts_with('.') {
            return Err(wrong("it does not start with a dot"));
        }
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let after_dot = rest.strip_prefix('.');
            rest = after_dot.unwrap_or(rest);
            if let Some(bracket) = rest.strip_prefix('[') {
                let (part, tail) =
                    bracketed(bracket).ok_or_else(|| wrong("a bracket holds an index or a quoted name"))?;
                parts.push(part);
                rest = tail;
            } else if after_dot.is_none() {
                return Err(wrong("a dot or a bracket is missing"));
            } else if rest.starts_with('"') {
                let (name, tail) = quoted(rest).ok_or_else(|| wrong("a quoted name is not closed"))?;
                parts.push(Part::Member(name.into()));
                rest = tail;
            } else {
                let end = rest.find(['.', '[', '"']).unwrap_or(rest.len());
                let (name, tail) = rest.split_at(end);
                if name.is_empty() {
                    return Err(wrong("a name is empty"));
                }
                parts.push(Part::Member(name.as_bytes().into()));
                rest = tail;
            }
        }
        if parts.is_empty() {
            return Err(wrong("it names nothing"));
        }
        Ok(Path { written: path.to_owned(), parts })
    }
}

/// `"name"` at the start of `text`: the decoded name and what follows.
fn quoted(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let name = stream.next()?.ok()?;
    let end = stream.byte_offset();
    Some((name.into_bytes(), text.get(end..)?))
}

fn bracketed(text: &str) -> Option<(Part, &str)> {
    if text.starts_with('"') {
        let (name, tail) = quoted(text)?;
        return Some((Part::Member(name.into()), tail.strip_prefix(']')?));
    }
    let (index, tail) = text.split_once(']')?;
    Some((Part::Element(index.parse().ok()?), tail))
}

impl Path {
    /// A path of one member.
    pub fn member(name: &str) -> Self {
        let mut written = vec![b'.'];
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if plain {
            written.extend_from_slice(name.as_bytes());
        } else {
            text::encode(name.as_bytes(), &mut written);
        }
        let written = String::from_utf8_lossy(&written).into_owned();
        Path { written, parts: vec![Part::Member(name.as_bytes().into())] }
    }

    /// The name of the top-level member it goes through; `None` when it starts with an index.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        match self.parts.first() {
            Some(Part::Member(name)) => Some(name),
            _ => None,
        }
    }

    /// The only member it goes through, for rows that have no depth.
    pub(crate) fn only(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Member(name)] => std::str::from_utf8(name).ok(),
            _ => None,
        }
    }

    /// True when the first member is all of it.
    pub(crate) fn is_flat(&self) -> bool {
        self.parts.len() == 1
    }

    /// The value below the one of [`Path::first`]; both valid JSON without blanks around.
    pub(crate) fn below<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        self.parts.iter().skip(1).try_fold(value, |value, part| step(value, part))
    }

    /// The value in a whole record of valid JSON.
    pub(crate) fn find<'v>(&self, record: &'v [u8]) -> Option<&'v [u8]> {
        self.parts.iter().try_fold(record.trim_ascii(), |value, part| step(value, part))
    }

    /// The value in a record, attached members included (they shadow the original's).
    pub(crate) fn find_in<'r>(&self, record: &'r haul_core::Record) -> Option<&'r [u8]> {
        let attached =
            self.first().and_then(|n| std::str::from_utf8(n).ok()).and_then(|n| record.attached(n));
        match attached {
            Some(value) => self.below(value.trim_ascii()),
            None => self.find(record.base()),
        }
    }
}

/// Descends one step into a valid JSON value.
fn step<'v>(value: &'v [u8], part: &Part) -> Option<&'v [u8]> {
    let mut members = Members::new(value)?;
    match part {
        Part::Member(name) => {
            if !members.object {
                return None;
            }
            let mut last = None;
            while let Some((key, value)) = members.next() {
                if *decoded(key) == **name {
                    last = Some(value);
                }
            }
            last
        }
        Part::Element(index) => {
            if members.object {
                return None;
            }
            (0..*index).try_for_each(|_| members.next().map(|_| ()))?;
            members.next().map(|(_, value)| value)
        }
    }
}

fn decoded(key: &[u8]) -> Cow<'_, [u8]> {
    if !key.contains(&b'\\') {
        return Cow::Borrowed(key);
    }
    let mut out = Vec::new();
    text::decode(key, &mut out);
    Cow::Owned(out)
}

/// Walks the members of a valid JSON object, or the elements of an array (their keys are empty).
struct Members<'v> {
    text: &'v [u8],
    at: usize,
    object: bool,
}

impl<'v> Members<'v> {
    fn new(value: &'v [u8]) -> Option<Self> {
        let object = match value.first()? {
            b'{' => true,
            b'[' => false,
            _ => return None,
        };
        Some(Members { text: value, at: 1, object })
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Moves behind a string whose opening quote is here.
    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    fn value(&mut self) -> Option<&'v [u8]> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.byte()? {
                b'"' => {
                    self.string()?;
                    if depth == 0 {
                        break;
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth <= 1 => {
                    self.at += depth;
                    break;
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => break,
                _ => self.at += 1,
            }
        }
        self.text.get(start..self.at).map(<[u8]>::trim_ascii_end)
    }

    /// The next key (as it stands, without quotes) and value.
    fn next(&mut self) -> Option<(&'v [u8], &'v [u8])> {
        self.blanks();
        let mut key: &[u8] = b"";
        if self.byte()? == b',' {
            self.at += 1;
            self.blanks();
        }
        if matches!(self.byte()?, b'}' | b']') {
            return None;
        }
        if self.object {
            let start = self.at;
            self.string()?;
            key = self.text.get(start + 1..self.at - 1)?;
            self.blanks();
            self.at += 1;
            self.blanks();
        }
        Some((key, self.value()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, record: &str) -> Option<String> {
        let path: Path = path.parse().unwrap();
        path.find(record.as_bytes()).map(|v| String::from_utf8(v.to_vec()).unwrap())
    }

    #[test]
    fn paths_find_values_as_they_stand() {
        let r = r#" {"a": 1.50 , "b":{"c":[1, {"d":"x,}]\"y"} ,3],"c d":null},"a\u0062":true, "e":[] } "#;
        assert_eq!(get(".a", r).as_deref(), Some("1.50"));
        assert_eq!(get(".b.c[1].d", r).as_deref(), Some(r#""x,}]\"y""#));
        assert_eq!(get(".b.c[2]", r).as_deref(), Some("3"));
        assert_eq!(get(".b.c[3]", r), None);
        assert_eq!(get(".b.\"c d\"", r).as_deref(), Some("null"));
        assert_eq!(get(".[\"ab\"]", r).as_deref(), Some("true"));
        assert_eq!(get(".e[0]", r), None);
        assert_eq!(get(".a.b", r), None);
        assert_eq!(get(".x", r), None);
        assert_eq!(get(".a", r#"{"a":1,"a":{"x":2}}"#).as_deref(), Some(r#"{"x":2}"#));
        assert_eq!(get(".a", r#"{"a":[[],[[]]],"b":0}"#).as_deref(), Some("[[],[[]]]"));
    }

    #[test]
    fn bad_paths_are_refused_with_the_way_to_write_them() {
        for bad in ["", "a", ".", "..a", ".a.", ".a[", ".a[x]", ".a[-1]", ".\"a", ".a\"b\"", ".[]"] {
            let error = bad.parse::<Path>().unwrap_err().to_string();
            assert!(error.contains("is not a path"), "{bad}: {error}");
        }
        assert_eq!(".\"a b\"[3].c".parse::<Path>().unwrap().to_string(), ".\"a b\"[3].c");
        assert_eq!(Path::member("a b").to_string(), ".\"a b\"");
    }
}
