//! Generated inputs: repeatable, valid where they should be, unique where they must be.

use std::collections::{HashMap, HashSet};

use haul_lab::generate::{Flaw, GenerateError, Ids, Order, Pairs, Scores, Written};

fn pairs(spec: &Pairs) -> (String, Written) {
    let mut out = Vec::new();
    let written = spec.write_to(&mut out).unwrap();
    assert_eq!(written.bytes, out.len() as u64);
    (String::from_utf8(out).unwrap(), written)
}

fn scores(spec: &Scores) -> (String, Written) {
    let mut out = Vec::new();
    let written = spec.write_to(&mut out).unwrap();
    (String::from_utf8(out).unwrap(), written)
}

fn ids(spec: &Ids) -> String {
    let mut out = Vec::new();
    spec.write_to(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn pairs_are_unique_and_follow_from_the_seed() {
    let spec = Pairs { count: 200_000, ..Pairs::default() };
    let (text, written) = pairs(&spec);
    assert_eq!((written.lines, written.bad), (200_000, 0));
    assert_eq!(text, pairs(&spec).0);
    assert_ne!(text, pairs(&Pairs { seed: 2, ..spec.clone() }).0);
    let mut seen = HashSet::new();
    for line in text.lines() {
        let (user, video) = line.split_once(',').unwrap();
        let pair: (u64, u64) = (user.parse().unwrap(), video.parse().unwrap());
        assert!((1..=spec.users).contains(&pair.0) && (1..=spec.videos).contains(&pair.1), "{line}");
        assert!(seen.insert(pair), "{line} twice");
    }
    // A longer input starts with the shorter one: it only grew.
    assert!(pairs(&Pairs { count: 200_100, ..spec }).0.starts_with(&text));
}

#[test]
fn all_pairs_of_a_small_world_come_once() {
    let (text, _) = pairs(&Pairs { count: 35, users: 5, videos: 7, header: true, ..Pairs::default() });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "user_id,video_id");
    assert_eq!(lines[1..].iter().collect::<HashSet<_>>().len(), 35);
    let too_many = Pairs { count: 36, users: 5, videos: 7, ..Pairs::default() }.write_to(&mut Vec::new());
    assert!(matches!(too_many, Err(GenerateError::Spec(why)) if why.contains("make only 35")));
}

#[test]
fn bad_pairs_are_as_many_as_reported() {
    let (text, written) = pairs(&Pairs { count: 10_000, bad_rate: 0.05, ..Pairs::default() });
    let good = |line: &&str| {
        let fields: Vec<&str> = line.split(',').collect();
        fields.len() == 2 && fields.iter().all(|f| f.parse::<u64>().is_ok())
    };
    let bad = text.lines().filter(|line| !good(line)).count() as u64;
    assert_eq!((written.lines, written.bad), (10_000, bad));
    assert!((400..600).contains(&bad), "{bad}");
}

#[test]
fn score_lines_are_valid_sized_and_unique() {
    for size in [60, 90, 300, 5000] {
        let (text, _) = scores(&Scores { count: 500, size, ..Scores::default() });
        let mut seen = HashSet::new();
        for line in text.lines() {
            let (score, record) = line.split_once(':').unwrap();
            score.parse::<u64>().unwrap();
            let record: serde_json::Value = serde_json::from_str(record).unwrap();
            let id = record["id"].as_str().unwrap().to_owned();
            assert!(id.len() == 24 && seen.insert(id), "{line}");
            assert!(size < 90 || line.len() + 1 == size, "{} bytes, not {size}", line.len() + 1);
        }
        assert_eq!(seen.len(), 500);
    }
}

#[test]
fn scores_come_in_order() {
    let read = |order| -> Vec<u64> {
        let (text, _) = scores(&Scores { count: 2000, order, ..Scores::default() });
        text.lines().map(|line| line.split_once(':').unwrap().0.parse().unwrap()).collect()
    };
    assert!(read(Order::Ascending).is_sorted());
    assert!(read(Order::Descending).is_sorted_by(|a, b| a >= b));
    let random = read(Order::Random);
    assert!(!random.is_sorted() && random == read(Order::Random));
}

#[test]
fn one_line_is_bad_in_the_way_that_was_asked_for() {
    for flaw in [Flaw::Score, Flaw::Json, Flaw::Object, Flaw::Id] {
        let (text, written) = scores(&Scores { count: 50, bad: Some((17, flaw)), ..Scores::default() });
        assert_eq!((written.lines, written.bad), (50, 1));
        for (n, line) in (1..).zip(text.lines()) {
            let (score, record) = line.split_once(':').unwrap();
            let value: Result<serde_json::Value, _> = serde_json::from_str(record);
            let good =
                score.parse::<i64>().is_ok() && value.is_ok_and(|v| v.is_object() && v.get("id").is_some());
            assert_eq!(good, n != 17, "line {n} with {flaw:?}: {line}");
        }
    }
}

#[test]
fn ids_are_distinct_uniform_or_zipf() {
    let count = |spec: &Ids| -> HashMap<u64, u64> {
        let mut counts = HashMap::new();
        for line in ids(spec).lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            *counts.entry(value["food_id"].as_u64().unwrap()).or_default() += 1;
        }
        counts
    };
    let n = 100_000;
    assert_eq!(count(&Ids { count: n, ..Ids::default() }).len() as u64, n);
    let uniform = count(&Ids { count: n, distinct: Some(100), ..Ids::default() });
    assert!(uniform.len() == 100 && uniform.values().all(|c| (800..1200).contains(c)), "{uniform:?}");
    let zipf = count(&Ids { count: n, distinct: Some(1000), zipf: true, ..Ids::default() });
    assert!(zipf.keys().all(|id| (1..=1000).contains(id)));
    // ln 2 / ln 1001 of all are the first.
    assert!((9_500..10_500).contains(&zipf[&1]) && zipf[&1] > 3 * zipf[&5], "{} {}", zipf[&1], zipf[&5]);
}

#[test]
fn record_ids_rise_and_plain_ids_are_the_same_ones() {
    let spec = Ids { count: 5000, distinct: Some(50), ..Ids::default() };
    let records: Vec<serde_json::Value> =
        ids(&spec).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.iter().map(|r| r["id"].as_u64().unwrap()).is_sorted_by(|a, b| a < b));
    let plain = ids(&Ids { plain: true, ..spec });
    assert!(
        plain.lines().zip(&records).all(|(id, r)| Some(id) == r["food_id"].as_number().map(|n| n.as_str()))
    );
}

#[test]
fn impossible_requests_say_why() {
    let why = |result: Result<Written, GenerateError>| result.unwrap_err().to_string();
    assert!(why(Ids { zipf: true, ..Ids::default() }.write_to(&mut vec![])).contains("--distinct"));
    assert!(why(Ids { distinct: Some(0), ..Ids::default() }.write_to(&mut vec![])).contains("0 distinct"));
    assert!(why(Pairs { bad_rate: 2.0, ..Pairs::default() }.write_to(&mut vec![])).contains("bad rate of 2"));
    assert!(why(Pairs { users: 0, ..Pairs::default() }.write_to(&mut vec![])).contains("0 users"));
}

#[test]
fn an_output_that_fails_ends_it() {
    struct Full(u64);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len() as u64).ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let endless = Pairs { count: u64::MAX, ..Pairs::default() };
    let result = endless.write_to(&mut Full(1 << 20));
    assert!(matches!(result, Err(GenerateError::Io(e)) if e.kind() == std::io::ErrorKind::BrokenPipe));
}
