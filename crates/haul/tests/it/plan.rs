//! `haul plan`: what a command stands for.

use super::program::Place;

/// The published job, relative to this crate.
const JOB: &str = include_str!("../../../../jobs/enrich.toml");

/// The verb line that it is the plan of.
const VERB: [&str; 20] = [
    "enrich",
    "pairs.csv",
    "--columns=user_id:int,video_id:int",
    "--key={user_id},{video_id}",
    "--lookup",
    "user=http://localhost:8000/users/{user_id}",
    "--take",
    "user=.data | {id, fullName, country}",
    "--lookup",
    "video=http://localhost:8001/videos/{video_id}",
    "--take",
    "video=.data",
    "--on",
    "video:404=skip",
    "--post=http://localhost:8002/index",
    "--body={user: .user, video: .video}",
    "--expect",
    "201",
    "--within",
    "10m",
];

#[test]
fn the_published_job_is_the_plan_of_its_verb_line() {
    let said = Place::new().haul(&[&["plan"][..], &VERB].concat()).ended(0);
    assert_eq!(said.out, JOB);
    assert!(said.err.starts_with("forecast, "), "{}", said.err);
    let quiet = Place::new().haul(&[&["plan"][..], &VERB, &["-q"]].concat()).ended(0);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), (JOB, ""));
}

#[test]
fn the_published_job_of_get_is_the_plan_of_its_verb_line() {
    let args = [
        "plan",
        "get",
        "contents.json",
        "--each=.[]",
        "--url=mp4=.download_urls.mp4",
        "--url=png?=.download_urls.png",
        "--as={key}/{name}.{ext}",
        "--to=content",
        "--limit=50",
    ];
    let job = include_str!("../../../../jobs/get.toml");
    let place = Place::new();
    assert_eq!(place.haul(&args).ended(0).out, job);
    place.write("get.toml", job);
    assert_eq!(place.haul(&["plan", "get.toml"]).ended(0).out, job);
}

#[test]
fn the_plan_of_a_job_file_is_that_file() {
    let place = Place::new();
    place.write("enrich.toml", JOB);
    assert_eq!(place.haul(&["plan", "enrich.toml"]).ended(0).out, JOB);
}

#[test]
fn flags_arguments_and_profiles_are_laid_over_a_job_file() {
    let place = Place::new();
    place.write(
        "enrich.toml",
        format!("{JOB}\n[profile.far]\nservice.users.url = \"https://users.example\"\n"),
    );
    let args = ["--profile", "far", "--set", "retry.attempts=3", "-j", "64", "--rate", "users.example=5/s"];
    let out = place.haul(&[&["plan", "enrich.toml"][..], &args].concat()).ended(0).out;
    for wanted in ["url  = \"https://users.example\"\nrate = \"5/s\"", "attempts = 3", "concurrency = 64"] {
        assert!(out.contains(wanted), "{wanted}\nnot in\n{out}");
    }
}

#[test]
fn headers_are_bound_to_a_host_and_secrets_are_references() {
    let place = Place::new();
    let headers = [
        "-H",
        "localhost:8002=Authorization: Bearer {env:INDEX_TOKEN}",
        "-H",
        "videos=Accept: application/json",
    ];
    let out = place.haul(&[&["plan"][..], &VERB, &headers].concat()).ended(0).out;
    for wanted in [
        "auth = \"index\"",
        "[secret.index]\nheader = \"Authorization\"\nenv    = \"INDEX_TOKEN\"\nformat = \"Bearer {}\"\n",
        "headers = { Accept = \"application/json\" }",
    ] {
        assert!(out.contains(wanted), "{wanted}\nnot in\n{out}");
    }
}

#[test]
fn input_formats_are_known_by_name_and_can_be_said() {
    let place = Place::new();
    let of = |args: &[&str]| {
        let all = [&["plan", "enrich"], args, &["--to", "o.csv"]].concat();
        place
            .haul(&all)
            .ended(0)
            .out
            .lines()
            .find(|l| l.contains("sv") || l.contains("jsonl"))
            .unwrap()
            .to_owned()
    };
    assert_eq!(of(&["a.tsv.gz"]), "tsv = \"a.tsv.gz\"");
    assert_eq!(of(&["https://h/a.ndjson?x=1"]), "jsonl = \"https://h/a.ndjson?x=1\"");
    assert_eq!(of(&["-"]), "csv = \"-\"");
    assert_eq!(of(&["-", "--jsonl"]), "jsonl = \"-\"");
    assert_eq!(of(&["a.csv", "--tsv"]), "tsv = \"a.csv\"");
}

#[test]
fn every_flag_lowers_to_its_key() {
    let place = Place::new();
    let args = [
        "plan",
        "enrich",
        "in.csv",
        "--csv-header",
        "no",
        "--columns",
        "a,b:float",
        "--where",
        ".a != \"x\"",
        "--limit",
        "10",
        "--on-invalid",
        "stop",
        "--if-changed",
        "all",
        "--post",
        "https://api.example.com/v1/x?k={a}",
        "--on",
        "409=done",
        "--on",
        "5xx=fail",
        "--expect",
        "200,2xx",
        "--to",
        "out.csv",
        "--row",
        "{a}",
        "--append",
        "--rate",
        "10/s",
        "--attempts",
        "2",
        "--give-up-after",
        "6h",
        "--priority",
        ".fresh",
        "--goal",
        "p95 < 5s",
        "--timeout",
        "1m30s",
        "--memory",
        "64MiB",
        "--delivery",
        "at-most-once",
    ];
    let wanted = r#"haul     = 1
delivery = "at-most-once"

[source]
csv        = "in.csv"
header     = "no"
columns    = ["a", "b:float"]
where      = ".a != \"x\""
on_invalid = "stop"
if_changed = "all"
limit      = 10

[service.api]
url = "https://api.example.com"

[[step]]
name   = "x"
post   = "{api}/v1/x?k={a}"
on     = { 409 = "done", 5xx = "fail" }
expect = [200, "2xx"]

[output]
csv       = "out.csv"
row       = "{a}"
if_exists = "append"

[retry]
attempts      = 2
give_up_after = "6h"

[limits]
rate     = "10/s"
memory   = "64MiB"
timeout  = "1m30s"
priority = ".fresh"
goal     = "p95 < 5s"
"#;
    assert_eq!(place.haul(&args).ended(0).out, wanted);
}

#[test]
fn a_status_that_skips_is_about_lookups_unless_it_names_a_step() {
    let plan = |on: &[&str]| {
        let args = ["plan", "enrich", "-", "--lookup", "user=http://h/{id}", "--post", "http://h/index"];
        Place::new().haul(&[&args[..], on].concat()).ended(0).out
    };
    let post = |plan: &str| plan.split("[[step]]").nth(2).unwrap().to_owned();
    for (on, lookup, write) in [
        ("404=skip", "404 = \"skip\"", None),
        ("404=fail", "404 = \"fail\"", Some("404 = \"fail\"")),
        ("index:409=skip", "get", Some("409 = \"skip\"")),
    ] {
        let plan = plan(&["--on", on]);
        assert!(plan.contains(lookup), "{on}: {plan}");
        match write {
            Some(rule) => assert!(post(&plan).contains(rule), "{on}: {plan}"),
            None => assert!(!post(&plan).contains("on "), "{on}: {plan}"),
        }
    }
    let none = ["plan", "enrich", "-", "--jsonl", "--post", "http://h/index", "--on", "404=skip"];
    Place::new().haul(&none).ended(64).told(&["no lookup it could be about", "--on STEP:404=skip"]);
}
