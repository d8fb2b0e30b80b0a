//! Templates of URLs and keys: `{users}/users/{user_id}`, `{user_id},{video_id}`.
//!
//! `{name}` stands for a member of the record, `{.a.b}` (or `{a.b}`) for the value at a path, `{{`
//! and `}}` for the braces themselves. `{key}` is the record's member `key` or, when it has none,
//! the item's key. Strings stand for their text, numbers and booleans for themselves; what has no
//! such value (missing, null, object, array) is an error that names the field.

mod missing;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use haul_core::Record;
use haul_core::item::{Item, Key};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};

use crate::expr::{Documents, EvalError, ExprError, Found, Lookup, Seg, path, unescape};
use missing::missing;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What may not stand in a URL at all.
const FORBIDDEN: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A compiled template.
#[derive(Debug)]
pub struct Template {
    parts: Vec<Part>,
    lookup: Lookup,
    names: Vec<Arc<str>>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug)]
struct Field {
    /// As it was written between the braces.
    name: String,
    /// The member alone, when it is not a longer path.
    member: Option<String>,
    place: Place,
}

/// Where in a URL a field stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// At the very start: the value is a URL, or begins one.
    Start,
    /// A whole segment of the path.
    Segment,
    /// Anywhere else.
    Inside,
}

