//! What a reply says about when to come back, and about the limits of its service: `Retry-After`
//! (RFC 9110 §10.2.3), `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, as
//! structured fields and in the forms of its earlier versions), and the `X-RateLimit-*` that most
//! services send instead.

use std::time::{Duration, SystemTime};

use crate::job::units::parse_duration;

/// Longest hint that is believed: a day-long quota is one, a century is a mistake.
const LONGEST: Duration = Duration::from_secs(2 * 86_400);
/// Limits of one reply that are looked at: services state one or two.
const LIMITS: usize = 4;
/// Bytes kept of one field.
const FIELD_BYTES: usize = 512;
/// A reset that is larger is a moment: seconds since 1970, or milliseconds from [`EPOCH_MS`] on.
const EPOCH_SECS: f64 = 1e9;
const EPOCH_MS: f64 = 1e11;

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

/// A limit as one reply states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// What the service calls it; empty where it has no name.
    pub name: Box<str>,
    /// Requests in a window.
    pub limit: Option<u64>,
    /// The window.
    pub window: Option<Duration>,
    /// Requests that are left of it.
    pub left: Option<u64>,
    /// Time until the next one.
    pub reset: Option<Duration>,
}

/// The fields of a reply that state limits, as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitFields {
    /// `RateLimit-Policy`.
    policy: Option<String>,
    /// `RateLimit`.
    state: Option<String>,
    limit: Option<String>,
    left: Option<String>,
    reset: Option<String>,
    resource: Option<String>,
}

impl LimitFields {
    /// Whether a field of that name may state a limit.
    pub fn is_one(name: &str) -> bool {
        (9..=32).contains(&name.len()) && part(name).is_some()
    }

    /// Takes a field; any other is ignored. A field that comes twice is one list.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let place = match part(name).map(str::to_ascii_lowercase).as_deref() {
            Some("") => &mut self.state,
            Some("-policy") => &mut self.policy,
            Some("-limit" | "-limit-requests") => &mut self.limit,
            Some("-remaining" | "-remaining-requests") => &mut self.left,
            Some("-reset" | "-reset-requests" | "-reset-after") => &mut self.reset,
            Some("-resource") => &mut self.resource,
            _ => return,
        };
        let value = String::from_utf8_lossy(&value[..value.len().min(FIELD_BYTES)]);
        match place {
            Some(before) if before.len() < FIELD_BYTES => *before = format!("{before}, {value}"),
            Some(_) => {}
            None => *place = Some(value.trim().to_owned()),
        }
    }

    /// The limits they state, given the wall clock. What cannot be read states nothing.
    pub fn read(&self, now: SystemTime) -> Vec<Stated> {
        let mut all = Vec::new();
        for item in list(self.policy.as_deref()) {
            policy(&item, &mut all);
        }
        let state = list(self.state.as_deref());
        // Version 7 of the draft: `limit=100, remaining=50, reset=5`.
        let members: Vec<(&str, &str)> = state.iter().filter_map(|item| item.bare.split_once('=')).collect();
        if members.is_empty() {
            state.iter().for_each(|item| report(item, &mut all));
        } else {
            let member = |key| members.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
            let (limit, left, reset) = (member("limit"), member("remaining"), member("reset"));
            single((limit, left, reset), "", now, &mut all);
        }
        let plain = (self.limit.as_deref(), self.left.as_deref(), self.reset.as_deref());
        if plain != (None, None, None) {
            single(plain, self.resource.as_deref().unwrap_or_default(), now, &mut all);
        }
        all.retain(|stated| stated.limit != Some(0) && (stated.limit.is_some() || stated.left.is_some()));
        all.truncate(LIMITS);
        all
    }
}

/// What follows `RateLimit`, `X-RateLimit` or `X-Rate-Limit` in a name.
fn part(name: &str) -> Option<&str> {
    ["ratelimit", "x-ratelimit", "x-rate-limit"].into_iter().find_map(|prefix| {
        let (start, rest) = name.split_at_checked(prefix.len())?;
        (start.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with('-'))).then_some(rest)
    })
}

