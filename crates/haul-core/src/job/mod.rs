//! What to do, frozen and serialisable. Every verb compiles to a [`Job`]; a job file is one.
//!
//! Only `source`, `steps`, `output` and `aggregates` (and what they refer to by name: URLs of
//! services) make the identity of a run. Rates, concurrency, memory, attempts, secrets and display
//! may change from one process of a run to the next.

mod batch;
mod bound;
mod check;
mod diagnose;
mod download;
mod each;
mod freeze;
mod goal;
mod identity;
mod pages;
mod parse;
mod schema;
mod status;
mod store;
pub mod units;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pace::{Bandwidth, Rate};
use crate::secret::SecretSpec;

pub use batch::{BatchFormat, BatchSpec};
pub use bound::MaxFailed;
pub use check::{Problem, check, is_secret_header};
pub use diagnose::{Diagnostic, Place, Places, line_column, nearest, tidy};
pub use download::{DownloadSpec, FileSpec, parse_file};
pub use each::{EachStep, parse_each};
pub use freeze::freeze;
pub use goal::Goal;
pub use identity::{Identity, what_differs};
pub use pages::{AggregateKind, AggregateSpec, IdRange, PageSize, PagesSpec, Paging};
pub use parse::{Given, Parsed, parse, parse_action, parse_column, parse_status, parse_stores};
pub use schema::SCHEMA;
pub use status::{OnStatus, StatusSet};
pub use store::{PlaceText, StoreKind, StoreSpec, parse_place};
pub use write::{write, write_frozen};

pub use crate::pace::Concurrency;

/// The job file format written by this version.
pub const FORMAT: u32 = 1;

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What to call it in run names: the verb it was lowered from, or the stem of its file.
    pub verb: String,
    /// Where items come from.
    pub source: SourceSpec,
    /// Services by name; a step's URL may start with `{name}`.
    pub services: BTreeMap<String, ServiceSpec>,
    /// Object stores by name; places in them are written `NAME:BUCKET/PREFIX`.
    pub stores: BTreeMap<String, StoreSpec>,
    /// References to secrets by name.
    pub secrets: BTreeMap<String, SecretSpec>,
    /// What is done to each item, in order.
    pub steps: Vec<StepSpec>,
    /// What is summed up of done items, in the order in which it is reported.
    pub aggregates: Vec<AggregateSpec>,
    /// Where done items are written.
    pub output: Option<OutputSpec>,
    /// Retry policy.
    pub retry: RetrySpec,
    /// Bounds that may change between processes of one run.
    pub limits: LimitsSpec,
    /// At-least-once or at-most-once.
    pub delivery: Delivery,
}

/// How rows are written in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// Tab-separated values.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// Records within one JSON document, wherever they stand in it.
    Json,
    /// One http(s) URL a line.
    Urls,
    /// The objects of a store, by key.
    Keys,
}

impl RowFormat {
    /// The key in the job file.
    pub fn as_str(self) -> &'static str {
        match self {
            RowFormat::Csv => "csv",
            RowFormat::Tsv => "tsv",
            RowFormat::Jsonl => "jsonl",
            RowFormat::Json => "json",
            RowFormat::Urls => "urls",
            RowFormat::Keys => "keys",
        }
    }
}

/// Whether the first line of a CSV names its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HeaderMode {
    /// It does when it fits no column types, or when it equals the declared names.
    #[default]
    Auto,
    /// It always does.
    Yes,
    /// It never does.
    No,
}

/// Type of a CSV column; anything else in it rejects the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ColumnType {
    /// Any text, written as a JSON string.
    #[default]
    Str,
    /// An integer of any size, written as it stands.
    Int,
    /// A JSON number, written as it stands.
    Float,
    /// `true` or `false`.
    Bool,
    /// Any JSON value, written as it stands.
    Json,
}

impl ColumnType {
    /// The word after the colon in `--columns id:int`.
    pub fn as_str(self) -> &'static str {
        match self {
            ColumnType::Str => "str",
            ColumnType::Int => "int",
            ColumnType::Float => "float",
            ColumnType::Bool => "bool",
            ColumnType::Json => "json",
        }
    }

    /// The inverse of [`ColumnType::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        [ColumnType::Str, ColumnType::Int, ColumnType::Float, ColumnType::Bool, ColumnType::Json]
            .into_iter()
            .find(|t| t.as_str() == word)
    }
}

