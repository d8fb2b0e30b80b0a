//! Row sources: CSV, TSV and JSON Lines from a file, standard input, or a stream.
//!
//! A cursor holds the decoded offset, the line, and a digest of everything before: a file that only
//! grew is told from one that changed by hashing its prefix again. Compression is known by content.

mod columns;
mod csv;
mod cursor;
mod document;
mod feed;
mod jsonl;
mod key;
mod layout;
mod page;
mod passing;
mod place;
mod split;

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use haul_core::job::{RowFormat, SourceSpec, parse_each};
use haul_core::source::{Cursor, Fingerprint, Opener, Page, Rereading, Slice, Source};
use haul_core::{Cx, Fault};
use xxhash_rust::xxh3::Xxh3;

pub use place::{ByteStream, OpenBytes};

use crate::decode::{Counting, Decoder};
use crate::template::Template;
use columns::Columns;
use csv::CsvSplit;
use cursor::{Mark, digest};
use document::DocumentSplit;
use feed::{Begin, Feed, Label, hash_prefix};
use jsonl::{JsonlSplit, Line};
use place::{Place, Receiving, StreamReader};
use split::Split;

/// Where the records of a document stand when nothing is said.
const EACH: &str = ".[]";

/// Opens a row source: one slice, the whole.
pub struct RowsOpener {
    plan: Arc<Plan>,
    size: Option<u64>,
    /// The state of the digest that the last fingerprint came to, so that opening at the same place
    /// can seek instead of hashing the prefix again.
    hashed: Mutex<Option<(u64, Box<Xxh3>)>>,
}

/// What does not change while rows are read.
struct Plan {
    spec: SourceSpec,
    place: Place,
    label: Label,
    /// Columns that cannot be done without.
    needed: Vec<Needed>,
    /// Names that no column may have.
    taken: Vec<Box<str>>,
}

/// A name that must be a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needed {
    /// The column.
    pub name: Arc<str>,
    /// Who names it, for messages: `a URL`, `the row`.
    pub by: String,
    /// Where that stands in the job: `step.where.filter`.
    pub at: String,
}

impl RowsOpener {
    /// A source as a job describes it. Relative paths start at `base`; `stream` opens http(s)
    /// locations. What can be checked before the first read is checked: that the file is there and
    /// readable, the key template, the columns.
    ///
    /// # Errors
    /// A fatal fault with the path and a way out.
    pub fn new(spec: &SourceSpec, base: &Path, stream: Option<Arc<dyn OpenBytes>>) -> Result<Self, Fault> {
        let is_url = spec.location.starts_with("http://") || spec.location.starts_with("https://");
        let (place, size) = match (spec.location.as_str(), stream) {
            ("-", None) => (Place::Stdin, None),
            ("-", Some(stream)) => (Place::Stream(stream), None),
            (_, Some(stream)) if is_url => (Place::Stream(stream), None),
            (url, None) if is_url => {
                return Err(Fault::fatal("source", format!("{url}: nothing here opens http sources")));
            }
            (path, _) => Place::of_path(path, base)?,
        };
        let name = match &place {
            _ if spec.location == "-" => "stdin",
            // A query may hold a signature.
            Place::Stream(_) => spec.location.split(['?', '#']).next().unwrap_or_default(),
            _ => &spec.location,
        };
        let format = match spec.format {
            RowFormat::Csv => "CSV",
            RowFormat::Tsv => "TSV",
            RowFormat::Jsonl => "JSON Lines",
            RowFormat::Json => "JSON",
            RowFormat::Urls => "a list of URLs",
            RowFormat::Keys => return Err(no_rows()),
        };
        let label = Label { name: name.into(), format };
        let plan = Arc::new(Plan { spec: spec.clone(), place, label, needed: Vec::new(), taken: Vec::new() });
        plan.splitter(&Mark::start())?;
        Ok(RowsOpener { plan, size, hashed: Mutex::new(None) })
    }

    /// Names that every row must have: a CSV without one of these columns is refused as a whole,
    /// before its first row.
    pub fn needing(mut self, names: Vec<Needed>) -> Self {
        if let Some(plan) = Arc::get_mut(&mut self.plan) {
            plan.needed = names;
        }
        self
    }