/// A member of a list with its parameters (RFC 9651 §3.1), as far as it matters here.
struct Entry<'a> {
    bare: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Entry<'_> {
    fn number(&self, key: &str) -> Option<u64> {
        self.parameters.iter().find(|(k, _)| *k == key)?.1.parse().ok()
    }

    fn seconds(&self, key: &str) -> Option<Duration> {
        self.number(key).map(|secs| Duration::from_secs(secs).min(LONGEST))
    }

    /// Counts requests, which is what there is when no unit is named.
    fn is_of_requests(&self) -> bool {
        self.parameters.iter().all(|(k, v)| *k != "qu" || v.trim_matches('"') == "requests")
    }
}

fn list(value: Option<&str>) -> Vec<Entry<'_>> {
    let members = outside_quotes(value.unwrap_or_default(), ',');
    members.into_iter().filter(|m| !m.is_empty()).map(entry).collect()
}

fn entry(member: &str) -> Entry<'_> {
    let mut parts = outside_quotes(member, ';').into_iter();
    let bare = parts.next().unwrap_or_default();
    let parameters = parts.filter_map(|p| p.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
    Entry { bare, parameters }
}

/// Splits at a character that stands outside of quotes.
fn outside_quotes(text: &str, at: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |c: char| {
        let splits = c == at && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        splits
    });
    parts.map(str::trim).collect()
}

/// `"burst";q=100;w=60`, or `100;w=60` as earlier versions had it.
fn policy(entry: &Entry<'_>, all: &mut Vec<Stated>) {
    if !entry.is_of_requests() {
        return;
    }
    let (name, limit) = match entry.bare.parse() {
        Ok(limit) => ("", Some(limit)),
        Err(_) => (entry.bare.trim_matches('"'), entry.number("q")),
    };
    if let (Some(limit), Some(window)) = (limit, entry.seconds("w")) {
        all.push(Stated {
            name: name.into(),
            limit: Some(limit),
            window: Some(window).filter(|w| !w.is_zero()),
            ..Stated::default()
        });
    }
}

/// `"burst";r=50;t=30`.
fn report(entry: &Entry<'_>, all: &mut Vec<Stated>) {
    if !entry.is_of_requests() {
        return;
    }
    let name = entry.bare.trim_matches('"');
    let (left, reset) = (entry.number("r"), entry.seconds("t"));
    match all.iter_mut().find(|stated| &*stated.name == name) {
        Some(stated) => (stated.left, stated.reset) = (left, reset),
        None => all.push(Stated { name: name.into(), left, reset, ..Stated::default() }),
    }
}

/// Three plain values. `limit` may be a list: `100, 100;w=60`.
fn single(
    (limit, left, reset): (Option<&str>, Option<&str>, Option<&str>),
    name: &str,
    now: SystemTime,
    all: &mut Vec<Stated>,
) {
    let limits = list(limit);
    let limit = limits.first().and_then(|entry| entry.bare.parse::<u64>().ok());
    let of_limit = |s: &&mut Stated| s.name.is_empty() && (limit.is_none() || s.limit == limit);
    let window = limits.iter().find_map(|entry| entry.seconds("w"));
    let left = left.and_then(|v| v.trim().parse::<f64>().ok()).map(|n| n.max(0.0) as u64);
    let reset = reset.and_then(|v| time_until(v, now));
    if let Some(stated) = all.iter_mut().find(of_limit) {
        (stated.left, stated.reset) = (left, reset);
        stated.window = stated.window.or(window);
        return;
    }
    all.push(Stated { name: name.chars().take(40).collect(), limit, window, left, reset });
}

