//! Durations and sizes as people write them: `1h30m`, `200ms`, `12MiB`, `20M`.

use std::time::Duration;

/// Units of time, longest first, in milliseconds: job files and flags know nothing shorter.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size. Letters alone are powers of 1000, as disks and networks count; `KiB` and so on
/// are powers of 1024, as memory does.
const SIZES: [(&str, u64); 11] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1000),
];

/// Reads `200ms`, `10m`, `1h30m`. A unit is required; zero is refused.
///
/// # Errors
/// A sentence that names the text and shows how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("\"{text}\" is not a time: write it like 200ms, 30s, 10m or 1h30m");
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let count: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let unit = &rest[digits..digits + letters];
        let ms = TIMES.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms).ok_or_else(bad)?;
        if ms >= last {
            return Err(bad());
        }
        last = ms;
        total = count.checked_mul(ms).and_then(|n| total.checked_add(n)).ok_or_else(bad)?;
        rest = &rest[digits + letters..];
    }
    if last == u64::MAX {
        return Err(bad());
    }
    if total == 0 {
        return Err(format!("a time of \"{text}\" would leave no time at all"));
    }
    Ok(Duration::from_millis(total))
}

/// The shortest exact writing of a duration in whole milliseconds; what is finer is cut off.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, ms) in TIMES {
        if rest >= ms {
            out.push_str(&format!("{}{unit}", rest / ms));
            rest %= ms;
        }
    }
    out
}

/// Reads `12MiB`, `20M`, `4096B`, `4096`. Zero is refused.
///
/// # Errors
/// A sentence that names the text and shows how to write it.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("\"{text}\" is not a size: write it like 12MiB, 20M or 4096B");
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: u64 = text[..digits].parse().map_err(|_| bad())?;
    let unit = text[digits..].trim_start();
    let bytes = match unit {
        "" | "B" => 1,
        unit => SIZES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, bytes)| *bytes)
            .ok_or_else(bad)?,
    };
    match count.checked_mul(bytes) {
        Some(0) => Err(format!("a size of \"{text}\" is no room at all")),
        Some(n) if i64::try_from(n).is_ok() => Ok(n),
        _ => Err(bad()),
    }
}

/// The shortest exact writing of a size.
pub fn format_size(bytes: u64) -> String {
    SIZES
        .iter()
        .filter(|(_, n)| bytes > 0 && bytes.is_multiple_of(*n))
        .map(|(unit, n)| format!("{}{unit}", bytes / n))
        .min_by_key(String::len)
        .unwrap_or_else(|| format!("{bytes}B"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("200ms").unwrap(), Duration::from_millis(200));
        assert_eq!(parse_duration("1s500ms").unwrap(), Duration::from_millis(1500));
        assert_eq!(format_duration(Duration::from_secs(600)), "10m");
        for bad in ["10", "", "m", "10x", "30m1h", "5m5m", "-1s", "0s", "1.5s", "99999999999999999999d", "ä"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_know_memory_and_disk_units() {
        assert_eq!(parse_size("12MiB").unwrap(), 12 << 20);
        assert_eq!(parse_size("20M").unwrap(), 20_000_000);
        assert_eq!(parse_size("4096").unwrap(), 4096);
        assert_eq!(parse_size("1 gib").unwrap(), 1 << 30);
        assert_eq!(format_size(12 << 20), "12MiB");
        assert_eq!(format_size(20_000_000), "20M");
        assert_eq!(format_size(4097), "4097B");
        for bad in ["", "M", "12Q", "0", "-1", "99999999T", "1.5G", "ä"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 1u64..10_000_000_000, bytes in 1u64..1 << 50) {
            let d = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(d)).unwrap(), d);
            prop_assert_eq!(parse_size(&format_size(bytes)).unwrap(), bytes);
        }
    }
}
