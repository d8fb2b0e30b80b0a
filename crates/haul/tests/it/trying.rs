//! `haul try`: from a URL to a right command, and nothing done on the way.

use haul_lab::{LabSpec, Service};
use serde_json::Value;

use crate::enrich::Scene;

/// The words of a command that was shown.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// What follows `try: ` on a line of the output, up to the explanation.
fn advice(out: &str) -> Vec<String> {
    let lines = out.lines().filter_map(|l| l.trim_start().strip_prefix("try: "));
    lines.map(|l| l.split("   ").next().unwrap().to_owned()).collect()
}

#[test]
fn a_newcomer_gets_from_a_url_to_a_right_command() {
    let scene = Scene::new(5);
    let url = format!("{}/users/1", scene.lab.url(Service::Users));
    let first = scene.place.haul(&["try", &url]).ended(0).out;
    assert!(first.starts_with(&format!("GET {url}  200 OK  ")), "{first}");
    let line = advice(&first).remove(0);
    assert!(line.starts_with("haul try enrich ids.csv --columns id --lookup user='http://"), "{line}");
    assert!(line.contains("/users/{id}' --take user=.data"), "{line}");
    // The command as it stands, with a file for it.
    scene.place.write("ids.csv", "id\n1\n2\n3\n");
    let args = words(line.strip_prefix("haul ").unwrap());
    let tried = scene.place.haul(&args).ended(0).out;
    assert!(tried.contains("  user     GET http://") && tried.contains("  .data  =  {\"id\":"), "{tried}");
    assert!(advice(&tried).iter().any(|a| a == "--columns id:int"), "{tried}");
    assert!(!scene.place.file("out.jsonl").exists() && scene.place.runs().is_empty(), "nothing is written");
    // Whole commands to copy: the better one, and then the one for real.
    let next = |out: &str| {
        let line = out.lines().find_map(|l| l.strip_prefix("next: haul ")).unwrap_or_else(|| panic!("{out}"));
        words(line.split("   ").next().unwrap())
    };
    let better = next(&tried);
    assert!(better[..2] == ["try", "enrich"] && better.ends_with(&["--columns".into(), "id:int".into()]));
    let real = next(&scene.place.haul(&better).ended(0).out);
    assert_eq!(real[0], "enrich");
    scene.place.haul(&real).ended(0);
    assert_eq!(scene.place.read("out.jsonl").lines().count(), 3);
}

/// Gives the pairs a header.
fn named(scene: &Scene) {
    let rows = scene.place.read("pairs.csv");
    scene.place.write("pairs.csv", format!("user_id,video_id\n{rows}"));
}

#[test]
fn a_file_is_looked_at_and_gets_its_columns() {
    let scene = Scene::new(5);
    named(&scene);
    let out = scene.place.haul(&["try", "pairs.csv"]).ended(0).out;
    assert_eq!(out.lines().count(), 6, "{out}");
    let line = advice(&out).remove(0);
    assert!(
        line.starts_with("haul try enrich pairs.csv --columns user_id:int,video_id:int --lookup"),
        "{line}"
    );
    scene.place.haul(&["try", "localhost:1/a"]).ended(64).told(&["haul try http://localhost:1/a"]);
    scene.place.haul(&["try", "http://127.0.0.1:1/a"]).ended(1).told(&["hint: is the service running"]);
    scene.place.haul(&["try", "nosuch.csv"]).ended(1).told(&["nosuch.csv: no such file"]);
    scene.place.haul(&["try"]).ended(64);
}

#[test]
fn writes_are_shown_and_never_sent() {
    let scene = Scene::new(20);
    let mut args = scene.posting(&["-H", "index=Authorization: Bearer {env:USER}"]);
    args.insert(0, "try".to_owned());
    let out = scene.place.haul(&args).ended(0).out;
    let index = scene.lab.url(Service::Index);
    assert_eq!(out.matches(&format!("would POST {index}/index, with its credentials (not sent)")).count(), 5);
    assert!(out.contains("{\"user\":{\"id\":") && !out.contains("ada"), "{out}");
    assert_eq!(scene.lab.truth(Service::Index).unwrap().requests, 0);
    assert_eq!(scene.lab.truth(Service::Users).unwrap().requests, 5);
    assert!(!scene.place.file(".haul").exists());
}

