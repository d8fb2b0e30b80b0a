//! Sources yield pages of items; a cursor says where to reopen them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::cx::Cx;
use crate::fault::Fault;
use crate::item::{Key, Position, SliceId};
use crate::record::Record;

/// Where to reopen a slice. Opaque to the engine; text, so that it can be read in the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cursor(pub String);

/// What the source looked like up to a cursor: if the same prefix still stands there, the input
/// only grew. Opaque to the engine; equal means unchanged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Fingerprint(pub String);

/// A part of a source that can be read alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Unique within the run.
    pub id: SliceId,
    /// First position, as the source writes it (empty: from the start), without line feeds: what follows one
    /// is the engine's.
    pub lo: String,
    /// End, excluded, as the source writes it (empty: to the end).
    pub hi: String,
    /// The slice it was split from.
    pub parent: Option<SliceId>,
}

impl Slice {
    /// The one slice of a source that has no parts.
    pub fn whole() -> Self {
        Slice { id: SliceId(0), lo: String::new(), hi: String::new(), parent: None }
    }
}

/// An item as a source yields it; the engine gives it its slice and seq.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// What the user calls it. For bad input: what can be said of it (a line number).
    pub key: Key,
    /// Where it stands.
    pub position: Position,
    /// The record, or why this input is no record: it will be `rejected` (or stop the run).
    pub record: Result<Record, Rejection>,
}

/// Bad input: the reason, and the beginning of the bytes it was.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// For a person: `user_id "abc" is not an integer`.
    pub reason: String,
    /// The raw input, cut to [`crate::limits::REJECTED_BYTES`].
    pub raw: bytes::Bytes,
}

/// What was read at once.
#[derive(Clone, Debug)]
pub struct Page {
    /// In order of the source; may be empty (a page of a filtered range).
    pub items: Vec<NewItem>,
    /// How much of the input it stands for, for progress: bytes, or ids of a range (the unit of
    /// [`Opener::size_hint`]).
    pub bytes: u64,
    /// Where the next page starts.
    pub next: Cursor,
}

/// One slice, being read.
#[async_trait]
pub trait Source: Send {
    /// The next page; `None` at the end. An `Err` leaves the source unchanged: the engine backs off
    /// and calls again, unless the fault is permanent or fatal.
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault>;

    /// What others may see and take of what it has not read yet; `None` when nothing can be taken.
    fn extent(&self) -> Option<Arc<dyn Extent>> {
        None
    }
}

/// What a slice has before it: seen, and taken from, while a page of it is on its way.
pub trait Extent: Send + Sync {
    /// Pages that could be given away now, as far as can be told; 0: none.
    fn spare_pages(&self) -> f64;

    /// Lowers the end of the slice and returns what was given away, for an idle permit to read; `None`
    /// when it is not worth a slice. The ledger commits the split before the child is opened; until
    /// then the parent's cursors do not pass its new end.
    fn give_away(&self) -> Option<Given>;
}

/// What a slice gave away: the end of its range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// Where it begins: the new end of its parent.
    pub lo: String,
    /// Where it ends.
    pub hi: String,
}

/// What a source can do on resume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rereading {
    /// It can be reopened at a cursor, and its prefix can be fingerprinted (a file).
    Seek,
    /// It is fed again from its start (a pipe): keys are compared with the key log.
    Refeed,
    /// It can be reopened at a cursor, and its keys come in ascending order, each once: each slice is compared
    /// with what was logged of it (the keys of a store).
    Ordered,
    /// It can be reopened at a cursor; what was read to its end is not read again (pages of an API).
    Once,
}

/// Opens the slices of a source.
#[async_trait]
pub trait Opener: Send + Sync {
    /// All slices at the start of a run.
    fn slices(&self) -> Vec<Slice>;

    /// Opens a slice at a cursor (`None`: its start).
    async fn open(&self, slice: &Slice, from: Option<&Cursor>, cx: &Cx<'_>)
    -> Result<Box<dyn Source>, Fault>;

    /// What the source looks like now up to `upto`. Compared with what the cursor itself says of
    /// the bytes that were read (see [`Opener::remembered`]). Without it, nothing is said of what was read before.
    async fn fingerprint(&self, upto: &Cursor, cx: &Cx<'_>) -> Result<Fingerprint, Fault> {
        let _ = (upto, cx);
        Ok(Fingerprint::default())
    }

    /// The fingerprint that was taken while reading up to this cursor; it travels in the cursor.
    fn remembered(&self, cursor: &Cursor) -> Fingerprint {
        let _ = cursor;
        Fingerprint::default()
    }

    /// How it can be read again.
    fn rereading(&self) -> Rereading;

    /// What messages call the source: `pairs.csv`.
    fn name(&self) -> &str;

    /// Size of the whole source, where known, for progress: in the unit of [`Page::bytes`].
    fn size_hint(&self) -> Option<u64> {
        None
    }

    /// True when a position means the same in every slice, however they were split: ties are then
    /// decided by it alone.
    fn positions_are_global(&self) -> bool {
        false
    }

    /// What people should know of how reading went and, when it came to its end, why it ended there; a
    /// sentence each.
    fn remarks(&self, at_end: bool) -> Vec<String> {
        let _ = at_end;
        Vec::new()
    }
}
