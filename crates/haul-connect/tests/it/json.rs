//! The validation of JSON, held against serde_json.

use haul_connect::expr::validate;
use proptest::prelude::*;

/// Bytes that are often JSON, and often just not.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u0041\"",
        "\"\\n\"",
        "\"",
        "\\",
        "0",
        "1",
        "-",
        ".",
        "e",
        "E+5",
        "true",
        "null",
        "fals",
        " ",
        "\n",
        "\u{1}",
        "é",
        "\"\u{7f}é\"",
        "12.50",
        "{\"k\":",
        "[1,2]",
        "{}",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|t| t.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn agrees_with_serde_json(text in nearly_json()) {
        let theirs = std::str::from_utf8(&text).ok()
            .and_then(|t| serde_json::from_str::<serde_json::Value>(t).ok());
        prop_assert_eq!(validate(&text).is_ok(), theirs.is_some(), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_documents(
        depth in 0usize..4, at in 0usize..200, byte in any::<u8>(), seed in any::<u64>()
    ) {
        let mut text = document(depth, seed).into_bytes();
        prop_assert_eq!(validate(&text), Ok(()));
        let at = at % text.len();
        text[at] = byte;
        let theirs = std::str::from_utf8(&text).ok()
            .and_then(|t| serde_json::from_str::<serde_json::Value>(t).ok());
        prop_assert_eq!(validate(&text).is_ok(), theirs.is_some(), "{}", String::from_utf8_lossy(&text));
    }
}

fn document(depth: usize, seed: u64) -> String {
    if depth == 0 {
        return ["1.5e3", "\"some text of length\"", "null", "-12", "[]", "\"\\u00e9\\n\""]
            [(seed % 6) as usize]
            .to_owned();
    }
    let (a, b) = (document(depth - 1, seed / 6), document(depth - 1, seed / 13));
    if seed.is_multiple_of(2) { format!("{{\"key\": {a}, \"é\":{b} }}") } else { format!("[{a},{b}]") }
}
