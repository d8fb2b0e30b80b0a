//! Files that are not there, are no input, or end too early.

use std::io::{Seek, SeekFrom, Write};

use crate::enrich::Scene;

/// More than the program may take however long a line is: an idle debug build takes half of it.
const RSS: u64 = 40_000_000;

#[test]
fn what_is_not_there_or_cannot_be_read() {
    let scene = Scene::new(0);
    scene.typed("nosuch.csv", &[]).ended(1).told(&["haul: nosuch.csv: no such file in "]);
    scene.typed("/no/such.csv", &[]).ended(1).told(&["haul: /no/such.csv: no such file\n"]);
    scene.typed(".", &[]).ended(1).told(&["haul: . is a directory; name a file in it"]);
    scene.typed("pairs.csv/x.csv", &[]).ended(1).told(&["haul: pairs.csv/x.csv: "]);
    scene
        .typed("ftp://h/x.csv", &[])
        .ended(64)
        .told(&["nothing here reads ftp://", "hint: give a file, - for standard input"]);
    scene.is_untouched();
}

#[test]
fn binary_garbage_is_told_as_such_before_anything_is_asked() {
    let scene = Scene::new(0);
    let mut rng = fastrand::Rng::with_seed(1);
    let garbage: Vec<u8> = (0..300_000).map(|_| rng.u8(..)).collect();
    scene.place.write("video.mp4", garbage);
    for flags in [&["--columns=user_id:int,video_id:int"][..], &["--tsv"], &["--csv"], &[]] {
        let said = scene.place.haul(&scene.look_up("video.mp4", flags)).ended(1);
        said.told(&["haul: video.mp4 is not ", "binary data", "give a text file"]);
        scene.is_untouched();
    }
    scene
        .place
        .haul(&scene.look_up("video.mp4", &["--jsonl"]))
        .ended(1)
        .told(&["is not JSON Lines: binary data"]);
    for (magic, says) in [
        (
            &b"PK\x03\x04sheet.xlsx"[..],
            "it is a zip archive, which is not read directly: unzip -p FILE | haul",
        ),
        (b"BZh91AY&SY", "it is bzip2, which is not read directly: bzip2 -dc FILE | haul"),
        (b"\xff\xfeu\0s\0e\0r\0", "it is UTF-16 text, which is not read directly: iconv -f UTF-16"),
    ] {
        scene.place.write("other.csv", magic);
        scene.typed("other.csv", &[]).ended(1).told(&["haul: other.csv: ", says]);
    }
    scene.is_untouched();
}

/// The peak of the program's memory, as its summary tells.
fn peak(scene: &Scene, input: &str, more: &[&str]) -> (u64, serde_json::Value) {
    let said = scene.typed(input, &[&["--json"], more].concat()).ended(3);
    let end: serde_json::Value = serde_json::from_str(said.err.lines().last().unwrap()).unwrap();
    (end["rss_peak"].as_u64().unwrap(), end)
}

#[test]
fn a_line_of_a_gigabyte_is_one_bad_line() {
    let scene = Scene::new(0);
    let mut file = std::fs::File::create(scene.place.file("huge.csv")).unwrap();
    file.write_all(b"user_id,video_id\n1,2\n").unwrap();
    // A hole: a gigabyte of zeros that takes no room.
    file.seek(SeekFrom::Current(1 << 30)).unwrap();
    file.write_all(b"\n3,4\n").unwrap();
    drop(file);
    let (rss, end) = peak(&scene, "huge.csv", &[]);
    assert!(rss < RSS, "{rss} bytes");
    assert_eq!((&end["counts"]["done"], &end["counts"]["rejected"]), (&2.into(), &1.into()));
    let list = scene.place.haul(&["errors", "--list"]).ended(0).out;
    assert!(
        list.contains("line 3  huge.csv:3: the line is 1073741824 bytes long, at most 1048576 are read"),
        "{list}"
    );
    assert_eq!(scene.rows(), 2);
    // The next command does not read it again, and does not trip over it.
    scene.typed("huge.csv", &[]).ended(3).told(&["nothing new", "rejected 1"]);
}

#[test]
fn an_endless_line_through_a_pipe_takes_no_memory() {
    let scene = Scene::new(0);
    let args = scene.look_up("-", &["--jsonl", "--json"]);
    let mut input = b"{\"user_id\": 1}\n{\"user_id\": \"".to_vec();
    input.resize(80_000_000, b'x');
    input.extend_from_slice(b"\"}\n{\"user_id\": 2}\n");
    let said = scene.place.haul_fed(&args, &input).ended(3);
    let end: serde_json::Value = serde_json::from_str(said.err.lines().last().unwrap()).unwrap();
    assert!(end["rss_peak"].as_u64().unwrap() < RSS, "{end}");
    assert_eq!((&end["counts"]["done"], &end["counts"]["rejected"]), (&2.into(), &1.into()));
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_file_that_is_cut_off_says_so_and_goes_on_when_it_is_whole() {
    let scene = Scene::new(4000);
    let text = scene.place.read("pairs.csv");
    let whole = gzip(text.as_bytes());
    scene.place.write("pairs.csv.gz", &whole[..whole.len() * 3 / 4]);
    let told = ["haul: pairs.csv.gz: the gzip data ends too early: it was cut off; fetch it again"];
    let said =
        scene.typed("pairs.csv.gz", &["-j64"]).ended(4).told(&told).ends_with("haul: next: haul enrich…");
    assert!(said.err.contains("(goes on where it stopped)"), "{}", said.err);
    let before = scene.rows();
    assert!((1000..4000).contains(&before), "{before}");
    // As long as it is broken there is no going on.
    scene.typed("pairs.csv.gz", &["-j64"]).ended(1).told(&told);
    assert_eq!(scene.rows(), before);
    scene.place.write("pairs.csv.gz", &whole);
    let counts =
        scene.typed("pairs.csv.gz", &["-j64"]).ended(0).told(&["goes on", "the rest earlier"]).counts();
    assert_eq!(counts[..2], [4000, 4000]);
    assert_eq!(scene.rows(), 4000);

    scene.place.write("stub.csv.gz", &whole[..7]);
    let stub = scene.place.haul(&["enrich", "stub.csv.gz", "--to=stub.jsonl"]).ended(1);
    stub.told(&["haul: stub.csv.gz: the gzip data ends too early"]);
    assert!(!scene.place.file("stub.jsonl").exists());
}
