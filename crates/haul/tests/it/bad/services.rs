//! Services that are not there, go away, come back, or answer nonsense.

use std::time::{Duration, Instant};

use haul_lab::{LabSpec, Service};

use super::web::{Web, json, reply};
use crate::enrich::Scene;
use crate::program::said;

/// A name that no resolver takes: its first label is too long (RFC 1035 §2.3.4). No packet leaves.
const NO_NAME: &str =
    "a-name-that-is-far-too-long-to-be-the-label-of-a-host-in-the-domain-name-system.invalid";

#[test]
fn a_service_that_never_answers_ends_the_run_with_nothing_settled() {
    let scene = Scene::new(40);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lookup = |host: &str| {
        let args = ["enrich", "pairs.csv", "--columns=user_id:int,video_id:int", "--to"].map(str::to_owned);
        let own = [format!("{}.jsonl", &host[..5]), format!("--lookup=user=http://{host}/users/{{user_id}}")];
        scene.place.command(&[&args[..], &own].concat()).spawn().unwrap()
    };
    // Side by side: either takes five seconds to believe it.
    let began = Instant::now();
    let (refused, unknown) = (lookup(&free.to_string()), lookup(NO_NAME));
    let refused = said(refused.wait_with_output().unwrap()).ended(1);
    let unknown = said(unknown.wait_with_output().unwrap()).ended(1);
    refused.told(&[&format!("haul: {free} cannot be reached (connection refused): nothing answered since the start; is the address right?")]);
    unknown.told(&[
        &format!("haul: {NO_NAME}:80 cannot be reached (no address for {NO_NAME}: "),
        "is the address right?",
    ]);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    // Nothing was settled, so nothing is in the way of the command with the right address.
    assert_eq!(scene.place.runs(), Vec::<String>::new());
    assert!(!scene.place.file("127.0.jsonl").exists() && !scene.place.file("a-nam.jsonl").exists());
}

#[test]
fn a_service_that_starts_late_is_waited_for() {
    let spec = LabSpec::enrich().down(Service::Videos, Duration::ZERO, Duration::from_millis(1500));
    let scene = Scene::with(300, spec);
    let said =
        scene.run(&[]).ended(0).told(&["cannot be reached", "connection refused", "; probe every 30 s"]);
    assert_eq!(said.counts(), [300, 300, 0, 0, 0, 0, 0]);
    scene.accepted(300);
}

#[test]
fn a_service_that_goes_away_is_waited_for_and_no_item_is_given_up() {
    let scene = Scene::with(1500, LabSpec::enrich().all(|s| s.latency_ms = 5.0));
    let child = scene.place.command(&scene.posting(&["-j16", "--attempts=2"])).spawn().unwrap();
    while scene.lab.truth(Service::Index).unwrap().unique < 100 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let at = scene.lab.url(Service::Index).replace("http://", "");
    scene.lab.close(Service::Index).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    scene.lab.open(Service::Index).unwrap();
    let said = said(child.wait_with_output().unwrap()).ended(0).ends_with("all done");
    let said = said.told(&[&format!("haul: waiting: {at} ")]);
    assert_eq!(said.counts()[..2], [1500, 1500]);
    scene.accepted(1500);
}

#[test]
fn a_run_that_waits_can_be_stopped_and_goes_on_later() {
    let scene = Scene::with(400, LabSpec::enrich().all(|s| s.latency_ms = 5.0));
    let child = scene.place.command(&scene.posting(&["-j8"])).spawn().unwrap();
    while scene.lab.truth(Service::Index).unwrap().unique < 50 {
        std::thread::sleep(Duration::from_millis(5));
    }
    scene.lab.close(Service::Videos).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let stopped = Instant::now();
    let said = said(child.wait_with_output().unwrap()).ended(4).told(&["next: haul enrich pairs.csv"]);
    assert!(
        stopped.elapsed() < Duration::from_secs(3),
        "a lane that waits holds up the end: {:?}",
        stopped.elapsed()
    );
    let [read, done, ..] = said.counts();
    assert!(done >= 50 && read > done, "{}", said.err);
    scene.lab.open(Service::Videos).unwrap();
    assert_eq!(scene.run(&[]).ended(0).counts()[..2], [400, 400]);
    scene.accepted(400);
}

