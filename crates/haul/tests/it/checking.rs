//! `haul check copy`: what should be at the destination, against what is.

use haul_lab::{ACCESS_KEY, Lab, LabSpec, SECRET_KEY, Script, Service};
use serde_json::Value;

use crate::program::{Place, Said, said};

struct Scene {
    lab: Lab,
    place: Place,
}

impl Scene {
    fn with(change: impl Fn(&mut Script)) -> Self {
        let lab = Lab::start(&LabSpec::new(&[Service::S3]).seed(7).all(change)).unwrap();
        let place = Place::new();
        std::fs::create_dir_all(place.file("config/haul")).unwrap();
        let store = format!("[lab]\ntype = \"s3\"\nendpoint = \"{}\"\n", lab.url(Service::S3));
        place.write("config/haul/stores.toml", store);
        Scene { lab, place }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.place.command(args);
        command.env("XDG_CONFIG_HOME", self.place.file("config"));
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        command
    }

    fn haul(&self, args: &[&str]) -> Said {
        said(self.command(args).output().unwrap())
    }

    fn requests(&self) -> u64 {
        self.lab.truth(Service::S3).unwrap().requests
    }

    /// Puts a file into a bucket, under its name.
    fn put(&self, bucket: &str, name: &str, text: &str) {
        std::fs::create_dir_all(self.place.file("put")).unwrap();
        self.place.write(&format!("put/{name}"), text);
        self.haul(&["copy", "./put", &format!("lab:{bucket}/img"), "--state=puts", "--fresh"]).ended(0);
        std::fs::remove_file(self.place.file("put").join(name)).unwrap();
    }
}

#[test]
fn what_was_copied_is_right_and_no_object_is_asked_for() {
    let scene = Scene::with(|_| {});
    scene.haul(&["copy", "lab:img-2300-300", "lab:pics"]).ended(0);
    let before = scene.requests();
    let said = scene.haul(&["check", "copy", "lab:img-2300-300", "lab:pics", "--extra=-"]).ended(0);
    // Standard output has the names: none.
    assert_eq!(said.out, "");
    assert!(
        said.err.contains("2,300 objects: 2,300 are right (md5 2,300), 0 missing, 0 different, 0 too much"),
        "{}",
        said.err
    );
    assert_eq!(scene.requests() - before, 6);
    let said =
        scene.haul(&["check", "copy", "lab:img-2300-300", "lab:pics", "--reread", "--json", "--limit=40"]);
    let told: Value = serde_json::from_str(&said.ended(0).out).unwrap();
    assert_eq!((told["right"].as_u64(), told["by"]["bytes"].as_u64()), (Some(40), Some(40)), "{told}");
    assert_eq!(told["extra"], Value::Null);
}

#[test]
fn what_is_missing_different_or_too_much_is_told_by_key() {
    let scene = Scene::with(|_| {});
    scene
        .haul(&["copy", "lab:img-300-300", "lab:pics", "--where=.size > 0 and .key != \"img/00000007.png\""])
        .ended(0);
    scene.put("pics", "00000009.png", "something else");
    scene.put("pics", "00000400.png", "nobody knows why this is here");
    scene.put("pics", "line\nbreak.png", "nor this");
    let reports = ["--missing=missing", "--different=different", "--extra=extra"];
    let said =
        scene.haul(&[&["check", "copy", "lab:img-300-300", "lab:pics"], &reports[..]].concat()).ended(3);
    assert!(
        said.out.contains("300 objects: 298 are right (md5 298), 1 missing, 1 different, 2 too much"),
        "{}",
        said.out
    );
    assert!(said.err.contains("img/00000009.png: it has 14 bytes instead of 300"), "{}", said.err);
    assert_eq!(scene.place.read("missing"), "img/00000007.png\n");
    assert_eq!(scene.place.read("different"), "img/00000009.png\n");
    assert_eq!(scene.place.read("extra"), "img/00000400.png\n\"img/line\\nbreak.png\"\n");
    // Without --extra nothing is too much; what a filter leaves out is not missing.
    let filter = "--where=.key != \"img/00000007.png\" and .key != \"img/00000009.png\"";
    let said = scene.haul(&["check", "copy", "lab:img-300-300", "lab:pics", filter]).ended(0);
    assert!(said.out.contains("298 objects: 298 are right"), "{}", said.out);
}

