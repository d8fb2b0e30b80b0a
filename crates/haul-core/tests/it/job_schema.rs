//! The schema of job files says what the parser reads, key by key.

use std::collections::BTreeSet;

use haul_core::job::{Given, SCHEMA, StoreKind, parse};
use regex_lite::Regex;
use serde_json::Value;

/// What the schema finds wrong with a job file.
pub(crate) fn problems(toml: &str) -> Vec<String> {
    let root: Value = serde_json::from_str(SCHEMA).unwrap();
    let file: Value = toml::from_str(toml).unwrap();
    let mut found = Vec::new();
    Checked { root: &root, found: &mut found }.check(&root, &file, "");
    found
}

/// As much of JSON Schema as the schema uses. What it does not know is an error, so that nothing goes
/// unchecked.
struct Checked<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Checked<'_> {
    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Vec::new();
        Checked { root: self.root, found: &mut found }.check(schema, value, "");
        found.is_empty()
    }

    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        for (word, rule) in schema.as_object().unwrap() {
            let members = || value.as_object().into_iter().flatten();
            let array = || rule.as_array().unwrap();
            let holds = match word.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "examples" => true,
                "$ref" => {
                    let target = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    self.check(self.root.pointer(target).unwrap(), value, at);
                    true
                }
                "type" => match rule {
                    Value::Array(kinds) => kinds.iter().any(|k| is_a(value, k)),
                    kind => is_a(value, kind),
                },
                "const" => value == rule,
                "enum" => array().contains(value),
                "pattern" => {
                    let regex = Regex::new(rule.as_str().unwrap()).unwrap();
                    value.as_str().is_none_or(|s| regex.is_match(s))
                }
                "minimum" => value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()),
                "maximum" => value.as_i64().is_none_or(|n| n <= rule.as_i64().unwrap()),
                "minProperties" => value.as_object().is_none_or(|o| o.len() as u64 >= rule.as_u64().unwrap()),
                "maxProperties" => value.as_object().is_none_or(|o| o.len() as u64 <= rule.as_u64().unwrap()),
                "minItems" => value.as_array().is_none_or(|a| a.len() as u64 >= rule.as_u64().unwrap()),
                "required" => array().iter().all(|k| value.get(k.as_str().unwrap()).is_some()),
                "dependentRequired" => rule.as_object().unwrap().iter().all(|(key, others)| {
                    let others = others.as_array().unwrap();
                    value.get(key).is_none()
                        || others.iter().all(|k| value.get(k.as_str().unwrap()).is_some())
                }),
                "oneOf" => array().iter().filter(|s| self.holds(s, value)).count() == 1,
                "anyOf" => array().iter().any(|s| self.holds(s, value)),
                "properties" => {
                    for (key, inner) in rule.as_object().unwrap() {
                        if let Some(member) = value.get(key) {
                            self.check(inner, member, &format!("{at}.{key}"));
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = |k: &str| schema.get("properties").is_some_and(|p| p.get(k).is_some());
                    for (key, member) in members().filter(|(k, _)| !known(k)) {
                        match rule {
                            Value::Bool(false) => self.found.push(format!("{at}: unknown key {key}")),
                            inner => self.check(inner, member, &format!("{at}.{key}")),
                        }
                    }
                    true
                }
                "propertyNames" => members().all(|(k, _)| self.holds(rule, &Value::String(k.clone()))),
                "items" => {
                    for (i, member) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, member, &format!("{at}[{i}]"));
                    }
                    true
                }
                other => panic!("{at}: the test does not know the keyword {other}"),
            };
            if !holds {
                self.found.push(format!("{at}: {word} {rule} does not hold for {value}"));
            }
        }
    }
}

fn is_a(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "object" => value.is_object(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        other => panic!("the test does not know the type {other}"),
    }
}

