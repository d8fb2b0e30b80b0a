//! Lines of the form `<score>: <record>`: an integer of any size, a colon, one JSON object.

use super::best::{Best, Entry, Place};
use crate::format::{BadLines, line_at};
use crate::input::{Bad, Lines, Piece};
use crate::json::digits;
use crate::json::explain::{describe, explain};
use crate::json::fast::{Fast, Names, Span};
use crate::json::number::Number;
use crate::json::path::Path;
use crate::json::simd::{Run, Simd, with_best};
use crate::json::stream::{Flaw, Keep, Stream};
use crate::limits;

const NO_SCORE: &str = "no integer score before the first colon (a line is <score>: <record>)";

/// Ranks such lines.
pub(crate) struct ScoreLines {
    id: Path,
    names: Names<1>,
    records: bool,
    pub(crate) best: Best,
    pub(crate) bad: BadLines,
    long: Option<LongLine>,
}

impl ScoreLines {
    /// `id` starts with a member.
    pub(crate) fn new(id: &Path, best: Best, records: bool, skip: bool) -> Self {
        let names = Names::new([id.first().unwrap_or_default()]);
        ScoreLines { id: id.clone(), names, records, best, bad: BadLines::new(skip), long: None }
    }

    fn no_id(&self) -> String {
        format!("the record has no {}", self.id)
    }

    /// Passes over a line that was refused, or stops.
    #[cold]
    #[inline(never)]
    fn refuse(&mut self, piece: &Piece<'_>, start: usize) -> Result<usize, Bad> {
        let (line, next) = line_at(piece, start);
        let reason = match split_score(line) {
            None => NO_SCORE.to_owned(),
            Some((_, column)) => {
                let record = line.get(column..).unwrap_or_default();
                let mut stream = Stream::new(&[self.id.first().unwrap_or_default().into()], Keep::Values);
                match stream.feed(record).and_then(|()| stream.finish()) {
                    Ok(()) => self.no_id(),
                    Err(_) => explain(record, column),
                }
            }
        };
        self.bad.note(Bad::new(piece, start, reason))?;
        Ok(next)
    }

    fn id_of<'t>(&self, first: Option<&'t [u8]>) -> Option<&'t [u8]> {
        if self.id.is_flat() { first } else { self.id.below(first?) }
    }
}

/// The score and where the record starts (behind the colon and blanks).
fn split_score(line: &[u8]) -> Option<(&[u8], usize)> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r');
    let colon = memchr::memchr(b':', line)?;
    let start = line.iter().position(|b| !blank(b))?;
    let before = line.get(start..colon)?;
    let end = before.iter().rposition(|b| !blank(b))? + 1;
    let score = before.get(..end)?;
    let digits = score.strip_prefix(b"-").or(score.strip_prefix(b"+")).unwrap_or(score);
    let after = line.get(colon + 1..)?;
    let record = colon + 1 + after.iter().position(|b| !blank(b)).unwrap_or(after.len());
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some((score, record))
}

struct Reading<'l, 'p> {
    lines: &'l mut ScoreLines,
    piece: Piece<'p>,
}

impl Run for Reading<'_, '_> {
    type Out = Result<(), Bad>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<(), Bad> {
        let Reading { lines, piece } = self;
        let text = piece.text;
        let mut fast = Fast::new(text, simd);
        let mut start = 0;
        while start < text.len() {
            let from = fast.blanks(start);
            if fast.byte(from) == b'\n' {
                start = from + 1;
                continue;
            }
            start = match one(&mut fast, lines, &piece, from, start) {
                Some(next) => next,
                None => lines.refuse(&piece, start)?,
            };
        }
        Ok(())
    }
}

/// The line whose first byte that is no blank is at `from`; where the next starts.
#[inline(always)]
fn one<S: Simd>(
    fast: &mut Fast<'_, S>,
    lines: &mut ScoreLines,
    piece: &Piece<'_>,
    from: usize,
    start: usize,
) -> Option<usize> {
    let text = piece.text;
    let sign = fast.byte(from);
    let first = from + usize::from(matches!(sign, b'-' | b'+'));
    let (value, end) = digits::read(text, first);
    if end == first {
        return None;
    }
    let colon = fast.blanks(end);
    if fast.byte(colon) != b':' {
        return None;
    }
    let record = fast.blanks(colon + 1);
    if fast.byte(record) != b'{' {
        return None;
    }
    let mut found = [Span::default()];
    let record_end = fast.object(record, &lines.names, &mut found)?;
    let newline = fast.blanks(record_end);
    if fast.byte(newline) != b'\n' {
        return None;
    }
    let id = lines.id_of(found[0].of(text))?;
    let (key, exact) = if end - first <= 18 {
        let value = value.cast_signed();
        (if sign == b'-' { -value } else { value }, true)
    } else {
        Number::parse(text.get(from..end)?)?.key()
    };
    if lines.best.wants(key, exact) {
        let score = text.get(from..end)?;
        let record = if lines.records { text.get(record..record_end)? } else { &[] };
        let place = Place { input: piece.input, at: piece.at + start as u64 };
        lines.best.push(Entry { key, exact, score, id, record, place });
    }
    Some(newline + 1)
}

