//! Says why a record was refused.

use super::stream::{Flaw, Keep, Stream};

/// The reason why `record`, the rest of a line, is not one JSON object; `column` is the 0-based
/// place of its first byte in the line.
pub(crate) fn explain(record: &[u8], column: usize) -> String {
    let mut stream = Stream::new(&[], Keep::Values);
    match stream.feed(record).and_then(|()| stream.finish()) {
        Err(flaw) => describe(&flaw, column as u64),
        // The two validators agree on everything known; if ever not, the stricter one stands.
        Ok(()) => "not a well-formed JSON object".to_owned(),
    }
}

/// A flaw of an object whose first byte is at `column`, in words.
pub(crate) fn describe(flaw: &Flaw, column: u64) -> String {
    let found = match flaw.found {
        None => "the end of the line".to_owned(),
        Some(b @ b'!'..=b'~') => format!("{:?}", char::from(b)),
        Some(b' ') => "a space".to_owned(),
        Some(b) => format!("byte 0x{b:02x}"),
    };
    format!("column {}: expected {}, found {found}", flaw.at + column + 1, flaw.expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_the_place_and_what_was_expected() {
        let reason = |line: &str| explain(line.as_bytes(), 3);
        assert_eq!(reason("{\"a\":1"), "column 10: expected ',' or '}', found the end of the line");
        assert_eq!(reason("{\"a\":[1x"), "column 11: expected ',' or ']', found 'x'");
        assert_eq!(reason("{\"a\":01}"), "column 10: expected no digit after a leading zero, found '1'");
        assert_eq!(reason("[1]"), "column 4: expected an object, found '['");
        assert_eq!(reason("{} {}"), "column 7: expected the end of the line after the object, found '{'");
        assert!(reason("{\"a\":\"\t\"}").ends_with("found byte 0x09"));
        assert!(explain(b"{\"a\":\"\xff\"}", 0).contains("valid UTF-8"));
    }
}
