//! What a job file with mistakes is told, word for word.

use super::{MANUAL, problems, read, read_with};
use haul_core::job::{Place, StepKind};

/// A valid frame, so that a test shows only its own mistake.
fn with(rest: &str) -> String {
    format!("haul = 1\n[source]\ncsv = \"a.csv\"\n[output]\njsonl = \"o.jsonl\"\n{rest}")
}

#[track_caller]
fn expect(text: &str, wanted: &str) {
    let found = problems(text, None, &[]);
    assert_eq!(found.trim(), wanted.trim(), "\n--- found:\n{found}--- wanted:\n{wanted}");
}

#[test]
fn the_manual_is_right() {
    let job = read(MANUAL);
    assert_eq!(job.verb, "enrich");
    assert_eq!(job.steps.len(), 3);
    assert_eq!(job.retry.attempts, 9);
    assert_eq!(job.services["index"].auth, ["index"]);
}

#[test]
fn unknown_keys_are_errors_and_say_what_was_meant() {
    expect(
        &with("[limits]\nconcurency = 4\nfoo = 1\n[retrys]\nattempts = 3\n"),
        r#"
job.toml:7:1: unknown key "concurency" in [limits] (did you mean "concurrency"? known keys in [limits]: concurrency, rate, bandwidth, memory, timeout, connect_timeout, read_timeout, min_throughput, keep_free, priority, goal)
job.toml:8:1: unknown key "foo" in [limits] (known keys in [limits]: concurrency, rate, bandwidth, memory, timeout, connect_timeout, read_timeout, min_throughput, keep_free, priority, goal)
job.toml:9:2: unknown key "retrys" (did you mean "retry"? known keys: haul, name, source, service, store, secret, step, aggregate, output, retry, limits, delivery, profile)
"#,
    );
}

#[test]
fn wrong_types_point_at_the_value() {
    expect(
        &with(
            "[limits]\nconcurrency = true\nrate = 500\nmemory = true\ntimeout = 30\n[retry]\nattempts = 0\nwithin = \"ten minutes\"\n",
        ),
        r#"
job.toml:7:15: concurrency must be "auto", a number like 8, or "4..64", not true or false
job.toml:8:8: rate has no unit (write it like "500/s")
job.toml:9:10: memory must be text like "12MiB", not true or false
job.toml:10:11: timeout has no unit (write it like "30s")
job.toml:12:12: attempts must be a whole number from 1 to 4294967295, not 0
job.toml:13:10: "ten minutes" is not a time: write it like 200ms, 30s, 10m or 1h30m
"#,
    );
}

#[test]
fn several_problems_of_one_job_are_all_told() {
    let text = r#"haul = 1
delivery = "atmost-once"
[source]
csv = "a.csv"
columns = ["user_id:integer", "x"]
headers = "yes"
[service.users]
url = "ftp://localhost"
auth = "idx"
[secret.index]
header = "Authorization"
env = "T"
[[step]]
name = "user"
get = "{user}/users/{user_id}"
on = { 40 = "skip", 404 = "ignore" }
[[step]]
name = "index"
post = "{users}/index"
map = ".x"
[[step]]
nam = "last"
filter = ".y"
"#;
    expect(
        text,
        r#"
job.toml:2:12: delivery cannot be "atmost-once" (did you mean "at-most-once"? it is one of "at-least-once", "at-most-once")
job.toml:5:12: "user_id:integer" has no known type: write NAME:TYPE with one of str, int, float, bool, json
job.toml:6:1: unknown key "headers" in [source] (did you mean "header"? known keys in [source]: csv, tsv, jsonl, json, urls, keys, get, header, columns, each, key, on_invalid, if_changed, limit, where)
job.toml:8:7: a service's URL starts with http:// or https://
job.toml:9:8: there is no secret "idx" (add [secret.idx] with header and env)
job.toml:15:7: there is no service "user" (did you mean {users}?)
job.toml:16:13: "40" is no HTTP status: write it like 404 or 4xx
job.toml:20:7: the step has post already (a step has exactly one of get, post, put, download, copy, map, filter; make it two steps)
job.toml:21:1: step 3 has no name (add name = "video")
job.toml:22:1: unknown key "nam" in step 3 (did you mean "name"? known keys in step 3: name, get, post, put, download, copy, map, filter)
"#,
    );
}

