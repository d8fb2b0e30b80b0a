//! CSV and TSV: cuts rows and fields.
//!
//! A row without quotes (nearly all) is cut with memchr; one with quotes goes through csv-core, so
//! that both follow the same rules: RFC 4180, with LF, CR LF and CR as line ends, empty lines
//! ignored, and quotes that do not start a field taken as text.
//!
//! A quote that is never closed would swallow the rest of the file. A row is therefore searched for
//! its closing quote over [`LINE_BYTES`] only; then its first line is rejected and reading goes on
//! with the second. Where that happens again before the point that was searched, everything up to
//! there is rejected at once: no byte is looked at more than three times.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use haul_core::Fault;
use haul_core::item::Position;
use haul_core::limits::LINE_BYTES;
use memchr::{memchr_iter, memchr2, memchr3};

use super::columns::{Columns, Row};
use super::page::PageBuf;
use super::split::{Overlong, Split, byte_order_mark, line_end};

/// Cuts CSV and TSV.
pub(crate) struct CsvSplit {
    delimiter: u8,
    offset: u64,
    line: u64,
    columns: Columns,
    /// Bytes of the row at hand that are known to hold no quote and no line end.
    looked: usize,
    overlong: Option<Overlong>,
    quoted: Quoted,
    searched: u64,
    /// End positions of the fields of the row at hand.
    ends: Vec<usize>,
}

/// Progress of csv-core in a row that has quotes.
struct Quoted {
    reader: Reader,
    /// Bytes of the row that it has taken; 0 when there is no such row.
    fed: usize,
    done: bool,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
}

/// What became of a row with quotes.
enum Progress {
    More,
    Done,
    Unclosed,
}

impl Quoted {
    fn new(delimiter: u8) -> Self {
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        Quoted { reader, fed: 0, done: false, text: Vec::new(), text_len: 0, ends: Vec::new(), ends_len: 0 }
    }

    fn reset(&mut self) {
        self.reader.reset();
        // Passed as an empty line; a fresh reader would take a byte-order mark off every row.
        self.reader.read_record(b"\n", &mut [], &mut []);
        (self.fed, self.done, self.text_len, self.ends_len) = (0, false, 0, 0);
        // What one huge row needed is not kept.
        self.text.truncate(64 * 1024);
        self.text.shrink_to(64 * 1024);
    }

    /// Feeds the row, which starts at `row[0]`, as far as it is there.
    fn feed(&mut self, row: &[u8], last: bool) -> Progress {
        let row = &row[..row.len().min(LINE_BYTES + 1)];
        while !self.done {
            if self.fed < row.len() {
                self.step(&row[self.fed..]);
            } else if row.len() > LINE_BYTES {
                return Progress::Unclosed;
            } else if !last {
                return Progress::More;
            } else {
                // A newline ends any row but one within quotes.
                let before = self.fed;
                self.step(b"\n");
                if self.fed > before && !self.done {
                    return Progress::Unclosed;
                }
                self.fed = before;
            }
        }
        Progress::Done
    }

    fn step(&mut self, input: &[u8]) {
        if self.text.len() - self.text_len < 64 {
            self.text.resize((self.text.len() * 2).max(4096), 0);
        }
        if self.ends.len() - self.ends_len < 8 {
            self.ends.resize((self.ends.len() * 2).max(64), 0);
        }
        let (result, read, written, ended) =
            self.reader.read_record(input, &mut self.text[self.text_len..], &mut self.ends[self.ends_len..]);
        self.fed += read;
        self.text_len += written;
        self.ends_len += ended;
        self.done = matches!(result, ReadRecordResult::Record | ReadRecordResult::End);
    }
}

impl CsvSplit {
    /// Starts at a byte offset and line; `searched` is that of the cursor.
    pub(crate) fn new(delimiter: u8, offset: u64, line: u64, searched: u64, columns: Columns) -> Self {
        CsvSplit {
            delimiter,
            offset,
            line,
            columns,
            looked: 0,
            overlong: None,
            quoted: Quoted::new(delimiter),
            searched,
            ends: Vec::new(),
        }
    }

    fn position(&self) -> Position {
        Position { line: self.line, offset: self.offset }
    }

