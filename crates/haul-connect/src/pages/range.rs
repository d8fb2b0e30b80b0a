//! A range of ids, read by offset: a page starts at the first id from its offset on. Slices of it are
//! read side by side; one gives away its end while a page of it is on its way.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use haul_core::job::Paging;
use haul_core::source::{Cursor, Extent, Given, NewItem, Page, Slice, Source};
use haul_core::{Cx, Fault, FaultClass, limits};

use super::fetch::{Fetched, members};
use super::{Plan, shortened};

/// Times that one place may lead nowhere new: something may have stood before the service.
const CIRCLES: u32 = 3;
/// Weight of the newest page in the width of pages, and how much wider or narrower it may be without being
/// of another density.
const NEWEST: f64 = 0.2;
const SIMILAR: f64 = 2.0;
/// Deviations that a slice is cut before the place where its last page is expected to end: one more costs
/// the child a 40th of a page (at a density of 93 %), one less leads to a page with a few records more often.
const SURE: f64 = 2.7;

/// A slice of the range, being read.
pub(super) struct RangeSource {
    plan: Arc<Plan>,
    span: Arc<Span>,
    circles: u32,
}

/// What is left of a slice; shared with those who may take from it.
pub(super) struct Span {
    /// Fewest ids of a slice that is split before anything is known of its ids.
    blind: u64,
    /// Ids of a page while nothing is known of gaps.
    page: f64,
    widths: Widths,
    state: Mutex<State>,
}

/// What parents know of the width of pages, for the children that they gave away and that are not open
/// yet, by the id that these begin with.
#[derive(Clone, Debug, Default)]
pub(super) struct Widths(Arc<Mutex<HashMap<u64, Width>>>);

/// Ids and records of a full page.
type Width = (f64, f64);

impl Widths {
    fn put(&self, lo: u64, width: Width) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lo, width);
    }

    fn take(&self, lo: u64) -> Option<Width> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&lo)
    }
}

struct State {
    /// Ids below are read.
    at: u64,
    /// The end, excluded.
    hi: u64,
    /// As seen lately.
    width: Option<Width>,
}

impl Span {
    fn state(&self) -> MutexGuard<'_, State> {
        // The numbers are plain data.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RangeSource {
    /// Opens a slice at a cursor: the next id.
    pub(super) fn open(plan: Arc<Plan>, slice: &Slice, from: Option<&Cursor>) -> Result<Self, Fault> {
        let number = |text: &str| {
            text.parse::<u64>().map_err(|_| {
                Fault::fatal("cursor", format!("{}: the stored position {text:?} is not readable", plan.name))
            })
        };
        let (lo, hi) = (number(&slice.lo)?, number(&slice.hi)?);
        let at = from.map_or(Ok(lo), |cursor| number(&cursor.0))?;
        let blind = plan.page_records().saturating_mul(limits::SLICE_PAGES);
        // What the parent knew holds here too, until a page tells better.
        let width = plan.widths.take(lo);
        let state = Mutex::new(State { at, hi, width });
        let page = plan.page_records() as f64;
        let widths = plan.widths.clone();
        Ok(RangeSource { span: Arc::new(Span { blind, page, widths, state }), plan, circles: 0 })
    }

    /// The id of a record as a number.
    fn id(&self, record: &Bytes, page: &Fetched) -> Result<(u64, Bytes), Fault> {
        let path = self.plan.spec.id.as_deref().unwrap_or_default();
        let fault = |why: String| Fault::permanent("id", format!("{}: {why}", page.url));
        let Some(id) = self.plan.id_of(record) else {
            let it = members(record);
            return Err(fault(format!(
                "a record has nothing at {path}{it}: --id (id in a job) names its id"
            )));
        };
        let digits = id.strip_prefix(b"\"").and_then(|d| d.strip_suffix(b"\"")).unwrap_or(&id);
        let number = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
        match number {
            Some(number) => Ok((number, id)),
            None => Err(fault(format!(
                "{path} of a record is {}: a range needs ids that are integers; read it without --range",
                shortened(&id)
            ))),
        }
    }

