//! Reads the part of jq whose results can be cut out of the original bytes: paths, objects of
//! paths and literals, and paths piped into either. Everything else is left to the jq engine.

use haul_core::record::write_json_string;

use super::lookup::Seg;

/// Objects in objects beyond this are left to the jq engine.
const NESTED: usize = 64;

/// How a result is put together.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Shape {
    /// The value at a path.
    Path(Vec<Seg>),
    /// A literal, as JSON text.
    Literal(Vec<u8>),
    /// An object: each member name as JSON text with its colon, and its value.
    Object(Vec<(Vec<u8>, Shape)>),
}

impl Shape {
    /// An object of members of the document under their own names.
    pub(crate) fn members<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let member = |name: &str| (member_name(name), Shape::Path(vec![Seg::Field(name.to_owned())]));
        Shape::Object(names.map(member).collect())
    }

    /// All paths in order.
    pub(crate) fn paths<'s>(&'s self, out: &mut Vec<&'s [Seg]>) {
        match self {
            Shape::Path(path) => out.push(path),
            Shape::Literal(_) => {}
            Shape::Object(members) => members.iter().for_each(|(_, shape)| shape.paths(out)),
        }
    }

    fn has_paths(&self) -> bool {
        let mut paths = Vec::new();
        self.paths(&mut paths);
        !paths.is_empty()
    }

    /// The same shape of what stands at `prefix`.
    fn below(self, prefix: &[Seg]) -> Shape {
        match self {
            Shape::Path(path) => Shape::Path(prefix.iter().cloned().chain(path).collect()),
            Shape::Literal(text) => Shape::Literal(text),
            Shape::Object(members) => {
                Shape::Object(members.into_iter().map(|(n, s)| (n, s.below(prefix))).collect())
            }
        }
    }
}

/// The shape of an expression; `None` when it is not of the part of jq that this reads (or wrong).
pub(crate) fn shape(source: &str) -> Option<Shape> {
    let mut reader = Reader { rest: source };
    let shape = reader.pipe(0)?;
    reader.space();
    // A literal alone tests nothing about its input.
    (reader.rest.is_empty() && shape.has_paths()).then_some(shape)
}

/// Reads `.a.b`, `.a[0]`, `."b c"`: a path and nothing else.
pub(crate) fn path(source: &str) -> Option<Vec<Seg>> {
    match shape(source)? {
        Shape::Path(path) => Some(path),
        _ => None,
    }
}

