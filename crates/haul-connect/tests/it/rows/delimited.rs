//! CSV and TSV: headers, columns, fields, keys, and every bad form.

use super::*;

#[test]
fn pairs_with_and_without_header_and_declaration() {
    let typed = ["1 {\"user_id\":1,\"video_id\":2}", "2 {\"user_id\":30,\"video_id\":-4}"];
    assert_eq!(bodies(rows(pairs, b"1,2\n30,-4\n")), typed);
    assert_eq!(bodies(rows(pairs, b"1,2\r\n30, -4 ")), typed);
    assert_eq!(bodies(rows(pairs, b"1,2\r30,-4\r")), typed);
    assert_eq!(bodies(rows(pairs, b"\xef\xbb\xbf1,2\n30,-4")), typed);
    let after_header = ["2 {\"user_id\":1,\"video_id\":2}"];
    assert_eq!(bodies(rows(pairs, b"user_id,video_id\n1,2\n")), after_header);
    assert_eq!(bodies(rows(pairs, b"\xef\xbb\xbfuser_id, video_id\n1,2\n")), after_header);
    assert_eq!(bodies(rows(pairs, b"video_id,user_id\n2,1\n")), ["2 {\"video_id\":2,\"user_id\":1}"]);
    assert_eq!(
        bodies(rows(pairs, b"note,video_id,user_id\nx,2,1\n")),
        ["2 {\"note\":\"x\",\"video_id\":2,\"user_id\":1}"]
    );
    assert_eq!(bodies(rows(csv, b"user_id,video_id\n1,2\n")), ["2 {\"user_id\":\"1\",\"video_id\":\"2\"}"]);
    assert_eq!(
        bodies(rows(csv, b"1,2\n3,4\n")),
        ["1 {\"c1\":\"1\",\"c2\":\"2\"}", "2 {\"c1\":\"3\",\"c2\":\"4\"}"]
    );
    assert_eq!(bodies(rows(pairs, b"")), [""; 0]);
    assert_eq!(bodies(rows(pairs, b"user_id,video_id")), [""; 0]);
    assert_eq!(bodies(rows(pairs, b"\n\r\n\n1,2\n\n")), ["4 {\"user_id\":1,\"video_id\":2}"]);
}

#[test]
fn one_column_has_a_header_when_its_second_line_is_another_kind_of_thing() {
    assert_eq!(bodies(rows(csv, b"id\n1\n2\n")), ["2 {\"id\":\"1\"}", "3 {\"id\":\"2\"}"]);
    assert_eq!(bodies(rows(csv, b"url\nhttp://a/b\n")), ["2 {\"url\":\"http://a/b\"}"]);
    assert_eq!(bodies(rows(csv, b"alice\nbob\n")), ["1 {\"c1\":\"alice\"}", "2 {\"c1\":\"bob\"}"]);
    assert_eq!(bodies(rows(csv, b"alice\n")), ["1 {\"c1\":\"alice\"}"]);
    assert_eq!(
        bodies(rows(csv, b"http://a/b\nhttp://c/d")),
        ["1 {\"c1\":\"http://a/b\"}", "2 {\"c1\":\"http://c/d\"}"]
    );
    let long = [&b"alice\n"[..], &vec![b'x'; LINE_BYTES + 1], b"\nbob\n"].concat();
    assert_eq!(bodies(rows(csv, &long)).len(), 3);
}

