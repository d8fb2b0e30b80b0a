//! What `haul top` and `haul count` share: naming files, showing progress, telling what went wrong.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::Args;
use haul_core::job::{Column, HeaderMode, OnInvalid, parse_column};
use haul_reduce::{BadLine, Columns, Format, Input, OpenError, Origin, Progress, ReduceError, ScanError};

use crate::{exit, output};

/// How records are written, and what to do with those that are wrong.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input")]
pub struct RowFlags {
    /// The input is one JSON object a line
    #[arg(long, conflicts_with_all = ["csv", "tsv"])]
    pub jsonl: bool,
    /// The input is comma-separated values
    #[arg(long, conflicts_with = "tsv")]
    pub csv: bool,
    /// The input is tab-separated values
    #[arg(long)]
    pub tsv: bool,
    /// Whether the first line names the columns
    #[arg(long, value_name = "yes|no|auto", value_parser = header_mode)]
    pub csv_header: Option<HeaderMode>,
    /// Names of the columns: user_id,score (types, as other verbs take them, make no difference)
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = parse_column)]
    pub columns: Vec<Column>,
    /// What to do with an invalid line: stop, or skip it (the exit status is 2 either way)
    #[arg(long, value_name = "skip|stop", value_parser = on_invalid)]
    pub on_invalid: Option<OnInvalid>,
}

impl RowFlags {
    /// The format that was said.
    pub(in crate::verbs) fn format(&self) -> Option<Format> {
        match (self.jsonl, self.csv, self.tsv) {
            (true, _, _) => Some(Format::Jsonl),
            (_, true, _) => Some(Format::Csv),
            (_, _, true) => Some(Format::Tsv),
            _ => None,
        }
    }

    pub(in crate::verbs) fn columns(&self) -> Columns {
        let names = self.columns.iter().map(|c| c.name.clone()).collect();
        Columns { header: self.csv_header.unwrap_or_default(), names }
    }

    pub(in crate::verbs) fn skips(&self) -> bool {
        self.on_invalid == Some(OnInvalid::Skip)
    }
}

fn header_mode(word: &str) -> Result<HeaderMode, String> {
    match word {
        "yes" => Ok(HeaderMode::Yes),
        "no" => Ok(HeaderMode::No),
        "auto" => Ok(HeaderMode::Auto),
        _ => Err("write yes, no or auto".to_owned()),
    }
}

fn on_invalid(word: &str) -> Result<OnInvalid, String> {
    match word {
        "skip" => Ok(OnInvalid::Skip),
        "stop" => Ok(OnInvalid::Stop),
        _ => Err("write skip or stop".to_owned()),
    }
}

/// Opens what was named: paths, patterns, URLs, `-` for standard input.
pub(in crate::verbs) fn open(names: &[String]) -> Result<Vec<Input>, OpenError> {
    let mut inputs = Vec::new();
    let mut stdin = false;
    for name in names {
        if name == "-" {
            if std::mem::replace(&mut stdin, true) {
                return Err(OpenError::new("-", "standard input can be read once only"));
            }
            inputs.push(Input::open(Origin::Stdin)?);
        } else if name.starts_with("http://") || name.starts_with("https://") {
            inputs.push(super::download::open(name)?);
        } else if Path::new(name).exists() || !name.contains(['*', '?', '[']) {
            inputs.push(Input::open(Origin::Path(name.into()))?);
        } else {
            inputs.extend(matching(name)?);
        }
    }
    Ok(inputs)
}

/// Files that match a pattern, in order of their names; at least one.
fn matching(pattern: &str) -> Result<Vec<Input>, OpenError> {
    let paths = glob::glob(pattern).map_err(|e| OpenError::new(pattern, format!("is not a pattern: {e}")))?;
    let mut inputs = Vec::new();
    for path in paths {
        let path = path.map_err(|e| OpenError::new(e.path().display().to_string(), e.error().to_string()))?;
        if !path.is_dir() {
            inputs.push(Input::open(Origin::Path(path))?);
        }
    }
    if inputs.is_empty() { Err(OpenError::new(pattern, "no file matches")) } else { Ok(inputs) }
}