/// A member name as JSON text with its colon.
fn member_name(name: &str) -> Vec<u8> {
    let mut json = Vec::new();
    write_json_string(name, &mut json);
    json.push(b':');
    json
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn pipe(&mut self, depth: usize) -> Option<Shape> {
        let mut prefix: Vec<Seg> = Vec::new();
        loop {
            let shape = self.term(depth)?;
            self.space();
            if self.take('|') {
                // What is built and then taken apart is the engine's.
                let Shape::Path(path) = shape else { return None };
                prefix.extend(path);
                continue;
            }
            // `.a | 1` fails where `.a` does: a literal alone would not.
            if !prefix.is_empty() && !shape.has_paths() {
                return None;
            }
            return Some(shape.below(&prefix));
        }
    }

    fn term(&mut self, depth: usize) -> Option<Shape> {
        self.space();
        match self.rest.chars().next()? {
            '.' => self.path().map(Shape::Path),
            '{' if depth < NESTED => self.object(depth),
            '"' => {
                let text = self.string()?;
                let mut json = Vec::new();
                write_json_string(&text, &mut json);
                Some(Shape::Literal(json))
            }
            '0'..='9' => {
                let digits =
                    self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let (number, rest) = self.rest.split_at(digits);
                self.rest = rest;
                let plain = number == "0" || !number.starts_with('0');
                (plain && !rest.starts_with(['.', 'e', 'E'])).then(|| Shape::Literal(number.into()))
            }
            _ => match self.word()? {
                word @ ("true" | "false" | "null") => Some(Shape::Literal(word.into())),
                _ => None,
            },
        }
    }

    /// A path, whose first dot is at hand.
    fn path(&mut self) -> Option<Vec<Seg>> {
        let mut path = Vec::new();
        loop {
            let dot = self.take('.');
            let next = self.rest.chars().next();
            match next {
                Some('[') => path.push(self.bracket()?),
                Some('"') if dot => path.push(Seg::Field(self.string()?)),
                Some(c) if dot && (c.is_ascii_alphabetic() || c == '_') => {
                    path.push(Seg::Field(self.word()?.to_owned()));
                }
                // `.` alone is the document; `.a.` and `..` are not for here.
                _ if dot && !path.is_empty() => return None,
                Some('.') => return None,
                Some('?') => return None,
                _ => return Some(path),
            }
            if !self.rest.starts_with(['.', '[']) {
                return (!self.rest.starts_with('?')).then_some(path);
            }
        }
    }

    fn bracket(&mut self) -> Option<Seg> {
        self.take('[');
        self.space();
        let seg = if self.rest.starts_with('"') {
            Seg::Field(self.string()?)
        } else {
            let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '-')?;
            let (number, rest) = self.rest.split_at(end);
            self.rest = rest;
            Seg::Index(number.parse().ok()?)
        };
        self.space();
        self.take(']').then_some(seg)
    }

    fn object(&mut self, depth: usize) -> Option<Shape> {
        self.take('{');
        let mut members: Vec<(Vec<u8>, Shape)> = Vec::new();
        self.space();
        if self.take('}') {
            return Some(Shape::Object(members));
        }
        loop {
            self.space();
            let name = if self.rest.starts_with('"') { self.string()? } else { self.word()?.to_owned() };
            self.space();
            let value = if self.take(':') {
                self.pipe(depth + 1)?
            } else {
                Shape::Path(vec![Seg::Field(name.clone())])
            };
            let json = member_name(&name);
            if members.iter().any(|(known, _)| *known == json) {
                return None; // The last one wins, but the first may fail: for the engine.
            }
            members.push((json, value));
            self.space();
            if self.take('}') {
                return Some(Shape::Object(members));
            }
            if !self.take(',') {
                return None;
            }
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) || rest.starts_with("::") {
            return None;
        }
        self.rest = rest;
        Some(word)
    }

    /// A string without interpolation.
    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let inside = self.rest.strip_prefix('"')?;
        let end = inside.char_indices().find_map(|(i, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes.then_some(i)
        })?;
        let text = serde_json::from_str(&self.rest[..end + 2]).ok()?;
        self.rest = &inside[end + 1..];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(path: &[&str]) -> Vec<Seg> {
        path.iter().map(|name| Seg::Field((*name).to_owned())).collect()
    }

    #[test]
    fn paths() {
        for (source, expected) in [
            (".", &[][..]),
            (".a", &["a"]),
            (" .a.b_2 ", &["a", "b_2"]),
            (".\"b c\"", &["b c"]),
            (".[\"b c\"].d", &["b c", "d"]),
            (".a[\"x\\u0041\"]", &["a", "xA"]),
            (".a.\"b\"", &["a", "b"]),
            (".a | .b|.c.d", &["a", "b", "c", "d"]),
            (". | .and", &["and"]),
        ] {
            assert_eq!(path(source), Some(fields(expected)), "{source}");
        }
        let index = |i| Seg::Index(i);
        assert_eq!(path(".[0][ -2 ]"), Some(vec![index(0), index(-2)]));
        assert_eq!(path(".a.[1]"), Some(vec![Seg::Field("a".into()), index(1)]));
    }

    #[test]
    fn objects() {
        let of = |name: &str, shape| (format!("\"{name}\":").into_bytes(), shape);
        let at = |path: &[&str]| Shape::Path(fields(path));
        assert_eq!(
            shape(".data | {id, \"n\\n\": .name|.full, x: {y: .z, kind: \"v\", n: 0}}"),
            Some(Shape::Object(vec![
                of("id", at(&["data", "id"])),
                of("n\\n", at(&["data", "name", "full"])),
                of(
                    "x",
                    Shape::Object(vec![
                        of("y", at(&["data", "z"])),
                        of("kind", Shape::Literal(b"\"v\"".to_vec())),
                        of("n", Shape::Literal(b"0".to_vec())),
                    ])
                ),
            ]))
        );
    }

    #[test]
    fn everything_else_is_left_to_the_engine() {
        for source in [
            "",
            "..",
            ".a?",
            ".a[]",
            ".[]",
            ".a[1:2]",
            ".a.",
            ".a .b",
            ".a, .b",
            "1",
            "{}",
            "{a: 1}",
            ".a|1",
            ".a | {x: 1}",
            "{a: .x} | .a",
            "{(.a): 1}",
            "{$x}",
            "{a: .b, a: .c}",
            "{a: .b,}",
            ".\"\\(.a)\"",
            ".a + 1",
            "select(.a)",
            "(.a)",
            "{a: 01, b: .c}",
            "{a: 1.5, b: .c}",
            "{@base64: .a}",
            ".a[1.5]",
            ".a[-]",
            "{a .b}",
            ".a]",
            "$x",
            "true",
            ".a # c",
            "lib::f",
            "{a: lib::f}",
        ] {
            assert_eq!(shape(source), None, "{source}");
        }
    }
}
