//! A TOML document as a tree in which every key and value knows where it was said, so that a
//! profile and arguments can be laid over a file and problems still point at the right text.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::job::diagnose::{Diagnostic, Place, Places, nearest};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Str(String),
    Int(i64),
    Float,
    Bool(bool),
    Date,
    Array(Vec<Node>),
    Table(Table),
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
}

impl Node {
    /// True when the place is that of this node or of something in it.
    pub(super) fn holds(&self, place: &Place) -> bool {
        self.place == *place
            || match &self.value {
                Value::Table(table) => {
                    table.entries.iter().any(|e| e.key_place == *place || e.node.holds(place))
                }
                Value::Array(members) => members.iter().any(|m| m.holds(place)),
                _ => false,
            }
    }
}

impl Value {
    /// What messages call a value of this type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Str(_) => "text",
            Value::Int(_) => "a whole number",
            Value::Float => "a number",
            Value::Bool(_) => "true or false",
            Value::Date => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl Table {
    /// The entry of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| e.key == key)
    }

    /// Removes the entry of a key.
    pub(super) fn remove(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|e| e.key == key)?;
        Some(self.entries.remove(at))
    }

    /// Lays `over` on this table: tables are merged key by key, anything else is replaced. A table
    /// over a list of tables (`[profile.p.step.video]`) is laid on the members of those names.
    pub(super) fn merge(&mut self, over: Table) {
        for entry in over.entries {
            match self.get_mut(&entry.key) {
                None => self.entries.push(entry),
                Some(mine) => merge_entry(mine, entry),
            }
        }
    }

    /// Notes the place of every value under its dotted path.
    pub(super) fn note_places(&self, path: &str, places: &mut Places) {
        for entry in &self.entries {
            let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            note_places(&entry.node, &path, places);
        }
    }
}

fn merge_entry(mine: &mut Entry, over: Entry) {
    match (&mut mine.node.value, over.node.value) {
        (Value::Table(a), Value::Table(b)) => a.merge(b),
        (Value::Array(members), Value::Table(b)) if members.iter().any(|m| name_of(m).is_some()) => {
            for entry in b.entries {
                match members.iter_mut().find(|m| name_of(m) == Some(&entry.key)) {
                    Some(Node { value: Value::Table(member), .. }) => match entry.node.value {
                        Value::Table(t) => member.merge(t),
                        value => {
                            // Kept as it is, so that reading says what is wrong with it.
                            members.push(Node { place: entry.node.place, value });
                        }
                    },
                    _ => members.push(named(entry)),
                }
            }
        }
        (_, value) => {
            mine.key_place = over.key_place;
            mine.node = Node { place: over.node.place, value };
        }
    }
}

/// A new member of a list of tables, named by its key.
fn named(entry: Entry) -> Node {
    let Entry { key, key_place, node } = entry;
    match node.value {
        Value::Table(mut table) => {
            if table.get("name").is_none() {
                let name = Node { place: key_place.clone(), value: Value::Str(key) };
                table.entries.push(Entry { key: "name".to_owned(), key_place, node: name });
            }
            Node { place: node.place, value: Value::Table(table) }
        }
        value => Node { place: node.place, value },
    }
}

