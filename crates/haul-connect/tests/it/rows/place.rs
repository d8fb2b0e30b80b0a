//! Where rows come from: files, pipes, compressed input, and what is none.

use super::*;

#[test]
fn what_is_no_text_at_all_is_a_fault() {
    let binary: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(binary.contains(&0));
    let not = |format| {
        format!(
            "in is not {format}: binary data (NUL bytes, and no good row at its beginning): give a text file, or one compressed with gzip or zstd"
        )
    };
    assert_eq!(rows(pairs, &binary).unwrap_err(), not("CSV"));
    assert_eq!(rows(jsonl, &binary).unwrap_err(), not("JSON Lines"));
    assert_eq!(rows(pairs, b"\0\0\n\0\n").unwrap_err(), not("CSV"));
    assert_eq!(rows(csv, &[0; 100]).unwrap_err(), not("CSV"));
    // One good row shows that it is.
    assert_eq!(bodies(rows(pairs, b"\0\n1,2\n")).len(), 2);
    assert!(rows(csv, b"PK\x03\x04rest").unwrap_err().starts_with("in: it is a zip archive"));
    assert!(rows(csv, b"\xff\xfea\0").unwrap_err().contains("iconv"));
    assert!(rows(csv, b"\x1f\x8b\x08\0\0\0").unwrap_err().starts_with("in: the gzip data ends too early"));
}

#[test]
fn what_cannot_be_opened_says_why() {
    let dir = TempDir::new().unwrap();
    let fault = |spec: SourceSpec| RowsOpener::new(&spec, dir.path(), None).map(drop).unwrap_err();
    let missing = fault(csv(Path::new("none.csv")));
    assert_eq!(missing.message(), format!("none.csv: no such file in {}", dir.path().display()));
    assert_eq!(missing.class(), FaultClass::Fatal);
    assert_eq!(
        fault(csv(dir.path())).message(),
        format!("{} is a directory; name a file in it", dir.path().display())
    );
    assert!(fault(csv(Path::new("http://h/x.csv"))).message().contains("http"));
    let twice = SourceSpec { columns: columns("a,a"), ..csv(Path::new("-")) };
    assert_eq!(fault(twice).message(), "the column a is declared twice");
    std::fs::write(dir.path().join("in.csv"), "1\n").unwrap();
    let opener = RowsOpener::new(&csv(Path::new("in.csv")), dir.path(), None).unwrap();
    assert_eq!((opener.name(), opener.size_hint(), opener.rereading()), ("in.csv", Some(2), Rereading::Seek));
    let bad = Cursor("{}".into());
    let fault = with_cx(async |cx| opener.open(&Slice::whole(), Some(&bad), cx).await.map(drop)).unwrap_err();
    assert_eq!(
        (fault.class(), fault.message()),
        (FaultClass::Fatal, "in.csv: the stored position is not readable: {}")
    );
    let stdin = RowsOpener::new(&csv(Path::new("-")), dir.path(), None).unwrap();
    assert_eq!((stdin.name(), stdin.size_hint(), stdin.rereading()), ("stdin", None, Rereading::Refeed));
    let url = RowsOpener::new(&csv(Path::new(URL)), dir.path(), Some(stream(b"", &[]))).unwrap();
    assert_eq!((url.name(), url.rereading()), ("http://h/rows", Rereading::Seek));
}

#[cfg(unix)]
#[test]
fn a_pipe_that_trickles_is_handed_on_at_once() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let opener = RowsOpener::new(&pairs(&path), dir.path(), None).unwrap();
    assert_eq!(opener.rereading(), Rereading::Refeed);
    with_cx(async |cx| {
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::OpenOptions::new().write(true).open(path).unwrap()
        });
        let mut source = opener.open(&Slice::whole(), None, cx).await.unwrap();
        let mut writer = writer.join().unwrap();
        for n in 0..5 {
            writer.write_all(format!("{n},1\n{n},2\n{n},").as_bytes()).unwrap();
            let page = tokio::time::timeout(Duration::from_secs(5), source.next_page(cx)).await.unwrap();
            let page = page.unwrap().unwrap();
            assert_eq!(page.items.len(), 2);
            writer.write_all(b"3\n").unwrap();
            let page = source.next_page(cx).await.unwrap().unwrap();
            assert_eq!(page.items.len(), 1);
            writer.write_all(b"4,").unwrap();
        }
        writer.write_all(b"5").unwrap();
        drop(writer);
        assert_eq!(source.next_page(cx).await.unwrap().unwrap().items.len(), 1);
        assert!(source.next_page(cx).await.unwrap().is_none());
    });
}

#[test]
fn dropping_a_source_ends_its_reading() {
    let (_dir, path) = file("1,2\n".repeat(1_000_000).as_bytes());
    let opener = RowsOpener::new(&pairs(&path), Path::new("/"), None).unwrap();
    with_cx(async |cx| {
        let mut source = opener.open(&Slice::whole(), None, cx).await.unwrap();
        assert!(source.next_page(cx).await.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(cx.budget.used() > 0, "pages ahead are counted");
        drop(source);
        for _ in 0..500 {
            if cx.budget.used() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} bytes are still held", cx.budget.used());
    });
}

#[test]
fn progress_counts_bytes_of_the_file() {
    let text = "1,2\n".repeat(100_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    for bytes in [text.as_bytes().to_vec(), gzip.finish().unwrap()] {
        let (_dir, path) = file(&bytes);
        let opener = RowsOpener::new(&pairs(&path), Path::new("/"), None).unwrap();
        let pages = with_cx(async |cx| pages(&opener, None, cx).await).unwrap();
        assert_eq!(opener.size_hint(), Some(bytes.len() as u64));
        assert_eq!(pages.iter().map(|p| p.bytes).sum::<u64>(), bytes.len() as u64);
    }
}

#[test]
fn compressed_input_yields_the_same_items() {
    let text: String = (0..30_000).map(|n| format!("{n},{}\n", n * 7)).collect();
    let (_dir, path) = file(text.as_bytes());
    let plain = read(&pairs(&path), None).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&text.as_bytes()[..100_000]).unwrap();
    let mut members = gzip.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(&mut members, flate2::Compression::best());
    gzip.write_all(&text.as_bytes()[100_000..]).unwrap();
    gzip.finish().unwrap();
    let frames = [
        zstd::stream::encode_all(&text.as_bytes()[..55_555], 1).unwrap(),
        zstd::stream::encode_all(&text.as_bytes()[55_555..], 1).unwrap(),
    ]
    .concat();
    for bytes in [members, frames] {
        let (_dir, path) = file(&bytes);
        assert_eq!(read(&pairs(&path), None).unwrap(), plain);
        let opener = RowsOpener::new(&pairs(&path), Path::new("/"), None).unwrap();
        with_cx(async |cx| {
            let all = pages(&opener, None, cx).await.unwrap();
            let cursor = &all[40].next;
            assert_eq!(opener.fingerprint(cursor, cx).await.unwrap(), opener.remembered(cursor));
            let rest: Vec<_> =
                pages(&opener, Some(cursor), cx).await.unwrap().iter().flat_map(seen).collect();
            let read = all[..=40].iter().map(|p| p.items.len()).sum::<usize>();
            assert_eq!(rest, plain[read..]);
        });
    }
}
