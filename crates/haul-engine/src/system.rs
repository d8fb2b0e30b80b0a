//! What the operating system says about this process.

use std::time::Duration;

/// Resident memory in bytes; 0 where it cannot be told.
pub fn resident() -> u64 {
    // Only Linux tells it without a library; elsewhere the figure is left out.
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// The most memory this process ever held, in bytes; 0 where it cannot be told.
pub fn peak_resident() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")).and_then(|n| n.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Processor time of this process, user and system, to the nearest 10 ms; zero where it cannot be
/// told.
pub fn cpu_time() -> Duration {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Duration::ZERO };
    // The name in parentheses may hold spaces; utime and stime are the 12th and 13th field after it.
    let Some((_, rest)) = stat.rsplit_once(')') else { return Duration::ZERO };
    let ticks = rest.split_ascii_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok());
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_micros(ticks.sum::<u64>() * 1_000_000 / per_second)
}
