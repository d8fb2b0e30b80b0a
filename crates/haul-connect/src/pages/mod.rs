//! An API that answers in pages, as a source of records.
//!
//! | file | duty |
//! |---|---|
//! | `fetch` | asks for one page, cuts its records out of the reply |
//! | `range` | a range of ids: slices that are read side by side and split while they are read |
//! | `chain` | one page after the other, in any of the styles |
//! | `circle` | notices pages that lead round in a circle, and records that come twice |
//! | `address` | URLs of pages |
//! | `coverage` | how much of a range a ledger says is read |

mod address;
mod chain;
mod circle;
mod coverage;
mod fetch;
mod range;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use haul_core::job::{PagesSpec, SourceSpec};
use haul_core::source::{Cursor, NewItem, Opener, Rereading, Slice, Source};
use haul_core::{Cx, Fault, Key, Position, Record, SliceId, limits};

pub use coverage::{Coverage, coverage};

use crate::expr::{Expr, ExprError, Found, Lookup, path};
use crate::http::{HeaderLines, Url};
use crate::steps::Endpoint;
use crate::template::Template;

/// Opens the slices of an API.
pub struct PagesOpener {
    plan: Arc<Plan>,
}

/// What does not change while pages are read.
struct Plan {
    spec: PagesSpec,
    endpoint: Endpoint,
    own: HeaderLines,
    /// The first page, without the parameters of paging.
    first: Url,
    name: String,
    items: Expr,
    next: Option<Expr>,
    id: Option<Ident>,
    key: Option<Template>,
    widths: range::Widths,
    told: Told,
}

/// Where a record has its id.
enum Ident {
    Path(Lookup),
    Expr(Expr),
}

/// What was seen that people should know of.
#[derive(Default)]
struct Told {
    /// A page was read: from now on a page that is not what it should be may pass.
    started: AtomicBool,
    pages: AtomicU64,
    /// Records that came again and were dropped, and the pages they were on.
    again: AtomicU64,
    pages_again: AtomicU64,
    /// The same where records have no ids and could not be dropped.
    overlap: AtomicU64,
    pages_overlap: AtomicU64,
    /// Pages that led nowhere new and were asked for again.
    circles: AtomicU64,
    ended: Mutex<Option<String>>,
}

impl Told {
    fn end(&self, why: String) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    fn overlapped(&self, records: u64) {
        if records > 0 {
            self.overlap.fetch_add(records, Relaxed);
            self.pages_overlap.fetch_add(1, Relaxed);
        }
    }

    fn dropped(&self, records: u64) {
        if records > 0 {
            self.again.fetch_add(records, Relaxed);
            self.pages_again.fetch_add(1, Relaxed);
        }
    }
}

/// Why a paged source cannot be made: the key of `[source]` and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PagesError {
    /// `items`, `next`, `id`, `key`, `get`.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// At which byte.
    pub offset: Option<usize>,
}

impl PagesError {
    fn of(key: &'static str) -> impl Fn(ExprError) -> PagesError {
        move |e| PagesError { key, message: e.message, offset: Some(e.offset) }
    }
}

impl PagesOpener {
    /// A source as a job describes it, whose requests go through `endpoint`.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn new(source: &SourceSpec, spec: &PagesSpec, endpoint: Endpoint) -> Result<Self, PagesError> {
        let Some(first) = endpoint.home().cloned() else {
            let message = "the URL of a page needs its scheme and host".to_owned();
            return Err(PagesError { key: "get", message, offset: None });
        };
        let compile = |key: &'static str, text: &str| Expr::compile(text).map_err(PagesError::of(key));
        let (next, next_key) = match &spec.paging {
            haul_core::job::Paging::Offset { next, .. } => (next.as_deref(), "next"),
            haul_core::job::Paging::Cursor { next, .. } => (Some(next.as_str()), "next"),
            haul_core::job::Paging::NextUrl { path } => (Some(path.as_str()), "next_url"),
            haul_core::job::Paging::Page { .. } | haul_core::job::Paging::Link => (None, "next"),
        };
        let id = match spec.id.as_deref() {
            None => None,
            Some(text) => Some(match path(text) {
                Some(path) => Ident::Path(Lookup::new([path.as_slice()])),
                None => Ident::Expr(compile("id", text)?),
            }),
        };
        let key = source.key.as_deref().map(Template::compile).transpose().map_err(PagesError::of("key"))?;
        let plan = Plan {
            items: compile("items", list(&spec.items))?,
            next: next.map(|text| compile(next_key, text)).transpose()?,
            id,
            key,
            own: HeaderLines::standard("application/json", endpoint.configured()),
            name: first.as_str().split(['?', '#']).next().unwrap_or_default().to_owned(),
            first,
            spec: spec.clone(),
            endpoint,
            widths: range::Widths::default(),
            told: Told::default(),
        };
        Ok(PagesOpener { plan: Arc::new(plan) })
    }
}

/// The list itself, also when its elements are named: `.data[]` as `.data`.
fn list(items: &str) -> &str {
    match items.strip_suffix("[]") {
        Some("" | ".") => ".",
        Some(list) => list,
        None => items,
    }
}

