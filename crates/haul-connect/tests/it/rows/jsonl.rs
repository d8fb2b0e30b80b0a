//! JSON Lines, and lines that are too long.

use super::*;

#[test]
fn json_lines_are_validated_completely_and_kept_as_written() {
    let text = b"\xef\xbb\xbf{\"id\": 1.0e5 , \"s\":\"\\ud800\"}\r\n\n  {\"b\":[]}  \n \r\n{\"c\":1}";
    assert_eq!(
        bodies(rows(jsonl, text)),
        ["1 {\"id\": 1.0e5 , \"s\":\"\\ud800\"}", "3 {\"b\":[]}", "5 {\"c\":1}"]
    );
    for (line, reason) in [
        (&b"{\"a\":1"[..], "not JSON: the line ends too early (expected , or }) in column 7"),
        (b"{\"a\":\"x", "not JSON: the line ends too early (in a string) in column 8"),
        (b"  {a:1}", "not JSON: expected a member name in quotes in column 4"),
        (b"{} {}", "not JSON: expected the end after the value in column 4"),
        (b"{\"a\":\"\xff\"}", "not JSON: invalid UTF-8 in column 7"),
        (b"{\"a\":\"\x01\"}", "not JSON: control character in a string in column 7"),
        (b"{\"a\":NaN}", "not JSON: expected a value in column 6"),
        (b"[1]", "an array, not an object"),
        (b"\"x\"", "a string, not an object"),
        (b"12", "a number, not an object"),
        (b"null", "null, not an object"),
        (b"true", "a boolean, not an object"),
    ] {
        let found = rows(jsonl, &[b"{}\n", line, b"\n{}\n"].concat()).unwrap();
        assert_eq!(found[1].3, format!("!{reason}"));
        assert_eq!((found[1].0, found[1].1, found.len()), (2, 3, 3));
    }
}

#[test]
fn a_document_over_many_lines_is_told_what_to_do() {
    // Its last line alone would pass for an object.
    let error = rows(jsonl, b"[\n{\"a\":1},\n{\"a\":2}\n]").unwrap_err();
    assert_eq!(
        error,
        "in is one JSON array over many lines, not an object a line: jq -c '.[]' in | haul … - --jsonl"
    );
    let found = rows(jsonl, b"{}\n[\n").unwrap();
    assert_eq!(found[1].3, "!not JSON: the line ends too early (expected a value) in column 2");
    let found = rows(jsonl, b"{\n \"a\": 1\n}\n").unwrap();
    assert!(found[0].3.ends_with("jq -c . FILE makes one object a line)"), "{}", found[0].3);
    assert!(rows(jsonl, b"[1]").unwrap()[0].3.starts_with("!an array, not an object (one array for all?"));
}

#[test]
fn lines_that_are_too_long_are_rejected_with_their_length_and_not_held() {
    let long = LINE_BYTES * 3 + 17;
    let line = vec![b'7'; long];
    let reason = format!("!the line is {long} bytes long, at most {LINE_BYTES} are read");
    for (spec, good) in [(pairs as fn(&Path) -> SourceSpec, &b"1,2"[..]), (jsonl, b"{}")] {
        for last in [&b"\n"[..], b""] {
            let bytes = [good, b"\n", &line, b"\n", good, b"\n", &line, last].concat();
            let found = rows(spec, &bytes).unwrap();
            assert_eq!(found.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
            assert_eq!((&found[1].3, &found[3].3), (&reason, &reason));
            assert_eq!(found[2].1, (good.len() + 1 + long + 1) as u64);
        }
    }
    // Exactly at the bound.
    let text = |p: &Path| SourceSpec { header: HeaderMode::No, ..csv(p) };
    for (len, ok) in [(LINE_BYTES, true), (LINE_BYTES + 1, false)] {
        for end in [&b"\n"[..], b"\r\n", b""] {
            let found = rows(text, &[&b"x\n"[..], &vec![b'7'; len], end].concat()).unwrap();
            assert_eq!(!found[1].3.starts_with('!'), ok, "{len} {end:?}");
            let object = format!("{{\"a\":\"{}\"}}", "7".repeat(len - 8));
            let found = rows(jsonl, &[&b"{}\n"[..], object.as_bytes(), end].concat()).unwrap();
            assert_eq!(!found[1].3.starts_with('!'), ok, "{len} {end:?}");
        }
    }
    let (_dir, path) = file(&[&line[..], b"\n"].concat());
    let opener = RowsOpener::new(&jsonl(&path), Path::new("/"), None).unwrap();
    let pages = with_cx(async |cx| pages(&opener, None, cx).await).unwrap();
    assert_eq!(pages[0].items[0].record.as_ref().unwrap_err().raw.len(), REJECTED_BYTES);
}
