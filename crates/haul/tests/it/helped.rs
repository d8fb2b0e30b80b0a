//! Every example that a help shows is run, as a shell reads it, in a directory that has what it names.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use haul_lab::{LabSpec, PagesSpec, Service};

use crate::enrich::Scene;
use crate::program::{Place, Said, said};
use crate::runs::slow;
use crate::secrets::service;

/// Verbs whose examples need a run that works.
const LIVING: [&str; 4] = ["pause", "resume", "stop", "tune"];
/// Verbs whose examples need a run that ended, with failures of three kinds.
const ENDED: [&str; 8] = ["errors", "gc", "retry", "rm", "runs", "settle", "status", "wait"];
/// Verbs whose examples need files and services.
const FED: [&str; 9] = ["completions", "count", "enrich", "man", "plan", "run", "schema", "top", "try"];

/// Every verb of `haul` alone.
fn verbs() -> Vec<String> {
    let overview = Place::new().haul::<&str>(&[]).out;
    let heads = ["Work     ", "Before   ", "During   ", "After    ", "Else     ", "         "];
    let rows = overview.lines().filter_map(|l| heads.iter().find_map(|h| l.strip_prefix(h)));
    rows.filter(|l| !l.starts_with(' ')).map(|l| l.split(' ').next().unwrap().to_owned()).collect()
}

/// The commands below `Example:` or `Examples:`, continuation lines joined.
fn examples(help: &str) -> Vec<String> {
    let mut lines = help.lines().skip_while(|l| !matches!(*l, "Example:" | "Examples:")).skip(1);
    let mut found = Vec::new();
    while let Some(line) = lines.next().filter(|l| l.starts_with("  ")) {
        let mut command = line.trim().to_owned();
        while let Some(open) = command.strip_suffix('\\') {
            command = open.trim_end().to_owned() + " " + lines.next().unwrap().trim();
        }
        found.push(command);
    }
    found
}

