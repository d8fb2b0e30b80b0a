//! A range of a listing, being read: what is left of it, and where it can be cut, so that others read the rest
//! beside it. A store lists a thousand keys a request, one request after the other: where nothing but that is to
//! be waited for, several ranges are as many times as fast.
//!
//! Nobody knows which keys there are. Texts ahead are tried, each half-way between the last key and the one
//! before: the largest with a key behind it is where the range may be cut.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join_all;
use haul_core::limits::LISTINGS_AT_ONCE;
use haul_core::source::{Extent, Given};
use haul_core::{Cx, Key};

use super::Place;
use super::between::Alphabet;
use super::keys::escaped;

/// Texts that are tried at once before one has a key behind it, and later.
const TRIED_FIRST: usize = 8;
const TRIED: usize = 2;
/// Pages that are read before anything is tried: of a short listing nothing; and in a range that was given away.
const PAGES_FIRST: u32 = 32;
const PAGES_FIRST_GIVEN: u32 = 4;
/// Fewest pages that are worth a range of their own: two requests.
const PAGES_LEAST: f64 = 8.0;

/// What the ranges of a listing share.
#[derive(Default)]
pub(super) struct Ranges {
    open: AtomicUsize,
    /// Texts after which nothing was found, by the beginning of ranges that are not open yet.
    ends: Mutex<HashMap<String, Vec<u8>>>,
}

/// See the module.
pub(super) struct Range {
    ranges: Arc<Ranges>,
    prefix: usize,
    state: Mutex<State>,
}

struct State {
    /// The last key that was handed on; the range begins after it.
    at: Key,
    /// The first key that was handed on, and pages since.
    begun: Option<Key>,
    pages: u32,
    /// The last key that may belong to the range.
    upto: Option<Key>,
    /// After it nothing was found.
    end: Option<Vec<u8>>,
    /// It is known about where its keys end.
    is_known: bool,
    /// Where it may be cut.
    cut: Option<Key>,
    /// Somebody asked for a part of it.
    wanted: bool,
    alphabet: Alphabet,
}