/// A line too long to be held.
struct LongLine {
    input: u32,
    at: u64,
    line: u64,
    score: Vec<u8>,
    /// Bytes up to the record.
    column: u64,
    stage: Stage,
    stream: Stream,
    problem: Option<Problem>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Score,
    After,
    Record,
}

enum Problem {
    NoScore,
    ScoreTooLong,
    Flaw(Flaw),
}

impl LongLine {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        for (i, &b) in bytes.iter().enumerate() {
            let blank = matches!(b, b' ' | b'\t' | b'\r');
            match self.stage {
                Stage::Before if blank => {}
                Stage::Before | Stage::Score
                    if b.is_ascii_digit() || (self.score.is_empty() && matches!(b, b'+' | b'-')) =>
                {
                    self.stage = Stage::Score;
                    if self.score.len() == limits::LONG_VALUE_BYTES {
                        return Err(Problem::ScoreTooLong);
                    }
                    self.score.push(b);
                }
                Stage::Score if blank => self.stage = Stage::After,
                Stage::After if blank => {}
                Stage::Score | Stage::After
                    if b == b':' && self.score.last().is_some_and(u8::is_ascii_digit) =>
                {
                    self.stage = Stage::Record;
                    self.column += 1;
                    continue;
                }
                Stage::Record => {
                    return self.stream.feed(bytes.get(i..).unwrap_or_default()).map_err(Problem::Flaw);
                }
                _ => return Err(Problem::NoScore),
            }
            self.column += 1;
        }
        Ok(())
    }
}

impl Lines for ScoreLines {
    fn take(&mut self, piece: Piece<'_>) -> Result<(), Bad> {
        with_best(Reading { lines: self, piece })
    }

    fn long_start(&mut self, input: u32, at: u64, line: u64) {
        let keep = if self.records { Keep::Record } else { Keep::Values };
        let stream = Stream::new(&[self.id.first().unwrap_or_default().into()], keep);
        let (score, stage) = (Vec::new(), Stage::Before);
        self.long = Some(LongLine { input, at, line, score, column: 0, stage, stream, problem: None });
    }

    fn long_part(&mut self, bytes: &[u8]) {
        if let Some(long) = self.long.as_mut().filter(|l| l.problem.is_none()) {
            long.problem = long.feed(bytes).err();
        }
    }

    fn long_end(&mut self) -> Result<(), Bad> {
        let Some(long) = self.long.take() else { return Ok(()) };
        let LongLine { input, at, line, score, column, stage, stream, problem } = long;
        let reason = match (problem, stage) {
            (None, Stage::Before) => return Ok(()),
            (None, Stage::Record) => match (stream.finish(), stream.too_long()) {
                (Err(flaw), _) => describe(&flaw, column),
                (Ok(()), Some(too_long)) => too_long.to_owned(),
                (Ok(()), None) => match (self.id_of(stream.value(0)), Number::parse(&score)) {
                    (None, _) => self.no_id(),
                    (_, None) => NO_SCORE.to_owned(),
                    (Some(id), Some(number)) => {
                        let (key, exact) = number.key();
                        if self.best.wants(key, exact) {
                            let (record, place) = (stream.record(), Place { input, at });
                            self.best.push(Entry { key, exact, score: &score, id, record, place });
                        }
                        return Ok(());
                    }
                },
            },
            (Some(Problem::Flaw(flaw)), _) => describe(&flaw, column),
            (Some(Problem::ScoreTooLong), _) => "a score of more than 1,048,576 digits".to_owned(),
            (Some(Problem::NoScore) | None, _) => NO_SCORE.to_owned(),
        };
        self.bad.note(Bad { input, at, line, reason, fatal: false })
    }
}