#[test]
fn header_modes() {
    let with = |header: HeaderMode| move |p: &Path| SourceSpec { header, ..csv(p) };
    assert_eq!(bodies(rows(with(HeaderMode::Yes), b"1,2\n3,4\n")), ["2 {\"1\":\"3\",\"2\":\"4\"}"]);
    assert_eq!(bodies(rows(with(HeaderMode::No), b"a,b\n"))[0], "1 {\"c1\":\"a\",\"c2\":\"b\"}");
    let typed = |header: HeaderMode| move |p: &Path| SourceSpec { header, ..pairs(p) };
    assert_eq!(
        bodies(rows(typed(HeaderMode::No), b"user_id,video_id\n1,2\n"))[0],
        "1 !user_id \"user_id\" is not an integer"
    );
    // A bad first line of data is not a header.
    assert_eq!(bodies(rows(pairs, b"abc,5\n1,2\n"))[0], "1 !user_id \"abc\" is not an integer");
    assert_eq!(bodies(rows(pairs, b"hello\n1,2\n"))[0], "1 !1 column, expected 2");
    for (spec, bytes, message) in [
        (
            typed(HeaderMode::Auto),
            &b"\nuid,vid\n1,2\n"[..],
            "in:2: the header has no column user_id; it has uid, vid. Declare the columns in its words, or say \
             --csv-header no if this line is data",
        ),
        (
            typed(HeaderMode::Auto),
            b"user_id,vid,x\n",
            "in:1: the header has no column video_id; it has user_id, vid, x.",
        ),
        (typed(HeaderMode::Yes), b"1,2\n", "in:1: the header has no column user_id; it has 1, 2."),
        (typed(HeaderMode::Yes), b"user_id,video_id,user_id\n", "in:1: the header names \"user_id\" twice"),
        (typed(HeaderMode::Yes), b"a\xff,c\n", "in:1: the header is not text"),
        (typed(HeaderMode::Yes), b"a\0b,c\n", "in is not CSV: binary data"),
    ] {
        let error = rows(spec, bytes).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn fields_with_quotes_line_ends_and_text() {
    let text = |p: &Path| SourceSpec { header: HeaderMode::No, ..csv(p) };
    for (bytes, expected) in [
        (&b"\"a,b\",\"c\"\"d\"\n"[..], "1 {\"c1\":\"a,b\",\"c2\":\"c\\\"d\"}"),
        (b"\"x\ny\r\nz\",1\n", "1 {\"c1\":\"x\\ny\\r\\nz\",\"c2\":\"1\"}"),
        (b"5\" pipe,a\"b\n", "1 {\"c1\":\"5\\\" pipe\",\"c2\":\"a\\\"b\"}"),
        (b"\"\",\n", "1 {\"c1\":\"\",\"c2\":\"\"}"),
        ("é,\u{1f600}\\\t\n".as_bytes(), "1 {\"c1\":\"é\",\"c2\":\"\u{1f600}\\\\\\t\"}"),
        (b" a , b \n", "1 {\"c1\":\" a \",\"c2\":\" b \"}"),
        (b"\"a\"", "1 {\"c1\":\"a\"}"),
    ] {
        assert_eq!(bodies(rows(text, bytes)), [expected]);
    }
    assert_eq!(
        bodies(rows(text, b"\"1\n2\",a\n\"3\"\r\nb\r\n"))[1..],
        ["3 !1 column, expected 2", "4 !1 column, expected 2"]
    );
    let tsv = |p: &Path| SourceSpec { format: RowFormat::Tsv, ..csv(p) };
    assert_eq!(bodies(rows(tsv, b"a\tb c\n1\t2,\"3\n"))[0], "2 {\"a\":\"1\",\"b c\":\"2,\\\"3\"}");
}

#[test]
fn every_bad_row_says_what_is_wrong() {
    let typed = |p: &Path| SourceSpec {
        header: HeaderMode::No,
        columns: columns("i:int,f:float,b:bool,j:json,s"),
        ..csv(p)
    };
    let good = "1 {\"i\":1,\"f\":1.50,\"b\":true,\"j\":{\"x\":  1 },\"s\":\"t\"}";
    assert_eq!(bodies(rows(typed, b"1,1.50,TRUE,\"{\"\"x\"\":\n 1 }\",t\n")), [good]);
    for (row, reason) in [
        (&b"abc,1,true,1,t"[..], "i \"abc\" is not an integer"),
        (b"1.0,1,true,1,t", "i \"1.0\" is not an integer"),
        (b",1,true,1,t", "i is empty, not an integer"),
        (
            b"007,1,true,1,t",
            "i \"007\" is an integer with leading zeros (declare the column as str to keep them)",
        ),
        (b"1,NaN,true,1,t", "f \"NaN\" is not a number"),
        (b"1,1,yes,1,t", "b \"yes\" is neither true nor false"),
        (b"1,1,true,{,t", "j \"{\" is not JSON: it ends after 1 bytes, expected a member name in quotes"),
        (b"1,1,true,1,\xff", "s \"\u{fffd}\" is not UTF-8"),
        (b"1,1,true,1,a\0b", "s \"a\\u{0}b\" holds a NUL byte"),
        (b"1,1,true,1", "4 columns, expected 5"),
        (b"1,1,true,1,t,", "6 columns, expected 5"),
        (b"x", "1 column, expected 5"),
        (b"\"1,1,true", "a quote is opened and not closed"),
    ] {
        // A good row first: garbage alone is no CSV at all.
        let bytes = [b"1,1,true,1,t\n", row].concat();
        let (_dir, path) = file(&bytes);
        let opener = RowsOpener::new(&typed(&path), Path::new("/"), None).unwrap();
        let pages = with_cx(async |cx| pages(&opener, None, cx).await).unwrap();
        let item = &pages.last().unwrap().items.last().unwrap();
        let rejection = item.record.as_ref().unwrap_err();
        assert_eq!(rejection.reason, reason);
        assert_eq!(rejection.raw, row);
        assert_eq!((item.position.line, item.position.offset), (2, 13));
        assert_eq!(item.key.to_string(), "line 2");
    }
    assert_eq!(
        bodies(rows(pairs, &[b"1,", &b"x".repeat(100)[..]].concat()))[0],
        format!("1 !video_id \"{}…\" is not an integer", "x".repeat(40))
    );
}

#[test]
fn keys_come_from_a_template_the_line_or_the_record() {
    let key = |rows: Vec<Seen>| rows[0].2.clone();
    assert_eq!(key(rows(pairs, b"1, 2\n").unwrap()), "1, 2");
    assert_eq!(key(rows(csv, b"\"a,b\",\"c\"\"d\"\nx,1\n").unwrap()), "a,b,c\"d");
    let with = |key: &str| {
        let key = Some(key.to_owned());
        move |p: &Path| SourceSpec { key: key.clone(), ..pairs(p) }
    };
    assert_eq!(key(rows(with("v{video_id}/{user_id}"), b"1, 2\n").unwrap()), "v2/1");
    assert_eq!(
        rows(with("{user}"), b"1,2\n").unwrap_err(),
        "in: the key names {user}, but the columns are user_id, video_id"
    );
    assert!(rows(with("{user"), b"1,2\n").unwrap_err().contains("a { without its }"));
    let deep = |p: &Path| SourceSpec { columns: columns("j:json"), key: Some("{.j.id}".into()), ..csv(p) };
    let found = rows(deep, b"\"{\"\"id\"\":\"\"x\"\"}\"\n{}\n").unwrap();
    assert_eq!(found[0].2, "x");
    assert_eq!(found[1].3, "!no key: {.j.id} is missing in the record");
    let keys: Vec<_> =
        rows(jsonl, b"{\"id\":12345678901234567890123}\n{\"id\":\"a\\u0062\"}\n{\"x\":1}\n{\"id\":null}\n")
            .unwrap()
            .into_iter()
            .map(|r| r.2)
            .collect();
    assert_eq!(keys[..2], ["12345678901234567890123", "ab"]);
    assert_eq!(keys[2], format!("{:032x}", xxhash_rust::xxh3::xxh3_128(b"{\"x\":1}")));
    assert_eq!(keys[3].len(), 32);
    let template = |p: &Path| SourceSpec { key: Some("{.a.b}".into()), ..jsonl(p) };
    let found = rows(template, b"{\"a\":{\"b\":\"k\"}}\n{}\n").unwrap();
    assert_eq!((&*found[0].2, &*found[1].3), ("k", "!no key: {.a.b} is missing in the record"));
}

#[test]
fn an_unclosed_quote_costs_one_line() {
    let found = rows(pairs, b"1,2\n\"3,4\n5,6\n7,8\n").unwrap();
    assert_eq!(
        found.iter().map(|r| (r.0, &*r.3)).collect::<Vec<_>>(),
        [
            (1, "{\"user_id\":1,\"video_id\":2}"),
            (2, "!a quote is opened and not closed before the end; going on with the next line"),
            (3, "{\"user_id\":5,\"video_id\":6}"),
            (4, "{\"user_id\":7,\"video_id\":8}"),
        ]
    );
    // Far from the end it is searched for over one line's bytes only.
    let many = "10,20\n".repeat(400_000);
    let found = rows(pairs, format!("1,2\n\"3,4\n{many}").as_bytes()).unwrap();
    assert_eq!(found.len(), 400_002);
    assert!(found[1].3.contains("not closed within 1048576 bytes"));
    assert_eq!((found[2].0, found[400_001].0), (3, 400_002));
    assert!(found[2..].iter().all(|r| r.3 == "{\"user_id\":10,\"video_id\":20}"));
    // A row that may well be open for ever, on every line: each byte is looked at a few times only.
    let worst = "a\"b,\"c\n".repeat(600_000);
    let started = std::time::Instant::now();
    let found = rows(csv, format!("\"x\",y\n{worst}").as_bytes()).unwrap();
    assert!(found.len() < 40, "{}", found.len());
    assert!(found.iter().any(|r| r.3.contains("they are dropped")));
    assert!(started.elapsed() < Duration::from_secs(20));
}
