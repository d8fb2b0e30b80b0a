//! What a status means: for the item, for the lane, and for an effect that may have happened.

use haul_core::FaultClass;
use haul_core::job::{OnStatus, StatusSet};
use haul_core::lane::Sign;

/// The rules of a step. An explicit `on` comes first, then `expect`, then what HTTP says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusRules {
    /// What single statuses mean, first match wins.
    pub on: Vec<(StatusSet, OnStatus)>,
    /// Statuses that mean success; empty: 2xx.
    pub expect: Vec<StatusSet>,
}

/// What a status means for the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The reply is what was asked for.
    Success,
    /// The item is skipped.
    Skip,
    /// The result is `null`.
    Null,
    /// The step counts as done.
    Done,
    /// A fault of this class.
    Fault(FaultClass),
}

impl StatusRules {
    /// What a status means.
    pub fn meaning(&self, status: u16) -> Meaning {
        if let Some(on) = self.rule(status) {
            return match on {
                OnStatus::Skip => Meaning::Skip,
                OnStatus::Null => Meaning::Null,
                OnStatus::Done => Meaning::Done,
                OnStatus::Fail => Meaning::Fault(FaultClass::Permanent),
                OnStatus::Retry if class(status) == FaultClass::Throttled => {
                    Meaning::Fault(FaultClass::Throttled)
                }
                OnStatus::Retry => Meaning::Fault(FaultClass::Transient),
            };
        }
        if self.is_expected(status) { Meaning::Success } else { Meaning::Fault(class(status)) }
    }

    /// True when a rule or an expectation speaks of this status by name: then a redirect is not
    /// followed, and the lane is not told that something is wrong.
    pub fn names(&self, status: u16) -> bool {
        self.rule(status).is_some() || self.expect.iter().any(|set| set.contains(status))
    }

    /// `--expect` as messages show it.
    pub fn expected(&self) -> String {
        if self.expect.is_empty() {
            return "2xx".into();
        }
        self.expect.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    fn rule(&self, status: u16) -> Option<OnStatus> {
        self.on.iter().find(|(set, _)| set.contains(status)).map(|(_, on)| *on)
    }

    fn is_expected(&self, status: u16) -> bool {
        if self.expect.is_empty() {
            return (200..300).contains(&status);
        }
        self.expect.iter().any(|set| set.contains(status))
    }
}

/// The class of a status that is not expected: 429 and 503 ask for less, 408, 425 and 5xx may pass,
/// 401, 403 and 407 may, when credentials are renewed (the engine gives them few attempts); anything else
/// will be the same next time.
pub fn class(status: u16) -> FaultClass {
    match status {
        429 | 503 => FaultClass::Throttled,
        401 | 403 | 407 | 408 | 425 | 500..=599 => FaultClass::Transient,
        _ => FaultClass::Permanent,
    }
}

/// What a status tells about its lane; `named`: the job expects it.
pub fn sign(status: u16, named: bool) -> Sign {
    match status {
        429 | 503 => Sign::Throttled,
        _ if named => Sign::Answered,
        401 | 403 | 407 => Sign::Denied,
        502 | 504 => Sign::Lost,
        500..=599 => Sign::Erred,
        _ => Sign::Answered,
    }
}

/// True when a request answered so may have taken effect all the same: the service (or a proxy
/// before it) gave up on something that had begun. 429, 503 and the 4xx say that it did not.
pub fn is_ambiguous(status: u16) -> bool {
    matches!(status, 408 | 500..=599) && !matches!(status, 501 | 503 | 505)
}

/// The usual words for a status (RFC 9110 §15 and its neighbours).
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(on: &[(&str, OnStatus)], expect: &[&str]) -> StatusRules {
        StatusRules {
            on: on.iter().map(|(set, on)| (StatusSet::parse(set).unwrap(), *on)).collect(),
            expect: expect.iter().map(|set| StatusSet::parse(set).unwrap()).collect(),
        }
    }

    #[test]
    fn an_explicit_rule_comes_first_then_expect_then_the_standard() {
        let plain = rules(&[], &[]);
        assert_eq!(plain.meaning(200), Meaning::Success);
        assert_eq!(plain.meaning(204), Meaning::Success);
        for (status, class) in [
            (404, FaultClass::Permanent),
            (401, FaultClass::Transient),
            (302, FaultClass::Permanent),
            (101, FaultClass::Permanent),
            (408, FaultClass::Transient),
            (425, FaultClass::Transient),
            (500, FaultClass::Transient),
            (599, FaultClass::Transient),
            (429, FaultClass::Throttled),
            (503, FaultClass::Throttled),
        ] {
            assert_eq!(plain.meaning(status), Meaning::Fault(class), "{status}");
        }
        let only_201 = rules(&[("200", OnStatus::Done), ("4xx", OnStatus::Skip)], &["201", "404"]);
        assert_eq!(only_201.meaning(201), Meaning::Success);
        assert_eq!(only_201.meaning(200), Meaning::Done);
        assert_eq!(only_201.meaning(202), Meaning::Fault(FaultClass::Permanent));
        assert_eq!(only_201.meaning(404), Meaning::Skip);
        let first = rules(&[("404", OnStatus::Null), ("4xx", OnStatus::Retry)], &[]);
        assert_eq!(first.meaning(404), Meaning::Null);
        assert_eq!(first.meaning(429), Meaning::Fault(FaultClass::Throttled));
        assert_eq!(first.meaning(403), Meaning::Fault(FaultClass::Transient));
        assert_eq!(
            rules(&[("5xx", OnStatus::Fail)], &[]).meaning(500),
            Meaning::Fault(FaultClass::Permanent)
        );
    }

    #[test]
    fn lanes_are_told_what_is_wrong_with_them() {
        assert_eq!(sign(404, false), Sign::Answered);
        assert_eq!(sign(403, false), Sign::Denied);
        assert_eq!(sign(403, true), Sign::Answered);
        assert_eq!(sign(429, true), Sign::Throttled);
        assert_eq!(sign(503, false), Sign::Throttled);
        assert_eq!(sign(502, false), Sign::Lost);
        assert_eq!(sign(500, false), Sign::Erred);
    }

    #[test]
    fn what_may_have_taken_effect() {
        let ambiguous: Vec<u16> = (100..600).filter(|s| is_ambiguous(*s)).collect();
        assert!(ambiguous.contains(&500) && ambiguous.contains(&504) && ambiguous.contains(&408));
        assert!(!ambiguous.contains(&429) && !ambiguous.contains(&503) && !ambiguous.contains(&400));
        assert!(ambiguous.iter().all(|s| *s == 408 || *s >= 500));
    }
}
