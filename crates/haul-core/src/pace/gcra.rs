//! The generic cell rate algorithm with reserved slots and no burst.
//!
//! Each caller reserves the next slot and sleeps until it: slots are `1/rate` apart whatever the
//! callers do, so that no second ever holds more than `rate + 1` of them. Unused time is not saved
//! up. (ITU-T I.371, Annex A, with a burst tolerance of zero.)

use std::time::Duration;

use crate::clock::Moment;

/// So many per so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In how long.
    pub per: Duration,
}

impl Rate {
    /// Per second.
    pub fn per_second(count: u64) -> Self {
        Rate { count, per: Duration::from_secs(1) }
    }

    /// Reads `500/s`, `100/min`, `5000/h`, `1000/d`, `10/5s`. A unit is required.
    pub fn parse(text: &str) -> Result<Self, String> {
        let hint = || format!("\"{text}\" is not a rate: write it like 500/s, 100/min, 5000/h or 10/5s");
        let (count, unit) = text.trim().split_once('/').ok_or_else(hint)?;
        let count: u64 = count.trim().replace('_', "").parse().map_err(|_| hint())?;
        let unit = unit.trim();
        let digits = unit.bytes().take_while(u8::is_ascii_digit).count();
        let times: u64 = if digits == 0 { 1 } else { unit[..digits].parse().map_err(|_| hint())? };
        let secs = match &unit[digits..] {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3600,
            "d" | "day" => 86_400,
            _ => return Err(hint()),
        };
        if count == 0 || times == 0 {
            return Err(format!("a rate of \"{text}\" would never send anything"));
        }
        let per = times.checked_mul(secs).ok_or_else(hint)?;
        Ok(Rate { count, per: Duration::from_secs(per) })
    }

    /// Time between two slots.
    pub fn interval(self) -> Duration {
        let nanos = self.per.as_nanos().div_ceil(u128::from(self.count.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secs = self.per.as_secs();
        match secs {
            1 => write!(f, "{}/s", self.count),
            60 => write!(f, "{}/min", self.count),
            3600 => write!(f, "{}/h", self.count),
            86_400 => write!(f, "{}/d", self.count),
            _ => write!(f, "{}/{}s", self.count, secs),
        }
    }
}

/// Hands out slots.
#[derive(Clone, Debug)]
pub struct Gcra {
    interval: Duration,
    next: Moment,
    /// When the next request would be due, were all sent at this pace.
    due: Moment,
}

/// How much earlier than due a request may be sent, to make up for one that was late: less than a
/// hundredth of a second, so that no second holds more than 1.01 times the rate, and one, also as the
/// service sees it.
const LATE: Duration = Duration::from_millis(8);

impl Gcra {
    /// Slots at a rate, the first at once.
    pub fn new(rate: Rate) -> Self {
        Gcra { interval: rate.interval(), next: Moment(0), due: Moment(0) }
    }

    /// Reserves the next slot: at `now` or later. The caller sends at that moment, not before.
    pub fn reserve(&mut self, now: Moment) -> Moment {
        let slot = self.next.max(now);
        self.next = slot + self.interval;
        slot
    }

    /// A request is about to be sent, at its slot or later. Those that are late would come in a burst
    /// when whatever held them up is over.
    ///
    /// # Errors
    /// When to ask again.
    pub fn send(&mut self, now: Moment) -> Result<(), Moment> {
        if now + LATE < self.due {
            return Err(Moment(self.due.0 - LATE.as_nanos() as u64));
        }
        self.due = self.due.max(now) + self.interval;
        // Slots do not run ahead of what is sent.
        self.next = self.next.max(Moment(self.due.0.saturating_sub(LATE.as_nanos() as u64)));
        Ok(())
    }

    /// When the next slot would be.
    pub fn peek(&self, now: Moment) -> Moment {
        self.next.max(now)
    }

    /// Changes the rate. Slots that are already reserved stay; the next one follows the last of them at
    /// the new distance.
    pub fn set_rate(&mut self, rate: Rate) {
        let last = Moment(self.next.0.saturating_sub(self.interval.as_nanos() as u64));
        let sent = Moment(self.due.0.saturating_sub(self.interval.as_nanos() as u64));
        self.interval = rate.interval();
        self.next = last + self.interval;
        self.due = sent + self.interval;
    }

    /// No slot before `until`.
    pub fn hold_until(&mut self, until: Moment) {
        self.next = self.next.max(until);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn rates_need_a_unit_and_say_how() {
        assert_eq!(Rate::parse("500/s").unwrap(), Rate::per_second(500));
        assert_eq!(Rate::parse("10/5s").unwrap().interval(), Duration::from_millis(500));
        assert_eq!(Rate::parse("100/min").unwrap().to_string(), "100/min");
        for bad in ["500", "x/s", "5/fortnight", "0/s", "", "-1/s", "1/0s"] {
            assert!(Rate::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stall_is_not_made_up_for_by_a_burst() {
        let mut g = Gcra::new(Rate::per_second(100));
        let first = g.reserve(Moment(0));
        let late = g.reserve(first + Duration::from_secs(1));
        assert_eq!(late, first + Duration::from_secs(1));
        assert_eq!(g.reserve(late), late + Duration::from_millis(10));
    }

    #[test]
    fn a_new_rate_holds_from_the_last_slot_on() {
        let mut g = Gcra::new(Rate { count: 1, per: Duration::from_secs(3600) });
        let first = g.reserve(Moment(SECOND));
        g.send(first).unwrap();
        g.set_rate(Rate::per_second(100));
        g.send(first + Duration::from_millis(10)).unwrap();
        let next = first + Duration::from_millis(20) - LATE;
        assert_eq!(g.reserve(first), next);
        g.set_rate(Rate::per_second(1));
        assert_eq!(g.peek(first), next + Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_second_holds_more_than_a_hundredth_more_sends(
            rate in 20u64..2000, late in prop::collection::vec((0u64..SECOND / 3, 0u8..40), 1..400)
        ) {
            let mut g = Gcra::new(Rate::per_second(rate));
            let (mut now, mut sent) = (Moment(SECOND), Vec::new());
            for (stall, often) in late {
                // Now and then nothing runs for a while; slots are reserved one after the other.
                let slot = g.reserve(now);
                now = now.max(slot) + if often == 0 { Duration::from_nanos(stall) } else { Duration::ZERO };
                while let Err(at) = g.send(now) {
                    prop_assert!(at > now);
                    now = at;
                }
                sent.push(now.0);
            }
            for (i, start) in sent.iter().enumerate() {
                let inside = sent[i..].iter().take_while(|s| **s < start + SECOND).count() as f64;
                prop_assert!(inside <= 1.01 * rate as f64 + 1.0, "{inside} sends in a second at {rate}/s");
            }
        }

        #[test]
        fn no_second_holds_more_than_rate_plus_one_slots(
            rate in 1u64..2000, waits in prop::collection::vec(0u64..SECOND / 5, 1..400)
        ) {
            let mut g = Gcra::new(Rate::per_second(rate));
            let (mut now, mut slots) = (Moment(0), Vec::new());
            for w in waits {
                now = now + Duration::from_nanos(w / rate);
                slots.push(g.reserve(now).0);
            }
            for (i, start) in slots.iter().enumerate() {
                let inside = slots[i..].iter().take_while(|s| **s < start + SECOND).count() as u64;
                prop_assert!(inside <= rate + 1, "{inside} slots in a second at {rate}/s");
            }
        }
    }
}
