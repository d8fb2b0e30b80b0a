//! What `haul plan` says a job will take: without asking, and from a measurement that writes nothing.

use haul_lab::generate::{Form, Manifest};
use haul_lab::{Lab, LabSpec, PagesSpec, Service};
use serde_json::Value;

use crate::enrich::Scene;
use crate::program::Place;

/// The forecast of a command, as a program reads it.
fn plan(place: &Place, args: &[String], more: &[&str]) -> Value {
    let more = ["--json"].iter().chain(more).map(|s| (*s).to_owned());
    let all: Vec<String> = ["plan".to_owned()].into_iter().chain(args.iter().cloned()).chain(more).collect();
    serde_json::from_str(&place.haul(&all).ended(0).out).unwrap()
}

fn step<'a>(plan: &'a Value, name: &str) -> &'a Value {
    plan["steps"].as_array().unwrap().iter().find(|s| s["name"] == name).unwrap()
}

#[test]
fn without_a_probe_nobody_is_asked() {
    let scene = Scene::new(300);
    let args: Vec<String> =
        ["plan".to_owned()].into_iter().chain(scene.posting(&["--rate=20/s", "-j8"])).collect();
    let said = scene.place.haul(&args).ended(0);
    assert!(said.out.starts_with("haul = 1\n"), "{}", said.out);
    said.told(&[
        "forecast, from what the job and its files say; nothing was asked\n",
        "items     300 (all of pairs.csv was read)\n",
        "user   read",
        "index  unsafe write",
        "time      at least 15 s (20.0 a second)\n",
        "rules     the rate: 127.0.0.1:",
        "memory    at most 26.7 MB: 25.2 MB and 65.5 kB for each of 24 connections\n",
        "a crash   in user, video: up to 8 items in work are asked for again\n",
        "in index: up to 8 items in work are sent again with the same Idempotency-Key",
        "unknown   how long replies take",
    ]);
    let careful = plan(&scene.place, &scene.posting(&["--delivery=at-most-once", "--limit=7"]), &[]);
    assert!(step(&careful, "index")["a_crash_costs"].as_str().unwrap().contains("in doubt"), "{careful}");
    assert_eq!((careful["items"]["count"].as_u64(), careful["requests"].as_u64()), (Some(7), Some(21)));
    assert_eq!((careful["seconds"].as_f64(), careful["measured"].as_bool()), (None, Some(false)));
    let piped = plan(&scene.place, &scene.args("-", &["--to=out.jsonl"]), &[]);
    assert_eq!(piped["items"]["count"], Value::Null);
    assert!(piped["unknown"].to_string().contains("for a million"), "{piped}");
    for service in [Service::Users, Service::Videos, Service::Index] {
        assert_eq!(scene.lab.truth(service).unwrap().requests, 0);
    }
    assert_eq!(scene.place.runs().len(), 0);
}

#[test]
fn a_probe_reads_and_does_not_write_and_latency_rules() {
    let scene = Scene::with(400, LabSpec::enrich().seed(5).all(|s| s.latency_ms = 100.0));
    let found = plan(&scene.place, &scene.posting(&["-j10"]), &["--probe=60"]);
    assert_eq!(found["rules"], "concurrency", "{found}");
    // 10 items at once, 100 ms for both lookups and 100 ms for the post: 50 a second, less on a busy machine.
    let rate = found["items_per_second"].as_f64().unwrap();
    assert!((20.0..=50.0).contains(&rate), "{found}");
    let seconds = found["seconds"].as_f64().unwrap();
    assert!((seconds - 400.0 / rate).abs() < 0.2 * seconds + 2.0, "{found}");
    assert_eq!((found["requests"].as_u64(), found["measured"].as_bool()), (Some(1200), Some(true)));
    assert!(step(&found, "user")["measured_per_item"]["decoded_in"].as_f64() > Some(50.0), "{found}");
    assert!(found["nearer"].as_str().unwrap().starts_with("nothing: a connection to "), "{found}");
    assert!(found["unknown"].to_string().contains("nothing was written"), "{found}");
    assert_eq!(scene.lab.truth(Service::Index).unwrap().requests, 0, "nothing is posted");
    assert_eq!(scene.lab.truth(Service::Users).unwrap().requests, 63, "60 items, and 3 one at a time");
    let left: Vec<_> =
        std::fs::read_dir(scene.place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["pairs.csv"], "no run, no directory");
}

