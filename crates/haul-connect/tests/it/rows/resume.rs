//! Cursors and fingerprints.

use super::*;

#[test]
fn a_file_that_only_grew_is_told_from_one_that_changed() {
    let (_dir, path) = file(b"");
    let opener = RowsOpener::new(&pairs(&path), Path::new("/"), None).unwrap();
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let items = async |from: Option<&Cursor>, cx: &Cx<'_>| {
        let pages = pages(&opener, from, cx).await?;
        Ok::<_, Fault>((
            pages.iter().flat_map(seen).collect::<Vec<_>>(),
            pages.last().map(|p| p.next.clone()),
        ))
    };
    with_cx(async |cx| {
        for (before, grown, changed) in [
            ("1,2\n3,4\n", "1,2\n3,4\n5,6\n", "1,2\n3,5\n5,6\n"),
            ("user_id,video_id\n1,2", "user_id,video_id\n1,2\n5,6\n", "user_id,video_id\n1,25\n5,6\n"),
            ("1,2\r\n3,4", "1,2\r\n3,4\r\n5,6", "1,2\r\n3,4,5\r\n5,6"),
            ("\"1\",2", "\"1\",2\n5,6", "\"1\",2 \n5,6"),
        ] {
            write(before);
            let (_, cursor) = items(None, cx).await.unwrap();
            let cursor = cursor.unwrap();
            let remembered = opener.remembered(&cursor);
            assert_eq!(opener.fingerprint(&cursor, cx).await.unwrap(), remembered);
            assert_eq!(items(Some(&cursor), cx).await.unwrap().0, []);
            write(grown);
            assert_eq!(opener.fingerprint(&cursor, cx).await.unwrap(), remembered, "{grown}");
            let (all, _) = items(None, cx).await.unwrap();
            // With the digest of the fingerprint (it seeks) and without (it reads the prefix).
            for _ in 0..2 {
                assert_eq!(items(Some(&cursor), cx).await.unwrap().0, all[all.len() - 1..], "{grown}");
            }
            for other in [changed, "", "1,2"] {
                write(other);
                assert_ne!(opener.fingerprint(&cursor, cx).await.unwrap(), remembered, "{other}");
            }
            write("9,9\n");
            let fault = items(Some(&cursor), cx).await.unwrap_err();
            assert_eq!((fault.class(), fault.code()), (FaultClass::Fatal, "changed"));
        }
    });
}

#[test]
fn a_stream_that_breaks_is_opened_again_where_it_was() {
    let text: String = (0..5000).map(|n| format!("{n},{n}\n")).collect();
    let mut pieces = stream(text.as_bytes(), &[1000]);
    Arc::get_mut(&mut pieces).unwrap().breaks = vec![0, 7, 1, 20];
    let opener = RowsOpener::new(&pairs(Path::new(URL)), Path::new("/"), Some(pieces.clone())).unwrap();
    let (items, faults) = with_cx(async |cx| {
        let mut source = opener.open(&Slice::whole(), None, cx).await.unwrap();
        let (mut items, mut faults) = (Vec::new(), 0);
        loop {
            match source.next_page(cx).await {
                Ok(Some(page)) => items.extend(seen(&page)),
                Ok(None) => return (items, faults),
                Err(fault) => {
                    assert_eq!(
                        (fault.class(), fault.message()),
                        (FaultClass::Transient, "the connection broke")
                    );
                    faults += 1;
                }
            }
        }
    });
    assert_eq!((faults, pieces.opened.load(Ordering::SeqCst)), (4, 5));
    let (_dir, path) = file(text.as_bytes());
    assert_eq!(items, read(&pairs(&path), None).unwrap());
    // Its prefix can be hashed again.
    with_cx(async |cx| {
        let whole = stream(text.as_bytes(), &[777]);
        let opener = RowsOpener::new(&pairs(Path::new(URL)), Path::new("/"), Some(whole)).unwrap();
        let all = pages(&opener, None, cx).await.unwrap();
        let cursor = &all[3].next;
        assert_eq!(opener.fingerprint(cursor, cx).await.unwrap(), opener.remembered(cursor));
    });
}
