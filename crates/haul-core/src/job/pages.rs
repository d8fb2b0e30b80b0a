//! Sources that are APIs which answer in pages, and what is counted of a run's records.

use std::fmt;

/// How pages follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paging {
    /// A parameter says where a page starts: what `next` names, else the records (with a range: the
    /// ids) before it.
    Offset {
        /// The parameter.
        param: String,
        /// Expression over a page: where the next one starts; null at the end.
        next: Option<String>,
    },
    /// A parameter counts the pages.
    Page {
        /// The parameter.
        param: String,
    },
    /// A parameter repeats what a page said.
    Cursor {
        /// The parameter.
        param: String,
        /// Expression over a page: the parameter's next value; null at the end.
        next: String,
    },
    /// A page names the URL of the next.
    NextUrl {
        /// Expression over a page; null at the end.
        path: String,
    },
    /// The `Link` header names the URL of the next (RFC 8288).
    Link,
}

impl Paging {
    /// Its key in the job file.
    pub fn as_str(&self) -> &'static str {
        match self {
            Paging::Offset { .. } => "offset",
            Paging::Page { .. } => "page",
            Paging::Cursor { .. } => "cursor",
            Paging::NextUrl { .. } => "next_url",
            Paging::Link => "link",
        }
    }
}

/// How many records a page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// The parameter that says so.
    pub param: String,
    /// Its value, at least 1.
    pub count: u64,
}

/// Ids from `lo` to before `hi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first.
    pub lo: u64,
    /// The one after the last.
    pub hi: u64,
}

impl IdRange {
    /// Reads `A..B` (excludes B) or `A..=B`.
    ///
    /// # Errors
    /// A sentence that says how to write it, or that there is nothing in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("\"{text}\" is no range of ids: write A..B (without B) or A..=B");
        let (a, b) = text.split_once("..").ok_or_else(form)?;
        let (b, included) = b.strip_prefix('=').map_or((b, false), |b| (b, true));
        let number = |n: &str| {
            let plain: String = n.trim().chars().filter(|c| *c != '_').collect();
            plain
                .parse::<u64>()
                .map_err(|_| format!("\"{text}\": \"{}\" is not an integer from 0 to {}", n.trim(), u64::MAX))
        };
        let (lo, last) = (number(a)?, number(b)?);
        let hi = if included { last.saturating_add(1) } else { last };
        match lo.cmp(&hi) {
            std::cmp::Ordering::Less => Ok(IdRange { lo, hi }),
            std::cmp::Ordering::Equal => {
                Err(format!("\"{text}\" is empty: {a}..={b} would have one id in it"))
            }
            std::cmp::Ordering::Greater => Err(format!("\"{text}\" ends before it begins: write {b}..{a}")),
        }
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.lo, self.hi)
    }
}

/// An API that answers in pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagesSpec {
    /// Expression over a page: the list of its records.
    pub items: String,
    /// How pages follow each other.
    pub paging: Paging,
    /// How many records a page is asked for.
    pub size: Option<PageSize>,
    /// Ids to be read; they are the offsets. None: all there is, one page after the other.
    pub range: Option<IdRange>,
    /// Expression over a record: what tells it from all others.
    pub id: Option<String>,
}

/// What is summed up of all records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateSpec {
    /// Unique in the job.
    pub name: String,
    /// What it is.
    pub kind: AggregateKind,
}

/// A kind of summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AggregateKind {
    /// The most common values at a path.
    Count {
        /// The path.
        path: String,
        /// How many.
        n: u64,
    },
    /// The records with the highest numbers at a path.
    Top {
        /// The path.
        path: String,
        /// Path to what names a record.
        id: String,
        /// How many.
        n: u64,
        /// The lowest instead.
        lowest: bool,
    },
    /// Count, sum, extremes and quantiles of the numbers at a path.
    Stats {
        /// The path.
        path: String,
    },
}

impl AggregateSpec {
    /// How many values are reported when nothing is said.
    pub const N: u64 = 10;
    /// Most that can be: each is held.
    pub const N_MAX: u64 = 1_000_000;
    /// Path to what names a record when nothing is said.
    pub const ID: &str = ".id";

    /// The path it looks at.
    pub fn path(&self) -> &str {
        match &self.kind {
            AggregateKind::Count { path, .. }
            | AggregateKind::Top { path, .. }
            | AggregateKind::Stats { path } => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_with_and_without_their_end() {
        assert_eq!(IdRange::parse("5..9"), Ok(IdRange { lo: 5, hi: 9 }));
        assert_eq!(IdRange::parse("658_330_693..=732158492").unwrap().to_string(), "658330693..732158493");
        assert_eq!(IdRange::parse("0..=0"), Ok(IdRange { lo: 0, hi: 1 }));
        for (bad, why) in [
            ("5", "write A..B"),
            ("5..", "is not an integer"),
            ("a..b", "\"a\" is not an integer"),
            ("-1..5", "is not an integer"),
            ("5..5", "is empty"),
            ("9..5", "ends before it begins: write 5..9"),
        ] {
            let error = IdRange::parse(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
