//! What a line may look like, and what is said of those that may not.

use haul_reduce::{By, Columns, Format, Input, Origin};

use crate::support::{Files, entries, printed, rank, refusal, spec, stream};

#[test]
fn forms_of_a_line() {
    let files = Files::new();
    let lines = concat!(
        "\u{feff}5: {\"id\":1}\r\n",
        "\r\n",
        "+7:{\"id\":\"b\"}\n",
        "  \t\n",
        " -3 : {\"id\":null}  \n",
        "12345678901234567890123: {\"x\":{\"id\":3},\"\\u0069d\":[1, 2]}\n",
        "0007\t:\t{\"id\":\"c\",\"id\":\"d: \\u00e9\"}\t\n",
        "-0:{\"id\": {\"a\" : true} }",
    );
    let want = [
        r#"{"score": 12345678901234567890123, "id": [1, 2]}"#,
        r#"{"score": 7, "id": "b"}"#,
        r#"{"score": 7, "id": "d: \u00e9"}"#,
        r#"{"score": 5, "id": 1}"#,
        r#"{"score": 0, "id": {"a" : true}}"#,
        r#"{"score": -3, "id": null}"#,
    ];
    assert_eq!(entries(vec![files.write("a", lines.as_bytes())], &spec(10)), want);
    assert_eq!(entries(vec![stream(lines.as_bytes())], &spec(3)), want[..3]);
    let mut lowest = spec(2);
    lowest.lowest = true;
    lowest.records = true;
    let want = [
        r#"{"score": -3, "id": null, "record": {"id":null}}"#,
        r#"{"score": 0, "id": {"a" : true}, "record": {"id": {"a" : true} }}"#,
    ];
    assert_eq!(entries(vec![stream(lines.as_bytes())], &lowest), want);
}

#[test]
fn nothing_is_asked_for_or_nothing_is_there() {
    let files = Files::new();
    for empty in ["", "\n", "\r\n\r\n", "\u{feff}", " \n\t\r\n "] {
        assert_eq!(printed(&mut rank(vec![files.write("e", empty.as_bytes())], &spec(5)).unwrap()), "[]\n");
        assert_eq!(printed(&mut rank(vec![stream(empty.as_bytes())], &spec(5)).unwrap()), "[]\n");
    }
    assert_eq!(printed(&mut rank(vec![stream(b"1:{\"id\":1}")], &spec(0)).unwrap()), "[]\n");
    let reason = refusal(vec![stream(b"1:{\"id\":1}\n2:{}")], &spec(0));
    assert_eq!(reason, "stream:2: the record has no .id");
    assert_eq!(printed(&mut rank(vec![], &spec(5)).unwrap()), "[]\n");
}

#[test]
fn every_bad_form_is_named_with_its_line() {
    let files = Files::new();
    let score = "no integer score before the first colon (a line is <score>: <record>)";
    let cases: &[(&str, &str)] = &[
        ("{\"id\":1}", score),
        ("x: {\"id\":1}", score),
        (": {\"id\":1}", score),
        ("1.5: {\"id\":1}", score),
        ("1 2: {\"id\":1}", score),
        ("+: {\"id\":1}", score),
        ("--1: {\"id\":1}", score),
        ("1_000: {\"id\":1}", score),
        ("١: {\"id\":1}", score),
        ("7", score),
        ("7 {\"id\":1}", score),
        ("7:", "column 3: expected an object, found the end of the line"),
        ("7: [1]", "column 4: expected an object, found '['"),
        ("7: {\"id\":1", "column 11: expected ',' or '}', found the end of the line"),
        ("7: {\"id\":1}}", "column 12: expected the end of the line after the object, found '}'"),
        (
            "7: {\"id\":1} 8: {\"id\":2}",
            "column 13: expected the end of the line after the object, found '8'",
        ),
        ("7: {\"id\":NaN}", "column 10: expected a value, found 'N'"),
        (
            "7: {\"id\":\"\u{1}\"}",
            "column 11: expected text or '\"' (control characters are written as escapes), found byte 0x01",
        ),
        ("7: {\"ID\":1}", "the record has no .id"),
        ("7: {\"a\":{\"id\":1}}", "the record has no .id"),
        ("7: {}", "the record has no .id"),
    ];
    for (line, reason) in cases {
        let text = format!("1:{{\"id\":1}}\n\n{line}\n9:{{\"id\":9}}\n");
        let file = files.write("bad", text.as_bytes());
        let name = files.path("bad");
        assert_eq!(refusal(vec![file], &spec(1)), format!("{}:3: {reason}", name.display()), "{line}");
        assert_eq!(refusal(vec![stream(text.as_bytes())], &spec(1)), format!("stream:3: {reason}"));
    }
    let bytes = b"1:{\"id\":\"\xff\"}";
    assert!(refusal(vec![stream(bytes)], &spec(1)).contains("stream:1: column 10: expected valid UTF-8"));
}