#[test]
fn a_format_from_the_future_is_not_taken_for_a_broken_file() {
    expect(
        "haul = 2\nwhatever = [1]\n",
        "job.toml:1:8: this is a job file of format 2; this haul reads up to 1 (use a newer haul)",
    );
    expect(
        "[source]\ncsv = \"a\"\n",
        "job.toml:1:1: the file does not say which format it has (write haul = 1 in its first line)",
    );
    expect("haul = \"1\"\n", "job.toml:1:8: haul must be the number of the format (write haul = 1)");
}

#[test]
fn broken_toml_is_reported_where_it_breaks() {
    let found = problems("haul = 1\n[source]\ncsv = \nlimit = 1 2\n", None, &[]);
    assert!(found.starts_with("job.toml:3:"), "{found}");
    assert!(found.contains("job.toml:4:"), "all errors are told: {found}");
    assert!(problems("", None, &[]).contains("haul = 1"), "an empty file says how to begin");
}

#[test]
fn secrets_in_the_open_are_refused_and_not_repeated() {
    let text = with(
        "[service.a]\nurl = \"https://me:hunter2@example.org\"\nheaders = { Authorization = \"Bearer hunter2\", X-Api-Key = \"hunter2\" }\n[secret.s]\nheader = \"Authorization\"\nvalue = \"hunter2\"\n",
    );
    let found = problems(&text, None, &["service.a.headers.Cookie=hunter2"]);
    assert!(!found.contains("hunter2"), "{found}");
    for wanted in [
        "job.toml:7:7: a URL must not hold a user name or a password",
        "the value of Authorization must not stand in the open (refer to it: [secret.NAME] header = \"Authorization\", env = \"VARIABLE\"",
        "the value of X-Api-Key must not stand in the open",
        "--set service.a.headers.Cookie=…: the value of Cookie must not stand in the open",
        "job.toml:11:1: a job file never holds the value of a secret (say where it is found: env",
    ] {
        assert!(found.contains(wanted), "{wanted}\nnot in\n{found}");
    }
}

#[test]
fn a_job_needs_a_source_and_something_to_do() {
    expect(
        "haul = 1\n",
        "job.toml:1:1: the job has no source (add [source] with csv, tsv, jsonl, json or urls = \"FILE\", or get = \"URL\")",
    );
    expect(
        "haul = 1\n[source]\ncsv = \"a\"\n",
        "the job does nothing with its items (add a [[step]], or an [output])",
    );
    expect(
        "haul = 1\n[source]\ncsv = \"a\"\njsonl = \"b\"\n[output]\n",
        r#"
job.toml:4:9: there is csv already: only one of csv, tsv, jsonl, json, urls, keys
job.toml:5:1: it does not say what to read or write (add exactly one of jsonl, csv, such as jsonl = "FILE")
"#,
    );
}

#[test]
fn effects_come_last_and_names_are_unique() {
    expect(
        &with(
            "[service.s]\nurl = \"http://h\"\n[[step]]\nname = \"a\"\npost = \"{s}/x\"\non = { 404 = \"null\" }\n[[step]]\nname = \"a\"\nmap = \".x\"\nexpect = 201\n[[step]]\nname = \"a b\"\nget = \"/x/{\"\n",
        ),
        r#"
job.toml:10:8: "a" writes to a service, so it must be the last step (put the steps after it before it, or into a job of their own)
job.toml:11:6: null is the result of a lookup; this step brings none (use done, skip, fail or retry)
job.toml:13:8: two steps are named "a"
job.toml:15:1: unknown key "expect" in step "a" (known keys in step "a": name, get, post, put, download, copy, map, filter)
job.toml:17:8: "a b" cannot name a step (use letters, digits, _ and -, and start with a letter)
job.toml:18:7: a "{" that is never closed (write {field} for the value of a field, {{ and }} for the braces themselves)
"#,
    );
}

#[test]
fn a_url_is_a_service_with_a_path_a_whole_url_or_a_field() {
    let step = |url: &str| {
        with(&format!("[service.s]\nurl = \"http://h/\"\n[[step]]\nname = \"a\"\nget = \"{url}\"\n"))
    };
    for fine in ["{s}/x/{id}", "{s}", "https://h/{{x}}", "{url}", "http://h:80/?q={.a.b}"] {
        expect(&step(fine), "");
    }
    for (url, wanted) in [
        ("{t}/x", "there is no service \"t\" (did you mean {s}?)"),
        (
            "/x",
            "a step's URL starts with a {service} or with http(s):// (write it like \"{s}/path/{field}\")",
        ),
        ("ftp://h", "nothing here speaks ftp:// (use http:// or https://)"),
        (
            "{s}/}",
            "a stray \"}\" (write {field} for the value of a field, {{ and }} for the braces themselves)",
        ),
        (
            "http://u:p@h/",
            "a URL must not hold a user name or a password (send it in a header that refers to a secret: header = \"Authorization\", env = \"VARIABLE\")",
        ),
    ] {
        expect(&step(url), &format!("job.toml:10:7: {wanted}"));
    }
}