    /// Records of the page that belong here, and the one after the last id of it. Those before `at`
    /// came on an earlier page; those from the end on belong to the next slice.
    fn own(&self, page: &Fetched, at: u64, hi: u64) -> Result<(Vec<NewItem>, Option<u64>), Fault> {
        let mut items = Vec::with_capacity(page.records.len());
        let (mut after, mut again) = (None, 0);
        for record in &page.records {
            let (id, text) = self.id(record, page)?;
            if id < at || after.is_some_and(|after| id == after - 1) {
                again += 1;
                continue;
            }
            if let Some(after) = after.filter(|after| id < *after) {
                let why = format!(
                    "id {id} comes after {}: a range needs ids that ascend; read it without --range",
                    after - 1
                );
                return Err(Fault::permanent("id", format!("{}: {why}", page.url)));
            }
            after = Some(id.saturating_add(1));
            if id < hi {
                items.push(self.plan.item(record.clone(), Some(&text), id));
            }
        }
        self.plan.told.dropped(again);
        Ok((items, after))
    }

    /// Where the page after this one starts; `None` when there is none.
    fn next(&mut self, page: &Fetched, at: u64, after: Option<u64>) -> Result<Option<u64>, Fault> {
        let Some(next) = &page.next else { return Ok(after) };
        if &next[..] == b"null" {
            return self.no_next(page, after);
        }
        let path = match &self.plan.spec.paging {
            Paging::Offset { next: Some(next), .. } => next.as_str(),
            _ => "next",
        };
        let digits = next.strip_prefix(b"\"").and_then(|d| d.strip_suffix(b"\"")).unwrap_or(next);
        let Some(number) = std::str::from_utf8(digits).ok().and_then(|d| d.parse::<u64>().ok()) else {
            let why = format!("{path} is {}: a range needs offsets that are integers", shortened(next));
            return Err(Fault::permanent("next", format!("{}: {why}", page.url)));
        };
        if number <= at {
            self.circles += 1;
            self.plan.told.circles.fetch_add(1, Relaxed);
            let class = if self.circles < CIRCLES { FaultClass::Transient } else { FaultClass::Permanent };
            let why = format!("{path} is {number}, which leads back: the pages go round in a circle");
            return Err(Fault::new(class, "circle", format!("{}: {why}", page.url)));
        }
        self.circles = 0;
        // What stands between was on this page already.
        Ok(Some(after.map_or(number, |after| after.max(number))))
    }

    /// The page says that it is the last one. A full first page that does not say anything where it is
    /// looked for is a mistake in the path.
    fn no_next(&self, page: &Fetched, after: Option<u64>) -> Result<Option<u64>, Fault> {
        let full = page.records.len() as u64 >= self.plan.page_records() && after.is_some();
        if full && !page.says_next && !self.plan.told.started.load(Relaxed) {
            return Err(self.plan.no_next(page));
        }
        Ok(None)
    }
}

#[async_trait]
impl Source for RangeSource {
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let at = {
            let state = self.span.state();
            if state.at >= state.hi {
                self.plan.told.end("the range was read to its end".to_owned());
                return Ok(None);
            }
            state.at
        };
        let Paging::Offset { param, .. } = &self.plan.spec.paging else { return Ok(None) };
        let url = self.plan.url(Some((param, &at.to_string())))?;
        let page = self.plan.fetch(url, cx).await?;
        let hi = self.span.state().hi;
        let (items, after) = self.own(&page, at, hi)?;
        let next = self.next(&page, at, after)?;
        self.plan.told.started.store(true, Relaxed);
        let mut state = self.span.state();
        if let Some(next) = next {
            state.learn((next - at) as f64, page.records.len() as f64);
        }
        // The end may have been lowered once more; what is beyond it now belongs to somebody else.
        let hi = state.hi;
        let next = next.unwrap_or(hi).min(hi);
        state.at = next;
        drop(state);
        let items = items.into_iter().filter(|item| item.position.offset < hi).collect();
        Ok(Some(Page { items, bytes: next - at, next: Cursor(next.to_string()) }))
    }

    fn extent(&self) -> Option<Arc<dyn Extent>> {
        Some(self.span.clone())
    }
}

impl State {
    fn learn(&mut self, ids: f64, records: f64) {
        let similar = |(w, _): &Width| ids < w * SIMILAR && *w < ids * SIMILAR;
        let (w, r) = self.width.filter(similar).unwrap_or((ids, records));
        self.width = Some((w + NEWEST * (ids - w), r + NEWEST * (records - r)));
    }

