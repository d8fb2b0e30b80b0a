//! What is there, compared with what should be.

use super::*;

#[test]
fn a_check_says_what_is_missing_different_and_too_much_and_changes_nothing() {
    let scene = Scene::new(|_| {}).with(20);
    let check = |more: &[&str]| {
        let args = scene.args(more);
        scene.place.haul(&[&["check".to_owned()][..], &args].concat())
    };
    // Before the first run everything is missing.
    let said = check(&[]).ended(3).told(&["no run of this job", "1000.mp4: missing", "and 20 more"]);
    assert_eq!(said.out, "20 records: 0 files are right, 40 missing, 0 different\n");
    scene.get(&[]).ended(0);
    let right = "20 records: 40 files are right, 0 missing, 0 different";
    assert_eq!(check(&[]).ended(0).out, format!("{right}\n"));
    let said = check(&["--reread", "--extra=extra.txt"]).ended(0);
    assert_eq!(said.out, format!("{right}, 0 too much\n"));
    assert_eq!(scene.place.read("extra.txt"), "");

    // A flipped byte under the old time shows when contents are read.
    let png = scene.place.file("content/1004.png");
    let time = std::fs::metadata(&png).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&png).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&png, bytes).unwrap();
    std::fs::File::options().write(true).open(&png).unwrap().set_modified(time).unwrap();
    check(&[]).ended(0);
    let said = check(&["--reread"]).ended(3).told(&["1004.png: its content has changed"]);
    assert_eq!(said.out, "20 records: 39 files are right, 0 missing, 1 different\n");

    std::fs::remove_file(scene.place.file("content/1003.mp4")).unwrap();
    std::fs::write(scene.place.file("content/1005.mp4"), "<html>sorry</html>").unwrap();
    std::fs::create_dir(scene.place.file("content/sub")).unwrap();
    scene.place.write("content/sub/mine.txt", "x");
    let before = scene.saved();
    let requests = scene.truth().requests;
    let lists = ["--missing=missing.txt", "--different=different.txt", "--extra=-"];
    let said = check(&lists).ended(3).told(&["1 missing, 1 different, 1 too much", "1003.mp4: missing"]);
    let said = said.told(&["1005.mp4: 18 bytes, saved with"]);
    assert_eq!(said.out, "sub/mine.txt\n");
    assert_eq!(scene.place.read("missing.txt"), "1003.mp4\n");
    assert_eq!(scene.place.read("different.txt"), "1005.mp4\n");
    assert_eq!((scene.saved(), scene.truth().requests), (before, requests));

    // As a job file, and for a program; without what the run knows, the first bytes still say something.
    let args = scene.args(&["--state=elsewhere", "--json"]);
    let said = scene.place.haul(&[&["check".to_owned()][..], &args].concat()).ended(3);
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&found["right"], &found["missing"], &found["different"]), (&38.into(), &1.into(), &1.into()));
    said.told(&["1005.mp4: it is html and should be mp4"]);
    let plan = scene.place.haul(&[&["plan".to_owned()][..], &scene.args(&[])].concat()).ended(0).out;
    scene.place.write("get.toml", plan);
    let said = scene.place.haul(&["check", "get.toml"]).ended(3);
    assert_eq!(said.out, "20 records: 38 files are right, 1 missing, 1 different\n");
}

#[test]
fn a_check_tells_what_a_status_has_skipped_from_what_is_missing() {
    let scene = Scene::new(|s| s.missing_rate = 0.3).with(30);
    let absent = |key: &str, urls: &[String; 2]| {
        assert!(!key.is_empty());
        matches!(scene.lab.file_kind(parts(&urls[0]).0), FileKind::Missing(_))
    };
    let gone = scene.records().iter().filter(|(key, urls)| absent(key, urls)).count();
    assert!((1..30).contains(&gone), "{gone}");
    let more = ["--on=404=skip", "--on=410=skip"];
    scene.get(&more).ended(0);
    let check = || scene.place.haul(&[&["check".to_owned()][..], &scene.args(&more)].concat());
    let said = check().ended(0);
    let (right, skipped) = (2 * (30 - gone), 2 * gone);
    let line = format!(
        "30 records: {right} files are right, 0 missing, 0 different, {skipped} skipped by their status"
    );
    assert_eq!(said.out, format!("{line}\n"));

    // What was there and has gone is missing; what appears is saved, and no longer skipped.
    let (key, _) = scene.records().into_iter().find(|(key, urls)| !absent(key, urls)).unwrap();
    std::fs::remove_file(scene.place.file(&format!("content/{key}.png"))).unwrap();
    check().ended(3).told(&[&format!("{key}.png: missing")]);
    scene.lab.set(Service::Files, |s| s.missing_rate = 0.0).unwrap();
    scene.get(&more).ended(0);
    assert_eq!(check().ended(0).out, "30 records: 60 files are right, 0 missing, 0 different\n");
}
