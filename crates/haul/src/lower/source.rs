//! `INPUT` and the flags that say how to read it.

use haul_core::job::{Place, Places, RowFormat, SourceSpec};

use crate::flags::SourceFlags;

/// Endings that say nothing of the format: compression is known by content.
const COMPRESSED: [&str; 2] = [".gz", ".zst"];

/// The source. The format is that of a flag, else of the name's ending, else CSV.
pub fn source(input: &str, flags: &SourceFlags, places: &mut Places) -> SourceSpec {
    let format = match (flags.csv, flags.tsv, flags.jsonl) {
        (true, ..) => RowFormat::Csv,
        (_, true, _) => RowFormat::Tsv,
        (.., true) => RowFormat::Jsonl,
        _ if flags.each.is_some() => RowFormat::Json,
        _ => format_of(input).unwrap_or(RowFormat::Csv),
    };
    places.note(format!("source.{}", format.as_str()), Place::Argument(input.to_owned()));
    places.note("source", Place::Argument(input.to_owned()));
    if flags.csv_header.is_some() {
        places.note("source.header", Place::Argument("--csv-header".to_owned()));
    }
    if !flags.columns.is_empty() {
        places.note("source.columns", Place::Argument("--columns".to_owned()));
    }
    if let Some(each) = &flags.each {
        places.note("source.each", Place::Argument(format!("--each {each}")));
    }
    if let Some(key) = &flags.key {
        places.note("source.key", Place::Argument(format!("--key {key}")));
    }
    SourceSpec {
        header: flags.csv_header.unwrap_or_default(),
        columns: flags.columns.clone(),
        each: flags.each.clone(),
        key: flags.key.clone(),
        ..SourceSpec::new(format, input)
    }
}

/// The format that a file's or a URL's name ends with.
pub fn format_of(name: &str) -> Option<RowFormat> {
    let path = if name.contains("://") { name.split(['?', '#']).next().unwrap_or(name) } else { name };
    let mut path = path.to_ascii_lowercase();
    if let Some(end) = COMPRESSED.iter().find(|end| path.ends_with(*end)) {
        path.truncate(path.len() - end.len());
    }
    let (_, ending) = path.rsplit_once('.')?;
    match ending {
        "csv" => Some(RowFormat::Csv),
        "tsv" | "tab" => Some(RowFormat::Tsv),
        "jsonl" | "ndjson" | "json" => Some(RowFormat::Jsonl),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_the_ending_under_the_compression() {
        assert_eq!(format_of("a/pairs.CSV.gz"), Some(RowFormat::Csv));
        assert_eq!(format_of("https://h/x.jsonl.zst?sig=a.csv"), Some(RowFormat::Jsonl));
        assert_eq!(format_of("x.tab"), Some(RowFormat::Tsv));
        assert_eq!(format_of("-"), None);
        assert_eq!(format_of("dir.csv/plain"), None);
    }
}
