//! What a service is scripted to do, and the fate each request meets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mix::{mix, unit};

/// Base latency of a service with a capacity but no latency: without one nothing could get slower.
const CAPACITY_LATENCY_MS: f64 = 10.0;

/// How a service behaves. All rates are shares of requests, 0.0 to 1.0; together at most 1.0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Answered with an error status before the effect.
    pub error_rate: f64,
    /// The status of those errors; 0: 500 and 503 by turns.
    pub error_status: u16,
    /// Connection closed before the effect (half of them reset).
    pub drop_rate: f64,
    /// The effect happens, then the connection is closed without a reply.
    pub reply_loss: f64,
    /// The effect happens, then the reply is cut off in its body.
    pub truncate_rate: f64,
    /// Answered 200 with an HTML page, without the effect.
    pub html_rate: f64,
    /// Never answered: the connection stays open and silent, without the effect.
    pub hang_rate: f64,
    /// Share of ids that do not exist (404); the same ids every time.
    pub missing_rate: f64,
    /// Share of documents that the index refuses (400); the same documents every time.
    pub refuse_rate: f64,
    /// Files: share of ids under which, with a status of 200, something else is: an HTML page, JSON,
    /// another type, nothing.
    pub wrong_rate: f64,
    /// Files: share of ids that have moved (302).
    pub redirect_rate: f64,
    /// Files: share of requests answered slowly.
    pub slow_rate: f64,
    /// Files: how slowly, in bytes a second.
    pub slow_bytes: u64,
    /// Files: ranges are not understood.
    pub no_ranges: bool,
    /// S3: share of objects that are said to have another ETag than theirs when they are read; the same every time.
    pub etag_rate: f64,
    /// S3: what arrives is not compared with the MD5 that goes along.
    pub no_digests: bool,
    /// Files: another number, other contents and validators.
    pub generation: u64,
    /// Pages: share whose next page is said to be themselves.
    pub loop_rate: f64,
    /// Pages: share before which up to nine records are put in, so that the page starts early.
    pub shift_rate: f64,
    /// Service time, ms.
    pub latency_ms: f64,
    /// Added to it, uniform from 0, ms.
    pub jitter_ms: f64,
    /// Requests it can work on at once (0: any number). Beyond it, service time grows in
    /// proportion; beyond four times as many, it sheds with 503.
    pub capacity: u32,
    /// Requests a second it admits (0: any number); the rest get 429. A tenth of a second's worth
    /// may come at once.
    pub rate_limit: u32,
    /// Whether replies tell the limit in `X-RateLimit-*`.
    pub rate_headers: bool,
    /// `Retry-After` of 429 and 503, seconds; without it 429 says 1 and 503 says nothing.
    pub retry_after_s: Option<u32>,
    /// Replies are gzip-encoded without being asked for.
    pub gzip: bool,
    /// Refuses with this status (401 or 403); 0: does not.
    pub deny: u16,
    /// Requests it lets through before it refuses.
    pub deny_after: u64,
    /// Requests without `Authorization: Bearer TOKEN` get 401; empty: no token is asked for.
    pub token: String,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            error_rate: 0.0,
            error_status: 0,
            drop_rate: 0.0,
            reply_loss: 0.0,
            truncate_rate: 0.0,
            html_rate: 0.0,
            hang_rate: 0.0,
            missing_rate: 0.0,
            refuse_rate: 0.0,
            wrong_rate: 0.0,
            redirect_rate: 0.0,
            slow_rate: 0.0,
            slow_bytes: 10_000,
            no_ranges: false,
            etag_rate: 0.0,
            no_digests: false,
            generation: 0,
            loop_rate: 0.0,
            shift_rate: 0.0,
            latency_ms: 0.0,
            jitter_ms: 0.0,
            capacity: 0,
            rate_limit: 0,
            rate_headers: false,
            retry_after_s: None,
            gzip: false,
            deny: 0,
            deny_after: 0,
            token: String::new(),
        }
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Answered as it should be.
    Answer,
    /// Answered with this status before the effect.
    Error(u16),
    /// Connection closed before the effect.
    Drop,
    /// As [`Fate::Drop`], with a reset.
    Reset,
    /// Effect, then the connection is closed.
    LoseReply,
    /// Effect, then a reply cut off in its body.
    Truncate,
    /// An HTML page with status 200.
    Html,
    /// Nothing, for ever.
    Hang,
}

