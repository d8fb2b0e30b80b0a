//! `haul get` end to end: the real program, real sockets, and a lab that remembers what it served.

mod broken;
mod checked;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use haul_lab::generate::{Form, Manifest};
use haul_lab::{FileKind, Lab, LabSpec, Script, Service, Truth};

use crate::program::{Place, Said};

/// Files, their manifest, and a directory for the program.
struct Scene {
    lab: Lab,
    place: Place,
}

/// Every file below a directory with its bytes; unfinished ones apart.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(dir: &Path, prefix: &str, out: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), &format!("{name}/"), out),
                false => {
                    out.insert(name, std::fs::read(entry.path()).unwrap());
                }
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, "", &mut out);
    out.retain(|name, _| !name.starts_with(".haul-part/"));
    out
}

/// Id, size and extension of a URL of the lab.
fn parts(url: &str) -> (u64, u64, String) {
    let (stem, ext) = url.rsplit_once('/').unwrap().1.split_once('.').unwrap();
    let (id, size) = stem.split_once('-').unwrap();
    (id.parse().unwrap(), size.parse().unwrap(), ext.to_owned())
}

impl Scene {
    fn new(change: impl Fn(&mut Script)) -> Self {
        let lab = Lab::start(&LabSpec::new(&[Service::Files]).seed(7).all(change)).unwrap();
        Scene { lab, place: Place::new() }
    }

    fn manifest(&self, count: u64, form: Form, video: std::ops::RangeInclusive<u64>) -> Vec<u8> {
        let (url, image) = (self.lab.url(Service::Files), 500..=9000);
        let mut out = Vec::new();
        Manifest { count, seed: 3, url, form, video, image }.write_to(&mut out).unwrap();
        out
    }

    /// `contents.json` with so many records.
    fn with(self, count: u64) -> Self {
        let text = self.manifest(count, Form::Object, 2000..=30_000);
        self.place.write("contents.json", text);
        self
    }

    fn args(&self, more: &[&str]) -> Vec<String> {
        let base = [
            "get",
            "contents.json",
            "--url=mp4=.download_urls.mp4",
            "--url=png=.download_urls.png",
            "--to=content",
        ];
        base.iter().chain(more).map(|s| (*s).to_owned()).collect()
    }

    fn get(&self, more: &[&str]) -> Said {
        self.place.haul(&self.args(more))
    }

    fn truth(&self) -> Truth {
        self.lab.truth(Service::Files).unwrap()
    }

    fn saved(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.place.file("content"))
    }

    /// The bytes that a URL of the lab stands for.
    fn served(&self, url: &str) -> Vec<u8> {
        let (id, size, ext) = parts(url);
        self.lab.file(id, Some(size), &ext)
    }

    /// Records of `contents.json`: key, and URL by extension.
    fn records(&self) -> Vec<(String, [String; 2])> {
        let value: serde_json::Value = serde_json::from_str(&self.place.read("contents.json")).unwrap();
        let record = |(key, v): (&String, &serde_json::Value)| {
            let url = |ext: &str| v["download_urls"][ext].as_str().unwrap().to_owned();
            (key.clone(), [url("mp4"), url("png")])
        };
        value.as_object().unwrap().iter().map(record).collect()
    }

    /// Fails unless exactly these records are saved, byte for byte.
    #[track_caller]
    fn has_exactly(&self, wanted: impl Fn(&str) -> bool) {
        let saved = self.saved();
        let mut expected = BTreeMap::new();
        for (key, urls) in self.records().into_iter().filter(|(key, _)| wanted(key)) {
            for url in urls {
                expected.insert(format!("{key}.{}", parts(&url).2), self.served(&url));
            }
        }
        assert_eq!(saved.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert!(saved == expected, "contents differ");
        assert!(!self.place.file("content/.haul-part").exists(), "unfinished files are left");
    }
}