/// A named, typed column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name of the member of the record.
    pub name: String,
    /// What it must hold.
    pub kind: ColumnType,
}

/// What to do with input that is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnInvalid {
    /// It is rejected, the run goes on and ends with exit status 3.
    #[default]
    Skip,
    /// The run stops at once with exit status 2.
    Stop,
}

/// What to do from the first difference on when the input changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfChanged {
    /// Skip what was done, by key.
    SkipDone,
    /// Take everything.
    All,
    /// Stop and say so.
    Stop,
}

/// Where items come from.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// How rows are written.
    pub format: RowFormat,
    /// A path, `-` for standard input, or an http(s) URL. Compression is known by content. Of pages:
    /// the URL of the first, which may start with a `{service}`.
    pub location: String,
    /// An API that answers in pages, whose records are JSON objects.
    pub pages: Option<PagesSpec>,
    /// See [`HeaderMode`]; CSV and TSV only.
    pub header: HeaderMode,
    /// Declared columns; CSV and TSV only. Empty: named by the header, all text.
    pub columns: Vec<Column>,
    /// Where the records of a document stand; JSON only. None: `.[]`.
    pub each: Option<String>,
    /// Template of the key: `{user_id},{video_id}`. None: the whole record's text (CSV: the line; a
    /// document: the name of the member, else `id`; a list of URLs: the URL).
    pub key: Option<String>,
    /// What to do with bad input.
    pub on_invalid: OnInvalid,
    /// What to do when the input changed; None: by the kind of job.
    pub if_changed: Option<IfChanged>,
    /// Stop reading after so many items.
    pub limit: Option<u64>,
}

impl SourceSpec {
    /// A source with nothing said but where it is.
    pub fn new(format: RowFormat, location: impl Into<String>) -> Self {
        SourceSpec {
            format,
            location: location.into(),
            pages: None,
            header: HeaderMode::default(),
            columns: Vec::new(),
            each: None,
            key: None,
            on_invalid: OnInvalid::default(),
            if_changed: None,
            limit: None,
        }
    }

    /// Its key in the job file.
    pub fn as_str(&self) -> &'static str {
        if self.pages.is_some() { "get" } else { self.format.as_str() }
    }

    /// The name of the service its pages come from.
    pub fn service(&self) -> Option<&str> {
        self.pages.as_ref()?;
        service_of(&self.location)
    }
}

/// The name of the service that a URL starts with.
fn service_of(url: &str) -> Option<&str> {
    let (name, _) = url.strip_prefix('{')?.split_once('}')?;
    Some(name)
}

/// A service: its base URL, its pace, and what is sent with every request.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ServiceSpec {
    /// Base URL without a final slash.
    pub url: String,
    /// Base URLs of others that answer the same. Each has a pace of its own.
    pub replicas: Vec<String>,
    /// Ceiling of the rate.
    pub rate: Option<Rate>,
    /// Requests in flight.
    pub concurrency: Option<Concurrency>,
    /// Names of secrets sent with every request.
    pub auth: Vec<String>,
    /// Headers sent with every request.
    pub headers: BTreeMap<String, String>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// `GET` a URL template; the reply's JSON body is attached under the step's name.
    Get {
        /// URL template.
        url: String,
        /// Expression over the body; None: the whole body.
        take: Option<String>,
        /// How long results are kept for equal URLs; None: not at all.
        cache: Option<Duration>,
    },
    /// Send the item to a URL template.
    Post {
        /// URL template.
        url: String,
        /// Expression over the record; None: an object of the lookups by name (without lookups:
        /// the record). Of a batch: over `{items: [record, …]}`; None: the list of these.
        body: Option<String>,
        /// `PUT` instead of `POST`.
        put: bool,
        /// Several items in one request.
        batch: Option<BatchSpec>,
        /// The body is compressed with gzip.
        gzip: bool,
    },
    /// Save the files that a record names.
    Download(DownloadSpec),
    /// Copy the object that an item stands for.
    Copy {
        /// The place that stands for that of the source.
        to: String,
        /// Types that objects must be, by their usual extension: `png`; empty: any.
        types: Vec<String>,
    },
    /// Attach the value of an expression.
    Map {
        /// Expression over the record.
        expr: String,
    },
    /// Skip items for which the expression is false or null.
    Filter {
        /// Expression over the record.
        expr: String,
    },
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepSpec {
    /// Unique in the job.
    pub name: String,
    /// What it does.
    pub kind: StepKind,
    /// What single statuses mean, first match wins.
    pub on: Vec<(StatusSet, OnStatus)>,
    /// Statuses that mean success; empty: 2xx.
    pub expect: Vec<StatusSet>,
    /// Headers of this step.
    pub headers: BTreeMap<String, String>,
    /// Time for one attempt of this step; None: the job's.
    pub timeout: Option<Duration>,
}

