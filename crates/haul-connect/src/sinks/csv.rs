//! CSV as RFC 4180 has it, with `\n` at the end of lines as the tools of Unix have it.
//!
//! The members of the first row name the columns, for the whole run: a row is made into a line while
//! its item is in work, so that one that does not fit fails as an item and does not stop the run.

use std::fmt;
use std::sync::{Arc, OnceLock};

use haul_core::sink::Row;
use haul_core::step::Render;
use haul_core::{Fault, Item, Mark, Sink};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::file::AppendFile;
use super::jsonl::row_value;
use crate::expr::Expr;

/// Longest header line that is read back.
const HEADER_BYTES: usize = 1024 * 1024;

/// The columns of a file, known from its header or from the first row.
#[derive(Default)]
pub struct Columns(OnceLock<Vec<String>>);

impl Columns {
    /// Their names, in order.
    pub fn names(&self) -> Option<&[String]> {
        self.0.get().map(Vec::as_slice)
    }

    /// The header line.
    pub(super) fn header(&self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        for (i, name) in self.names()?.iter().enumerate() {
            if i > 0 {
                line.push(b',');
            }
            write_field(name, &mut line);
        }
        line.push(b'\n');
        Some(line)
    }
}

/// A CSV file.
pub struct CsvSink {
    file: AppendFile,
    columns: Arc<Columns>,
}

impl CsvSink {
    /// Writes to a file; one that has a header already names the columns.
    ///
    /// # Errors
    /// Fatal: the file is there and cannot be read, or has no header.
    pub fn new(file: AppendFile, columns: Arc<Columns>) -> Result<Self, Fault> {
        let mut sink = CsvSink { file, columns };
        sink.read_header()?;
        Ok(sink)
    }

    fn read_header(&mut self) -> Result<(), Fault> {
        if self.file.is_empty() {
            return Ok(());
        }
        let bytes = self.file.beginning(HEADER_BYTES)?;
        let Some(names) = first_record(&bytes) else {
            return Err(Fault::fatal("sink", "the CSV file to go on with does not start with a header line"));
        };
        if self.columns.0.get_or_init(|| names.clone()) != &names {
            let message = format!("the CSV file to go on with has other columns: {}", names.join(","));
            return Err(Fault::fatal("sink", message));
        }
        Ok(())
    }
}

impl Sink for CsvSink {
    fn append(&mut self, rows: &[Row]) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        self.file.open()?;
        if self.file.is_empty()
            && let Some(header) = self.columns.header()
        {
            self.file.append(&header)?;
        }
        for row in rows {
            self.file.append(&row.0)?;
            self.file.append(b"\n")?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<Mark, Fault> {
        self.file.sync()
    }

    fn cut(&mut self, to: &Mark) -> Result<(), Fault> {
        self.file.cut(to)?;
        self.read_header()
    }
}

/// Makes the line of an item.
pub struct CsvRender {
    row: Option<Expr>,
    columns: Arc<Columns>,
}

impl CsvRender {
    /// The members of the value of `row`; `None`: of the record with everything attached.
    pub fn new(row: Option<Expr>, columns: Arc<Columns>) -> Self {
        CsvRender { row, columns }
    }
}

impl Render for CsvRender {
    fn render(&self, item: &Item, out: &mut Vec<u8>) -> Result<(), Fault> {
        let json = match &self.row {
            Some(row) => row_value(row, item)?,
            None => {
                let mut json = Vec::with_capacity(item.record.len() + 64);
                item.record.write_json(&mut json);
                json.into()
            }
        };
        let members = members(&json).map_err(|_| {
            Fault::permanent("column", "a CSV row must be an object: row = \"{a, b}\" makes one")
        })?;
        let columns = self.columns.0.get_or_init(|| {
            let mut names: Vec<String> = Vec::new();
            for (name, _) in &members {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
            names
        });
        if let Some((name, _)) = members.iter().find(|(name, _)| !columns.contains(name)) {
            return Err(Fault::permanent(
                "column",
                format!(
                    "the row has a member \"{name}\" that is no column (the first row has {}): choose columns with row = \"{{…}}\"",
                    columns.join(", ")
                ),
            ));
        }
        let start = out.len();
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            // Of equal names the last counts, as everywhere.
            if let Some((_, value)) = members.iter().rev().find(|(name, _)| name == column) {
                write_value(value.get(), out);
            }
        }
        if out.len() == start {
            // Readers skip empty lines.
            out.extend_from_slice(b"\"\"");
        }
        Ok(())
    }
}

/// A JSON value as a field: strings as their text, `null` as nothing, objects and arrays as JSON.
fn write_value(json: &str, out: &mut Vec<u8>) {
    match json.as_bytes().first() {
        Some(b'n') => {}
        Some(b'"') => match serde_json::from_str::<String>(json) {
            // Nothing stands for null: an empty string is written so that it can be told from it.
            Ok(text) if text.is_empty() => out.extend_from_slice(b"\"\""),
            Ok(text) => write_field(&text, out),
            // Half a surrogate pair has no text: its JSON is kept.
            Err(_) => write_field(json, out),
        },
        _ => write_field(json, out),
    }
}

fn write_field(text: &str, out: &mut Vec<u8>) {
    let quoted = text.bytes().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r'))
        || text.starts_with([' ', '\t'])
        || text.ends_with([' ', '\t']);
    if !quoted {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for b in text.bytes() {
        if b == b'"' {
            out.push(b'"');
        }
        out.push(b);
    }
    out.push(b'"');
}

/// The fields of the first line of a CSV file.
fn first_record(bytes: &[u8]) -> Option<Vec<String>> {
    let mut reader = csv_core::Reader::new();
    let (mut fields, mut ends) = (vec![0; bytes.len() + 1], vec![0; bytes.len() + 1]);
    let (result, _, _, count) = reader.read_record(bytes, &mut fields, &mut ends);
    if !matches!(result, csv_core::ReadRecordResult::Record) {
        return None;
    }
    let mut start = 0;
    ends[..count]
        .iter()
        .map(|end| {
            let field = std::str::from_utf8(&fields[start..*end]).ok().map(str::to_owned);
            start = *end;
            field
        })
        .collect()
}

/// The members of a JSON object, in order, values as they stand.
fn members(json: &[u8]) -> serde_json::Result<Vec<(String, &RawValue)>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(member) = map.next_entry()? {
                all.push(member);
            }
            Ok(all)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let all = (&mut reader).deserialize_map(Members)?;
    reader.end()?;
    Ok(all)
}
