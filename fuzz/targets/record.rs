//! Any bytes as a record: both validators must say what serde_json says, and find the same values.

#![no_main]

use std::fmt;

use haul_reduce::fuzz;
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

fuzz_target!(|record: &[u8]| {
    let fast = fuzz::fast(record);
    assert_eq!(fast, fuzz::portable(record), "the instruction sets disagree");
    let piece = record.first().map_or(1, |b| usize::from(*b % 67) + 1);
    for piece in [1, piece, usize::MAX] {
        assert_eq!(fast, fuzz::stream(record, piece), "the two validators disagree (pieces of {piece})");
    }
    assert_eq!(fast.is_some(), is_valid(record), "serde_json disagrees");
    if let (Some(found), Some(expected)) = (fast, values(record)) {
        assert_eq!(found, expected, "serde_json finds other values");
    }
});

/// UTF-8 first, then the grammar by the visitor that skips values.
fn is_valid(record: &[u8]) -> bool {
    let object = record.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r')) == Some(&b'{');
    let one_line = !record.contains(&b'\n');
    let grammar = |text| serde_json::from_str::<IgnoredAny>(text).is_ok();
    object && one_line && std::str::from_utf8(record).is_ok_and(grammar)
}

/// The last `id` and `by`; `None` when serde_json refuses a key (a lone surrogate is no Rust string).
fn values(record: &[u8]) -> Option<[Option<Vec<u8>>; 2]> {
    let text = std::str::from_utf8(record).ok()?;
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Members).ok()
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = [Option<Vec<u8>>; 2];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None, None];
        while let Some(key) = map.next_key::<String>()? {
            let value: Box<RawValue> = map.next_value()?;
            match key.as_str() {
                "id" => found[0] = Some(value.get().as_bytes().to_vec()),
                "by" => found[1] = Some(value.get().as_bytes().to_vec()),
                _ => {}
            }
        }
        Ok(found)
    }
}