#[test]
fn programs_read_what_was_tried() {
    let scene = Scene::new(5);
    let mut args = scene.posting(&["--json"]);
    args.insert(0, "try".to_owned());
    let out = scene.place.haul(&args).ended(0).out;
    let lines: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let step = |i: usize| &lines[0]["steps"][i];
    assert_eq!((&step(0)["step"], &step(0)["requests"][0]["status"]), (&"user".into(), &200.into()));
    assert!(step(0)["result"]["id"].is_number());
    assert_eq!(step(2)["requests"][0]["sent"], false);
    assert!(step(2)["requests"][0]["body"]["video"].is_object() && step(2)["fault"].is_null());
}

#[test]
fn a_job_file_is_tried() {
    let scene = Scene::new(5);
    let plan = scene.place.haul(&[vec!["plan".to_owned()], scene.posting(&[])].concat()).ended(0);
    scene.place.write("enrich.toml", plan.out);
    let out = scene.place.haul(&["try", "enrich.toml", "--limit=2"]).ended(0).out;
    assert_eq!(out.matches("would POST").count(), 2, "{out}");
    scene.place.write("bad.toml", "haul = 1\n[source]\ncvs = \"x\"\n");
    scene.place.haul(&["try", "bad.toml"]).ended(64).told(&["unknown key \"cvs\""]);
}

#[test]
fn a_newcomer_gets_from_a_page_to_its_records() {
    let lab = crate::crawl::lab(1_000..1_400, |_| {});
    let place = crate::program::Place::new();
    let url = format!("{}/foodstats", lab.url(Service::Pages));
    let look = place.haul(&["try", &url]).ended(0).out;
    let line = advice(&look).remove(0);
    assert_eq!(
        line,
        format!(
            "haul try crawl '{url}' --items .response --offset offset --next .meta.next_offset --to rows.jsonl"
        )
    );
    let tried = place.haul(&words(line.strip_prefix("haul ").unwrap())).ended(0).out;
    assert!(tried.starts_with(&format!("GET {url}?offset=0  200 OK  ")), "{tried}");
    assert_eq!(tried.matches("row to rows.jsonl: ").count(), 5, "{tried}");
    let next = tried.lines().find_map(|l| l.strip_prefix("next: haul ")).unwrap();
    place.haul(&words(next.split("   ").next().unwrap())).ended(0);
    assert_eq!(place.read("rows.jsonl").lines().count() as u64, lab.pages_truth().records);

    let mut counting = crate::crawl::args(&lab, "1000..1400");
    counting.insert(0, "try".to_owned());
    let out = place.haul(&counting).ended(0).out;
    assert_eq!(out.matches("  count .food_id  =  1").count(), 5, "{out}");
    let bare = place.haul(&["try", "crawl", &url, "--items=.response[]", "--page=p"]).ended(0).out;
    assert!(
        bare.contains("--to FILE (or --count PATH") && bare.contains("records have .id, .food_id"),
        "{bare}"
    );
    place.haul(&["crawl", &url, "--items=.response", "--count=.food_id"]).ended(64).told(&["haul try URL"]);
}

