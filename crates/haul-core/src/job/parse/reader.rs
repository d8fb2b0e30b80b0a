//! Takes the values of one table by key: wrong types, missing and unknown keys become diagnostics.

use super::tree::{Node, Table, Value};
use crate::job::diagnose::{Diagnostic, Place, nearest};

/// Why a value cannot be used: message, and what to do about it.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Where, when it is only a part of the value.
    place: Option<Place>,
}

impl Bad {
    /// With a way out.
    pub(super) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Bad::from(message.into()).or_hint(hint)
    }

    /// With a way out, unless there is one.
    pub(super) fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// The problem is in this part of the value.
    pub(super) fn in_part(mut self, part: &Node) -> Self {
        self.place.get_or_insert(part.place.clone());
        self
    }

    /// As a diagnostic about the value of a key.
    pub(super) fn about(self, key: &str, node: &Node) -> Diagnostic {
        let place = self.place.unwrap_or_else(|| node.place.clone());
        let diagnostic = Diagnostic::new(self.message.replace("{key}", key), place);
        match self.hint {
            Some(hint) => diagnostic.with_hint(hint),
            None => diagnostic,
        }
    }
}

impl From<String> for Bad {
    fn from(message: String) -> Self {
        Bad { message, hint: None, place: None }
    }
}

/// One table, being read. Every key that is asked for is a known key.
pub(super) struct Reader<'t> {
    table: &'t Table,
    /// How messages call the table: `[limits]`, `[[step]] "video"`; empty for the file itself.
    title: String,
    place: Place,
    known: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// Starts to read a table.
    pub(super) fn new(table: &'t Table, title: impl Into<String>, place: Place) -> Self {
        Reader { table, title: title.into(), place, known: Vec::new() }
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The value of a key as it was written.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'t Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.get(key).map(|e| &e.node)
    }

    /// The value of a key, read by `read`; a value that cannot be used is a diagnostic.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        diagnostics: &mut Vec<Diagnostic>,
        read: impl FnOnce(&Node) -> Result<T, Bad>,
    ) -> Option<T> {
        let node = self.node(key)?;
        read(node).map_err(|bad| diagnostics.push(bad.about(key, node))).ok()
    }

    /// As [`Reader::take`]; a missing key is a diagnostic that shows how to write it.
    pub(super) fn need<T>(
        &mut self,
        key: &'static str,
        example: &str,
        diagnostics: &mut Vec<Diagnostic>,
        read: impl FnOnce(&Node) -> Result<T, Bad>,
    ) -> Option<T> {
        if self.node(key).is_none() {
            let message = format!("{} has no {key}", self.title);
            diagnostics.push(
                Diagnostic::new(message, self.place.clone()).with_hint(format!("add {key} = {example}")),
            );
            return None;
        }
        self.take(key, diagnostics, read)
    }

    /// Reports the keys nobody asked for.
    pub(super) fn finish(self, diagnostics: &mut Vec<Diagnostic>) {
        for entry in &self.table.entries {
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            let inside = if self.title.is_empty() { String::new() } else { format!(" in {}", self.title) };
            let mut hint = String::new();
            if let Some(near) = nearest(&entry.key, self.known.iter().copied()) {
                hint = format!("did you mean \"{near}\"? ");
            }
            hint.push_str(&format!("known keys{inside}: {}", self.known.join(", ")));
            diagnostics.push(
                Diagnostic::new(format!("unknown key \"{}\"{inside}", entry.key), entry.key_place.clone())
                    .with_hint(hint),
            );
        }
    }
}

/// What a value should have been. `{key}` is filled in by [`Reader::take`].
pub(super) fn wrong_type(wanted: &str, node: &Node) -> Bad {
    Bad::from(format!("{{key}} must be {wanted}, not {}", node.value.kind()))
}

/// `true` or `false`.
pub(super) fn truth(node: &Node) -> Result<bool, Bad> {
    match node.value {
        Value::Bool(truth) => Ok(truth),
        _ => Err(wrong_type("true or false", node)),
    }
}

/// Text, not empty.
pub(super) fn text(node: &Node) -> Result<String, Bad> {
    match &node.value {
        Value::Str(s) if s.trim().is_empty() => Err(Bad::from("{key} is empty".to_owned())),
        Value::Str(s) => Ok(s.clone()),
        Value::Int(_) | Value::Float | Value::Bool(_) | Value::Date => {
            Err(wrong_type("text", node).or_hint("put it in quotes"))
        }
        _ => Err(wrong_type("text", node)),
    }
}

/// A whole number within bounds, both included.
pub(super) fn whole(node: &Node, least: u64, most: u64) -> Result<u64, Bad> {
    let wanted = if most >= i64::MAX.unsigned_abs() {
        format!("a whole number from {least} on")
    } else {
        format!("a whole number from {least} to {most}")
    };
    match node.value {
        Value::Int(n) => match u64::try_from(n) {
            Ok(u) if (least..=most).contains(&u) => Ok(u),
            _ => Err(Bad::from(format!("{{key}} must be {wanted}, not {n}"))),
        },
        _ => Err(wrong_type(&wanted, node)),
    }
}

/// One of a few words.
pub(super) fn word<T>(node: &Node, words: &[(&str, T)]) -> Result<T, Bad>
where
    T: Copy,
{
    let all = || words.iter().map(|(w, _)| format!("\"{w}\"")).collect::<Vec<_>>().join(", ");
    let Value::Str(said) = &node.value else {
        return Err(wrong_type(&format!("one of {}", all()), node));
    };
    match words.iter().find(|(w, _)| w == said) {
        Some((_, value)) => Ok(*value),
        None => {
            let hint = match nearest(said, words.iter().map(|(w, _)| *w)) {
                Some(near) => format!("did you mean \"{near}\"? "),
                None => String::new(),
            };
            Err(Bad::hinted(format!("{{key}} cannot be \"{said}\""), format!("{hint}it is one of {}", all())))
        }
    }
}

/// Text that `parse` understands.
pub(super) fn parsed<T>(
    node: &Node,
    wanted: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Bad> {
    match &node.value {
        Value::Str(s) => parse(s).map_err(Bad::from),
        _ => Err(wrong_type(wanted, node)),
    }
}
