//! What the fuzz targets look at. Only in builds with the feature `fuzz`.

use std::io::Read;

use haul_core::aggregate::{Aggregate, Saved};

use crate::count::{entry, log};
use crate::input::feed::last_record_end;
use crate::input::{Lines, Piece};
use crate::json::fast::{Fast, Names, Span};
use crate::json::simd::{Run, Simd, Words, with_best};
use crate::json::stream::{Keep, Stream};
use crate::top::best::{Best, Entry};
use crate::top::scores::ScoreLines;

/// The values of `id` and `by` in a valid record, as they stand; `None` for an invalid one.
pub type Verdict = Option<[Option<Vec<u8>>; 2]>;

struct Judge<'a> {
    line: &'a [u8],
    names: Names<2>,
}

impl Run for Judge<'_> {
    type Out = Verdict;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Verdict {
        let mut fast = Fast::new(self.line, simd);
        let start = fast.blanks(0);
        if fast.byte(start) != b'{' {
            return None;
        }
        let mut found = [Span::default(); 2];
        let end = fast.object(start, &self.names, &mut found)?;
        let end = fast.blanks(end);
        (end + 1 == self.line.len()).then(|| found.map(|s| s.of(self.line).map(<[u8]>::to_vec)))
    }
}

fn judge(record: &[u8]) -> (Vec<u8>, Names<2>) {
    (record.iter().copied().chain([b'\n']).collect(), Names::new([b"id", b"by"]))
}

/// By the fast validator with the best instruction set of this machine.
pub fn fast(record: &[u8]) -> Verdict {
    let (line, names) = judge(record);
    with_best(Judge { line: &line, names })
}

/// By the fast validator with plain words.
pub fn portable(record: &[u8]) -> Verdict {
    let (line, names) = judge(record);
    Judge { line: &line, names }.run(Words)
}

/// By the slow validator, the record coming in pieces of `piece` bytes.
pub fn stream(record: &[u8], piece: usize) -> Verdict {
    let names = [b"id".as_slice().into(), b"by".as_slice().into()];
    let mut stream = Stream::new(&names, Keep::Values);
    for part in record.chunks(piece.max(1)) {
        stream.feed(part).ok()?;
    }
    stream.finish().ok()?;
    Some([stream.value(0).map(<[u8]>::to_vec), stream.value(1).map(<[u8]>::to_vec)])
}

/// The highest scores of a text as printed lines, or the first bad line: its number and the reason.
/// The text is cut at the line end before `cut`, and the parts are ranked by themselves.
pub fn rank(text: &[u8], limit: usize, lowest: bool, cut: usize) -> Result<Vec<String>, (u64, String)> {
    let mut all = text.to_vec();
    if all.last().is_some_and(|b| *b != b'\n') {
        all.push(b'\n');
    }
    let before = all.get(..cut.min(all.len())).unwrap_or_default();
    let cut = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let (first, second) = all.split_at(cut);
    let line = 1 + memchr::memchr_iter(b'\n', first).count() as u64;
    let id = crate::Path::member("id");
    let mut merged = Best::new(limit, lowest).unordered();
    for (text, at, line) in [(first, 0, 1), (second, cut as u64, line)] {
        let mut lines = ScoreLines::new(&id, Best::new(limit, lowest), false, false);
        let piece = Piece { text, input: 0, at, line };
        lines.take(piece).map_err(|bad| (bad.line, bad.reason))?;
        merged.merge(&lines.best);
    }
    Ok(shown(&mut merged))
}

/// As [`rank`], every line as if it were too long to be held, in pieces of `piece` bytes.
pub fn rank_long(
    text: &[u8],
    limit: usize,
    lowest: bool,
    piece: usize,
) -> Result<Vec<String>, (u64, String)> {
    let id = crate::Path::member("id");
    let mut lines = ScoreLines::new(&id, Best::new(limit, lowest), false, false);
    for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
        lines.long_start(0, number, number);
        line.chunks(piece.max(1)).for_each(|part| lines.long_part(part));
        lines.long_end().map_err(|bad| (bad.line, bad.reason))?;
    }
    Ok(shown(&mut lines.best))
}

fn shown(best: &mut Best) -> Vec<String> {
    let line = |entry: Entry<'_>| {
        let mut out = Vec::new();
        entry.write_score(&mut out);
        out.push(b' ');
        out.extend_from_slice(entry.id);
        String::from_utf8_lossy(&out).into_owned()
    };
    best.sorted().map(line).collect()
}

/// Where the last complete CSV record of a text ends.
pub fn csv_end(text: &[u8]) -> Option<usize> {
    last_record_end(text, b',')
}

/// Reads stored bytes of every kind; they may be anything and nothing must break.
pub fn stored(bytes: &[u8]) {
    let _ = log::read_from(bytes.take(bytes.len() as u64), |_, _| Ok(()));
    let mut rest = bytes;
    while !rest.is_empty() && log::read_entry(&mut rest).is_some() {}
    let mut rest = bytes;
    while let Some((_, _, used)) = entry::read(rest) {
        rest = rest.get(used..).unwrap_or_default();
    }
    let path = || crate::Path::member("id");
    let _ = crate::Stats::new(path()).restore(Saved::Small(bytes.to_vec()));
    let mut top = crate::Top::new(3, false, path(), path(), std::path::PathBuf::new(), "fuzz");
    if top.restore(Saved::Small(bytes.to_vec())).is_ok() {
        let _ = top.result();
    }
    if let Ok(path) = String::from_utf8_lossy(bytes).parse::<crate::Path>() {
        let again: Result<crate::Path, _> = path.to_string().parse();
        debug_assert_eq!(again, Ok(path));
    }
}
