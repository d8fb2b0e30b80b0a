//! Living with a run: looking at it, changing its pace, and what is left of it when it is killed.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use haul_lab::{LabSpec, Service};
use serde_json::Value;

use crate::enrich::Scene;
use crate::program::{Place, said};
use crate::runs::{signal, slow, until_accepted};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub(crate) fn status(place: &Place, run: &str) -> Value {
    json(&place.haul(&["status", run, "--json"]).ended(0).out)
}

/// Waits until a look at the run is as wanted.
#[track_caller]
pub(crate) fn until(place: &Place, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let now = status(place, run);
        if wanted(&now) {
            return now;
        }
        assert!(Instant::now() < patience, "{now}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn in_flight(status: &Value) -> u64 {
    status["lanes"].as_array().unwrap().iter().map(|l| l["in_flight"].as_u64().unwrap()).sum()
}

#[test]
fn a_run_is_paused_tuned_and_resumed_from_anywhere() {
    let scene = Scene::with(600, slow());
    let child = scene.place.command(&scene.posting(&["-j2", "--rate=60/s", "--run=night"])).spawn().unwrap();
    until_accepted(&scene, 5);
    until(&scene.place, "night", |s| s["lanes"].as_array().is_some_and(|l| l.len() == 3));
    // From another directory, by a beginning of the name.
    std::fs::create_dir(scene.place.file("elsewhere")).unwrap();
    let mut look = scene.place.command(&["status", "nig"]);
    let looked = said(look.current_dir(scene.place.file("elsewhere")).output().unwrap()).ended(0);
    assert!(looked.out.contains("run night: working; driven by process "), "{}", looked.out);
    assert!(looked.out.contains(" + waiting ") && looked.out.contains("60.0/s"), "{}", looked.out);
    assert!(scene.place.haul(&["runs"]).ended(0).out.starts_with("night  working"), "it is listed");

    scene.place.haul(&["pause"]).ended(0).told(&["run night: pause going on -> paused"]);
    scene.place.haul(&["pause"]).ended(0).told(&["run night: is paused already"]);
    until(&scene.place, "night", |s| s["state"] == "paused" && in_flight(s) == 0);
    let before = scene.lab.truth(Service::Users).unwrap().requests;
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(scene.lab.truth(Service::Users).unwrap().requests, before, "nothing is sent");

    let users = scene.lab.url(Service::Users).replace("http://", "");
    scene
        .place
        .haul(&["tune", "--rate=users=5000/s"])
        .ended(0)
        .told(&[&format!("rate {users} 60/s -> 5000/s")]);
    scene.place.haul(&["tune", "--rate=9999/s", "-j64", "--memory=20M"]).ended(0).told(&[
        "rate 60/s, 5000/s -> 9999/s",
        "concurrency 2 -> 64",
        "memory 12MiB -> 20M",
    ]);
    scene
        .place
        .haul(&["tune", "--rate=nowhere=5/s"])
        .ended(64)
        .told(&["no service is at nowhere; there are: "]);
    scene.place.haul(&["tune", "--memory=1k"]).ended(64).told(&["memory must be at least 1MiB"]);
    scene.place.haul(&["tune"]).ended(64).told(&["tune what?"]);
    scene.place.haul(&["resume"]).ended(0).told(&["paused -> going on"]);
    // At 60/s the rest would take ten seconds and more.
    let began = Instant::now();
    scene.place.haul(&["wait"]).ended(0).told(&["run night: finished", "read 600 = done 600"]);
    said(child.wait_with_output().unwrap()).ended(0);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    scene.accepted(600);

    let after = status(&scene.place, "night");
    let changes = after["changes"].as_array().unwrap();
    let what: Vec<&str> = changes.iter().map(|c| c["what"].as_str().unwrap()).collect();
    assert_eq!(what, [&format!("rate {users}"), "rate", "concurrency", "memory", "resume"]);
    assert!(changes.iter().all(|c| c["who"].as_str().unwrap().starts_with("ada (process ")));
    assert!(changes[0]["at_ms"].as_i64().unwrap() > 1_700_000_000_000);
    scene.place.haul(&["resume"]).ended(1).told(&["run night: no process drives it", "goes on with it"]);
    assert!(!scene.place.file(".haul/night/control.sock").exists());
}

#[test]
fn another_pace_takes_effect_within_a_second() {
    let scene = Scene::with(2000, LabSpec::enrich());
    let child = scene.place.command(&scene.posting(&["-j8", "--rate=200/s", "--run=night"])).spawn().unwrap();
    until_accepted(&scene, 50);
    let requests = || scene.lab.truth(Service::Users).unwrap().requests;
    scene.place.haul(&["tune", "--rate=2/s"]).ended(0);
    std::thread::sleep(Duration::from_secs(1));
    let before = requests();
    std::thread::sleep(Duration::from_secs(1));
    assert!(requests() - before <= 3, "{} in a second", requests() - before);
    // A slot that was reserved at the slow pace is not waited for: at 2/s these would take 50 s.
    let (before, began) = (requests(), Instant::now());
    scene.place.haul(&["tune", "--rate=2000/s"]).ended(0);
    while requests() < before + 100 {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{} in {:?}",
            requests() - before,
            began.elapsed()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    scene.place.haul(&["stop"]).ended(0);
    said(child.wait_with_output().unwrap()).ended(4);
}

#[test]
fn a_run_is_stopped_from_elsewhere_and_goes_on() {
    let scene = Scene::with(300, slow());
    let child = scene.place.command(&scene.posting(&["-j4", "--run=night"])).spawn().unwrap();
    until_accepted(&scene, 5);
    let mode = std::fs::metadata(scene.place.file(".haul/night/control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    scene.place.haul(&["rm", "night"]).ended(1).told(&["is driven by process"]);
    scene.place.haul(&["stop"]).ended(0).told(&["run night: stopped", "next: haul run "]);
    said(child.wait_with_output().unwrap()).ended(4).told(&["stopped before the end"]);
    scene.place.haul(&["wait", "night"]).ended(4);
    scene.place.haul(&["stop"]).ended(0).told(&["no process drives it"]);
    assert_eq!(status(&scene.place, "night")["state"], "stopped");
    let job = scene.place.file(".haul/night/job.toml").display().to_string();
    scene.place.haul(&["run", &job, "--run=night", "-j64"]).ended(0);
    scene.accepted(300);
    scene.place.haul(&["rm", "nig"]).ended(0).told(&["run night is deleted"]);
    assert!(scene.place.runs().is_empty());
}

#[test]
fn a_killed_run_shows_as_dead_with_its_last_state() {
    let spec = slow().only(Service::Videos, |s| {
        s.error_rate = 0.3;
        s.error_status = 400;
    });
    let scene = Scene::with(400, spec);
    let mut child = scene.place.command(&scene.posting(&["-j8", "--run=night"])).spawn().unwrap();
    until_accepted(&scene, 40);
    until(&scene.place, "night", |s| s["failures"].as_array().is_some_and(|f| !f.is_empty()));
    child.kill().unwrap();
    child.wait().unwrap();
    let now = status(&scene.place, "night");
    assert_eq!(now["state"], "dead");
    assert!(now["counts"]["done"].as_u64().unwrap() >= 20 && now["counts"]["failed"].as_u64().unwrap() > 0);
    let text = scene.place.haul(&["status"]).ended(0).out;
    assert!(
        text.contains("run night: dead") && text.contains("video 400") && text.contains("next: haul run ")
    );
    assert!(scene.place.haul(&["runs"]).ended(0).out.starts_with("night  dead  "));
    assert!(scene.place.haul(&["errors"]).ended(0).out.contains("video 400"));
    scene.place.haul(&["wait"]).ended(4).told(&["run night: was killed"]);
    scene.place.haul(&["pause"]).ended(1).told(&["no process drives it"]);
    // What the status says goes on with it.
    let line = text.lines().find_map(|l| l.strip_prefix("next: haul ")).unwrap().split("  (").next().unwrap();
    let args: Vec<&str> = line.split(' ').collect();
    scene.place.haul(&args).ended(3).told(&["goes on:", "read 400 = "]);
}

#[test]
fn a_path_too_long_for_a_socket_is_no_obstacle() {
    let scene = Scene::with(200, slow());
    let deep = format!("{}/{}", "d".repeat(60), "e".repeat(60));
    std::fs::create_dir_all(scene.place.file(&deep)).unwrap();
    let state = format!("--state={deep}/state");
    let child = scene.place.command(&scene.posting(&["-j2", "--run=night", &state])).spawn().unwrap();
    until_accepted(&scene, 2);
    let args = ["status", "night", "--json"];
    let look = |state: &str| json(&scene.place.haul(&[&args[..], &[state]].concat()).ended(0).out);
    assert!(look(&state)["lanes"].is_array(), "its process answers");
    let link = scene.place.file(&format!("{deep}/state/night/control.sock"));
    let target = std::fs::read_link(&link).unwrap();
    assert_eq!(target.parent().unwrap(), scene.place.file("haul"), "in XDG_RUNTIME_DIR");
    scene.place.haul(&["stop", &state]).ended(0);
    assert!(!target.exists() && link.symlink_metadata().is_err(), "nothing is left behind");
    said(child.wait_with_output().unwrap()).ended(4);
}

#[test]
fn a_run_that_was_moved_goes_on_where_it_is() {
    let scene = Scene::with(300, slow());
    let child = scene.place.command(&scene.posting(&["-j4", "--run=night"])).spawn().unwrap();
    until_accepted(&scene, 5);
    signal(&child, "-INT");
    said(child.wait_with_output().unwrap()).ended(4);
    std::fs::create_dir(scene.place.file("other")).unwrap();
    std::fs::rename(scene.place.file(".haul/night"), scene.place.file("other/evening")).unwrap();
    scene.place.haul(&["status", "night"]).ended(64).told(&["no run \"night\""]);
    let state = "--state=other";
    let moved = json(&scene.place.haul(&["status", state, "--json"]).ended(0).out);
    assert_eq!((&moved["run"], &moved["state"]), (&"evening".into(), &"stopped".into()));
    scene.place.haul(&["errors", "evening", state]).ended(0);
    scene.place.haul(&["run", "other/evening/job.toml", "--run=evening", state, "-j64"]).ended(0);
    scene.accepted(300);
}

#[test]
fn two_runs_in_one_directory_do_not_disturb_each_other() {
    let scene = Scene::with(200, slow());
    let a = scene.place.command(&scene.posting(&["-j8", "--run=a"])).spawn().unwrap();
    let b =
        scene.place.command(&scene.args("pairs.csv", &["-j8", "--run=b", "--to=b.jsonl"])).spawn().unwrap();
    until_accepted(&scene, 2);
    until(&scene.place, "b", |s| s["state"] == "working");
    let listed = scene.place.haul(&["runs", "--here", "--json"]).ended(0).out;
    let names: Vec<Value> = listed.lines().map(|l| json(l)["run"].clone()).collect();
    assert_eq!(names.len(), 2);
    scene.place.haul(&["wait", "a"]).ended(0);
    scene.place.haul(&["wait", "b"]).ended(0);
    said(a.wait_with_output().unwrap()).ended(0);
    said(b.wait_with_output().unwrap()).ended(0);
    scene.accepted(200);
    assert_eq!(scene.place.read("b.jsonl").lines().count(), 200);
}

#[test]
fn a_thousand_old_runs_are_listed_and_collected() {
    let scene = Scene::new(5);
    scene.run(&["--run=night"]).ended(0);
    let of = |n: usize, file: &str| scene.place.file(&format!(".haul/old-{n}/{file}"));
    for n in 0..1000 {
        std::fs::create_dir(scene.place.file(&format!(".haul/old-{n}"))).unwrap();
        for file in ["job.toml", "ledger.db"] {
            std::fs::hard_link(scene.place.file(&format!(".haul/night/{file}")), of(n, file)).unwrap();
        }
    }
    assert_eq!(scene.place.haul(&["runs"]).ended(0).out.lines().count(), 1001);
    assert_eq!(status(&scene.place, "old-999")["counts"]["done"], 5);
    scene.place.haul(&["status", "old-99"]).ended(0);
    scene.place.haul(&["status", "old-98x"]).ended(64);
    scene.place.haul(&["gc"]).ended(0).told(&["0 runs deleted, 1,001 kept"]);
    scene.place.haul(&["gc", "--older=1ms", "--dry-run"]).ended(0);
    assert_eq!(scene.place.runs().len(), 1001);
    scene.place.haul(&["gc", "--older=1ms"]).ended(0).told(&["1,001 runs deleted, 0 kept"]);
    assert!(scene.place.runs().is_empty());
}

#[test]
fn what_is_unfinished_is_not_collected() {
    let spec = LabSpec::enrich().only(Service::Videos, |s| {
        s.error_rate = 1.0;
        s.error_status = 400;
    });
    let scene = Scene::with(5, spec);
    scene.run(&["--run=night"]).ended(3);
    assert!(scene.place.haul(&["runs"]).ended(0).out.starts_with("night  finished, 5 open  5 of 5"));
    scene.place.haul(&["gc", "--older=1ms"]).ended(0).told(&["0 runs deleted, 1 kept"]);
    scene.place.haul(&["gc", "--older=1ms", "--unfinished"]).ended(0).told(&["run night is deleted"]);
}

#[test]
fn a_ledger_that_cannot_be_read_is_told_and_left_alone() {
    let scene = Scene::new(5);
    scene.run(&["--run=night"]).ended(0);
    let ledger = scene.place.file(".haul/night/ledger.db");
    let good = std::fs::read(&ledger).unwrap();
    let mut newer = good.clone();
    // The version of the tables, big-endian (the SQLite file format, 1.3).
    newer[63] += 1;
    let mut broken = good.clone();
    broken[..100].fill(0x5a);
    for (bytes, says, state) in [
        (newer, "ledger format 2; this haul reads up to 1: use a newer haul", "unreadable"),
        (broken, "is damaged", "unreadable"),
    ] {
        std::fs::write(&ledger, &bytes).unwrap();
        for args in [&["status"][..], &["errors"], &["retry"], &["wait"]] {
            scene.place.haul(args).ended(1).told(&[says]);
        }
        scene.run(&["--run=night"]).ended(1).told(&[says]);
        let listed = json(&scene.place.haul(&["runs", "--json"]).ended(0).out);
        assert_eq!(listed["state"], state);
        scene.place.haul(&["gc", "--older=1ms", "--unfinished"]).ended(0).told(&["0 runs deleted"]);
        assert_eq!(std::fs::read(&ledger).unwrap(), bytes, "nothing was changed");
    }
}