impl Script {
    /// Checks ranges; the message names the member and its bounds.
    pub fn check(&self) -> Result<(), String> {
        let rates = [
            ("error_rate", self.error_rate),
            ("drop_rate", self.drop_rate),
            ("reply_loss", self.reply_loss),
            ("truncate_rate", self.truncate_rate),
            ("html_rate", self.html_rate),
            ("hang_rate", self.hang_rate),
        ];
        let others = [
            ("missing_rate", self.missing_rate),
            ("refuse_rate", self.refuse_rate),
            ("wrong_rate", self.wrong_rate),
            ("redirect_rate", self.redirect_rate),
            ("slow_rate", self.slow_rate),
            ("etag_rate", self.etag_rate),
            ("loop_rate", self.loop_rate),
            ("shift_rate", self.shift_rate),
        ];
        for (name, rate) in rates.iter().chain(&others) {
            if !(0.0..=1.0).contains(rate) {
                return Err(format!("{name} is {rate}: it is a share of requests, from 0 to 1"));
            }
        }
        let sum: f64 = rates.iter().map(|(_, rate)| rate).sum();
        if sum > 1.0 + 1e-9 {
            return Err(format!("the fault rates add up to {sum}: together they are at most 1"));
        }
        for (name, ms) in [("latency_ms", self.latency_ms), ("jitter_ms", self.jitter_ms)] {
            if !(0.0..=3_600_000.0).contains(&ms) {
                return Err(format!("{name} is {ms}: it is milliseconds, from 0 to an hour"));
            }
        }
        if !matches!(self.deny, 0 | 401 | 403) {
            return Err(format!("deny is {}: it is 401, 403, or 0 for not at all", self.deny));
        }
        if self.error_status != 0 && !(400..=599).contains(&self.error_status) {
            return Err(format!(
                "error_status is {}: it is 400 to 599, or 0 for 500 and 503",
                self.error_status
            ));
        }
        Ok(())
    }

    /// The fate of the `ordinal`-th request of a service: the same for the same seed.
    pub fn fate(&self, seed: u64, ordinal: u64) -> Fate {
        let bits = mix(seed ^ mix(ordinal));
        let mut at = unit(bits);
        let odd = bits & 1 == 1;
        let error = match (self.error_status, odd) {
            (0, false) => 500,
            (0, true) => 503,
            (status, _) => status,
        };
        let ladder = [
            (self.error_rate, Fate::Error(error)),
            (self.drop_rate, if odd { Fate::Reset } else { Fate::Drop }),
            (self.reply_loss, Fate::LoseReply),
            (self.truncate_rate, Fate::Truncate),
            (self.html_rate, Fate::Html),
            (self.hang_rate, Fate::Hang),
        ];
        for (rate, fate) in ladder {
            if at < rate {
                return fate;
            }
            at -= rate;
        }
        Fate::Answer
    }

    /// Service time of the `ordinal`-th request with `in_flight` requests (this one included) in work.
    pub fn service_time(&self, seed: u64, ordinal: u64, in_flight: u32) -> Duration {
        let mut ms = self.latency_ms;
        if self.jitter_ms > 0.0 {
            ms += self.jitter_ms * unit(mix(!seed ^ mix(ordinal)));
        }
        if self.capacity > 0 {
            if ms == 0.0 {
                ms = CAPACITY_LATENCY_MS;
            }
            ms *= (f64::from(in_flight) / f64::from(self.capacity)).max(1.0);
        }
        if ms == 0.0 { Duration::ZERO } else { Duration::from_secs_f64(ms / 1000.0) }
    }

