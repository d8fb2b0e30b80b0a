//! Requests that need not be sent, end to end.

use haul_lab::{LabSpec, Service};

use crate::enrich::Scene;

#[test]
fn lookups_that_repeat_are_asked_for_once_and_counted() {
    let scene = Scene::with(0, LabSpec::enrich().seed(5).all(|s| s.latency_ms = 5.0));
    let pairs: String = (0..400).map(|n| format!("{},{n}\n", n % 4)).collect();
    scene.place.write("pairs.csv", pairs);
    let job = crate::batch::job(&scene.lab, "post = \"{index}/index\"");
    scene.place.write(
        "job.toml",
        job.replace(
            "take = \".data\"\n[[step]]\nname = \"video",
            "take = \".data\"\ncache = \"10m\"\n[[step]]\nname = \"video",
        ),
    );
    let said = scene
        .place
        .haul(&["run", "job.toml"])
        .ended(0)
        .told(&[" requests saved by cache", " by an identical one in flight"]);
    assert_eq!(scene.lab.truth(Service::Users).unwrap().requests, 4, "{}", said.err);
    assert_eq!(scene.lab.truth(Service::Videos).unwrap().requests, 400);
    scene.accepted(400);
    let said = scene.place.haul(&["run", "job.toml", "--fresh", "--json"]).ended(0);
    let last: serde_json::Value = serde_json::from_str(said.err.lines().last().unwrap()).unwrap();
    let n = |name: &str| last[name].as_u64().unwrap_or_else(|| panic!("{last}"));
    assert_eq!(n("cache_saved") + n("coalesced"), 396);
    assert_eq!(last["steps"][0]["cached"].as_u64(), Some(n("cache_saved")));
}

#[test]
fn bodies_are_sent_compressed() {
    let scene = Scene::with(100, LabSpec::enrich().seed(5));
    for step in ["post = \"{index}/index\"\n", crate::batch::BULK] {
        scene.lab.reset();
        scene.place.write("job.toml", crate::batch::job(&scene.lab, &format!("{step}encode = \"gzip\"\n")));
        scene.place.haul(&["run", "job.toml", "--fresh"]).ended(0);
        scene.accepted(100);
    }
}

#[test]
fn proxies_of_the_environment_are_used_and_their_password_is_kept_nowhere() {
    // A lab does not know itself behind another name: a few lines that answer anything will do.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heads = asked.clone();
    std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        for tcp in listener.incoming().flatten() {
            let heads = heads.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(tcp.try_clone().unwrap()).lines();
                let mut tcp = tcp;
                let mut head = String::new();
                while let Some(Ok(line)) = lines.next() {
                    if !line.is_empty() {
                        head.push_str(&(line + "\n"));
                        continue;
                    }
                    heads.lock().unwrap().push(std::mem::take(&mut head));
                    if tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"v\": 1}").is_err() {
                        return;
                    }
                }
            });
        }
    });
    let scene = Scene::new(5);
    let args = [
        "enrich",
        "pairs.csv",
        "--columns=user_id:int,video_id:int",
        "--to=out.jsonl",
        "--lookup=user=http://users.invalid/users/{user_id}",
    ];
    let mut command = scene.place.command(&args);
    command.env("HTTP_PROXY", format!("http://me:s3cret-pw@{place}"));
    let said = crate::program::said(command.output().unwrap()).ended(0);
    assert!(!said.err.contains("s3cret"));
    assert_eq!(scene.place.read("out.jsonl").lines().count(), 5);
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|head| head.starts_with("GET http://users.invalid/users/")), "{asked:?}");
    assert!(asked.iter().all(|head| head.contains("Proxy-Authorization: Basic bWU6czNjcmV0LXB3")));
    let run = scene.place.file(".haul").join(&scene.place.runs()[0]);
    for file in ["job.toml", "ledger.db", "run.log"] {
        let bytes = std::fs::read(run.join(file)).unwrap_or_default();
        assert!(!bytes.windows(6).any(|w| w == b"s3cret" || w == b"bWU6cz"), "{file}");
    }
    let mut command = scene.place.command(&args);
    command.env("HTTP_PROXY", "socks5://me:s3cret-pw@x:1");
    let said = crate::program::said(command.output().unwrap()).ended(64);
    assert!(said.err.contains("HTTP_PROXY names a proxy of the kind socks5://"), "{}", said.err);
    assert!(!said.err.contains("s3cret"));
}
