//! Bad input and bad days: each has its own message and exit status, and nothing is lost by it. The
//! real program, real sockets; what the lab does not play is played by servers of a few lines.

mod credentials;
#[cfg(target_os = "linux")]
mod disk;
mod files;
mod output;
mod rows;
mod services;
mod tls;
mod typed;
pub(crate) mod web;

use std::path::Path;

use haul_lab::Service;

use crate::enrich::Scene;
use crate::program::Said;

impl Scene {
    /// Looks users up for an input, and writes `out.jsonl`; with flags.
    pub(crate) fn look_up(&self, input: &str, more: &[&str]) -> Vec<String> {
        let lookup = format!("--lookup=user={}/users/{{user_id}}", self.lab.url(Service::Users));
        let mut args =
            ["enrich", input, &lookup, "--take=user=.data", "--to=out.jsonl"].map(str::to_owned).to_vec();
        args.extend(more.iter().map(|m| (*m).to_owned()));
        args
    }

    /// The same with typed columns, run to its end.
    pub(crate) fn typed(&self, input: &str, more: &[&str]) -> Said {
        self.place.haul(&self.look_up(input, &[&["--columns=user_id:int,video_id:int"], more].concat()))
    }

    /// A command that could not start left neither a run nor an output, and asked nobody anything.
    #[track_caller]
    pub(crate) fn is_untouched(&self) {
        assert_eq!(self.place.runs(), Vec::<String>::new(), "a run that could not start leaves nothing");
        assert!(!self.place.file("out.jsonl").exists(), "nor an output");
        assert_eq!(self.lab.truth(Service::Users).unwrap().requests, 0);
    }

    /// Rows of `out.jsonl`, each a whole object, no two of them equal.
    #[track_caller]
    pub(crate) fn rows(&self) -> usize {
        distinct_rows(&self.place.file("out.jsonl"))
    }
}

/// Rows of an output; fails when one is no object, or stands there twice.
#[track_caller]
fn distinct_rows(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows: Vec<&str> = text.lines().collect();
    for row in &rows {
        assert!(serde_json::from_str::<serde_json::Value>(row).unwrap().is_object(), "{row}");
    }
    let all = rows.len();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), all, "rows are repeated");
    all
}

impl Said {
    /// The counts of the summary: read, done, skipped, failed, rejected, in doubt, waiting. Fails
    /// unless they add up.
    #[track_caller]
    pub(crate) fn counts(&self) -> [u64; 7] {
        let line =
            self.err.lines().find(|l| l.starts_with("read ")).unwrap_or_else(|| panic!("{}", self.err));
        let mut numbers = line.split(['=', '+']).map(|part| {
            let digits: String = part.chars().filter(char::is_ascii_digit).collect();
            digits.parse::<u64>().unwrap()
        });
        let counts: [u64; 7] = std::array::from_fn(|_| numbers.next().unwrap());
        assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "{line}");
        counts
    }

    /// Fails unless the last line is this, or begins with it where it ends in `…`.
    #[track_caller]
    pub(crate) fn ends_with(self, wanted: &str) -> Self {
        let last = self.err.lines().last().unwrap_or_default();
        match wanted.strip_suffix('…') {
            Some(beginning) => assert!(last.starts_with(beginning), "{}", self.err),
            None => assert_eq!(last, wanted, "{}", self.err),
        }
        self
    }
}
