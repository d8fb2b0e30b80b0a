//! Properties: any cutting of the input, any cursor, and the csv crate.

use super::*;

/// Text that is often CSV, and often just not.
fn nearly_csv() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "a",
        "1",
        "-23",
        ",",
        ",",
        ",",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\"",
        "\"\"",
        "\"x,\"\"y\n\"",
        " ",
        "é",
        "\t",
        "user_id",
        "video_id",
        "1,2\n",
        "\u{feff}",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|t| t.concat().into_bytes())
}

fn nearly_jsonl() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "{\"id\":1}",
        "{\"a\":\"\\u00e9\"}",
        "{",
        "}",
        "[]",
        "\n",
        "\n",
        "\r\n",
        "\r",
        " ",
        "{\"b\":{}}\n",
        "\"",
    ]);
    prop::collection::vec(token, 0..30).prop_map(|t| t.concat().into_bytes())
}

/// Like [`rows`], but a fault is only a fault.
fn outcome(spec: &SourceSpec, bytes: &[u8], sizes: &[usize]) -> Result<Vec<Seen>, String> {
    let spec = SourceSpec { location: URL.to_owned(), ..spec.clone() };
    read(&spec, Some(stream(bytes, sizes))).map_err(|e| e.message().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_chunking_gives_the_same_items(
        bytes in nearly_csv(), lines in nearly_jsonl(), sizes in prop::collection::vec(1usize..7, 1..5)
    ) {
        for (spec, bytes) in [(pairs(Path::new(URL)), &bytes), (csv(Path::new(URL)), &bytes), (jsonl(Path::new(URL)), &lines)] {
            let whole = outcome(&spec, bytes, &[usize::MAX]);
            prop_assert_eq!(outcome(&spec, bytes, &sizes), whole.clone());
            prop_assert_eq!(outcome(&spec, bytes, &[1]), whole);
        }
    }

    #[test]
    fn reopened_at_any_cursor_the_rest_follows(
        bytes in nearly_csv(), lines in nearly_jsonl(), sizes in prop::collection::vec(1usize..9, 1..5)
    ) {
        for (spec, bytes) in [(pairs(Path::new(URL)), &bytes), (csv(Path::new(URL)), &bytes), (jsonl(Path::new(URL)), &lines)] {
            let opener = RowsOpener::new(&spec, Path::new("/"), Some(stream(bytes, &sizes))).unwrap();
            let (_dir, path) = file(bytes);
            let on_disk = RowsOpener::new(&SourceSpec { location: path.to_str().unwrap().into(), ..spec }, Path::new("/"), None);
            let on_disk = on_disk.unwrap();
            with_cx(async |cx| {
                let Ok(all) = pages(&opener, None, cx).await else { return Ok(()) };
                let mut rest: Vec<Seen> = all.iter().flat_map(seen).collect();
                for page in &all {
                    rest.drain(..page.items.len());
                    let again = pages(&opener, Some(&page.next), cx).await.unwrap();
                    prop_assert_eq!(again.iter().flat_map(seen).collect::<Vec<_>>(), rest.clone());
                    let print = on_disk.fingerprint(&page.next, cx).await.unwrap();
                    // Within a line that goes on, a cursor is that of another file.
                    if print == on_disk.remembered(&page.next) {
                        let again = pages(&on_disk, Some(&page.next), cx).await.unwrap();
                        prop_assert_eq!(again.iter().flat_map(seen).collect::<Vec<_>>(), rest.clone());
                    }
                }
                Ok(())
            })?;
        }
    }

    #[test]
    fn fields_are_those_of_the_csv_crate(bytes in nearly_csv()) {
        // Without an unclosed quote, which the csv crate closes at the end.
        let mut state = csv_core::Reader::new();
        let (mut out, mut ends) = (vec![0; 4096], vec![0; 512]);
        let closed = [&bytes[..], b"\n\x01\n"].concat();
        let mut rest = &closed[..];
        let mut fields = Vec::new();
        loop {
            let (result, read, written, ended) = state.read_record(rest, &mut out, &mut ends);
            rest = &rest[read..];
            if matches!(result, csv_core::ReadRecordResult::End) {
                break;
            }
            if matches!(result, csv_core::ReadRecordResult::Record) {
                let _ = ended;
                fields.push(out[..written].to_vec());
            }
        }
        prop_assume!(fields.last().is_some_and(|f| f == b"\x01"));
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&bytes[..]);
        let theirs: Vec<Vec<String>> = reader
            .records()
            .map(|r| r.unwrap().iter().map(str::to_owned).collect())
            .collect();
        let wide = theirs.first().map_or(0, Vec::len);
        let spec = SourceSpec { header: HeaderMode::No, ..csv(Path::new(URL)) };
        let ours: Vec<Vec<String>> = outcome(&spec, &bytes, &[usize::MAX]).unwrap().into_iter().map(|(.., body)| {
            match body.strip_prefix('!') {
                Some(reason) => vec![reason.to_owned()],
                None => serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body)
                    .unwrap().values().map(|v| v.as_str().unwrap().to_owned()).collect(),
            }
        }).collect();
        let theirs: Vec<Vec<String>> = theirs.into_iter().map(|row| match row.len() {
            n if n == wide => row,
            n => vec![format!("{n} column{}, expected {wide}", if n == 1 { "" } else { "s" })],
        }).collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn rows_that_a_csv_writer_wrote_come_back(
        table in prop::collection::vec(prop::collection::vec("[^\0]{0,8}", 3), 1..20), sizes in prop::collection::vec(1usize..50, 1..5)
    ) {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        prop_assume!(!bytes.starts_with(b"\xef\xbb\xbf"));
        let spec = SourceSpec { header: HeaderMode::No, columns: columns("a,b,c"), ..csv(Path::new(URL)) };
        let ours: Vec<Vec<String>> = outcome(&spec, &bytes, &sizes).unwrap().into_iter().map(|(.., body)| {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body)
                .unwrap().values().map(|v| v.as_str().unwrap().to_owned()).collect()
        }).collect();
        prop_assert_eq!(ours, table);
    }

    #[test]
    fn arbitrary_bytes_never_break_anything(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
        for spec in [pairs(Path::new(URL)), csv(Path::new(URL)), jsonl(Path::new(URL))] {
            let whole = outcome(&spec, &bytes, &[usize::MAX]);
            prop_assert_eq!(outcome(&spec, &bytes, &[size]), whole);
        }
    }
}
