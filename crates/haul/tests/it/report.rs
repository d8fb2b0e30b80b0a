//! `haul report`: text, JSON and one HTML file, of runs that ended, were stopped, or never did anything.

use haul_lab::{LabSpec, Service};
use serde_json::Value;

use crate::enrich::Scene;

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

    let said = place.haul(&["report", "told", "--html"]).ended(0);
    said.told(&["report of run told: told.html"]);
    let page = place.read("told.html");
    assert!(page.len() < 300_000, "{} bytes", page.len());
    for wanted in [
        "<!DOCTYPE html>",
        "<h2>Failures by signature</h2>",
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