#[test]
fn profiles_are_laid_over_the_file() {
    let plain = read(MANUAL);
    let laid = read_with(MANUAL, Some("production"), &[]).job;
    assert_eq!(laid.services["users"].url, "https://users.example");
    assert_eq!(laid.services["users"].rate, plain.services["users"].rate);
    assert_eq!(laid.retry.attempts, 20);
    assert_eq!(laid.retry.within, plain.retry.within);
    let patient = read_with(MANUAL, Some("patient"), &[]).job;
    assert_eq!(patient.steps[1].timeout, Some(std::time::Duration::from_secs(120)));
    assert_eq!(patient.steps.len(), 3);
}

#[test]
fn profiles_that_do_not_exist_or_are_wrong_inside_are_told() {
    assert_eq!(
        problems(MANUAL, Some("prodction"), &[]),
        "--profile prodction: no profile is named \"prodction\" (did you mean \"production\"?)\n"
    );
    let text = with("[profile.p]\nlimits.rte = \"5/s\"\nlimits.timeout = 5\n");
    let wanted = r#"job.toml:7:8: unknown key "rte" in [limits] (did you mean "rate"? known keys in [limits]: concurrency, rate, bandwidth, memory, timeout, connect_timeout, read_timeout, min_throughput, keep_free, priority, goal)
job.toml:8:18: timeout has no unit (write it like "5s")
"#;
    assert_eq!(problems(&text, None, &[]), wanted, "also when the profile is not used");
    assert_eq!(problems(&text, Some("p"), &[]), wanted);
}

#[test]
fn arguments_are_laid_over_the_file_and_named_when_wrong() {
    let set =
        ["limits.concurrency=7", "service.users.rate=5/s", "step.video.take=.data.x", "source.limit=10"];
    let parsed = read_with(MANUAL, Some("production"), &set);
    assert_eq!(parsed.job.limits.concurrency, haul_core::job::Concurrency::Fixed(7));
    assert_eq!(parsed.job.services["users"].rate.unwrap().to_string(), "5/s");
    assert_eq!(parsed.job.source.limit, Some(10));
    let StepKind::Get { take, .. } = &parsed.job.steps[1].kind else { panic!() };
    assert_eq!(take.as_deref(), Some(".data.x"));
    assert_eq!(
        parsed.places.find("step.video.take"),
        Place::Argument("--set step.video.take=.data.x".to_owned())
    );
    let found =
        problems(MANUAL, None, &["limits.rate=5", "nonsense", ".x=1", "step.vidoe.take=.a", "limits.x=1"]);
    assert_eq!(
        found,
        "--set nonsense: it has no value (write it like --set service.users.rate=500/s)\n\
         --set .x=1: \".x\" is not a path into a job file (write it like --set service.users.rate=500/s)\n\
         --set step.vidoe.take=.a: no step is named \"vidoe\" (did you mean \"video\"?)\n\
         --set limits.rate=5: rate has no unit (write it like \"5/s\")\n\
         --set limits.x=1: unknown key \"x\" in [limits] (known keys in [limits]: concurrency, rate, bandwidth, memory, timeout, connect_timeout, read_timeout, min_throughput, keep_free, priority, goal)\n"
    );
}

#[test]
fn values_know_where_they_were_said() {
    let places = read_with(MANUAL, None, &[]).places;
    let Place::File(span) = places.find("step.user.take") else { panic!() };
    assert_eq!(&MANUAL[span], "\".data | {id, fullName, country}\"");
    let Place::File(span) = places.find("service.users.url") else { panic!() };
    assert_eq!(&MANUAL[span], "\"http://localhost:8000\"");
}

#[test]
fn sources_that_contradict_themselves_are_refused() {
    expect(
        "haul = 1\n[source]\njsonl = \"s3://b/k\"\ncolumns = [\"a\", \"a\"]\nheader = \"no\"\nkey = \"{}\"\n[output]\njsonl = \"s3://b/k\"\n",
        r#"
job.toml:3:9: nothing here reads s3:// (give a file, - for standard input, or an http(s) URL)
job.toml:4:11: JSON Lines have no columns (leave columns out, or read the source as csv or tsv)
job.toml:4:17: two columns are named "a"
job.toml:5:10: JSON Lines have no header (leave header out)
job.toml:6:7: {} names no field (write {field} for the value of a field, {{ and }} for the braces themselves)
job.toml:8:9: rows are written to a file (give a path, or - for standard output)
job.toml:8:9: the job would write over the file it reads (give another name)
"#,
    );
}

