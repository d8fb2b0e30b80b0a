//! What this process cost: peak memory and processor time.

use std::time::Duration;

/// Cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Most resident memory ever, bytes; 0 where the system does not tell.
    pub rss_peak: u64,
    /// Processor time of all threads, milliseconds; 0 where the system does not tell.
    pub cpu_ms: u64,
}

/// Asks the operating system.
pub fn so_far() -> Cost {
    let cpu_ms = u64::try_from(cpu().as_millis()).unwrap_or(u64::MAX);
    Cost { rss_peak: rss_peak().unwrap_or(0), cpu_ms }
}

fn rss_peak() -> Option<u64> {
    // Only Linux tells it without a library; elsewhere the figure is left out.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Processor time of all threads so far; zero where the system does not tell.
#[cfg(unix)]
pub fn cpu() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Processor time of all threads so far; zero where the system does not tell.
#[cfg(not(unix))]
pub fn cpu() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_costs_something() {
        let mut x = 1u64;
        while super::so_far().cpu_ms < 5 {
            x = x.wrapping_mul(31);
        }
        assert!(super::so_far().rss_peak > 100_000, "{x}");
    }
}
