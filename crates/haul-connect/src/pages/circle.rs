//! Notices pages that lead round in a circle, and records that come twice.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use haul_core::limits;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Hashes of the newest things seen, as many as were asked for.
#[derive(Debug)]
pub(super) struct Recent {
    order: VecDeque<u64>,
    known: HashSet<u64>,
    room: usize,
}

impl Recent {
    pub(super) fn new(room: usize) -> Self {
        Recent { order: VecDeque::new(), known: HashSet::new(), room }
    }

    /// True when it was not among them; it is now the newest.
    pub(super) fn learn(&mut self, hash: u64) -> bool {
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    fn hashes(&self) -> Vec<u64> {
        self.order.iter().copied().collect()
    }
}

/// What a chain remembers over a restart: enough to notice a circle of any length within three times its
/// length (Brent 1980: a mark that is set anew after 1, 2, 4, … pages), a page that is the one before
/// again, and the ids of the last pages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Trail {
    /// Pages so far.
    pub(super) pages: u64,
    /// Hash of the last page's records.
    last: u64,
    /// Hash of a place, and after how many pages the next is taken.
    mark: u64,
    mark_until: u64,
    /// Hashes of the ids of the last pages, as hex.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ids: String,
}

/// What a chain has seen.
#[derive(Debug)]
pub(super) struct Seen {
    trail: Trail,
    places: Recent,
    ids: Recent,
    /// Hashes of the last page's records, where they have no ids; not over a restart.
    records: Vec<u64>,
}

impl Seen {
    pub(super) fn from(trail: Trail) -> Self {
        let mut ids = Recent::new(limits::IDS_REMEMBERED);
        for hash in trail.ids.as_bytes().chunks(16) {
            let hash = std::str::from_utf8(hash).ok().and_then(|h| u64::from_str_radix(h, 16).ok());
            if let Some(hash) = hash {
                ids.learn(hash);
            }
        }
        Seen { trail, places: Recent::new(limits::PAGES_REMEMBERED), ids, records: Vec::new() }
    }

    /// Pages so far.
    pub(super) fn pages(&self) -> u64 {
        self.trail.pages
    }

    /// True when a page has the same records as the one before.
    pub(super) fn is_last_again(&self, list: &Bytes, records: usize) -> bool {
        records > 0 && self.trail.pages > 0 && xxh3_64(list) == self.trail.last
    }

    /// True when a place was asked for before.
    pub(super) fn is_circle(&self, place: &str) -> bool {
        let hash = xxh3_64(place.as_bytes());
        self.places.known.contains(&hash) || self.trail.mark_until > 0 && hash == self.trail.mark
    }

    /// True when a record did not come on one of the last pages.
    pub(super) fn is_new(&mut self, id: &Bytes) -> bool {
        self.ids.learn(xxh3_64(id))
    }

    /// How many records at the beginning of a page are those at the end of the one before, all of them
    /// in their order.
    pub(super) fn overlap(&mut self, records: &[Bytes]) -> u64 {
        let hashes: Vec<u64> = records.iter().map(|record| xxh3_64(record)).collect();
        let before = std::mem::replace(&mut self.records, hashes);
        let starts = before.iter().enumerate().filter(|(_, hash)| Some(*hash) == self.records.first());
        let ends = starts.map(|(at, _)| &before[at..]).find(|end| self.records.starts_with(end));
        ends.map_or(0, |end| end.len() as u64)
    }

    /// A page was read: at which place, and what it held.
    pub(super) fn page(&mut self, place: &str, list: &Bytes) {
        let hash = xxh3_64(place.as_bytes());
        self.places.learn(hash);
        let trail = &mut self.trail;
        trail.pages += 1;
        trail.last = xxh3_64(list);
        if trail.pages >= trail.mark_until {
            trail.mark = hash;
            trail.mark_until = trail.pages * 2;
        }
    }

    /// What is to be remembered.
    pub(super) fn trail(&self) -> Trail {
        let ids = self.ids.hashes().iter().map(|hash| format!("{hash:016x}")).collect();
        Trail { ids, ..self.trail.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks `tail` places and then a circle, restarting every few pages; how many pages until noticed.
    fn walk(tail: u64, circle: u64, restart: u64) -> u64 {
        let mut seen = Seen::from(Trail::default());
        let mut n = 0;
        loop {
            let at = if n < tail { n } else { tail + (n - tail) % circle };
            let place = format!("place {at}");
            if seen.is_circle(&place) {
                return n;
            }
            seen.page(&place, &Bytes::from(format!("[{n}]")));
            n += 1;
            if n % restart == 0 {
                seen = Seen::from(seen.trail());
            }
        }
    }

    #[test]
    fn circles_are_noticed_at_once_and_also_over_restarts() {
        assert_eq!(walk(0, 1, u64::MAX), 1);
        assert_eq!(walk(10, 7, u64::MAX), 17);
        for (tail, circle) in [(0, 1), (0, 5), (10, 7), (100, 33)] {
            let noticed = walk(tail, circle, 3);
            assert!(noticed <= 3 * (tail + circle) + 3, "{tail} {circle}: {noticed}");
        }
    }

    #[test]
    fn ids_of_the_last_pages_are_remembered_over_a_restart() {
        let mut seen = Seen::from(Trail::default());
        for n in 0..2000 {
            assert!(seen.is_new(&Bytes::from(format!("{n}"))));
        }
        let mut seen = Seen::from(seen.trail());
        assert!(!seen.is_new(&Bytes::from("1999")));
        assert!(!seen.is_new(&Bytes::from("1600")));
        assert!(seen.is_new(&Bytes::from("100")), "long gone");
    }

    #[test]
    fn records_that_stand_at_the_end_of_one_page_and_the_beginning_of_the_next_are_noticed() {
        let mut seen = Seen::from(Trail::default());
        let page = |text: &str| text.bytes().map(|b| Bytes::copy_from_slice(&[b])).collect::<Vec<_>>();
        let mut overlap = |text| seen.overlap(&page(text));
        assert_eq!([overlap("abcd"), overlap("efgh"), overlap("ghij")], [0, 0, 2]);
        assert_eq!([overlap("ik"), overlap("kk"), overlap("")], [0, 1, 0], "alike, or out of order");
        assert_eq!([overlap("aab"), overlap("ab")], [0, 2]);
    }

    #[test]
    fn a_page_that_comes_again_is_known() {
        let mut seen = Seen::from(Trail::default());
        let (a, b) = (Bytes::from_static(b"[1]"), Bytes::from_static(b"[2]"));
        assert!(!seen.is_last_again(&a, 1));
        seen.page("x", &a);
        assert!(seen.is_last_again(&a, 1) && !seen.is_last_again(&b, 1));
        assert!(!seen.is_last_again(&Bytes::from_static(b"[]"), 0));
    }
}