/// The `name` of a member of a list of tables.
pub(super) fn name_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Table(table) => match &table.get("name")?.node.value {
            Value::Str(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn note_places(node: &Node, path: &str, places: &mut Places) {
    places.note(path, node.place.clone());
    match &node.value {
        Value::Table(table) => table.note_places(path, places),
        Value::Array(members) => {
            for (i, member) in members.iter().enumerate() {
                note_places(member, &format!("{path}[{i}]"), places);
                if let Some(name) = name_of(member) {
                    note_places(member, &format!("{path}.{name}"), places);
                }
            }
        }
        _ => {}
    }
}

/// Reads TOML text; every syntax error is reported, and what could be understood is returned.
pub(super) fn read(text: &str, diagnostics: &mut Vec<Diagnostic>) -> Table {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        diagnostics.push(Diagnostic::new(error.message().trim().to_owned(), Place::File(span)));
    }
    let mut place = |span: Range<usize>| Place::File(span);
    convert_table(table.get_ref(), &mut place, diagnostics)
}

/// Lays one `path=value` argument (`--set`) on a table. The value is TOML, or else plain text.
pub(super) fn set(table: &mut Table, argument: &str, diagnostics: &mut Vec<Diagnostic>) {
    let said = Place::Argument(format!("--set {argument}"));
    let Some((path, value)) = argument.split_once('=') else {
        diagnostics.push(
            Diagnostic::new("it has no value", said)
                .with_hint("write it like --set service.users.rate=500/s"),
        );
        return;
    };
    let keys: Vec<&str> = path.split('.').map(str::trim).collect();
    if keys.iter().any(|k| k.is_empty()) {
        diagnostics.push(
            Diagnostic::new(format!("\"{path}\" is not a path into a job file"), said)
                .with_hint("write it like --set service.users.rate=500/s"),
        );
        return;
    }
    let mut node = Node { place: said.clone(), value: argument_value(value, &said) };
    for key in keys.iter().rev() {
        let entry = Entry { key: (*key).to_owned(), key_place: said.clone(), node };
        node = Node { place: said.clone(), value: Value::Table(Table { entries: vec![entry] }) };
    }
    let Value::Table(over) = node.value else { return };
    if let [list, member, ..] = keys.as_slice()
        && let Some(problem) = unknown_member(table, list, member, &said)
    {
        diagnostics.push(problem);
        return;
    }
    table.merge(over);
}

/// `--set step.vidoe.take=…` must not add a step.
fn unknown_member(table: &Table, list: &str, member: &str, said: &Place) -> Option<Diagnostic> {
    let Value::Array(members) = &table.get(list)?.node.value else { return None };
    let names: Vec<&str> = members.iter().filter_map(name_of).collect();
    if names.is_empty() || names.contains(&member) {
        return None;
    }
    let hint = match nearest(member, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("there are: {}", names.join(", ")),
    };
    Some(Diagnostic::new(format!("no {list} is named \"{member}\""), said.clone()).with_hint(hint))
}

/// An argument's value: TOML where it is TOML, and plain text otherwise (`500/s`, `.data`, a URL).
fn argument_value(text: &str, said: &Place) -> Value {
    let plain = || Value::Str(text.to_owned());
    let Ok(value) = DeValue::parse(text) else { return plain() };
    let mut ignored = Vec::new();
    let mut place = |_| said.clone();
    match convert(&value, &mut place, &mut ignored).value {
        // A date means nothing in a job; it is a file name or a key that looks like one.
        Value::Date => plain(),
        _ if !ignored.is_empty() => plain(),
        value => value,
    }
}

type PlaceOf<'p> = dyn FnMut(Range<usize>) -> Place + 'p;

fn convert_table(table: &DeTable<'_>, place: &mut PlaceOf<'_>, diagnostics: &mut Vec<Diagnostic>) -> Table {
    let mut spanned: Vec<_> = table.iter().collect();
    spanned.sort_by_key(|(key, _)| key.span().start);
    let entries = spanned
        .into_iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_place: place(key.span()),
            node: convert(value, place, diagnostics),
        })
        .collect();
    Table { entries }
}

fn convert(value: &Spanned<DeValue<'_>>, place: &mut PlaceOf<'_>, diagnostics: &mut Vec<Diagnostic>) -> Node {
    let at = place(value.span());
    let value = match value.get_ref() {
        DeValue::String(s) => Value::Str(s.to_string()),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Value::Int(n),
            Err(_) => {
                diagnostics.push(Diagnostic::new(format!("{n} is too large a number"), at.clone()));
                Value::Int(0)
            }
        },
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(members) => Value::Array(convert_array(members, place, diagnostics)),
        DeValue::Table(table) => Value::Table(convert_table(table, place, diagnostics)),
    };
    Node { place: at, value }
}

fn convert_array(
    members: &DeArray<'_>,
    place: &mut PlaceOf<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Node> {
    members.iter().map(|member| convert(member, place, diagnostics)).collect()
}
