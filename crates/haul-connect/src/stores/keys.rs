//! The keys of a bucket as items, in order, a thousand to a request: `{"key", "size", "etag", "modified"}`.
//!
//! Where the job copies them, the listing of the destination is read alongside, and an item whose
//! counterpart is there already says so (`"there": true`): on an unchanged pair no object is asked for.

use std::collections::VecDeque;

use async_trait::async_trait;
use haul_core::item::{Key, Position};
use haul_core::limits::PAGE_ITEMS;
use haul_core::record::{Record, write_json_string};
use haul_core::source::{Cursor, Fingerprint, NewItem, Page, Rereading, Slice, Source};
use haul_core::{Cx, Fault, Opener};

use super::{Listed, Place};

/// Opens listings.
pub struct KeysOpener {
    from: Place,
    /// Where the job copies to.
    to: Option<Place>,
    name: String,
}

impl KeysOpener {
    /// The keys of a place; those of `to` are compared with them.
    pub fn new(from: Place, to: Option<Place>) -> Self {
        let name = from.to_string();
        KeysOpener { from, to, name }
    }
}

#[async_trait]
impl Opener for KeysOpener {
    fn slices(&self) -> Vec<Slice> {
        vec![Slice::whole()]
    }

    async fn open(&self, _: &Slice, from: Option<&Cursor>, _: &Cx<'_>) -> Result<Box<dyn Source>, Fault> {
        let (read, after) = from.map_or((0, None), |cursor| {
            let (count, key) = cursor.0.split_once('|').unwrap_or(("0", &cursor.0));
            (count.parse().unwrap_or(0), Some(key.to_owned()))
        });
        let there = self.to.as_ref().map(|to| {
            let after = after.as_deref().map(|key| self.from.counterpart(key, to));
            Listing::new(to.clone(), after)
        });
        Ok(Box::new(Keys { from: Listing::new(self.from.clone(), after), there, read }))
    }

    async fn fingerprint(&self, _: &Cursor, _: &Cx<'_>) -> Result<Fingerprint, Fault> {
        // What was listed before is not listed again: a bucket changes all the time.
        Ok(Fingerprint::default())
    }

    fn remembered(&self, _: &Cursor) -> Fingerprint {
        Fingerprint::default()
    }

    fn rereading(&self) -> Rereading {
        Rereading::Seek
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A listing, read a request at a time.
struct Listing {
    place: Place,
    ahead: VecDeque<Listed>,
    /// The last key that was listed.
    after: Option<String>,
    ended: bool,
}

impl Listing {
    fn new(place: Place, after: Option<String>) -> Self {
        Listing { place, ahead: VecDeque::new(), after, ended: false }
    }

    /// Makes sure that the next object is known, if there is one.
    async fn fill(&mut self, cx: &Cx<'_>) -> Result<(), Fault> {
        while self.ahead.is_empty() && !self.ended {
            let Place { store, bucket, prefix } = &self.place;
            let (objects, more) = store.list(bucket, prefix, self.after.as_deref(), cx).await?;
            if let Some(last) = objects.last() {
                self.after = Some(last.key.clone());
            }
            self.ahead.extend(objects);
            self.ended = !more;
        }
        Ok(())
    }

    /// The object under a key; those before it are passed.
    async fn find(&mut self, key: &str, cx: &Cx<'_>) -> Result<Option<&Listed>, Fault> {
        loop {
            self.fill(cx).await?;
            match self.ahead.front() {
                Some(object) if object.key.as_str() < key => self.ahead.pop_front(),
                _ => break,
            };
        }
        Ok(self.ahead.front().filter(|object| object.key == key))
    }
}

/// The keys, being read.
struct Keys {
    from: Listing,
    there: Option<Listing>,
    read: u64,
}

#[async_trait]
impl Source for Keys {
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        self.from.fill(cx).await?;
        let count = self.from.ahead.len().min(PAGE_ITEMS);
        // Everything that can fail comes before anything is taken.
        let mut same = Vec::with_capacity(count);
        for object in self.from.ahead.iter().take(count) {
            same.push(match &mut self.there {
                None => false,
                Some(there) => {
                    let key = self.from.place.counterpart(&object.key, &there.place);
                    there.find(&key, cx).await?.is_some_and(|other| is_same(object, other))
                }
            });
        }
        let mut items = Vec::with_capacity(count);
        let (mut bytes, mut last) = (0, None);
        for (object, same) in self.from.ahead.drain(..count).zip(same) {
            bytes += object.size;
            items.push(item(&object, same, self.read));
            self.read += 1;
            last = Some(object.key);
        }
        Ok(last.map(|key| Page { items, bytes, next: Cursor(format!("{}|{key}", self.read)) }))
    }
}

/// What is copied already: the same bytes by their ETag, or, where ETags cannot be compared, as many of
/// them and not older.
fn is_same(object: &Listed, there: &Listed) -> bool {
    let comparable = super::s3::is_md5(&object.etag) && super::s3::is_md5(&there.etag);
    object.size == there.size
        && (object.etag == there.etag || !comparable && there.modified >= object.modified)
}

fn item(object: &Listed, there: bool, nth: u64) -> NewItem {
    let mut record = Vec::with_capacity(object.key.len() + 128);
    let mut text = |name: &str, value: &str| {
        record.extend_from_slice(name.as_bytes());
        write_json_string(value, &mut record);
    };
    text("{\"key\":", &object.key);
    text(",\"etag\":", &object.etag);
    text(",\"modified\":", &object.modified);
    record.extend_from_slice(format!(",\"size\":{},\"there\":{there}}}", object.size).as_bytes());
    NewItem {
        key: Key(object.key.clone().into()),
        position: Position { line: nth + 1, offset: nth },
        record: Ok(Record::new(record)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(size: u64, etag: &str, modified: &str) -> Listed {
        Listed { key: "k".to_owned(), size, etag: etag.to_owned(), modified: modified.to_owned() }
    }

    #[test]
    fn what_is_there_already_is_known_by_its_bytes_or_by_size_and_time() {
        let (a, b) = ("900150983cd24fb0d6963f7d28e17f72", "00000000000000000000000000000000");
        let (old, new) = ("2020-01-01T00:00:00.000Z", "2021-01-01T00:00:00.000Z");
        assert!(is_same(&listed(3, a, new), &listed(3, a, old)));
        assert!(!is_same(&listed(3, a, old), &listed(3, b, new)));
        assert!(!is_same(&listed(3, a, old), &listed(4, a, new)));
        assert!(is_same(&listed(3, "abc-2", old), &listed(3, a, new)));
        assert!(!is_same(&listed(3, "abc-2", new), &listed(3, a, old)));
        assert!(is_same(&listed(3, "abc-2", new), &listed(3, "abc-2", old)));
    }

    #[test]
    fn a_record_holds_any_key() {
        let object = Listed { key: "a\"b\\\n\u{1f600}".to_owned(), ..listed(7, "e", "m") };
        let record = item(&object, true, 0).record.unwrap();
        let value: serde_json::Value = serde_json::from_slice(record.base()).unwrap();
        assert_eq!(value["key"], object.key.as_str());
        assert_eq!((value["size"].as_u64(), value["there"].as_bool()), (Some(7), Some(true)));
    }
}
