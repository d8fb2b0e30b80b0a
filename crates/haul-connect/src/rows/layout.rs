//! Turns the fields of a row into a record and a key.

use haul_core::Record;
use haul_core::job::{Column, ColumnType};
use haul_core::record::write_json_string;

use super::columns::Row;
use super::page::PageBuf;
use super::split::shown;
use crate::expr::validate;
use crate::template::{Plain, Template};

/// Columns in the order of the file, and how the key is made.
pub(crate) struct Layout {
    columns: Vec<Written>,
    key: KeyPlan,
}

struct Written {
    name: String,
    kind: ColumnType,
    /// What stands before the value: `{"user_id":`, `,"video_id":`.
    before: Vec<u8>,
}

enum KeyPlan {
    /// All fields, joined by commas.
    Fields,
    /// Text and columns.
    Plain(Vec<Piece>),
    /// A template with deeper paths.
    Template(Box<Template>),
}

enum Piece {
    Text(String),
    Column(usize),
}

impl Layout {
    /// A layout of these columns; an error when the key names another.
    pub(crate) fn new(columns: &[Column], key: Option<Template>) -> Result<Self, String> {
        let key = match key {
            None => KeyPlan::Fields,
            Some(template) => {
                let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
                if let Some(name) = template.names().iter().find(|n| !names.contains(&&***n)) {
                    let known = names.join(", ");
                    return Err(format!("the key names {{{name}}}, but the columns are {known}"));
                }
                let pieces = template.plain().map(|parts| {
                    let column = |name: &str| names.iter().position(|n| *n == name);
                    let piece = |part| match part {
                        Plain::Text(text) => Some(Piece::Text(str::to_owned(text))),
                        Plain::Member(name) => column(name).map(Piece::Column),
                    };
                    parts.into_iter().filter_map(piece).collect()
                });
                match pieces {
                    // A json column may hold what is no key: the template tells.
                    Some(pieces) if columns.iter().all(|c| c.kind != ColumnType::Json) => {
                        KeyPlan::Plain(pieces)
                    }
                    _ => KeyPlan::Template(Box::new(template)),
                }
            }
        };
        let columns = columns.iter().enumerate().map(|(i, column)| {
            let mut before = vec![if i == 0 { b'{' } else { b',' }];
            write_json_string(&column.name, &mut before);
            before.push(b':');
            Written { name: column.name.clone(), kind: column.kind, before }
        });
        Ok(Layout { columns: columns.collect(), key })
    }

    /// Writes a row as an item, or as a rejection that says what is wrong with it.
    pub(crate) fn write(&self, row: &Row<'_>, page: &mut PageBuf) {
        let start = page.bytes().len();
        if let Err(reason) = self.try_write(row, page) {
            page.bytes().truncate(start);
            page.reject(row.position, row.raw, reason);
        }
    }

    fn try_write(&self, row: &Row<'_>, page: &mut PageBuf) -> Result<(), String> {
        let (count, expected) = (row.ends.len(), self.columns.len());
        if count != expected {
            let s = if count == 1 { "" } else { "s" };
            return Err(format!("{count} column{s}, expected {expected}"));
        }
        let out = page.bytes();
        let start = out.len();
        for (column, field) in self.columns.iter().zip(row.fields()) {
            out.extend_from_slice(&column.before);
            column.write(field, out)?;
        }
        out.push(b'}');
        let end = out.len();
        self.write_key(row, start, out)?;
        let key = end..out.len();
        page.push(row.position, key, start..end);
        Ok(())
    }

    /// Writes the key of the row whose record is all of `out` from `start` on.
    fn write_key(&self, row: &Row<'_>, start: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match &self.key {
            KeyPlan::Fields => {
                for (i, field) in row.fields().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(field);
                }
            }
            KeyPlan::Plain(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Column(index) => {
                            let field = row.fields().nth(*index).unwrap_or_default();
                            let text = self.columns[*index].kind == ColumnType::Str;
                            out.extend_from_slice(if text { field } else { field.trim_ascii() });
                        }
                    }
                }
            }
            KeyPlan::Template(template) => {
                let record = Record::new(out[start..].to_vec());
                let key = template.key(&record).map_err(|e| format!("no key: {e}"))?;
                out.extend_from_slice(&key.0);
            }
        }
        Ok(())
    }
}

