//! Counting that spills, against a map.

use std::collections::HashMap;

use haul_reduce::{Columns, CountSpec, Counted, Format, Input, Progress, ReduceError};

use crate::support::{Files, Random, stream};

fn spec(files: &Files, by: &[&str]) -> CountSpec {
    CountSpec {
        by: by.iter().map(|p| p.parse().unwrap()).collect(),
        limit: 20,
        format: None,
        columns: Columns::default(),
        skip: false,
        memory: 2 << 20,
        dir: files.dir(),
    }
}

fn count(inputs: Vec<Input>, spec: &CountSpec) -> Result<Counted, ReduceError> {
    haul_reduce::count(inputs, spec, &Progress::default())
}

fn printed(counted: &Counted) -> serde_json::Value {
    let mut out = Vec::new();
    counted.write_json(&mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// `[[value, count], …]` of one path.
fn table(counted: &Counted, path: &str) -> Vec<(String, u64)> {
    let all = printed(counted);
    let rows = all[path].as_array().unwrap();
    rows.iter().map(|r| (r["value"].to_string(), r["count"].as_u64().unwrap())).collect()
}

fn best(counts: HashMap<u64, u64>, n: usize) -> Vec<(String, u64)> {
    let mut all: Vec<(u64, u64)> = counts.into_iter().collect();
    all.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
    all.into_iter().take(n).map(|(value, count)| (value.to_string(), count)).collect()
}

#[test]
fn two_million_distinct_integers_are_counted_exactly_in_little_memory() {
    const DISTINCT: u64 = 2_000_000;
    let files = Files::new();
    // All below 2^32, and none.
    for scale in [1u64, 1 << 33] {
        let mut random = Random(scale);
        let mut counts = HashMap::new();
        let mut text = String::new();
        let mut ids: Vec<u64> = (0..DISTINCT).map(|i| i * 7 % DISTINCT).collect();
        ids.extend((0..500_000).map(|_| random.below(DISTINCT)));
        for id in ids {
            let n = id * scale;
            *counts.entry(n).or_insert(0u64) += 1;
            text.push_str(&n.to_string());
            text.push('\n');
        }
        let counted = count(vec![files.write("ids", text.as_bytes())], &spec(&files, &[])).unwrap();
        assert_eq!((counted.records, counted.distinct[0]), (DISTINCT + 500_000, DISTINCT));
        assert_eq!(table(&counted, "."), best(counts, 20));
    }
    assert_eq!(std::fs::read_dir(files.dir()).unwrap().count(), 1, "nothing is left but the input");
}

#[test]
fn strings_that_do_not_fit_are_counted_exactly() {
    let files = Files::new();
    let mut random = Random(3);
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut text = String::new();
    for _ in 0..200_000 {
        let key =
            format!("user-{:06}-{}", random.below(60_000), "x".repeat(random.below(30) as usize / 29 * 50));
        text.push_str(&format!("{{\"a\":1,\"who\":{{\"name\":\"{key}\"}}}}\n"));
        *counts.entry(key).or_default() += 1;
    }
    let counted =
        count(vec![stream(text.as_bytes())], &spec(&files, &[".who.name", ".a", ".who.no"])).unwrap();
    assert_eq!(counted.distinct, [counts.len() as u64, 1, 1]);
    assert_eq!(table(&counted, ".a"), [("1".to_owned(), 200_000)]);
    assert_eq!(table(&counted, ".who.no"), [("null".to_owned(), 200_000)]);
    let mut want: Vec<(String, u64)> = counts.into_iter().collect();
    want.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let want: Vec<(String, u64)> = want.into_iter().take(20).map(|(k, c)| (format!("\"{k}\""), c)).collect();
    assert_eq!(table(&counted, ".who.name"), want);
}

#[test]
fn a_few_values_many_times() {
    let files = Files::new();
    let mut random = Random(4);
    let mut counts = HashMap::new();
    let mut csv = "food_id,category\n".to_owned();
    for _ in 0..300_000 {
        // A few frequent ones and many rare ones.
        let range = 2 << random.below(14);
        let n = random.below(range);
        *counts.entry(n).or_insert(0u64) += 1;
        csv.push_str(&format!("{n},\"c{}\"\n", n % 3));
    }
    let mut spec = spec(&files, &[".food_id", ".category"]);
    spec.format = Some(Format::Csv);
    let counted = count(vec![files.write("meals.csv", csv.as_bytes())], &spec).unwrap();
    assert_eq!(table(&counted, ".food_id"), best(counts, 20));
    assert_eq!(counted.distinct[1], 3);
}

#[test]
fn values_of_every_kind_and_their_order() {
    let files = Files::new();
    let lines = r#"{"v":2}
{"v":2.0}
{"v":"2"}
{"v":"\u0061"}
{"v":"a"}
{"v":null}
{}
{"v":-9223372036854775808}
{"v":123456789012345678901234567890}
{"v":true}
{"v":[1]}
{"v":-0}
{"v":0}
"#;
    let counted = count(vec![stream(lines.as_bytes())], &spec(&files, &[".v"])).unwrap();
    let mut out = Vec::new();
    counted.write_json(&mut out).unwrap();
    let want = r#"{".v": [
{"value": null, "count": 2},
{"value": 0, "count": 2},
{"value": "a", "count": 2},
{"value": true, "count": 1},
{"value": -9223372036854775808, "count": 1},
{"value": 2, "count": 1},
{"value": 2.0, "count": 1},
{"value": 123456789012345678901234567890, "count": 1},
{"value": "2", "count": 1},
{"value": [1], "count": 1}
]}
"#;
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn plain_lines_are_values() {
    let files = Files::new();
    let text = "3\n5\r\n3\nabc\n007\n\n\"x\"\nabc\n-3\n 3\n3";
    let counted = count(vec![files.write("a", text.as_bytes())], &spec(&files, &[])).unwrap();
    let want =
        [("3", 3), ("\"abc\"", 2), ("-3", 1), ("5", 1), ("\" 3\"", 1), ("\"\\\"x\\\"\"", 1), ("\"007\"", 1)];
    assert_eq!(table(&counted, "."), want.map(|(k, c)| (k.to_owned(), c)));
    assert_eq!(printed(&count(vec![stream(b"")], &spec(&files, &[])).unwrap()).to_string(), r#"{".":[]}"#);
}

#[test]
fn what_is_invalid_is_refused_with_its_line() {
    let files = Files::new();
    let refusal =
        |bytes: &[u8], by: &[&str]| count(vec![stream(bytes)], &spec(&files, by)).unwrap_err().to_string();
    assert_eq!(refusal(b"1\n2\n\xff\n", &[]), "stream:3: the line is not valid UTF-8");
    assert_eq!(refusal(b"{\"a\":1}\n[1]\n", &[".a"]), "stream:2: column 1: expected an object, found '['");
    let long = format!("1\n{}\n", "x".repeat(2 << 20));
    assert_eq!(
        refusal(long.as_bytes(), &[]),
        "stream:2: a line of more than 1 MiB is too long to be counted"
    );
    let mut skipping = spec(&files, &[".a"]);
    skipping.skip = true;
    let counted = count(vec![stream(b"{\"a\":1}\n{\n{\"a\":1}\n")], &skipping).unwrap();
    assert_eq!((counted.skipped, table(&counted, ".a")), (1, vec![("1".to_owned(), 2)]));
}

#[test]
fn a_place_that_takes_no_files_is_named() {
    let files = Files::new();
    let mut spec = spec(&files, &[]);
    spec.dir = files.path("no such directory");
    let text: String = (0..2_000_000u64).map(|i| format!("{}\n", i * 7)).collect();
    let reason = count(vec![stream(text.as_bytes())], &spec).unwrap_err().to_string();
    assert!(reason.contains("no such directory") && reason.contains("--temp-dir"), "{reason}");
}
