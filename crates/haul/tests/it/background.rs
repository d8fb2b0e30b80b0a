//! Runs without a terminal: detached from the beginning, or when it is closed.

use std::io::Write;
use std::process::Stdio;

use crate::enrich::Scene;
use crate::program::said;
use crate::runs::{slow, until_accepted};
use crate::terminal::Terminal;

/// The program on a terminal, and a line after it.
fn shell(scene: &Scene, args: &[String], after: &str) -> Terminal {
    let quoted: Vec<String> = args.iter().map(|a| format!("'{a}'")).collect();
    let line = format!("{} {}; {after}", env!("CARGO_BIN_EXE_haul"), quoted.join(" "));
    Terminal::of(&scene.place, &line, &[])
}

#[test]
fn closing_the_terminal_does_not_end_a_detached_run() {
    let scene = Scene::with(300, slow());
    let mut terminal = shell(&scene, &scene.posting(&["-j4", "-d", "--run=night"]), "exec sleep 60");
    let shown = terminal.until("haul stop night");
    assert!(shown.contains("haul: run night") && shown.contains("it works in the background (process "));
    let before = scene.lab.truth(haul_lab::Service::Index).unwrap().unique;
    assert!(before < 300, "it is caught in the middle");
    let pid = shown.split("(process ").nth(1).unwrap().split(')').next().unwrap().to_owned();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, pid, "a session of its own");
    let mut child = terminal.close();
    child.kill().unwrap();
    child.wait().unwrap();
    scene.place.haul(&["wait"]).ended(0).told(&["run night: finished", "read 300 = done 300"]);
    scene.accepted(300);
    let log = scene.place.read(".haul/night/run.log");
    assert!(log.contains("read 300 = done 300") && log.contains("all done"), "{log}");
    assert!(!log.contains("SIGHUP"), "it was not even told");
}

#[test]
fn closing_the_terminal_of_a_run_detaches_it() {
    let scene = Scene::with(300, slow());
    let terminal = shell(&scene, &scene.posting(&["-j4", "--run=night"]), "true");
    until_accepted(&scene, 10);
    drop(terminal.close());
    let log = scene.place.file(".haul/night/run.log");
    scene.place.haul(&["wait"]).ended(0).told(&["read 300 = done 300"]);
    scene.accepted(300);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("the terminal went away") && log.contains("read 300 = done 300"), "{log}");
}

