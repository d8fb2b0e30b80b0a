//! `--to` and `--row`.

use haul_core::job::{IfExists, OutputSpec, Place, Places, RowFormat};

use super::Problems;
use super::source::format_of;

/// The output of `--to PATH --row EXPR`.
pub fn output(path: &str, row: Option<&String>, places: &mut Places, out: &mut Problems) -> OutputSpec {
    let flag = format!("--to {path}");
    let format = match format_of(path) {
        Some(RowFormat::Csv) => RowFormat::Csv,
        _ => RowFormat::Jsonl,
    };
    if [".gz", ".zst", ".br"].iter().any(|end| path.ends_with(end)) {
        out.add(
            &flag,
            "rows are written uncompressed, so that they can be cut back after a crash",
            "compress the file when the run has finished",
        );
    }
    places.note("output", Place::Argument(flag));
    if let Some(row) = row {
        places.note("output.row", Place::Argument(format!("--row {row}")));
    }
    OutputSpec { format, path: path.to_owned(), row: row.cloned(), exists: IfExists::default() }
}
