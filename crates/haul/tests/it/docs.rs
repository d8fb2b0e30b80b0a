//! What the manual shows is true.

use crate::program::Place;

const JOB_FILE: &str = include_str!("../../../../docs/src/reference/job-file.md");
const COMMANDS: &str = include_str!("../../../../docs/src/reference/commands.md");

#[test]
fn the_job_file_of_the_manual_is_read() {
    let text = JOB_FILE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let place = Place::new();
    place.write("manual.toml", text);
    place.haul(&["plan", "manual.toml"]).ended(0);
    place.haul(&["plan", "manual.toml", "--profile", "production"]).ended(0);
    // Every key there is stands in it.
    for (table, at) in [("", "x = 1\n"), ("[source]", "[source]\nx = 1\n"), ("[limits]", "[limits]\nx = 1\n")]
    {
        place.write("bad.toml", format!("haul = 1\n{at}"));
        let err = place.haul(&["plan", "bad.toml"]).ended(64).err;
        let inside = if table.is_empty() { String::new() } else { format!(" in {table}") };
        let known = err.split(&format!("known keys{inside}: ")).nth(1).unwrap().lines().next().unwrap();
        for key in known.split(", ").filter(|k| !["haul", "name", "tsv", "jsonl", "json", "urls"].contains(k))
        {
            assert!(
                text.contains(&format!("{key} "))
                    || text.contains(&format!("[{key}"))
                    || text.contains(&format!("[[{key}")),
                "{key}"
            );
        }
    }
}

#[test]
fn every_verb_is_in_the_manual() {
    let overview = Place::new().haul::<&str>(&[]).out;
    for line in
        overview.lines().filter(|l| l.len() > 18 && !l.starts_with("  haul") && l[..9].trim().len() < 9)
    {
        let (group, rest) = line.split_at(9);
        let listed = ["Work", "Before", "During", "After", "Else", ""].contains(&group.trim());
        let Some(verb) = rest.split_whitespace().next().filter(|_| listed && !rest.starts_with(' ')) else {
            continue;
        };
        assert!(COMMANDS.contains(&format!("`haul {verb}")), "{verb} is missing");
    }
}

/// Every page of the manual, as one text.
fn manual() -> String {
    fn walk(dir: &std::path::Path, out: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "md") {
                out.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut out = String::new();
    walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src"), &mut out);
    out
}

/// True when a word stands in a text by itself.
fn names(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[test]
fn every_flag_of_every_verb_is_in_the_manual() {
    let (place, manual) = (Place::new(), manual());
    let mut missing = std::collections::BTreeSet::new();
    let mut seen = 0;
    for line in COMMANDS.lines().filter_map(|l| l.strip_prefix("| `haul ")) {
        let verb = line.split([' ', '`']).next().unwrap();
        let help = place.haul(&[verb, "--help"]).ended(0).out;
        for line in help.lines().filter(|l| l.trim_start().starts_with('-')) {
            let Some(flag) = line.split([' ', '=', '[', ',']).find(|w| w.starts_with("--")) else { continue };
            seen += 1;
            if !["--help", "--version"].contains(&flag) && !names(&manual, flag) {
                missing.insert(format!("{verb} {flag}"));
            }
        }
    }
    assert!(seen > 200, "only {seen} flags were found");
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_key_of_the_schema_is_in_the_reference() {
    fn keys(node: &serde_json::Value, out: &mut std::collections::BTreeSet<String>) {
        if let Some(properties) = node.get("properties").and_then(|p| p.as_object()) {
            out.extend(properties.keys().cloned());
        }
        match node {
            serde_json::Value::Object(members) => members.values().for_each(|v| keys(v, out)),
            serde_json::Value::Array(items) => items.iter().for_each(|v| keys(v, out)),
            _ => {}
        }
    }
    let schema = serde_json::from_str(&Place::new().haul(&["schema"]).ended(0).out).unwrap();
    let mut all = std::collections::BTreeSet::new();
    keys(&schema, &mut all);
    assert!(all.len() > 60, "only {} keys were found", all.len());
    let missing: Vec<&String> = all.iter().filter(|key| !names(JOB_FILE, key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
