//! Sinks: files of rows that can be cut back to a mark, and what makes rows of items.

pub mod csv;
mod file;
pub mod jsonl;
mod stdout;

use std::sync::Arc;

use haul_core::job::{OutputSpec, RowFormat};
use haul_core::step::Render;
use haul_core::{Fault, Sink};

use crate::expr::Expr;

pub use file::{AppendFile, FileOps};
pub use stdout::StdoutSink;

/// How an output is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// For a run that starts: as the output says about files that exist.
    Create,
    /// For a run that goes on: nothing is touched until it is cut back to its mark.
    Resume,
}

/// A sink and what makes its rows.
pub struct Pair {
    /// The file.
    pub sink: Box<dyn Sink>,
    /// Makes its rows; another sink may not understand them.
    pub render: Arc<dyn Render>,
}

/// Opens an output. `row` makes the row of an item; `None`: the record with everything attached.
///
/// # Errors
/// Fatal: the file exists, its directory does not, it cannot be written.
pub fn open(spec: &OutputSpec, row: Option<Expr>, opening: Opening) -> Result<Pair, Fault> {
    let file = || match opening {
        Opening::Create => AppendFile::create(&spec.path, spec.exists),
        Opening::Resume => Ok(AppendFile::resume(&spec.path, spec.exists)),
    };
    let to_stdout = spec.path == "-";
    match spec.format {
        RowFormat::Csv => {
            let columns = Arc::new(csv::Columns::default());
            let render = Arc::new(csv::CsvRender::new(row, Arc::clone(&columns)));
            let sink: Box<dyn Sink> = if to_stdout {
                Box::new(StdoutSink::csv(columns))
            } else {
                Box::new(csv::CsvSink::new(file()?, columns)?)
            };
            Ok(Pair { sink, render })
        }
        RowFormat::Jsonl | RowFormat::Tsv | RowFormat::Json | RowFormat::Urls | RowFormat::Keys => {
            let sink: Box<dyn Sink> = if to_stdout {
                Box::new(StdoutSink::jsonl())
            } else {
                Box::new(jsonl::JsonlSink::new(file()?))
            };
            Ok(Pair { sink, render: Arc::new(jsonl::JsonRender::new(row)) })
        }
    }
}
