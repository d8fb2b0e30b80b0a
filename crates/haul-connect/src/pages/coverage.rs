//! How much of a range of ids a ledger says is read.

use haul_core::job::PagesSpec;
use haul_core::ledger::{RecoveredSlice, SliceState};

/// How much of a range is read.
#[derive(Clone, PartialEq, Debug)]
pub struct Coverage {
    /// Share of its ids, 0 to 1.
    pub done: f64,
    /// What is missing: first and last id of each part, ascending.
    pub missing: Vec<(u64, u64)>,
}

/// How much of its range a run has read; `None` for sources without a range.
pub fn coverage(spec: &PagesSpec, slices: &[RecoveredSlice]) -> Option<Coverage> {
    let range = spec.range?;
    let number = |text: &str| text.parse::<u64>().ok();
    let mut open: Vec<(u64, u64)> = slices
        .iter()
        .filter(|s| s.state == SliceState::Open)
        .filter_map(|s| {
            let at = s.resume.cursor.as_ref().map_or(&s.slice.lo, |c| &c.0);
            Some((number(at)?, number(&s.slice.hi)?))
        })
        .filter(|(at, hi)| at < hi)
        .collect();
    if slices.is_empty() {
        open.push((range.lo, range.hi));
    }
    open.sort_unstable();
    let mut missing: Vec<(u64, u64)> = Vec::new();
    for (at, hi) in open {
        match missing.last_mut() {
            Some(last) if last.1 + 1 >= at => last.1 = last.1.max(hi - 1),
            _ => missing.push((at, hi - 1)),
        }
    }
    let left: u64 = missing.iter().map(|(a, b)| b - a + 1).sum();
    let whole = (range.hi - range.lo).max(1);
    Some(Coverage { done: 1.0 - left as f64 / whole as f64, missing })
}

#[cfg(test)]
mod tests {
    use haul_core::job::{IdRange, Paging};
    use haul_core::ledger::Resume;
    use haul_core::source::Slice;
    use haul_core::{Counts, Cursor, Seq, SliceId};

    use super::*;

    fn slice(id: u32, lo: u64, hi: u64, at: Option<u64>, state: SliceState) -> RecoveredSlice {
        let cursor = at.map(|at| Cursor(at.to_string()));
        RecoveredSlice {
            slice: Slice { id: SliceId(id), lo: lo.to_string(), hi: hi.to_string(), parent: None },
            resume: Resume { cursor, first: Seq(0) },
            watermark: Seq(0),
            chunks: vec![],
            counts: Counts::default(),
            keys: 0,
            keys_from: Seq(0),
            state,
            bytes: 0,
        }
    }

    #[test]
    fn what_is_missing_is_told_in_parts_that_do_not_touch() {
        let paging = Paging::Offset { param: "offset".into(), next: None };
        let range = Some(IdRange { lo: 0, hi: 100 });
        let spec = PagesSpec { items: ".".into(), paging, size: None, range, id: None };
        let slices = [
            slice(0, 0, 20, Some(15), SliceState::Open),
            slice(1, 20, 40, None, SliceState::Open),
            slice(2, 40, 60, Some(60), SliceState::Read),
            slice(3, 60, 100, Some(90), SliceState::Open),
        ];
        let coverage = coverage(&spec, &slices).unwrap();
        assert_eq!(coverage.missing, [(15, 39), (90, 99)]);
        assert!((coverage.done - 0.65).abs() < 1e-9);
        assert_eq!(super::coverage(&spec, &[]).unwrap().missing, [(0, 99)]);
    }
}
