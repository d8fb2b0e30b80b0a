//! `haul top` and `haul count`: exit statuses, and what is on which stream.

use crate::program::Place;

const SCORES: &str = "5: {\"id\":\"a\"}\n+70:{\"id\":\"b\"}\r\n\n-3 : {\"id\":[1, 2]}";

#[test]
fn top_prints_the_best() {
    let place = Place::new();
    place.write("scores.txt", SCORES);
    let want = "[\n{\"score\": 70, \"id\": \"b\"},\n{\"score\": 5, \"id\": \"a\"}\n]\n";
    for args in
        [&["top", "scores.txt", "2"][..], &["top", "-n", "2", "scores.txt"], &["top", "score*.txt", "2"]]
    {
        let said = place.haul(args).ended(0);
        assert_eq!((said.out.as_str(), said.err.as_str()), (want, ""));
    }
    for args in [&["top", "-", "2"][..], &["top", "2"]] {
        assert_eq!(place.haul_fed(args, SCORES.as_bytes()).ended(0).out, want);
    }
    assert_eq!(place.haul(&["top", "scores.txt", "0"]).ended(0).out, "[]\n");
    let lowest = place.haul(&["top", "scores.txt", "1", "--lowest", "--record"]).ended(0);
    assert_eq!(lowest.out, "[\n{\"score\": -3, \"id\": [1, 2], \"record\": {\"id\":[1, 2]}}\n]\n");
}

#[test]
fn what_is_missing_ends_with_1() {
    let place = Place::new();
    place.write("scores.txt", SCORES);
    let said =
        place.haul(&["top", "scores.txt", "none.txt", "3"]).ended(1).told(&["haul: none.txt: no such file"]);
    assert_eq!(said.out, "");
    let said = place.haul(&["top", "none-*.txt", "3"]).ended(1).told(&["haul: none-*.txt: no file matches"]);
    assert_eq!(said.out, "");
    place.haul(&["top", ".", "3"]).ended(1).told(&["is a directory"]);
    place.haul(&["count", "none.txt"]).ended(1).told(&["haul: none.txt: no such file"]);
}

#[test]
fn what_is_invalid_anywhere_ends_with_2_and_names_the_line() {
    let place = Place::new();
    let good: String = (0..30_000).map(|i| format!("{i}: {{\"id\":{i}}}\n")).collect();
    for (bad, reason) in [
        ("x: {\"id\":1}", "no integer score"),
        ("1: {\"id\":1", "expected ',' or '}'"),
        ("1: [1]", "expected an object"),
        ("1: {\"no\":1}", "the record has no .id"),
    ] {
        place.write("scores.txt", format!("{good}{bad}\n{good}{bad}\n"));
        let line = "scores.txt:30001: ";
        let said = place.haul(&["top", "scores.txt", "1"]).ended(2).told(&[line, reason]);
        assert_eq!(said.out, "");
        assert_eq!(said.err.lines().count(), 1);
        let said = place.haul(&["top", "scores.txt", "1", "--on-invalid", "skip"]).ended(2);
        let said = said.told(&[line, "scores.txt:60002: ", "2 invalid lines were skipped"]);
        assert_eq!(said.out, "[\n{\"score\": 29999, \"id\": 29999}\n]\n");
    }
    place.write("ids.jsonl", "{\"a\":1}\n{\"a\":}\n");
    let said = place.haul(&["count", "ids.jsonl", "--by", ".a"]).ended(2).told(&["ids.jsonl:2: "]);
    assert_eq!(said.out, "");
}

#[test]
fn wrong_usage_ends_with_64_and_says_how() {
    let place = Place::new();
    place.write("scores.txt", SCORES);
    let cases: &[(&[&str], &str)] = &[
        (&["top", "scores.txt"], "how many? haul top FILE… N"),
        (&["top", "scores.txt", "x"], "how many?"),
        (&["top", "scores.txt", "1", "--jsonl"], "--by .score"),
        (&["top", "scores.txt", "1", "--by", "score"], "does not start with a dot"),
        (&["top", "scores.txt", "1", "--by", ".a", "--jsonl", "--csv"], "cannot be used with"),
        (&["top", "scores.txt", "1", "--id", ".[0]"], "does not start with a member"),
        (&["count", "scores.txt", "--csv"], "--by .food_id"),
        (&["count", "scores.txt", "--by", ".a", "--memory", "x"], "--memory"),
    ];
    for (args, hint) in cases {
        let said = place.haul(args).ended(64).told(&[hint]);
        assert_eq!(said.out, "", "{args:?}");
    }
}

#[test]
fn count_prints_the_most_common() {
    let place = Place::new();
    place.write("meals.jsonl", "{\"f\":3,\"c\":\"x\"}\n{\"f\":7,\"c\":\"x\"}\n{\"f\":3}\n");
    let said = place.haul(&["count", "meals.jsonl", "--by", ".f", "--by", ".c", "-n", "1"]).ended(0);
    let want =
        "{\".f\": [\n{\"value\": 3, \"count\": 2}\n],\n\".c\": [\n{\"value\": \"x\", \"count\": 2}\n]}\n";
    assert_eq!((said.out.as_str(), said.err.as_str()), (want, ""));
    place.write("meals.csv", "f,c\n3,x\n7,\"x\"\n");
    let said = place.haul(&["count", "meals.csv", "--by", ".c"]).ended(0);
    assert_eq!(said.out, "{\".c\": [\n{\"value\": \"x\", \"count\": 2}\n]}\n");
}

#[test]
fn what_does_not_fit_goes_to_the_directory_that_was_named() {
    let place = Place::new();
    let lines: String = (0..600_000u64).map(|i| format!("{}\n", i * 1_000_003 % 500_000)).collect();
    let args = ["count", "-n", "2", "--memory", "2M", "--temp-dir"];
    let said = place.haul_fed(&[&args[..], &["."]].concat(), lines.as_bytes()).ended(0);
    assert_eq!(said.out, "{\".\": [\n{\"value\": 0, \"count\": 2},\n{\"value\": 3, \"count\": 2}\n]}\n");
    let said = place.haul_fed(&[&args[..], &["none"]].concat(), lines.as_bytes()).ended(1);
    assert_eq!(said.told(&["haul: none: ", "--temp-dir"]).out, "");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let place = Place::new();
    let lines: String = (0..50_000).map(|i| format!("{i}: {{\"id\":{i}}}\n")).collect();
    place.write("scores.txt", lines);
    let mut child = place.command(&["top", "scores.txt", "50000"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}
