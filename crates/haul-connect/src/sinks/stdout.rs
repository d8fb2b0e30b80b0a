//! Rows to standard output. They cannot be cut: a run with such an output starts over.

use std::io::{self, Write};
use std::sync::Arc;

use haul_core::sink::Row;
use haul_core::{Fault, Mark, Sink};

use super::csv::Columns;

/// Standard output as a sink.
pub struct StdoutSink {
    buffer: Vec<u8>,
    /// For CSV: the header is written before the first row.
    columns: Option<Arc<Columns>>,
    written: u64,
}

impl StdoutSink {
    /// JSON Lines.
    pub fn jsonl() -> Self {
        StdoutSink { buffer: Vec::new(), columns: None, written: 0 }
    }

    /// CSV with its header.
    pub fn csv(columns: Arc<Columns>) -> Self {
        StdoutSink { columns: Some(columns), ..StdoutSink::jsonl() }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let mut out = io::stdout().lock();
        let flushed = out.write_all(&self.buffer).and_then(|()| out.flush());
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        flushed.map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => Fault::fatal("stdout_closed", "standard output was closed"),
            io::ErrorKind::StorageFull => {
                Fault::fatal("disk_full", format!("standard output: {e}: free some space, then run it again"))
            }
            _ => Fault::fatal("sink", format!("cannot write to standard output: {e}")),
        })
    }
}

impl Sink for StdoutSink {
    fn append(&mut self, rows: &[Row]) -> Result<(), Fault> {
        for row in rows {
            if self.written == 0
                && self.buffer.is_empty()
                && let Some(header) = self.columns.as_ref().and_then(|c| c.header())
            {
                self.buffer.extend_from_slice(&header);
            }
            self.buffer.extend_from_slice(&row.0);
            self.buffer.push(b'\n');
        }
        if self.buffer.len() >= 64 * 1024 { self.flush() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<Mark, Fault> {
        self.flush()?;
        Ok(Mark { len: self.written, ..Mark::default() })
    }

    fn cut(&mut self, _: &Mark) -> Result<(), Fault> {
        Err(Fault::fatal(
            "sink",
            "rows that went to standard output cannot be taken back: start over with --fresh, or give a file",
        ))
    }
}
