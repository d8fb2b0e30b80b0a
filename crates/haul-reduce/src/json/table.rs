//! Both validators against a table written by hand, and against serde_json on anything.

use proptest::prelude::*;

use super::fast::{Fast, Names, Span};
use super::simd::{Run, Simd, Words, with_best};
use super::stream::{Keep, Stream};

struct Check<'a> {
    line: &'a [u8],
    names: Names<2>,
}

impl Run for Check<'_> {
    type Out = Option<[Option<Vec<u8>>; 2]>;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Out {
        let mut fast = Fast::new(self.line, simd);
        let start = fast.blanks(0);
        if fast.byte(start) != b'{' {
            return None;
        }
        let mut found = [Span::default(); 2];
        let end = fast.object(start, &self.names, &mut found)?;
        let end = fast.blanks(end);
        (end == self.line.len() - 1).then(|| found.map(|s| s.of(self.line).map(<[u8]>::to_vec)))
    }
}

/// What the fast validator says of a record, by the best instruction set and by plain words.
fn by_fast(record: &[u8]) -> Option<[Option<Vec<u8>>; 2]> {
    let line: Vec<u8> = record.iter().copied().chain([b'\n']).collect();
    let check = || Check { line: &line, names: Names::new([b"id", b"by"]) };
    let best = with_best(check());
    assert_eq!(
        best,
        check().run(Words),
        "instruction sets disagree on {:?}",
        String::from_utf8_lossy(record)
    );
    best
}

/// What the slow validator says of a record that comes in pieces of `piece` bytes.
fn by_stream(record: &[u8], piece: usize) -> Option<[Option<Vec<u8>>; 2]> {
    let names = [b"id".as_slice().into(), b"by".as_slice().into()];
    let mut stream = Stream::new(&names, Keep::Record);
    for part in record.chunks(piece.max(1)) {
        stream.feed(part).ok()?;
    }
    stream.finish().ok()?;
    assert_eq!(stream.record(), record.trim_ascii());
    Some([stream.value(0).map(<[u8]>::to_vec), stream.value(1).map(<[u8]>::to_vec)])
}

/// What serde_json says: UTF-8 checked first, the grammar by its skipping visitor.
fn by_serde(record: &[u8]) -> bool {
    let is_object = record.trim_ascii_start().first() == Some(&b'{');
    let one_line = !record.contains(&b'\n');
    let text = std::str::from_utf8(record);
    let grammar = |t| serde_json::from_str::<serde::de::IgnoredAny>(t).is_ok();
    // Form feeds are no blanks in JSON, though `trim_ascii` takes them for some.
    is_object && one_line && text.is_ok_and(grammar)
}

fn all_agree(record: &[u8]) -> bool {
    let fast = by_fast(record);
    let shown = String::from_utf8_lossy(record);
    for piece in [1, 2, 3, 7, 64, usize::MAX] {
        assert_eq!(fast, by_stream(record, piece), "in pieces of {piece}: {shown}");
    }
    assert_eq!(fast.is_some(), by_serde(record), "against serde_json: {shown}");
    fast.is_some()
}

const GOOD: &[&str] = &[
    "{}",
    " {} ",
    "{\t}",
    "{ \r\t }",
    r#"{"a":1}"#,
    r#"{ "a" : 1 , "b" : 2 }"#,
    r#"{"":""}"#,
    r#"{"a":0}"#,
    r#"{"a":-0}"#,
    r#"{"a":0.0}"#,
    r#"{"a":-0.0e0}"#,
    r#"{"a":1e5}"#,
    r#"{"a":1E+5}"#,
    r#"{"a":1e-5}"#,
    r#"{"a":1.25e99999}"#,
    r#"{"a":0e0}"#,
    r#"{"a":10}"#,
    r#"{"a":1234567890123456789012345678901234567890}"#,
    r#"{"a":-9223372036854775809}"#,
    r#"{"a":0.00000000000000000000000000000000001}"#,
    r#"{"a":true,"b":false,"c":null}"#,
    r#"{"a":[]}"#,
    r#"{"a":[ ]}"#,
    r#"{"a":{}}"#,
    r#"{"a":[[],[{}],{"b":[]}]}"#,
    r#"{"a":[1,2,3]}"#,
    r#"{"a":[ 1 , "x" , true , null , {"y":[]} ]}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"a":"\"\\\/\b\f\n\r\t"}"#,
    r#"{"a":"\u0000"}"#,
    r#"{"a":"\uD83D\uDE00"}"#,
    r#"{"a":"\ud800"}"#,
    r#"{"a":"\udc00\ud800"}"#,
    r#"{"\ud800":1}"#,
    r#"{"\u0069d":7}"#,
    r#"{"a":"\uaBcD"}"#,
    "{\"a\":\"\u{7f}\"}",
    r#"{"a":"é"}"#,
    r#"{"é":"日本語"}"#,
    "{\"a\":\"\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\"}",
    "{\"a\":\"\u{feff}\u{2028}\u{2029}\"}",
    r#"{"a":"//"}"#,
    r#"{"a":"{}[],:"}"#,
    r#"{"a":{"id":1},"id":2}"#,
    r#"{"id":null}"#,
    r#"{"id":{"a":[1, 2]},"by":"x"}"#,
];

