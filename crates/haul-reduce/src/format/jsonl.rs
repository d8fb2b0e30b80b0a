//! JSON Lines: one object a line, blank lines ignored.

use super::{BadLines, Refusal, Row, Take, Written};
use crate::input::{Bad, Lines, Piece};
use crate::json::explain::{describe, explain};
use crate::json::fast::{Fast, Names, Span};
use crate::json::path::Path;
use crate::json::simd::{Run, Simd, with_best};
use crate::json::stream::{Flaw, Keep, Stream};

/// `K` values wanted of each record.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<const K: usize> {
    paths: [Path; K],
    names: Names<K>,
    /// Which of the names each path starts with.
    slots: [usize; K],
}

impl<const K: usize> Wanted<K> {
    /// `None` when a path does not start with a member: records are objects.
    pub(crate) fn new(paths: [Path; K]) -> Option<Self> {
        if paths.iter().any(|p| p.first().is_none()) {
            return None;
        }
        let firsts: [&[u8]; K] =
            std::array::from_fn(|k| paths.get(k).and_then(Path::first).unwrap_or_default());
        let slots = firsts.map(|f| firsts.iter().position(|g| *g == f).unwrap_or(0));
        let names = Names::new(firsts);
        Some(Wanted { paths, names, slots })
    }

    /// The names as the slow validator takes them.
    pub(crate) fn long_names(&self) -> Vec<Box<[u8]>> {
        self.paths.iter().map(|p| p.first().unwrap_or_default().into()).collect()
    }

    #[inline(always)]
    fn values<'t>(&self, first: impl Fn(usize) -> Option<&'t [u8]>) -> [Option<&'t [u8]>; K] {
        std::array::from_fn(|k| {
            let value = first(self.slots[k])?;
            let path = &self.paths[k];
            if path.is_flat() { Some(value) } else { path.below(value) }
        })
    }
}

/// Reads JSON Lines into a [`Take`].
pub(crate) struct JsonLines<const K: usize, T> {
    wanted: Wanted<K>,
    long_names: Vec<Box<[u8]>>,
    pub(crate) take: T,
    pub(crate) bad: BadLines,
    long: Option<LongLine>,
}

/// A line that comes in parts.
struct LongLine {
    input: u32,
    at: u64,
    line: u64,
    stream: Stream,
    flaw: Option<Flaw>,
}

impl<const K: usize, T: Take<K>> JsonLines<K, T> {
    pub(crate) fn new(wanted: Wanted<K>, take: T, skip: bool) -> Self {
        let long_names = wanted.long_names();
        JsonLines { wanted, long_names, take, bad: BadLines::new(skip), long: None }
    }

    fn refuse(&mut self, piece: &Piece<'_>, start: usize, why: Option<Refusal>) -> Result<usize, Bad> {
        let (line, next) = super::line_at(piece, start);
        let why = why.unwrap_or_else(|| Refusal::Invalid(explain(line, 0)));
        self.bad.refuse(piece, start, why)?;
        Ok(next)
    }
}

struct Reading<'l, 'p, const K: usize, T> {
    lines: &'l mut JsonLines<K, T>,
    piece: Piece<'p>,
}

impl<const K: usize, T: Take<K>> Run for Reading<'_, '_, K, T> {
    type Out = Result<(), Bad>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<(), Bad> {
        let Reading { lines, piece } = self;
        let text = piece.text;
        let mut fast = Fast::new(text, simd);
        let mut found = [Span::default(); K];
        let mut start = 0;
        while start < text.len() {
            let p = fast.blanks(start);
            if fast.byte(p) == b'\n' {
                start = p + 1;
                continue;
            }
            let end = match fast.byte(p) {
                b'{' => fast.object(p, &lines.wanted.names, &mut found),
                _ => None,
            };
            let next = end.map(|e| fast.blanks(e)).filter(|e| fast.byte(*e) == b'\n');
            let (Some(end), Some(next)) = (end, next) else {
                start = lines.refuse(&piece, start, None)?;
                continue;
            };
            let values = lines.wanted.values(|slot| found[slot].of(text));
            let record = text.get(p..end).unwrap_or_default();
            let at = piece.at + start as u64;
            let row = Row { values, written: Written::Json, record, input: piece.input, at };
            if let Err(reason) = lines.take.take(row) {
                lines.refuse(&piece, start, Some(reason))?;
            }
            start = next + 1;
        }
        Ok(())
    }
}

impl<const K: usize, T: Take<K>> Lines for JsonLines<K, T> {
    fn take(&mut self, piece: Piece<'_>) -> Result<(), Bad> {
        with_best(Reading { lines: self, piece })
    }

    fn long_start(&mut self, input: u32, at: u64, line: u64) {
        let keep = if self.take.wants_record() { Keep::Record } else { Keep::Values };
        let stream = Stream::new(&self.long_names, keep);
        self.long = Some(LongLine { input, at, line, stream, flaw: None });
    }

    fn long_part(&mut self, bytes: &[u8]) {
        if let Some(long) = self.long.as_mut().filter(|l| l.flaw.is_none()) {
            long.flaw = long.stream.feed(bytes).err();
        }
    }

    fn long_end(&mut self) -> Result<(), Bad> {
        let Some(long) = self.long.take() else { return Ok(()) };
        let LongLine { input, at, line, stream, flaw } = long;
        if flaw.is_none() && stream.is_blank() {
            return Ok(());
        }
        let result = match (flaw.or_else(|| stream.finish().err()), stream.too_long()) {
            (Some(flaw), _) => Err(Refusal::Invalid(describe(&flaw, 0))),
            (None, Some(too_long)) => Err(Refusal::Invalid(too_long.to_owned())),
            (None, None) => {
                let values = self.wanted.values(|slot| stream.value(slot));
                self.take.take(Row { values, written: Written::Json, record: stream.record(), input, at })
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(why) => {
                let fatal = why.is_fatal();
                self.bad.note(Bad { input, at, line, reason: why.reason(), fatal })
            }
        }
    }
}
