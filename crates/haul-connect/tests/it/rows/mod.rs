//! Row sources: CSV, TSV and JSON Lines from files, pipes and streams.

mod chunks;
mod delimited;
mod document;
mod jsonl;
mod place;
mod resume;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use haul_connect::rows::{ByteStream, OpenBytes, RowsOpener};
use haul_core::cx::{NoMemo, RunKey};
use haul_core::job::{Column, ColumnType, HeaderMode, OnInvalid, RowFormat, SourceSpec};
use haul_core::lane::{LaneId, Lanes, Origin, Permit};
use haul_core::limits::{LINE_BYTES, REJECTED_BYTES};
use haul_core::source::{Cursor, Opener, Page, Rereading, Slice};
use haul_core::{Budget, Clock, Cx, Fault, FaultClass, Moment, UnixMs};
use proptest::prelude::*;
use tempfile::TempDir;

/// Sources of rows use neither lanes nor clocks.
struct Nothing;

#[async_trait]
impl Lanes for Nothing {
    fn lane(&self, _: &Origin) -> LaneId {
        LaneId(0)
    }
    async fn enter(&self, _: LaneId) -> Permit {
        std::future::pending().await
    }
}

#[async_trait]
impl Clock for Nothing {
    fn now(&self) -> Moment {
        Moment(0)
    }
    fn wall(&self) -> UnixMs {
        UnixMs(0)
    }
    async fn sleep_until(&self, _: Moment) {}
}

/// Runs `f` with a context on a runtime of its own.
fn with_cx<T>(f: impl AsyncFnOnce(&Cx<'_>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let budget = Budget::new(1 << 30);
    let out = runtime.block_on(async {
        let cx =
            Cx { lanes: &Nothing, clock: &Nothing, budget: &budget, run: &RunKey([0; 16]), memo: &NoMemo };
        f(&cx).await
    });
    // A thread may still sleep in a read.
    runtime.shutdown_background();
    out
}

fn csv(location: &Path) -> SourceSpec {
    SourceSpec {
        format: RowFormat::Csv,
        location: location.to_str().unwrap().to_owned(),
        pages: None,
        header: HeaderMode::Auto,
        columns: Vec::new(),
        each: None,
        key: None,
        on_invalid: OnInvalid::Skip,
        if_changed: None,
        limit: None,
    }
}

fn columns(text: &str) -> Vec<Column> {
    let column = |c: &str| {
        let (name, kind) = c.split_once(':').unwrap_or((c, "str"));
        Column { name: name.to_owned(), kind: ColumnType::from_word(kind).unwrap() }
    };
    text.split(',').filter(|c| !c.is_empty()).map(column).collect()
}

fn pairs(location: &Path) -> SourceSpec {
    SourceSpec { columns: columns("user_id:int,video_id:int"), ..csv(location) }
}

fn jsonl(location: &Path) -> SourceSpec {
    SourceSpec { format: RowFormat::Jsonl, ..csv(location) }
}

/// An item as a test compares it: line, offset, key, and the record or `!` and the reason.
type Seen = (u64, u64, String, String);

fn seen(page: &Page) -> Vec<Seen> {
    let item = |i: &haul_core::source::NewItem| {
        let body = match &i.record {
            Ok(record) => String::from_utf8(record.base().to_vec()).unwrap(),
            Err(rejection) => format!("!{}", rejection.reason),
        };
        (i.position.line, i.position.offset, i.key.to_string(), body)
    };
    page.items.iter().map(item).collect()
}

async fn pages(opener: &RowsOpener, from: Option<&Cursor>, cx: &Cx<'_>) -> Result<Vec<Page>, Fault> {
    let mut source = opener.open(&Slice::whole(), from, cx).await?;
    let mut pages = Vec::new();
    while let Some(page) = source.next_page(cx).await? {
        pages.push(page);
    }
    assert!(source.next_page(cx).await?.is_none());
    Ok(pages)
}

/// Everything a source yields.
fn read(spec: &SourceSpec, stream: Option<Arc<dyn OpenBytes>>) -> Result<Vec<Seen>, Fault> {
    let opener = RowsOpener::new(spec, Path::new("/"), stream)?;
    with_cx(async |cx| Ok(pages(&opener, None, cx).await?.iter().flat_map(seen).collect()))
}

fn file(bytes: &[u8]) -> (TempDir, std::path::PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("in");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// What a file of these bytes yields: bodies, or the message of the fault.
fn rows(spec: impl Fn(&Path) -> SourceSpec, bytes: &[u8]) -> Result<Vec<Seen>, String> {
    let (_dir, path) = file(bytes);
    read(&spec(&path), None).map_err(|e| {
        assert_eq!(e.class(), FaultClass::Fatal);
        e.message().replace(path.to_str().unwrap(), "in")
    })
}

fn bodies(rows: Result<Vec<Seen>, String>) -> Vec<String> {
    rows.unwrap().into_iter().map(|(line, _, _, body)| format!("{line} {body}")).collect()
}

/// A stream that gives pieces, and breaks where it is told to.
struct Pieces {
    pieces: Vec<Bytes>,
    /// At the n-th opening (from 0) it breaks before this piece.
    breaks: Vec<usize>,
    opened: AtomicUsize,
}

struct PieceStream {
    pieces: std::vec::IntoIter<Bytes>,
    left: usize,
}

#[async_trait]
impl OpenBytes for Pieces {
    async fn open(&self, _: &Cx<'_>) -> Result<Box<dyn ByteStream>, Fault> {
        let n = self.opened.fetch_add(1, Ordering::SeqCst);
        let left = self.breaks.get(n).copied().unwrap_or(usize::MAX);
        Ok(Box::new(PieceStream { pieces: self.pieces.clone().into_iter(), left }))
    }
}

#[async_trait]
impl ByteStream for PieceStream {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.left == 0 {
            return Err(Fault::transient("lost", "the connection broke"));
        }
        self.left -= 1;
        Ok(self.pieces.next())
    }
}

fn stream(bytes: &[u8], sizes: &[usize]) -> Arc<Pieces> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().copied().cycle();
    while !rest.is_empty() {
        let n = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        pieces.push(Bytes::copy_from_slice(&rest[..n]));
        rest = &rest[n..];
    }
    Arc::new(Pieces { pieces, breaks: Vec::new(), opened: AtomicUsize::new(0) })
}

const URL: &str = "http://h/rows?sig=secret";
