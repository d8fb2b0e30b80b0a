//! `haul copy` end to end: two S3 services that check every signature, and keep what they were given.

use haul_lab::{ACCESS_KEY, Lab, LabSpec, ODD_KEYS, SECRET_KEY, Script, Service};

use crate::program::{Place, Said, said};

struct Scene {
    old: Lab,
    new: Lab,
    place: Place,
}

impl Scene {
    fn new() -> Self {
        Scene::with(|_| {})
    }

    fn with(change: impl Fn(&mut Script)) -> Self {
        let lab = || Lab::start(&LabSpec::new(&[Service::S3]).seed(7).all(&change)).unwrap();
        let scene = Scene { old: lab(), new: lab(), place: Place::new() };
        let store = |name: &str, lab: &Lab| {
            format!("[{name}]\ntype = \"s3\"\nendpoint = \"{}\"\n", lab.url(Service::S3))
        };
        std::fs::create_dir_all(scene.place.file("config/haul")).unwrap();
        let stores = store("old", &scene.old) + &store("new", &scene.new);
        scene.place.write("config/haul/stores.toml", stores);
        scene
    }

    fn command(&self, secret: &str, args: &[&str]) -> std::process::Command {
        self.any(secret, &[&["copy"], args].concat())
    }

    /// Any verb.
    fn any(&self, secret: &str, args: &[&str]) -> std::process::Command {
        let mut command = self.place.command(args);
        command.env("XDG_CONFIG_HOME", self.place.file("config"));
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", secret);
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        command
    }

    fn copy_as(&self, secret: &str, args: &[&str]) -> Said {
        said(self.command(secret, args).output().unwrap())
    }

    fn copy(&self, args: &[&str]) -> Said {
        self.copy_as(SECRET_KEY, args)
    }

    /// Every object of the old bucket is in the new one, with what is kept with it.
    #[track_caller]
    fn equal(&self, keys: &[String], (old, new): (&str, &str)) {
        for key in keys {
            let there = self.new.object(new, key).unwrap_or_else(|| panic!("{key:?} is missing"));
            let here = self.old.object(old, key).unwrap();
            assert!(there.bytes == here.bytes, "{key:?} has other bytes");
            let sorted = |mut headers: Vec<(String, String)>| {
                headers.sort();
                headers
            };
            assert_eq!(sorted(there.headers), sorted(here.headers), "{key:?}");
        }
        assert_eq!(self.new.object_keys(new).len(), keys.len());
    }
}

fn keys(n: u64) -> Vec<String> {
    (0..n).map(|id| format!("img/{id:08}.png")).collect()
}

fn requests(lab: &Lab) -> u64 {
    lab.truth(Service::S3).unwrap().requests
}

#[test]
fn a_bucket_is_copied_and_nothing_is_copied_twice() {
    let scene = Scene::new();
    let said = scene.copy(&["old:img-2300-500", "new:pics", "--receipts=copied.jsonl"]).ended(0);
    assert!(said.err.contains(&format!("new:pics ({}", scene.new.url(Service::S3))), "{}", said.err);
    assert!(said.err.contains("done 2,300 "), "{}", said.err);
    scene.equal(&keys(2300), ("img-2300-500", "pics"));
    let receipts = scene.place.read("copied.jsonl");
    assert_eq!(receipts.lines().filter(|l| l.contains("\"verified\":\"md5\"")).count(), 2300);
    // Three pages of a listing here, one of nothing there, and one object to find out whether MD5s are compared
    // there; then as many of both listings, and not an object.
    assert_eq!((requests(&scene.old), requests(&scene.new)), (2303, 2302));
    let said = scene.copy(&["old:img-2300-500", "new:pics", "--run=again"]).ended(0);
    assert!(said.err.contains("skipped 2,300 "), "{}", said.err);
    assert_eq!((requests(&scene.old), requests(&scene.new)), (2306, 2305));
}

