//! What is told of a run while it works: its log, bad input, figures for Prometheus.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::enrich::Scene;
use crate::program::said;
use crate::runs::{slow, until_accepted};

/// Lines of JSON, each with its time and level.
#[track_caller]
fn events(text: &str) -> Vec<Value> {
    let parsed = text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}")));
    let mut all: Vec<Value> = parsed.collect();
    for event in &mut all {
        assert!(event["time"].as_str().unwrap().ends_with('Z') && event["level"].is_string(), "{event}");
        // What is shown and what is kept are a moment apart.
        event["time"] = Value::Null;
    }
    all
}

#[test]
fn every_run_keeps_a_log_with_times() {
    let scene = Scene::new(20);
    scene.run(&["--run=night", "-q"]).ended(0);
    let log = scene.place.read(".haul/night/run.log");
    let (time, first) = log.lines().next().unwrap().split_once(' ').unwrap();
    assert!(time.starts_with("20") && first == "haul: run night", "{log}");
    assert!(log.contains(" read 20 = done 20 ") && log.trim_end().ends_with(" all done"), "{log}");
}

#[test]
fn logs_are_for_programs_when_wanted() {
    let scene = Scene::new(0);
    scene.feed(60, 0.1);
    let shown = scene.run(&["--run=night", "--log-format=json"]).ended(3);
    let told = events(&shown.err);
    let logged = events(&scene.place.read(".haul/night/run.log"));
    assert_eq!(told, logged);
    let kinds: Vec<&str> = logged.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert!(kinds[0] == "start" && kinds.contains(&"rejected") && kinds.last() == Some(&"end"), "{kinds:?}");
    let end = logged.last().unwrap();
    assert_eq!((&end["level"], &end["run"], &end["status"]), (&"warn".into(), &"night".into(), &3.into()));
    // In the background too.
    scene.run(&["-d", "--run=dusk", "--log-format=json"]).ended(0);
    scene.place.haul(&["wait", "dusk"]).ended(3);
    assert_eq!(events(&scene.place.read(".haul/dusk/run.log")).last().unwrap()["event"], "end");
}

#[test]
fn bad_input_is_told_while_it_is_read() {
    let scene = Scene::new(0);
    scene.feed(200, 0.2);
    let shown = scene.run(&["--run=night"]).ended(3).told(&["(rejected; 1 so far)", "(rejected; 2 so far)"]);
    let lines: Vec<&str> = shown.err.lines().filter(|l| l.contains("(rejected; ")).collect();
    assert!(lines[0].starts_with("haul: pairs.csv:") && lines.len() <= 6, "{lines:?}");
    // Once: what was read before is not told again.
    let again = scene.run(&["--run=night"]).ended(3);
    assert!(!again.err.contains("(rejected; "), "{}", again.err);
}

fn scrape(at: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// The samples of a scrape, each of a family that was announced.
fn samples(reply: &str) -> BTreeMap<String, f64> {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    let mut families = Vec::new();
    let mut found = BTreeMap::new();
    for line in body.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            families.push(family.split(' ').next().unwrap());
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next(), families.last().copied(), "{line}");
            assert!(found.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
    }
    found
}

#[test]
fn prometheus_reads_the_figures_of_a_run() {
    let scene = Scene::with(400, slow());
    let mut child =
        scene.place.command(&scene.posting(&["-j4", "--run=night", "--metrics=0"])).spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("metrics at") {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0, "it does not say where");
    }
    let at = line.trim().split("http://").nth(1).unwrap().strip_suffix("/metrics").unwrap().to_owned();
    assert!(at.starts_with("127.0.0.1:"), "of this machine only");
    until_accepted(&scene, 30);
    // As of the last look, a quarter of a second ago at most.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let now = samples(&scrape(&at, "/metrics"));
    assert!(now["haul_items{outcome=\"done\"}"] >= 20.0, "{now:?}");
    assert!(now["haul_requests_total{step=\"user\"}"] >= 20.0);
    assert!(now["haul_latency_seconds{step=\"user\",quantile=\"0.5\"}"] >= 0.02);
    assert_eq!(now.keys().filter(|k| k.starts_with("haul_lane_limit{")).count(), 3);
    assert!(now.contains_key("haul_run_info{run=\"night\",version=\"0.1.0\"}"));
    assert!(scrape(&at, "/").starts_with("HTTP/1.1 404 "));
    // A scraper that says nothing holds nothing up.
    let silent = TcpStream::connect(&at).unwrap();
    assert!(samples(&scrape(&at, "/metrics"))["haul_settled_total"] >= 20.0);
    drop(silent);
    scene.place.haul(&["stop"]).ended(0);
    child.wait().unwrap();
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_happens() {
    let scene = Scene::new(5);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let shown = said(scene.place.command(&scene.posting(&["--metrics", &port])).output().unwrap()).ended(1);
    assert!(shown.err.contains(&format!("--metrics 127.0.0.1:{port}: ")), "{}", shown.err);
    assert!(scene.place.runs().is_empty(), "no run is left");
    scene.run(&["--metrics=here"]).ended(64).told(&["is no address to listen at"]);
}

#[test]
fn input_that_is_not_what_it_was_is_told_of() {
    let scene = Scene::new(30);
    let text = scene.place.read("pairs.csv");
    let lines: Vec<&str> = text.lines().collect();
    let again = |lines: &[&str]| {
        scene.place.write("pairs.csv", text.clone());
        let args = scene.args("pairs.csv", &["--to=rows.jsonl", "--fresh", "--overwrite", "--limit=20"]);
        scene.place.haul(&args).ended(0);
        scene.place.write("pairs.csv", lines.join("\n"));
        scene.place.haul(&scene.args("pairs.csv", &["--to=rows.jsonl"])).ended(0)
    };
    let head = usize::from(lines.len() > 30);
    again(&lines).told(&["all done"]);
    let told = ["pairs.csv has become shorter: it ends after item 10, and 20 were read from it before"];
    again(&lines[..head + 10]).told(&told);
    let mut other = lines.clone();
    other[head + 4] = "999999,999999";
    again(&other)
        .told(&["pairs.csv has changed: item 5 is another than when it was read before; what was done"]);
}

#[test]
fn retries_that_are_held_back_are_a_reason_to_be_slow() {
    let spec = haul_lab::LabSpec::enrich().only(haul_lab::Service::Users, |s| {
        (s.error_rate, s.error_status) = (0.95, 500);
    });
    let scene = Scene::with(300, spec);
    let args = scene.args("pairs.csv", &["--to=rows.jsonl", "--attempts=2", "--json"]);
    let said = scene.place.haul(&args).ended(3).err;
    assert!(said.contains("so retries are sent slowly; "), "{said}");
}
