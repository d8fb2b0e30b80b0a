//! `files`: bodies, ranges, and what is wrong with some of them.

use std::time::Duration;

use haul_lab::generate::{Form, Manifest};
use haul_lab::{FileKind, Lab, LabSpec, Service};

use crate::client::{Broken, Client, get};

fn lab(change: impl Fn(&mut haul_lab::Script)) -> Lab {
    Lab::start(&LabSpec::new(&[Service::Files]).all(change)).unwrap()
}

#[test]
fn bodies_are_of_their_type_and_always_the_same() {
    let lab = lab(|_| {});
    let url = lab.url(Service::Files);
    for (ext, begins) in [
        ("mp4", &b"\x00\x00\x00\x20ftyp"[..]),
        ("png", b"\x89PNG\r\n"),
        ("jpeg", b"\xff\xd8\xff"),
        ("pdf", b"%PDF-1."),
        ("webm", b"\x1a\x45\xdf\xa3"),
        ("zip", b"PK\x03\x04"),
    ] {
        let body = get(&url, &format!("/files/7-1500000.{ext}")).unwrap().body;
        assert_eq!((body.len(), body.starts_with(begins)), (1_500_000, true), "{ext}");
        assert_eq!(body, lab.file(7, Some(1_500_000), ext));
    }
    assert_eq!(get(&url, "/files/8.png").unwrap().body, lab.file(8, None, "png"));
    // A file is counted once its last bytes have gone, which may be after they have come.
    let counted = || lab.truth(Service::Files).map(|truth| (truth.unique, truth.repeated)).unwrap();
    for _ in 0..500 {
        if counted() == (7, 0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?} files were counted", counted());
}

#[test]
fn ranges_begin_where_they_are_asked_to_unless_the_file_changed() {
    let lab = lab(|_| {});
    let mut client = Client::connect(&lab.url(Service::Files)).unwrap();
    let whole = client.get("/files/7-9000.png").unwrap();
    let etag = whole.header("etag").unwrap().to_owned();
    let mut ask = |headers: &str| {
        client.send(format!("GET /files/7-9000.png HTTP/1.1\r\n{headers}\r\n").as_bytes()).unwrap();
        client.receive().unwrap()
    };
    let part = ask(&format!("Range: bytes=4000-\r\nIf-Range: {etag}\r\n"));
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 4000-8999/9000")));
    assert_eq!(part.body, whole.body[4000..]);
    assert_eq!(ask("Range: bytes=9000-\r\n").status, 416);
    assert_eq!(ask("Range: bytes=10-19\r\n").body, whole.body[10..20]);
    lab.set(Service::Files, |s| s.generation = 1).unwrap();
    let changed = ask(&format!("Range: bytes=4000-\r\nIf-Range: {etag}\r\n"));
    assert_eq!((changed.status, changed.body.len()), (200, 9000));
    assert_ne!(changed.header("etag"), Some(&*etag));
    lab.set(Service::Files, |s| s.no_ranges = true).unwrap();
    assert_eq!(ask("Range: bytes=4000-\r\n").status, 200);
}

#[test]
fn ids_that_are_wrong_are_wrong_in_every_way() {
    let lab = lab(|s| {
        s.missing_rate = 0.2;
        s.wrong_rate = 0.5;
        s.redirect_rate = 0.2;
    });
    let url = lab.url(Service::Files);
    let mut seen = std::collections::BTreeMap::new();
    for id in 0..120 {
        let mut reply = get(&url, &format!("/files/{id}-500.mp4")).unwrap();
        if reply.status == 302 {
            *seen.entry("moved").or_insert(0) += 1;
            let to = reply.header("location").unwrap().to_owned();
            reply = get(&url, &to).unwrap();
        }
        let name = match lab.file_kind(id) {
            FileKind::Good => {
                assert_eq!(reply.body, lab.file(id, Some(500), "mp4"));
                "good"
            }
            FileKind::Missing(status) => {
                assert_eq!(reply.status, status);
                if status == 410 { "gone" } else { "missing" }
            }
            FileKind::Html => {
                assert!(reply.body.starts_with(b"<!DOCTYPE"));
                "html"
            }
            FileKind::Json => {
                assert!(reply.body.starts_with(b"{"));
                "json"
            }
            FileKind::Other => {
                assert!(reply.body.starts_with(b"\x89PNG"));
                "other"
            }
            FileKind::Empty => {
                assert!(reply.body.is_empty());
                "empty"
            }
        };
        *seen.entry(name).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn a_file_that_is_cut_off_does_not_count_as_served() {
    let lab = lab(|s| s.truncate_rate = 1.0);
    let url = lab.url(Service::Files);
    assert_eq!(get(&url, "/files/7-100000.png").unwrap_err(), Broken::Short);
    assert_eq!(lab.truth(Service::Files).unwrap().unique, 0);
}

#[test]
fn manifests_name_what_the_lab_serves() {
    let manifest = |form| {
        let mut out = Vec::new();
        let (video, image) = (1000..=2000, 50..=50);
        let url = "http://127.0.0.1:9".to_owned();
        let written = Manifest { count: 3, seed: 1, url, form, video, image }.write_to(&mut out).unwrap();
        assert_eq!((written.lines, written.bytes), (3, out.len() as u64));
        String::from_utf8(out).unwrap()
    };
    let object: serde_json::Value = serde_json::from_str(&manifest(Form::Object)).unwrap();
    let mp4 = object["1001"]["download_urls"]["mp4"].as_str().unwrap();
    assert!(mp4.starts_with("http://127.0.0.1:9/files/1001-1") && mp4.ends_with(".mp4"), "{mp4}");
    assert!(object["1002"]["download_urls"]["png"].as_str().unwrap().ends_with("1002-50.png"));
    let array: serde_json::Value = serde_json::from_str(&manifest(Form::Array)).unwrap();
    assert_eq!(array[1], object["1001"]);
    assert_eq!(manifest(Form::Urls).lines().nth(1), Some(mp4));
    assert_eq!(manifest(Form::Csv).lines().nth(2).unwrap().split(',').nth(2), Some(mp4));
    let line = manifest(Form::Lines);
    assert_eq!(serde_json::from_str::<serde_json::Value>(line.lines().nth(1).unwrap()).unwrap(), array[1]);
}
