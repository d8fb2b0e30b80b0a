//! What is done about failures: exported, settled, tried a few at a time, bounded, told to somebody.

use haul_lab::{LabSpec, Service};
use serde_json::Value;

use crate::enrich::Scene;

/// Every video is refused.
fn refusing(pairs: u64) -> Scene {
    let spec = LabSpec::enrich().only(Service::Videos, |s| {
        s.error_rate = 1.0;
        s.error_status = 400;
    });
    Scene::with(pairs, spec)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn failures_are_exported_for_other_programs() {
    let scene = refusing(20);
    scene.run(&[]).ended(3);
    let csv = scene.place.haul(&["errors", "--export=csv"]).ended(0).out;
    let mut rows = csv.lines();
    assert!(rows.next().unwrap().starts_with("id,outcome,key,line,attempts,step,host,status,"));
    let first = rows.next().unwrap();
    assert!(first.starts_with("e1,failed,\"") && first.contains(",video,"), "{first}");
    assert_eq!(rows.count(), 19);
    let jsonl = scene.place.haul(&["errors", "--export=jsonl", "--only=e1"]).ended(0).out;
    assert_eq!(jsonl.lines().filter(|l| json(l)["outcome"] == "failed").count(), 20);
    scene.place.haul(&["errors", "--export=xml"]).ended(64);
    scene.place.haul(&["errors", "--export=csv", "--list"]).ended(64);
}

#[test]
fn a_person_settles_what_is_in_doubt() {
    let spec = LabSpec::enrich().only(Service::Index, |s| s.reply_loss = 0.3);
    let scene = Scene::with(60, spec);
    scene.run(&["--delivery=at-most-once", "--run=night"]).ended(3).told(&["in doubt"]);
    scene.place.haul(&["settle", "--only=e1", "--as=done"]).ended(64).told(&["--reason"]);
    scene.place.haul(&["settle", "--as=done", "--reason=x"]).ended(64).told(&["--only"]);
    scene.place.haul(&["settle", "--only=e9", "--as=done", "--reason=x"]).ended(64).told(&["there is no e9"]);
    let ids = json(&scene.place.haul(&["errors", "--json"]).ended(0).out);
    let ids: Vec<&str> =
        ids["groups"].as_array().unwrap().iter().map(|g| g["id"].as_str().unwrap()).collect();
    let only = format!("--only={}", ids.join(","));
    scene
        .place
        .haul(&["settle", "night", &only, "--as=done", "--reason=all of them are in the index"])
        .ended(0)
        .told(&["items settled", "read 60 = done 60 + skipped 0 + failed 0 + rejected 0 + in doubt 0"]);
    let now = json(&scene.place.haul(&["status", "--json"]).ended(0).out);
    let change = &now["changes"][0];
    assert_eq!((&change["what"], &change["who"]), (&"settle".into(), &"ada".into()));
    assert!(change["new"].as_str().unwrap().contains("done: all of them are in the index: "));
    assert!(scene.place.haul(&["runs"]).ended(0).out.starts_with("night  finished  60 of 60"));
    // Nothing is sent again.
    scene.run(&["--run=night"]).ended(0).told(&["nothing new"]);
    assert_eq!(scene.lab.truth(Service::Index).unwrap().replayed, 0);
}

#[test]
fn a_canary_goes_first() {
    let scene = refusing(50);
    scene.run(&["--run=night"]).ended(3);
    let videos = || scene.lab.truth(Service::Videos).unwrap().requests;
    let before = videos();
    scene
        .place
        .haul(&["retry", "--canary=5"])
        .ended(3)
        .told(&["5 of 5 items failed again: the others are left as they were"]);
    assert_eq!(videos() - before, 5);
    scene.lab.set(Service::Videos, |s| s.error_rate = 0.0).unwrap();
    scene.place.haul(&["retry", "--canary=5", "--only=e1"]).ended(0).told(&[
        "5 items that failed are tried again",
        "45 items that failed are tried again",
        "done 50",
    ]);
    scene.accepted(50);
    scene.place.haul(&["retry", "--canary=5"]).ended(0).told(&["nothing to try again"]);
}

#[test]
fn too_many_failures_stop_a_run() {
    let scene = refusing(2000);
    let bound = ["--max-failed=10", "-j4", "--rate=400/s"];
    scene.run(&bound).ended(4).told(&[
        "stopped: ",
        "which is more than --max-failed allows",
        "next: haul enrich",
    ]);
    let asked = scene.lab.truth(Service::Videos).unwrap().requests;
    assert!((11..500).contains(&asked), "{asked}");
    // It counts anew in each process, and goes on.
    scene.run(&bound).ended(4);
    assert!(scene.lab.truth(Service::Videos).unwrap().requests > asked);
    scene.lab.set(Service::Videos, |s| s.error_rate = 0.0).unwrap();
    let last = scene.run(&["--max-failed=1%"]).ended(3).told(&["read 2,000 = done "]);
    assert!(last.err.contains("haul retry"), "{}", last.err);
    scene.run(&["--max-failed=x"]).ended(64).told(&["write it like 100 or 5%"]);
}

#[test]
fn failures_go_to_a_file_and_the_end_to_somebody() {
    let scene = refusing(30);
    let flags = [
        "--failed-to=failed.jsonl",
        "--notify=cat > note.json; echo \"$HAUL_RUN $HAUL_STATUS\" > said",
        "--run=night",
    ];
    scene.run(&flags).ended(3);
    let lines = scene.place.read("failed.jsonl");
    assert_eq!(lines.lines().count(), 30);
    let one = json(lines.lines().next().unwrap());
    assert!(one["record"]["user_id"].is_number() && one["step"] == "video" && one["status"] == 400);
    assert_eq!(scene.place.read("said"), "night 3\n");
    let note = json(&scene.place.read("note.json"));
    assert_eq!(
        (&note["event"], &note["run"], &note["counts"]["failed"]),
        (&"end".into(), &"night".into(), &30.into())
    );
    scene.lab.set(Service::Videos, |s| s.error_rate = 0.0).unwrap();
    scene
        .place
        .haul(&["retry", "--failed-to=failed.jsonl", "--notify=exit 7"])
        .ended(0)
        .told(&["--notify: the command ended with"]);
    assert_eq!(scene.place.read("failed.jsonl"), "", "what failed is done now");
}
