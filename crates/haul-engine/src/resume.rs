//! Going on with a run: is the input still what was read before, and where does it go on?
//!
//! A source that can seek shows by its fingerprint that the prefix before the stored cursor still
//! stands; only the few items after it are compared key by key with the key log. When the prefix
//! changed, or input is fed again (a pipe), every key is compared from the start. From the first
//! mismatch on the policy decides, and a new slice reads what comes. Ranges of keys in order are compared each
//! by itself ([`ordered`]).

mod ordered;

use std::collections::{BTreeMap, HashMap};

use haul_core::job::IfChanged;
use haul_core::ledger::{Ledger, Recovered, RecoveredSlice, Resume, SliceState};
use haul_core::source::{NewItem, Rereading, Slice};
use haul_core::{Cursor, Cx, KeyHash, Opener, Page, Seq, SliceId, Source, limits};

use crate::book::Book;
use crate::ending::EngineError;
use crate::keylog::{KeyLog, done_keys, used_keys};
use crate::reader::next_page;

/// Where a run stands when its engine starts.
#[derive(Default)]
pub(crate) struct Standing {
    /// All slices, as the committer keeps them.
    pub(crate) books: BTreeMap<SliceId, Book>,
    /// Slices that still have something to read, in order.
    pub(crate) reading: Vec<Reading>,
    /// Items that were read before, are open, and were found again while comparing.
    pub(crate) again: Vec<(SliceId, Seq, NewItem)>,
    /// What a person should know: the input is not what it was.
    pub(crate) remarks: Vec<String>,
    /// Items that were read before, are open, and that nobody yields again (piped input that was not
    /// fed again).
    pub(crate) lost: u64,
}

/// A slice and where to read on.
pub(crate) struct Reading {
    pub(crate) slice: Slice,
    /// Where to open it, unless it is opened.
    pub(crate) from: Option<Cursor>,
    /// Seq of the first item that will be read.
    pub(crate) first: Seq,
    /// Keys that were done before the input changed, and how often: skipped as often.
    pub(crate) skip: HashMap<KeyHash, u32>,
    /// A source that comparing keys left in the middle.
    pub(crate) opened: Option<Opened>,
}

/// An open source, and what is left of the page it last gave.
pub(crate) struct Opened {
    pub(crate) source: Box<dyn Source>,
    pub(crate) page: Option<PartPage>,
    /// Where the next page begins.
    pub(crate) at: Option<Cursor>,
}

/// A page of which the first items were known already.
pub(crate) struct PartPage {
    /// Where the whole page begins; `None`: at the start of its slice.
    pub(crate) start: Option<Cursor>,
    /// Known items at its beginning, which `page` no longer holds.
    pub(crate) passed: u64,
    pub(crate) page: Page,
}

/// What decides how a run goes on.
pub(crate) struct Situation<'a> {
    pub(crate) opener: &'a dyn Opener,
    pub(crate) ledger: &'a mut dyn Ledger,
    pub(crate) if_changed: IfChanged,
    pub(crate) key_log: bool,
    pub(crate) cx: &'a Cx<'a>,
}

/// A slice that reads changed input keeps at the end of its `lo` the seq at which its parent ended.
pub(crate) fn parent_end(slice: &Slice) -> Option<Seq> {
    let (_, seq) = slice.lo.rsplit_once('\n')?;
    slice.parent.and_then(|_| seq.parse().ok()).map(Seq)
}

/// The slice that reads what comes since the input of its parent changed, at an item of it.
fn instead_of(parent: &Slice, end: Seq, recovered: &Recovered, before: usize) -> Slice {
    let last = recovered.slices.iter().map(|r| r.slice.id.0).max().unwrap_or(0);
    let id = SliceId(last + 1 + u32::try_from(before).unwrap_or(u32::MAX));
    let lo = parent.lo.split('\n').next().unwrap_or_default();
    Slice { id, lo: format!("{lo}\n{end}"), hi: parent.hi.clone(), parent: Some(parent.id) }
}

/// A run that begins.
pub(crate) fn fresh(opener: &dyn Opener) -> Standing {
    let mut standing = Standing::default();
    for slice in opener.slices() {
        standing.books.insert(slice.id, Book::new(slice.clone()));
        standing.reading.push(Reading::at(slice, None, Seq(0)));
    }
    standing
}