const BAD: &[&[u8]] = &[
    b"",
    b" ",
    b"1",
    b"\"a\"",
    b"[]",
    b"[{}]",
    b"null",
    b"{",
    b"}",
    b"{]",
    b"{}}",
    b"{}{}",
    b"{} x",
    b"{},",
    b"{,}",
    b"{\"a\"}",
    b"{\"a\":}",
    b"{\"a\":1,}",
    b"{\"a\":1 \"b\":2}",
    b"{\"a\" 1}",
    b"{\"a\"::1}",
    b"{a:1}",
    b"{'a':1}",
    b"{1:1}",
    b"{\"a\":1,,\"b\":2}",
    b"{\"a\":01}",
    b"{\"a\":-01}",
    b"{\"a\":00}",
    b"{\"a\":+1}",
    b"{\"a\":-}",
    b"{\"a\":.5}",
    b"{\"a\":1.}",
    b"{\"a\":1.e5}",
    b"{\"a\":1e}",
    b"{\"a\":1e+}",
    b"{\"a\":1e5.5}",
    b"{\"a\":0x10}",
    b"{\"a\":1_000}",
    b"{\"a\":NaN}",
    b"{\"a\":Infinity}",
    b"{\"a\":-Infinity}",
    b"{\"a\":True}",
    b"{\"a\":tru}",
    b"{\"a\":truex}",
    b"{\"a\":nul}",
    b"{\"a\":nulll}",
    b"{\"a\":fals}",
    b"{\"a\":falsee}",
    b"{\"a\":undefined}",
    b"{\"a\":[}",
    b"{\"a\":[1,]}",
    b"{\"a\":[,1]}",
    b"{\"a\":[1 2]}",
    b"{\"a\":[1}}",
    b"{\"a\":{]}",
    b"{\"a\":[{]}]}",
    b"{\"a\":{\"b\"}}",
    b"{\"a\":{\"b\":}}",
    b"{\"a\":{,}}",
    b"{\"a\":[1:2]}",
    b"{\"a\":[\"b\":2]}",
    b"{\"a\":\"}",
    b"{\"a\":\"b}",
    b"{\"a\":\"\\\"}",
    b"{\"a\":\"\\x41\"}",
    b"{\"a\":\"\\u12\"}",
    b"{\"a\":\"\\u12g4\"}",
    b"{\"a\":\"\\u{41}\"}",
    b"{\"a\":\"\\U0041\"}",
    b"{\"a\":\"\\'\"}",
    b"{\"a\":\"\\u\"}",
    b"{\"a\":\"\\",
    b"{\"a\":\"\t\"}",
    b"{\"a\":\"\x00\"}",
    b"{\"a\":\"\x1f\"}",
    b"{\"a\":\"\r\"}",
    b"{\"\x01\":1}",
    b"{\"a\":1\x00}",
    b"\x00{}",
    b"{\"a\":1}\x0c",
    b"{\x0b\"a\":1}",
    b"{\"a\":\xc2\xa01}",
    b"\xef\xbb\xbf{}",
    b"{\"a\":\"\x80\"}",
    b"{\"a\":\"\xbf\"}",
    b"{\"a\":\"\xc0\x80\"}",
    b"{\"a\":\"\xc1\xbf\"}",
    b"{\"a\":\"\xc2\"}",
    b"{\"a\":\"\xe0\x80\x80\"}",
    b"{\"a\":\"\xe0\x9f\xbf\"}",
    b"{\"a\":\"\xe2\x82\"}",
    b"{\"a\":\"\xed\xa0\x80\"}",
    b"{\"a\":\"\xed\xbf\xbf\"}",
    b"{\"a\":\"\xf0\x80\x80\x80\"}",
    b"{\"a\":\"\xf0\x8f\xbf\xbf\"}",
    b"{\"a\":\"\xf4\x90\x80\x80\"}",
    b"{\"a\":\"\xf5\x80\x80\x80\"}",
    b"{\"a\":\"\xf0\x9f\x98\"}",
    b"{\"a\":\"\xff\"}",
    b"{\"a\":\"\xfe\xff\"}",
    b"{\"\xe9\":1}",
    b"{\"a\":1}//",
    b"{/**/}",
    b"{\"a\":\"x\"\"y\"}",
];