#[test]
fn a_pace_that_nothing_says_is_measured_with_more() {
    let scene = Scene::new(3000);
    let asked = || scene.lab.truth(Service::Users).unwrap().requests;
    // All of 100 times 20 are through before three seconds are over, or so many as there was time for.
    let found = plan(&scene.place, &scene.posting(&[]), &["--probe=20"]);
    assert!((40..=2003).contains(&asked()), "{} requests", asked());
    assert_eq!(found["items"]["count"], 3000, "{found}");
    assert_eq!(step(&found, "user")["requests"], 3000, "what was not begun is not counted: {found}");
    let before = asked();
    plan(&scene.place, &scene.posting(&["--rate=1000/s"]), &["--probe=20"]);
    assert_eq!(asked() - before, 23, "20 items at the rate that is said, and 3 one at a time");
}

#[test]
fn pages_are_probed_by_the_page_and_the_rate_rules() {
    let pages = PagesSpec { range: 0..40_000, foods: 500, ..PagesSpec::default() };
    let lab = Lab::start(&LabSpec::pages(pages).all(|_| {})).unwrap();
    let place = Place::new();
    let args = crate::crawl::args(&lab, "0..40000");
    let found = plan(&place, &args, &["--rate=100/s", "--probe=40"]);
    let probed = lab.truth(Service::Pages).unwrap().requests;
    // A machine that stands still for a moment keeps no rate: then it is asked again.
    let again = || (0..4).map(|_| plan(&place, &args, &["--rate=100/s", "--probe=40"]));
    let found = std::iter::once(found).chain(again()).find(|found| found["rules"] == "rate").unwrap();
    assert!((43..150).contains(&probed), "{probed} requests for 40 pages");
    let records = lab.pages_truth().records as f64;
    let items = found["items"]["count"].as_f64().unwrap();
    assert!((items / records - 1.0).abs() < 0.1, "{items} for {records}");
    let seconds = found["seconds"].as_f64().unwrap();
    let least = (records / 100.0) / 100.0;
    assert!((0.9 * least..1.5 * least + 1.0).contains(&seconds), "{seconds} for {least}");
    // The verb may stand after the flag as well.
    let first: Vec<String> = ["plan", "--probe", "5"]
        .map(str::to_owned)
        .into_iter()
        .chain(args)
        .chain(["--json".to_owned()])
        .collect();
    assert!(place.haul(&first).ended(0).out.contains("\"measured\":true"));
}

#[test]
fn files_are_measured_and_nothing_stays() {
    let lab = Lab::start(&LabSpec::new(&[Service::Files]).seed(7)).unwrap();
    let place = Place::new();
    let (url, mut text) = (lab.url(Service::Files), Vec::new());
    let (video, image) = (2000..=30_000, 500..=9000);
    Manifest { count: 120, seed: 3, url, form: Form::Object, video, image }.write_to(&mut text).unwrap();
    place.write("contents.json", text);
    let args = [
        "get",
        "contents.json",
        "--url=mp4=.download_urls.mp4",
        "--url=png=.download_urls.png",
        "--to=content",
    ]
    .map(str::to_owned);
    let found = plan(&place, &args, &["--probe=60"]);
    assert!(!place.file("content").exists() && !place.file(".haul").exists());
    assert_eq!((found["items"]["count"].as_u64(), found["requests"].as_u64()), (Some(120), Some(240)));
    place.haul(&args).ended(0);
    let saved = std::fs::read_dir(place.file("content")).unwrap().flatten();
    let saved: u64 = saved.map(|e| e.metadata().unwrap()).filter(|m| m.is_file()).map(|m| m.len()).sum();
    let said = found["disk"][0]["bytes"].as_f64().unwrap();
    assert!((said / saved as f64 - 1.0).abs() < 0.25, "{said} for {saved}");
    assert!(found["items_per_second"].as_f64() > Some(1.0), "{found}");
}

#[test]
fn what_cannot_be_measured_is_said_and_the_job_is_printed_all_the_same() {
    let place = Place::new();
    place.write("pairs.csv", "1,2\n3,4\n");
    let lookup = "--lookup=user=http://127.0.0.1:1/{user_id}";
    let args = [
        "plan",
        "enrich",
        "pairs.csv",
        "--columns=user_id:int,video_id:int",
        lookup,
        "--to=o.jsonl",
        "--probe=2",
    ];
    let said = place.haul(&args).ended(1).told(&["127.0.0.1:1"]);
    assert!(said.out.starts_with("haul = 1\n"));
    place
        .haul(&["plan", "enrich", "none.csv", "--to=o.jsonl"])
        .ended(0)
        .told(&["none.csv: there is no such file"]);
    place.haul(&["plan", "enrich", "pairs.csv", "--to=o.jsonl", "--probe=0"]).ended(64);
}
