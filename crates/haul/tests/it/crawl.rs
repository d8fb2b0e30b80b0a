//! `haul crawl` against the lab's pages, whose exact counts are known.

#[path = "crawl/bad.rs"]
mod bad;
#[path = "crawl/chains.rs"]
mod chains;

use std::time::{Duration, Instant};

use haul_lab::{Lab, LabSpec, Often, PagesSpec, Script, Service};
use serde_json::Value;

use crate::program::Place;

/// A lab with ids in a range.
pub(crate) fn lab(range: std::ops::Range<u64>, change: impl Fn(&mut Script)) -> Lab {
    Lab::start(&LabSpec::pages(PagesSpec { range, foods: 500, ..PagesSpec::default() }).all(change)).unwrap()
}

/// The flags of the workload over a range, counting foods and categories.
pub(crate) fn args(lab: &Lab, range: &str) -> Vec<String> {
    let url = format!("{}/foodstats", lab.url(Service::Pages));
    let flags = ["--items=.response", "--offset=offset", "--next=.meta.next_offset", "--page-size=limit=100"];
    let counts = ["--count=.food_id:100", "--count=.food__category_id:10", "--id=.id"];
    let mut all = vec!["crawl".to_owned(), url, format!("--range={range}")];
    all.extend(flags.iter().chain(&counts).map(|f| (*f).to_owned()));
    all
}

/// Fails unless the results are those of the whole population.
#[track_caller]
pub(crate) fn check(lab: &Lab, out: &str) {
    let truth = lab.pages_truth();
    let found: Value = serde_json::from_str(out).unwrap_or_else(|e| panic!("{e}: {out}"));
    assert_eq!(found.get("partial"), None, "{out}");
    let same = |key: &str, truth: &[Often]| {
        let truth = serde_json::to_value(truth).unwrap();
        assert_eq!(found[key], truth, "{key}");
    };
    same(".food_id", &truth.food_id);
    same(".food__category_id", &truth.category_id[..10]);
}

#[test]
fn every_record_is_counted_once_in_spite_of_faults() {
    let lab = lab(1_000..61_000, |s| {
        s.error_rate = 0.02;
        s.drop_rate = 0.01;
        s.truncate_rate = 0.005;
        s.html_rate = 0.005;
        s.latency_ms = 5.0;
        s.jitter_ms = 5.0;
        s.gzip = true;
    });
    let place = Place::new();
    let said = place.haul(&args(&lab, "1000..61000")).ended(0);
    check(&lab, &said.out);
    assert!(said.err.contains("the range was read to its end"), "{}", said.err);
    let truth = lab.truth(Service::Pages).unwrap();
    let least = lab.pages_truth().records.div_ceil(100);
    assert!(truth.accepted <= least + least / 10 + 64, "{} pages for {least}", truth.accepted);
}

#[test]
fn the_rate_is_kept_to_and_used() {
    let lab = lab(0..42_000, |s| {
        s.latency_ms = 60.0;
        s.jitter_ms = 30.0;
    });
    let place = Place::new();
    let rate = ["--rate=200/s".to_owned()];
    let begun = Instant::now();
    let said = place.haul(&[args(&lab, "0..42000"), rate.to_vec()].concat()).ended(0);
    let took = begun.elapsed().as_secs_f64();
    check(&lab, &said.out);
    let truth = lab.truth(Service::Pages).unwrap();
    // On a busy machine what was sent evenly may arrive in bunches; all of it takes its time.
    assert!(truth.requests as f64 <= took * 200.0 + 1.0, "{} in {took} s", truth.requests);
    assert!(truth.max_in_flight >= 6, "at most {} side by side", truth.max_in_flight);
}

#[test]
fn pages_that_failed_are_counted_second_by_second() {
    let lab = lab(0..12_000, |s| s.error_rate = 0.3);
    let place = Place::new();
    let said = place.haul(&[args(&lab, "0..12000"), vec!["--rate=80/s".to_owned()]].concat()).ended(0);
    check(&lab, &said.out);
    let report: Value = serde_json::from_str(&place.haul(&["report", "--json"]).ended(0).out).unwrap();
    let faults: u64 = report["ticks"].as_array().unwrap().iter().map(|t| t["faults"].as_u64().unwrap()).sum();
    assert!(faults > 5, "{faults} faults: {}", report["ticks"]);
}

