//! What people type wrong: each mistake with a way out, exit status 64, nothing left behind.

use crate::program::Place;

#[track_caller]
fn refused(args: &[&str], told: &[&str]) {
    let place = Place::new();
    place.write("a.csv", "user_id,video_id\n1,2\n");
    place.haul(&[&["enrich", "a.csv"], args].concat()).ended(64).told(told);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "something is left behind");
}

const LOOKUP: &str = "--lookup=user=http://localhost:1/users/{user_id}";

#[test]
fn flags_that_do_not_exist() {
    refused(
        &["--lokup=a=b"],
        &["haul: unexpected argument '--lokup' found", "--lookup", "haul enrich --help"],
    );
    refused(&["--nosuch"], &["haul: unexpected argument '--nosuch' found", "haul enrich --help"]);
    let place = Place::new();
    place.haul(&["frob"]).ended(64).told(&["haul: unrecognized subcommand 'frob'"]);
    place.haul(&["enrihc", "a.csv"]).ended(64).told(&["enrich"]);
    place.haul(&["enrich"]).ended(64).told(&["<INPUT>", "haul enrich --help"]);
    place.haul(&["run"]).ended(64).told(&["<JOB.toml>"]);
}

#[test]
fn values_that_mean_nothing() {
    for (args, told) in [
        (
            &["--columns=a:integer"][..],
            &["\"a:integer\" has no known type", "str, int, float, bool, json"][..],
        ),
        (&["--columns=a:itn"], &["did you mean int?"]),
        (&["--columns=a,a"], &["two columns are named \"a\""]),
        (&["--rate=5"], &["--rate 5: \"5\" is not a rate: write it like 500/s"]),
        (&["--rate=5/fortnight"], &["\"5/fortnight\" is not a rate"]),
        (&["--rate=0/s"], &["would never send anything"]),
        (&["--rate=nosuch=5/s"], &["no one service is at \"nosuch\"", "there are: "]),
        (&["--memory=12"], &["memory must be at least 1MiB"]),
        (&["--memory=lots"], &["\"lots\" is not a size: write it like 12MiB"]),
        (&["-j0"], &["concurrency is from 1 to 65535, not 0"]),
        (&["-j", "many"], &["write auto, a number like 8, or bounds like 4..64"]),
        (&["-j", "64..4"], &["64 is above 4: write 4..64"]),
        (&["--timeout=5"], &["\"5\" is not a time"]),
        (&["--limit=-3"], &["--limit"]),
        (&["--on=404"], &["it does not say what the status means", "--on video:404=skip"]),
        (&["--on=nosuch:404=skip"], &["no step is named \"nosuch\"", "there are: user"]),
        (&["--on=404=skpi"], &["did you mean skip?"]),
        (&["--expect=user:20"], &["\"20\" is no HTTP status"]),
        (&["--take=usr=.x"], &["no lookup is named \"usr\"", "did you mean user?"]),
        (&["--take=user=.data | {id"], &["expected closing brace"]),
        (&["--where=.user_id = 1"], &["= assigns", "== compares"]),
        (&["--where=user_id == 1"], &["user_id", ".user_id"]),
        (&["--run=../x"], &["run name \"../x\" has '/' in it"]),
        (&["-H", "Authorization Bearer x"], &["a header is NAME: VALUE"]),
        (&["-H", "X-A: {env:}"], &["{env:} names nothing"]),
        (&["-H", "X-A: {user_id}"], &["{user_id} would be sent as it stands", "{env:NAME}"]),
        (&["-H", "X-A: Token {ENV:TOKEN}"], &["{ENV:TOKEN} would be sent as it stands"]),
        (&["--failed-to=nowhere/f.jsonl"], &["--failed-to nowhere/f.jsonl: No such file"]),
        (&["--failed-to=."], &["--failed-to . is a directory"]),
        (&["-H", "Authorization: $TOKEN"], &["must not stand on the command line", "{env:TOKEN}"]),
    ] {
        refused(&[&[LOOKUP, "--to=o.jsonl"], args].concat(), told);
    }
}