#[test]
fn every_record_is_saved_whole_and_the_same_command_fetches_only_what_is_missing() {
    let scene = Scene::new(|_| {}).with(60);
    scene.get(&["--limit=50"]).ended(0);
    let first: Vec<String> = scene.records().into_iter().take(50).map(|(key, _)| key).collect();
    scene.has_exactly(|key| first.iter().any(|k| k == key));
    assert_eq!((scene.truth().accepted, scene.truth().repeated), (100, 0));

    let run = scene.place.file(".haul").join(&scene.place.runs()[0]);
    let receipts = std::fs::read(run.join("out/receipts.jsonl.zst")).unwrap();
    let receipts = String::from_utf8(zstd::stream::decode_all(&receipts[..]).unwrap()).unwrap();
    assert_eq!(receipts.lines().count(), 100);
    for line in receipts.lines() {
        let receipt: serde_json::Value = serde_json::from_str(line).unwrap();
        let bytes = scene.served(receipt["url"].as_str().unwrap());
        assert_eq!(receipt["bytes"], bytes.len());
        let crc = format!("crc32c:{:08x}", crc32c::crc32c(&bytes));
        assert_eq!(receipt["checksum"], crc);
        assert_eq!(scene.saved()[receipt["path"].as_str().unwrap()], bytes);
    }

    // Missing, changed, and touched: two are fetched.
    std::fs::remove_file(scene.place.file("content/1003.png")).unwrap();
    std::fs::write(scene.place.file("content/1004.mp4"), "something else").unwrap();
    let touched = scene.place.file("content/1005.mp4");
    std::fs::write(&touched, scene.saved()["1005.mp4"].clone()).unwrap();
    let said = scene.get(&["--limit=50"]).ended(0);
    assert_eq!(said.counts()[..3], [50, 2, 48]);
    assert_eq!(scene.truth().accepted, 102);
    scene.has_exactly(|key| first.iter().any(|k| k == key));

    // More of the manifest.
    let said = scene.get(&[]).ended(0);
    assert_eq!(said.counts()[..3], [60, 10, 50]);
    scene.has_exactly(|_| true);
    assert_eq!(scene.truth().accepted, 122);
}

#[test]
fn directories_that_went_away_are_made_again() {
    let scene = Scene::new(|_| {}).with(3);
    let get = || scene.get(&["--as=a/{id}/{id}.{ext}"]).ended(0);
    get();
    let saved = scene.saved();
    std::fs::remove_dir_all(scene.place.file("content/a")).unwrap();
    let said = get();
    assert_eq!(said.counts()[..3], [3, 3, 0]);
    assert_eq!(scene.saved(), saved);
}

#[test]
fn another_url_under_a_key_is_fetched_again() {
    let scene = Scene::new(|_| {}).with(5);
    scene.get(&[]).ended(0);
    let text = scene.place.read("contents.json").replacen("1002-", "1777-", 1);
    scene.place.write("contents.json", text);
    let said = scene.get(&[]).ended(0);
    assert_eq!(said.counts()[..3], [5, 1, 4]);
    scene.has_exactly(|_| true);
    assert_eq!(scene.truth().accepted, 11);
}

#[test]
fn identical_urls_are_fetched_once() {
    let scene = Scene::new(|s| s.latency_ms = 20.0);
    let url = format!("{}/files/7-50000.png", scene.lab.url(Service::Files));
    let lines: String = (0..20).map(|id| format!("{{\"id\":{id},\"url\":\"{url}\"}}\n")).collect();
    scene.place.write("in.jsonl", lines);
    let get = || scene.place.haul(&["get", "in.jsonl", "--to=content"]);
    get().ended(0);
    assert_eq!(scene.truth().requests, 1);
    let saved = scene.saved();
    assert_eq!((saved.len(), saved.values().all(|b| *b == scene.served(&url))), (20, true));
    get().ended(0);
    assert_eq!(scene.truth().requests, 1);
}

