//! Names of files that are safe wherever they are written: no way out of the destination, nothing a
//! common system reserves, not too long.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use crate::stores::PART_DIR;

/// Bytes of one component: file systems allow 255, and part files need some of them.
const COMPONENT: usize = 180;
/// Bytes of a whole path below the destination.
const PATH: usize = 1000;
/// Names that Windows gives to devices, whatever their extension.
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// A value as a part of a name: separators and what no name may hold become `_`.
pub(super) fn value(text: &str) -> Cow<'_, str> {
    let odd = |c: char| matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') || c.is_control();
    // What nearly all are made of is looked at byte by byte.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.bytes().all(is_plain) || !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if odd(c) { '_' } else { c }).collect()
}

/// A relative path with `/` between its components, each of them safe; never empty.
pub(super) fn safe(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 1);
    for part in path.split('/').filter(|p| !p.is_empty() && *p != ".") {
        if !out.is_empty() {
            out.push('/');
        }
        push_component(part, &mut out);
    }
    if out.is_empty() {
        out.push('_');
    }
    if out.split('/').next() == Some(PART_DIR) {
        out.insert(0, '_');
    }
    if out.len() > PATH {
        // Deeper than any path may be: the components give way to their hash.
        let name = out.rsplit('/').next().unwrap_or_default();
        out = format!("{:016x}/{name}", xxh3_64(path.as_bytes()));
    }
    out
}

fn push_component(text: &str, out: &mut String) {
    let value = value(text);
    let name = value.trim_end_matches([' ', '.']);
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let reserved = if RESERVED.iter().any(|r| r.eq_ignore_ascii_case(stem)) { "_" } else { "" };
    if name.is_empty() {
        out.push('_');
    } else if reserved.len() + name.len() > COMPONENT {
        out.push_str(&shorten(&format!("{reserved}{name}"), xxh3_64(text.as_bytes())));
    } else {
        out.push_str(reserved);
        out.push_str(name);
    }
}

/// Cuts the stem, keeps the extension, and adds a hash of the whole.
fn shorten(name: &str, hash: u64) -> String {
    let (stem, ext) = split_ext(name);
    let mut end = COMPONENT.saturating_sub(ext.len() + 9).min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{:08x}{ext}", &stem[..end], hash as u32)
}

/// The name that a file gets when another has its own: `a~1a2b3c4d.png`.
pub(super) fn other(path: &str, hash: u64) -> String {
    let (dir, name) = path.rsplit_once('/').map_or(("", path), |(dir, name)| (dir, name));
    let (stem, ext) = split_ext(name);
    let name = format!("{stem}~{:08x}{ext}", hash as u32);
    if dir.is_empty() { name } else { format!("{dir}/{name}") }
}

/// Stem and extension with its dot; an extension has at most 12 bytes.
fn split_ext(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= 13 => name.split_at(at),
        _ => (name, ""),
    }
}

/// What tells two paths apart on every system: case does not.
pub(super) fn hash(path: &str) -> u64 {
    if path.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return xxh3_64(path.as_bytes());
    }
    xxh3_64(path.to_lowercase().as_bytes())
}

/// The last segment of a URL's path, decoded; `None` when there is none.
pub(super) fn of_url(url: &str) -> Option<Cow<'_, str>> {
    let rest = url.split_once(':').and_then(|(_, rest)| rest.strip_prefix("//")).unwrap_or(url);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let (_, last) = path.rsplit_once('/')?;
    let decoded = match last.contains('%') {
        true => percent_encoding::percent_decode_str(last).decode_utf8_lossy(),
        false => Cow::Borrowed(last),
    };
    (!decoded.is_empty()).then_some(decoded)
}

/// The extension of a file name in lower case; empty when it has none that looks like one.
pub(super) fn ext_of(name: &str) -> String {
    let (_, ext) = split_ext(name);
    let ext = ext.trim_start_matches('.');
    if !ext.is_empty() && ext.bytes().all(|b| b.is_ascii_alphanumeric()) {
        ext.to_ascii_lowercase()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_destination() {
        for (text, name) in [
            ("a/b.png", "a/b.png"),
            ("../../etc/passwd", "_/_/etc/passwd"),
            ("/etc/passwd", "etc/passwd"),
            ("./a//b", "a/b"),
            ("..", "_"),
            ("", "_"),
            ("a\\..\\b", "a_.._b"),
            ("c:x\0\n\"<>|?*.png", "c_x________.png"),
            ("con.png", "_con.png"),
            ("COM7", "_COM7"),
            ("console.png", "console.png"),
            ("name. . .", "name"),
            (".haul-part/x", "_.haul-part/x"),
            ("größe/東京.mp4", "größe/東京.mp4"),
            (".hidden", ".hidden"),
        ] {
            assert_eq!(safe(text), name, "{text:?}");
        }
        assert_eq!(value("a/b\\c"), "a_b_c");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (a, b) = (format!("{}1.png", "ä".repeat(300)), format!("{}2.png", "ä".repeat(300)));
        assert!(safe(&a).len() <= COMPONENT && safe(&a).ends_with(".png"));
        assert_ne!(safe(&a), safe(&b));
        let deep = "d/".repeat(2000) + "x.png";
        assert!(safe(&deep).len() < PATH && safe(&deep).ends_with("/x.png"));
    }

    #[test]
    fn names_of_urls_and_other_names() {
        assert_eq!(of_url("http://h/a/b%20c.png?x=/y").as_deref(), Some("b c.png"));
        assert_eq!(of_url("http://h/"), None);
        assert_eq!(of_url("http://h"), None);
        assert_eq!(
            (ext_of("x.PNG"), ext_of("x"), ext_of(".png"), ext_of("a.b c")),
            ("png".into(), String::new(), String::new(), String::new())
        );
        assert_eq!(other("a/b.png", 0x12), "a/b~00000012.png");
        assert_eq!(hash("A/b.PNG"), hash("a/B.png"));
    }
}