    /// True when there is too much in flight to take one more.
    pub fn sheds(&self, in_flight: u32) -> bool {
        self.capacity > 0 && in_flight > self.capacity.saturating_mul(4)
    }

    /// Whether the index refuses a document, by the hash of its user and video.
    pub(crate) fn is_refused(&self, seed: u64, pair: u64) -> bool {
        self.refuse_rate > 0.0 && unit(mix(seed.rotate_left(29) ^ pair)) < self.refuse_rate
    }

    /// Whether an id does not exist.
    pub fn is_missing(&self, seed: u64, id: u64) -> bool {
        self.missing_rate > 0.0 && unit(mix(seed.rotate_left(17) ^ mix(id))) < self.missing_rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_come_at_their_rates_and_are_the_same_every_time() {
        let script = Script {
            error_rate: 0.1,
            drop_rate: 0.05,
            reply_loss: 0.05,
            hang_rate: 0.01,
            ..Script::default()
        };
        let fates: Vec<Fate> = (0..100_000).map(|n| script.fate(7, n)).collect();
        assert_eq!(fates, (0..100_000).map(|n| script.fate(7, n)).collect::<Vec<_>>());
        assert_ne!(fates, (0..100_000).map(|n| script.fate(8, n)).collect::<Vec<_>>());
        let share = |f: &dyn Fn(&Fate) -> bool| fates.iter().filter(|x| f(x)).count() as f64 / 100_000.0;
        let near = |x: f64, want: f64| assert!((x - want).abs() < want * 0.1, "{x} is not near {want}");
        near(share(&|f| *f == Fate::Error(500)), 0.05);
        near(share(&|f| *f == Fate::Error(503)), 0.05);
        near(share(&|f| matches!(f, Fate::Drop | Fate::Reset)), 0.05);
        near(share(&|f| *f == Fate::LoseReply), 0.05);
        near(share(&|f| *f == Fate::Hang), 0.01);
        near(share(&|f| *f == Fate::Answer), 0.79);
    }

    #[test]
    fn service_time_grows_beyond_capacity_and_then_it_sheds() {
        let script = Script { latency_ms: 20.0, capacity: 16, ..Script::default() };
        assert_eq!(script.service_time(1, 1, 1), Duration::from_millis(20));
        assert_eq!(script.service_time(1, 1, 16), Duration::from_millis(20));
        assert_eq!(script.service_time(1, 1, 32), Duration::from_millis(40));
        assert!(!script.sheds(64));
        assert!(script.sheds(65));
        let script = Script { capacity: 4, ..Script::default() };
        assert_eq!(script.service_time(1, 1, 8), Duration::from_millis(20));
    }

    #[test]
    fn impossible_scripts_are_refused_by_name() {
        let bad = |script: Script| script.check().unwrap_err();
        assert!(bad(Script { drop_rate: 1.5, ..Script::default() }).contains("drop_rate is 1.5"));
        assert!(
            bad(Script { drop_rate: 0.6, error_rate: 0.6, ..Script::default() }).contains("add up to 1.2")
        );
        assert!(bad(Script { latency_ms: -1.0, ..Script::default() }).contains("latency_ms is -1"));
        assert!(bad(Script { deny: 500, ..Script::default() }).contains("deny is 500"));
        assert!(bad(Script { error_status: 200, ..Script::default() }).contains("error_status is 200"));
        assert!(Script { error_rate: 0.5, drop_rate: 0.5, ..Script::default() }.check().is_ok());
    }

    #[test]
    fn missing_ids_are_always_the_same() {
        let script = Script { missing_rate: 0.1, ..Script::default() };
        let missing: Vec<u64> = (0..10_000).filter(|id| script.is_missing(3, *id)).collect();
        assert!((800..1200).contains(&missing.len()), "{}", missing.len());
        assert!(missing.iter().all(|id| script.is_missing(3, *id)));
    }
}