#[test]
fn html_instead_of_json_is_told_as_such() {
    let scene = Scene::new(5);
    let page = "<!DOCTYPE html>\n<html><title>Sign in</title></html>";
    let portal = Web::start(move |_, _| reply("200 OK", "text/html", page));
    let lookup = format!("--lookup=user={}", portal.url("/users/{user_id}"));
    let args = [
        "enrich",
        "pairs.csv",
        "--columns=user_id:int,video_id:int",
        &lookup,
        "--to=out.jsonl",
        "--attempts=2",
    ];
    let said = scene.place.haul(&args).ended(3).told(&["200 with HTML instead of JSON: \"<!DOCTYPE html>"]);
    let said = said.ends_with("next: haul errors enrich-pairs-…");
    assert_eq!(said.counts(), [5, 0, 0, 5, 0, 0, 0]);
    assert_eq!(scene.place.read("out.jsonl"), "", "nothing of it is written down");

    // Now and then, as overloaded proxies do it: tried again, and no pair is lost.
    let spec = LabSpec::enrich().seed(5).all(|s| s.html_rate = 0.1);
    let scene = Scene::with(200, spec);
    let said = scene.run(&["--expect=201"]).ended(0).told(&["tried again"]);
    assert_eq!(said.counts()[..2], [200, 200]);
    scene.accepted(200);
}

#[test]
fn what_is_no_http_or_too_large_or_never_ends() {
    let scene = Scene::new(2);
    let run = |web: &Web, more: &[&str]| {
        let lookup = format!("--lookup=user={}", web.url("/users/{user_id}"));
        let args = ["enrich", "pairs.csv", "--columns=user_id:int,video_id:int", &lookup, "--to=out.jsonl"];
        scene.place.haul(&[&args[..], &["--fresh", "--overwrite", "--attempts=2"], more].concat()).ended(3)
    };
    let ssh = Web::start(|_, _| "SSH-2.0-OpenSSH_9.6\r\n\r\nConnection: close".to_owned());
    run(&ssh, &[]).told(&["127.0.0.1", "not HTTP"]);
    let huge = "x".repeat(17 << 20);
    let large = Web::start(move |_, _| json(&huge));
    run(&large, &[]).told(&["larger than"]);
    let short = Web::start(|_, _| {
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{\"a\": 1}".to_owned()
    });
    run(&short, &[]).told(&["the reply was cut off after 8 bytes of its body (of 99)"]);
    let silent = Web::start(|_, _| {
        std::thread::sleep(Duration::from_secs(30));
        String::new()
    });
    run(&silent, &["--timeout=200ms"]).told(&["no complete reply within 200ms"]);
    let moved =
        Web::start(|path, _| format!("HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n"));
    run(&moved, &[]).told(&["redirect"]);
}

#[test]
fn one_dead_host_among_many_fails_its_own_items_only() {
    let scene = Scene::new(0);
    let web = Web::start(|path, _| json(&format!("{{\"path\": \"{path}\"}}")));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut text = String::from("url\n");
    for n in 0..60 {
        text.push_str(&if n % 20 == 7 {
            format!("http://{free}/{n}\n")
        } else {
            web.url(&format!("/{n}\n"))
        });
    }
    scene.place.write("urls.csv", text);
    let args = ["enrich", "urls.csv", "--lookup=page={url}", "--to=out.jsonl", "--attempts=3"];
    let said = scene.place.haul(&args).ended(3).told(&["connection refused"]);
    assert_eq!(said.counts(), [60, 57, 0, 3, 0, 0, 0]);
    assert_eq!(scene.rows(), 57);
}
