//! Every example that a help shows is run, as a shell reads it, in a directory that has what it names.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Command;

use crate::program::{Place, said};
use crate::stage::Stage;

/// Verbs whose examples need a run that works.
const LIVING: [&str; 4] = ["pause", "resume", "stop", "tune"];
/// Verbs whose examples need a run that ended, with failures of three kinds.
const ENDED: [&str; 9] = ["errors", "gc", "report", "retry", "rm", "runs", "settle", "status", "wait"];
/// Verbs whose examples need files and services.
const FED: [&str; 10] =
    ["completions", "copy", "count", "enrich", "man", "plan", "run", "schema", "top", "try"];
/// Verbs whose examples stand on each other.
const AFTER: [&str; 5] = ["check", "crawl", "get", "lab", "results"];

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

/// Runs the examples of a verb; one that works ends with one of these.
#[track_caller]
fn run_all(stage: &Stage, verb: &str, ends: &[i32]) {
    let help = stage.place().haul(&["help", verb]).ended(0).out;
    let all = examples(&help);
    assert!(!all.is_empty(), "{verb} has no example:\n{help}");
    for line in all {
        let ran = stage.ran(&line);
        assert!(ends.contains(&ran.status), "{line}: {}\n{}{}", ran.status, ran.out, ran.err);
    }
}

#[test]
fn examples_of_runs_that_ended_work() {
    for verb in ENDED {
        let stage = Stage::new(60, |s| {
            s.error_rate = 0.4;
            s.error_status = 400;
        });
        stage.scene.run(&["--csv-header=yes", "--run=enrich-pairs-239f"]).ended(3);
        let kinds = stage.place().haul(&["errors"]).ended(0).out;
        assert!(kinds.contains("\ne3  "), "{kinds}");
        // What is tried again may fail again, and what failed is what `wait` tells.
        run_all(&stage, verb, if matches!(verb, "retry" | "wait") { &[3] } else { &[0] });
    }
}

#[test]
fn examples_of_runs_that_work_work() {
    for verb in LIVING {
        let stage = Stage::new(2000, |s| s.latency_ms = 20.0);
        stage.scene.run(&["-d", "-j1", "--csv-header=yes", "--run=enrich-pairs-239f"]).ended(0);
        run_all(&stage, verb, &[0]);
        stage.place().haul(&["stop", "--now"]).ended(0);
        stage.place().haul(&["wait"]).ended(4);
    }
}

#[test]
fn examples_that_need_files_and_services_work() {
    for verb in FED {
        run_all(&Stage::new(20, |_| ()), verb, &[0]);
    }
}

#[test]
fn examples_that_look_at_what_is_there_work() {
    let stage = Stage::new(20, |_| ());
    run_all(&stage, "crawl", &[0]);
    run_all(&stage, "results", &[0]);
    run_all(&stage, "get", &[0]);
    stage.ran("haul copy old:images new:images").ended(0);
    run_all(&stage, "check", &[0]);
}

#[test]
fn every_verb_with_examples_has_them_run() {
    let place = Place::new();
    let run: BTreeSet<&str> = LIVING.into_iter().chain(ENDED).chain(FED).chain(AFTER).collect();
    for verb in verbs().iter().filter(|v| !run.contains(v.as_str())) {
        let help = place.haul(&["help", verb]).ended(0).out;
        assert_eq!(examples(&help), Vec::<String>::new(), "of {verb}");
    }
}

#[test]
fn examples_of_the_overview_and_of_the_lab_work() {
    let stage = Stage::new(20, |_| ());
    let overview = stage.place().haul::<&str>(&[]).out;
    let mut lines = examples(&format!("Examples:\n{}", overview.split("\n\n").nth(1).unwrap()));
    assert!(lines.len() >= 5, "{lines:?}");
    lines.extend(examples(&stage.place().haul(&["lab", "--help"]).out));
    for line in lines {
        if !line.starts_with("haul lab ") || line.starts_with("haul lab gen ") {
            let ran = stage.ran(&line);
            assert_eq!(ran.status, 0, "{line}\n{}", ran.err);
            continue;
        }
        // It works until it is told to stop.
        let mut child = stage.shell(&format!("exec {line} --port 0")).spawn().unwrap();
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
