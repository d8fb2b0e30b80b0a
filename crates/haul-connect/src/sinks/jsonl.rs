//! JSON Lines: one value a line.

use haul_core::sink::Row;
use haul_core::step::Render;
use haul_core::{Fault, Item, Mark, Sink};

use super::file::AppendFile;
use crate::expr::Expr;

/// A file of JSON Lines.
pub struct JsonlSink(AppendFile);

impl JsonlSink {
    /// Writes to a file.
    pub fn new(file: AppendFile) -> Self {
        JsonlSink(file)
    }
}

impl Sink for JsonlSink {
    fn append(&mut self, rows: &[Row]) -> Result<(), Fault> {
        for row in rows {
            self.0.append(&row.0)?;
            self.0.append(b"\n")?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<Mark, Fault> {
        self.0.sync()
    }

    fn cut(&mut self, to: &Mark) -> Result<(), Fault> {
        self.0.cut(to)
    }
}

/// Makes the line of an item.
pub struct JsonRender(Option<Expr>);

impl JsonRender {
    /// The value of `row`; `None`: the record with everything attached.
    pub fn new(row: Option<Expr>) -> Self {
        JsonRender(row)
    }
}

impl Render for JsonRender {
    fn render(&self, item: &Item, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = out.len();
        match &self.0 {
            None => item.record.write_json(out),
            Some(row) => out.extend_from_slice(&row_value(row, item)?),
        }
        one_line(&mut out[start..]);
        Ok(())
    }
}

pub(super) fn row_value(row: &Expr, item: &Item) -> Result<bytes::Bytes, Fault> {
    row.eval_record(&item.record)
        .map_err(|e| Fault::permanent("expr", format!("the row {}: {e}", row.source())))
}

/// Services indent their JSON. Within strings line breaks are escaped, so those that are left are
/// white space between tokens.
fn one_line(json: &mut [u8]) {
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        for b in json.iter_mut().filter(|b| matches!(b, b'\n' | b'\r')) {
            *b = b' ';
        }
    }
}