/// A reset as services write it: seconds from now, seconds or milliseconds since 1970, `6m0s`, a date.
fn time_until(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<f64>() {
        Ok(n) if !n.is_finite() || n < 0.0 => return None,
        Ok(n) if n >= EPOCH_SECS => {
            let since = if n >= EPOCH_MS { n / 1000.0 } else { n };
            let at = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(since).ok()?)?;
            at.duration_since(now).unwrap_or(Duration::ZERO)
        }
        Ok(n) => Duration::try_from_secs_f64(n).ok()?,
        Err(_) => match parse_duration(value) {
            Ok(wait) => wait,
            Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or(Duration::ZERO),
        },
    };
    Some(wait.min(LONGEST))
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

    /// `name limit/window left reset` of each limit that the fields state, at 1994-11-06 08:49:37.
    fn read(fields: &[(&str, &str)]) -> String {
        let mut all = LimitFields::default();
        for (name, value) in fields {
            assert!(LimitFields::is_one(name), "{name}");
            all.add(name, value.as_bytes());
        }
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
        let secs = |d: Option<Duration>| d.map_or("-".to_owned(), |d| d.as_secs_f64().to_string());
        let text = |s: &Stated| {
            format!("{} {}/{} {} {}", s.name, number(s.limit), secs(s.window), number(s.left), secs(s.reset))
        };
        all.read(now).iter().map(text).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn limits_in_every_form_that_is_met() {
        for (fields, wanted) in [
            (
                &[
                    ("RateLimit-Policy", "\"burst\";q=100;w=60, \"daily\";q=1000;w=86400;pk=:abc=:"),
                    ("RateLimit", "\"daily\";r=7;t=3600"),
                    ("ratelimit", "\"burst\";r=99;t=30"),
                ][..],
                "burst 100/60 99 30, daily 1000/86400 7 3600",
            ),
            (&[("RateLimit", "\"a,b;c\";r=5")], "a,b;c -/- 5 -"),
            (&[("RateLimit-Policy", "\"bytes\";q=9;w=1;qu=\"content-bytes\"")], ""),
            (
                &[("RateLimit", "limit=100, remaining=50, reset=5"), ("RateLimit-Policy", "100;w=10")],
                " 100/10 50 5",
            ),
            (
                &[
                    ("RateLimit-Limit", "100, 100;w=60"),
                    ("RateLimit-Remaining", "40"),
                    ("RateLimit-Reset", "12"),
                ],
                " 100/60 40 12",
            ),
            (
                &[
                    ("X-RateLimit-Limit", "5000"),
                    ("X-RateLimit-Remaining", "4999"),
                    ("X-RateLimit-Reset", "60"),
                    ("X-RateLimit-Resource", "core"),
                ],
                "core 5000/- 4999 60",
            ),
            (
                &[("x-rate-limit-limit", "15"), ("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "9")],
                " 15/- 0 9",
            ),
            (
                &[
                    ("x-ratelimit-limit-requests", "60"),
                    ("x-ratelimit-remaining-requests", "59"),
                    ("x-ratelimit-reset-requests", "6m0s"),
                ],
                " 60/- 59 360",
            ),
            (&[("X-RateLimit-Remaining", "3.0"), ("X-RateLimit-Reset-After", "1.25")], " -/- 3 1.25"),
            (
                &[("X-RateLimit-Limit", "9"), ("X-RateLimit-Reset", "Sun, 06 Nov 1994 08:50:37 GMT")],
                " 9/- - 60",
            ),
            (&[("X-RateLimit-Limit", "0"), ("X-RateLimit-Remaining", "0")], ""),
            (&[("X-RateLimit-Limit", "lots"), ("X-RateLimit-Reset", "-1")], ""),
            (&[("X-RateLimit-Used", "1")], ""),
        ] {
            assert_eq!(read(fields), wanted, "{fields:?}");
        }
        for other in ["x-rate", "ratelimited", "retry-after", "x-ratelimits", ""] {
            assert!(!LimitFields::is_one(other), "{other}");
        }
    }

    #[test]
    fn moments_are_seconds_or_milliseconds_since_1970() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (value, secs) in [("1700000030", 30), ("1700000030000", 30), ("1699999999", 0), ("30", 30)] {
            assert_eq!(time_until(value, now), Some(Duration::from_secs(secs)), "{value}");
        }
        for bad in ["soon", "-3", "inf", ""] {
            assert_eq!(time_until(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn no_value_is_more_than_nonsense() {
        for value in ["\"", ";;;", ",,", "\"a\\\"b\";r=1", "=;=", "\u{e9}=1", "99999999999999999999;w=1"] {
            let mut all = LimitFields::default();
            for name in ["RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Reset"] {
                all.add(name, value.as_bytes());
            }
            assert!(all.read(SystemTime::now()).len() <= LIMITS);
        }
    }
}
