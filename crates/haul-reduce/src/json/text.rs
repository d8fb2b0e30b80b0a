//! JSON strings as bytes: decoded to UTF-8 (lone surrogates as WTF-8), and written again.

/// Appends the decoded form of the inside of a valid JSON string. Lone surrogate escapes, which are
/// well-formed JSON but no Unicode text, come out as the three bytes WTF-8 gives them, so that two
/// strings are equal exactly when their decoded forms are.
pub(crate) fn decode(inside: &[u8], out: &mut Vec<u8>) {
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let letter = escape.get(1).copied().unwrap_or(b'\\');
        let mut used = 2;
        match letter {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                used = 6;
                let mut code = unit(escape);
                let pair = escape.get(6..).filter(|e| e.starts_with(b"\\u")).map(unit);
                if let (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) = (code, pair) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    used = 12;
                }
                push_code(code, out);
            }
            other => out.push(other),
        }
        rest = escape.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// The 16 bits of `\uXXXX` at the start of `escape`.
fn unit(escape: &[u8]) -> u32 {
    let digits = escape.get(2..6).unwrap_or_default();
    digits.iter().fold(0, |n, d| n << 4 | char::from(*d).to_digit(16).unwrap_or(0))
}

/// Appends a code point, surrogates included. A low surrogate that follows a high one is joined by
/// the caller, so the result has one form.
fn push_code(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend_from_slice(&[
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

/// Appends decoded text as a JSON string with its quotes; lone surrogates as escapes.
pub(crate) fn encode(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut i = 0;
    while let Some(&b) = text.get(i) {
        i += 1;
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
            }
            // WTF-8: a surrogate is ED A0..BF xx, which UTF-8 never holds.
            0xed if text.get(i).is_some_and(|second| *second >= 0xa0) => {
                let tail = text.get(i..i + 2).unwrap_or(&[0xa0, 0x80]);
                let code = 0xd000 | u32::from(tail[0] & 0x3f) << 6 | u32::from(tail[1] & 0x3f);
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(HEX[(code >> shift & 15) as usize]);
                }
                i += 2;
            }
            _ => out.push(b),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(inside: &str) -> Vec<u8> {
        let mut out = Vec::new();
        decode(inside.as_bytes(), &mut out);
        out
    }

    fn round(inside: &str) -> String {
        let mut out = Vec::new();
        encode(&decoded(inside), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn equal_strings_have_one_decoded_form() {
        assert_eq!(decoded(r"\u0069\u0064"), b"id");
        assert_eq!(decoded(r#"\"\\\/\b\f\n\r\t"#), b"\"\\/\x08\x0c\n\r\t");
        assert_eq!(decoded(r"\ud83d\ude00"), "😀".as_bytes());
        assert_eq!(decoded(r"\u00E9"), "é".as_bytes());
        assert_ne!(decoded(r"\ud800"), decoded(r"\ud801"));
    }

    #[test]
    fn what_is_decoded_is_written_again_as_the_same_string() {
        assert_eq!(round(r"a\u0001\tb"), r#""a\u0001\tb""#);
        assert_eq!(round(r"\ud800x\udfff"), r#""\ud800x\udfff""#);
        assert_eq!(round(r"\ude00\ud83d"), r#""\ude00\ud83d""#);
        assert_eq!(round("é\u{ffff}퟿"), "\"é\u{ffff}퟿\"");
    }
}
