//! Numbers as people read them.

use haul_core::UnixMs;
use jiff::tz::TimeZone;

/// `20,000`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 item`, `2,000 items`.
pub fn items(n: u64) -> String {
    if n == 1 { "1 item".to_owned() } else { format!("{} items", count(n)) }
}

/// `14.1 MB`: powers of 1000, three digits.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value), UNITS[unit])
}

/// `480 µs`, `12.3 ms`, `1.20 s`.
pub fn micros(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} µs"),
        1_000..1_000_000 => format!("{} ms", three_digits(n as f64 / 1e3)),
        _ => format!("{} s", three_digits(n as f64 / 1e6)),
    }
}

/// `1,626/s`; with a decimal where there are few.
pub fn rate(items: u64, ms: u64) -> String {
    let per_second = items as f64 * 1000.0 / ms.max(1) as f64;
    if per_second >= 100.0 {
        format!("{}/s", count(per_second.round() as u64))
    } else {
        format!("{}/s", three_digits(per_second))
    }
}

/// `0.4 s`, `12 s`, `3:05 min`, `2:03:05 h`.
pub fn span(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..10 => format!("{}.{} s", s, ms % 1000 / 100),
        10..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02} h", s / 3600, s / 60 % 60, s % 60),
    }
}

/// Local time of day; with the date unless it is today.
pub fn clock(at: UnixMs) -> String {
    let Ok(at) = jiff::Timestamp::from_millisecond(at.0) else { return "?".to_owned() };
    let at = at.to_zoned(TimeZone::system());
    let form = if at.date() == jiff::Zoned::now().date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    at.strftime(form).to_string()
}

fn three_digits(value: f64) -> String {
    if value >= 99.95 {
        format!("{value:.0}")
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// One line that cannot disturb a terminal: control characters replaced, cut to `chars`.
pub fn plain(text: &str, chars: usize) -> String {
    let mut out: String =
        text.chars().take(chars).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(chars).is_some() {
        out.push('…');
    }
    out
}

/// Lines of columns: the first left-aligned, the others right-aligned.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if c == 0 {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("  {cell:>width$}"));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(14_100_000), "14.1 MB");
        assert_eq!(bytes(999_900), "1.00 MB");
        assert_eq!(micros(480), "480 µs");
        assert_eq!(micros(12_340), "12.3 ms");
        assert_eq!(micros(1_200_000), "1.20 s");
        assert_eq!(span(400), "0.4 s");
        assert_eq!(span(12_900), "12 s");
        assert_eq!(span(185_000), "3:05 min");
        assert_eq!(span(7_385_000), "2:03:05 h");
        assert_eq!(rate(20_000, 12_300), "1,626/s");
        assert_eq!(rate(5, 2_000), "2.50/s");
        assert_eq!(items(1), "1 item");
    }

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\nc", 99), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(plain("abcdef", 3), "abc…");
    }

    #[test]
    fn tables_line_up() {
        let rows = [vec!["step".to_owned(), "n".to_owned()], vec!["a".to_owned(), "100".to_owned()]];
        assert_eq!(table(&rows), "step    n\na     100\n");
    }
}