impl Plan {
    /// The URL of a page that a parameter tells.
    fn url(&self, parameter: Option<(&str, &str)>) -> Result<Url, Fault> {
        let mut text = self.first.as_str().to_owned();
        if let Some(size) = &self.spec.size {
            text = address::with_parameter(&text, &size.param, &size.count.to_string());
        }
        if let Some((name, value)) = parameter {
            text = address::with_parameter(&text, name, value);
        }
        self.first.sibling(text).map_err(|e| Fault::permanent("url", e.to_string()))
    }

    /// Records a page is expected to have.
    fn page_records(&self) -> u64 {
        self.spec.size.as_ref().map_or(100, |s| s.count)
    }

    /// What tells a record from all others, as JSON.
    fn id_of(&self, record: &bytes::Bytes) -> Option<bytes::Bytes> {
        match self.id.as_ref()? {
            Ident::Path(lookup) => match lookup.find(record).ok()?.first()? {
                Found::Value { start, end, .. } => Some(record.slice(*start..*end)),
                _ => None,
            },
            Ident::Expr(expr) => expr.eval_json(record).ok().filter(|v| &v[..] != b"null"),
        }
    }

    /// A record as an item; `id` as JSON.
    fn item(&self, record: bytes::Bytes, id: Option<&bytes::Bytes>, offset: u64) -> NewItem {
        let position = Position { line: 0, offset };
        let text = |id: &bytes::Bytes| match &id[..] {
            [b'"', inside @ .., b'"'] => id.slice_ref(inside),
            _ => id.clone(),
        };
        if record.first() != Some(&b'{') {
            let reason = format!("{} is no object", shortened(&record));
            let raw = record.slice(..record.len().min(limits::REJECTED_BYTES));
            let rejection = haul_core::source::Rejection { reason, raw };
            return NewItem { key: Key(record), position, record: Err(rejection) };
        }
        let object = Record::new(record.clone());
        let key = match &self.key {
            Some(template) => match template.key(&object) {
                Ok(key) => key,
                Err(e) => {
                    let raw = record.slice(..record.len().min(limits::REJECTED_BYTES));
                    let rejection = haul_core::source::Rejection { reason: format!("the key: {e}"), raw };
                    return NewItem { key: Key(record), position, record: Err(rejection) };
                }
            },
            None => Key(id.map_or(record, text)),
        };
        NewItem { key, position, record: Ok(object) }
    }
}

/// The beginning of a value, for messages.
fn shortened(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut short: String = text.chars().take(40).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}

#[async_trait]
impl Opener for PagesOpener {
    fn slices(&self) -> Vec<Slice> {
        let Some(range) = self.plan.spec.range else { return vec![Slice::whole()] };
        let least = self.plan.page_records().saturating_mul(limits::SLICE_PAGES).max(1);
        let count = ((range.hi - range.lo) / least).clamp(1, limits::SLICES_AT_START);
        let cut = |n: u64| {
            let part = u128::from(range.hi - range.lo) * u128::from(n) / u128::from(count);
            range.lo + u64::try_from(part).unwrap_or(0)
        };
        let slice = |n: u64| Slice {
            id: SliceId(n as u32),
            lo: cut(n).to_string(),
            hi: cut(n + 1).to_string(),
            parent: None,
        };
        (0..count).map(slice).collect()
    }

    async fn open(
        &self,
        slice: &Slice,
        from: Option<&Cursor>,
        _cx: &Cx<'_>,
    ) -> Result<Box<dyn Source>, Fault> {
        let plan = self.plan.clone();
        if self.plan.spec.range.is_some() {
            return Ok(Box::new(range::RangeSource::open(plan, slice, from)?));
        }
        Ok(Box::new(chain::Chain::open(plan, from)?))
    }

    fn rereading(&self) -> Rereading {
        Rereading::Once
    }

    fn name(&self) -> &str {
        &self.plan.name
    }

    fn size_hint(&self) -> Option<u64> {
        self.plan.spec.range.map(|range| range.hi - range.lo)
    }

    fn positions_are_global(&self) -> bool {
        self.plan.spec.range.is_some()
    }

    fn remarks(&self, at_end: bool) -> Vec<String> {
        let told = &self.plan.told;
        let mut all = Vec::new();
        // One slice may be at its end before others.
        let ended = told.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(ended.filter(|_| at_end));
        let (again, pages) = (told.again.load(Relaxed), told.pages_again.load(Relaxed));
        if again > 0 {
            all.push(format!(
                "{again} records came twice and were taken once: {pages} pages overlapped the one before (records were put in while it was read)"
            ));
        }
        let (twice, pages) = (told.overlap.load(Relaxed), told.pages_overlap.load(Relaxed));
        if twice > 0 {
            all.push(format!(
                "{twice} records at the beginning of {pages} pages are those at the end of the page before, and were taken twice: records were put in while it was read, or they are alike; --id PATH tells, and takes them once"
            ));
        }
        let circles = told.circles.load(Relaxed);
        if circles > 0 {
            all.push(format!("{circles} pages led nowhere new and were asked for again"));
        }
        all
    }
}
