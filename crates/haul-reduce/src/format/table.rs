//! What files hold: told by the name, then by the first bytes, unless the user says it.

use std::sync::Arc;

use haul_core::job::HeaderMode;

use super::csv::{Layout, first_record};
use crate::input::{Input, OpenError, Split};
use crate::json::path::Path;

/// How records are written in files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// A line is a value.
    Lines,
}

impl Format {
    /// The inverse of the word in `--format`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "jsonl" | "ndjson" => Some(Format::Jsonl),
            "csv" => Some(Format::Csv),
            "tsv" => Some(Format::Tsv),
            "lines" => Some(Format::Lines),
            _ => None,
        }
    }

    /// The byte between fields, for formats that have fields.
    pub(crate) fn delimiter(self) -> Option<u8> {
        match self {
            Format::Csv => Some(b','),
            Format::Tsv => Some(b'\t'),
            Format::Jsonl | Format::Lines => None,
        }
    }

    /// How its records are told apart.
    pub(crate) fn split(self) -> Split {
        self.delimiter().map_or(Split::Lines, Split::Quoted)
    }

    /// Tells the format of an input of which paths are wanted.
    pub(crate) fn detect(input: &Input) -> Result<Self, OpenError> {
        let name = input.name().to_ascii_lowercase();
        let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        let by_name = name.rsplit_once('.').and_then(|(_, extension)| match extension {
            "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
            "csv" => Some(Format::Csv),
            "tsv" | "tab" => Some(Format::Tsv),
            _ => None,
        });
        if let Some(format) = by_name {
            return Ok(format);
        }
        let head = input.head()?;
        let head = head.strip_prefix(crate::input::BYTE_ORDER_MARK).unwrap_or(&head);
        let line = head.trim_ascii_start().split(|b| *b == b'\n').next().unwrap_or_default();
        Ok(match line {
            [b'{' | b'[', ..] | [] => Format::Jsonl,
            line if line.contains(&b'\t') && !line.contains(&b',') => Format::Tsv,
            _ => Format::Csv,
        })
    }
}

/// What is known of the columns of CSV files.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Whether the first record names them.
    pub header: HeaderMode,
    /// Their names, where there is no header or other names are wanted.
    pub names: Vec<String>,
}

/// Finds the wanted columns in each input.
pub(crate) fn layouts(
    inputs: &[Input],
    delimiter: u8,
    columns: &Columns,
    paths: &[Path],
) -> Result<Arc<[Layout]>, OpenError> {
    inputs.iter().map(|input| layout(input, delimiter, columns, paths)).collect()
}

fn layout(input: &Input, delimiter: u8, columns: &Columns, paths: &[Path]) -> Result<Layout, OpenError> {
    let wrong = |reason: String| OpenError::new(input.name(), reason);
    let head = input.head()?;
    if head.is_empty() {
        return Ok(Layout { columns: Vec::new(), wanted: vec![0; paths.len()], header: true });
    }
    let first = first_record(&head, delimiter).ok_or_else(|| {
        wrong("line 1 is no CSV record of less than 64 KiB (is a quote not closed?)".to_owned())
    })?;
    let mut names = Vec::new();
    for path in paths {
        let name = path.only();
        names.push(name.ok_or_else(|| wrong(format!("{path} goes into a value; CSV fields have no depth")))?);
    }
    let find = |columns: &[String]| -> Option<Vec<usize>> {
        names.iter().map(|n| columns.iter().position(|c| c == n)).collect()
    };
    let header = match columns.header {
        HeaderMode::Yes => true,
        HeaderMode::No => false,
        HeaderMode::Auto => columns.names.is_empty() || columns.names == first,
    };
    let known = if columns.names.is_empty() { first.clone() } else { columns.names.clone() };
    if header == columns.names.is_empty() || !columns.names.is_empty() {
        return match find(&known) {
            Some(wanted) => Ok(Layout { columns: known, wanted, header }),
            None => {
                let missing =
                    names.iter().find(|n| !known.iter().any(|c| c == *n)).copied().unwrap_or_default();
                let have: String = known.join(", ").chars().take(200).collect();
                Err(wrong(format!(
                    "there is no column {missing:?} (there are: {have}); --columns names them"
                )))
            }
        };
    }
    Err(wrong("without a header line the columns need names: --columns a,b,c".to_owned()))
}
