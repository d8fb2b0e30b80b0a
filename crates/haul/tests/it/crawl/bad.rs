//! What is wrong is said before the first page, or at it.

use haul_lab::Service;

use super::lab;
use crate::program::{Place, Said};

/// A crawl of the workload with flags changed, `""` taking one away.
fn crawl(url: &str, change: &[(&str, &str)]) -> Said {
    let mut flags = vec![
        ("--items", ".response"),
        ("--offset", "offset"),
        ("--next", ".meta.next_offset"),
        ("--page-size", "limit=100"),
        ("--range", "0..5000"),
        ("--id", ".id"),
        ("--count", ".food_id:3"),
    ];
    for (flag, value) in change {
        flags.retain(|(f, _)| f != flag);
        if !value.is_empty() {
            flags.push((*flag, *value));
        }
    }
    let flags = flags.iter().map(|(f, v)| if *v == "true" { (*f).to_owned() } else { format!("{f}={v}") });
    let args: Vec<String> = ["crawl".to_owned(), url.to_owned()].into_iter().chain(flags).collect();
    let place = Place::new();
    let said = place.haul(&args);
    assert_eq!(said.out, "", "{}", said.err);
    assert!(place.runs().is_empty(), "a run that could not begin leaves nothing: {:?}", place.runs());
    said
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    let url = "http://127.0.0.1:9/foodstats";
    for (change, wanted) in [
        (&[("--offset", ""), ("--next", "")][..], &["does not say how pages follow", "--offset PARAM"][..]),
        (&[("--link", "true"), ("--next", "")], &["there is --offset already"]),
        (&[("--offset", ""), ("--cursor", "c"), ("--next", ""), ("--range", "")], &["a cursor needs --next"]),
        (&[("--items", "")], &["where a page has its records", "--items .data"]),
        (&[("--range", "9..5")], &["ends before it begins", "5..9"]),
        (&[("--range", "5..5")], &["is empty"]),
        (&[("--range", "a..b")], &["\"a\" is not an integer"]),
        (&[("--id", "")], &["a range needs id"]),
        (&[("--offset", ""), ("--next", ""), ("--page", "p")], &["a range of ids goes with offset"]),
        (&[("--page-size", "limit")], &["PARAM=N"]),
        (&[("--count", "")], &["nothing to do with the records"]),
        (&[("--count", "food_id:3")], &["is not a path"]),
        (&[("--count", ".x:0")], &["1 to 1000000"]),
        (&[("--to", "-")], &["cannot both go to standard output"]),
        (&[("--items", ".a |")], &["--items .a |"]),
    ] {
        let said = crawl(url, change);
        assert_eq!(said.status, 64, "{change:?}: {}", said.err);
        said.told(wanted);
    }
    crawl("http://127.0.0.1:9/{id}", &[]).ended(64).told(&["has no fields"]);
    crawl("ftp://h/x", &[]).ended(64).told(&["nothing here speaks ftp://"]);
}

#[test]
fn a_page_that_is_not_what_was_said_ends_the_run_at_once() {
    let lab = lab(0..5_000, |_| {});
    let url = format!("{}/foodstats", lab.url(Service::Pages));
    for (change, wanted) in [
        (&[("--items", ".data")][..], &["there is nothing at .data; it has .meta, .response", "--items"][..]),
        (&[("--items", ".meta")], &[".meta is {", "not a list"]),
        (&[("--items", ".")], &["not a list"]),
        (&[("--next", ".meta.nxt")], &["there is nothing at .meta.nxt", "--next"]),
        (&[("--id", ".key")], &["a record has nothing at .key; it has .food__category_id, .food_id, .id"]),
        (&[("--next", ".response")], &["needs offsets that are integers"]),
    ] {
        lab.reset();
        let said = crawl(&url, change);
        assert_eq!(said.status, 1, "{change:?}: {}", said.err);
        said.told(wanted);
        let asked = lab.truth(Service::Pages).unwrap().requests;
        assert!(asked <= 16, "{change:?}: {asked} requests before it was told");
    }
    crawl(&format!("{}/nowhere", lab.url(Service::Pages)), &[]).ended(1).told(&["404"]);
    let list = format!("{}/list", lab.url(Service::Pages));
    crawl(&list, &[("--items", ".items"), ("--next", ""), ("--id", ".name")])
        .ended(1)
        .told(&[".name of a record is \"thing 0\"", "ids that are integers"]);
}

#[test]
fn html_instead_of_json_and_pages_that_lead_back_end_the_run() {
    let lab = lab(0..5_000, |s| s.html_rate = 1.0);
    let url = format!("{}/foodstats", lab.url(Service::Pages));
    crawl(&url, &[]).ended(1).told(&["HTML instead of JSON (is this the address of the API?)"]);
    lab.set(Service::Pages, |s| (s.html_rate, s.loop_rate) = (0.0, 1.0)).unwrap();
    crawl(&url, &[]).ended(1).told(&["leads back: the pages go round in a circle"]);
}

#[test]
fn a_service_that_is_not_there_is_told() {
    crawl("http://127.0.0.1:9/foodstats", &[]).ended(1).told(&["127.0.0.1:9", "cannot be reached"]);
}
