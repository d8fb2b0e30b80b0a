//! Limits that a service states of itself: how many requests it takes in a window, and how many are
//! left of them.
//!
//! What is left is counted down with every request that is sent, so that none is sent only to be
//! refused; when nothing is left the lane is shut until the next window. The newest reply is believed,
//! less what was in flight then: it may be counted already or not, which the last of them tells. A
//! window of a minute or less also bounds the rate, as a bucket that refills steadily is not used up
//! by bursts. A longer one does not: a job that needs less than there is need not be slow, and one that
//! needs more has to wait anyway.

use std::fmt;
use std::time::Duration;

use super::gcra::Rate;
use super::hint::Stated;
use crate::clock::Moment;

/// Windows up to this long are paced evenly.
const EVEN: Duration = Duration::from_secs(60);
/// Resets are given in whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);
/// Limits of one lane that are kept; a service that names more of them has them for other requests.
const KEPT: usize = 8;
/// Rates that differ by less are the same: the window is measured by the service's replies.
const SAME: f64 = 0.02;

/// The stated limits of one lane.
#[derive(Clone, Debug)]
pub struct Quotas {
    all: Vec<Quota>,
    /// The last rate that was told.
    rate: Option<Rate>,
    /// When what was told last to be shut opens.
    told: Moment,
}

#[derive(Clone, Debug)]
struct Quota {
    name: Box<str>,
    limit: Option<u64>,
    /// As stated.
    window: Option<Duration>,
    /// The longest time until the next window that was ever stated.
    longest: Duration,
    left: Option<u64>,
    /// The next window begins then.
    until: Moment,
}

/// What was learned of a reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    /// The rate is bounded by this from now on, and why.
    pub rate: Option<(Rate, Why)>,
    /// Nothing is left for so long, and why.
    pub shut: Option<(Duration, Why)>,
    /// There is something left again.
    pub opened: bool,
}

/// What a service said, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    name: Box<str>,
    limit: Option<u64>,
    window: Option<Duration>,
    left: Option<u64>,
}

impl fmt::Display for Why {
    /// `the service states 100 in 60 s (burst)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.limit, self.window) {
            (Some(limit), Some(window)) => write!(f, "the service states {limit} in {}", Secs(window))?,
            (Some(limit), None) => write!(f, "the service states a limit of {limit}")?,
            (None, _) => f.write_str("the service states a limit")?,
        }
        if !self.name.is_empty() {
            write!(f, " ({})", self.name)?;
        }
        if self.left == Some(0) {
            f.write_str(", and none is left")?;
        }
        Ok(())
    }
}

/// A window as people say it.
struct Secs(Duration);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64().round() as u64 {
            n @ 0..120 => write!(f, "{n} s"),
            n @ 120..7200 => write!(f, "{} min", n.div_ceil(60)),
            n => write!(f, "{} h", n.div_ceil(3600)),
        }
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Quotas { all: Vec::new(), rate: None, told: Moment(0) }
    }
}

impl Quotas {
    /// A reply stated these, with so many other requests in flight.
    pub fn told(&mut self, stated: &[Stated], others: u32, now: Moment) -> Learned {
        let was_shut = self.shut_until(now).is_some();
        for one in stated {
            self.update(one, others, now);
        }
        let until = self.shut_until(now);
        let mut learned = Learned { opened: was_shut && until.is_none(), ..Learned::default() };
        // Less those in flight nothing may be left, which the last of them tells.
        let none_left = stated.iter().any(|one| one.left == Some(0));
        if let Some(quota) = self.shut(now).filter(|q| none_left && q.until.since(self.told) > ROUNDING) {
            learned.shut = Some((quota.until.since(now), quota.why()));
            self.told = quota.until;
        }
        learned.rate = self.lowest().filter(|(rate, _)| self.rate.is_none_or(|old| differ(old, *rate)));
        if let Some((rate, _)) = &learned.rate {
            self.rate = Some(*rate);
        }
        learned
    }

    fn update(&mut self, one: &Stated, others: u32, now: Moment) {
        let at = self.all.iter().position(|q| q.name == one.name).unwrap_or_else(|| {
            if self.all.len() == KEPT {
                self.all.remove(0);
            }
            self.all.push(Quota::named(&one.name));
            self.all.len() - 1
        });
        let quota = &mut self.all[at];
        quota.limit = one.limit.or(quota.limit);
        quota.window = one.window.or(quota.window);
        quota.left = one.left.map(|left| left.saturating_sub(u64::from(others)));
        if let Some(reset) = one.reset {
            quota.until = now + reset;
            quota.longest = quota.longest.max(reset);
        } else if quota.until <= now && quota.left == Some(0) {
            // Nothing says when: after a window, at the latest.
            quota.until = now + quota.window.unwrap_or_default();
        }
        quota.left = quota.left.filter(|_| quota.counts(now));
    }

    /// A request is sent.
    pub fn on_send(&mut self, now: Moment) {
        for quota in &mut self.all {
            quota.left = quota.left.filter(|_| quota.counts(now)).map(|left| left.saturating_sub(1));
        }
    }

    /// What was left may be wrong by now; the next reply tells.
    pub fn forget(&mut self) {
        self.all.iter_mut().for_each(|quota| quota.left = None);
    }

    fn shut(&self, now: Moment) -> Option<&Quota> {
        let shut = self.all.iter().filter(|q| q.left == Some(0) && now < q.until);
        shut.max_by_key(|q| q.until)
    }

