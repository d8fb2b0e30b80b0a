//! How lanes speak of faults and of time.

use haul_core::Fault;

/// What a fault says, without the URL that it begins with.
pub(super) fn reason(fault: &Fault) -> &str {
    let message = fault.message();
    match message.split_once("://").and_then(|(_, rest)| rest.split_once(": ")) {
        Some((_, reason)) => reason,
        None => message,
    }
}

/// Seconds as people say them.
pub(super) fn spoken(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        _ => format!("{} h", secs / 3600),
    }
}