    /// Names that no column may have, because a lookup brings something under them.
    pub fn without(mut self, names: Vec<Box<str>>) -> Self {
        if let Some(plan) = Arc::get_mut(&mut self.plan) {
            plan.taken = names;
        }
        self
    }

    fn mark(&self, cursor: Option<&Cursor>) -> Result<Mark, Fault> {
        let Some(cursor) = cursor else { return Ok(Mark::start()) };
        Mark::read(cursor).ok_or_else(|| {
            let text = format!("{}: the stored position is not readable: {}", self.plan.label.name, cursor.0);
            Fault::fatal("cursor", text)
        })
    }
}

impl Plan {
    fn key(&self) -> Result<Option<Template>, Fault> {
        let Some(key) = &self.spec.key else { return Ok(None) };
        let bad = |e| Fault::fatal("key", format!("the key {key} is no template: {e}"));
        Template::compile(key).map(Some).map_err(bad)
    }

    fn splitter(&self, mark: &Mark) -> Result<Box<dyn Split>, Fault> {
        let key = self.key()?;
        let delimiter = match self.spec.format {
            RowFormat::Jsonl | RowFormat::Urls => {
                let form = if self.spec.format == RowFormat::Urls { Line::Url } else { Line::Object };
                return Ok(Box::new(JsonlSplit::new(&self.label.name, form, mark.offset, mark.line, key)));
            }
            RowFormat::Json => {
                let each = self.spec.each.as_deref().unwrap_or(EACH);
                let each = parse_each(each).map_err(|e| Fault::fatal("each", e))?;
                return Ok(Box::new(DocumentSplit::new(&self.label.name, each, mark, key)));
            }
            RowFormat::Keys => return Err(no_rows()),
            RowFormat::Csv => b',',
            RowFormat::Tsv => b'\t',
        };
        let names = mark.columns.clone();
        let (spec, needed) = (&self.spec, self.needed.clone());
        let columns = Columns::new(&self.label.name, spec.header, &spec.columns, key, names, needed)?
            .without(self.taken.clone());
        Ok(Box::new(CsvSplit::new(delimiter, mark.offset, mark.line, mark.searched, columns)))
    }

    fn feed(
        &self,
        input: Box<dyn Read + Send>,
        mark: Mark,
        hash: Option<Box<Xxh3>>,
        cx: &Cx<'_>,
    ) -> Result<Feed, Fault> {
        let splitter = self.splitter(&mark)?;
        let (input, raw) = Counting::new(input);
        let begin = Begin { mark, hash };
        Feed::start(Box::new(input), raw, begin, splitter, self.label.clone(), cx.budget.clone())
    }
}

#[async_trait]
impl Opener for RowsOpener {
    fn slices(&self) -> Vec<Slice> {
        vec![Slice::whole()]
    }