/// The keys that the parser knows where the text has one that it does not: `zz`.
fn known_to_parser(toml: &str) -> BTreeSet<String> {
    let text = format!("haul = 1\n{toml}");
    let found = parse(&Given { text: &text, name: "job", profile: None, set: &[] }).unwrap_err();
    let hint = found.into_iter().find(|d| d.message.starts_with("unknown key \"zz\"")).unwrap().hint.unwrap();
    hint.rsplit(": ").next().unwrap().split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schema_and_the_parser_know_the_same_keys() {
    let root: Value = serde_json::from_str(SCHEMA).unwrap();
    let step: Vec<String> = root["$defs"]["step"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| {
            format!("[[step]]\nname = \"a\"\n{} = \"x\"\nzz = 1", kind["required"][0].as_str().unwrap())
        })
        .collect();
    let table = |name: &str| vec![format!("[{name}]\nzz = 1")];
    let paged = vec!["[source]\nget = \"x\"\nitems = \"x\"\noffset = \"x\"\nzz = 1".to_owned()];
    let aggregate = ["count", "top"].map(|kind| format!("[aggregate.x]\n{kind} = \"x\"\nzz = 1")).to_vec();
    let stores = StoreKind::ALL.map(|(kind, _)| format!("[store.x]\ntype = \"{kind}\"\nzz = 1")).to_vec();
    let batch = vec!["[[step]]\nname = \"a\"\npost = \"x\"\nbatch = { zz = 1 }".to_owned()];
    let probes = [
        ("source", [table("source"), paged].concat()),
        ("service", table("service.x")),
        ("secret", table("secret.x")),
        ("store", stores),
        ("step", step),
        ("batch", batch),
        ("aggregate", aggregate),
        ("output", table("output")),
        ("retry", table("retry")),
        ("limits", table("limits")),
    ];
    let tables = root["$defs"].as_object().unwrap().iter().filter(|(_, d)| d.get("properties").is_some());
    let unprobed: Vec<&String> =
        tables.map(|(name, _)| name).filter(|n| probes.iter().all(|p| p.0 != **n)).collect();
    assert_eq!(unprobed, Vec::<&String>::new(), "give each table of the schema a probe here");
    let keys = |schema: &Value| -> BTreeSet<String> {
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&root), known_to_parser("zz = 1"), "src/job/schema.json: the top of the file");
    for (name, texts) in probes {
        let known = texts.iter().flat_map(|text| known_to_parser(text)).collect::<BTreeSet<_>>();
        assert_eq!(
            keys(&root["$defs"][name]),
            known,
            "src/job/schema.json: $defs/{name} (left) and the parser"
        );
    }
}

#[test]
fn every_job_that_comes_with_haul_is_as_the_schema_says() {
    let jobs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../jobs");
    let mut seen = 0;
    for entry in std::fs::read_dir(jobs).unwrap().flatten() {
        let path = entry.path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(problems(&text), Vec::<String>::new(), "{}", path.display());
        seen += 1;
    }
    assert!(seen > 0);
    assert_eq!(problems(super::MANUAL), Vec::<String>::new());
}

#[test]
fn the_schema_finds_what_is_wrong() {
    for (text, says) in [
        ("haul = 2", "const 1"),
        ("haul = 1\n[source]\ncsv = \"a\"\ntsv = \"b\"", "oneOf"),
        ("haul = 1\n[source]\ncsv = \"a\"\nheader = \"maybe\"", "header: enum"),
        ("haul = 1\n[source]\ncsv = \"a\"\n[service.x]\nurl = \"http://h\"\nrate = \"5\"", "rate: pattern"),
        ("haul = 1\n[source]\ncsv = \"a\"\n[limits]\nconcurency = 5", "unknown key concurency"),
        ("haul = 1\n[source]\ncsv = \"a\"\n[secret.x]\nheader = \"A\"\nvalue = \"b\"", "unknown key value"),
        (
            "haul = 1\n[source]\ncsv = \"a\"\n[[step]]\nname = \"a\"\nget = \"x\"\non = { 42 = \"skip\" }",
            "propertyNames",
        ),
        (
            "haul = 1\n[source]\ncsv = \"a\"\n[[step]]\nname = \"a\"\nmap = \"x\"\ntake = \".y\"",
            "dependentRequired",
        ),
    ] {
        let found = problems(text).join("\n");
        assert!(found.contains(says), "{text}\n{found}");
    }
}