#[test]
fn the_table_is_judged_as_written() {
    assert!(GOOD.len() + BAD.len() >= 80);
    for good in GOOD {
        assert!(all_agree(good.as_bytes()), "refused: {good}");
    }
    for bad in BAD {
        assert!(!all_agree(bad), "taken: {:?}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn what_is_bad_is_bad_at_every_distance_from_the_start() {
    // Moves each entry over the edges of the 64-byte blocks.
    for pad in 0..130 {
        for (text, good) in GOOD.iter().map(|g| (g.as_bytes(), true)).chain(BAD.iter().map(|b| (*b, false))) {
            let Some(inner) = text.strip_prefix(b"{") else { continue };
            let mut line = format!("{{\"{}\":[1],", "p".repeat(pad)).into_bytes();
            if inner.trim_ascii_start().first().is_some_and(|b| *b == b'}') {
                line.pop();
            }
            line.extend_from_slice(inner);
            let fast = by_fast(&line).is_some();
            assert_eq!(fast, by_serde(&line), "{:?}", String::from_utf8_lossy(&line));
            assert!(!good || fast);
        }
    }
}

#[test]
fn depth_is_no_limit() {
    for depth in [1, 2, 63, 64, 65, 127, 128, 129, 1000, 100_000] {
        let line = format!("{{\"id\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(by_fast(line.as_bytes()).is_some(), "depth {depth}");
        assert!(by_stream(line.as_bytes(), 999).is_some(), "depth {depth}");
        let mixed = format!("{{\"id\":{}1{}}}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
        assert!(by_fast(mixed.as_bytes()).is_some() && by_stream(mixed.as_bytes(), 64).is_some());
        for place in [mixed.len() - 1 - depth, mixed.len() - 2] {
            let mut broken = mixed.clone().into_bytes();
            broken[place] = if broken[place] == b'}' { b']' } else { b'}' };
            assert!(
                by_fast(&broken).is_none() && by_stream(&broken, 64).is_none(),
                "depth {depth} at {place}"
            );
        }
    }
}

#[test]
fn the_last_of_equal_keys_counts_and_nested_ones_do_not() {
    let values =
        |line: &str| by_fast(line.as_bytes()).map(|f| f.map(|v| v.map(|v| String::from_utf8(v).unwrap())));
    let found = |id: Option<&str>, by: Option<&str>| Some([id.map(str::to_owned), by.map(str::to_owned)]);
    assert_eq!(values(r#"{"id":1,"by":[1 , 2] ,"id": "x" }"#), found(Some("\"x\""), Some("[1 , 2]")));
    assert_eq!(values(r#"{"a":{"id":1},"by":{"id":2}}"#), found(None, Some("{\"id\":2}")));
    assert_eq!(values(r#"{"\u0069\u0064":7,"\u0062y":null}"#), found(Some("7"), Some("null")));
    assert_eq!(values(r#"{"id\u0000":7,"idx":1,"i":2,"\u0069\u0064x":3}"#), found(None, None));
    all_agree(br#"{"id":1,"id":{"a":" ] "} , "by" : -1.5e3 }"#);
    all_agree(br#"{"\u0069\u0064xxxxxxxxxxxxxxxxxxxxxxxxx":3}"#);
}

/// Mostly-valid JSON text, from a grammar.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
        "[a-zé日\\\\\"/ ]{0,80}".prop_map(|s| serde_json::to_string(&s).unwrap()),
        Just(r#""\ud800\u0041""#.to_owned()),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let key = prop_oneof!["id", "by", "[a-c\\u{e9}]{0,3}", "\\\\u006[0-9a-f]d"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| format!("[{}]", v.join(" ,"))),
            prop::collection::vec((key, inner), 0..5).prop_map(|v| {
                let members: Vec<String> = v.iter().map(|(k, v)| format!("\"{k}\": {v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn random_documents_are_judged_alike(v in value(), w in value()) {
        all_agree(v.as_bytes());
        let wrapped = format!("{{\"id\":{v},\"by\":{w}}}");
        prop_assert!(all_agree(wrapped.as_bytes()));
    }

    #[test]
    fn damaged_documents_are_judged_alike(
        v in value(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..4),
    ) {
        let mut line = format!("{{\"id\":{v}}}").into_bytes();
        for (at, byte, how) in damage {
            let at = at.index(line.len());
            let byte = if byte % 2 == 0 { b"{}[]:,\"\\tfn019.eE+- \xe9\xa0\x1f"[usize::from(byte / 2) % 23] } else { byte };
            match how {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                _ => { line.remove(at); }
            }
            if line.is_empty() {
                return Ok(());
            }
        }
        all_agree(&line);
    }
}
