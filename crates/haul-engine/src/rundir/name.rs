//! Names of runs: directories on every system, and nothing a shell would misread.

use std::fmt;

use super::RunDirError;

/// Bytes of a name; with `@DATE` and `.part` suffixes it must stay below 255.
const NAME_BYTES: usize = 100;
/// Bytes of the source in a name made up by Haul.
const SOURCE_BYTES: usize = 40;

/// A name that a run may be given.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunName(String);

impl RunName {
    /// Checks a name that a user gave.
    pub fn parse(name: &str) -> Result<Self, RunDirError> {
        let bad = |reason: String| Err(RunDirError::BadName { name: name.to_owned(), reason });
        if name.is_empty() {
            return bad("is empty".into());
        }
        if name.len() > NAME_BYTES {
            return bad(format!("has {} bytes", name.len()));
        }
        if let Some(odd) = name.chars().find(|c| !is_plain(*c)) {
            return bad(format!("has {odd:?} in it"));
        }
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return bad("does not begin with a letter or digit".into());
        }
        if name.ends_with('.') {
            return bad("ends with a dot".into());
        }
        if is_device(name) {
            return bad("is the name of a device on Windows".into());
        }
        Ok(RunName(name.to_owned()))
    }

    /// `VERB-SOURCE-xxxx`: the verb, the stem of the source, and 4 hex digits of the identity.
    pub fn derive(verb: &str, source: &str, identity: &str) -> Self {
        let tail: String = identity.chars().filter(char::is_ascii_hexdigit).take(4).collect();
        let parts = [plain(verb), plain(stem(source)), tail];
        let name = parts.iter().filter(|p| !p.is_empty()).map(String::as_str).collect::<Vec<_>>().join("-");
        RunName::parse(&name).unwrap_or_else(|_| RunName(format!("run-{name}")))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Names that Windows reserves, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.ends_with(|c: char| c.is_ascii_digit()))
}

/// What people call a source: `pairs` of `data/pairs.csv.gz`, `foodstats` of
/// `http://localhost:8000/foodstats?limit=100`, the host of a URL without a path.
fn stem(source: &str) -> &str {
    if source == "-" {
        return "stdin";
    }
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    let is_url = rest.len() < source.len();
    let rest = if is_url { rest.split(['?', '#']).next().unwrap_or(rest) } else { rest };
    let rest = rest.trim_end_matches(['/', '\\']);
    match rest.rsplit_once(['/', '\\']) {
        None if is_url => rest.split(':').next().unwrap_or(rest),
        split => {
            let last = split.map_or(rest, |(_, last)| last);
            // A leading dot is not an extension.
            let from = usize::from(last.starts_with('.'));
            last[from..].split('.').next().unwrap_or(last)
        }
    }
}

/// Every run of other characters as one dash; bounded.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out.truncate(SOURCE_BYTES);
    out.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_verb_and_the_source() {
        let name = |source| RunName::derive("enrich", source, "9f3c77aa00").0;
        assert_eq!(name("pairs.csv"), "enrich-pairs-9f3c");
        assert_eq!(name("/data/in/pairs.v2.csv.gz"), "enrich-pairs-9f3c");
        assert_eq!(name("-"), "enrich-stdin-9f3c");
        assert_eq!(name("http://localhost:8000/foodstats?limit=100"), "enrich-foodstats-9f3c");
        assert_eq!(name("https://api.example.com:8443/"), "enrich-api.example.com-9f3c");
        assert_eq!(name("C:\\in\\größe 7.csv"), "enrich-gr-e-7-9f3c");
        assert_eq!(name("../.."), "enrich-9f3c");
        assert_eq!(name("old:bucket/prefix"), "enrich-prefix-9f3c");
        assert_eq!(RunName::derive("", "..", "").0, "run-");
    }

    #[test]
    fn derived_names_are_names_a_user_could_give() {
        for (verb, source) in [("get", "con"), ("x y", "a/b\\c"), ("", "nul.txt"), ("ü", "—")] {
            let name = RunName::derive(verb, source, "00ff");
            assert_eq!(RunName::parse(name.as_str()).ok(), Some(name));
        }
    }

    #[test]
    fn names_that_leave_the_directory_or_confuse_a_shell_are_refused() {
        for name in
            ["", ".", "..", "a/b", "a\\b", "-rf", ".hidden", "a b", "a\n", "a:b", "a@b", "é", "NUL.x", "a."]
        {
            assert!(RunName::parse(name).is_err(), "{name:?}");
        }
        assert!(RunName::parse(&"a".repeat(101)).is_err());
        assert!(RunName::parse("nightly-2025.01_b").is_ok());
    }

    #[test]
    fn the_message_names_the_character() {
        let e = RunName::parse("a/b").unwrap_err().to_string();
        assert!(e.starts_with("run name \"a/b\" has '/' in it; use letters"), "{e}");
    }
}