#[test]
fn bad_lines_can_be_passed_over() {
    let text = "1:{\"id\":1}\nx\n3:{\"id\":3}\n4:{}\n";
    let mut skipping = spec(5);
    skipping.skip = true;
    let mut ranking = rank(vec![stream(text.as_bytes())], &skipping).unwrap();
    assert_eq!(ranking.skipped, 2);
    let lines: Vec<u64> = ranking.first_skipped.iter().map(|b| b.line).collect();
    assert_eq!(lines, [2, 4]);
    assert_eq!(printed(&mut ranking), "[\n{\"score\": 3, \"id\": 3},\n{\"score\": 1, \"id\": 1}\n]\n");
}

#[test]
fn json_lines_and_csv_are_ranked_by_any_number() {
    let by = |path: &str, format| {
        let mut spec = spec(3);
        spec.by = Some(By { path: path.parse().unwrap(), format, columns: Columns::default() });
        spec
    };
    let files = Files::new();
    let jsonl = "{\"m\":{\"s\":1.5},\"id\":\"a\"}\n{\"id\":\"b\",\"m\":{\"x\":0,\"s\":1.50}}\n{\"m\":{\"s\":1e3},\"id\":\"c\"}\n";
    let want =
        [r#"{"score": 1e3, "id": "c"}"#, r#"{"score": 1.5, "id": "a"}"#, r#"{"score": 1.50, "id": "b"}"#];
    assert_eq!(entries(vec![files.write("a.jsonl", jsonl.as_bytes())], &by(".m.s", None)), want);
    let csv = "id,\"the score\",note\r\na,3,\"x\ny\"\r\n\"b \"\"q\"\"\",10,\r\n\n5,007,\"\"\r\n";
    let want =
        [r#"{"score": 10, "id": "b \"q\""}"#, r#"{"score": 7, "id": 5}"#, r#"{"score": 3, "id": "a"}"#];
    assert_eq!(entries(vec![files.write("a.csv", csv.as_bytes())], &by(".\"the score\"", None)), want);
    let tsv = csv.replace(',', "\t");
    assert_eq!(entries(vec![stream(tsv.as_bytes())], &by(".\"the score\"", Some(Format::Tsv))), want);

    let bad = "id,score\na,1\nb,2,3\n";
    let reason = refusal(vec![stream(bad.as_bytes())], &by(".score", Some(Format::Csv)));
    assert_eq!(reason, "stream:3: 3 fields where there are 2 columns");
    let bad = "id,score\n\"a\nb\",1\nc,x\n";
    let reason = refusal(vec![stream(bad.as_bytes())], &by(".score", Some(Format::Csv)));
    assert_eq!(reason, "stream:4: .score is x, which is not a number");
    let bad = "id,score\na,1\n\"b,2\n";
    let reason = refusal(vec![stream(bad.as_bytes())], &by(".score", Some(Format::Csv)));
    assert_eq!(reason, "stream:3: a quote is not closed before the end");
    let reason = refusal(vec![stream(b"id,score\n")], &by(".rank", Some(Format::Csv)));
    assert_eq!(reason, "stream: there is no column \"rank\" (there are: id, score); --columns names them");
    let reason = refusal(vec![stream(b"{\"id\":1}\n")], &by(".score", Some(Format::Jsonl)));
    assert_eq!(reason, "stream:1: the record has no .score");
    let reason = refusal(vec![stream(b"{\"id\":1,\"score\":\"9\"}\n")], &by(".score", Some(Format::Jsonl)));
    assert_eq!(reason, "stream:1: .score is \"9\", which is not a number");
}

#[test]
fn columns_can_be_named_where_there_is_no_header() {
    let mut named = spec(2);
    let columns = Columns { names: vec!["id".to_owned(), "score".to_owned()], ..Columns::default() };
    named.by = Some(By { path: ".score".parse().unwrap(), format: Some(Format::Csv), columns });
    let want = [r#"{"score": 9, "id": "b"}"#, r#"{"score": 1, "id": "a"}"#];
    assert_eq!(entries(vec![stream(b"a,1\nb,9\n")], &named), want);
    assert_eq!(entries(vec![stream(b"id,score\na,1\nb,9\n")], &named), want, "a header of the same names");
}

#[test]
fn compression_is_known_by_content() {
    use std::io::Write;
    let files = Files::new();
    let text: String = (0..20_000).map(|i| format!("{i}:{{\"id\":{i}}}\n")).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let want = [r#"{"score": 19999, "id": 19999}"#];
    for packed in [&gzip, &zstd] {
        assert_eq!(entries(vec![files.write("plain.txt", packed)], &spec(1)), want);
        assert_eq!(entries(vec![stream(packed)], &spec(1)), want);
        let cut = &packed[..packed.len() - 20];
        let reason = refusal(vec![files.write("cut.txt", cut)], &spec(1));
        assert!(reason.contains("cut.txt: the compressed data is damaged or cut off"), "{reason}");
    }
    let twice = [gzip.as_slice(), gzip.as_slice()].concat();
    assert_eq!(entries(vec![files.write("two", &twice)], &spec(2)), [want[0], want[0]]);
    let xz = b"\xfd7zXZ\0 and so on";
    std::fs::write(files.path("a.xz"), xz).unwrap();
    let reason = Input::open(Origin::Path(files.path("a.xz"))).unwrap_err().to_string();
    assert!(reason.contains("is compressed with xz") && reason.contains("xz -dc"), "{reason}");
}
