//! Holds the layout: who imports whom, how large a file may grow, which words are not used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every Rust file of the workspace with its text.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                out.push((path, text));
            }
        }
    }
    let mut out = Vec::new();
    walk(&root().join("crates"), &mut out);
    assert!(out.len() > 50, "the sources are not where they are looked for");
    out
}

#[test]
fn crates_import_only_what_the_map_allows() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("haul-core", &[] as &[&str]),
        ("haul-engine", &["haul-core"]),
        ("haul-reduce", &["haul-core"]),
        ("haul-connect", &["haul-core"]),
        ("haul-lab", &["haul-core"]),
        ("haul", &["haul-core", "haul-engine", "haul-reduce", "haul-connect", "haul-lab"]),
    ]);
    for entry in std::fs::read_dir(root().join("crates")).unwrap().flatten() {
        let manifest = std::fs::read_to_string(entry.path().join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let may = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not on the map"));
        let none = toml::Table::new();
        let deps = manifest.get("dependencies").and_then(|d| d.as_table()).unwrap_or(&none);
        for dep in deps.keys().filter(|d| d.starts_with("haul")) {
            assert!(may.contains(&dep.as_str()), "{name} imports {dep}: see ARCHITECTURE.md");
        }
    }
}

#[test]
fn the_core_does_no_io_spawns_nothing_and_reads_no_clock() {
    let banned =
        ["std::fs", "std::net", "std::thread", "std::process", "Instant::now", "SystemTime::now", "tokio::"];
    for (path, text) in sources() {
        if !path.starts_with(root().join("crates/haul-core/src")) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in banned {
            assert!(!code.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn files_are_rooms() {
    // Tests read as lists and may be longer than rooms.
    let limit = |path: &Path| if path.components().any(|c| c.as_os_str() == "tests") { 700 } else { 550 };
    let large: Vec<String> = sources()
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(path, lines)| *lines > limit(path))
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(large.is_empty(), "split by duty: {large:#?}");
}

#[test]
fn names_are_the_words_of_the_field() {
    let banned = ["Manager", "Handler", "Processor", "Helper", "Util"];
    for (path, text) in sources() {
        if path.ends_with("tests/it/tidy.rs") {
            continue;
        }
        let stem = path.file_stem().unwrap().to_string_lossy().to_lowercase();
        let word = banned.iter().find(|w| stem == w.to_lowercase() || stem == w.to_lowercase() + "s");
        assert!(word.is_none(), "{}: a file is named after its duty", path.display());
        for line in text.lines() {
            let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let Some((kind, rest)) = line.split_once(' ') else { continue };
            if !matches!(kind, "struct" | "enum" | "trait" | "type") {
                continue;
            }
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            let word = banned.iter().find(|w| name.ends_with(*w));
            assert!(word.is_none(), "{}: {name} is no word of ours", path.display());
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt in parts, so that this file passes.
    let marks =
        [["todo", "!("], ["unimplemented", "!("], ["#[ign", "ore"], ["FIX", "ME"]].map(|p| p.concat());
    for (path, text) in sources() {
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} has {mark}", path.display());
        }
    }
}
