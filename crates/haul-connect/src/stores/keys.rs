//! The keys of a place as items, in order: `{"key", "size", "etag", "modified"}`.
//!
//! Where the job copies them, the listing of the destination is read alongside, and an item whose
//! counterpart is there already says so (`"there": true`): on an unchanged pair no object is asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join3;
use haul_core::item::{Key, Position};
use haul_core::limits::PAGE_ITEMS;
use haul_core::record::{Record, write_json_string};
use haul_core::source::{Cursor, Extent, NewItem, Page, Rereading, Slice, Source};
use haul_core::store::{Listed, Listing};
use haul_core::{Cx, Fault, Opener};

use super::Place;
use super::pairs::compare;
use super::range::{Range, Ranges};

/// Opens listings.
pub struct KeysOpener {
    from: Place,
    /// Where the job copies to.
    to: Option<Place>,
    name: String,
    ranges: Arc<Ranges>,
    /// It is read from one end to the other.
    as_one: bool,
}

impl KeysOpener {
    /// The keys of a place; those of `to` are compared with them.
    pub fn new(from: Place, to: Option<Place>) -> Self {
        let name = from.to_string();
        KeysOpener { from, to, name, ranges: Arc::default(), as_one: false }
    }

    /// The same, read from one end to the other: the first keys are wanted first.
    #[must_use]
    pub fn as_one(self) -> Self {
        KeysOpener { as_one: true, ..self }
    }
}

#[async_trait]
impl Opener for KeysOpener {
    fn slices(&self) -> Vec<Slice> {
        vec![Slice::whole()]
    }

    async fn open(&self, slice: &Slice, from: Option<&Cursor>, _: &Cx<'_>) -> Result<Box<dyn Source>, Fault> {
        // What follows a line feed is the engine's.
        let lo = slice.lo.split('\n').next().unwrap_or_default();
        let key = |text: &str| Some(text).filter(|text| !text.is_empty()).map(unescaped);
        let (read, after) = from.map_or((0, key(lo)), |cursor| {
            let (count, key) = cursor.0.split_once('|').unwrap_or(("0", &cursor.0));
            (count.parse().unwrap_or(0), Some(unescaped(key)))
        });
        let there = self.to.as_ref().map(|to| {
            let after = after.as_ref().map(|key| self.from.counterpart(key, to));
            Ahead::new(to.clone(), after)
        });
        let range = Range::new(&self.ranges, &self.from.prefix, (lo, after.as_ref()), key(&slice.hi));
        let may_split = !self.as_one && self.from.store.finder().is_some();
        Ok(Box::new(Keys { from: Ahead::new(self.from.clone(), after), there, range, may_split, read }))
    }

