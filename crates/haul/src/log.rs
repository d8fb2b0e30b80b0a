//! `run.log`: everything that is said of a run while a process drives it, each line with its time.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_core::limits;
use serde_json::{Value, json};

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// The time, and what a person reads
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// How grave something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// All is well.
    Info,
    /// A person may want to look.
    Warn,
    /// Something did not work.
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// The log of one run. What cannot be written is dropped: a view never harms a run.
pub struct Log {
    path: PathBuf,
    format: LogFormat,
    file: Mutex<Option<(File, u64)>>,
}

impl Log {
    /// Goes on with the log at `path`, or makes it.
    pub fn open(path: &Path, format: LogFormat) -> Self {
        Log { path: path.to_owned(), format, file: Mutex::new(append(path)) }
    }

    /// Writes what a person reads, or the event that it is.
    pub fn write(&self, level: Level, text: &str, event: &Value) {
        let mut out = String::new();
        match self.format {
            LogFormat::Json => {
                out.push_str(&stamped(level, event).to_string());
                out.push('\n');
            }
            LogFormat::Text => {
                let time = time();
                for line in text.lines() {
                    out.push_str(&format!("{time} {line}\n"));
                }
            }
        }
        let mut file = self.lock();
        if file.as_ref().is_some_and(|(_, len)| len + out.len() as u64 > limits::LOG_BYTES) {
            *file = None;
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            *file = std::fs::rename(&self.path, old).ok().and_then(|()| append(&self.path));
        }
        if let Some((file, len)) = file.as_mut() {
            // One write, so that lines of two processes do not mix.
            *len += out.len() as u64;
            let _ = file.write_all(out.as_bytes());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(File, u64)>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event with its time and level.
pub fn stamped(level: Level, event: &Value) -> Value {
    let mut all = json!({ "time": time(), "level": level.as_str() });
    if let (Some(all), Some(fields)) = (all.as_object_mut(), event.as_object()) {
        all.extend(fields.clone());
    }
    all
}

/// Now, in UTC, to the millisecond (RFC 3339).
fn time() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn append(path: &Path) -> Option<(File, u64)> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).ok()?;
    let len = file.metadata().ok()?.len();
    Some((file, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_time_and_events_their_level() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.log");
        let event = json!({ "event": "note", "message": "two\nlines" });
        Log::open(&path, LogFormat::Text).write(Level::Warn, "two\nlines", &event);
        Log::open(&path, LogFormat::Json).write(Level::Warn, "two\nlines", &event);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (time, rest) = lines[0].split_once(' ').unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && rest == "two", "{text}");
        assert_eq!(lines[1].split_once(' ').unwrap().1, "lines");
        let event: Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!((&event["level"], &event["message"]), (&json!("warn"), &json!("two\nlines")));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_log_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.log");
        let log = Log::open(&path, LogFormat::Text);
        let line = "x".repeat(64 << 10);
        for _ in 0..3 * (limits::LOG_BYTES >> 16) {
            log.write(Level::Info, &line, &Value::Null);
        }
        let size = |p: &str| std::fs::metadata(dir.path().join(p)).unwrap().len();
        assert!(size("run.log") <= limits::LOG_BYTES && size("run.log.1") <= limits::LOG_BYTES);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
