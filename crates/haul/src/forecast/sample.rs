//! How many items a job has, as far as that can be known without asking anybody: files are read.

use std::time::{Duration, Instant};

use haul_connect::assemble::{AssembleContext, assemble};
use haul_core::cx::{NoMemo, RunKey};
use haul_core::job::{Job, RowFormat};
use haul_core::{Budget, Cx};
use haul_engine::TokioClock;

use crate::trial::{FreeLanes, Log};
use crate::{format, runs};

/// Reading a file ends after so long; the rest is taken to be like what was read.
const LONGEST: Duration = Duration::from_secs(1);

/// A number of items, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    /// How many; None: nobody knows.
    pub count: Option<u64>,
    /// It was counted, not estimated.
    pub exact: bool,
    /// In words.
    pub says: String,
}

impl Items {
    /// A number that is not known.
    pub fn unknown(why: impl Into<String>) -> Self {
        Items { count: None, exact: false, says: why.into() }
    }

    /// No more than a job wants.
    #[must_use]
    pub fn up_to(self, limit: Option<u64>) -> Self {
        match (self.count, limit) {
            (Some(n), Some(most)) if n > most => {
                Items { count: Some(most), exact: true, says: "the limit of the job".to_owned() }
            }
            (None, Some(most)) => {
                Items { count: Some(most), exact: false, says: "at most: the limit of the job".to_owned() }
            }
            _ => self,
        }
    }
}

/// Counts, or says why that cannot be.
pub fn items(job: &Job) -> Items {
    let location = &job.source.location;
    if let Some(pages) = &job.source.pages {
        return match pages.range {
            Some(range) => Items {
                count: Some(range.hi - range.lo),
                exact: false,
                says: "at most: a record for each id of the range".to_owned(),
            },
            None => Items::unknown("how many records there are is known when they have been read"),
        };
    }
    if job.source.format == RowFormat::Keys {
        return Items::unknown("how many objects there are is known when they have been listed");
    }
    match location.as_str() {
        "-" => Items::unknown("standard input: how much comes is not known"),
        url if url.starts_with("http://") || url.starts_with("https://") => {
            Items::unknown("the input is elsewhere, and was not asked for")
        }
        file => of_file(job).unwrap_or_else(|why| Items::unknown(format!("{file}: {why}"))),
    }
}

fn of_file(job: &Job) -> Result<Items, String> {
    // A pipe or a device can be read once, and not by a look.
    let path = runs::working_directory().join(&job.source.location);
    let meta = std::fs::metadata(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => e.to_string(),
    })?;
    if !meta.is_file() {
        return Err("it is no file; how much comes is not known".to_owned());
    }
    let context = AssembleContext {
        base: runs::working_directory(),
        output: None,
        // What is only looked at claims no names of files.
        witness: Some(std::sync::Arc::new(Log::default())),
        ..AssembleContext::default()
    };
    let live = assemble(job, &context).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("the asynchronous runtime does not start: {e}"))?;
    let counted = runtime.block_on(async {
        let (lanes, clock) = (FreeLanes::default(), TokioClock::new());
        let (budget, run) = (Budget::new(job.limits.memory), RunKey([0; 16]));
        let cx = Cx { lanes: &lanes, clock: &clock, budget: &budget, run: &run, memo: &NoMemo };
        let began = Instant::now();
        let (mut items, mut bytes) = (0u64, 0u64);
        for slice in live.opener.slices() {
            let mut source = live.opener.open(&slice, None, &cx).await?;
            while let Some(page) = source.next_page(&cx).await? {
                items += page.items.len() as u64;
                bytes += page.bytes;
                if began.elapsed() > LONGEST || job.source.limit.is_some_and(|most| items >= most) {
                    return Ok((items, bytes, false));
                }
            }
        }
        Ok::<_, haul_core::Fault>((items, bytes, true))
    });
    runtime.shutdown_background();
    let (items, bytes, whole) = counted.map_err(|fault| fault.message().to_owned())?;
    let name = live.opener.name();
    Ok(match (whole, live.opener.size_hint()) {
        (true, _) => Items { count: Some(items), exact: true, says: format!("all of {name} was read") },
        (false, Some(size)) if bytes > 0 => {
            let count = (items as f64 * size as f64 / bytes as f64).round() as u64;
            let says =
                format!("{} of {name} were read, and the rest is taken to be like it", format::bytes(bytes));
            Items { count: Some(count), exact: false, says }
        }
        (false, _) => Items::unknown(format!("{name} has more than {}", format::items(items))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_bounds_what_is_there() {
        let all = Items { count: Some(100), exact: true, says: "all".to_owned() };
        assert_eq!(all.clone().up_to(Some(200)), all);
        assert_eq!(all.up_to(Some(7)).count, Some(7));
        let unknown = Items::unknown("who knows");
        assert_eq!(unknown.clone().up_to(None).count, None);
        assert_eq!((unknown.clone().up_to(Some(9)).count, unknown.up_to(Some(9)).exact), (Some(9), false));
    }
}
