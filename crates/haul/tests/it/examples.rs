//! The commands that the front page and the manual show are read by the program that they are about.

use std::path::Path;

use crate::program::Place;

/// Every `$ haul …` command of a Markdown text, continuation lines joined.
pub(crate) fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(command) = line.trim_start().strip_prefix("$ haul ") else { continue };
        let mut command = command.to_owned();
        while let Some(open) = command.strip_suffix('\\') {
            command = open.trim_end().to_owned() + " " + lines.next().unwrap().trim();
        }
        found.push(command);
    }
    found
}

/// Words as a shell splits them: blanks, single and double quotes; redirections and `&` end it.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '>' | '<' | '&' | '|') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Documents with commands in them.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = vec![root.join("README.md")];
    for dir in ["docs/src", "docs/src/guide", "docs/src/reference", "docs/src/coming-from"] {
        let entries = std::fs::read_dir(root.join(dir)).unwrap().flatten().map(|e| e.path());
        paths.extend(entries.filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    paths.iter().map(|p| (p.display().to_string(), std::fs::read_to_string(p).unwrap())).collect()
}

#[test]
fn every_enrich_and_crawl_command_stands_for_a_job() {
    let place = Place::new();
    let mut seen = 0;
    for (document, text) in documents() {
        for command in commands(&text).iter().filter(|c| c.starts_with("enrich ") || c.starts_with("crawl "))
        {
            let mut args = vec!["plan".to_owned()];
            args.extend(words(command));
            let said = place.haul(&args);
            assert_eq!(said.status, 0, "{document}: haul {command}\n{}", said.err);
            assert!(said.out.contains("haul = 1"), "{document}: haul {command}\n{}", said.out);
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} commands were found");
}

#[test]
fn every_command_names_a_verb_and_flags_that_exist() {
    let place = Place::new();
    for (document, text) in documents() {
        for command in commands(&text) {
            let words = words(&command);
            let verb: Vec<&str> = match words[0].as_str() {
                "lab" if words.get(1).is_some_and(|w| w == "gen") => vec!["lab", "gen", words[2].as_str()],
                "check" if words.get(1).is_some_and(|w| w == "get" || w == "copy") => {
                    vec!["check", words[1].as_str()]
                }
                "plan" | "help" => vec![words[0].as_str()],
                verb => vec![verb],
            };
            let help = place.haul(&[verb.as_slice(), &["--help"]].concat());
            assert_eq!(help.status, 0, "{document}: haul {command}\n{}", help.err);
            if verb == ["plan"] {
                continue;
            }
            let flags = words.iter().filter(|w| w.starts_with("--"));
            for flag in flags.map(|f| f.split('=').next().unwrap()) {
                assert!(help.out.contains(flag), "{document}: haul {command}: no flag {flag}");
            }
        }
    }
}
