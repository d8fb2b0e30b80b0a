//! Documents and lists of URLs.

use super::*;

fn document(each: Option<&str>) -> impl Fn(&Path) -> SourceSpec {
    let each = each.map(str::to_owned);
    move |path| SourceSpec { format: RowFormat::Json, each: each.clone(), ..csv(path) }
}

/// Keys and records of a document, or the message of its fault.
fn found(each: Option<&str>, text: &str) -> Result<Vec<(String, String)>, String> {
    Ok(rows(document(each), text.as_bytes())?.into_iter().map(|(_, _, key, body)| (key, body)).collect())
}

fn pairs_of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn records_are_kept_as_written_wherever_they_stand() {
    let object = "{\"a\": {\"id\": 1.0e400, \"x\":[{}]},\n \"b\\u0022\":{ }}\n";
    let of_object = pairs_of(&[("a", "{\"id\": 1.0e400, \"x\":[{}]}"), ("b\"", "{ }")]);
    assert_eq!(found(None, object).unwrap(), of_object);
    assert_eq!(found(Some(".[]"), object).unwrap(), of_object);
    let array = "[{\"id\":7},{\"id\":\"x\\ty\"} , {\"n\":1}]";
    let of_array = found(None, array).unwrap();
    assert_eq!((&*of_array[0].0, &*of_array[1].0, of_array[2].0.len()), ("7", "x\ty", 32));
    let deep = "{\"meta\":[1,{\"items\":[{}]}],\"data\":{\"items\":[{\"id\":1}],\"next\":null},\"z\":0}";
    assert_eq!(found(Some(".data.items[]"), deep).unwrap(), pairs_of(&[("1", "{\"id\":1}")]));
    let nested = "[{\"files\":[{\"id\":1},{\"id\":2}]},{\"files\":null},{},{\"files\":{\"k\":{\"id\":3}}}]";
    let of_nested = pairs_of(&[("1", "{\"id\":1}"), ("2", "{\"id\":2}"), ("k", "{\"id\":3}")]);
    assert_eq!(found(Some(".[].files[]"), nested).unwrap(), of_nested);
    let inner = "{\"a\":{\"r\":{\"id\":1}},\"b\":{\"q\":5,\"r\":{}}}";
    assert_eq!(found(Some(".[].r"), inner).unwrap(), pairs_of(&[("a", "{\"id\":1}"), ("b", "{}")]));
    assert_eq!(found(Some("."), " {\"id\":1}\n{\"id\":2}").unwrap().len(), 2, "documents follow each other");
    assert_eq!(found(None, "[]").unwrap(), []);
}

#[test]
fn urls_stand_for_records() {
    let urls = "{\"a\":\"http://h/1\", \"b\":\"https:\\/\\/h/\\\"\"}";
    assert_eq!(
        found(None, urls).unwrap(),
        pairs_of(&[("a", "{\"url\":\"http://h/1\"}"), ("b", "{\"url\":\"https://h/\\\"\"}")])
    );
    let spec = |path: &Path| SourceSpec { format: RowFormat::Urls, ..csv(path) };
    let list = "\u{feff}http://h/a b\n# comment\n\n http://h/\"c\" \r\nftp://x\nhttps://h/d";
    let list = rows(spec, list.as_bytes()).unwrap();
    let list: Vec<_> = list.iter().map(|(line, _, key, body)| (*line, key.as_str(), body.as_str())).collect();
    assert_eq!(
        list,
        [
            (1, "line 1", "!\"http://h/a b\" is no http(s) URL"),
            (4, "http://h/\"c\"", "{\"url\":\"http://h/\\\"c\\\"\"}"),
            (5, "line 5", "!\"ftp://x\" is no http(s) URL"),
            (6, "https://h/d", "{\"url\":\"https://h/d\"}"),
        ]
    );
}

#[test]
fn what_is_no_record_is_rejected_and_reading_goes_on() {
    let found = rows(document(None), b"[{},\n1, null,\"x\",[2],{\"a\":\"\xff\"},{}]").unwrap();
    let found: Vec<_> = found.iter().map(|(line, _, _, body)| format!("{line} {body}")).collect();
    assert_eq!(
        found,
        [
            "1 {}",
            "2 !a number, not an object",
            "2 !null, not an object",
            "2 !a string that is no http(s) URL, not an object",
            "2 !an array, not an object",
            "2 !not JSON: invalid UTF-8",
            "2 {}"
        ]
    );
    let found = rows(document(Some(".[].files[]")), b"[{\"files\":5},{\"files\":[{}]}]").unwrap();
    assert_eq!(found[0].3, "!there is a number where an array or object of records should be");
    assert_eq!(found[1].3, "{}");
}