/// True when a field is of the type.
pub(crate) fn fits(kind: ColumnType, field: &[u8]) -> bool {
    let field = field.trim_ascii();
    match kind {
        ColumnType::Str => true,
        ColumnType::Int => integer(field).is_ok(),
        ColumnType::Float => number(field),
        ColumnType::Bool => boolean(field).is_some(),
        ColumnType::Json => validate(field).is_ok(),
    }
}

/// Checks for an integer of any size as JSON writes it.
fn integer(field: &[u8]) -> Result<(), &'static str> {
    let digits = field.strip_prefix(b"-").unwrap_or(field);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("is not an integer");
    }
    if digits.len() > 1 && digits[0] == b'0' {
        return Err("is an integer with leading zeros (declare the column as str to keep them)");
    }
    Ok(())
}

fn number(field: &[u8]) -> bool {
    matches!(field.first(), Some(b'-' | b'0'..=b'9')) && validate(field).is_ok()
}

fn boolean(field: &[u8]) -> Option<&'static [u8]> {
    match field {
        f if f.eq_ignore_ascii_case(b"true") => Some(b"true"),
        f if f.eq_ignore_ascii_case(b"false") => Some(b"false"),
        _ => None,
    }
}

impl Written {
    /// Appends the value of a field as JSON, or says why it has none.
    fn write(&self, field: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        if self.kind == ColumnType::Str {
            return self.write_text(field, out);
        }
        let value = field.trim_ascii();
        let wrong = |what: &str| match value {
            b"" => format!("{} is empty, not {}", self.name, self.kind_name()),
            _ => format!("{} {} {what}", self.name, shown(field)),
        };
        match self.kind {
            ColumnType::Str => {}
            ColumnType::Int => {
                integer(value).map_err(wrong)?;
                out.extend_from_slice(value);
            }
            ColumnType::Float => {
                if !number(value) {
                    return Err(wrong("is not a number"));
                }
                out.extend_from_slice(value);
            }
            ColumnType::Bool => {
                out.extend_from_slice(boolean(value).ok_or_else(|| wrong("is neither true nor false"))?);
            }
            ColumnType::Json => {
                validate(value).map_err(|e| wrong(&format!("is {e}")))?;
                // White space between tokens is the only place for a line end in valid JSON.
                out.extend(value.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }));
            }
        }
        Ok(())
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            ColumnType::Int => "an integer",
            ColumnType::Float => "a number",
            ColumnType::Bool => "true or false",
            ColumnType::Json => "JSON",
            ColumnType::Str => "text",
        }
    }

    fn write_text(&self, field: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let plain = field.iter().all(|b| matches!(b, 0x20..=0x7e) && !matches!(b, b'"' | b'\\'));
        if plain {
            out.push(b'"');
            out.extend_from_slice(field);
            out.push(b'"');
            return Ok(());
        }
        let Ok(text) = simdutf8::basic::from_utf8(field) else {
            return Err(format!("{} {} is not UTF-8", self.name, shown(field)));
        };
        if text.contains('\0') {
            return Err(format!("{} {} holds a NUL byte", self.name, shown(field)));
        }
        write_json_string(text, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_take_what_json_can_write() {
        use ColumnType::{Bool, Float, Int, Json, Str};
        for (kind, good, bad) in [
            (
                Int,
                &["0", "-1", " 12 ", "123456789012345678901234567890"][..],
                &["", "-", "+1", "1.0", "1e3", "0x1", "007", "1 2", "١", "abc"][..],
            ),
            (
                Float,
                &["1", "-1.50", "1e400", " 0.1"],
                &["", ".5", "1.", "NaN", "inf", "1,5", "\"1\"", "true", "+1"],
            ),
            (Bool, &["true", "FALSE", " True "], &["", "1", "yes", "t"]),
            (Json, &["{}", "[1]", "null", " \"x\" "], &["", "{", "x", "1 2"]),
            (Str, &["", "x"], &[]),
        ] {
            for text in good {
                assert!(fits(kind, text.as_bytes()), "{kind:?} {text}");
            }
            for text in bad {
                assert!(!fits(kind, text.as_bytes()), "{kind:?} {text}");
            }
        }
    }
}
