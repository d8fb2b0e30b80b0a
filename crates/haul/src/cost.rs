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

/// Processor time that all processes of this machine took so far, over all its processors, in steps of 10 ms; None
/// where the system does not tell.
pub fn machine() -> Option<Duration> {
    // Only Linux tells it in a file.
    busy(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Processors that this process may use.
pub fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}

/// `cpu  user nice system idle iowait irq softirq …`, in hundredths of a second.
fn busy(stat: &str) -> Option<Duration> {
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(|n| n.parse::<u64>());
    let mut next = || fields.next()?.ok();
    let (user, nice, system, _idle, _iowait, irq, softirq) =
        (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
    Some(Duration::from_millis((user + nice + system + irq + softirq) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_stat_tells_what_the_machine_works() {
        let stat = "cpu  100 1 20 5000 300 3 4 50 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy(stat), Some(Duration::from_millis(1280)));
        assert_eq!(busy("cpu  100 1 20"), None);
        assert_eq!(busy(""), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_costs_something() {
        let mut x = 1u64;
        while so_far().cpu_ms < 5 {
            x = x.wrapping_mul(31);
        }
        assert!(so_far().rss_peak > 100_000, "{x}");
    }
}
