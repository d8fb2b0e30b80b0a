//! What a reply says about when to come back: `Retry-After` in seconds or as a date (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

/// Longest hint that is believed: a day-long quota is one, a century is a mistake.
const LONGEST: Duration = Duration::from_secs(2 * 86_400);

/// Reads the value of `Retry-After`, given the wall clock. A date in the past is zero; nonsense is
/// `None`.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else if let Some(secs) = fraction(value) {
        secs
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST))
}

/// Some services send `1.5`, which the standard does not know.
fn fraction(value: &str) -> Option<Duration> {
    value
        .contains('.')
        .then(|| value.parse::<f64>().ok())
        .flatten()
        .and_then(|secs| Duration::try_from_secs_f64(secs).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let at = |v| retry_after(v, now);
        assert_eq!(at("120"), Some(Duration::from_secs(120)));
        assert_eq!(at(" 0 "), Some(Duration::ZERO));
        assert_eq!(at("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(at("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(at("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(at("99999999999999999999999"), Some(LONGEST));
        for bad in ["", "soon", "-5", "1e309", "NaN."] {
            assert_eq!(at(bad), None, "{bad:?}");
        }
    }
}