impl Reading {
    pub(crate) fn at(slice: Slice, from: Option<Cursor>, first: Seq) -> Self {
        Reading { slice, from, first, skip: HashMap::new(), opened: None }
    }
}

/// A run that goes on.
pub(crate) async fn resume(recovered: &Recovered, s: &mut Situation<'_>) -> Result<Standing, EngineError> {
    let mut standing = Standing::default();
    for slice in &recovered.slices {
        // Rows below the watermark are behind us anyway; those above are bounded by the window.
        let rows = s.ledger.rows(slice.slice.id, slice.watermark, limits::WINDOW_ITEMS * 2)?;
        standing.books.insert(slice.slice.id, Book::restore(slice, &rows));
        let over = s.opener.rereading() == Rereading::Once && slice.state == SliceState::Read;
        if slice.state != SliceState::Superseded && !over {
            let Resume { cursor, first } = slice.resume.clone();
            standing.reading.push(Reading::at(slice.slice.clone(), cursor, first));
        }
    }
    if s.opener.rereading() == Rereading::Ordered {
        if s.key_log {
            ordered::compare(&mut standing, recovered, s).await?;
        }
        return Ok(standing);
    }
    // Only a source that is one chain can change under us; ranges of an API are what they are.
    let Some(last) = recovered.slices.last().filter(|_| standing.reading.len() == 1 && s.key_log) else {
        return Ok(standing);
    };
    let same = match s.opener.rereading() {
        Rereading::Refeed | Rereading::Once | Rereading::Ordered => false,
        Rereading::Seek => match &last.resume.cursor {
            None => last.slice.parent.is_none(),
            Some(cursor) => {
                let now = s.opener.fingerprint(cursor, s.cx).await.map_err(EngineError::Fault)?;
                now == s.opener.remembered(cursor)
            }
        },
    };
    let (from, log) = if same {
        (last.resume.cursor.clone(), KeyLog::at(&recovered.slices, last.resume.first))
    } else {
        (None, KeyLog::start(&recovered.slices))
    };
    compare(&mut standing, recovered, from, log, s).await?;
    Ok(standing)
}

/// Reads on from a cursor and compares each key with the log until the log is at its end.
async fn compare(
    standing: &mut Standing,
    recovered: &Recovered,
    from: Option<Cursor>,
    mut log: KeyLog<'_>,
    s: &mut Situation<'_>,
) -> Result<(), EngineError> {
    let source = s.opener.open(&Slice::whole(), from.as_ref(), s.cx).await.map_err(EngineError::Fault)?;
    let mut opened = Opened { source, page: None, at: from };
    loop {
        if log.peek(s.ledger)?.is_none() {
            return continue_after(standing, recovered, opened, s);
        }
        let page = next_page(&mut *opened.source, s.cx).await.map_err(EngineError::Fault)?;
        let Some(page) = page else {
            return ended_early(standing, recovered, log, s);
        };
        let start = opened.at.replace(page.next.clone());
        let Page { items, bytes, next } = page;
        let mut items = items.into_iter();
        let mut passed = 0;
        while let Some((id, seq, key)) = log.peek(s.ledger)? {
            let Some(item) = items.next() else { break };
            if key.is_some_and(|key| key != item.key.hash()) {
                // The slice that begins here has no cursor of its own before its first whole page.
                let rest = std::iter::once(item).chain(items).collect();
                let page = Page { items: rest, bytes, next };
                opened.page = Some(PartPage { start: None, passed: 0, page });
                return changed_at((id, seq), opened, standing, recovered, s);
            }
            log.pass();
            passed += 1;
            if standing.books.get(&id).is_some_and(|b| !b.is_behind(seq)) {
                standing.again.push((id, seq, item));
            }
        }
        if items.len() > 0 {
            let page = Page { items: items.collect(), bytes, next };
            opened.page = Some(PartPage { start, passed, page });
        }
    }
}