#[test]
fn urls_that_are_none() {
    for (url, told) in [
        ("localhost:8000/users/{user_id}", &["starts with a {service} or with http(s)://"][..]),
        ("ftp://localhost/{user_id}", &["nothing here speaks ftp://"]),
        ("http://localhost/{user_id", &["a \"{\" that is never closed"]),
        ("http://me:secret@localhost/{user_id}", &["must not hold a user name or a password"]),
        ("http://localhost:99999/{user_id}", &["99999"]),
        ("http:///users/{user_id}", &["host"]),
        ("http://local host/{user_id}", &["host"]),
    ] {
        refused(&[&format!("--lookup=user={url}"), "--to=o.jsonl"], told);
    }
}

#[test]
fn jobs_that_do_nothing() {
    refused(
        &[],
        &["there is nothing to do with the items", "--lookup NAME=URL, and --post URL or --to FILE"],
    );
    refused(&[LOOKUP], &["what was looked up goes nowhere", "--post URL or --to FILE"]);
    refused(&[LOOKUP, "--row=.x"], &["--to"]);
    refused(&[LOOKUP, "--to=o", "--body=.x"], &["--post"]);
    refused(&[LOOKUP, LOOKUP, "--to=o"], &["two steps are named \"user\""]);
    refused(&["--lookup=http://localhost/x", "--to=o"], &["a lookup is NAME=URL"]);
}

#[test]
fn every_mistake_of_a_job_file_is_shown_at_its_place() {
    let place = Place::new();
    place.write(
        "bad.toml",
        r#"haul = 1
[source]
csv = "p.csv"
colums = ["user_id:int"]
columns = ["user_id:itn"]
[service.users]
ulr = "http://localhost:8000"
rate = "500"
[[step]]
name = "user"
get = "{user}/users/{user_id}"
on = { 404 = "skpi" }
[limits]
memory = "12"
"#,
    );
    let said = place.haul(&["run", "bad.toml"]).ended(64).told(&[
        "haul: bad.toml:4:1: unknown key \"colums\" in [source]",
        "hint: did you mean \"columns\"?",
        "haul: bad.toml:5:12: ",
        "did you mean int?",
        "haul: bad.toml:7:1: unknown key \"ulr\" in [service.users]",
        "haul: bad.toml:8:8: \"500\" is not a rate",
        "haul: bad.toml:11:7: there is no service \"user\"",
        "haul: bad.toml:12:14: a status cannot mean \"skpi\"",
        "haul: bad.toml:14:10: memory must be at least 1MiB",
    ]);
    assert_eq!(said.err, place.haul(&["plan", "bad.toml"]).ended(64).err);
    place.haul(&["run", "bad.toml", "--profile=x"]).ended(64).told(&["no profile is named \"x\""]);
    place.haul(&["run", "bad.toml", "--set=x"]).ended(64).told(&["--set x: it has no value"]);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_no_job_is_not_explained_line_by_line() {
    let place = Place::new();
    place.write("pairs.csv", "1,2\n".repeat(20_000));
    let said = place.haul(&["run", "pairs.csv"]).ended(64).told(&["haul: pairs.csv:1:2: "]);
    let said = said.told(&["haul run takes a job file", "haul plan enrich pairs.csv"]);
    assert!(said.err.lines().count() < 25, "{}", said.err);
    // Of other mistakes a dozen is shown.
    let many: String = (0..200).map(|n| format!("key{n} = {n}\n")).collect();
    place.write("many.toml", format!("haul = 1\n{many}[source]\ncsv = \"pairs.csv\"\n"));
    let said =
        place.haul(&["run", "many.toml"]).ended(64).told(&["unknown key \"key11\"", "and 188 problems more"]);
    assert!(said.err.lines().count() < 100, "{}", said.err);
    place.write("empty.toml", "");
    let said = place.haul(&["run", "empty.toml"]).ended(64);
    said.told(&["haul: empty.toml:1:1: the file does not say which format it has\n  hint: write haul = 1"]);
    place.write("new.toml", "haul = 2\n");
    place.haul(&["run", "new.toml"]).ended(64).told(&["a job file of format 2", "use a newer haul"]);
}
