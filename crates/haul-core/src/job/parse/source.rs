//! `[source]`.

use super::pages;
use super::reader::{self, Bad, Reader};
use super::tree::{Node, Table, Value};
use crate::job::diagnose::{Diagnostic, Place, nearest};
use crate::job::{Column, ColumnType, HeaderMode, IfChanged, OnInvalid, RowFormat, SourceSpec};

/// How rows may be written.
const INPUTS: [RowFormat; 6] =
    [RowFormat::Csv, RowFormat::Tsv, RowFormat::Jsonl, RowFormat::Json, RowFormat::Urls, RowFormat::Keys];

/// The source, and the expression of its `where`.
pub(super) fn read(
    table: &Table,
    place: Place,
    out: &mut Vec<Diagnostic>,
) -> Option<(SourceSpec, Option<String>)> {
    let mut r = Reader::new(table, "[source]", place);
    let rows = INPUTS.iter().filter(|f| r.node(f.as_str()).is_some()).count();
    let paged = r.node("get").is_some() && rows == 0;
    let (location, pages) = if paged {
        let url = r.take("get", out, reader::text);
        let pages = pages::read(&mut r, out);
        (url.filter(|_| pages.is_some()).map(|url| (RowFormat::Jsonl, url)), pages)
    } else {
        (location(&mut r, &INPUTS, out), None)
    };
    let header = [("auto", HeaderMode::Auto), ("yes", HeaderMode::Yes), ("no", HeaderMode::No)];
    let header = r.take("header", out, |n| reader::word(n, &header)).unwrap_or_default();
    let columns = r.take("columns", out, columns).unwrap_or_default();
    let each = r.take("each", out, reader::text);
    let key = r.take("key", out, reader::text);
    let invalid = [("skip", OnInvalid::Skip), ("stop", OnInvalid::Stop)];
    let on_invalid = r.take("on_invalid", out, |n| reader::word(n, &invalid)).unwrap_or_default();
    let changed = [("skip-done", IfChanged::SkipDone), ("all", IfChanged::All), ("stop", IfChanged::Stop)];
    let if_changed = r.take("if_changed", out, |n| reader::word(n, &changed));
    let limit = r.take("limit", out, |n| reader::whole(n, 1, u64::MAX));
    let filter = r.take("where", out, reader::text);
    r.finish(out);
    let (format, location) = location?;
    let spec =
        SourceSpec { format, location, pages, header, columns, each, key, on_invalid, if_changed, limit };
    Some((spec, filter))
}

/// Exactly one of the formats, with where to find or put it.
pub(super) fn location(
    r: &mut Reader<'_>,
    formats: &[RowFormat],
    out: &mut Vec<Diagnostic>,
) -> Option<(RowFormat, String)> {
    let said: Vec<_> = formats.iter().filter_map(|f| r.node(f.as_str()).map(|node| (*f, node))).collect();
    let names = formats.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(", ");
    match said.as_slice() {
        [] => {
            out.push(Diagnostic::new("it does not say what to read or write", r.place().clone()).with_hint(
                format!("add exactly one of {names}, such as {} = \"FILE\"", formats[0].as_str()),
            ));
            None
        }
        [(format, _)] => r.take(format.as_str(), out, reader::text).map(|location| (*format, location)),
        [(first, _), (_, node), ..] => {
            out.push(Diagnostic::new(
                format!("there is {} already: only one of {names}", first.as_str()),
                node.place.clone(),
            ));
            None
        }
    }
}

fn columns(node: &Node) -> Result<Vec<Column>, Bad> {
    let Value::Array(members) = &node.value else {
        let hint = "write it like columns = [\"user_id:int\", \"name\"]";
        return Err(reader::wrong_type("a list", node).or_hint(hint));
    };
    if members.is_empty() {
        return Err(Bad::from("{key} is empty".to_owned()));
    }
    members
        .iter()
        .map(|m| reader::parsed(m, "a list of text", parse_column).map_err(|b| b.in_part(m)))
        .collect()
}

/// Reads `user_id:int`; without a type the column is text.
///
/// # Errors
/// A sentence that names the types there are.
pub fn parse_column(text: &str) -> Result<Column, String> {
    const TYPES: [&str; 5] = ["str", "int", "float", "bool", "json"];
    let (name, kind) = match text.rsplit_once(':') {
        None => (text, ColumnType::Str),
        Some((name, word)) => match ColumnType::from_word(word.trim()) {
            Some(kind) => (name, kind),
            None => {
                let near =
                    nearest(word.trim(), TYPES).map_or(String::new(), |n| format!(" (did you mean {n}?)"));
                return Err(format!(
                    "\"{text}\" has no known type{near}: write NAME:TYPE with one of {}",
                    TYPES.join(", ")
                ));
            }
        },
    };
    if name.trim().is_empty() {
        return Err(format!("\"{text}\" names no column"));
    }
    Ok(Column { name: name.trim().to_owned(), kind })
}
