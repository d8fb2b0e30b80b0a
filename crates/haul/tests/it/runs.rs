//! Runs: going on, being the only one, failing and trying again.

use std::time::{Duration, Instant};

use haul_lab::{LabSpec, Service};

use crate::enrich::Scene;
use crate::program::said;

/// A lab slow enough that a run can be caught in the middle.
pub(crate) fn slow() -> LabSpec {
    LabSpec::enrich().all(|s| s.latency_ms = 20.0)
}

/// Waits until the index accepted something.
pub(crate) fn until_accepted(scene: &Scene, least: u64) {
    let patience = Instant::now() + Duration::from_secs(20);
    while scene.lab.truth(Service::Index).unwrap().unique < least {
        assert!(Instant::now() < patience, "nothing was accepted");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
pub(crate) fn signal(child: &std::process::Child, name: &str) {
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[test]
#[cfg(unix)]
fn a_run_that_was_stopped_goes_on_with_the_same_command() {
    let scene = Scene::with(400, slow());
    for name in ["-INT", "-TERM"] {
        let before = scene.lab.truth(Service::Index).unwrap().unique;
        let child = scene.place.command(&scene.posting(&["-j8"])).spawn().unwrap();
        until_accepted(&scene, before + 20);
        signal(&child, name);
        said(child.wait_with_output().unwrap()).ended(4).told(&[
            "stopping: attempts in flight may end",
            "stopped before the end",
            " more were read and not settled: they are read again",
            "next: haul enrich pairs.csv",
        ]);
    }
    scene.run(&["-j64"]).ended(0).told(&["goes on:", "the rest earlier", "read 400 = done 400"]);
    scene.accepted(400);
}

#[test]
#[cfg(unix)]
fn piped_input_that_was_cut_off_is_fed_again() {
    let scene = Scene::with(300, slow());
    let input = scene.place.read("pairs.csv");
    let mut args = scene.posting(&["-j4"]);
    args[1] = "-".to_owned();
    let mut child = scene.place.command(&args).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, input.as_bytes()).unwrap();
    until_accepted(&scene, 10);
    signal(&child, "-INT");
    said(child.wait_with_output().unwrap())
        .ended(4)
        .told(&["items read from standard input have no outcome yet: feed the same input"]);
    drop(stdin);
    args.retain(|a| a != "-j4");
    scene.place.haul_fed(&args, input.as_bytes()).ended(0).told(&["read 300 = done 300"]);
    scene.accepted(300);
}

#[test]
#[cfg(unix)]
fn a_lost_terminal_does_not_end_a_run() {
    let scene = Scene::with(300, slow());
    let child = scene.place.command(&scene.posting(&["-j8"])).spawn().unwrap();
    until_accepted(&scene, 10);
    signal(&child, "-HUP");
    said(child.wait_with_output().unwrap()).ended(0);
    scene.accepted(300);
    let log = scene.place.read(&format!(".haul/{}/run.log", scene.place.runs()[0]));
    assert!(log.contains("the terminal went away") && log.contains("read 300 = done 300"), "{log}");
}

#[test]
#[cfg(unix)]
fn a_run_has_one_driver() {
    let scene = Scene::with(300, slow());
    let mut child = scene.place.command(&scene.posting(&["-j4"])).spawn().unwrap();
    until_accepted(&scene, 5);
    let pid = child.id();
    scene.run(&[]).ended(1).told(&[&format!("is driven by process {pid} since")]);
    let run = &scene.place.runs()[0];
    scene.place.haul(&["retry", run]).ended(1).told(&[&format!("is driven by process {pid} since")]);
    scene.place.haul(&["errors", run]).ended(0);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_name_belongs_to_one_job() {
    let scene = Scene::new(10);
    scene.run(&["--run=nightly"]).ended(0).told(&["haul: run nightly\n"]);
    scene.run(&["--run=nightly", "-j2", "--attempts=3"]).ended(0).told(&["nothing new"]);
    scene.run(&["--run=nightly", "--where=.user_id > 5"]).ended(64).told(&[
        "run nightly is of another job",
        "  source.where is new: \".user_id > 5\"",
        "choose another --run NAME, or start over with --fresh",
    ]);
    scene
        .run(&["--run=nightly", "--fresh"])
        .ended(0)
        .told(&["the old run is kept as nightly@", "read 10 = done 10"]);
    assert_eq!(scene.place.runs().len(), 2);
}

#[test]
fn a_job_file_and_its_verb_line_are_the_same_run() {
    let scene = Scene::new(30);
    let plan = scene.place.haul(&[vec!["plan".to_owned()], scene.posting(&[])].concat()).ended(0);
    scene.place.write("enrich.toml", plan.out);
    scene.place.haul(&["run", "enrich.toml", "-j4"]).ended(0).told(&["read 30 = done 30"]);
    scene.run(&[]).ended(0).told(&["nothing new"]);
    scene.accepted(30);
}

#[test]
fn failures_are_grouped_and_tried_again() {
    let spec = LabSpec::enrich().only(Service::Videos, |s| {
        s.error_rate = 0.3;
        s.error_status = 400;
    });
    let scene = Scene::with(200, spec);
    let failed = scene.run(&[]).ended(3).told(&[
        "  e1 ",
        "video 400 ",
        "next: haul errors enrich-pairs-",
        "haul retry",
    ]);
    let run = scene.place.runs().pop().unwrap();
    let groups: serde_json::Value =
        serde_json::from_str(&scene.place.haul(&["errors", "--json"]).ended(0).out).unwrap();
    assert_eq!(groups["run"], run.as_str());
    assert_eq!(groups["groups"][0]["id"], "e1");
    assert_eq!(groups["groups"][0]["status"], 400);
    let count = groups["groups"][0]["count"].as_u64().unwrap();
    assert!(failed.err.contains(&format!("failed {count} +")), "{}", failed.err);
    let list = scene.place.haul(&["errors", &run, "--list", "--json", "--only=e1"]).ended(0).out;
    assert_eq!(list.lines().count() as u64, count);
    for line in list.lines() {
        let item: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(item["line"].as_u64().unwrap() > 0 && item["key"].as_str().unwrap().contains(','));
    }
    scene.place.haul(&["errors", "--only=e9"]).ended(64).told(&["there is no e9: there is only e1"]);

    let users = scene.lab.truth(Service::Users).unwrap().requests;
    scene.lab.set(Service::Videos, |s| s.error_rate = 0.0).unwrap();
    scene
        .place
        .haul(&["retry", &run[..run.len() - 2], "--only=e1"])
        .ended(0)
        .told(&[&format!("{count} items that failed are tried again"), "read 200 = done 200"]);
    scene.accepted(200);
    assert_eq!(
        scene.lab.truth(Service::Users).unwrap().requests,
        users,
        "what had succeeded is not fetched again"
    );
    scene.place.haul(&["retry"]).ended(0).told(&["nothing to try again"]);
    assert_eq!(scene.place.haul(&["errors"]).ended(0).out, format!("run {run}: nothing failed\n"));
}

#[test]
fn the_same_command_tries_failures_again_with_what_is_new() {
    let spec = LabSpec::enrich().only(Service::Index, |s| {
        s.error_rate = 0.5;
        s.error_status = 422;
    });
    let scene = Scene::with(60, spec);
    scene.run(&[]).ended(3);
    scene.lab.set(Service::Index, |s| s.error_rate = 0.0).unwrap();
    scene.feed(80, 0.0);
    scene.run(&[]).ended(0).told(&["that failed are tried again", "read 80 = done 80"]);
    scene.accepted(80);
}

#[test]
fn a_lost_reply_is_in_doubt_when_it_may_be_sent_once_only() {
    let spec = LabSpec::enrich().only(Service::Index, |s| s.reply_loss = 0.2);
    let scene = Scene::with(100, spec);
    scene.run(&["--delivery=at-most-once"]).ended(3).told(&["in doubt"]);
    let truth = scene.lab.truth(Service::Index).unwrap();
    assert_eq!((truth.unique, truth.replayed), (100, 0), "nothing is sent twice");
    scene.place.haul(&["retry"]).ended(0).told(&["in doubt, to be named with --only"]);
    scene.place.haul(&["retry", "--only=e1", "--delivery=at-least-once"]).ended(0);
    scene.accepted(100);
}

#[test]
fn programs_read_events() {
    let scene = Scene::new(40);
    let said = scene.run(&["--json", "--run=j"]).ended(0);
    let events: Vec<serde_json::Value> = said.err.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let (first, last) = (&events[0], &events[events.len() - 1]);
    assert_eq!((&first["event"], &first["run"], &first["new"]), (&"start".into(), &"j".into(), &true.into()));
    assert_eq!(
        (&last["event"], &last["status"], &last["why"]),
        (&"end".into(), &0.into(), &"finished".into())
    );
    let counts = &last["counts"];
    assert_eq!((&counts["read"], &counts["done"], &counts["waiting"]), (&40.into(), &40.into(), &0.into()));
    assert_eq!(last["steps"][2]["name"], "index");
    assert!(last["steps"][2]["requests"].as_u64().unwrap() >= 40);
    assert_eq!(scene.run(&["--quiet", "--run=j"]).ended(0).err, "");
}

#[test]
fn a_closed_output_ends_a_view_quietly() {
    let spec = LabSpec::enrich().only(Service::Videos, |s| {
        s.error_rate = 1.0;
        s.error_status = 400;
    });
    let scene = Scene::with(2000, spec);
    scene.run(&["-q"]).ended(3);
    let mut child = scene.place.command(&["errors", "--list"]).spawn().unwrap();
    drop(child.stdout.take());
    let said = said(child.wait_with_output().unwrap());
    assert_eq!((said.status, said.err.as_str()), (0, ""));
}
