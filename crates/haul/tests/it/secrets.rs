//! Planted secrets: whatever happens, none is written down anywhere.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use haul_lab::{LabSpec, Service};

use crate::enrich::Scene;
use crate::program::said;
use crate::runs::until_accepted;

/// Values that must never be seen. They hold no character that would be escaped.
const ENV: &str = "envs3cretA1b2C3";
const FILE: &str = "files3cretD4e5F6";
const COMMAND: &str = "cmds3cretG7h8I9";

fn planted(text: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(text);
    [ENV, FILE, COMMAND].into_iter().find(|s| text.contains(s))
}

/// Every file below a directory, but for the one that a secret is read from.
fn grep(dir: &Path, seen: &mut usize) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            grep(&path, seen);
        } else if kind.is_file() && entry.file_name() != "token" && entry.file_name() != "ask.sh" {
            *seen += 1;
            let found = planted(&std::fs::read(&path).unwrap());
            assert!(found.is_none(), "{found:?} is in {}", path.display());
        }
    }
}

/// Three services, each with a secret of its own kind; the index with two.
fn flags(scene: &Scene) -> Vec<String> {
    let at = |s| scene.lab.url(s).replace("http://", "");
    vec![
        format!("-H={}=Authorization: Bearer {{env:PLANTED}}", at(Service::Users)),
        format!("-H={}=X-Api-Key: {{file:token}}", at(Service::Videos)),
        format!("-H={}=Authorization: Bearer {{command:sh ask.sh}}", at(Service::Index)),
        format!("-H={}=Cookie: session={{file:token}}", at(Service::Index)),
    ]
}

fn scene() -> Scene {
    let spec = LabSpec::enrich().all(|s| {
        s.latency_ms = 20.0;
        s.error_rate = 0.1;
        s.error_status = 400;
    });
    let scene = Scene::with(400, spec);
    scene.place.write("token", FILE);
    scene.place.write("ask.sh", format!("echo {COMMAND}\n"));
    scene
}

#[test]
fn nothing_holds_a_planted_secret() {
    let scene = scene();
    let flags = flags(&scene);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let more =
        [&flags[..], &["-v", "-d", "-j4", "--run=night", "--failed-to=failed.jsonl", "--notify=cat > note"]];
    let mut command = scene.place.command(&scene.posting(&more.concat()));
    let started = said(command.env("PLANTED", ENV).output().unwrap()).ended(0);
    assert!(planted(started.err.as_bytes()).is_none(), "{}", started.err);
    until_accepted(&scene, 20);
    let pid = started.err.split("(process ").nth(1).unwrap().split(')').next().unwrap().to_owned();
    let proc = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
    assert!(planted(&proc("cmdline")).is_none());
    // The variable that the user exported is there; nothing that Haul itself resolved is.
    let environ = String::from_utf8_lossy(&proc("environ")).replace(ENV, "");
    assert!(planted(environ.as_bytes()).is_none());
    let limits = String::from_utf8(proc("limits")).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "no core files: {core}");

    let mut socket = UnixStream::connect(scene.place.file(".haul/night/control.sock")).unwrap();
    socket.write_all(b"{\"haul\":1,\"ask\":\"status\"}\n").unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 100 && planted(&answer).is_none());

    scene.place.haul(&["wait"]).ended(3);
    for args in
        [&["status"][..], &["status", "--json"], &["errors"], &["errors", "--list", "--json"], &["runs"]]
    {
        let shown = scene.place.haul(args).ended(0);
        assert!(planted(shown.out.as_bytes()).is_none() && planted(shown.err.as_bytes()).is_none());
    }
    let mut seen = 0;
    grep(scene.place.path(), &mut seen);
    assert!(seen >= 8, "job, ledger, log and the others are there: {seen}");
    let truth = scene.lab.truth(Service::Index).unwrap();
    assert!(truth.unique > 100, "and they were of use");
}

#[test]
fn what_is_tried_and_planned_shows_references_only() {
    let scene = scene();
    let flags = flags(&scene);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    for verb in ["plan", "try"] {
        let args = [vec![verb.to_owned()], scene.posting(&flags)].concat();
        let shown = said(scene.place.command(&args).env("PLANTED", ENV).output().unwrap());
        assert!(
            planted(shown.out.as_bytes()).is_none() && planted(shown.err.as_bytes()).is_none(),
            "{shown:?}"
        );
        assert!(verb == "try" || shown.out.contains("env    = \"PLANTED\""), "{}", shown.out);
    }
}

