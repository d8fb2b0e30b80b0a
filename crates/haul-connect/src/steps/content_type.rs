//! What an object is, where nobody says it: by its first bytes, else by its name.

use haul_core::Key;

/// Types that first bytes do not tell.
const BY_NAME: [(&str, &str); 14] = [
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("svg", "image/svg+xml"),
    ("toml", "application/toml"),
    ("txt", "text/plain"),
    ("xml", "text/xml"),
    ("yaml", "application/yaml"),
];

/// The value of a `Content-Type`; `None`: nobody knows.
pub(super) fn content_type(key: &Key, first: &[u8]) -> Option<&'static str> {
    if let Some(kind) = infer::get(first) {
        return Some(kind.mime_type());
    }
    let at = key.0.iter().rposition(|b| *b == b'.')?;
    let ext = std::str::from_utf8(&key.0[at + 1..]).ok()?;
    BY_NAME.iter().find(|(known, _)| known.eq_ignore_ascii_case(ext)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_say_more_than_names() {
        let of = |key: &str, first: &[u8]| content_type(&key.to_owned().into(), first);
        assert_eq!(of("a.txt", b"\x89PNG\r\n\x1a\n"), Some("image/png"));
        assert_eq!(of("a/B.JSON", b"{}"), Some("application/json"));
        assert_eq!((of("a", b"x"), of("a.", b"x"), of("a.b/c", b"x")), (None, None, None));
    }
}
