//! What each process said when it ended, a line of JSON each, in the run directory: traffic of steps and
//! cost are in no table of the ledger.

use std::fs;
use std::io::Write;

use haul_engine::Snapshot;
use haul_engine::ledger::run::wall;
use haul_engine::rundir::RunDir;
use serde_json::{Value, json};

use crate::progress::{accounts_json, lanes_json};

const FILE: &str = "processes.jsonl";
/// Processes that are remembered. Each takes about 2 kB.
const MOST: usize = 100;

/// Adds what this process says. A report that lacks it is better than a run that fails for it.
pub fn keep(dir: &RunDir, summary: &Value, last: &Snapshot) {
    let entry = json!({
        "ended_ms": wall().0,
        "version": env!("CARGO_PKG_VERSION"),
        "summary": summary,
        "lanes": lanes_json(last),
        "memory": { "peak": last.memory.1, "limit": last.memory_limit, "accounts": accounts_json(last) },
    });
    let mut lines = read(dir);
    lines.push(entry);
    let from = lines.len().saturating_sub(MOST);
    let text: String = lines[from..].iter().map(|line| format!("{line}\n")).collect();
    // Whoever reads meanwhile finds the old file or the new one.
    let (path, fresh) = (dir.path().join(FILE), dir.path().join(format!("{FILE}.new")));
    let written = fs::File::create(&fresh).and_then(|mut file| file.write_all(text.as_bytes()));
    if written.and_then(|()| fs::rename(&fresh, &path)).is_err() {
        drop(fs::remove_file(&fresh));
    }
}

/// Oldest first; what cannot be read is left out.
pub fn read(dir: &RunDir) -> Vec<Value> {
    let text = fs::read_to_string(dir.path().join(FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