impl StepSpec {
    /// A step with nothing said but what it does.
    pub fn new(name: impl Into<String>, kind: StepKind) -> Self {
        let name = name.into();
        StepSpec { name, kind, on: Vec::new(), expect: Vec::new(), headers: BTreeMap::new(), timeout: None }
    }

    /// The name of the service its URL starts with.
    pub fn service(&self) -> Option<&str> {
        let (StepKind::Get { url, .. } | StepKind::Post { url, .. }) = &self.kind else { return None };
        service_of(url)
    }
}

/// The name of the step that `where` becomes.
pub const WHERE: &str = "where";

/// The filter that `where` becomes: the first step.
pub fn where_step(expr: impl Into<String>) -> StepSpec {
    StepSpec::new(WHERE, StepKind::Filter { expr: expr.into() })
}

/// Where done items are written.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSpec {
    /// Csv or Jsonl.
    pub format: RowFormat,
    /// A path.
    pub path: String,
    /// Expression for the row; None: the record with everything attached.
    pub row: Option<String>,
    /// What to do when the file exists at the start of a fresh run.
    pub exists: IfExists,
}

/// What a fresh run does with an output file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IfExists {
    /// Refuses to start.
    #[default]
    Refuse,
    /// Empties it.
    Overwrite,
    /// Writes after what is there.
    Append,
}

/// Retry policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrySpec {
    /// Attempts charged to an item before it fails.
    pub attempts: u32,
    /// Time after the first attempt in which an item may be retried; None: no bound.
    pub within: Option<Duration>,
    /// How long a service that refuses everything is waited for before the run stops; None: for ever.
    pub give_up_after: Option<Duration>,
    /// More failures than this stop the run; None: no bound.
    pub max_failed: Option<MaxFailed>,
}

impl Default for RetrySpec {
    fn default() -> Self {
        RetrySpec { attempts: 8, within: None, give_up_after: None, max_failed: None }
    }
}

/// Bounds that are not part of a run's identity.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitsSpec {
    /// Requests in flight to each service that says nothing else; a number is also that of items in
    /// work.
    pub concurrency: Concurrency,
    /// Ceiling of the rate of every service that has none of its own.
    pub rate: Option<Rate>,
    /// Bytes a second that may come in, all services together; empty: no bound.
    pub bandwidth: Vec<Bandwidth>,
    /// Bytes accounted over everything that grows.
    pub memory: u64,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Time for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest silence while a reply is read.
    pub read_timeout: Duration,
    /// Bytes a second below which a download is given up and tried again.
    pub min_throughput: u64,
    /// Bytes of the destination's disk that stay free.
    pub keep_free: u64,
    /// Expression over the record as it was read: 0, which is usual, to 3; what is higher is begun
    /// first. None: all are alike.
    pub priority: Option<String>,
    /// Latency that is aimed at, and reported as met or not.
    pub goal: Option<Goal>,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        LimitsSpec {
            concurrency: Concurrency::default(),
            rate: None,
            bandwidth: Vec::new(),
            memory: crate::limits::MEMORY_DEFAULT,
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            min_throughput: 1024,
            keep_free: 0,
            priority: None,
            goal: None,
        }
    }
}

/// What happens to an effect whose reply was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Delivery {
    /// It is sent again with the same idempotency key.
    #[default]
    AtLeastOnce,
    /// It is never sent again: in doubt until a person settles it.
    AtMostOnce,
}
