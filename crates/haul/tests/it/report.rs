//! `haul report`: text, JSON and one HTML file, of runs that ended, were stopped, or never did anything.

use haul_lab::{LabSpec, Service};
use serde_json::Value;

use crate::enrich::Scene;
use crate::runs::until_accepted;

/// Runs for more than two seconds, so that there are rows to plot, with failures to show.
fn scene() -> Scene {
    let spec = LabSpec::enrich()
        .only(Service::Users, |s| (s.rate_limit, s.rate_headers) = (100, true))
        .all(|s| s.gzip = true)
        .only(Service::Videos, |s| s.missing_rate = 0.1);
    Scene::with(260, spec)
}

#[test]
fn a_run_is_told_as_text_as_json_and_as_one_page() {
    let scene = scene();
    scene.run(&["--run=told", "--goal=p95 < 1h"]).ended(3);
    let place = &scene.place;
    let text = place.haul(&["report", "told"]).ended(0);
    for wanted in [
        "run told: finished at ",
        "read 260 = done ",
        "goal p95 < 1h: met over 260 items (",
        "video ",
        "requests/s",
        " is paced at 100.0/s: the service states 100 in 1 s",
        "process ended: finished",
        "held at most ",
        "  items read and not committed",
    ] {
        assert!(text.out.contains(wanted), "{wanted}: {}", text.out);
    }
    assert!(
        text.out.trim_end().lines().last().unwrap().starts_with("next: haul errors told"),
        "{}",
        text.out
    );

    let json: Value = serde_json::from_str(&place.haul(&["report", "told", "--json"]).ended(0).out).unwrap();
    let failed = json["run"]["counts"]["failed"].as_u64().unwrap();
    assert!(failed > 5, "{failed}");
    let settled: u64 = json["ticks"].as_array().unwrap().iter().map(|t| t["settled"].as_u64().unwrap()).sum();
    assert!(settled > 100 && settled <= 260, "{settled}");
    let user = json["steps"].as_array().unwrap().iter().find(|s| s["name"] == "user").unwrap();
    assert!(user["decoded_in"].as_u64() > Some(0) && user["wire_in"].as_u64() > Some(0), "{user}");
    assert!(json["job"].as_str().unwrap().contains("[[step]]"));
    let accounts = json["memory"]["accounts"].as_array().unwrap();
    let peak = json["memory"]["peak"].as_u64().unwrap();
    // They peak at different times: together they are no less.
    let together: u64 = accounts.iter().map(|a| a["peak"].as_u64().unwrap()).sum();
    assert!(accounts.len() >= 2 && together >= peak && peak > 0, "{peak}: {accounts:?}");

    let said = place.haul(&["report", "told", "--html"]).ended(0);
    said.told(&["report of run told: told.html"]);
    let page = place.read("told.html");
    assert!(page.len() < 300_000, "{} bytes", page.len());
    for wanted in [
        "<!DOCTYPE html>",
        "<h2>Failures by signature</h2>",
        "<h2>Memory by account</h2>",
        "<th scope=\"row\">items read and not committed</th>",
        "<h3 id=\"throughput\">",
        "<polyline class=\"l0\"",
        "What happened",
        "haul run ",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    // It stands alone, and nothing from outside is markup.
    for foreign in ["<script", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<section").count(), page.matches("<details><summary>Numbers").count());
    assert_eq!(place.haul(&["report", "told", "--html=-"]).ended(0).out.len(), page.len());
}

#[test]
fn what_services_say_is_text_on_the_page() {
    let scene = Scene::new(3);
    let web = crate::bad::web::Web::start(|_, _| {
        crate::bad::web::reply("400 Bad Request", "text/plain", "<img src=x onerror=alert(1)>")
    });
    let lookup = format!("--lookup=user={}", web.url("/{user_id}"));
    scene
        .place
        .haul(&[
            "enrich",
            "pairs.csv",
            "--columns=user_id:int,video_id:int",
            "--run=odd",
            &lookup,
            "--to=out.jsonl",
        ])
        .ended(3);
    let page = scene.place.haul(&["report", "odd", "--html=-"]).ended(0).out;
    assert!(page.contains("&lt;img src=x") && !page.contains("<img"), "{page}");
    assert!(page.contains("It was too short to tell."));
}

/// A report of a run that has as many rows as a ledger keeps: those of more than a week.
#[test]
fn the_page_of_a_long_run_is_small() {
    use haul_core::ledger::{Change, Commit, LaneNote, Ledger, TickRow};
    use haul_core::{UnixMs, limits};

    let scene = Scene::new(5);
    scene.run(&["--run=long"]).ended(0);
    let mut ledger =
        haul_engine::ledger::SqliteLedger::open(&scene.place.file(".haul/long/ledger.db")).unwrap();
    let fence = ledger.recover().unwrap().fence;
    let end = 1_800_000_000_000_i64;
    let row = |seconds_before: i64, span_ms: u32| TickRow {
        at: UnixMs(end - seconds_before * 1000),
        span_ms,
        settled: 12_345,
        faults: 12,
        requests: 37_035,
        wire_in: 12_345_678,
        wire_out: 2_345_678,
        in_flight: 1000,
        limit: 1024,
        p50_us: 12_345,
        p95_us: 23_456,
        p99_us: 34_567,
        rss: 34_567_890,
    };
    let seconds = (1..limits::TICKS_1S as i64).rev().map(|s| row(s, 1000));
    let minutes = (60..limits::TICKS_1MIN as i64).rev().map(|m| row(m * 60, 60_000));
    let reason = "about 12 wait in a queue; replies take 34.5 ms, 12.3 ms without load".to_owned();
    let note = |i: u64| LaneNote {
        lane: "api.example:443".to_owned(),
        at: UnixMs(end - 1000 * i as i64),
        what: "concurrency",
        value: i as f64,
        reason: reason.clone(),
    };
    let change = |i: u64| Change {
        at: UnixMs(end - 1000 * i as i64),
        who: "ada (process 12345)".to_owned(),
        what: "rate api.example:443".to_owned(),
        old: "100/s".to_owned(),
        new: format!("{i}/s"),
    };
    let commit = Commit {
        fence,
        ticks: minutes.chain(seconds).collect(),
        lanes: (0..limits::LANE_ROWS).map(note).collect(),
        changes: (0..limits::CHANGE_ROWS).map(change).collect(),
        ..Commit::default()
    };
    ledger.commit(&commit).unwrap();
    drop(ledger);
    let page = scene.place.haul(&["report", "long", "--html=-"]).ended(0).out;
    assert!(page.matches("<polyline").count() >= 6, "{} lines", page.matches("<polyline").count());
    assert!((100_000..1_000_000).contains(&page.len()), "{} bytes", page.len());
}

#[test]
fn a_kill_is_one_of_the_things_that_happened() {
    let scene = scene();
    let mut child = scene.place.command(&scene.posting(&["--run=killed"])).spawn().unwrap();
    until_accepted(&scene, 10);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = scene.place.haul(&["report", "killed"]).ended(0).out;
    assert_eq!(text.matches("process ended without a word: it was killed").count(), 1, "{text}");
    assert!(!text.contains("another process goes on"), "{text}");
    scene.run(&["--run=killed"]).ended(3);
    let text = scene.place.haul(&["report", "killed"]).ended(0).out;
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
    assert!(at("it was killed") < at("another process goes on"), "{text}");
    assert!(at("another process goes on") < at("process ended: finished"), "{text}");
}

#[test]
fn two_processes_are_one_report() {
    let scene = scene();
    scene.run(&["--run=twice", "--limit=20"]);
    scene.run(&["--run=twice"]).ended(3);
    let json: Value =
        serde_json::from_str(&scene.place.haul(&["report", "twice", "--json"]).ended(0).out).unwrap();
    let processes = json["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 2);
    let requests = |p: &Value| {
        let steps = p["summary"]["steps"].as_array().unwrap();
        steps.iter().find(|s| s["name"] == "user").unwrap()["requests"].as_u64().unwrap()
    };
    let user = json["steps"].as_array().unwrap().iter().find(|s| s["name"] == "user").unwrap();
    assert_eq!(user["requests"].as_u64(), Some(processes.iter().map(requests).sum()));
    scene.place.haul(&["report", "none-such"]).ended(64);
}