#[test]
fn batches_say_what_they_take() {
    let step = |rest: &str| with(&format!("[[step]]\nname = \"x\"\npost = \"http://h/\"\n{rest}\n"));
    for (rest, wanted) in [
        (
            "batch = 5",
            "job.toml:9:9: batch must be a table, not a whole number (write it like batch = { max = 50, by = \"user_id\", linger = \"200ms\" })",
        ),
        (
            "batch = { mx = 5 }",
            "job.toml:9:11: unknown key \"mx\" in batch (did you mean \"max\"? known keys in batch: max, by, linger, format)",
        ),
        ("batch = { max = 5000 }", "job.toml:9:17: max must be a whole number from 1 to 4096, not 5000"),
        (
            "batch = { format = \"ndjsn\" }",
            "job.toml:9:20: format cannot be \"ndjsn\" (did you mean \"ndjson\"? it is one of \"json\", \"ndjson\")",
        ),
        ("batch = { linger = \"2m\" }", "job.toml:9:20: an item waits for company at most 1m"),
        (
            "outcomes = \".x\"",
            "job.toml:9:12: outcomes says what became of each item of a batch (add batch = { max = 100 })",
        ),
    ] {
        expect(&step(rest), wanted);
    }
}

#[test]
fn replicas_are_several_hosts() {
    expect(
        &with(
            "[service.a]\nurl = []\n[service.b]\nurl = [\"http://x/1\", \"ftp://y\", \"http://X/2\"]\n[service.c]\nurl = 5\n",
        ),
        r#"
job.toml:7:7: url is empty (write it like "https://HOST")
job.toml:9:22: a service's URL starts with http:// or https://
job.toml:9:33: X is there already (a service has one URL for each host that answers)
job.toml:11:7: url must be a URL, or a list of them, not a whole number
"#,
    );
}

#[test]
fn pages_say_where_their_records_are_and_how_they_follow_each_other() {
    let with = |keys: &str| {
        format!("haul = 1\n[source]\nget = \"http://h/x\"\n{keys}\n[aggregate.a]\ncount = \".x\"\n")
    };
    for fine in [
        "items = \".\"\nlink = \"next\"",
        "items = \".a\"\noffset = \"o\"\nrange = \"1..=5\"\nid = \".id\"",
        "items = \".a\"\ncursor = \"c\"\nnext = \".n\"\npage_size = { limit = 5 }",
    ] {
        expect(&with(fine), "");
    }
    for (keys, wanted) in [
        ("link = \"next\"", "2:1: [source] has no items (add items = \".data\")"),
        ("items = \".\"\nlink = \"prev\"", "5:8: link cannot be \"prev\" (it is one of \"next\")"),
        (
            "items = \".\"",
            "2:1: it does not say how pages follow each other (add exactly one of offset = PARAM, page = PARAM, cursor = PARAM with next = EXPR, next_url = EXPR, link = \"next\")",
        ),
        (
            "items = \".\"\npage = \"p\"\noffset = \"o\"",
            "5:8: there is offset already: only one of offset, page, cursor, next_url, link",
        ),
        (
            "items = \".\"\ncursor = \"c\"",
            "2:1: a cursor needs next: where a page says it (add next = \".meta.next_cursor\")",
        ),
        (
            "items = \".\"\npage = \"p\"\nrange = \"1..5\"\nid = \".id\"",
            "6:9: a range of ids goes with offset, not with page (leave the range out, or page by offset = PARAM)",
        ),
        (
            "items = \".\"\noffset = \"o\"\nrange = \"5..1\"\nid = \".id\"",
            "6:9: \"5..1\" ends before it begins: write 1..5",
        ),
        (
            "items = \".\"\npage = \"p\"\npage_size = 5",
            "6:13: page_size must be a table of one parameter, not a whole number (write it like page_size = { limit = 100 })",
        ),
    ] {
        expect(&with(keys), &format!("job.toml:{wanted}"));
    }
    expect(
        "haul = 1\n[source]\ncsv = \"a\"\n[aggregate.a]\ncount = \".x\"\ntop = \".y\"\n[aggregate.b]\nn = 5\n",
        r#"
job.toml:4:1: it says two things (give exactly one of count, top, stats, such as count = ".country")
job.toml:7:1: it does not say what to sum up (give exactly one of count, top, stats, such as count = ".country")
"#,
    );
}
