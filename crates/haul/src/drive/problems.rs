//! Why a run cannot start, told where it was said.

use haul::aggregates::AggregateError;
use haul_connect::assemble::AssembleError;
use haul_core::Fault;
use haul_core::job::{Diagnostic, Place, Places};
use haul_core::ledger::LedgerError;

use crate::diagnostic::{self, File};
use crate::{exit, output};

/// Why a run cannot start.
#[derive(Debug)]
pub enum Problem {
    /// The job is wrong, or what it names is not there.
    Job(AssembleError),
    /// Anything else.
    Start(String),
    /// There is no room. Nothing is lost, and the same command goes on once there is.
    Full(String),
}

impl From<AssembleError> for Problem {
    fn from(e: AssembleError) -> Self {
        Problem::Job(e)
    }
}

impl From<AggregateError> for Problem {
    fn from(e: AggregateError) -> Self {
        let message = e.error.to_string();
        Problem::Job(AssembleError { what: e.what, message, offset: None, hint: None })
    }
}

impl From<LedgerError> for Problem {
    fn from(e: LedgerError) -> Self {
        if e.is_disk_full() { Problem::Full(e.to_string()) } else { Problem::Start(e.to_string()) }
    }
}

impl From<Fault> for Problem {
    fn from(e: Fault) -> Self {
        if e.code() == "disk_full" { Problem::Full(e.to_string()) } else { Problem::Start(e.to_string()) }
    }
}

impl Problem {
    /// Tells it; the exit status is given.
    pub fn tell(self, places: &Places, file: Option<File<'_>>) -> u8 {
        match self {
            Problem::Start(message) => {
                output::complain(&message);
                exit::NO_START
            }
            Problem::Full(message) => {
                output::complain(&message);
                exit::STOPPED
            }
            Problem::Job(error) => {
                let status = status_of(&error.what);
                let place = places.find(&error.what);
                let mut found = Diagnostic::new(error.message, within(place, error.offset, file));
                found.hint = error.hint;
                if status == exit::NO_START {
                    // The file is right, and the world is not: no excerpt helps.
                    let hint = found.hint.map_or(String::new(), |h| format!("\n  hint: {h}"));
                    output::complain(&format!("{}{hint}", found.message));
                } else {
                    diagnostic::tell_all(&[found], file);
                }
                status
            }
        }
    }
}

/// A source or an output that is not there is no wrong usage.
fn status_of(what: &str) -> u8 {
    let key = what.split_once('.').filter(|(section, _)| matches!(*section, "source" | "output"));
    match key {
        Some((_, "csv" | "tsv" | "jsonl" | "json" | "urls")) => exit::NO_START,
        _ => exit::USAGE,
    }
}

/// The byte of an expression as a byte of the file it stands in, where they correspond: in a string
/// of one line without escapes.
fn within(place: Place, offset: Option<usize>, file: Option<File<'_>>) -> Place {
    let (Place::File(span), Some(offset), Some(file)) = (&place, offset, file) else { return place };
    let Some(written) = file.text.get(span.clone()) else { return place };
    let plain = written.len() >= 2
        && !written.starts_with("\"\"\"")
        && !written.starts_with("'''")
        && (written.starts_with('\'') || written.starts_with('"') && !written.contains('\\'));
    let at = span.start + 1 + offset;
    if plain && at < span.end { Place::File(at..at + 1) } else { place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_in_an_expression_is_a_place_in_the_file() {
        let text = "take = \".a |\"\nb = \"\\\"x\"";
        let file = Some(File { name: "j.toml", text });
        assert_eq!(within(Place::File(7..13), Some(3), file), Place::File(11..12));
        assert_eq!(within(Place::File(7..13), Some(9), file), Place::File(7..13), "beyond its end");
        assert_eq!(within(Place::File(18..23), Some(1), file), Place::File(18..23), "escapes shift bytes");
        assert_eq!(within(Place::File(7..13), None, file), Place::File(7..13));
    }
}
