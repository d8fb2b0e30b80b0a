//! The members of a JSON object as they stand, without reading their values.
//!
//! Enough to take a posted document apart by bytes. Values are delimited, not validated: what they
//! hold is compared with what was served.

/// Calls `each` with the name (between its quotes, as written) and the value of every member of the
/// object that `text` is. `None` when it is not one; members before the fault were already given.
pub(crate) fn members<'a>(text: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut at = space(text, 0);
    if text.get(at) != Some(&b'{') {
        return None;
    }
    at = space(text, at + 1);
    if text.get(at) == Some(&b'}') {
        return end(text, at + 1);
    }
    loop {
        let name_end = string(text, at)?;
        let name = text.get(at + 1..name_end - 1)?;
        at = space(text, name_end);
        if text.get(at) != Some(&b':') {
            return None;
        }
        at = space(text, at + 1);
        let value_end = value(text, at)?;
        each(name, text.get(at..value_end)?);
        at = space(text, value_end);
        match text.get(at)? {
            b',' => at = space(text, at + 1),
            b'}' => return end(text, at + 1),
            _ => return None,
        }
    }
}

/// Calls `each` with every element of the list that `text` is; `None` when it is not one.
pub(crate) fn elements<'a>(text: &'a [u8], mut each: impl FnMut(&'a [u8])) -> Option<()> {
    let mut at = space(text, 0);
    if text.get(at) != Some(&b'[') {
        return None;
    }
    at = space(text, at + 1);
    if text.get(at) == Some(&b']') {
        return end(text, at + 1);
    }
    loop {
        let value_end = value(text, at)?;
        each(text.get(at..value_end)?);
        at = space(text, value_end);
        match text.get(at)? {
            b',' => at = space(text, at + 1),
            b']' => return end(text, at + 1),
            _ => return None,
        }
    }
}

fn end(text: &[u8], at: usize) -> Option<()> {
    (space(text, at) == text.len()).then_some(())
}

fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The end of the string that starts at `at`.
fn string(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut i = at + 1;
    loop {
        match text.get(i)? {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

/// The end of the value that starts at `at`.
fn value(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string(text, at),
        b'{' | b'[' => nested(text, at),
        b',' | b':' | b'}' | b']' => None,
        _ => {
            let rest = text.get(at..)?;
            let len =
                rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))?;
            Some(at + len)
        }
    }
}

fn nested(text: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut i = at;
    loop {
        match text.get(i)? {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            b'"' => {
                i = string(text, i)?;
                continue;
            }
            _ => {}
        }
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        let own = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        members(text.as_bytes(), |name, value| found.push((own(name), own(value))))?;
        Some(found)
    }

    #[test]
    fn values_come_as_they_were_written() {
        let found = all(r#" { "a" : 1.0e2 , "b\"":"x\\\"}", "c":{"d":["}",{}]} ,"e":null}  "#).unwrap();
        let want = [("a", "1.0e2"), ("b\\\"", r#""x\\\"}""#), ("c", r#"{"d":["}",{}]}"#), ("e", "null")];
        assert_eq!(found, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(all("{}").unwrap(), []);
    }

    #[test]
    fn elements_come_as_they_were_written() {
        let mut found = Vec::new();
        elements(br#" [ {"a":["]"]}, 1.0 ,"x" ] "#, |e| found.push(e)).unwrap();
        assert_eq!(found, [&br#"{"a":["]"]}"#[..], b"1.0", b"\"x\""]);
        assert!(elements(b"[]", |_| ()).is_some());
        for text in ["", "{}", "[", "[1", "[1,]", "[1] x"] {
            assert!(elements(text.as_bytes(), |_| ()).is_none(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "[]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":1} x",
            "{\"a\":\"",
            "{\"a\":[}",
        ] {
            assert_eq!(all(text), None, "{text}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        let seed = br#"{"a":{"b":["c\"",1,{}]},"d":"\u00e9\\"}"#;
        for n in 0..20_000_u64 {
            let bits = crate::mix::mix(n);
            let mut text = seed.to_vec();
            text[bits as usize % seed.len()] = b"{}[]\"\\:, 1"[(bits >> 32) as usize % 10];
            text.truncate(seed.len() - (bits >> 40) as usize % 30);
            let mut total = 0;
            members(&text, |name, value| total += name.len() + value.len());
            assert!(total < text.len());
        }
    }
}
