//! What each process said when it ended, a line of JSON each, in the run directory: traffic of steps and
//! cost are in no table of the ledger.

use std::fs;
use std::io::Write;

use haul_core::UnixMs;
use haul_engine::Snapshot;
use haul_engine::ledger::run::wall;
use haul_engine::rundir::RunDir;
use serde_json::{Value, json};

use crate::progress::{accounts_json, lanes_json};

const FILE: &str = "processes.jsonl";
/// Beginnings and ends of processes that are remembered. An end takes about 2 kB.
const MOST: usize = 200;

/// Notes that a process begins: one that is killed says nothing later.
pub fn begin(dir: &RunDir) {
    let entry =
        json!({ "began_ms": wall().0, "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") });
    add(dir, &entry);
}

/// Adds what this process says. A report that lacks it is better than a run that fails for it.
pub fn keep(dir: &RunDir, summary: &Value, last: &Snapshot) {
    let entry = json!({
        "ended_ms": wall().0,
        "version": env!("CARGO_PKG_VERSION"),
        "summary": summary,
        "lanes": lanes_json(last),
        "memory": { "peak": last.memory.1, "limit": last.memory_limit, "accounts": accounts_json(last) },
    });
    add(dir, &entry);
}

fn add(dir: &RunDir, entry: &Value) {
    let mut lines = all(dir);
    lines.push(entry.clone());
    let from = lines.len().saturating_sub(MOST);
    let text: String = lines[from..].iter().map(|line| format!("{line}\n")).collect();
    // Whoever reads meanwhile finds the old file or the new one.
    let (path, fresh) = (dir.path().join(FILE), dir.path().join(format!("{FILE}.new")));
    let written = fs::File::create(&fresh).and_then(|mut file| file.write_all(text.as_bytes()));
    if written.and_then(|()| fs::rename(&fresh, &path)).is_err() {
        drop(fs::remove_file(&fresh));
    }
}

/// What processes said when they ended, oldest first.
pub fn read(dir: &RunDir) -> Vec<Value> {
    all(dir).into_iter().filter(|entry| entry["ended_ms"].is_i64()).collect()
}

/// When processes began, oldest first; with the moment at which it ended where it said so.
pub fn lives(dir: &RunDir) -> Vec<(UnixMs, Option<UnixMs>)> {
    let mut lives: Vec<(UnixMs, Option<UnixMs>)> = Vec::new();
    for entry in all(dir) {
        match (entry["began_ms"].as_i64(), entry["ended_ms"].as_i64(), lives.last_mut()) {
            (Some(at), ..) => lives.push((UnixMs(at), None)),
            (None, Some(at), Some((_, ended @ None))) => *ended = Some(UnixMs(at)),
            _ => {}
        }
    }
    lives
}

/// Oldest first; what cannot be read is left out.
fn all(dir: &RunDir) -> Vec<Value> {
    let text = fs::read_to_string(dir.path().join(FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
