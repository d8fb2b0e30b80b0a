//! Any bytes as a file of `<score>: <record>` lines: ranking in pieces, ranking in long lines and a
//! plain reading with serde_json must agree, also on which line is the first bad one.

#![no_main]

use std::cmp::Ordering;
use std::collections::HashMap;

use haul_reduce::fuzz;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let [how, cut, text @ ..] = data else { return };
    let (limit, lowest) = (usize::from(how % 8), *how >= 128);
    let ranked = fuzz::rank(text, limit, lowest, usize::from(*cut) * text.len() / 255);
    let long = fuzz::rank_long(text, limit, lowest, usize::from(how / 8 % 8) + 1);
    assert_eq!(ranked, long, "pieces and long lines disagree");
    let Some(model) = rank(text, limit, lowest) else { return };
    assert_eq!(ranked.map_err(|(line, _)| line), model, "a plain reading disagrees");
});

/// `None` where serde_json cannot read a key into a string; the other target looks at those.
fn rank(text: &[u8], limit: usize, lowest: bool) -> Option<Result<Vec<String>, u64>> {
    let mut all: Vec<(Score, String)> = Vec::new();
    for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
        let line = blanks_off(line);
        if line.is_empty() {
            continue;
        }
        match entry(line) {
            Line::Good(score, id) => all.push((score, id)),
            Line::Bad => return Some(Err(number)),
            Line::Unknown => return None,
        }
    }
    all.sort_by(|(a, _), (b, _)| if lowest { a.compare(b) } else { b.compare(a) });
    Some(Ok(all.into_iter().take(limit).map(|(score, id)| format!("{} {id}", score.shown())).collect()))
}

enum Line {
    Good(Score, String),
    Bad,
    Unknown,
}

fn entry(line: &[u8]) -> Line {
    let Some(colon) = line.iter().position(|b| *b == b':') else { return Line::Bad };
    let (Some(score), record) = (Score::read(blanks_off(&line[..colon])), blanks_off(&line[colon + 1..]))
    else {
        return Line::Bad;
    };
    let Ok(record) = std::str::from_utf8(record) else { return Line::Bad };
    if !record.starts_with('{') || serde_json::from_str::<IgnoredAny>(record).is_err() {
        return Line::Bad;
    }
    match serde_json::from_str::<HashMap<String, Box<RawValue>>>(record) {
        Err(_) => Line::Unknown,
        Ok(map) => match map.get("id") {
            Some(id) => Line::Good(score, id.get().to_owned()),
            None => Line::Bad,
        },
    }
}

fn blanks_off(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\r'] = line {
        line = rest;
    }
    line
}

struct Score {
    negative: bool,
    digits: String,
}

impl Score {
    fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = digits.trim_start_matches('0').to_owned();
        Some(Score { negative: text.starts_with('-') && !digits.is_empty(), digits })
    }

    fn compare(&self, other: &Score) -> Ordering {
        let magnitude = |a: &Score, b: &Score| (a.digits.len(), &a.digits).cmp(&(b.digits.len(), &b.digits));
        match (self.negative, other.negative) {
            (false, false) => magnitude(self, other),
            (true, true) => magnitude(other, self),
            (negative, _) => {
                if negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }

    fn shown(&self) -> String {
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        format!("{}{digits}", if self.negative { "-" } else { "" })
    }
}