#[test]
fn names_stay_inside_and_apart() {
    let scene = Scene::new(|_| {});
    let base = scene.lab.url(Service::Files);
    let keys = ["../../up", "a/b", "CON", "same", "SAME", "same", "x:y", ".haul-part/z"];
    let lines: String = keys
        .iter()
        .enumerate()
        .map(|(n, key)| {
            format!("{{\"id\":{},\"url\":\"{base}/files/{n}-900.png\"}}\n", serde_json::json!(key))
        })
        .collect();
    scene.place.write("in.jsonl", lines);
    let get = || scene.place.haul(&["get", "in.jsonl", "--to=content", "--as={id}.{ext}"]);
    get().ended(0);
    let saved = scene.saved();
    let names: Vec<&str> = saved.keys().map(String::as_str).collect();
    for name in [".._.._up.png", "a_b.png", "_CON.png", "same.png", "x_y.png"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert_eq!(saved.len(), keys.len(), "{names:?}");
    // The first of those that would be called the same has the name, whatever came first.
    assert_eq!(saved["same.png"], scene.served("/3-900.png"));
    assert_eq!(names.iter().filter(|n| n.to_lowercase().starts_with("same~")).count(), 2, "{names:?}");
    assert!(!scene.place.file("../up.png").exists());
    get().ended(0);
    assert_eq!(scene.saved(), saved, "and stays so");
    assert_eq!(scene.truth().requests, keys.len() as u64);
}

#[test]
fn files_of_others_are_not_replaced() {
    let scene = Scene::new(|_| {}).with(3);
    std::fs::create_dir(scene.place.file("content")).unwrap();
    scene.place.write("content/1000.png", "mine");
    let png = scene.served(&scene.records()[1].1[1]);
    scene.place.write("content/1001.png", png);
    let said = scene.get(&[]).ended(3);
    assert_eq!(said.counts()[..4], [3, 2, 0, 1]);
    said.told(&["1000.png", "is there and differs: move it away, or say --overwrite"]);
    assert_eq!(scene.place.read("content/1000.png"), "mine");
    assert!(!scene.place.file("content/1000.mp4").exists(), "its record failed as a whole");
    scene.get(&["--overwrite"]).ended(0);
    scene.has_exactly(|_| true);
}

#[test]
fn files_of_others_that_appear_meanwhile_are_not_replaced() {
    let scene = Scene::new(|s| s.latency_ms = 1500.0).with(2);
    let run = scene.place.command(&scene.args(&[])).spawn().unwrap();
    while !scene.truth().requests.gt(&0) {
        std::thread::sleep(Duration::from_millis(5));
    }
    scene.place.write("content/1000.png", "mine");
    let said = crate::program::said(run.wait_with_output().unwrap()).ended(1);
    said.told(&["1000.png", "it has appeared while it was fetched"]);
    assert_eq!(scene.place.read("content/1000.png"), "mine");
    let said = scene.get(&[]).ended(3);
    said.told(&["1000.png", "is there and differs: move it away, or say --overwrite"]);
    assert_eq!(scene.place.read("content/1000.png"), "mine");
    std::fs::remove_file(scene.place.file("content/1000.png")).unwrap();
    scene.get(&[]).ended(0);
    scene.has_exactly(|_| true);
}

#[test]
fn checksums_of_the_manifest_are_held_against_the_files() {
    let scene = Scene::new(|_| {});
    let url = |id: u64| format!("{}/files/{id}-3000.png", scene.lab.url(Service::Files));
    let sum = |id: u64| format!("{:08x}", crc32c::crc32c(&scene.served(&url(id))));
    let line = |id: u64, sum: &str| format!("{{\"id\":{id},\"url\":\"{}\",\"sum\":\"{sum}\"}}\n", url(id));
    let text = [line(1, &sum(1)), line(2, &sum(1)), line(3, "what?"), line(4, &format!("crc32c:{}", sum(4)))]
        .concat();
    scene.place.write("in.jsonl", text);
    let get = ["get", "in.jsonl", "--to=content", "--checksum=.sum", "--attempts=2"];
    let said = scene.place.haul(&get).ended(3);
    assert_eq!(said.counts()[..4], [4, 2, 0, 2]);
    said.told(&["its crc32c is", "is no checksum"]);
    assert_eq!(scene.saved().into_keys().collect::<Vec<_>>(), ["1.png", "4.png"]);
}

#[test]
fn manifests_come_in_every_form_and_from_everywhere() {
    for (form, flags) in [
        (Form::Object, vec!["--url=mp4=.download_urls.mp4"]),
        (Form::Array, vec!["--url=mp4=.download_urls.mp4", "--each=.[]"]),
        (Form::Lines, vec!["--url=mp4=.download_urls.mp4", "--jsonl"]),
        (Form::Csv, vec!["--url=mp4=.mp4", "--csv", "--key={id}"]),
        (Form::Urls, vec![]),
    ] {
        let scene = Scene::new(|_| {});
        let text = scene.manifest(12, form, 900..=2000);
        let packed = zstd::stream::encode_all(&text[..], 1).unwrap();
        let mut args = vec!["get", "-", "--to=content", "--where=.views != 3.0"];
        args.extend(&flags);
        if matches!(form, Form::Csv | Form::Urls) {
            args.remove(3);
        }
        scene.place.haul_fed(&args, &packed).ended(0);
        let left = if matches!(form, Form::Csv | Form::Urls) { 12 } else { 11 };
        assert_eq!(scene.saved().len(), left, "{form:?}");
    }
}

#[test]
fn usage_is_checked_before_the_first_byte() {
    let scene = Scene::new(|_| {}).with(3);
    for (args, told) in [
        (&["--as={key}.bin"][..], "the files of a record would all be called the same"),
        (&["--as=video.mp4"], "all files would be called the same"),
        (&["--url=mp4=.other"], "two files are named \"mp4\""),
        (&["--checksum=mp5=.x"], "no --url is named \"mp5\""),
        (&["--as={key"], "never closed"),
        (&["--each=.a[0]"], "takes only"),
    ] {
        scene.get(args).ended(64).told(&[told]);
    }
    scene.place.write("file", "x");
    let args = ["get", "contents.json", "--url=mp4=.download_urls.mp4", "--to=file"];
    scene.place.haul(&args).ended(1).told(&["no directory", "--to"]);
    scene.place.haul(&["get", "nothing.json", "--to=content"]).ended(1).told(&["no such file"]);
    assert_eq!((scene.truth().requests, scene.place.runs()), (0, vec![]));
}

#[test]
fn a_missing_url_fails_its_record_unless_it_is_optional() {
    let scene = Scene::new(|_| {});
    let base = scene.lab.url(Service::Files);
    let text = format!(
        "{{\"a\": {{\"m\": \"{base}/files/1-900.mp4\", \"p\": null}}, \"b\": {{\"p\": \"{base}/files/2-900.png\"}}}}"
    );
    scene.place.write("in.json", text);
    let said =
        scene.place.haul(&["get", "in.json", "--url=mp4=.m", "--url=png?=.p", "--to=content"]).ended(3);
    assert_eq!(said.counts()[..4], [2, 1, 0, 1]);
    said.told(&["mp4: the record has no .m"]);
    assert_eq!(scene.saved().into_keys().collect::<Vec<_>>(), ["a.mp4"]);
}

#[test]
fn a_disk_that_is_to_stay_free_stops_the_run_and_rm_leaves_nothing() {
    let scene = Scene::new(|s| s.truncate_rate = 1.0);
    scene.place.write("urls.txt", scene.manifest(2, Form::Urls, 2_000_000..=2_000_000));
    let get = |more: &str| scene.place.haul(&["get", "urls.txt", "--to=content", "--attempts=2", more]);
    let said = get("--keep-free=900000GiB").ended(4);
    said.told(&["no room in", "free at least", " MB, then run the same command again", "goes on where"]);
    assert_eq!(scene.saved().len(), 0);

    // A run that is deleted takes what is unfinished with it.
    let mut child =
        scene.place.command(&["get", "urls.txt", "--to=content", "--attempts=90"]).spawn().unwrap();
    let unfinished = scene.place.file("content/.haul-part");
    while files(&unfinished).len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    scene.place.haul(&["rm", &scene.place.runs()[0]]).ended(0);
    assert!(!unfinished.exists());
    assert!(scene.place.file("content").exists());
}

#[test]
fn no_more_comes_in_than_is_allowed() {
    let scene = Scene::new(|_| {});
    scene.place.write("urls.txt", scene.manifest(6, Form::Urls, 200_000..=200_000));
    let begun = std::time::Instant::now();
    scene.place.haul(&["get", "urls.txt", "--to=content", "--bandwidth=800K"]).ended(0);
    // 1.2 MB, of which a tenth of a second may come at once.
    assert!(begun.elapsed() > Duration::from_millis(1300), "{:?}", begun.elapsed());
    assert_eq!(scene.saved().len(), 6);
    scene
        .place
        .haul(&["get", "urls.txt", "--to=content", "--bandwidth=8-19=1M"])
        .ended(64)
        .told(&["08:00-19:00=20M"]);
}
