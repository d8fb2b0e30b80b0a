//! Lists in the paging styles that well-known services document, each read to its end: the shapes are
//! those of GitHub's, Stripe's and Elasticsearch's manuals and of Django REST framework.

use haul_lab::{Lab, LabSpec, PagesSpec, Script, Service};
use serde_json::Value;

use crate::program::{Place, Said};

/// Records of the list: no multiple of any page.
const RECORDS: u64 = 1_234;

fn lab(change: impl Fn(&mut Script)) -> Lab {
    Lab::start(&LabSpec::pages(PagesSpec { chain: RECORDS, ..PagesSpec::default() }).all(change)).unwrap()
}

/// Reads a list and writes its records; what was said, and the rows.
fn read(lab: &Lab, path: &str, flags: &[&str]) -> (Said, Vec<Value>) {
    let place = Place::new();
    let url = format!("{}{path}", lab.url(Service::Pages));
    let said = place.haul(&[&["crawl", url.as_str(), "--to=out.jsonl"][..], flags].concat());
    let rows = std::fs::read_to_string(place.file("out.jsonl")).unwrap_or_default();
    (said, rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// All records, in order; each page asked for once, and at most `more` further ones.
#[track_caller]
fn whole(lab: &Lab, path: &str, flags: &[&str], (pages, more): (u64, u64)) -> Said {
    lab.reset();
    let (said, rows) = read(lab, path, flags);
    let said = said.ended(0);
    assert_eq!(rows.len() as u64, RECORDS, "{}", said.err);
    for (n, row) in rows.iter().enumerate() {
        let id = row["id"]
            .as_u64()
            .or_else(|| row["id"].as_str()?.strip_prefix("ch_")?.parse::<u64>().ok().map(|n| n + 1));
        assert_eq!(id, Some(n as u64 + 1), "{row}");
    }
    let truth = lab.truth(Service::Pages).unwrap();
    assert!(
        (pages..=pages + more).contains(&truth.requests),
        "{} requests for {pages} pages",
        truth.requests
    );
    said
}

#[test]
fn every_style_is_read_to_its_end() {
    let lab = lab(|_| {});
    whole(&lab, "/github/repos?per_page=100", &["--items=.", "--link"], (13, 0))
        .told(&["page 13 has no next in its Link header"]);
    let next = "if .has_more then .data[-1].id else null end";
    whole(
        &lab,
        "/stripe/v1/charges?limit=100",
        &["--items=.data", "--cursor=starting_after", "--next", next],
        (13, 0),
    );
    // Without the stop rule an empty page says that it is the end.
    whole(
        &lab,
        "/stripe/v1/charges?limit=100",
        &["--items=.data", "--cursor=starting_after", "--next=.data[-1].id"],
        (14, 0),
    )
    .told(&["page 14 has no next (.data[-1].id is not there)"]);
    let source = "/elastic/things/_search?source_content_type=application/json&source=%7B%22size%22:100,%22sort%22:%5B%22id%22%5D%7D";
    let next = "if .hits.hits == [] then null else {size: 100, sort: [\"id\"], search_after: .hits.hits[-1].sort} end";
    whole(&lab, source, &["--items=[.hits.hits[]._source]", "--cursor=source", "--next", next], (14, 0));
    whole(&lab, "/django/things/", &["--items=.results", "--next-url=.next"], (42, 0))
        .told(&["page 42 has no next (.next is null)"]);
    whole(&lab, "/list", &["--items=.items", "--offset=offset", "--page-size=limit=100"], (14, 16))
        .told(&["is empty"]);
    whole(&lab, "/list?limit=100", &["--items=.items", "--page=page"], (14, 16));
    whole(&lab, "/list", &["--items=.items", "--offset=offset"], (14, 0));
}

#[test]
fn a_limit_ends_a_chain_early() {
    let lab = lab(|_| {});
    let (said, rows) = read(&lab, "/django/things/", &["--items=.results", "--next-url=.next", "--limit=70"]);
    said.ended(0);
    assert_eq!(rows.len(), 70);
    assert!(lab.truth(Service::Pages).unwrap().requests <= 6);
}

#[test]
fn records_that_an_insertion_pushes_onto_the_next_page_are_taken_once() {
    let lab = lab(|s| s.shift_rate = 0.5);
    let flags =
        ["--items=.items", "--offset=offset", "--page-size=limit=100", "--id=.id", "--count=.food_id:5"];
    let (said, rows) = read(&lab, "/list", &flags);
    let said = said.ended(0).told(&["records came twice and were taken once"]);
    let ids: std::collections::BTreeSet<u64> = rows.iter().map(|r| r["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), rows.len(), "{}", said.err);
    assert!((1..=RECORDS).all(|id| ids.contains(&id)), "{} of {RECORDS}", ids.len());
}

#[test]
fn without_ids_it_is_told_that_pages_overlap() {
    let lab = lab(|s| s.shift_rate = 0.5);
    let flags = ["--items=.items", "--offset=offset", "--page-size=limit=100"];
    let (said, rows) = read(&lab, "/list", &flags);
    let told = said.ended(0).told(&["are those at the end of the page before", "--id PATH"]);
    let twice: u64 =
        told.err.lines().find_map(|l| l.split_once(" records at the beginning")?.0.parse().ok()).unwrap();
    let ids: std::collections::BTreeSet<u64> = rows.iter().map(|r| r["id"].as_u64().unwrap()).collect();
    assert_eq!(rows.len() as u64, ids.len() as u64 + twice, "{}", told.err);
}

#[test]
fn pages_that_go_round_in_a_circle_are_a_fault_that_says_so() {
    let lab = lab(|s| s.loop_rate = 1.0);
    for (path, flags) in [
        ("/github/repos", &["--items=.", "--link"][..]),
        ("/django/things/", &["--items=.results", "--next-url=.next"]),
    ] {
        let (said, rows) = read(&lab, path, flags);
        // The first page may lead to itself under another URL.
        assert!(rows.len() <= 30, "nothing is taken twice: {}", rows.len());
        assert!(matches!(said.status, 1 | 4), "{}", said.err);
        let told = ["the pages go round in a circle", "holds the same records as the one before"];
        assert!(told.iter().any(|t| said.err.contains(t)), "{}", said.err);
    }
    // A wrong parameter: every page is the first.
    let (said, _) = read(&lab, "/list", &["--items=.items", "--offset=ofset", "--page-size=limit=100"]);
    assert!(matches!(said.status, 1 | 4), "{}", said.err);
    said.told(&["holds the same records as the one before", "does not follow \"ofset\""]);
}

#[test]
fn now_and_then_a_circle_is_asked_for_again() {
    let lab = lab(|s| s.loop_rate = 0.2);
    let said = whole_in_any_order(&lab, "/django/things/", &["--items=.results", "--next-url=.next"]);
    said.told(&["led nowhere new and were asked for again"]);
}

fn whole_in_any_order(lab: &Lab, path: &str, flags: &[&str]) -> Said {
    let (said, rows) = read(lab, path, flags);
    assert_eq!(rows.len() as u64, RECORDS, "{}", said.err);
    said.ended(0)
}

#[test]
fn a_killed_chain_goes_on_at_its_page() {
    let lab = lab(|s| s.latency_ms = 30.0);
    let place = Place::new();
    let url = format!("{}/django/things/", lab.url(Service::Pages));
    let args = [
        "crawl",
        &url,
        "--items=.results",
        "--next-url=.next",
        "--to=out.jsonl",
        "--id=.id",
        "--count=.food_id:3",
    ];
    let mut child = place.command(&args).spawn().unwrap();
    // Something is committed, when a busy machine gets to it: the rows of a second commit are there.
    let mut lengths = std::collections::BTreeSet::from([0]);
    while lengths.len() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before anything was committed");
        std::thread::sleep(std::time::Duration::from_millis(10));
        lengths.insert(place.file("out.jsonl").metadata().map_or(0, |m| m.len()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = lab.truth(Service::Pages).unwrap().requests;
    place.haul(&args).ended(0);
    let out = place.read("out.jsonl");
    assert_eq!(out.lines().count() as u64, RECORDS);
    let truth = lab.truth(Service::Pages).unwrap();
    assert!(truth.repeated < before, "{} of {before} pages were asked for again", truth.repeated);
}