    /// Pages that it has before it, with the one on its way.
    fn pages(&self, (width, _): Width) -> f64 {
        self.hi.saturating_sub(self.at) as f64 / width.max(1.0)
    }

    /// Where to split so that half of the pages stay: right before the place where a page is expected to
    /// end, so that the last one is neither cut in two nor followed by one with a few records. One page
    /// and a bit are two requests in any case: then they may as well be sent at once.
    fn cut(&self, (width, records): Width) -> Option<u64> {
        let pages = self.pages((width, records));
        if pages < 1.0 {
            return None;
        }
        let keep = (pages / 2.0).floor().max(1.0);
        // Gaps between ids that exist are about geometric: the width of n pages spreads like this. What is
        // known of the width, from about as many pages as its weights say, spreads too.
        let gaps = (1.0 - records / width.max(1.0)).clamp(0.0, 1.0);
        let of_one = gaps / records.max(1.0);
        let spread = width * (of_one * (keep + keep * keep * NEWEST / (2.0 - NEWEST))).sqrt();
        let cut = self.at + (keep * width - SURE * spread).max(1.0) as u64;
        (cut > self.at && cut < self.hi).then_some(cut)
    }
}

impl Extent for Span {
    fn spare_pages(&self) -> f64 {
        let state = self.state();
        match state.width {
            Some(width) => state.cut(width).map_or(0.0, |_| state.pages(width) - 0.5),
            None if state.hi.saturating_sub(state.at) >= 2 * self.blind => {
                (state.hi - state.at) as f64 / self.page
            }
            None => 0.0,
        }
    }

    fn give_away(&self) -> Option<Given> {
        let mut state = self.state();
        let cut = match state.width {
            Some(width) => {
                let cut = state.cut(width)?;
                self.widths.put(cut, width);
                cut
            }
            None if state.hi.saturating_sub(state.at) >= 2 * self.blind => {
                state.at + (state.hi - state.at) / 2
            }
            None => return None,
        };
        let given = Given { lo: cut.to_string(), hi: state.hi.to_string() };
        state.hi = cut;
        Some(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(at: u64, hi: u64, width: Option<(f64, f64)>) -> Span {
        let state = Mutex::new(State { at, hi, width });
        Span { blind: 10_000, page: 100.0, widths: Widths::default(), state }
    }

    #[test]
    fn half_of_the_pages_are_given_away_at_the_end_of_a_page() {
        let s = span(1000, 11_000, Some((100.0, 100.0)));
        assert_eq!(s.spare_pages(), 99.5);
        assert_eq!(s.give_away(), Some(Given { lo: "6000".into(), hi: "11000".into() }));
        assert_eq!(s.give_away(), Some(Given { lo: "3500".into(), hi: "6000".into() }));
        assert_eq!(s.widths.take(6000), Some((100.0, 100.0)), "the child knows it");
        // With gaps a little less is kept, so that the last page reaches over the end.
        let s = span(0, 1_070, Some((107.0, 100.0)));
        let lo: u64 = s.give_away().unwrap().lo.parse().unwrap();
        assert!((490..535).contains(&lo), "{lo}");
    }

    #[test]
    fn what_is_small_or_unknown_is_kept() {
        let nothing = |s: Span| assert_eq!((s.spare_pages(), s.give_away()), (0.0, None));
        nothing(span(0, 100, Some((100.0, 100.0))));
        nothing(span(0, 99, Some((100.0, 90.0))));
        nothing(span(0, 19_000, None));
        assert_eq!(span(0, 110, Some((100.0, 100.0))).give_away().unwrap().lo, "100");
        assert_eq!(span(0, 20_000, None).give_away().unwrap().lo, "10000");
    }

    #[test]
    fn pages_of_another_density_are_believed_at_once() {
        let s = span(0, 100_000, Some((100.0, 100.0)));
        s.state().learn(110.0, 100.0);
        assert_eq!(s.state().width, Some((102.0, 100.0)));
        s.state().learn(90_000.0, 100.0);
        assert_eq!(s.state().width, Some((90_000.0, 100.0)));
    }
}