#[test]
fn where_all_is_listing_several_ranges_are_listed_at_once_across_kills() {
    let scene = Scene::with(|s| s.latency_ms = 100.0);
    let args = ["old:img-60000-100", "new:img-60000-100", "-j16"];
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..4 {
        let mut child = scene.command(SECRET_KEY, &args).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(rng.u64(200..1500)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let said = scene.copy(&args).ended(0);
    assert!(said.err.contains("read 60,000 = done 0 + skipped 60,000 "), "{}", said.err);
    for lab in [&scene.old, &scene.new] {
        let most = lab.truth(Service::S3).unwrap().max_in_flight;
        // Of one range it is one. How many it is depends on how quickly they are gone through here.
        assert!(most >= 2, "at most {most} listings at once");
        assert_eq!(lab.truth(Service::S3).unwrap().accepted, 0, "nothing is sent");
    }
}

#[test]
fn every_key_arrives_as_it_is() {
    let scene = Scene::new();
    scene.copy(&["old:odd", "new:kept"]).ended(0);
    scene.equal(&ODD_KEYS.map(str::to_owned), ("odd", "kept"));
    // With another prefix, which is put before each.
    scene.copy(&["old:odd/a", "new:moved/b"]).ended(0);
    let moved = scene.new.object_keys("moved");
    assert_eq!(moved.len(), ODD_KEYS.iter().filter(|k| k.starts_with('a')).count());
    assert!(moved.iter().all(|k| k.starts_with('b')), "{moved:?}");
    // Within one store, by the store itself.
    scene.copy(&["new:kept", "new:twice"]).ended(0);
    scene.equal(&ODD_KEYS.map(str::to_owned), ("odd", "twice"));
}

#[test]
fn large_objects_go_in_parts() {
    let scene = Scene::new();
    scene.copy(&["old:img-2-20000001", "new:large", "--receipts=-"]).ended(0);
    scene.equal(&keys(2), ("img-2-20000001", "large"));
    assert!(scene.new.object("large", "img/00000000.png").unwrap().etag.ends_with("-3"));
    assert_eq!(scene.new.open_uploads(), 0);
    let said = scene.copy(&["old:img-2-20000001", "new:large", "--run=again"]).ended(0);
    assert!(said.err.contains("skipped 2 "), "{}", said.err);
}

#[test]
fn bad_days_cost_nothing() {
    let scene = Scene::with(|s| {
        (s.error_rate, s.drop_rate, s.truncate_rate, s.reply_loss) = (0.05, 0.02, 0.02, 0.02);
    });
    scene.copy(&["old:img-400-2000", "new:pics", "-j16", "--attempts=20"]).ended(0);
    scene.equal(&keys(400), ("img-400-2000", "pics"));
    scene.copy(&["old:img-1-20000001", "new:large", "--attempts=20"]).ended(0);
    scene.equal(&keys(1), ("img-1-20000001", "large"));
}

#[test]
fn what_is_gone_is_recorded_and_the_rest_is_done() {
    let scene = Scene::new();
    scene.old.set(Service::S3, |s| s.missing_rate = 0.05).unwrap();
    let said = scene.copy(&["old:img-500-300", "new:pics"]).ended(3);
    let there = scene.new.object_keys("pics").len();
    assert!((400..500).contains(&there), "{there}");
    assert!(said.err.contains(&format!("done {there} + skipped 0 + failed {}", 500 - there)), "{}", said.err);
    scene.place.haul(&["errors"]).ended(0);
    // It is back: only what is missing is copied.
    scene.old.set(Service::S3, |s| s.missing_rate = 0.0).unwrap();
    let before = scene.new.truth(Service::S3).unwrap().requests;
    scene.copy(&["old:img-500-300", "new:pics"]).ended(0);
    assert_eq!(scene.new.object_keys("pics").len(), 500);
    let puts = scene.new.truth(Service::S3).unwrap().requests - before;
    assert!(puts <= 500 - there as u64 + 3, "{puts}");
}

#[test]
fn what_is_not_what_its_etag_says_is_not_written_whoever_compares_it() {
    for no_digests in [false, true] {
        let scene = Scene::new();
        scene.new.set(Service::S3, |s| s.no_digests = no_digests).unwrap();
        scene.old.set(Service::S3, |s| s.etag_rate = 0.1).unwrap();
        let said = scene.copy(&["old:img-400-300", "new:pics", "--attempts=2"]).ended(3);
        let there = scene.new.object_keys("pics");
        assert!((330..390).contains(&there.len()), "{}", there.len());
        let counts = format!("done {} + skipped 0 + failed {}", there.len(), 400 - there.len());
        assert!(said.err.contains(&counts), "{}", said.err);
        scene.equal(&there, ("img-400-300", "pics"));
        let errors = scene.place.haul(&["errors"]).ended(0).out;
        assert!(errors.contains("checksum"), "{errors}");
        // They were right all the time.
        scene.old.set(Service::S3, |s| s.etag_rate = 0.0).unwrap();
        scene.copy(&["old:img-400-300", "new:pics"]).ended(0);
        scene.equal(&keys(400), ("img-400-300", "pics"));
    }
}

#[test]
fn what_is_no_image_is_not_written() {
    let scene = Scene::new();
    scene.old.set(Service::S3, |s| s.wrong_rate = 0.1).unwrap();
    scene.copy(&["old:img-200-300", "new:all"]).ended(0);
    let wrong = |key: &String| {
        let object = scene.new.object("all", key).unwrap();
        !object.bytes.starts_with(b"\x89PNG")
    };
    let all = scene.new.object_keys("all");
    let wrong = all.iter().filter(|key| wrong(key)).count();
    assert!((5..60).contains(&wrong), "{wrong}");
    let said = scene.copy(&["old:img-200-300", "new:images", "--expect=png"]).ended(3);
    assert!(said.err.contains(&format!("done {} + skipped 0 + failed {wrong}", 200 - wrong)), "{}", said.err);
    let images = scene.new.object_keys("images");
    assert_eq!(images.len(), 200 - wrong);
    assert!(images.iter().all(|k| scene.new.object("images", k).unwrap().bytes.starts_with(b"\x89PNG")));
    scene.copy(&["old:img-5", "new:x", "--expect=pgn"]).ended(64).told(&["is no type that is known"]);
}

#[test]
fn what_cannot_start_says_why() {
    let scene = Scene::new();
    let said = scene.copy_as("wrong", &["old:img-5", "new:pics"]).ended(1);
    assert!(said.err.contains("SignatureDoesNotMatch") && !said.err.contains("wrong\""), "{}", said.err);
    scene.copy(&["olt:img-5", "new:pics"]).ended(64).told(&["no store \"olt\"", "did you mean old:?"]);
    scene.copy(&["old:img-5", "old:img-5"]).ended(64).told(&["it is the place that is read"]);
    scene.copy(&[":img-5", "new:x"]).ended(64).told(&["STORE:BUCKET/PREFIX"]);
    scene.copy(&["s3:img-5", "s3:x"]).ended(64).told(&["the endpoint of the environment"]);
    let said = scene.copy(&["./nowhere", "new:x"]).ended(1);
    assert!(said.err.contains("nowhere"), "{}", said.err);
    let said = scene.copy(&["old:missing", "new:pics"]).ended(1);
    assert!(said.err.contains("NoSuchBucket"), "{}", said.err);
    scene.place.write("config/haul/stores.toml", "[old]\ntype = \"s3\"\nregin = \"x\"\n");
    scene.copy(&["old:img-5", "new:x"]).ended(64).told(&["did you mean \"region\"?"]);
}

#[test]
#[cfg(not(feature = "stores"))]
fn stores_that_were_not_built_in_say_how_to_get_them() {
    let scene = Scene::new();
    let stores = scene.place.read("config/haul/stores.toml");
    let dav = "[dav]\ntype = \"webdav\"\nendpoint = \"https://dav.example\"\nuser = \"me\"\nenv = \"DAV_PASSWORD\"\n";
    scene.place.write("config/haul/stores.toml", format!("{stores}{dav}"));
    let told = ["built without stores of type \"webdav\"", "--features stores"];
    scene.copy(&["old:img-5", "dav:pics"]).ended(64).told(&told);
    scene.copy(&["dav:pics", "new:img-5"]).ended(64).told(&told);
}

#[test]
fn what_is_wrong_with_a_store_is_told_with_its_line() {
    let scene = Scene::new();
    for (text, told) in [
        ("type = \"webdva\"", "did you mean \"webdav\"?"),
        ("type = \"webdav\"\nregion = \"x\"", "unknown key \"region\""),
        (
            "type = \"webdav\"\nendpoint = \"https://d\"\npassword = \"s3cret\"",
            "never holds the value of a secret",
        ),
        ("type = \"gcs\"\nenv = \"A\"\nfile = \"b\"", "only one of env, file and command"),
    ] {
        scene.place.write("config/haul/stores.toml", format!("[dav]\n{text}\n"));
        let said = scene.copy(&["dav:img-5", "./x"]).ended(64);
        assert!(said.err.contains(told) && said.err.contains("stores.toml"), "{text}: {}", said.err);
        assert!(!said.err.contains("s3cret"), "{}", said.err);
    }
    scene.place.write("config/haul/stores.toml", "[dav]\ntype = \"webdav\"\n");
    scene.copy(&["dav:img-5", "./x"]).ended(64).told(&["it is not said where the store is"]);
}

#[test]
fn directories_are_ends_like_any_other() {
    let scene = Scene::new();
    scene.copy(&["old:img-40-300000", "./photos"]).ended(0);
    for key in keys(40) {
        let file = std::fs::read(scene.place.file(&format!("photos/{key}"))).unwrap();
        assert!(file == scene.old.object("img-40-300000", &key).unwrap().bytes, "{key}");
    }
    let said = scene.copy(&["old:img-40-300000", "./photos", "--run=again"]).ended(0);
    assert!(said.err.contains("skipped 40 "), "{}", said.err);
    // Up again, under a prefix that is a directory there.
    scene.copy(&["photos", "new:up/2023", "--receipts=r.jsonl"]).ended(0);
    for key in keys(40) {
        let there = scene.new.object("up", &format!("2023/{key}")).unwrap();
        assert!(there.bytes == scene.old.object("img-40-300000", &key).unwrap().bytes, "{key}");
        assert!(there.headers.contains(&("content-type".into(), "image/png".into())), "{:?}", there.headers);
    }
    assert_eq!(
        scene.place.read("r.jsonl").lines().filter(|l| l.contains("md5 of what was sent")).count(),
        40
    );
    scene.copy(&["./photos", "./second"]).ended(0);
    let read = |dir: &str| std::fs::read(scene.place.file(&format!("{dir}/{}", keys(1)[0]))).unwrap();
    assert!(read("photos") == read("second"));
    scene.copy(&["./photos", "./photos"]).ended(64).told(&["it is the place that is read"]);
}

#[test]
fn keys_that_a_directory_cannot_carry_fail_and_none_is_lost() {
    let scene = Scene::new();
    let said = scene.copy(&["old:odd", "./in/odd"]).ended(3);
    // With an empty part, a dot or two for one: no path leads to these.
    let bad = |key: &&str| key.split('/').any(|part| matches!(part, "" | "." | ".."));
    let bad = ODD_KEYS.iter().filter(|key| bad(key)).count();
    assert!(said.err.contains(&format!("done {} + skipped 0 + failed {bad}", 21 - bad)), "{}", said.err);
    let mut files = Vec::new();
    let mut dirs = vec![scene.place.file("in")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    assert_eq!(files.len(), 21 - bad, "{files:?}");
}

/// Copies an object of fifteen parts, and is killed when some have arrived.
fn killed_half_way(scene: &Scene, args: &[&str]) {
    scene.new.set(Service::S3, |s| s.latency_ms = 60.0).unwrap();
    let mut child = scene.command(SECRET_KEY, args).spawn().unwrap();
    // One listing, one begin, and some of the parts.
    while requests(&scene.new) < 9 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scene.new.open_uploads(), 1);
}

#[test]
fn parts_that_arrived_are_not_sent_again_after_a_kill() {
    let scene = Scene::new();
    let args = ["old:img-1-120000001", "new:large", "-j4"];
    killed_half_way(&scene, &args);
    scene.new.set(Service::S3, |s| s.latency_ms = 0.0).unwrap();
    let before = requests(&scene.old);
    scene.copy(&args).ended(0);
    scene.equal(&keys(1), ("img-1-120000001", "large"));
    assert_eq!(scene.new.open_uploads(), 0);
    // Two listings, the first bytes, and the parts that were missing.
    let asked = requests(&scene.old) - before;
    assert!(asked < 15, "{asked} requests: parts were read again");
}

#[test]
fn an_object_that_fails_leaves_no_upload() {
    let scene = Scene::new();
    scene.new.set(Service::S3, |s| s.latency_ms = 60.0).unwrap();
    let mut child = scene.command(SECRET_KEY, &["old:img-1-120000001", "new:large", "-j4"]).spawn().unwrap();
    while requests(&scene.new) < 4 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // It is removed while it is copied.
    scene.old.set(Service::S3, |s| s.missing_rate = 1.0).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!((scene.new.open_uploads(), scene.new.object_keys("large").len()), (0, 0));
}

#[test]
fn an_upload_that_nobody_goes_on_with_is_given_up() {
    let scene = Scene::new();
    let args = ["old:img-1-120000001", "new:large", "-j4"];
    killed_half_way(&scene, &args);
    // The object is gone when the next process looks at it: it fails before it comes to its parts.
    scene.old.set(Service::S3, |s| s.missing_rate = 1.0).unwrap();
    scene.copy(&args).ended(3);
    assert_eq!((scene.new.open_uploads(), scene.new.object_keys("large").len()), (0, 0));
}

#[test]
fn what_a_list_of_urls_names_goes_straight_into_a_store() {
    let scene = Scene::new();
    let files = Lab::start(&LabSpec::new(&[Service::Files]).seed(7)).unwrap();
    let base = files.url(Service::Files);
    let urls: String = (0..60).map(|id| format!("{base}/files/{id}-3000.png\n")).collect();
    scene.place.write("urls.txt", urls);
    let get = |more: &[&str]| {
        said(
            scene
                .any(SECRET_KEY, &[&["get", "urls.txt", "--to=new:files/in"], more].concat())
                .output()
                .unwrap(),
        )
    };
    let asked = requests(&scene.new);
    get(&[]).ended(0);
    // Of a place that was empty nothing is asked for before it is put.
    assert_eq!(requests(&scene.new) - asked, 61);
    let keys: Vec<String> = (0..60).map(|id| format!("in/{id}-3000.png")).collect();
    let there = scene.new.object_keys("files");
    assert_eq!(there.len(), 60);
    for key in &keys {
        let object = scene.new.object("files", key).unwrap_or_else(|| panic!("{key} is missing"));
        assert!(object.bytes.starts_with(b"\x89PNG"), "{key}");
        let header = |name: &str| object.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(header("content-type"), Some("image/png"));
        assert!(header("x-amz-meta-haul-source").is_some());
    }
    // What is there is known; what is broken is not put.
    let before = files.truth(Service::Files).unwrap().requests;
    let said = get(&["--run=again"]).ended(0);
    assert!(said.err.contains("skipped 60 "), "{}", said.err);
    assert_eq!(files.truth(Service::Files).unwrap().requests, before);
    files.set(Service::Files, |s| s.wrong_rate = 1.0).unwrap();
    let broken = said_of(&scene, &["get", "urls.txt", "--to=new:broken", "--attempts=1"]).ended(3);
    assert!(broken.err.contains("failed 60 "), "{}", broken.err);
    assert_eq!(scene.new.object_keys("broken").len(), 0);
    said_of(&scene, &["get", "urls.txt", "--to=nwe:files"]).ended(64).told(&["did you mean new:?"]);
}

fn said_of(scene: &Scene, args: &[&str]) -> Said {
    said(scene.any(SECRET_KEY, args).output().unwrap())
}

#[test]
fn a_file_with_another_checksum_is_not_put() {
    let scene = Scene::new();
    let files = Lab::start(&LabSpec::new(&[Service::Files]).seed(7)).unwrap();
    let base = files.url(Service::Files);
    let zeros = "0".repeat(64);
    let rows: String = (0..3)
        .map(|id| format!("{{\"id\":{id},\"url\":\"{base}/files/{id}-3000.png\",\"sum\":\"{zeros}\"}}\n"))
        .collect();
    scene.place.write("m.jsonl", rows);
    let args = ["get", "m.jsonl", "--url=.url", "--checksum=.sum", "--to=new:sums", "--attempts=1"];
    let said = said_of(&scene, &args).ended(3);
    assert!(said.err.contains("failed 3 "), "{}", said.err);
    assert_eq!((scene.new.object_keys("sums").len(), scene.new.open_uploads()), (0, 0));
}
