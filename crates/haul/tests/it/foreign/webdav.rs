//! `wsgidav`, in builds with other stores. `.ci/stores DIR` installs it; where it is not there, the test says so
//! and ends.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use haul_lab::ODD_KEYS;

use super::{Scene, image};

/// The server, until it is dropped.
struct Dav(Child, u16);

impl Drop for Dav {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Dav {
    /// `None`: it is not installed.
    fn start(dir: &Path) -> Option<Dav> {
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/stores");
        let tools = std::env::var_os("HAUL_STORES").map_or_else(usual, PathBuf::from);
        let program = tools.join("bin/wsgidav");
        if !program.exists() {
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::create_dir_all(dir).unwrap();
        let mut child = Command::new(program)
            .args(["--host=127.0.0.1", "--auth=anonymous", "--root"])
            .arg(dir)
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Dav(child, port))
    }
}

#[test]
fn a_bucket_goes_to_webdav_and_back() {
    let scene = Scene::with("http://127.0.0.1:1");
    let dir = scene.place.file("served");
    let Some(dav) = Dav::start(&dir) else {
        println!("skipped: wsgidav is not installed (.ci/stores target/tools/stores)");
        return;
    };
    let stores = scene.place.read("config/haul/stores.toml");
    let store = format!("[dav]\ntype = \"webdav\"\nendpoint = \"http://127.0.0.1:{}\"\n", dav.1);
    scene.place.write("config/haul/stores.toml", stores + &store);

    let said = scene.haul(&["copy", "lab:img-60-3000", "dav:pics"]).ended(0);
    assert!(said.err.contains("done 60 ") && said.err.contains("without a password"), "{}", said.err);
    // It lists in no order; what is there is known all the same.
    let said = scene.haul(&["copy", "lab:img-60-3000", "dav:pics", "--run=again"]).ended(0);
    assert!(said.err.contains("skipped 60 "), "{}", said.err);
    scene.haul(&["check", "copy", "lab:img-60-3000", "dav:pics", "--reread"]).ended(0);
    scene.haul(&["copy", "dav:pics/img/", "lab:back/img/"]).ended(0);
    let keys: Vec<String> = (0..60).map(image).collect();
    for key in &keys {
        let (here, there) = (scene.lab.object("img-60-3000", key), scene.lab.object("back", key));
        assert!(here.unwrap().bytes == there.unwrap().bytes, "{key}");
    }

    // Every odd key arrives, or has failed with a reason: none is left out. This server cuts names at some
    // characters and says that all is well, which is noticed.
    let said = scene.haul(&["copy", "lab:odd", "dav:odd", "--attempts=1"]).ended(3);
    let listed = scene.haul(&["errors", "--list", "--json"]).ended(0).out;
    let failed: Vec<serde_json::Value> = listed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let is_failed = |key: &str| failed.iter().any(|item| item["key"] == key);
    let carried: Vec<&str> = ODD_KEYS.into_iter().filter(|key| !is_failed(key)).collect();
    let line = format!("done {} + skipped 0 + failed {}", carried.len(), 21 - carried.len());
    assert!(carried.len() >= 10 && said.err.contains(&line), "{}", said.err);
    for key in carried {
        let bytes = std::fs::read(dir.join("odd").join(key)).unwrap_or_else(|e| panic!("{key:?}: {e}"));
        assert!(bytes == scene.lab.object("odd", key).unwrap().bytes, "{key:?}");
    }
    for key in ["question?mark#hash.txt", "../up.txt", "/leading.txt", "trailing/"] {
        assert!(is_failed(key), "{key}: {listed}");
    }
    // What is not where it is looked for is no empty place.
    let said = scene.haul(&["copy", "dav:nowhere", "lab:nothing"]).ended(1);
    assert!(said.err.contains("nowhere"), "{}", said.err);
}
