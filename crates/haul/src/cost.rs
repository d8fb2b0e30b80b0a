//! What this process cost: peak memory and processor time.

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
    Cost { rss_peak: rss_peak().unwrap_or(0), cpu_ms: cpu_ms().unwrap_or(0) }
}

fn rss_peak() -> Option<u64> {
    // Only Linux tells it without a library; elsewhere the figure is left out.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(unix)]
fn cpu_ms() -> Option<u64> {
    use rustix::time::{ClockId, clock_gettime};
    let t = clock_gettime(ClockId::ProcessCPUTime);
    let ms = i128::from(t.tv_sec) * 1000 + i128::from(t.tv_nsec) / 1_000_000;
    u64::try_from(ms).ok()
}

#[cfg(not(unix))]
fn cpu_ms() -> Option<u64> {
    None
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