/// Everything that was read before stands there still: what follows is new.
fn continue_after(
    standing: &mut Standing,
    recovered: &Recovered,
    opened: Opened,
    s: &mut Situation<'_>,
) -> Result<(), EngineError> {
    hold_open_pages(standing, recovered);
    let (Some(reading), Some(last)) = (standing.reading.last_mut(), recovered.slices.last()) else {
        return Ok(());
    };
    reading.first = Seq(last.keys);
    reading.opened = Some(opened);
    if let Some(parent) = last.slice.parent.filter(|_| s.if_changed != IfChanged::All) {
        // The input changed in an earlier process: what was done before that is still skipped.
        let end = parent_end(&last.slice).unwrap_or_default();
        reading.skip = done_keys(&recovered.slices, (parent, end), &standing.books, s.ledger)?;
        used_keys(&mut reading.skip, last, s.ledger)?;
    }
    Ok(())
}

/// Items that are open keep their page's cursor: after another crash they must be found again.
fn hold_open_pages(standing: &mut Standing, recovered: &Recovered) {
    for slice in &recovered.slices {
        if let Some(book) = standing.books.get_mut(&slice.slice.id) {
            book.hold(slice.resume.clone(), Seq(slice.keys));
        }
    }
}

/// The input ended before everything that was read from it last time was seen again.
fn ended_early(
    standing: &mut Standing,
    recovered: &Recovered,
    log: KeyLog<'_>,
    s: &Situation<'_>,
) -> Result<(), EngineError> {
    hold_open_pages(standing, recovered);
    let seen = log.position();
    let lost = |slice: &&RecoveredSlice| {
        let book = standing.books.get(&slice.slice.id);
        let from =
            if Some(slice.slice.id) == seen.map(|(id, _)| id) { seen.map_or(0, |(_, q)| q.0) } else { 0 };
        (from..slice.keys).filter(|q| book.is_some_and(|b| !b.is_behind(Seq(*q)))).count() as u64
    };
    standing.lost = recovered.slices.last().as_ref().map_or(0, lost);
    if s.opener.rereading() == Rereading::Seek {
        let (seen, known) =
            (seen.map_or(0, |(_, seq)| seq.0), recovered.slices.last().map_or(0, |slice| slice.keys));
        standing.remarks.push(format!(
            "{} has become shorter: it ends after item {seen}, and {known} were read from it before; what became of \
             the others stays as it is",
            s.opener.name()
        ));
    }
    if standing.lost > 0 && s.opener.rereading() == Rereading::Seek && s.if_changed == IfChanged::Stop {
        let seq = seen.map_or(0, |(_, seq)| seq.0);
        return Err(EngineError::Changed { source_name: s.opener.name().to_owned(), seq: seq + 1 });
    }
    standing.reading.clear();
    for book in standing.books.values_mut().filter(|b| b.state() == SliceState::Open) {
        book.set_state(SliceState::Read);
    }
    Ok(())
}

fn changed_at(
    (id, seq): (SliceId, Seq),
    opened: Opened,
    standing: &mut Standing,
    recovered: &Recovered,
    s: &mut Situation<'_>,
) -> Result<(), EngineError> {
    if s.if_changed == IfChanged::Stop {
        return Err(EngineError::Changed { source_name: s.opener.name().to_owned(), seq: seq.0 + 1 });
    }
    let then = match s.if_changed {
        IfChanged::SkipDone => "what was done is skipped by its key",
        _ => "everything from there on is taken",
    };
    standing.remarks.push(format!(
        "{} has changed: item {} is another than when it was read before; {then} (--if-changed)",
        s.opener.name(),
        seq.0 + 1
    ));
    let slice = instead_of(&Slice { id, ..Slice::whole() }, seq, recovered, 0);
    let mut reading = Reading::at(slice.clone(), None, Seq(0));
    reading.opened = Some(opened);
    if s.if_changed == IfChanged::SkipDone {
        reading.skip = done_keys(&recovered.slices, (id, seq), &standing.books, s.ledger)?;
    }
    hold_open_pages(standing, recovered);
    for book in standing.books.values_mut() {
        book.set_state(SliceState::Superseded);
    }
    standing.books.insert(slice.id, Book::new(slice));
    standing.reading = vec![reading];
    Ok(())
}
