//! What messages say of a lane that does not answer.

use std::time::Duration;

use haul_core::lane::Sign;
use haul_core::{Fault, Moment};

use super::lane::{FORBIDDEN, Lane};

impl Lane {
    /// Since when the lane waits as a whole, and what is said of it.
    pub(super) fn refusal(&self) -> Option<(Moment, String)> {
        let s = self.state();
        let (since, sign) = s.breaker.open_since()?;
        let why = s.why.as_ref();
        let says = match sign {
            Sign::Unreachable => match why.map(reason) {
                Some(reason) => format!("cannot be reached ({reason})"),
                None => "cannot be reached".to_owned(),
            },
            Sign::Lost => "loses every request".to_owned(),
            Sign::Throttled => "refuses everything (429 or 503)".to_owned(),
            Sign::Denied => match (s.denied, why) {
                (None, Some(why)) => format!("cannot be trusted ({})", reason(why)),
                (Some(FORBIDDEN), _) => {
                    "refuses access to everything (403; if that is meant: --on 403=fail)".to_owned()
                }
                _ if self.credential.is_empty() => "needs credentials: it refuses access".to_owned(),
                _ => format!(
                    "needs credentials: it refuses those it is given ({}), which are read again",
                    self.credential
                ),
            },
            Sign::Answered | Sign::Erred => "does not answer".to_owned(),
        };
        Some((since, says))
    }

    /// Why a run cannot start: the service refused from the very first request on.
    pub(super) fn hopeless(&self) -> Fault {
        let name = &self.name;
        let s = self.state();
        let denied = s.denied.map_or(String::new(), |status| format!(" with {status}"));
        let fault = match (&s.why, s.breaker.last_sign()) {
            (Some(why), Some(Sign::Denied)) if s.denied.is_none() => Fault::fatal("untrusted", why.message()),
            (_, Some(Sign::Denied)) if self.credential.is_empty() => Fault::fatal(
                "denied",
                format!(
                    "{name} refuses access{denied}, and no credentials were given: add -H 'Authorization: …'"
                ),
            ),
            (_, Some(Sign::Denied)) => Fault::fatal(
                "denied",
                format!(
                    "{name} refuses the credentials ({}){denied}: correct what the secret refers to, then run the same command again",
                    self.credential
                ),
            ),
            (why, _) => {
                let reason = why.as_ref().map_or(String::new(), |why| format!(" ({})", reason(why)));
                Fault::fatal(
                    "connect",
                    format!(
                        "{name} cannot be reached{reason}: nothing answered since the start; is the address right?"
                    ),
                )
            }
        };
        fault.with_origin(name.clone())
    }
}

/// What a fault says, without the URL that it begins with.
fn reason(fault: &Fault) -> &str {
    let message = fault.message();
    match message.split_once("://").and_then(|(_, rest)| rest.split_once(": ")) {
        Some((_, reason)) => reason,
        None => message,
    }
}

/// A length of time as people say it.
pub(super) fn spoken(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        _ => format!("{} h", secs / 3600),
    }
}
