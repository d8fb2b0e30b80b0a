//! Faults of services, connections and the process itself: what is good comes whole, what is bad leaves nothing.

use super::*;

#[test]
fn with_faults_of_every_kind_the_good_are_whole_and_the_bad_leave_nothing() {
    // The long form: HAUL_FAULTY_RECORDS=10000
    let records = std::env::var("HAUL_FAULTY_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let scene = Scene::new(|s| {
        s.error_rate = 0.05;
        s.drop_rate = 0.05;
        s.reply_loss = 0.05;
        s.truncate_rate = 0.05;
        s.html_rate = 0.05;
        s.missing_rate = 0.05;
        s.wrong_rate = 0.15;
        s.redirect_rate = 0.05;
    })
    .with(records);
    let said = scene.get(&["--attempts=6"]).ended(3);
    let kinds: BTreeMap<String, FileKind> = scene
        .records()
        .iter()
        .map(|(key, urls)| (key.clone(), scene.lab.file_kind(parts(&urls[0]).0)))
        .collect();
    let good = |key: &str| kinds[key] == FileKind::Good;
    // A third of the requests fails by chance: 6 attempts at a good record may all do, once in 1,000.
    let failed_good: Vec<&String> =
        kinds.keys().filter(|k| good(k) && !scene.saved().contains_key(&format!("{k}.mp4"))).collect();
    assert!(failed_good.len() as u64 <= records / 50, "{failed_good:?}");
    scene.has_exactly(|key| good(key) && !failed_good.iter().any(|k| *k == key));
    let counts = said.counts();
    assert_eq!(counts[1] + counts[3], records, "{counts:?}");

    let listed = scene.place.haul(&["errors", "--list", "--json"]).ended(0).out;
    for line in listed.lines() {
        let item: serde_json::Value = serde_json::from_str(line).unwrap();
        let (key, code) = (item["key"].as_str().unwrap(), item["code"].as_str().unwrap());
        let wanted: &[&str] = match kinds[key] {
            FileKind::Missing(_) => &["status"],
            FileKind::Html | FileKind::Json => &["page"],
            FileKind::Other => &["type"],
            FileKind::Empty => &["empty"],
            FileKind::Good => continue,
        };
        // The last attempt of one that is tried again may have met a fault of the connection.
        let chance = ["status", "reset", "truncated", "page", "timeout"];
        assert!(wanted.contains(&code) || chance.contains(&code), "{key}: {:?}, {code}", kinds[key]);
    }
    for kind in [FileKind::Missing(404), FileKind::Html, FileKind::Json, FileKind::Other, FileKind::Empty] {
        assert!(kinds.values().any(|k| *k == kind), "{kind:?} does not occur");
    }
}

#[test]
fn a_broken_file_goes_on_where_it_was_and_starts_over_when_it_changed() {
    let scene = Scene::new(|s| s.truncate_rate = 1.0);
    let text = scene.manifest(1, Form::Urls, 5_000_000..=5_000_000);
    scene.place.write("urls.txt", &text);
    let url = String::from_utf8(text).unwrap().trim().to_owned();
    let get = |more: &[&str]| scene.place.haul(&[&["get", "urls.txt", "--to=content"][..], more].concat());
    let half = |scene: &Scene| {
        let child =
            scene.place.command(&["get", "urls.txt", "--to=content", "--attempts=30"]).spawn().unwrap();
        while scene.truth().truncated < 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        child
    };
    let mut child = half(&scene);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(scene.saved().is_empty(), "nothing has its name yet");
    scene.lab.set(Service::Files, |s| s.truncate_rate = 0.0).unwrap();
    get(&[]).ended(0);
    let whole = scene.served(&url);
    assert!(scene.saved().into_values().eq([whole.clone()]));
    let statuses = scene.truth().statuses;
    assert_eq!((statuses.get(&206), statuses.get(&200)), (Some(&1), None), "{statuses:?}");

    // Half of the old one must not become half of the new one.
    scene.lab.reset();
    std::fs::remove_dir_all(scene.place.file("content")).unwrap();
    scene.lab.set(Service::Files, |s| s.truncate_rate = 1.0).unwrap();
    let mut child = half(&scene);
    child.kill().unwrap();
    child.wait().unwrap();
    scene.lab.set(Service::Files, |s| (s.truncate_rate, s.generation) = (0.0, 1)).unwrap();
    get(&[]).ended(0);
    assert!(scene.saved().into_values().eq([scene.served(&url)]));
    assert_ne!(scene.served(&url), whole);
}