#[test]
fn files_are_looked_at_and_not_saved() {
    let lab = haul_lab::Lab::start(&LabSpec::new(&[Service::Files])).unwrap();
    let place = crate::program::Place::new();
    let at = format!("{}/files", lab.url(Service::Files));
    let record = |id: u64, mp4: &str| format!(r#""{id}": {{"id": {id}, "urls": {{"mp4": "{at}/{mp4}"}}}}"#);
    place.write("contents.json", format!("{{{}, {}}}", record(1, "1-30000.mp4"), record(2, "2-500.png")));
    let look = place.haul(&["try", "contents.json"]).ended(0).out;
    let line = advice(&look).remove(0);
    assert_eq!(line, "haul try get 'contents.json' --each '.[]' --url mp4=.urls.mp4 --to files");
    let tried = place.haul(&words(line.strip_prefix("haul ").unwrap())).ended(3).out;
    assert!(tried.contains(&format!("GET {at}/1-30000.mp4  200 OK")) && tried.contains("30.0 kB"), "{tried}");
    assert!(tried.contains(r#"result  =  [{"file":"1.mp4","bytes":30000}]"#), "{tried}");
    assert!(tried.contains("fails (permanent): ") && tried.contains("png instead of mp4"), "{tried}");
    assert!(!place.file("files").exists() && place.runs().is_empty(), "nothing is saved");
}

#[test]
fn what_is_missing_or_wrong_is_suggested() {
    let spec = LabSpec::enrich().only(Service::Videos, |s| {
        s.error_rate = 1.0;
        s.error_status = 404;
    });
    let scene = Scene::with(5, spec);
    named(&scene);
    let (users, videos) = (scene.lab.url(Service::Users), scene.lab.url(Service::Videos));
    let user = format!("--lookup=user={users}/users/{{user_id}}");
    let out = scene.place.haul(&["try", "enrich", "pairs.csv", &user]).ended(0).out;
    let all = advice(&out);
    assert!(all.contains(&"--columns user_id:int,video_id:int".to_owned()), "{all:?}");
    assert!(all.contains(&"--take user=.data".to_owned()), "{all:?}");
    assert!(all.contains(&"--to FILE (or --post URL)".to_owned()), "{all:?}");
    let out = scene.place.haul(&["try", "enrich", "pairs.csv", &user, "--take=user=.dat"]).ended(0).out;
    assert!(out.contains(".dat finds nothing; the reply has data  did you mean .data?"), "{out}");
    let video = format!("--lookup=video={videos}/videos/{{video_id}}");
    let out = scene.place.haul(&["try", "enrich", "pairs.csv", &video]).ended(3).out;
    assert!(out.contains("404 Not Found") && out.contains("nothing is found there (404)"), "{out}");
    let skipped = scene.place.haul(&["try", "enrich", "pairs.csv", &video, "--on=404=skip"]).ended(0).out;
    assert!(skipped.contains("the item is skipped (video: 404)"), "{skipped}");
    scene.lab.set(Service::Videos, |s| s.error_status = 401).unwrap();
    let out = scene.place.haul(&["try", "enrich", "pairs.csv", &video]).ended(3).out;
    assert!(advice(&out).contains(&"-H 'videos=Authorization: Bearer {env:TOKEN}'".to_owned()), "{out}");
}

#[test]
fn an_api_that_wants_a_credential_is_explored_with_it() {
    let (at, _requests) = crate::secrets::service(|request| {
        let (status, body) = match request.to_ascii_lowercase().contains("authorization: bearer s3cret") {
            true => ("200 OK", "{\"items\":[{\"id\":1}],\"nextPageToken\":\"t2\"}"),
            false => ("401 Unauthorized", "{}"),
        };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
    });
    let place = crate::program::Place::new();
    let url = format!("{at}/page");
    let refused = place.haul(&["try", &url]).ended(3).out;
    let line = advice(&refused).remove(0);
    assert_eq!(line, format!("haul try '{url}' -H 'Authorization: Bearer {{env:TOKEN}}'"));
    let args = words(line.strip_prefix("haul ").unwrap());
    let with = |token: &str| crate::program::said(place.command(&args).env("TOKEN", token).output().unwrap());
    assert!(with("wrong").ended(3).out.contains("another value for the header"));
    let seen = with("s3cret").ended(0).out;
    let header = "-H 'Authorization: Bearer {env:TOKEN}'";
    assert_eq!(
        advice(&seen).remove(0),
        format!(
            "haul try crawl '{url}' --items .items --cursor pageToken --next .nextPageToken --to rows.jsonl {header}"
        )
    );
    assert!(!seen.contains("s3cret"), "{seen}");
    place.haul(&["try", "nosuch.toml", "-HAccept: x"]).ended(64).told(&["-H here goes with a URL"]);
}

#[test]
fn a_file_is_known_by_its_first_line() {
    let place = crate::program::Place::new();
    place.write("urls.txt", "http://127.0.0.1:9/1.png\n");
    place.write("ids.txt", "1\ta\n2\tb\n");
    place.write("ranked.txt", "5: {\"id\":\"a\"}\n");
    place.write("records", "{\"id\":1}\n");
    let look = |name: &str| advice(&place.haul(&["try", name]).ended(0).out).remove(0);
    assert!(look("urls.txt").starts_with("haul try get urls.txt --to "), "{}", look("urls.txt"));
    assert!(look("ids.txt").starts_with("haul try enrich ids.txt --tsv --columns "), "{}", look("ids.txt"));
    assert_eq!(look("ranked.txt"), "haul top ranked.txt 10");
    assert!(look("records").starts_with("haul try enrich records --jsonl --lookup "), "{}", look("records"));
}
