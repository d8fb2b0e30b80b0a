//! What is done when a run has ended: the file of failures, and a word to somebody.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use haul_core::ledger::Why;
use haul_engine::ledger::Reader;
use haul_engine::ledger::read::Selection;
use haul_engine::rundir::RunDir;
use serde_json::Value;

use crate::verbs::errors::{each, item_json};

/// How long a notification may take: it must not keep the next command waiting for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the file of failures can be written at all: said before a run that may take hours.
///
/// # Errors
/// A sentence that names the file.
pub fn can_write_failed(path: &Path) -> Result<(), String> {
    let told = |e: std::io::Error| format!("--failed-to {}: {e}", path.display());
    match path.metadata() {
        Ok(meta) if meta.is_dir() => {
            Err(format!("--failed-to {} is a directory: name a file in it", path.display()))
        }
        Ok(meta) if !meta.is_file() => Ok(()),
        _ => {
            let draft = draft(path);
            OpenOptions::new().append(true).create(true).open(&draft).map_err(told)?;
            std::fs::remove_file(&draft).map_err(told)
        }
    }
}

fn draft(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".part");
    draft.into()
}

/// Writes every item that failed, was rejected or is in doubt; an old file is replaced once the new one
/// is complete.
///
/// # Errors
/// A sentence that names the file.
pub fn write_failed(dir: &RunDir, path: &Path) -> Result<(), String> {
    let told = |e: &dyn std::fmt::Display| format!("--failed-to {}: {e}", path.display());
    let reader = Reader::open(dir.path()).map_err(|e| told(&e))?;
    // A device or a pipe takes what comes; it is nothing to be replaced.
    let in_place = path.metadata().is_ok_and(|meta| !meta.is_file());
    let draft = draft(path);
    let draft = if in_place { path } else { &draft };
    let opened = OpenOptions::new().write(true).create(!in_place).truncate(!in_place).open(draft);
    let mut out = BufWriter::new(opened.map_err(|e| told(&e))?);
    let which = Selection { whys: vec![Why::Failed, Why::Rejected, Why::InDoubt], signatures: Vec::new() };
    let mut wrong = None;
    each(&reader, &which, &mut |rows| {
        let written = rows.iter().try_for_each(|row| {
            let mut line = item_json(row, "");
            if let Some(line) = line.as_object_mut() {
                line.remove("id");
                // A record is JSON; bad input is whatever it was.
                if let Ok(record) = serde_json::from_slice::<Value>(&row.record) {
                    line.insert("record".to_owned(), record);
                }
            }
            writeln!(out, "{line}")
        });
        wrong = written.err();
        wrong.is_none()
    })
    .map_err(|e| told(&e))?;
    if let Some(e) = wrong {
        return Err(told(&e));
    }
    let file = out.into_inner().map_err(|e| told(&e.error()))?;
    if in_place {
        return Ok(());
    }
    file.sync_all().and_then(|()| std::fs::rename(draft, path)).map_err(|e| told(&e))
}

/// Runs the command of `--notify` with the summary on its standard input.
///
/// # Errors
/// A sentence about what became of it.
pub fn notify(command: &str, dir: &RunDir, status: u8, summary: &Value) -> Result<(), String> {
    let told = |e: &dyn std::fmt::Display| format!("--notify: {e}");
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut child = Command::new(shell)
        .args([flag, command])
        .env("HAUL_RUN", dir.name())
        .env("HAUL_DIR", dir.path())
        .env("HAUL_STATUS", status.to_string())
        .stdin(Stdio::piped())
        // Standard output is for data.
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| told(&e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // It need not read it.
        let _ = writeln!(stdin, "{summary}");
    }
    let began = Instant::now();
    loop {
        match child.try_wait().map_err(|e| told(&e))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(told(&format_args!("the command ended with {status}"))),
            None if began.elapsed() >= PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(told(&format_args!("the command took more than {} s", PATIENCE.as_secs())));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