/// A scene with every file that an example names.
fn scene(spec: LabSpec, pairs: u64) -> Scene {
    let scene = Scene::with(pairs, spec);
    let rows = scene.place.read("pairs.csv");
    scene.place.write("pairs.csv", format!("user_id,video_id\n{rows}"));
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs/enrich.toml");
    for dir in ["jobs", "logs"] {
        std::fs::create_dir(scene.place.file(dir)).unwrap();
    }
    if scene.lab.truth(Service::Index).is_some() {
        scene.place.write("jobs/enrich.toml", here(&scene, &std::fs::read_to_string(job).unwrap()));
    }
    scene.place.write("contents.json", "[]");
    scene.place.write("ids.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    scene.place.write("ids.tsv", "7\ta\n8\tb\n7\tc\n");
    scene.place.write("meals-1.jsonl.zst", "{\"food_id\":1}\n{\"food_id\":2}\n");
    scene.place.write("access.csv", "country,status\nde,200\nfr,404\n");
    scene
        .place
        .write("logs/a.jsonl.gz", "{\"took_ms\":5,\"request\":\"a\"}\n{\"took_ms\":7,\"request\":\"b\"}\n");
    for name in ["scores.txt", "old.zst"] {
        scene.place.write(name, "5: {\"id\":\"a\"}\n7: {\"id\":\"b\"}\n");
    }
    scene
}

/// The text with the scene's addresses in the place of those that examples use.
fn here(scene: &Scene, text: &str) -> String {
    let at = |s| scene.lab.url(s);
    if scene.lab.truth(Service::Pages).is_some() {
        return text
            .replace("http://localhost:8003", &at(Service::Pages))
            .replace("658330693..=732158492", "1000..=2999")
            .replace("https://api.github.com/orgs/rust-lang/repos?per_page=100", &list());
    }
    text.replace("http://localhost:8000", &at(Service::Users))
        .replace("http://localhost:8001", &at(Service::Videos))
        .replace("http://localhost:8002", &at(Service::Index))
        .replace("https://users.example", &at(Service::Users))
        .replace("https://example.org/{id}.json", &format!("{}/users/{{id}}", at(Service::Users)))
        .replace("https://api.example/items", &pages())
        // Not on every machine; the file is plain text.
        .replace("zstd -dc ", "cat ")
}

fn json(body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Where an API is that answers so.
fn api(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let (at, requests) = service(answer);
    // It works as long as somebody could ask what it was asked.
    std::mem::forget(requests);
    at
}

/// An API with one page, which says of no other.
fn list() -> String {
    api(|_| json("[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"b\"}]"))
}

/// An API with one page, and an empty one after it.
fn pages() -> String {
    api(|request| {
        json(if request.contains("page=1 ") { "{\"data\":[{\"kind\":\"a\"}]}" } else { "{\"data\":[]}" })
    })
}

/// Runs a line to its end, which comes soon.
#[track_caller]
fn ran(scene: &Scene, line: &str) -> Said {
    let mut child = shell(scene, line).process_group(0).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > patience {
            let group = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
            panic!("{line} does not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    said(child.wait_with_output().unwrap())
}

/// A shell that finds `haul`.
fn shell(scene: &Scene, line: &str) -> Command {
    let bin = Path::new(env!("CARGO_BIN_EXE_haul")).parent().unwrap().display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    // Only for its environment.
    let like = scene.place.command::<&str>(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", &here(scene, line)]).current_dir(scene.place.path());
    command.envs(like.get_envs().filter_map(|(k, v)| Some((k, v?)))).env("PATH", path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the examples of a verb; one that works ends with one of these.
#[track_caller]
fn run_all(scene: &Scene, verb: &str, ends: &[i32]) {
    let help = scene.place.haul(&["help", verb]).ended(0).out;
    let all = examples(&help);
    assert!(!all.is_empty(), "{verb} has no example:\n{help}");
    for line in all {
        let ran = ran(scene, &line);
        assert!(ends.contains(&ran.status), "{line}: {}\n{}{}", ran.status, ran.out, ran.err);
    }
}

#[test]
fn examples_of_runs_that_ended_work() {
    for verb in ENDED {
        let spec = LabSpec::enrich().seed(5).all(|s| {
            s.error_rate = 0.4;
            s.error_status = 400;
        });
        let scene = scene(spec, 60);
        scene.run(&["--csv-header=yes", "--run=enrich-pairs-239f"]).ended(3);
        let kinds = scene.place.haul(&["errors"]).ended(0).out;
        assert!(kinds.contains("\ne3  "), "{kinds}");
        // What is tried again may fail again, and what failed is what `wait` tells.
        run_all(&scene, verb, if matches!(verb, "retry" | "wait") { &[3] } else { &[0] });
    }
}

#[test]
fn examples_of_runs_that_work_work() {
    for verb in LIVING {
        let scene = scene(slow(), 2000);
        scene.run(&["-d", "-j1", "--csv-header=yes", "--run=enrich-pairs-239f"]).ended(0);
        run_all(&scene, verb, &[0]);
        scene.place.haul(&["stop", "--now"]).ended(0);
        scene.place.haul(&["wait"]).ended(4);
    }
}

#[test]
fn examples_that_need_files_and_services_work() {
    for verb in FED {
        run_all(&scene(LabSpec::enrich(), 20), verb, &[0]);
    }
}

#[test]
fn examples_of_crawls_work() {
    let scene = scene(LabSpec::pages(PagesSpec { range: 1000..3000, ..PagesSpec::default() }), 5);
    run_all(&scene, "crawl", &[0]);
    run_all(&scene, "results", &[0]);
}

#[test]
fn every_other_example_has_flags_that_exist() {
    let place = Place::new();
    let run: BTreeSet<&str> =
        LIVING.into_iter().chain(ENDED).chain(FED).chain(["crawl", "results"]).collect();
    for verb in verbs().iter().filter(|v| !run.contains(v.as_str())) {
        let help = place.haul(&["help", verb]).ended(0).out;
        for line in examples(&help).iter().filter(|l| !l.contains("haul lab gen ")) {
            for flag in line.split_whitespace().filter(|w| w.starts_with("--")) {
                assert!(help.contains(flag.split('=').next().unwrap()), "{line}: no flag {flag}");
            }
        }
    }
}

#[test]
fn examples_of_the_overview_and_of_the_lab_work() {
    let scene = scene(LabSpec::enrich(), 20);
    let overview = scene.place.haul::<&str>(&[]).out;
    let mut lines = examples(&format!("Examples:\n{}", overview.split("\n\n").nth(1).unwrap()));
    assert!(lines.len() >= 5, "{lines:?}");
    lines.extend(examples(&scene.place.haul(&["lab", "--help"]).out));
    for line in lines {
        if !line.starts_with("haul lab ") || line.starts_with("haul lab gen ") {
            let ran = ran(&scene, &line);
            assert_eq!(ran.status, 0, "{line}\n{}", ran.err);
            continue;
        }
        // It works until it is told to stop.
        let mut child = shell(&scene, &format!("exec {line} --port 0")).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("http://127.0.0.1:"), "{line}: {first}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_shell_completes_verbs_and_flags() {
    let place = Place::new();
    let script = place.haul(&["completions", "bash"]).ended(0).out;
    place.write("haul.bash", script);
    let complete = |words: &str, at: usize| {
        let line = format!(
            "source ./haul.bash; COMP_WORDS=({words}); COMP_CWORD={at}; _haul haul \"${{COMP_WORDS[{at}]}}\" x; echo ${{COMPREPLY[@]}}"
        );
        let ran = Command::new("bash").args(["-c", &line]).current_dir(place.path()).output().unwrap();
        said(ran).ended(0).out
    };
    assert_eq!(complete("haul enr", 1).trim(), "enrich");
    assert_eq!(complete("haul tune --mem", 2).trim(), "--memory");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = place.haul(&["completions", shell]).ended(0).out;
        assert!(script.contains("enrich") && script.contains("detach"), "{shell}");
    }
    place.haul(&["completions", "tcsh"]).ended(64);
}

#[test]
fn every_verb_has_a_manual_page() {
    let place = Place::new();
    place.haul(&["man", "--to", "man1"]).ended(0);
    for verb in verbs() {
        let page = place.read(&format!("man1/haul-{verb}.1"));
        assert!(page.starts_with(".ie") || page.contains(&format!(".TH haul-{verb} 1")), "{page}");
        assert_eq!(place.haul(&["man", &verb]).ended(0).out, page);
    }
    assert!(place.read("man1/haul-tune.1").contains("\\-\\-memory"));
    assert!(place.haul(&["man"]).ended(0).out.contains("losing nothing"));
    place.haul(&["man", "fly"]).ended(64).told(&["there is no verb fly"]);
}

#[test]
fn the_schema_is_printed() {
    let out = Place::new().haul(&["schema"]).ended(0).out;
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(schema["$defs"]["step"]["properties"]["get"].is_object());
}