#[test]
fn a_document_that_is_wrong_says_where() {
    for (each, text, message) in [
        (None, "{\"a\":{}\n\"b\":{}}", "in:2: not JSON: expected , or }"),
        (None, "[{},\n\n{]", "in:3: not JSON: expected a member name in quotes"),
        (None, "[{}", "in:1: the document ends too early: it was cut off"),
        (None, "{\"a\": {\"b\":", "in:1: the document ends too early: it was cut off"),
        (None, "[1,", "in:1: the document ends too early: it was cut off"),
        (None, "[{}} ", "in:1: not JSON: expected , or ]"),
        (None, "\n12", "in:2: there is a number where an array or object of records should be: see --each"),
        (
            Some(".data[]"),
            "[1]",
            "in:1: there is an array where an object with \"data\" should be: see --each",
        ),
        (Some(".data[]"), "{\"daten\":[]}", "in: there is no .\"data\"[] in it: see --each"),
        (Some(".data[]"), "{\"x\":[1,}", "in:1: not JSON: expected a value"),
    ] {
        assert_eq!(found(each, text).unwrap_err(), message, "{text}");
    }
}

#[test]
fn what_is_long_is_passed_without_being_held() {
    let long = format!("\"{}\"", "x\\\"]".repeat(LINE_BYTES));
    let text = format!(
        "{{\"skip\": [{long}, {{\"a\":{long}}}], \"data\": [{{}},\n{{\"a\":{long}}}, {{\"id\":2}}]}}"
    );
    let found = rows(document(Some(".data[]")), text.as_bytes()).unwrap();
    let found: Vec<_> = found.iter().map(|(line, _, _, body)| format!("{line} {body}")).collect();
    assert_eq!(
        found,
        [
            "1 {}".to_owned(),
            format!("2 !the record is longer than {LINE_BYTES} bytes, which is the most that is held"),
            "2 {\"id\":2}".to_owned(),
        ]
    );
}

fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "{\"a\":1}",
        "\"a\":",
        "\"b\":",
        "[{}]",
        " ",
        "\n",
        "12",
        "null",
        "\"x\"",
        "\"http://h\"",
        "{\"a\":[{\"id\":1},{\"id\":2}]}",
        "[{\"a\":{}},{\"a\":[1]}]",
    ]);
    prop::collection::vec(token, 0..20).prop_map(|t| t.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_chunking_gives_the_same_records(
        text in nearly_json(), sizes in prop::collection::vec(1usize..7, 1..5),
        each in prop::sample::select(vec![".", ".[]", ".[].a", ".a[]", ".[].a[]"]),
    ) {
        let spec = SourceSpec { location: URL.to_owned(), ..document(Some(each))(Path::new("x")) };
        let whole = read(&spec, Some(stream(text.as_bytes(), &[usize::MAX]))).map_err(|e| e.message().to_owned());
        let parts = read(&spec, Some(stream(text.as_bytes(), &sizes))).map_err(|e| e.message().to_owned());
        prop_assert_eq!(whole, parts);
    }

    /// What is read is what a JSON library finds.
    #[test]
    fn well_formed_documents_give_all_their_records(ids in prop::collection::vec(0u32..1000, 0..40), object in any::<bool>()) {
        let value: serde_json::Value = if object {
            let members = ids.iter().enumerate().map(|(i, id)| (format!("k{i}"), serde_json::json!({"id": id, "t": [[], "}"]})));
            serde_json::Value::Object(members.collect())
        } else {
            ids.iter().map(|id| serde_json::json!({"id": id, "t": "]"})).collect()
        };
        let text = format!("{{\"before\": {value}, \"items\": {value:#}, \"after\": [{value}]}}");
        let read = found(Some(".items[]"), &text).unwrap();
        prop_assert_eq!(read.len(), ids.len());
        for (i, (key, body)) in read.iter().enumerate() {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            prop_assert_eq!(&body["id"], &serde_json::json!(ids[i]));
            let wanted = if object { format!("k{i}") } else { ids[i].to_string() };
            prop_assert_eq!(key, &wanted);
        }
    }
}

#[test]
fn reading_goes_on_at_any_cursor() {
    let record = |i: usize| format!("\"k{i}\": {{\"id\": {i}, \"pad\": \"{}\"}}", "y".repeat(i % 700));
    let text = format!("{{\"data\": {{\n{}\n}}}}\n", (0..2000).map(record).collect::<Vec<_>>().join(",\n"));
    let (_dir, path) = file(text.as_bytes());
    let opener = RowsOpener::new(&document(Some(".data[]"))(&path), Path::new("/"), None).unwrap();
    with_cx(async |cx| {
        let all = pages(&opener, None, cx).await.unwrap();
        assert!(all.len() > 5);
        for n in 0..all.len() {
            let cursor = &all[n].next;
            assert_eq!(opener.fingerprint(cursor, cx).await.unwrap(), opener.remembered(cursor));
            let rest: Vec<Seen> =
                pages(&opener, Some(cursor), cx).await.unwrap().iter().flat_map(seen).collect();
            let wanted: Vec<Seen> = all[n + 1..].iter().flat_map(seen).collect();
            assert_eq!(rest, wanted, "from the end of page {n}");
        }
    });
}