    /// When there may be something left again, when nothing is.
    pub fn shut_until(&self, now: Moment) -> Option<Moment> {
        self.shut(now).map(|q| q.until)
    }

    /// The lowest rate that follows from them.
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    fn lowest(&self) -> Option<(Rate, Why)> {
        let rates = self.all.iter().filter_map(|q| Some((q.even_rate()?, q)));
        let lowest = rates.max_by_key(|(rate, _)| rate.interval());
        lowest.map(|(rate, q)| (rate, Why { left: None, ..q.why() }))
    }
}

impl Quota {
    fn named(name: &str) -> Self {
        let name = name.into();
        Quota { name, limit: None, window: None, longest: Duration::ZERO, left: None, until: Moment(0) }
    }

    /// The window as stated, or as long as a reset was ever away.
    fn span(&self) -> Option<Duration> {
        self.window.or(Some(self.longest)).filter(|span| !span.is_zero())
    }

    /// Whether what is left says anything: in the next window it does not. Resets are rounded up to
    /// seconds, and a lane that keeps the even rate uses its window up just before its end.
    fn counts(&self, now: Moment) -> bool {
        let rounding = if self.even_rate().is_some() { ROUNDING } else { Duration::ZERO };
        self.until > now + rounding
    }

    fn even_rate(&self) -> Option<Rate> {
        let per = self.span().filter(|span| *span <= EVEN)?;
        Some(Rate { count: self.limit?, per })
    }

    fn why(&self) -> Why {
        Why { name: self.name.clone(), limit: self.limit, window: self.span(), left: self.left }
    }
}

fn differ(a: Rate, b: Rate) -> bool {
    let (a, b) = (a.interval().as_secs_f64(), b.interval().as_secs_f64());
    (a - b).abs() > SAME * a.max(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment(secs * 1_000_000_000)
    }

    fn stated(limit: u64, left: u64, reset: u64) -> Stated {
        let reset = Some(Duration::from_secs(reset));
        Stated { limit: Some(limit), left: Some(left), reset, ..Stated::default() }
    }

    #[test]
    fn what_is_left_is_counted_down_and_the_next_window_opens_by_itself() {
        let mut quotas = Quotas::default();
        let learned = quotas.told(&[stated(5000, 3, 600)], 1, at(0));
        assert_eq!((learned.rate, learned.shut), (None, None), "an hour is not paced evenly");
        quotas.on_send(at(1));
        assert_eq!(quotas.shut_until(at(1)), None);
        quotas.on_send(at(1));
        assert_eq!(quotas.shut_until(at(1)), Some(at(600)));
        // The other in flight had been counted already.
        assert!(quotas.told(&[stated(5000, 1, 599)], 0, at(1)).opened);
        quotas.on_send(at(2));
        assert_eq!(quotas.shut_until(at(2)), Some(at(600)));
        assert_eq!(quotas.shut_until(at(600)), None);
        quotas.on_send(at(601));
        quotas.on_send(at(601));
        assert_eq!(quotas.shut_until(at(602)), None, "it is not known how many the next window has");
    }

    #[test]
    fn short_windows_bound_the_rate_whatever_part_of_one_was_seen_first() {
        let mut quotas = Quotas::default();
        let rate = |quotas: &mut Quotas, reset| {
            quotas.told(&[stated(100, 50, reset)], 0, at(0)).rate.map(|(rate, _)| rate.to_string())
        };
        assert_eq!(rate(&mut quotas, 2).as_deref(), Some("100/2s"));
        assert_eq!(rate(&mut quotas, 1), None, "nothing new");
        assert_eq!(rate(&mut quotas, 10).as_deref(), Some("100/10s"));
        let daily = Stated { name: "daily".into(), ..stated(50, 50, 86_400) };
        assert_eq!(quotas.told(&[daily], 0, at(0)).rate, None);
        let strict = Stated { name: "s".into(), window: Some(Duration::from_secs(1)), ..stated(5, 5, 1) };
        let (rate, why) = quotas.told(&[strict], 0, at(0)).rate.unwrap();
        assert_eq!(
            (rate.to_string(), why.to_string()),
            ("5/s".into(), "the service states 5 in 1 s (s)".into())
        );
    }

    #[test]
    fn nothing_left_is_told_once_with_its_reason() {
        let mut quotas = Quotas::default();
        let daily = Stated {
            name: "daily".into(),
            window: Some(Duration::from_secs(86_400)),
            ..stated(1000, 0, 3600)
        };
        let (wait, why) = quotas.told(std::slice::from_ref(&daily), 0, at(0)).shut.unwrap();
        assert_eq!(wait, Duration::from_secs(3600));
        assert_eq!(why.to_string(), "the service states 1000 in 24 h (daily), and none is left");
        assert_eq!(quotas.told(&[daily], 0, at(1)).shut, None);
        let unknown = Stated { left: Some(0), ..Stated::default() };
        assert_eq!(Quotas::default().told(&[unknown], 0, at(0)).shut, None, "nobody says for how long");
    }

    #[test]
    fn however_many_names_there_are_few_are_kept() {
        let mut quotas = Quotas::default();
        for i in 0..100 {
            quotas.told(&[Stated { name: i.to_string().into(), ..stated(9, 9, 9) }], 0, at(0));
        }
        assert_eq!(quotas.all.len(), KEPT);
    }
}
