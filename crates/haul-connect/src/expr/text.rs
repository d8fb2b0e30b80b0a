//! Decodes JSON strings.

/// Decodes the inside of a valid JSON string (without its quotes). A lone surrogate becomes the
/// three bytes that its code point would have, which are not UTF-8 and so equal no text.
pub(crate) fn unescape(inside: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(next) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..next]);
        let kind = rest.get(next + 1).copied().unwrap_or(b'\\');
        rest = rest.get(next + 2..).unwrap_or_default();
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut code = hex4(rest).unwrap_or(0xfffd);
                rest = rest.get(4..).unwrap_or_default();
                if let (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) = (code, low_half(rest)) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    rest = &rest[6..];
                }
                push_code(code, &mut out);
            }
            other => out.push(other),
        }
    }
    out.extend_from_slice(rest);
    out
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

fn low_half(text: &[u8]) -> Option<u32> {
    hex4(text.strip_prefix(b"\\u")?)
}

fn push_code(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let part = |shift: u32, high: u32| (high | ((code >> shift) & 0x3f)) as u8;
            out.extend_from_slice(&[(0xe0 | (code >> 12)) as u8, part(6, 0x80), part(0, 0x80)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_decode_to_text_and_lone_halves_to_what_no_text_equals() {
        assert_eq!(unescape(br"a\u0069\n\/\\\u00e9"), "ai\n/\\é".as_bytes());
        assert_eq!(unescape(br"\ud83d\ude00"), "😀".as_bytes());
        assert_eq!(unescape(br"\ud83d\u0041"), b"\xed\xa0\xbdA");
        assert_eq!(unescape(br"\ude00x"), b"\xed\xb8\x80x");
    }

    proptest! {
        #[test]
        fn strings_of_any_text_survive(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescape(&json.as_bytes()[1..json.len() - 1]), text.as_bytes());
        }
    }
}
