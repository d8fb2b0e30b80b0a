//! Several items in one request.

use std::time::Duration;

/// How the body of a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BatchFormat {
    /// One JSON value.
    #[default]
    Json,
    /// Values on lines of their own, the last one ended as well (`_bulk` of Elasticsearch).
    Ndjson,
}

impl BatchFormat {
    /// The word in the job file.
    pub fn as_str(self) -> &'static str {
        match self {
            BatchFormat::Json => "json",
            BatchFormat::Ndjson => "ndjson",
        }
    }
}

/// Several items in one request of an effect.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchSpec {
    /// Most items in one request.
    pub max: u32,
    /// Only items with equal values of this go together: an expression over the record, or the name
    /// of a member.
    pub by: Option<String>,
    /// Longest wait for company.
    pub linger: Duration,
    /// How the body is written.
    pub format: BatchFormat,
    /// Expression over the reply: what became of each item. None: the status of the reply holds for
    /// all of them.
    pub outcomes: Option<String>,
}

impl Default for BatchSpec {
    fn default() -> Self {
        BatchSpec {
            max: 100,
            by: None,
            linger: Duration::from_millis(200),
            format: BatchFormat::default(),
            outcomes: None,
        }
    }
}