#[test]
fn servers_without_ranges_and_slow_ones_are_coped_with() {
    let scene = Scene::new(|s| {
        s.truncate_rate = 0.5;
        s.no_ranges = true;
        s.slow_rate = 0.2;
        s.slow_bytes = 2_000_000;
    });
    scene.place.write("urls.txt", scene.manifest(12, Form::Urls, 1_200_000..=1_500_000));
    scene.place.haul(&["get", "urls.txt", "--to=content", "--attempts=30"]).ended(0);
    assert_eq!(scene.saved().len(), 12);
    for (name, bytes) in scene.saved() {
        assert!(bytes == scene.served(&format!("/{name}")), "{name}");
    }
}

/// A file of 48 MB, of which each connection brings 16 MB a second.
fn large() -> (Scene, String) {
    let scene = Scene::new(|s| (s.slow_rate, s.slow_bytes) = (1.0, 16_000_000));
    let text = scene.manifest(1, Form::Urls, 48_000_000..=48_000_000);
    scene.place.write("urls.txt", &text);
    (scene, String::from_utf8(text).unwrap().trim().to_owned())
}

#[test]
fn a_large_file_comes_over_more_connections_where_they_bring_more() {
    let (scene, url) = large();
    let get = ["get", "urls.txt", "--to=content"];
    let killed_while_parts_come = |scene: &Scene| {
        let mut child = scene.place.command(&get).spawn().unwrap();
        while !scene.truth().statuses.contains_key(&206) {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(300));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(scene.saved().is_empty(), "nothing has its name yet");
    };
    killed_while_parts_come(&scene);
    scene.lab.reset();
    scene.place.haul(&get).ended(0);
    assert!(scene.saved().into_values().eq([scene.served(&url)]));
    let statuses = scene.truth().statuses;
    assert_eq!(statuses.get(&200), None, "it goes on with what was there: {statuses:?}");

    // Parts of the old one must not become parts of the new one.
    scene.lab.reset();
    std::fs::remove_dir_all(scene.place.file("content")).unwrap();
    killed_while_parts_come(&scene);
    scene.lab.set(Service::Files, |s| s.generation = 1).unwrap();
    scene.place.haul(&get).ended(0);
    assert!(scene.saved().into_values().eq([scene.served(&url)]));
}

#[test]
fn a_large_file_comes_whole_when_parts_are_refused_or_another_appears_meanwhile() {
    for change in [|s: &mut Script| s.no_ranges = true, |s: &mut Script| s.generation = 1] {
        let (scene, url) = large();
        let begun = scene.served(&url);
        let child = scene.place.command(&["get", "urls.txt", "--to=content"]).spawn().unwrap();
        while scene.truth().requests < 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
        scene.lab.set(Service::Files, change).unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
        let truth = scene.truth();
        assert_eq!(truth.statuses.get(&200), Some(&2), "a part was asked for once: {:?}", truth.statuses);
        assert!(scene.saved().into_values().eq([begun]), "what came at first was whole");
    }
}

/// `kill -9` again and again: what has its name is whole, and is never fetched again.
#[test]
fn killed_at_random_no_file_is_partial_and_none_is_fetched_again() {
    let cycles = std::env::var("HAUL_CRASH_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(6u64);
    let scene = Scene::new(|s| {
        s.latency_ms = 5.0;
        s.jitter_ms = 10.0;
        s.truncate_rate = 0.02;
        s.drop_rate = 0.02;
    })
    .with(cycles * 150);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut inodes: BTreeMap<String, u64> = BTreeMap::new();
    let content = scene.place.file("content");
    let mut killed = 0;
    for _ in 0..cycles {
        let mut child = scene.place.command(&scene.args(&["-q", "-j16", "--attempts=30"])).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(rng.u64(30..250)));
        child.kill().unwrap();
        killed += u64::from(child.wait_with_output().unwrap().status.code().is_none());
        for (name, bytes) in files(&content) {
            let inode = std::fs::metadata(content.join(&name)).unwrap().ino();
            assert_eq!(*inodes.entry(name.clone()).or_insert(inode), inode, "{name} was replaced");
            let (key, ext) = name.split_once('.').unwrap();
            let urls = scene.records().into_iter().find(|(k, _)| k == key).unwrap().1;
            let url = urls.iter().find(|u| parts(u).2 == ext).unwrap();
            assert!(bytes == scene.served(url), "{name} is not whole");
        }
    }
    assert!(killed >= cycles / 2, "only {killed} kills came before the end");
    scene.get(&["--attempts=30"]).ended(0);
    for (name, inode) in &inodes {
        assert_eq!(std::fs::metadata(content.join(name)).unwrap().ino(), *inode, "{name} was replaced");
    }
    scene.has_exactly(|_| true);
}
