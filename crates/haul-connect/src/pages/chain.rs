//! One page after the other: offsets, page numbers, cursors, URLs of the next. Where the place of a page
//! is known before the one before it came, some are asked for at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use futures_util::future::join_all;
use haul_core::job::Paging;
use haul_core::source::{Cursor, NewItem, Page, Source};
use haul_core::{Cx, Fault, FaultClass, limits};
use serde::{Deserialize, Serialize};

use super::address::{next_link, parameter};
use super::circle::{Seen, Trail};
use super::fetch::Fetched;
use super::{Plan, shortened};
use crate::http::Url;

/// Times that one place may lead nowhere new.
const CIRCLES: u32 = 3;

/// Where a page is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// As the job says.
    Start,
    /// The parameter is a number.
    Number(u64),
    /// The parameter is a text.
    Token(String),
    /// A URL of its own.
    Url(String),
}

/// What a cursor holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// `None`: there is no more.
    at: Option<Place>,
    records: u64,
    #[serde(flatten)]
    trail: Trail,
}

/// See the module.
pub(super) struct Chain {
    plan: Arc<Plan>,
    at: Option<Place>,
    seen: Seen,
    /// Records so far: the position of the next.
    records: u64,
    circles: u32,
    /// Pages that came before it was their turn.
    ahead: VecDeque<(Place, Fetched)>,
    /// Pages asked for at once.
    breadth: usize,
    /// Pages moved under us: from now on they are asked for one after the other, as of two on their way a
    /// change in between could take records out of sight.
    shifts: bool,
}

impl Chain {
    /// Opens it at a cursor.
    pub(super) fn open(plan: Arc<Plan>, from: Option<&Cursor>) -> Result<Self, Fault> {
        let stored = match from {
            None => Stored { at: Some(Place::Start), records: 0, trail: Trail::default() },
            Some(cursor) => serde_json::from_str(&cursor.0).map_err(|e| {
                Fault::fatal("cursor", format!("{}: the stored position is not readable: {e}", plan.name))
            })?,
        };
        let Stored { at, records, trail } = stored;
        let seen = Seen::from(trail);
        Ok(Chain { plan, at, seen, records, circles: 0, ahead: VecDeque::new(), breadth: 1, shifts: false })
    }

    /// The parameter of the style, where it has one.
    fn param(&self) -> Option<&str> {
        match &self.plan.spec.paging {
            Paging::Offset { param, .. } | Paging::Page { param } | Paging::Cursor { param, .. } => {
                Some(param)
            }
            Paging::NextUrl { .. } | Paging::Link => None,
        }
    }

    /// The number that a place has, of a style that counts. The job's URL may say where to start.
    fn number(&self, place: &Place) -> Option<u64> {
        match place {
            Place::Number(n) => Some(*n),
            Place::Start => {
                let said = parameter(self.plan.first.as_str(), self.param()?).and_then(|v| v.parse().ok());
                Some(said.unwrap_or(match self.plan.spec.paging {
                    Paging::Page { .. } => 1,
                    _ => 0,
                }))
            }
            Place::Token(_) | Place::Url(_) => None,
        }
    }

    fn url(&self, place: &Place) -> Result<Url, Fault> {
        match place {
            Place::Url(text) => Url::parse(text).map_err(|e| Fault::permanent("url", e.to_string())),
            Place::Token(token) => self.plan.url(self.param().map(|p| (p, token.as_str()))),
            Place::Number(n) => {
                let n = n.to_string();
                self.plan.url(self.param().map(|p| (p, n.as_str())))
            }
            Place::Start => match &self.plan.spec.paging {
                Paging::Offset { .. } | Paging::Page { .. } => {
                    self.number(place).map_or_else(|| self.plan.url(None), |n| self.url(&Place::Number(n)))
                }
                _ => self.plan.url(None),
            },
        }
    }

    /// What a page lengthens a count by: known beforehand for some styles.
    fn stride(&self) -> Option<u64> {
        match &self.plan.spec.paging {
            Paging::Page { .. } => Some(1),
            Paging::Offset { next: None, .. } => self.plan.spec.size.as_ref().map(|s| s.count),
            _ => None,
        }
    }

    /// The page at a place, with some of those after it where that is possible.
    async fn fetch(&mut self, place: &Place, cx: &Cx<'_>) -> Result<Fetched, Fault> {
        if let Some((_, page)) = self.ahead.pop_front().filter(|(at, _)| at == place) {
            return Ok(page);
        }
        self.ahead.clear();
        let (Some(stride), Some(first)) = (self.stride(), self.number(place)) else {
            return self.plan.fetch(self.url(place)?, cx).await;
        };
        let count = self.breadth as u64;
        let places: Vec<Place> =
            (1..count).map(|n| Place::Number(first.saturating_add(n * stride))).collect();
        let urls =
            std::iter::once(place).chain(&places).map(|p| self.url(p)).collect::<Result<Vec<_>, _>>()?;
        let mut pages = join_all(urls.into_iter().map(|url| self.plan.fetch(url, cx))).await.into_iter();
        let Some(page) = pages.next() else { return Err(Fault::fatal("bug", "no page was asked for")) };
        let page = match page {
            Ok(page) => page,
            Err(fault) => {
                self.breadth = 1;
                return Err(fault);
            }
        };
        // Those after one that failed are asked for again in their turn.
        self.ahead.extend(places.into_iter().zip(pages.map_while(Result::ok)));
        let full = |p: &Fetched| !p.records.is_empty() && p.records.len() as u64 >= stride;
        if self.shifts || !full(&page) {
            self.breadth = 1;
        } else if self.ahead.iter().all(|(_, p)| full(p)) {
            let fit = limits::PAGES_AT_ONCE_BYTES / page.list.len().max(1);
            self.breadth = (self.breadth * 2).min(limits::PAGES_AT_ONCE).min(fit).max(1);
        }
        Ok(page)
    }

