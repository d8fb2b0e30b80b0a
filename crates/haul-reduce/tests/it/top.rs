//! Ranking over many blocks.

use crate::support::{Files, Random, entries, printed, rank, refusal, spec, stream};

/// Lines of every length up to a few blocks, with many equal scores.
fn lines(random: &mut Random, count: usize, longest: u64) -> Vec<String> {
    (0..count)
        .map(|i| {
            let score = random.below(2000).cast_signed() - 1000;
            let shift = random.below(20);
            let pad = random.below(longest >> shift | 1) as usize;
            let end = if random.below(9) == 0 { "\r\n" } else { "\n" };
            let blank = if random.below(50) == 0 { "\n" } else { "" };
            format!("{blank}{score}: {{\"p\":\"{}\",\"id\":\"{i}\"}}{end}", "é\\n".repeat(pad / 4))
        })
        .collect()
}

fn model(lines: &[String], limit: usize) -> Vec<String> {
    let mut all: Vec<(i64, usize)> = lines
        .iter()
        .enumerate()
        .map(|(i, line)| (line.trim().split_once(':').unwrap().0.parse().unwrap(), i))
        .collect();
    all.sort_by_key(|(score, i)| (std::cmp::Reverse(*score), *i));
    all.iter().take(limit).map(|(score, i)| format!("{{\"score\": {score}, \"id\": \"{i}\"}}")).collect()
}

#[test]
fn lines_that_cross_blocks_are_seen_once() {
    let files = Files::new();
    let mut random = Random(1);
    for (longest, count) in [(100, 9000), (5_000, 3000), (700_000, 200)] {
        let lines = lines(&mut random, count, longest);
        let text = lines.concat();
        for limit in [1, 7, 5000] {
            let want = model(&lines, limit);
            assert_eq!(entries(vec![files.write("a", text.as_bytes())], &spec(limit)), want);
            assert_eq!(entries(vec![stream(text.as_bytes())], &spec(limit)), want);
        }
        let open_end = text.trim_end();
        assert_eq!(entries(vec![files.write("b", open_end.as_bytes())], &spec(9)), model(&lines, 9));
    }
}

#[test]
fn lines_end_at_every_place_around_a_block_border() {
    let files = Files::new();
    for pad in 256 * 1024 - 90..256 * 1024 - 40 {
        let text = format!(
            "1:{{\"id\":1,\"p\":\"{}\"}}\n2:{{\"id\":2}}\n\n3:{{\"id\":3}}\n4:{{\"id\":4}}\n",
            "x".repeat(pad)
        );
        let want: Vec<String> = (1..5).rev().map(|i| format!("{{\"score\": {i}, \"id\": {i}}}")).collect();
        assert_eq!(entries(vec![files.write("a", text.as_bytes())], &spec(9)), want, "{pad}");
    }
}

#[test]
fn the_first_bad_line_is_named_whatever_the_timing() {
    let files = Files::new();
    let mut random = Random(5);
    let mut lines = lines(&mut random, 20_000, 400);
    lines.iter_mut().for_each(|l| *l = l.trim_start().to_owned());
    for round in 0..12 {
        let mut broken = lines.clone();
        let first = random.below(20_000) as usize;
        for (i, line) in broken.iter_mut().enumerate().skip(first) {
            if i == first || random.below(40) == 0 {
                *line = line.replacen("{\"p\"", "{p\"", 1);
            }
        }
        let text = broken.concat();
        let column = broken[first].find('{').unwrap() + 2;
        let reason = format!(":{}: column {column}: expected a key or '}}', found 'p'", first + 1);
        let file = files.write("a", text.as_bytes());
        assert!(refusal(vec![file], &spec(3)).ends_with(&reason), "round {round}");
        assert!(refusal(vec![stream(text.as_bytes())], &spec(3)).ends_with(&reason), "round {round}");
    }
}

#[test]
fn passed_over_lines_are_counted_and_the_first_are_named() {
    let files = Files::new();
    let mut random = Random(6);
    let mut lines = lines(&mut random, 10_000, 400);
    lines.iter_mut().for_each(|l| *l = l.trim_start().to_owned());
    let bad: Vec<usize> = (0..10_000).filter(|i| i % 37 == 5).collect();
    let mut broken = lines.clone();
    for i in &bad {
        broken[*i] = "oops\n".to_owned();
        lines[*i] = "-99999: {\"id\":0}\n".to_owned();
    }
    let mut skipping = spec(20);
    skipping.skip = true;
    for input in [files.write("a", broken.concat().as_bytes()), stream(broken.concat().as_bytes())] {
        let mut ranking = rank(vec![input], &skipping).unwrap();
        assert_eq!(ranking.skipped, bad.len() as u64);
        let named: Vec<u64> = ranking.first_skipped.iter().map(|b| b.line).collect();
        let want: Vec<u64> = bad.iter().take(10).map(|i| *i as u64 + 1).collect();
        assert_eq!(named, want);
        let want = model(&lines, 20).join(",\n");
        assert_eq!(printed(&mut ranking), format!("[\n{want}\n]\n"));
    }
}

