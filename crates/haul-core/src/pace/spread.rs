//! Over how many connections large files of one origin come: found from how much comes in.
//!
//! Some services, and some paths, give each connection its share and no more; others give one
//! connection all there is. Nobody can know beforehand, so it is tried: connections are doubled, and
//! kept when clearly more comes in over all of them; otherwise they are left at what they were, and it
//! is tried again after a while. What is measured is everything that comes from the origin, so that a
//! file which only takes from others earns nothing by it.

use std::time::Duration;

use crate::clock::Moment;
use crate::limits::FILE_CONNECTIONS;

/// Over how long a rate is measured.
const WINDOW: Duration = Duration::from_secs(1);
/// A new connection starts slowly: what comes in this time says little.
const SETTLE: Duration = Duration::from_millis(500);
/// How long new connections may wait for their turn before it is told without them.
const PATIENCE: Duration = Duration::from_secs(3);
/// Share of what twice the connections could bring at best that has to come. Rates waver by a tenth.
const GAIN: f64 = 0.25;
/// How long what was found stands.
const STANDS: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Connections that have paid so far.
    level: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing is known of this number of connections.
    Measure(Window),
    /// More were asked for, from so many that brought so many bytes a second.
    Grow {
        from: u32,
        rate: f64,
        asked: Moment,
    },
    /// They are there.
    Try {
        from: u32,
        rate: f64,
        window: Window,
    },
    Stand {
        until: Moment,
    },
}

/// A rate being measured.
#[derive(Clone, Copy, Debug)]
struct Window {
    open: u32,
    /// When it begins, and how much had come by then.
    since: Moment,
    came: Option<u64>,
}

impl Window {
    fn new(open: u32, now: Moment) -> Self {
        Window { open, since: now + SETTLE, came: None }
    }

    /// Bytes a second, once that can be said. `None`: other connections than those it was begun for.
    fn look(&mut self, now: Moment, came: u64, open: u32) -> Option<Option<f64>> {
        if open != self.open {
            return None;
        }
        match self.came {
            _ if now < self.since => Some(None),
            None => {
                (self.since, self.came) = (now, Some(came));
                Some(None)
            }
            Some(before) => {
                let span = now.since(self.since);
                let rate = came.saturating_sub(before) as f64 / span.as_secs_f64();
                Some((span >= WINDOW).then_some(rate))
            }
        }
    }
}

impl Default for Spread {
    fn default() -> Self {
        Spread { level: 1, phase: Phase::Measure(Window::new(0, Moment(0))) }
    }
}

impl Spread {
    /// To be asked a few times a second while large files come: how many connections there should be.
    /// `came`: bytes since the start, `open`: connections over which large files come now.
    pub fn look(&mut self, now: Moment, came: u64, open: u32) -> u32 {
        match &mut self.phase {
            Phase::Measure(window) => match window.look(now, came, open) {
                None => *window = Window::new(open, now),
                Some(Some(rate)) if rate > 0.0 && open < FILE_CONNECTIONS => self.grow(open, rate, now),
                Some(_) => {}
            },
            Phase::Grow { from, rate, asked } => {
                let (from, rate, waited) = (*from, *rate, now.since(*asked));
                if open < from {
                    self.measure(open, now);
                } else if open >= doubled(from) || open > from && waited >= PATIENCE {
                    self.phase = Phase::Try { from, rate, window: Window::new(open, now) };
                } else if waited >= PATIENCE {
                    self.stand(now);
                }
            }
            Phase::Try { from, rate, window } => {
                let (from, before) = (*from, *rate);
                match window.look(now, came, open) {
                    None => self.measure(open, now),
                    Some(None) => {}
                    Some(Some(rate)) => {
                        let most = f64::from(open) / f64::from(from.max(1)) - 1.0;
                        if rate < before * (1.0 + GAIN * most) {
                            self.level = from;
                            self.stand(now);
                        } else if open < FILE_CONNECTIONS {
                            self.grow(open, rate, now);
                        } else {
                            self.level = open;
                            self.stand(now);
                        }
                    }
                }
            }
            Phase::Stand { until } if now >= *until => self.measure(open, now),
            Phase::Stand { .. } => {}
        }
        match self.phase {
            Phase::Grow { from, .. } => doubled(from),
            Phase::Try { window, .. } => window.open,
            Phase::Measure(_) | Phase::Stand { .. } => self.level,
        }
    }

    /// A connection was refused what it asked for: nothing is tried for a while.
    pub fn refused(&mut self, now: Moment) {
        self.level = 1;
        self.stand(now);
    }

    fn measure(&mut self, open: u32, now: Moment) {
        self.phase = Phase::Measure(Window::new(open, now));
    }

    fn grow(&mut self, open: u32, rate: f64, now: Moment) {
        self.level = open;
        self.phase = Phase::Grow { from: open, rate, asked: now };
    }

    fn stand(&mut self, now: Moment) {
        self.phase = Phase::Stand { until: now + STANDS };
    }
}

fn doubled(open: u32) -> u32 {
    open.saturating_mul(2).clamp(1, FILE_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a service that gives each connection `each` bytes a second and all of them `all`, to a file
    /// that may always be split; the connections there are after so many seconds.
    fn play(spread: &mut Spread, each: f64, all: f64, seconds: u64, waver: f64) -> u32 {
        let (mut came, mut open, start) = (0.0, 1, Moment(1_000_000_000));
        for step in 1..=seconds * 4 {
            let rate = (each * f64::from(open)).min(all)
                * (1.0 + waver * f64::from(step as u32 * 7 % 5) / 2.0 - waver);
            came += rate / 4.0;
            let wanted = spread.look(start + Duration::from_millis(step * 250), came as u64, open);
            open = open.max(wanted);
        }
        // What is too much ends with its part of a file.
        spread.level
    }

    #[test]
    fn connections_are_added_while_more_comes_in() {
        for (each, all, found) in
            [(1e6, 1e9, 8), (1e6, 4e6, 4), (1e6, 2.1e6, 2), (1e6, 1e6, 1), (5e8, 5e8, 1)]
        {
            for waver in [0.0, 0.1] {
                let mut spread = Spread::default();
                assert_eq!(play(&mut spread, each, all, 20, waver), found, "{each} of {all}, {waver}");
            }
        }
    }

    #[test]
    fn nothing_is_tried_before_it_is_known_what_one_brings() {
        let mut spread = Spread::default();
        for ms in [0, 250, 500, 750, 1000, 1250] {
            assert_eq!(spread.look(Moment(ms * 1_000_000), ms * 1000, 1), 1, "{ms}");
        }
        assert_eq!(spread.look(Moment(1_600_000_000), 1_600_000, 1), 2);
    }

    #[test]
    fn one_that_never_gets_its_turn_is_not_waited_for() {
        let mut spread = Spread::default();
        let mut asked = Vec::new();
        for step in 0..400_u64 {
            asked.push(spread.look(Moment(step * 250_000_000), step * 1_000_000, 1));
        }
        let tries = asked.windows(2).filter(|w| w[0] < w[1]).count();
        assert_eq!(tries, 2, "once a minute");
        assert_eq!(asked.iter().max(), Some(&2));
    }

    #[test]
    fn what_was_refused_is_left_alone() {
        let mut spread = Spread::default();
        play(&mut spread, 1e6, 1e9, 20, 0.0);
        let now = Moment(60_000_000_000);
        spread.refused(now);
        for step in 0..200 {
            assert_eq!(spread.look(now + Duration::from_millis(step * 250), step * 1000, 1), 1);
        }
    }
}