/// A service that answers one request after the other with what `answer` says; every request it got.
pub(crate) fn service(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0; 1];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            let _ = stream.write_all(answer(&request).as_bytes());
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (at, requests)
}

#[test]
fn a_redirect_to_another_host_takes_no_secret_along() {
    let scene = Scene::new(1);
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{\"id\":1}";
    let (there, at_there) = service(move |_| body.to_owned());
    let elsewhere = there.clone();
    let (here, at_here) = service(move |_| {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: {elsewhere}/x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    });
    let args = [
        "enrich".to_owned(),
        "pairs.csv".to_owned(),
        "--columns=user_id,video_id".to_owned(),
        format!("--lookup=user={here}/users/{{user_id}}"),
        "-H=Authorization: Bearer {env:PLANTED}".to_owned(),
        "--to=out.jsonl".to_owned(),
    ];
    said(scene.place.command(&args).env("PLANTED", ENV).output().unwrap()).ended(0);
    assert!(at_here.recv_timeout(Duration::from_secs(5)).unwrap().contains(ENV), "its own host gets it");
    let foreign = at_there.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(foreign.starts_with("GET /x ") && !foreign.contains(ENV), "{foreign}");
}

#[test]
fn signatures_of_presigned_urls_stay_in_the_record() {
    let scene = Scene::new(1);
    let refused = "HTTP/1.1 410 Gone\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone";
    let (here, requests) = service(move |_| refused.to_owned());
    let signed = format!("{here}/a.json?X-Amz-Signature={ENV}&X-Amz-Date=1");
    scene.place.write("urls.jsonl", format!("{{\"url\":\"{signed}\"}}\n"));
    let args = ["enrich", "urls.jsonl", "--lookup=page={url}", "--to=out.jsonl", "--run=night", "-v"];
    let shown = scene.place.haul(&args).ended(3);
    assert!(requests.recv_timeout(Duration::from_secs(5)).unwrap().contains(ENV), "it is sent");
    assert!(!shown.err.contains(ENV) && shown.err.contains("X-Amz-Signature=***"), "{}", shown.err);
    let groups = scene.place.haul(&["errors", "--json"]).ended(0).out;
    let groups: serde_json::Value = serde_json::from_str(&groups).unwrap();
    assert!(!groups["groups"][0]["messages"].to_string().contains(ENV), "{groups}");
    let tried = scene.place.haul(&["try", "enrich", "urls.jsonl", "--lookup=page={url}"]).ended(3).out;
    let below: Vec<&str> = tried.lines().filter(|l| l.starts_with("  ")).collect();
    assert!(!below.concat().contains(ENV), "{tried}");
    // The item itself is the user's.
    let item = scene.place.haul(&["errors", "--list", "--json"]).ended(0).out;
    assert!(serde_json::from_str::<serde_json::Value>(&item).unwrap()["record"].to_string().contains(ENV));
}

#[test]
fn an_expired_secret_is_read_again_and_charged_to_nobody() {
    let spec = LabSpec::enrich().only(Service::Index, |s| {
        s.token = "monday1".to_owned();
        s.latency_ms = 10.0;
    });
    let scene = Scene::with(300, spec);
    scene.place.write("token", "monday1");
    scene.place.write("ask.sh", "cat token\n");
    let at = scene.lab.url(Service::Index).replace("http://", "");
    let header = format!("-H={at}=Authorization: Bearer {{command:sh ask.sh}}");
    // One attempt an item: a charged refusal would fail it.
    let child = scene.place.command(&scene.posting(&["-j4", "--attempts=1", &header])).spawn().unwrap();
    until_accepted(&scene, 30);
    scene.place.write("token", "tuesday2");
    scene.lab.set(Service::Index, |s| s.token = "tuesday2".to_owned()).unwrap();
    let began = Instant::now();
    said(child.wait_with_output().unwrap()).ended(0).told(&["read 300 = done 300"]);
    assert!(began.elapsed() < Duration::from_secs(60));
    scene.accepted(300);
}