#[test]
fn without_a_checksum_size_and_time_are_compared_and_contents_on_demand() {
    let scene = Scene::with(|s| (s.error_rate, s.drop_rate) = (0.02, 0.01));
    scene.haul(&["copy", "lab:img-50-300", "./down", "--attempts=20"]).ended(0);
    let check = ["check", "copy", "lab:img-50-300", "./down"];
    let said = scene.haul(&check).ended(0);
    assert!(said.out.contains("50 objects: 50 are right (size and time 50)"), "{}", said.out);
    // As long, and newer: only its bytes tell.
    let path = "down/img/00000003.png";
    let len = std::fs::read(scene.place.file(path)).unwrap().len();
    scene.place.write(path, vec![0; len]);
    scene.haul(&check).ended(0);
    let said = scene.haul(&[&check[..], &["--reread", "--different=-"]].concat()).ended(3);
    assert_eq!(said.out, "img/00000003.png\n");
    assert!(said.err.contains("50 objects: 49 are right (bytes 49), 0 missing, 1 different"), "{}", said.err);
}

#[test]
fn a_copy_says_how_it_was_verified_and_what_was_not_carried() {
    let scene = Scene::with(|_| {});
    let said = scene.haul(&["copy", "lab:img-120-1000", "lab:pics", "--json"]).ended(0);
    let last: Value = serde_json::from_str(said.err.lines().last().unwrap()).unwrap();
    assert_eq!(last["copied"]["verified"]["by the store"], 120, "{last}");
    let down = ["copy", "lab:img-400-1000", "./down", "--run=down"];
    scene.haul(&down).ended(0).told(&[
        "copied 400 kB, verified by: md5 400\n",
        "not carried: cache-control 400, content-type 400, meta-made-by 400\n",
    ]);
    scene.haul(&["status", "down"]).ended(0);
    let told = |args: &[&str]| -> Value { serde_json::from_str(&scene.haul(args).ended(0).out).unwrap() };
    for copied in [
        &told(&["status", "down", "--json"])["copied"],
        &told(&["report", "down", "--json"])["run"]["copied"],
    ] {
        assert_eq!(
            (copied["bytes"].as_u64(), copied["verified"]["md5"].as_u64()),
            (Some(400_000), Some(400))
        );
        assert_eq!(copied["not_carried"]["content-type"], 400, "{copied}");
    }
}

#[test]
fn what_was_copied_is_counted_once_when_a_run_is_killed() {
    let scene = Scene::with(|s| s.latency_ms = 20.0);
    let args = ["copy", "lab:img-600-1000", "lab:pics", "-j4", "--expect=png", "--json"];
    for _ in 0..3 {
        let mut child = scene.command(&args).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(700));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    scene.lab.set(Service::S3, |s| s.latency_ms = 0.0).unwrap();
    let said = scene.haul(&args).ended(0);
    let last: Value = serde_json::from_str(said.err.lines().last().unwrap()).unwrap();
    // What arrived and was not committed was there already the next time.
    let (done, skipped) = (&last["counts"]["done"], &last["counts"]["skipped"]);
    assert_eq!(done.as_u64().unwrap() + skipped.as_u64().unwrap(), 600, "{last}");
    assert_eq!(&last["copied"]["verified"]["by the store"], done, "{last}");
}

#[test]
fn broken_and_corrupt_sources_are_recorded_and_a_check_misses_the_same() {
    let scene = Scene::with(|_| {});
    scene.lab.set(Service::S3, |s| (s.missing_rate, s.wrong_rate) = (0.02, 0.02)).unwrap();
    let said =
        scene.haul(&["copy", "lab:img-1000-300", "lab:pics", "--expect=png", "--failed-to=failed"]).ended(3);
    let there = scene.lab.object_keys("pics").len();
    assert!((900..995).contains(&there), "{there}");
    assert!(
        said.err.contains(&format!("done {there} + skipped 0 + failed {}", 1000 - there)),
        "{}",
        said.err
    );
    assert_eq!(scene.place.read("failed").lines().count(), 1000 - there);
    scene.haul(&["check", "copy", "lab:img-1000-300", "lab:pics", "--missing=missing"]).ended(3);
    assert_eq!(scene.place.read("missing").lines().count(), 1000 - there);
}