#[test]
fn several_inputs_are_one_in_their_order() {
    let files = Files::new();
    let mut random = Random(9);
    let lines = lines(&mut random, 4000, 2000);
    let want = model(&lines, 50);
    let part = |from: usize, to: usize| lines[from..to].concat();
    let zstd = zstd::encode_all(part(2500, 3000).as_bytes(), 1).unwrap();
    let inputs = vec![
        files.write("1", part(0, 1000).as_bytes()),
        files.write("2", part(1000, 1003).trim_end().as_bytes()),
        stream(part(1003, 2500).as_bytes()),
        files.write("3.zst", &zstd),
        files.write("4", b""),
        files.write("5", part(3000, 4000).as_bytes()),
    ];
    assert_eq!(entries(inputs, &spec(50)), want);
    let inputs = vec![
        files.write("1", b"1:{\"id\":1}"),
        files.write("2", b"\n2:{\"id\":2}\n2;\n"),
        files.write("3", b"x"),
    ];
    let reason = refusal(inputs, &spec(1));
    assert!(reason.contains("/2:3: no integer score"), "{reason}");
}

#[test]
fn lines_too_long_to_be_held_are_judged_like_the_others() {
    let files = Files::new();
    let long = |id: &str, tail: &str| {
        let array = "[1, {\"a\": \"é\\u00e9\"}], ".repeat(90_000);
        format!("9 : {{\"big\": [{array}0], \"s\":\"{}\",\"id\": {id} }}{tail}", "x".repeat(300_000))
    };
    assert!(long("1", "").len() > 2 << 20);
    let text = format!("1:{{\"id\":1}}\n{}\r\n3:{{\"id\":3}}\n{}", long("\"l\"", "  "), long("[2 ]", ""));
    let want = [r#"{"score": 9, "id": "l"}"#, r#"{"score": 9, "id": [2 ]}"#, r#"{"score": 3, "id": 3}"#];
    assert_eq!(entries(vec![files.write("a", text.as_bytes())], &spec(3)), want);
    assert_eq!(entries(vec![stream(text.as_bytes())], &spec(3)), want);

    let mut records = spec(1);
    records.records = true;
    let kept = entries(vec![stream(text.as_bytes())], &records);
    assert!(kept[0].len() > 2 << 20 && kept[0].ends_with("\"id\": \"l\" }}"));

    let bad = [
        (long("1", "}"), "expected the end of the line after the object, found '}'"),
        (long("01", ""), "expected no digit after a leading zero, found '1'"),
        (long("1", "").replacen("big", "b\tg", 1), "found byte 0x09"),
        (long("1", "").replacen("\"id\"", "\"ID\"", 1), "the record has no .id"),
        (long("1", "").replacen("9 :", "9x:", 1), "no integer score"),
        (long("1", "").replacen("9 :", "", 1), "no integer score"),
        ("[".repeat(2 << 20), "no integer score"),
        (format!("1:{{\"a\":{}", "[".repeat(2 << 20)), "expected a value or ']', found the end of the line"),
        ("1".repeat(3 << 20), "a score of more than 1,048,576 digits"),
    ];
    for (line, reason) in bad {
        let text = format!("1:{{\"id\":1}}\n\n{line}\n3:{{\"id\":3}}\n");
        for input in [files.write("a", text.as_bytes()), stream(text.as_bytes())] {
            let said = refusal(vec![input], &spec(3));
            assert!(said.contains(":3: ") && said.contains(reason), "{said}");
        }
    }
    let blank = format!("1:{{\"id\":1}}\n{}\n", " ".repeat(3 << 20));
    assert_eq!(entries(vec![files.write("a", blank.as_bytes())], &spec(3)).len(), 1);
    let marked = format!("\u{feff}{}", long("1", ""));
    assert_eq!(entries(vec![files.write("a", marked.as_bytes())], &spec(3)).len(), 1);
    assert_eq!(entries(vec![stream(marked.as_bytes())], &spec(3)).len(), 1);
    let big_score = format!("{}5:{{\"id\":1}}\n4:{{\"id\":2}}\n", "0".repeat(1_000_000));
    assert_eq!(entries(vec![files.write("a", big_score.as_bytes())], &spec(1)), [r#"{"score": 5, "id": 1}"#]);
}