#[test]
fn a_terminal_that_takes_no_more_does_not_hold_up_the_run() {
    let scene = Scene::with(100, slow());
    let mut terminal = shell(&scene, &scene.posting(&["-j4", "--run=night"]), "exec sleep 60");
    until_accepted(&scene, 10);
    terminal.types(b"\x13"); // Ctrl-S
    until_accepted(&scene, 100);
    terminal.types(b"\x11"); // Ctrl-Q
    terminal.until("read 100 = done 100");
    let mut child = terminal.close();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_detached_run_that_cannot_begin_says_so_where_it_was_typed() {
    let scene = Scene::new(10);
    let mut args = scene.posting(&["-d"]);
    args[1] = "nosuch.csv".to_owned();
    scene.place.haul(&args).ended(1).told(&["nosuch.csv: no such file"]);
    args[1] = "-".to_owned();
    scene.place.haul(&args).ended(64).told(&["standard input goes away with the terminal: add --spool"]);
    scene.run(&["--spool"]).ended(64).told(&["--spool keeps standard input, and this job reads "]);
    assert!(scene.place.runs().is_empty());
}

#[test]
fn failures_of_a_detached_run_are_waited_for() {
    let spec = slow().only(haul_lab::Service::Videos, |s| {
        s.error_rate = 1.0;
        s.error_status = 400;
    });
    let scene = Scene::with(20, spec);
    scene.run(&["-d", "--run=night"]).ended(0).told(&["haul wait night"]);
    scene.place.haul(&["wait", "night"]).ended(3).told(&["failed 20"]);
    scene.lab.set(haul_lab::Service::Videos, |s| s.error_rate = 0.0).unwrap();
    scene.place.haul(&["retry", "night", "-d"]).ended(0).told(&["haul wait night"]);
    scene.place.haul(&["wait", "night"]).ended(0);
    scene.accepted(20);
}

#[test]
fn rows_of_a_detached_run_are_in_its_directory() {
    let scene = Scene::new(30);
    scene.place.haul(&scene.args("pairs.csv", &["--to=-", "-d", "--run=night"])).ended(0);
    scene.place.haul(&["wait"]).ended(0);
    assert_eq!(scene.place.read(".haul/night/out/stdout").lines().count(), 30);
}

#[test]
fn spooled_input_is_not_fed_again() {
    let scene = Scene::with(300, slow());
    let input = scene.place.read("pairs.csv");
    let mut args = scene.posting(&["-j4", "--spool", "--run=night"]);
    args[1] = "-".to_owned();
    let mut child = scene.place.command(&args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    until_accepted(&scene, 20);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scene.place.read(".haul/night/spill/input"), input);
    // Standard input is /dev/null now.
    args.retain(|a| a != "--spool" && a != "-j4");
    let again = scene.place.haul(&args).ended(0).told(&["goes on:", "read 300 = done 300"]);
    assert!(!again.err.contains("feed the same input"), "{}", again.err);
    scene.accepted(300);
}

#[test]
fn a_detached_run_keeps_what_is_piped_into_it() {
    let scene = Scene::with(300, slow());
    let input = scene.place.read("pairs.csv");
    let mut args = scene.posting(&["-j4", "--spool", "-d", "--run=night"]);
    args[1] = "-".to_owned();
    scene.place.haul_fed(&args, input.as_bytes()).ended(0).told(&["works in the background"]);
    scene.place.haul(&["wait", "night"]).ended(0).told(&["read 300 = done 300"]);
    scene.accepted(300);
}

#[test]
fn a_spool_that_was_cut_off_is_completed_by_the_same_input() {
    let scene = Scene::with(200, slow());
    let input = scene.place.read("pairs.csv");
    let half = input.len() / 2;
    let mut args = scene.posting(&["-j4", "--spool", "--run=night"]);
    args[1] = "-".to_owned();
    let mut child = scene.place.command(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&input.as_bytes()[..half]).unwrap();
    until_accepted(&scene, 10);
    child.kill().unwrap();
    said(child.wait_with_output().unwrap());
    drop(stdin);
    scene.place.haul_fed(&args, b"9,9\n").told(&["not the input that the run keeps"]);
    args.retain(|a| a != "-j4");
    scene.place.haul_fed(&args, input.as_bytes()).ended(0).told(&["read 200 = done 200"]);
    scene.accepted(200);
}

/// As in many containers: the session of the test is led from outside of the process namespace.
#[cfg(target_os = "linux")]
#[test]
fn a_run_is_detached_where_its_session_has_no_id() {
    const NAMESPACE: [&str; 5] = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    let unshare = || std::process::Command::new("unshare");
    if !unshare().args(NAMESPACE).arg("true").status().is_ok_and(|s| s.success()) {
        eprintln!("this system gives no process namespaces: not tried");
        return;
    }
    let scene = Scene::new(30);
    let line = scene.place.command(&scene.args("pairs.csv", &["--to=rows.jsonl", "-d", "--run=night"]));
    let both = format!("\"$@\" && {} wait night", env!("CARGO_BIN_EXE_haul"));
    let mut inside = unshare();
    inside.args(NAMESPACE).args(["sh", "-c", &both, "sh"]).arg(line.get_program()).args(line.get_args());
    for (name, value) in line.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    inside.current_dir(line.get_current_dir().unwrap()).stdin(Stdio::null());
    said(inside.output().unwrap()).ended(0).told(&["works in the background"]);
    assert_eq!(scene.place.read("rows.jsonl").lines().count(), 30);
}