    /// Where the page after this one is; `None` at the end, which is told.
    fn next(&self, place: &Place, page: &Fetched) -> Result<Option<Place>, Fault> {
        let ended = |why: &str| {
            self.plan.told.end(format!("page {} {why}", self.seen.pages() + 1));
            Ok(None)
        };
        let count = page.records.len() as u64;
        match &self.plan.spec.paging {
            Paging::Page { .. } | Paging::Offset { next: None, .. } if count == 0 => ended("is empty"),
            Paging::Page { .. } => Ok(self.number(place).map(|n| Place::Number(n + 1))),
            Paging::Offset { next: None, .. } => Ok(self.number(place).map(|n| Place::Number(n + count))),
            Paging::Link => match page.link.as_deref().and_then(next_link) {
                None => ended("has no next in its Link header"),
                Some(target) => self.target(page, target).map(Some),
            },
            Paging::Offset { next: Some(path), .. }
            | Paging::Cursor { next: path, .. }
            | Paging::NextUrl { path } => {
                let value = page.next.as_deref().unwrap_or(b"null");
                if matches!(value, b"null" | b"false" | b"\"\"") {
                    if self.seen.pages() == 0 && !page.says_next && self.is_full(page) {
                        return Err(self.plan.no_next(page));
                    }
                    let is = if page.says_next { shortened(value) } else { "not there".to_owned() };
                    return ended(&format!("has no next ({path} is {is})"));
                }
                let text = match serde_json::from_slice::<serde_json::Value>(value) {
                    Ok(serde_json::Value::String(text)) => text,
                    _ => String::from_utf8_lossy(value).into_owned(),
                };
                match &self.plan.spec.paging {
                    Paging::NextUrl { .. } => self.target(page, &text).map(Some),
                    _ => Ok(Some(Place::Token(text))),
                }
            }
        }
    }

    fn is_full(&self, page: &Fetched) -> bool {
        self.plan.spec.size.as_ref().is_some_and(|size| page.records.len() as u64 >= size.count)
    }

    fn target(&self, page: &Fetched, target: &str) -> Result<Place, Fault> {
        let url = page.url.join(target);
        let url = url.map_err(|e| Fault::permanent("next", format!("{}: its next page: {e}", page.url)))?;
        Ok(Place::Url(url.as_str().to_owned()))
    }

    fn circle(&mut self, why: String) -> Fault {
        self.circles += 1;
        self.ahead.clear();
        self.plan.told.circles.fetch_add(1, Relaxed);
        let class = if self.circles < CIRCLES { FaultClass::Transient } else { FaultClass::Permanent };
        Fault::new(class, "circle", why)
    }

    /// A page that leads nowhere new.
    fn refuse_circles(&mut self, place: &Place, page: &Fetched, next: Option<&Place>) -> Result<(), Fault> {
        let number = self.seen.pages() + 1;
        if self.seen.is_last_again(&page.list, page.records.len()) {
            let hint = match self.param() {
                Some(param) => format!("the service does not follow \"{param}\" (is that its name?)"),
                None => "the service repeats itself".to_owned(),
            };
            let why = format!("{}: page {number} holds the same records as the one before: {hint}", page.url);
            return Err(self.circle(why));
        }
        if let Some(next) = next
            && (next == place || self.seen.is_circle(&spoken(next)))
        {
            let why = format!(
                "{}: page {number} leads back to a page that was read: the pages go round in a circle",
                page.url
            );
            return Err(self.circle(why));
        }
        self.circles = 0;
        Ok(())
    }

    /// Records that did not come on one of the last pages.
    fn new_items(&mut self, page: &Fetched) -> Vec<NewItem> {
        let mut items = Vec::with_capacity(page.records.len());
        let mut again = 0;
        let overlap = if self.plan.id.is_none() { self.seen.overlap(&page.records) } else { 0 };
        self.plan.told.overlapped(overlap);
        for record in &page.records {
            let id = self.plan.id_of(record);
            if let Some(id) = &id
                && !self.seen.is_new(id)
            {
                again += 1;
                continue;
            }
            items.push(self.plan.item(record.clone(), id.as_ref(), self.records));
            self.records += 1;
        }
        self.plan.told.dropped(again);
        if again > 0 || overlap > 0 {
            self.shifts = true;
            self.breadth = 1;
            self.ahead.clear();
        }
        items
    }
}

/// A place as a text.
fn spoken(place: &Place) -> String {
    serde_json::to_string(place).unwrap_or_default()
}

#[async_trait]
impl Source for Chain {
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let Some(place) = self.at.clone() else { return Ok(None) };
        let page = self.fetch(&place, cx).await?;
        let next = self.next(&place, &page)?;
        self.refuse_circles(&place, &page, next.as_ref())?;
        let bytes = page.list.len() as u64;
        let items = self.new_items(&page);
        self.seen.page(&spoken(&place), &page.list);
        self.plan.told.started.store(true, Relaxed);
        let stored = Stored { at: next.clone(), records: self.records, trail: self.seen.trail() };
        self.at = next;
        let next = Cursor(serde_json::to_string(&stored).unwrap_or_default());
        Ok(Some(Page { items, bytes, next }))
    }
}