/// True when data comes in through standard input although no file was named.
pub(in crate::verbs) fn is_piped() -> bool {
    !io::stdin().is_terminal()
}

/// Runs `work`; when a person watches and it takes more than a second, shows how far it is.
pub(in crate::verbs) fn watched<T>(verb: &str, work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    if !output::is_watched() {
        return work(&progress);
    }
    let (done, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let show = std::thread::Builder::new().stack_size(64 * 1024);
        // Without a thread for it there is no progress to be seen, and nothing else is lost.
        let progress = &progress;
        let _ = show.spawn_scoped(scope, move || {
            let start = Instant::now();
            let mut wait = Duration::from_secs(1);
            let mut shown = false;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                draw(&format!("\r\x1b[K{}", state(verb, progress, start.elapsed())));
                shown = true;
                wait = Duration::from_millis(200);
            }
            if shown {
                draw("\r\x1b[K");
            }
        });
        let result = work(progress);
        drop(done);
        result
    })
}

fn draw(text: &str) {
    let mut err = io::stderr().lock();
    // A terminal that went away is no reason to stop.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// `top  41 %  1.24 GB/s  ETA 3 s`
fn state(verb: &str, progress: &Progress, elapsed: Duration) -> String {
    let done = progress.done();
    let rate = done as f64 / elapsed.as_secs_f64();
    let speed = format!("{:.2} GB/s", rate / 1e9);
    match progress.total() {
        Some(total) if done < total && rate > 0.0 => {
            let share = done as f64 / total as f64 * 100.0;
            let left = (total - done) as f64 / rate;
            format!("{verb}  {share:.0} %  {speed}  ETA {left:.0} s")
        }
        Some(_) => format!("{verb}  100 %  {speed}  finishing"),
        None => format!("{verb}  {:.1} GB read  {speed}", done as f64 / 1e9),
    }
}

/// Tells why there is no result; the exit status.
pub(in crate::verbs) fn complain(error: &ReduceError) -> u8 {
    output::complain(&error.to_string());
    match error {
        ReduceError::Open(_) => exit::NO_START,
        ReduceError::Scan(ScanError::Bad(_) | ScanError::Read { damaged: true, .. }) => exit::INVALID,
        ReduceError::Scan(_) | ReduceError::Disk(_) => exit::NO_START,
        ReduceError::Usage(_) => exit::USAGE,
    }
}

/// Tells what was passed over; the exit status.
pub(in crate::verbs) fn skipped(count: u64, first: &[BadLine]) -> u8 {
    if count == 0 {
        return exit::DONE;
    }
    for bad in first {
        output::complain(&format!("{bad} (skipped)"));
    }
    let lines =
        if count == 1 { "1 invalid line was".to_owned() } else { format!("{count} invalid lines were") };
    output::complain(&format!("{lines} skipped; the result is of the others"));
    exit::INVALID
}

/// Standard output for large results: written in blocks, never partly after a failure.
#[derive(Default)]
pub(in crate::verbs) struct Data(Vec<u8>);

impl Write for Data {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() >= 64 * 1024 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let sent = output::data(&self.0);
        self.0.clear();
        if sent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_match_nothing_and_files_that_are_missing_are_named() {
        let reason = |name: &str| open(&[name.to_owned()]).unwrap_err().to_string();
        assert_eq!(reason("/no/such/file"), "/no/such/file: no such file");
        assert_eq!(reason("/no/such/*.jsonl"), "/no/such/*.jsonl: no file matches");
        assert!(reason("/").contains("is a directory"));
    }

    #[test]
    fn patterns_name_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.jsonl", "a.jsonl", "c.txt"] {
            std::fs::write(dir.path().join(name), "{}\n").unwrap();
        }
        let inputs = open(&[dir.path().join("*.jsonl").display().to_string()]).unwrap();
        let names: Vec<&str> = inputs.iter().map(Input::name).collect();
        assert_eq!(names.len(), 2);
        assert!(names[0].ends_with("a.jsonl") && names[1].ends_with("b.jsonl"));
    }
}