impl Range {
    /// A range that begins after a key; `lo`: as its slice says it.
    pub(super) fn new(
        ranges: &Arc<Ranges>,
        prefix: &Key,
        (lo, after): (&str, Option<&Key>),
        upto: Option<Key>,
    ) -> Arc<Self> {
        ranges.open.fetch_add(1, Ordering::Relaxed);
        let end = ranges.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(lo);
        let at = after.cloned().unwrap_or_else(|| prefix.clone());
        let state = State {
            at,
            begun: None,
            pages: 0,
            is_known: upto.is_some(),
            upto,
            end,
            cut: None,
            wanted: false,
            alphabet: Alphabet::default(),
        };
        Arc::new(Range { ranges: Arc::clone(ranges), prefix: prefix.0.len(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of the next keys belong to it.
    pub(super) fn count<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> usize {
        let state = self.state();
        keys.take_while(|key| state.upto.as_ref().is_none_or(|upto| *key <= upto)).count()
    }

    /// Keys were handed on; the last of them.
    pub(super) fn passed<'k>(&self, keys: impl Iterator<Item = &'k Key>) {
        let mut state = self.state();
        let mut last = None;
        for key in keys {
            state.begun.get_or_insert_with(|| key.clone());
            state.alphabet.learn(key.0.get(self.prefix..).unwrap_or_default());
            last = Some(key);
        }
        if let Some(last) = last {
            state.at = last.clone();
            state.pages += 1;
        }
        if state.cut.as_ref().is_some_and(|cut| *cut <= state.at) {
            state.cut = None;
        }
    }

    /// Looks for a place to cut, if somebody asked for a part.
    pub(super) async fn look(&self, place: &Place, cx: &Cx<'_>) {
        let Some(finder) = place.store.finder() else { return };
        let texts = self.texts();
        let tried = texts.iter().map(|text| finder.first_after(&place.prefix, text, cx));
        // Without an answer it is read as one: what is wrong with the service is said by its listing.
        if let Ok(keys) = try_join_all(tried).await {
            self.found(texts, keys);
        }
    }

    /// What was tried, and the first key after each.
    fn found(&self, texts: Vec<Key>, keys: Vec<Option<Key>>) {
        let mut state = self.state();
        for (text, key) in texts.into_iter().zip(keys) {
            match key.filter(|key| state.upto.as_ref().is_none_or(|upto| key < upto)) {
                Some(key) => {
                    state.is_known = true;
                    state.cut = Some(key).filter(|key| *key > state.at);
                    break;
                }
                None => state.end = Some(text.0.to_vec()),
            }
        }
    }

    /// What to try, from the farthest on.
    fn texts(&self) -> Vec<Key> {
        let mut state = self.state();
        let mut texts: Vec<Key> = Vec::new();
        let first = if state.is_known { PAGES_FIRST_GIVEN } else { PAGES_FIRST };
        if state.cut.is_some() || state.pages < first || !std::mem::take(&mut state.wanted) {
            return texts;
        }
        let most = if state.is_known { TRIED } else { TRIED_FIRST };
        let mut hi = state.hi().map(<[u8]>::to_vec);
        while texts.len() < most {
            let Some(text) = state.alphabet.between(self.prefix, &state.at.0, hi.as_deref()) else { break };
            hi = Some(text.clone());
            texts.push(text.into());
        }
        texts
    }
}

impl State {
    /// What bounds the keys that are left.
    fn hi(&self) -> Option<&[u8]> {
        let upto = self.upto.as_ref().map(|upto| &upto.0[..]);
        match (self.end.as_deref(), upto) {
            (Some(end), Some(upto)) => Some(end.min(upto)),
            (end, upto) => end.or(upto),
        }
    }

    /// Pages behind the cut, if keys lie there as closely as before it.
    fn behind(&self, prefix: usize, cut: &Key) -> f64 {
        let (hi, begun) = (self.hi(), self.begun.as_ref().unwrap_or(&self.at));
        let same = match hi {
            Some(hi) => begun.0.iter().zip(hi).take_while(|(a, b)| a == b).count(),
            None => prefix,
        };
        let fraction = |text: &[u8]| self.alphabet.fraction(same, text);
        let read = fraction(&self.at.0) - fraction(&begun.0);
        let left = hi.map_or(1.0, fraction) - fraction(&cut.0);
        // What was read may lie too closely to be told apart: then there is much behind it.
        if left > 0.0 { (f64::from(self.pages) * left / read).min(1e9) } else { 0.0 }
    }
}

impl Extent for Range {
    fn spare_pages(&self) -> f64 {
        if self.ranges.open.load(Ordering::Relaxed) >= LISTINGS_AT_ONCE {
            return 0.0;
        }
        let mut state = self.state();
        state.wanted = true;
        let pages = state.cut.as_ref().map_or(0.0, |cut| state.behind(self.prefix, cut));
        if pages < PAGES_LEAST {
            // It is not worth it; one that lies farther may be.
            state.cut = None;
        }
        if pages < PAGES_LEAST { 0.0 } else { pages }
    }

    fn give_away(&self) -> Option<Given> {
        let mut state = self.state();
        let cut = state.cut.take().filter(|cut| *cut > state.at)?;
        let hi = state.upto.replace(cut.clone());
        let lo = escaped(&cut);
        if let Some(end) = state.end.take() {
            self.ranges.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(lo.clone(), end);
        }
        state.wanted = false;
        Some(Given { lo, hi: hi.as_ref().map(escaped).unwrap_or_default() })
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        self.ranges.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound::{Excluded, Unbounded};

    use haul_core::limits::PAGE_ITEMS;

    use super::*;

    fn after<'k>(keys: &'k BTreeSet<Key>, at: &Key) -> impl Iterator<Item = &'k Key> {
        keys.range::<Key, _>((Excluded(at), Unbounded))
    }

    /// Reads a range page by page until it gives a part away; the part, and how many texts were tried.
    fn cut(keys: &BTreeSet<Key>, range: &Range) -> Option<(Given, usize)> {
        let mut tried = 0;
        loop {
            let at = range.state().at.clone();
            let page: Vec<&Key> = after(keys, &at).take(PAGE_ITEMS).collect();
            let page = &page[..range.count(page.iter().copied())];
            range.passed(page.iter().copied());
            if page.is_empty() {
                return None;
            }
            if range.spare_pages() > 0.0 {
                return Some((range.give_away()?, tried));
            }
            let texts = range.texts();
            tried += texts.len();
            let found = texts.iter().map(|text| after(keys, text).next().cloned()).collect();
            range.found(texts, found);
        }
    }

    /// Keys of all ranges, when each is cut once it can be, until there are so many.
    fn shares(keys: &BTreeSet<Key>, most: usize) -> Vec<usize> {
        let ranges = Arc::new(Ranges::default());
        let mut open = vec![Range::new(&ranges, &Key::from(""), ("", None), None)];
        let mut parts: Vec<(Key, usize)> = Vec::new();
        while let Some(range) = open.pop() {
            let begun = range.state().at.clone();
            let given = if open.len() + parts.len() + 1 < most { cut(keys, &range) } else { None };
            let upto = range.state().upto.clone();
            match given {
                Some((given, _)) => {
                    let hi = Some(Key::from(given.hi)).filter(|hi| !hi.0.is_empty());
                    let lo = Key::from(given.lo.clone());
                    open.insert(0, Range::new(&ranges, &Key::from(""), (&given.lo, Some(&lo)), hi));
                    open.insert(0, Range::new(&ranges, &Key::from(""), ("", Some(&begun)), upto));
                }
                None => {
                    let own = after(keys, &begun).take_while(|key| upto.as_ref().is_none_or(|hi| *key <= hi));
                    let count = own.count();
                    parts.push((begun, count));
                }
            }
        }
        parts.into_iter().map(|(_, count)| count).collect()
    }

    #[test]
    fn names_of_all_kinds_are_cut_with_few_requests_and_none_is_lost() {
        type Name = fn(u32) -> String;
        let shapes: [(&str, Name); 5] = [
            ("numbers", |n| format!("img/{n:08}.png")),
            ("hashes", |n| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()))),
            ("dates", |n| format!("logs/2024/{:02}/{:02}/{n:06}.gz", n / 6_000 + 1, n / 250 % 28 + 1)),
            ("people", |n| format!("users/user-{}/photo.jpg", n * 7)),
            ("words", |n| format!("a/b/ö{}/x{n}", n % 7)),
        ];
        for (what, name) in shapes {
            let keys: BTreeSet<Key> = (0..50_000).map(|n| Key::from(name(n))).collect();
            let range = Range::new(&Arc::default(), &Key::from(""), ("", None), None);
            let (_, tried) = cut(&keys, &range).unwrap_or_else(|| panic!("{what}: not cut"));
            assert!(tried <= 64, "{what}: {tried} texts tried");
            assert!(range.state().pages <= 64, "{what}: {} pages", range.state().pages);
            let shares = shares(&keys, 8);
            assert_eq!(shares.iter().sum::<usize>(), 50_000, "{what}: {shares:?}");
            assert!(shares.iter().filter(|share| **share >= 2000).count() >= 4, "{what}: {shares:?}");
        }
    }

    #[test]
    fn pages_behind_a_cut_are_a_number_however_closely_keys_lie() {
        let keys: Vec<Key> = (0..2000).map(|n| Key::from(format!("a{}{n:05}", "x".repeat(40)))).collect();
        let range = Range::new(&Arc::default(), &Key::from(""), ("", None), None);
        range.passed(keys.iter());
        let behind = |cut: &Key| range.state().behind(0, cut);
        assert_eq!(behind(&Key::from("b")), 1e9);
        range.state().end = Some(keys[1999].0.to_vec());
        assert_eq!(behind(&keys[1999]), 0.0);
    }

    #[test]
    fn a_range_that_is_nearly_read_is_kept() {
        let keys: BTreeSet<Key> = (0..3000).map(|n| Key::from(format!("{n:06}"))).collect();
        let range = Range::new(&Arc::default(), &Key::from(""), ("", None), None);
        assert_eq!(cut(&keys, &range), None);
        assert!(range.give_away().is_none());
    }
}