    async fn open(
        &self,
        _slice: &Slice,
        from: Option<&Cursor>,
        cx: &Cx<'_>,
    ) -> Result<Box<dyn Source>, Fault> {
        let plan = &self.plan;
        // What is read once is always read from where it stands.
        let mark = if self.rereading() == Rereading::Refeed { Mark::start() } else { self.mark(from)? };
        let feed = match &plan.place {
            Place::Stream(_) => {
                return Ok(Box::new(StreamRows { plan: plan.clone(), at: mark, live: None }));
            }
            Place::Stdin => plan.feed(Box::new(io::stdin()), mark, None, cx)?,
            Place::Pipe(path) => {
                let path = path.clone();
                // Opening a pipe waits for its other end.
                let opened = tokio::task::spawn_blocking(move || std::fs::File::open(path)).await;
                let file =
                    opened.map_err(io::Error::other).and_then(|r| r).map_err(|e| plan.label.fault(e))?;
                plan.feed(Box::new(file), mark, None, cx)?
            }
            Place::File(path) => {
                let hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner).take();
                let hash = hashed.filter(|(offset, _)| *offset == mark.offset).map(|(_, hash)| hash);
                let seek_to = if hash.is_some() { mark.offset } else { 0 };
                let (file, sought) = Place::open_file(path, seek_to).map_err(|e| plan.label.fault(e))?;
                plan.feed(Box::new(file), mark, hash.filter(|_| sought), cx)?
            }
        };
        Ok(Box::new(Rows { feed }))
    }

    async fn fingerprint(&self, upto: &Cursor, cx: &Cx<'_>) -> Result<Fingerprint, Fault> {
        let mark = self.mark(Some(upto))?;
        let plan = self.plan.clone();
        let mut receiving = None;
        let input: Box<dyn Read + Send> = match &plan.place {
            Place::Stdin | Place::Pipe(_) => return Ok(mark.fingerprint()),
            Place::File(path) => Box::new(std::fs::File::open(path).map_err(|e| plan.label.fault(e))?),
            Place::Stream(opener) => {
                let (reader, guard) = StreamReader::start(opener.open(cx).await?);
                receiving = Some(guard);
                Box::new(reader)
            }
        };
        let (offset, open) = (mark.offset, mark.open);
        let hashed = tokio::task::spawn_blocking(move || hash_upto(input, offset, open)).await;
        drop(receiving);
        let (hash, fingerprint) =
            hashed.map_err(io::Error::other).and_then(|r| r).map_err(|e| plan.label.fault(e))?;
        *self.hashed.lock().unwrap_or_else(PoisonError::into_inner) = Some((offset, hash));
        Ok(fingerprint)
    }

    fn remembered(&self, cursor: &Cursor) -> Fingerprint {
        Mark::read(cursor).map(|mark| mark.fingerprint()).unwrap_or_default()
    }

    fn rereading(&self) -> Rereading {
        match self.plan.place {
            Place::Stdin | Place::Pipe(_) => Rereading::Refeed,
            Place::File(_) | Place::Stream(_) => Rereading::Seek,
        }
    }

    fn name(&self) -> &str {
        &self.plan.label.name
    }

    fn size_hint(&self) -> Option<u64> {
        self.size
    }
}

/// What is listed is not read row by row.
fn no_rows() -> Fault {
    Fault::fatal("format", "the keys of a store are no rows")
}

/// Hashes the first `offset` decoded bytes. Where these ended in the middle of a line (`open`), a
/// line that goes on now is another line: a change as well.
fn hash_upto(input: Box<dyn Read + Send>, offset: u64, open: bool) -> io::Result<(Box<Xxh3>, Fingerprint)> {
    let mut input = Decoder::new(input);
    let hash = hash_prefix(&mut input, offset)?;
    let mut fingerprint = digest(&hash);
    let mut next = [0];
    if open && input.read(&mut next)? == 1 && !matches!(next, [b'\n' | b'\r']) {
        fingerprint.push('+');
    }
    Ok((hash, Fingerprint(fingerprint)))
}

/// Rows of a file or pipe.
struct Rows {
    feed: Feed,
}

#[async_trait]
impl Source for Rows {
    async fn next_page(&mut self, _cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        self.feed.next().await
    }
}

/// Rows of a stream: after a transient fault it is opened again, and what was read is passed.
struct StreamRows {
    plan: Arc<Plan>,
    at: Mark,
    live: Option<(Feed, Receiving)>,
}

#[async_trait]
impl Source for StreamRows {
    async fn next_page(&mut self, cx: &Cx<'_>) -> Result<Option<Page>, Fault> {
        let (feed, _receiving) = match &mut self.live {
            Some(live) => live,
            slot => {
                let Place::Stream(opener) = &self.plan.place else { return Ok(None) };
                let (reader, receiving) = StreamReader::start(opener.open(cx).await?);
                let feed = self.plan.feed(Box::new(reader), self.at.clone(), None, cx)?;
                slot.insert((feed, receiving))
            }
        };
        match feed.next().await {
            Ok(Some(page)) => {
                if let Some(mark) = Mark::read(&page.next) {
                    self.at = mark;
                }
                Ok(Some(page))
            }
            Ok(None) => Ok(None),
            Err(fault) => {
                self.live = None;
                Err(fault)
            }
        }
    }
}