    /// Takes one row (or empty line, or a piece of a line that is too long); returns its bytes, or
    /// `None` when it is not all there.
    fn row(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<Option<usize>, Fault> {
        if self.overlong.is_some() {
            return self.pass(input, last, page);
        }
        if self.quoted.fed > 0 {
            return self.quoted_row(input, last, page);
        }
        let looked = self.looked.min(input.len());
        let Some(at) = memchr3(b'\n', b'\r', b'"', &input[looked..]).map(|n| n + looked) else {
            if input.len() > LINE_BYTES {
                return self.start_passing(input, last, page, None);
            }
            self.looked = input.len();
            if !last || input.is_empty() {
                return Ok(None);
            }
            return self.plain_row(input, input.len(), false, page).map(Some);
        };
        self.looked = at;
        if at > LINE_BYTES {
            return self.start_passing(input, last, page, None);
        }
        if input[at] == b'"' {
            self.quoted.reset();
            return self.quoted_row(input, last, page);
        }
        let Some((end, whole)) = line_end(input, at, last) else { return Ok(None) };
        self.plain_row(&input[..end], whole, true, page).map(Some)
    }

    fn plain_row(
        &mut self,
        line: &[u8],
        whole: usize,
        newline: bool,
        page: &mut PageBuf,
    ) -> Result<usize, Fault> {
        self.looked = 0;
        if !line.is_empty() {
            self.ends.clear();
            self.ends.extend(memchr_iter(self.delimiter, line));
            self.ends.push(line.len());
            let row = Row { text: line, ends: &self.ends, gap: 1, raw: line, position: self.position() };
            self.columns.row(&row, page)?;
        }
        self.line += u64::from(newline);
        Ok(whole)
    }

    fn quoted_row(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<Option<usize>, Fault> {
        match self.quoted.feed(input, last) {
            Progress::More => return Ok(None),
            Progress::Unclosed => return self.unclosed(input, last, page),
            Progress::Done => {}
        }
        let fed = self.quoted.fed;
        // csv-core ends a row at the CR of CR LF.
        let terminator = fed.checked_sub(1).filter(|&at| matches!(input[at], b'\n' | b'\r'));
        let whole = match terminator {
            Some(at) => match line_end(input, at, last) {
                Some((_, whole)) => whole,
                None => return Ok(None),
            },
            None => fed,
        };
        let raw = &input[..terminator.unwrap_or(fed)];
        let row = Row {
            text: &self.quoted.text[..self.quoted.text_len],
            ends: &self.quoted.ends[..self.quoted.ends_len],
            gap: 0,
            raw,
            position: self.position(),
        };
        self.columns.row(&row, page)?;
        self.line += lines(&input[..whole]);
        self.looked = 0;
        self.quoted.fed = 0;
        Ok(Some(whole))
    }

    /// A row whose quote is not closed within the bound, or before the end.
    fn unclosed(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<Option<usize>, Fault> {
        self.quoted.fed = 0;
        let row = &input[..input.len().min(LINE_BYTES + 1)];
        // Decided by these bytes alone, so that it does not depend on how the input is cut.
        let first = memchr2(b'\n', b'\r', row).and_then(|at| line_end(row, at, true));
        let beyond = row.len() > LINE_BYTES;
        let Some((end, whole)) = first else {
            if beyond {
                return self.start_passing(input, last, page, None);
            }
            let reason = "a quote is opened and not closed".to_owned();
            self.columns.settle(page)?;
            page.reject(self.position(), input, reason);
            return Ok(Some(input.len()));
        };
        let searched = self.offset + row.len() as u64;
        if self.offset < self.searched && !beyond {
            // The second time here: all of it goes.
            let reason = format!(
                "a quote is opened and not closed: {} lines dropped",
                lines(input) + u64::from(!input.ends_with(b"\n"))
            );
            self.columns.settle(page)?;
            page.reject(self.position(), input, reason);
            self.line += lines(input);
            return Ok(Some(input.len()));
        }
        if self.offset < self.searched {
            let reason =
                format!("a quote is opened and not closed within {LINE_BYTES} bytes: they are dropped");
            let taken = self.start_passing(row, false, page, Some(reason))?;
            self.line += taken.map_or(0, |_| lines(row));
            return Ok(taken);
        }
        self.searched = searched;
        let until = if beyond { format!("within {LINE_BYTES} bytes") } else { "before the end".to_owned() };
        let reason = format!("a quote is opened and not closed {until}; going on with the next line");
        self.columns.settle(page)?;
        page.reject(self.position(), &input[..end], reason);
        self.line += 1;
        self.looked = 0;
        Ok(Some(whole))
    }

    /// Starts to pass a line that is too long, once everything before it is handed on, so that no
    /// cursor points into it.
    fn start_passing(
        &mut self,
        input: &[u8],
        last: bool,
        page: &mut PageBuf,
        reason: Option<String>,
    ) -> Result<Option<usize>, Fault> {
        self.columns.settle(page)?;
        if !page.is_empty() {
            return Ok(None);
        }
        let dropping = reason.is_some();
        let mut overlong = Overlong::new(self.position(), reason);
        self.looked = 0;
        if dropping {
            overlong.take(input);
            self.overlong = Some(overlong);
            return Ok(Some(input.len()));
        }
        self.overlong = Some(overlong);
        self.pass(input, last, page)
    }

    /// Passes more of a line that is too long.
    fn pass(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<Option<usize>, Fault> {
        let at = memchr2(b'\n', b'\r', input);
        let Some(overlong) = &mut self.overlong else { return Ok(None) };
        let whole = match at {
            None if !last => {
                overlong.take(input);
                return Ok((!input.is_empty()).then_some(input.len()));
            }
            None => {
                overlong.take(input);
                input.len()
            }
            Some(at) => {
                let Some((end, whole)) = line_end(input, at, last) else {
                    overlong.take(&input[..at]);
                    return Ok((at > 0).then_some(at));
                };
                overlong.take(&input[..end]);
                self.line += 1;
                whole
            }
        };
        if let Some(overlong) = self.overlong.take() {
            overlong.reject(page);
        }
        Ok(Some(whole))
    }
}

/// Line ends in `text`: LF, CR LF and CR each count once.
fn lines(text: &[u8]) -> u64 {
    let feeds = memchr_iter(b'\n', text).count();
    let returns = memchr_iter(b'\r', text).filter(|&at| text.get(at + 1) != Some(&b'\n')).count();
    (feeds + returns) as u64
}

impl Split for CsvSplit {
    fn split(&mut self, input: &[u8], last: bool, page: &mut PageBuf) -> Result<usize, Fault> {
        let mut used = 0;
        if self.offset == 0 {
            match byte_order_mark(input, last) {
                None => return Ok(0),
                Some(mark) => used = mark,
            }
            self.offset += used as u64;
        }
        while !page.is_full() {
            let Some(taken) = self.row(&input[used..], last, page)? else { break };
            used += taken;
            self.offset += taken as u64;
            if taken == 0 {
                break;
            }
        }
        if last && used == input.len() && !page.is_full() {
            self.columns.settle(page)?;
        }
        Ok(used)
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn columns(&self) -> &[String] {
        self.columns.names()
    }

    fn searched(&self) -> u64 {
        if self.offset < self.searched { self.searched } else { 0 }
    }
}
