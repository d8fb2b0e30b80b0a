//! What was there before is not lost: inputs, outputs of others, and what could not be written.

use std::process::Stdio;
use std::time::{Duration, Instant};

use haul_lab::Service;

use crate::enrich::Scene;
use crate::program::said;
use crate::runs::slow;

#[test]
fn no_name_of_the_input_makes_it_an_output() {
    let scene = Scene::new(20);
    let before = scene.place.read("pairs.csv");
    std::fs::create_dir(scene.place.file("d")).unwrap();
    std::os::unix::fs::symlink(scene.place.file("pairs.csv"), scene.place.file("link.csv")).unwrap();
    std::fs::hard_link(scene.place.file("pairs.csv"), scene.place.file("hard.csv")).unwrap();
    let whole = scene.place.file("pairs.csv").display().to_string();
    for name in ["./pairs.csv", "d/../pairs.csv", "link.csv", "hard.csv", &whole] {
        let to = format!("--to={name}");
        let said = scene.place.haul(&scene.args("pairs.csv", &[&to, "--overwrite"])).ended(64);
        assert!(said.err.contains("would be lost"), "{}", said.err);
        let failed = format!("--failed-to={name}");
        scene.run(&[&failed]).ended(64).told(&["--failed-to", "would be lost"]);
        assert_eq!(scene.place.read("pairs.csv"), before);
    }
    let both = ["--to=rows.jsonl", "--failed-to=./rows.jsonl"];
    scene.place.haul(&scene.args("pairs.csv", &both)).ended(64).told(&["is --to (rows.jsonl)"]);
    assert!(scene.place.runs().is_empty(), "nothing was begun");
}

#[test]
fn failures_are_not_written_over_the_file_of_another() {
    let scene = Scene::new(20);
    scene.place.write("mine.jsonl", "{\"mine\":1}\n");
    scene.run(&["--failed-to=mine.jsonl"]).ended(64).told(&["move it away"]);
    assert_eq!(scene.place.read("mine.jsonl"), "{\"mine\":1}\n");
    scene.lab.set(Service::Videos, |s| (s.error_rate, s.error_status) = (0.5, 400)).unwrap();
    scene.run(&["--failed-to=failed.jsonl"]).ended(3);
    let first = scene.place.read("failed.jsonl").lines().count();
    assert!((1..20).contains(&first), "{first}");
    scene.lab.set(Service::Videos, |s| s.error_rate = 0.0).unwrap();
    // Of the same run the list is renewed.
    scene.run(&["--failed-to=failed.jsonl"]).ended(0);
    assert_eq!(scene.place.read("failed.jsonl"), "");
}

#[test]
fn a_device_is_written_to_and_stays_one() {
    let scene = Scene::new(5);
    std::os::unix::fs::symlink("/dev/full", scene.place.file("full")).unwrap();
    scene.lab.set(Service::Videos, |s| (s.error_rate, s.error_status) = (1.0, 400)).unwrap();
    scene.run(&["--failed-to=full"]).told(&["--failed-to", "No space left"]);
    assert!(scene.place.file("full").is_symlink());
}

#[test]
fn rows_of_another_are_not_cut_away() {
    let scene = Scene::with(300, slow());
    let child = scene.place.command(&scene.args("pairs.csv", &["--to=rows.jsonl", "-j4"])).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while scene.place.file("rows.jsonl").metadata().map_or(0, |m| m.len()) < 1000 {
        assert!(Instant::now() < patience, "no rows came");
        std::thread::sleep(Duration::from_millis(5));
    }
    crate::program::interrupt(&child);
    said(child.wait_with_output().unwrap()).ended(4);
    let rows = scene.place.read("rows.jsonl");
    let others = "x".repeat(rows.len() + 100);
    scene.place.write("rows.jsonl", &others);
    let again = scene.args("pairs.csv", &["--to=rows.jsonl"]);
    scene.place.haul(&again).ended(1).told(&["holds something else than this run wrote"]);
    assert_eq!(scene.place.read("rows.jsonl"), others);
    scene.place.write("rows.jsonl", rows);
    scene.place.haul(&again).ended(0);
    assert_eq!(scene.place.read("rows.jsonl").lines().count(), 300);
}

#[test]
fn what_is_appended_begins_a_line_of_its_own() {
    let scene = Scene::new(2);
    scene.place.write("rows.jsonl", "no newline");
    scene.place.haul(&scene.args("pairs.csv", &["--to=rows.jsonl", "--append"])).ended(0);
    let rows = scene.place.read("rows.jsonl");
    assert!(rows.starts_with("no newline\n{") && rows.lines().count() == 3, "{rows}");
}

#[test]
fn a_standard_output_that_is_full_is_no_success() {
    let scene = Scene::new(5);
    scene.place.write("scores.txt", "5: {\"id\":\"a\"}\n");
    scene.run(&[]).ended(0);
    for args in [&["top", "scores.txt", "1"][..], &["status"], &["runs"], &["schema"], &["errors", "--json"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = scene.place.command(args).stdout(full).stderr(Stdio::piped()).output().unwrap();
        said(ran).ended(1).told(&["standard output: ", "not everything was written"]);
    }
}

#[test]
fn a_lookup_hides_no_column() {
    let scene = Scene::new(1);
    scene.place.write("in.csv", "user,x\n5,a\n");
    let url = format!("--lookup=user={}/users/{{user}}", scene.lab.url(Service::Users));
    let said = scene.place.haul(&["enrich", "in.csv", &url, "--to=out.csv"]).ended(1);
    assert!(said.err.contains("user is a column, and a lookup that would hide it"), "{}", said.err);
}

#[test]
fn an_expression_without_end_can_be_stopped() {
    let scene = Scene::new(5);
    let mut args = scene.args("pairs.csv", &["--to=rows.jsonl", "--run=night"]);
    for arg in args.iter_mut().filter(|arg| *arg == "--take=user=.data") {
        *arg = "--take=user=(\"x\" * 3000 | explode) as $a | last($a[] | $a[] | $a[] | $a[])".to_owned();
    }
    let child = scene.place.command(&args).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while scene.lab.truth(Service::Users).unwrap().requests == 0 {
        assert!(Instant::now() < patience, "nothing was asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    crate::program::interrupt(&child);
    std::thread::sleep(Duration::from_millis(300));
    crate::program::interrupt(&child);
    said(child.wait_with_output().unwrap()).ended(4).told(&["it does not end by itself"]);
    scene.place.haul(&["status", "night"]).ended(0);
}

#[test]
fn what_fails_for_good_is_tried_again_at_once() {
    let scene = Scene::new(800);
    scene.lab.set(Service::Videos, |s| (s.error_rate, s.error_status) = (1.0, 400)).unwrap();
    scene.run(&["--run=night"]).ended(3).told(&["failed 800"]);
    let began = Instant::now();
    scene.place.haul(&["retry", "night"]).ended(3).told(&["failed 800"]);
    // At the pace of retries it would take 40 s.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
