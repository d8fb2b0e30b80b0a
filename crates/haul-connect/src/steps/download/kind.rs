//! What a file is, from its first bytes, and whether that is what it should be.
//!
//! `infer` knows the magic numbers; rules of our own come first for what it does not know: `ftyp` brands
//! of any age, Parquet, and the pages that services send instead of files (HTML, XML, JSON).

/// Bytes looked at; more are not needed for any type.
pub(crate) const LOOKED_AT: usize = 512;

/// What first bytes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A type, by its usual extension.
    Type(&'static str),
    /// Text of one of the kinds that error pages have: `html`, `xml`, `json`.
    Page(&'static str),
    /// Nothing that is known.
    Unknown,
}

/// What a mismatch is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mismatch {
    /// A page instead of a file: the service may be better next time.
    Page(&'static str),
    /// Another type.
    Type(&'static str),
    /// Not the type that was expected; what it is nobody knows.
    Unknown,
}

/// Types that are text: anything but a page or a known binary type will do.
const TEXT: &[&str] =
    &["txt", "csv", "tsv", "md", "log", "jsonl", "ndjson", "yaml", "yml", "toml", "srt", "vtt"];

/// One name for all names of a type, and of those that are containers of the same kind.
fn canonical(ext: &str) -> &str {
    match ext {
        "jpeg" | "jpe" => "jpg",
        "htm" | "xhtml" => "html",
        "tiff" => "tif",
        "m4v" | "mov" | "qt" | "3gp" | "3g2" | "m4a" | "m4b" | "f4v" => "mp4",
        "heif" => "heic",
        "tgz" => "gz",
        "tbz2" => "bz2",
        "txz" => "xz",
        "oga" | "ogv" | "opus" => "ogg",
        "mid" => "midi",
        "aif" => "aiff",
        "mpeg" => "mpg",
        "geojson" => "json",
        "svg" | "rss" | "atom" => "xml",
        "webm" => "mkv",
        "docx" | "xlsx" | "pptx" | "odt" | "ods" | "odp" | "epub" | "jar" | "apk" | "war" | "kmz"
        | "usdz" | "whl" => "zip",
        other => other,
    }
}

/// Looks at the first bytes of a file; `head` holds [`LOOKED_AT`] of them, or all.
pub(crate) fn look(head: &[u8]) -> Found {
    if head.get(4..8) == Some(b"ftyp") {
        return Found::Type(match head.get(8..12) {
            Some(b"avif" | b"avis") => "avif",
            Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => "heic",
            Some(b"crx ") => "cr3",
            _ => "mp4",
        });
    }
    if head.starts_with(b"PAR1") {
        return Found::Type("parquet");
    }
    if let Some(page) = page(head) {
        return Found::Page(page);
    }
    match infer::get(head) {
        Some(found) => Found::Type(found.extension()),
        None if is_mpeg_audio(head) => Found::Type("mp3"),
        None => Found::Unknown,
    }
}

/// A frame header of MPEG-1, 2 or 2.5 layer III (ISO 11172-3 §2.4.1.3): `infer` knows only one of them.
fn is_mpeg_audio(head: &[u8]) -> bool {
    let [0xff, kind, rates, ..] = head else { return false };
    kind & 0xe6 == 0xe2 && kind & 0x18 != 0x08 && rates >> 4 != 15 && rates & 0x0c != 0x0c
}

/// The kind of page that text begins like.
fn page(head: &[u8]) -> Option<&'static str> {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match text {
        [b'{', rest @ ..] => {
            let next = rest.trim_ascii_start().first();
            matches!(next, Some(b'"' | b'}')).then_some("json")
        }
        [b'[', rest @ ..] => {
            let next = rest.trim_ascii_start().first();
            matches!(next, Some(b'{' | b'[' | b']' | b'"' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n'))
                .then_some("json")
        }
        [b'<', rest @ ..] => {
            let lower = rest[..rest.len().min(256)].to_ascii_lowercase();
            let is = |word: &[u8]| lower.starts_with(word);
            let html = [
                &b"!doctype html"[..],
                b"html",
                b"head",
                b"body",
                b"title",
                b"script",
                b"meta",
                b"h1",
                b"p>",
            ];
            if html.iter().any(|w| is(w)) {
                return Some("html");
            }
            let within = |word: &[u8]| lower.windows(word.len()).any(|w| w == word);
            let xml = is(b"?xml")
                || is(b"!--")
                || is(b"!doctype")
                || lower.first().is_some_and(u8::is_ascii_alphabetic);
            match (xml, within(b"<html")) {
                (true, true) => Some("html"),
                (true, false) => Some("xml"),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a file is what its extension (in lower case, empty for none) says. An extension that
/// nobody knows is only held against being a page.
pub(crate) fn check(expected: &str, found: Found) -> Result<(), Mismatch> {
    if expected.is_empty() {
        return Ok(());
    }
    let wanted = canonical(expected);
    match found {
        Found::Page(page) if wanted == page => Ok(()),
        // JSON in a file of text is text.
        Found::Page("json") if TEXT.contains(&wanted) => Ok(()),
        Found::Page(page) => Err(Mismatch::Page(page)),
        Found::Type(found) if canonical(found) == wanted => Ok(()),
        Found::Type(found) if TEXT.contains(&wanted) || is_known(wanted) => Err(Mismatch::Type(found)),
        Found::Unknown if is_known(wanted) && !matches!(wanted, "json" | "xml" | "html") => {
            Err(Mismatch::Unknown)
        }
        Found::Type(_) | Found::Unknown => Ok(()),
    }
}

/// True for types whose files are recognised.
pub(crate) fn is_known(ext: &str) -> bool {
    let ext = canonical(ext);
    matches!(ext, "mp4" | "parquet" | "html" | "xml" | "json" | "zip" | "mkv") || ALWAYS.contains(&ext)
}

/// Types that always begin with their magic number: not finding it is a mismatch.
const ALWAYS: &[&str] = &[
    "jpg", "png", "gif", "webp", "avif", "heic", "bmp", "tif", "jxl", "psd", "mkv", "avi", "flv", "mp3",
    "ogg", "flac", "wav", "pdf", "gz", "bz2", "xz", "zst", "7z", "rar", "woff", "woff2", "ttf", "otf",
    "sqlite", "wasm",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_files() {
        for (head, found) in [
            (&b" \n<!DOCTYPE HTML><html>"[..], Found::Page("html")),
            (b"<html lang=\"en\">", Found::Page("html")),
            (b"\xef\xbb\xbf<?xml version=\"1.0\"?><Error><Code>", Found::Page("xml")),
            (b"<?xml version=\"1.0\"?><!DOCTYPE x><html xmlns", Found::Page("html")),
            (b"<Error><Code>NoSuchKey", Found::Page("xml")),
            (b"{\"error\": \"x\"}", Found::Page("json")),
            (b"[{\"a\"", Found::Page("json")),
            (b"{not json", Found::Unknown),
            (b"\x00\x00\x00\x18ftypdash\x00", Found::Type("mp4")),
            (b"\x00\x00\x00\x18ftypzzzz\x00", Found::Type("mp4")),
            (b"\x00\x00\x00\x1cftypavif", Found::Type("avif")),
            (b"PAR1\x15\x04", Found::Type("parquet")),
            (b"\x89PNG\r\n\x1a\n", Found::Type("png")),
            (b"", Found::Unknown),
        ] {
            assert_eq!(look(head), found, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn what_is_expected_decides() {
        let png = Found::Type("png");
        assert_eq!(check("png", png), Ok(()));
        assert_eq!(check("jpeg", Found::Type("jpg")), Ok(()));
        assert_eq!(check("mov", Found::Type("mp4")), Ok(()));
        assert_eq!(check("docx", Found::Type("zip")), Ok(()));
        assert_eq!(check("mp4", png), Err(Mismatch::Type("png")));
        assert_eq!(check("mp4", Found::Page("html")), Err(Mismatch::Page("html")));
        assert_eq!(check("mp4", Found::Unknown), Err(Mismatch::Unknown));
        assert_eq!(check("", Found::Page("html")), Ok(()));
        assert_eq!(check("dat", Found::Page("html")), Err(Mismatch::Page("html")));
        assert_eq!(check("dat", png), Ok(()));
        assert_eq!(check("html", Found::Page("html")), Ok(()));
        assert_eq!(check("json", Found::Unknown), Ok(()), "a number alone is JSON as well");
        assert_eq!(check("csv", png), Err(Mismatch::Type("png")));
        assert_eq!(check("csv", Found::Unknown), Ok(()));
        assert_eq!(check("txt", Found::Page("json")), Ok(()));
    }

    /// Files made by real tools: `tests/corpus/make.sh`.
    #[test]
    fn real_files_are_what_their_extension_says_and_nothing_else() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
        let mut seen = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            let ext = path.extension().unwrap().to_str().unwrap();
            if ext == "sh" {
                continue;
            }
            seen += 1;
            let bytes = std::fs::read(&path).unwrap();
            let found = look(&bytes[..bytes.len().min(LOOKED_AT)]);
            let name = path.display();
            assert_eq!(check(ext, found), Ok(()), "{name} is {found:?}");
            assert!(found != Found::Unknown || TEXT.contains(&ext), "{name} is not known");
            for other in ["png", "mp4", "pdf", "jpg", "webm", "zip", "parquet", "mp3"] {
                let same = canonical(other) == canonical(ext);
                assert_eq!(check(other, found).is_ok(), same, "{name} as {other}: {found:?}");
            }
        }
        assert!(seen >= 45, "{seen} files");
    }
}