    fn rereading(&self) -> Rereading {
        Rereading::Ordered
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Keys in cursors and slices, which are text in one line: those that are not by their bytes.
pub(super) fn escaped(key: &Key) -> String {
    match std::str::from_utf8(&key.0) {
        Ok(text) if !text.starts_with(ESCAPED) && !text.contains('\n') => text.to_owned(),
        _ => format!("{ESCAPED}{}", haul_core::cx::hex(&key.0)),
    }
}

fn unescaped(text: &str) -> Key {
    let Some(hex) = text.strip_prefix(ESCAPED) else { return text.to_owned().into() };
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    hex.as_bytes().chunks(2).filter_map(byte).collect::<Vec<u8>>().into()
}

/// No key of a person begins like that.
const ESCAPED: &str = "\u{1}x";

/// A listing, and what of it was read ahead.
pub(super) struct Ahead {
    pub(super) place: Place,
    /// Where it goes on after.
    after: Option<Key>,
    listing: Option<Box<dyn Listing>>,
    ahead: VecDeque<Listed>,
    ended: bool,
}

impl Ahead {
    pub(super) fn new(place: Place, after: Option<Key>) -> Self {
        Ahead { place, after, listing: None, ahead: VecDeque::new(), ended: false }
    }

    /// Whether the next object has to be asked for.
    fn is_asking(&self) -> bool {
        self.ahead.is_empty() && !self.ended
    }

    /// Makes sure that the next object is known, if there is one.
    pub(super) async fn fill(&mut self, cx: &Cx<'_>) -> Result<(), Fault> {
        while self.ahead.is_empty() && !self.ended {
            let listing = match &mut self.listing {
                Some(listing) => listing,
                None => {
                    let Place { store, prefix } = &self.place;
                    self.listing.insert(store.list(prefix, self.after.as_ref(), cx).await?)
                }
            };
            match listing.next(cx).await? {
                Some(objects) => self.ahead.extend(objects),
                None => self.ended = true,
            }
        }
        Ok(())
    }

    /// The next object, if it is known ([`Ahead::fill`]).
    pub(super) fn peek(&self) -> Option<&Listed> {
        self.ahead.front()
    }

    /// Takes it.
    pub(super) fn take(&mut self) -> Option<Listed> {
        self.ahead.pop_front()
    }

    /// The object under a key; those before it are passed.
    async fn find(&mut self, key: &Key, cx: &Cx<'_>) -> Result<Option<&Listed>, Fault> {
        loop {
            self.fill(cx).await?;
            match self.ahead.front() {
                Some(object) if object.key < *key => self.ahead.pop_front(),
                _ => break,
            };
        }
        Ok(self.ahead.front().filter(|object| object.key == *key))
    }
}

/// The keys of a range, being read.
struct Keys {
    from: Ahead,
    there: Option<Ahead>,
    range: Arc<Range>,
    /// Others may read the end of it.
    may_split: bool,
    read: u64,
}

impl Keys {
    /// Makes sure that the next keys are known. Both ends side by side: an unchanged pair is all listings.
    async fn fill(&mut self, cx: &Cx<'_>) -> Result<(), Fault> {
        let Keys { from, there, range, .. } = self;
        let (place, asking) = (from.place.clone(), from.is_asking());
        let look = async {
            // Beside a request that is to be waited for in any case.
            if asking {
                range.look(&place, cx).await;
            }
            Ok(())
        };
        let there = async {
            match there {
                Some(there) => there.fill(cx).await,
                None => Ok(()),
            }
        };
        try_join3(look, from.fill(cx), there).await.map(drop)
    }
}

#[async_trait]
impl Source for Keys {
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        self.fill(cx).await?;
        let count = self.range.count(self.from.ahead.iter().take(PAGE_ITEMS).map(|object| &object.key));
        // Everything that can fail comes before anything is taken.
        let mut same = Vec::with_capacity(count);
        for object in self.from.ahead.iter().take(count) {
            same.push(match &mut self.there {
                None => false,
                Some(there) => {
                    let key = self.from.place.counterpart(&object.key, &there.place);
                    there
                        .find(&key, cx)
                        .await?
                        .is_some_and(|other| compare(&object.meta, &other.meta).is_ok())
                }
            });
        }
        // The end of the range may have been given away meanwhile.
        let count = self.range.count(self.from.ahead.iter().take(count).map(|object| &object.key));
        self.range.passed(self.from.ahead.iter().take(count).map(|object| &object.key));
        let mut items = Vec::with_capacity(count);
        let (mut bytes, mut last) = (0, None);
        for (object, same) in self.from.ahead.drain(..count).zip(same) {
            bytes += object.meta.len;
            items.push(item(&object, same, self.read));
            self.read += 1;
            last = Some(object.key);
        }
        Ok(last.map(|key| Page { items, bytes, next: Cursor(format!("{}|{}", self.read, escaped(&key))) }))
    }

    fn extent(&self) -> Option<Arc<dyn Extent>> {
        self.may_split.then(|| Arc::clone(&self.range) as Arc<dyn Extent>)
    }
}

/// What the record of an object has.
pub const FIELDS: [&str; 5] = ["key", "size", "etag", "modified", "there"];

/// What a copy sees of an object; `there`: it is at the destination already.
pub fn item(object: &Listed, there: bool, nth: u64) -> NewItem {
    let mut record = Vec::with_capacity(object.key.0.len() + 128);
    let mut text = |name: &str, value: &str| {
        record.extend_from_slice(name.as_bytes());
        write_json_string(value, &mut record);
    };
    text("{\"key\":", &object.key.to_string());
    text(",\"etag\":", &object.meta.version);
    text(",\"modified\":", &modified(object.meta.modified_ns));
    record.extend_from_slice(format!(",\"size\":{},\"there\":{there}}}", object.meta.len).as_bytes());
    NewItem {
        key: object.key.clone(),
        position: Position { line: nth + 1, offset: nth },
        record: Ok(Record::new(record)),
    }
}

/// `2020-01-01T00:00:00.000Z`
fn modified(ns: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use haul_core::store::Meta;

    use super::*;

    fn listed(len: u64, version: &str, modified_ns: i64) -> Listed {
        let md5 = (version.len() == 32).then_some([version.as_bytes()[0]; 16]);
        let meta = Meta { len, version: version.into(), modified_ns, md5, ..Meta::default() };
        Listed { key: "k".to_owned().into(), meta }
    }

    #[test]
    fn a_cursor_holds_any_key() {
        for key in [&b"a|b"[..], b"\xff\x00|", b"\x01x00", b""] {
            let key = Key::from(key.to_vec());
            assert_eq!(unescaped(&escaped(&key)), key);
        }
    }

    #[test]
    fn a_record_holds_any_key() {
        let key = "a\"b\\\n\u{1f600}";
        let object = Listed { key: key.to_owned().into(), ..listed(7, "e", 1_577_836_800_000_000_000) };
        let record = item(&object, true, 0).record.unwrap();
        let value: serde_json::Value = serde_json::from_slice(record.base()).unwrap();
        assert_eq!(value["key"], key);
        assert_eq!(value["modified"], "2020-01-01T00:00:00.000Z");
        let names = value.as_object().unwrap().keys();
        assert!(names.len() == FIELDS.len() && FIELDS.iter().all(|name| value.get(name).is_some()));
        assert_eq!((value["size"].as_u64(), value["there"].as_bool()), (Some(7), Some(true)));
    }
}
