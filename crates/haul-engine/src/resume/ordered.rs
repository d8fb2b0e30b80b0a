//! Going on with ranges of keys that come in order, each once: several side by side, each compared with its own
//! part of the key log. A range that does not list what it did is read by another from its oldest open page on,
//! and what was done is skipped by its key.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use haul_core::job::IfChanged;
use haul_core::ledger::{Recovered, RecoveredSlice, SliceState};
use haul_core::source::NewItem;
use haul_core::{Cx, Fault, KeyHash, Opener, Page, Seq};

use super::{Opened, PartPage, Reading, Situation, Standing, hold_open_pages, instead_of, parent_end};
use crate::book::Book;
use crate::ending::EngineError;
use crate::keylog::{done_keys, logged_keys};
use crate::reader::next_page;

/// Ranges that are compared at once.
const AT_ONCE: usize = 16;

/// What a range lists now.
enum Found {
    /// Nothing was logged that could be compared.
    Unread,
    /// What it listed before, item by item; the source goes on behind it.
    Same(Vec<NewItem>, Opened),
    /// Something else.
    Changed,
}

/// See the module.
pub(super) async fn compare(
    standing: &mut Standing,
    recovered: &Recovered,
    s: &mut Situation<'_>,
) -> Result<(), EngineError> {
    let mut ranges = Vec::new();
    for reading in std::mem::take(&mut standing.reading) {
        let Some(known) = recovered.slices.iter().find(|r| r.slice.id == reading.slice.id) else { continue };
        let keys = logged_keys(known, reading.first, s.ledger)?;
        // Of a range that was read to its end and has nothing open, only what follows the last key is new.
        let all_behind = known.watermark.0 >= known.keys;
        if known.state != SliceState::Read || !all_behind || known.slice.hi.is_empty() {
            ranges.push((reading, keys));
        }
    }
    hold_open_pages(standing, recovered);
    let (opener, cx) = (s.opener, s.cx);
    let follow = |(reading, keys): (Reading, Vec<KeyHash>)| async move {
        let found = follow(&reading, &keys, opener, cx).await;
        (reading, keys.len() as u64, found)
    };
    let mut followed = stream::iter(ranges.into_iter().map(follow)).buffered(AT_ONCE);
    let mut changed = 0;
    while let Some((mut reading, keys, found)) = followed.next().await {
        let Some(known) = recovered.slices.iter().find(|r| r.slice.id == reading.slice.id) else { continue };
        let first = reading.first;
        reading.skip = skipped(standing, recovered, known, None, s)?;
        match found.map_err(EngineError::Fault)? {
            Found::Unread => {}
            Found::Same(items, opened) => {
                if let Some(book) = standing.books.get(&reading.slice.id) {
                    let open = (first.0..).map(Seq).zip(items).filter(|(seq, _)| !book.is_behind(*seq));
                    standing.again.extend(open.map(|(seq, item)| (reading.slice.id, seq, item)));
                }
                reading.first = Seq(first.0 + keys);
                reading.opened = Some(opened);
            }
            Found::Changed => {
                if s.if_changed == IfChanged::Stop {
                    return Err(EngineError::Changed {
                        source_name: s.opener.name().to_owned(),
                        seq: first.0 + 1,
                    });
                }
                let slice = instead_of(&reading.slice, first, recovered, changed);
                changed += 1;
                reading.skip = skipped(standing, recovered, known, Some(first), s)?;
                if let Some(book) = standing.books.get_mut(&reading.slice.id) {
                    book.set_state(SliceState::Superseded);
                }
                standing.books.insert(slice.id, Book::begun_at(slice.clone(), reading.from.clone()));
                (reading.slice, reading.first) = (slice, Seq(0));
            }
        }
        standing.reading.push(reading);
    }
    if changed > 0 {
        let then = match s.if_changed {
            IfChanged::SkipDone => "what was done is skipped by its key",
            _ => "everything from there on is taken",
        };
        let name = s.opener.name();
        standing.remarks.push(format!("{name} has changed since it was last read: {then} (--if-changed)"));
    }
    Ok(())
}

/// Keys that are done and may be listed again: those of the slices that a slice is read instead of, and its own
/// from an item on.
fn skipped(
    standing: &Standing,
    recovered: &Recovered,
    known: &RecoveredSlice,
    own: Option<Seq>,
    s: &mut Situation<'_>,
) -> Result<HashMap<KeyHash, u32>, EngineError> {
    let mut skip = HashMap::new();
    if s.if_changed == IfChanged::All {
        return Ok(skip);
    }
    if let Some(first) = own {
        skip = done_keys(&recovered.slices, (known.slice.id, first), &standing.books, s.ledger)?;
    }
    let mut child = &known.slice;
    while let (Some(parent), Some(end)) = (child.parent, parent_end(child)) {
        skip.extend(done_keys(&recovered.slices, (parent, end), &standing.books, s.ledger)?);
        let Some(next) = recovered.slices.iter().find(|r| r.slice.id == parent) else { break };
        child = &next.slice;
    }
    Ok(skip)
}

/// Reads a range on from its oldest open page, as far as its keys are those that were logged.
async fn follow(
    reading: &Reading,
    keys: &[KeyHash],
    opener: &dyn Opener,
    cx: &Cx<'_>,
) -> Result<Found, Fault> {
    if keys.is_empty() {
        return Ok(Found::Unread);
    }
    let source = opener.open(&reading.slice, reading.from.as_ref(), cx).await?;
    let mut opened = Opened { source, page: None, at: reading.from.clone() };
    let mut items: Vec<NewItem> = Vec::with_capacity(keys.len());
    while items.len() < keys.len() {
        let Some(page) = next_page(&mut *opened.source, cx).await? else { return Ok(Found::Changed) };
        let start = opened.at.replace(page.next.clone());
        let Page { items: listed, bytes, next } = page;
        let known = listed.len().min(keys.len() - items.len());
        if listed.iter().zip(&keys[items.len()..]).any(|(item, key)| item.key.hash() != *key) {
            return Ok(Found::Changed);
        }
        let mut listed = listed.into_iter();
        items.extend(listed.by_ref().take(known));
        if listed.len() > 0 {
            let page = Page { items: listed.collect(), bytes, next };
            opened.page = Some(PartPage { start, passed: known as u64, page });
        }
    }
    Ok(Found::Same(items, opened))
}