/// A part of a template whose fields are all members of the record itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain<'t> {
    /// Text as it stands.
    Text(&'t str),
    /// The value of a member.
    Member(&'t str),
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// Says what is wrong and at which byte.
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        Self::compile_after("", source)
    }

    /// Compiles a template that goes on after `base`, which is taken as it stands: the URL of a
    /// service.
    ///
    /// # Errors
    /// Says what is wrong and at which byte of `source`.
    pub fn compile_after(base: &str, source: &str) -> Result<Self, ExprError> {
        let mut parts = Vec::new();
        let mut paths = Vec::new();
        let mut text = base.to_owned();
        let mut rest = source;
        while let Some(brace) = rest.find(['{', '}']) {
            let offset = source.len() - rest.len() + brace;
            let error = |message: String| ExprError { message, offset };
            text.push_str(&rest[..brace]);
            let at = &rest[brace..];
            if at.starts_with("{{") || at.starts_with("}}") {
                text.push_str(&at[..1]);
                rest = &at[2..];
                continue;
            }
            if at.starts_with('}') {
                return Err(error("a } without its {; a brace itself is written }}".to_owned()));
            }
            let Some(end) = at.find('}') else {
                return Err(error("a { without its }; a brace itself is written {{".to_owned()));
            };
            let name = at[1..end].trim();
            paths.push(field_path(name).map_err(error)?);
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            let member = match paths.last().map(Vec::as_slice) {
                Some([Seg::Field(member)]) => Some(member.clone()),
                _ => None,
            };
            parts.push(Part::Field(Field { name: name.to_owned(), member, place: Place::Inside }));
            rest = &at[end + 1..];
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        place(&mut parts);
        let lookup = Lookup::new(paths.iter().map(Vec::as_slice));
        let names = lookup.names().unwrap_or_default().into_iter().map(Arc::from).collect();
        Ok(Template { parts, lookup, names })
    }

    /// The members of the record that it reads.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// True when it has no fields: it renders the same for every item.
    pub fn is_constant(&self) -> bool {
        self.names.is_empty()
    }

    /// Its text up to the first field, braces decoded.
    pub fn leading_text(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Its parts, when all fields are members of the record itself.
    pub(crate) fn plain(&self) -> Option<Vec<Plain<'_>>> {
        let plain = self.parts.iter().map(|part| match part {
            Part::Text(text) => Some(Plain::Text(text)),
            Part::Field(field) => field.member.as_deref().map(Plain::Member),
        });
        plain.collect()
    }

    /// The URL for an item: values are percent-encoded (a field at the very start is a URL itself,
    /// in which only what no URL may hold is encoded). A value that would make a whole segment of
    /// the path empty, `.` or `..` is refused: the request would go somewhere else.
    ///
    /// # Errors
    /// Names the field that has no value.
    pub fn url(&self, item: &Item) -> Result<String, EvalError> {
        let mut out = String::with_capacity(96);
        self.render((&item.record, Some(&item.key)), &[], &mut |part| {
            let (value, field) = match part {
                Rendered::Text(text) => {
                    out.push_str(text);
                    return Ok(());
                }
                Rendered::Value(value, field) => (value, field),
            };
            if std::str::from_utf8(value).is_err() {
                return Err(failed(field, "is no text that a URL can hold (half a surrogate pair)"));
            }
            if field.place == Place::Segment && matches!(value, b"" | b"." | b"..") {
                let shown = String::from_utf8_lossy(value);
                return Err(failed(
                    field,
                    &format!("is \"{shown}\", which would change the path of the URL"),
                ));
            }
            let set = if field.place == Place::Start { FORBIDDEN } else { RESERVED };
            out.extend(percent_encode(value, set));
            Ok(())
        })?;
        Ok(out)
    }

    /// A name for an item: values pass through `safe`, what stands between them does not. `given` are values
    /// that come before members of their name.
    ///
    /// # Errors
    /// Names the field that has no value.
    pub fn path(
        &self,
        item: &Item,
        given: &[(&str, &str)],
        safe: impl Fn(&str) -> Cow<'_, str>,
    ) -> Result<String, EvalError> {
        let mut out = String::with_capacity(64);
        self.render((&item.record, Some(&item.key)), given, &mut |part| {
            match part {
                Rendered::Text(text) => out.push_str(text),
                Rendered::Value(value, _) => out.push_str(&safe(&String::from_utf8_lossy(value))),
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The text for an item, values as they stand.
    ///
    /// # Errors
    /// Names the field that has no value.
    pub fn text(&self, item: &Item) -> Result<Bytes, EvalError> {
        self.plain_bytes(&item.record, Some(&item.key)).map(Bytes::from)
    }

    /// The key that the template makes of a record, values as they stand.
    ///
    /// # Errors
    /// Names the field that has no value.
    pub fn key(&self, record: &Record) -> Result<Key, EvalError> {
        self.plain_bytes(record, None).map(Key::from)
    }

    fn plain_bytes(&self, record: &Record, key: Option<&Key>) -> Result<Vec<u8>, EvalError> {
        let mut out = Vec::with_capacity(32);
        self.render((record, key), &[], &mut |part| {
            out.extend_from_slice(match part {
                Rendered::Text(text) => text.as_bytes(),
                Rendered::Value(value, _) => value,
            });
            Ok(())
        })?;
        Ok(out)
    }

    fn render(
        &self,
        (record, key): (&Record, Option<&Key>),
        given: &[(&str, &str)],
        emit: &mut dyn FnMut(Rendered<'_>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let given = |field: &Field| {
            let member = field.member.as_deref()?;
            given.iter().find(|(name, _)| *name == member).map(|(_, value)| value.as_bytes())
        };
        let is_read = |part: &Part| matches!(part, Part::Field(field) if given(field).is_none());
        let (found, documents) = match self.parts.iter().any(is_read) {
            true => self.lookup.find_in_record(record)?,
            false => Default::default(),
        };
        let mut found = found.iter();
        for part in &self.parts {
            let field = match part {
                Part::Text(text) => {
                    emit(Rendered::Text(text))?;
                    continue;
                }
                Part::Field(field) => field,
            };
            let found = found.next().copied().unwrap_or_default();
            if let Some(value) = given(field) {
                emit(Rendered::Value(value, field))?;
                continue;
            }
            match (found, key) {
                (Found::Missing, Some(key)) if field.member.as_deref() == Some("key") => {
                    emit(Rendered::Value(&key.0, field))?;
                }
                _ => self.value(field, found, &documents, record, emit)?,
            }
        }
        Ok(())
    }

    fn value(
        &self,
        field: &Field,
        found: Found,
        documents: &Documents,
        record: &Record,
        emit: &mut dyn FnMut(Rendered<'_>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let json = match found {
            Found::Value { document, start, end } => &documents[document][start..end],
            Found::Clash { kind, node } => return Err(failed(field, &self.lookup.clash(kind, node))),
            Found::Missing => return Err(failed(field, &missing(field.member.is_some(), record))),
        };
        match json {
            [b'"', inside @ .., b'"'] if memchr::memchr(b'\\', inside).is_none() => {
                emit(Rendered::Value(inside, field))
            }
            [b'"', inside @ .., b'"'] => emit(Rendered::Value(&unescape(inside), field)),
            [b'{', ..] => Err(failed(field, "is an object, not one value")),
            [b'[', ..] => Err(failed(field, "is an array, not one value")),
            b"null" => Err(failed(field, "is null")),
            number_or_boolean => emit(Rendered::Value(number_or_boolean, field)),
        }
    }
}

enum Rendered<'a> {
    Text(&'a str),
    Value(&'a [u8], &'a Field),
}

fn failed(field: &Field, why: &str) -> EvalError {
    EvalError::Failed(format!("{{{}}} {why}", field.name))
}

/// `{name}` is a member, `{.a.b}` and `{a.b}` are paths.
fn field_path(name: &str) -> Result<Vec<Seg>, String> {
    if name.is_empty() {
        return Err("{} names no field".to_owned());
    }
    if name.contains('{') {
        return Err("a { within a field; a brace itself is written {{".to_owned());
    }
    if !name.contains(['.', '[', '"']) {
        return Ok(vec![Seg::Field(name.to_owned())]);
    }
    let found = if name.starts_with('.') { path(name) } else { path(&format!(".{name}")) };
    match found {
        Some(path) if matches!(path.first(), Some(Seg::Field(_))) => Ok(path),
        Some(_) => Err(format!("{{{name}}} is no field of a record")),
        None => Err(format!("{{{name}}} is no path; a path looks like {{.user.id}} or {{.tags[0]}}")),
    }
}

/// Notes which fields are the start of the URL, and which are whole segments of its path.
fn place(parts: &mut [Part]) {
    let mut in_path = true;
    for i in 0..parts.len() {
        let before = i.checked_sub(1).map(|b| &parts[b]);
        let after = parts.get(i + 1);
        let opens = matches!(before, Some(Part::Text(t)) if t.ends_with('/'));
        let closes = match after {
            None => true,
            Some(Part::Text(t)) => t.starts_with(['/', '?', '#']),
            Some(Part::Field(_)) => false,
        };
        let first = before.is_none();
        match &mut parts[i] {
            Part::Text(text) => in_path &= !text.contains(['?', '#']),
            Part::Field(field) if first => field.place = Place::Start,
            Part::Field(field) if in_path && opens && closes => field.place = Place::Segment,
            Part::Field(_) => {}
        }
    }
}