#[test]
fn a_hundredth_of_the_range_with_nine_tenths_of_the_ids_is_read_side_by_side() {
    let pages = PagesSpec { range: 0..2_000_000, skew: true, foods: 500, ..PagesSpec::default() };
    let lab = Lab::start(&LabSpec::pages(pages).all(|s| s.latency_ms = 20.0)).unwrap();
    let said = Place::new().haul(&[args(&lab, "0..2000000"), vec!["-j64".to_owned()]].concat()).ended(0);
    check(&lab, &said.out);
    let truth = lab.truth(Service::Pages).unwrap();
    assert!(truth.max_in_flight >= 16, "at most {} side by side", truth.max_in_flight);
}

#[test]
fn stopping_prints_what_was_counted_and_of_what_and_the_same_command_goes_on() {
    let lab = lab(0..100_000, |s| s.latency_ms = 10.0);
    let place = Place::new();
    let all = [args(&lab, "0..100000"), vec!["--rate=150/s".to_owned()]].concat();
    let child = place.command(&all).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    let live = loop {
        std::thread::sleep(Duration::from_millis(100));
        let live = place.haul(&["results"]);
        if live.out.contains("\"count\"") {
            break live.ended(0);
        }
        assert!(Instant::now() < patience, "nothing was counted: {}", live.err);
    };
    interrupt(&child);
    let said = crate::program::said(child.wait_with_output().unwrap()).ended(4);
    for out in [&live.out, &said.out] {
        let found: Value = serde_json::from_str(out).unwrap();
        let done = found["partial"]["done"].as_f64().unwrap();
        assert!(done > 0.0 && done < 1.0, "{out}");
        let missing = found["partial"]["missing"].as_array().unwrap();
        let left: u64 = missing.iter().map(|m| m[1].as_u64().unwrap() - m[0].as_u64().unwrap() + 1).sum();
        assert!((1.0 - left as f64 / 100_000.0 - done).abs() < 1e-5, "{out}");
        assert!(found[".food_id"][0]["count"].as_u64().unwrap() > 0);
    }
    assert_eq!(place.haul(&["results"]).ended(0).out, said.out, "dead, as it said at its end");
    let done = place.haul(&args(&lab, "0..100000")).ended(0).told(&["goes on", "the rest earlier"]);
    check(&lab, &done.out);
    assert_eq!(place.haul(&["results"]).ended(0).out, done.out);
    // Through: the same command does it again.
    let again = place.haul(&args(&lab, "0..100000")).ended(0).told(&["the old run is kept as"]);
    assert_eq!(again.out, done.out);
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn records_are_written_once_and_where_takes_some_of_them() {
    let lab = lab(0..20_000, |s| s.error_rate = 0.05);
    let place = Place::new();
    let flags =
        ["--to=out.csv", "--row={id, food: .food_id}", "--where=.food_id < 100010", "--stats=.food_id"];
    let mut all = args(&lab, "0..20000");
    all.extend(flags.map(str::to_owned));
    let said = place.haul(&all).ended(0);
    let found: Value = serde_json::from_str(&said.out).unwrap();
    let truth = lab.pages_truth();
    let low: u64 = truth.food_id.iter().filter(|f| f.value < 100_010).map(|f| f.count).sum();
    assert_eq!(found["stats .food_id"]["count"], low);
    assert_eq!(found["stats .food_id"]["max"], 100_009);
    let out = place.read("out.csv");
    let ids: std::collections::BTreeSet<&str> =
        out.lines().skip(1).map(|l| l.split(',').next().unwrap()).collect();
    assert_eq!((ids.len() as u64, out.lines().count() as u64), (low, low + 1));
}

#[test]
fn the_published_job_is_the_plan_of_its_verb_line() {
    const JOB: &str = include_str!("../../../../jobs/crawl.toml");
    let plain = &JOB[..JOB.find("\n[profile").unwrap()];
    let args = [
        "plan",
        "crawl",
        "http://localhost:8003/foodstats",
        "--items=.response",
        "--offset=offset",
        "--next=.meta.next_offset",
        "--page-size=limit=100",
        "--range=658330693..=732158492",
        "--id=.id",
        "--count=.food_id:100",
        "--count=.food__category_id:10",
        "--rate=100/s",
    ];
    let place = Place::new();
    assert_eq!(place.haul(&args).ended(0).out, plain);
    place.write("crawl.toml", JOB);
    for profile in ["development", "test", "production"] {
        let out = place.haul(&["plan", "crawl.toml", "--profile", profile]).ended(0).out;
        assert_ne!(out, plain, "{profile}");
    }
}
