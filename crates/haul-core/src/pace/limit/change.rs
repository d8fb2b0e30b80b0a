//! A change of the limit, and why, for people.

use std::fmt;
use std::time::Duration;

/// The limit is another from now on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Change {
    /// Requests that may be in flight.
    pub limit: u32,
    /// Why.
    pub reason: Reason,
}

/// Why a limit changed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Reason {
    /// All of it was used, and no more than the aim waited in a queue.
    Used {
        /// Time of a reply.
        rtt: Duration,
        /// The same without load.
        base: Duration,
    },
    /// Requests wait in a queue of the service.
    Queue {
        /// How many wait.
        waiting: f64,
        /// Time of a reply.
        rtt: Duration,
        /// The same without load.
        base: Duration,
    },
    /// More were refused or lost than is usual.
    Refused {
        /// How many.
        refused: u32,
        /// Of how many.
        of: u32,
    },
    /// Half the limit for a moment, to time replies without load.
    Probe,
    /// The probe is over.
    Probed {
        /// Time of a reply without load.
        base: Duration,
    },
}

impl Reason {
    /// True for the comings and goings of probes, which are no news.
    pub fn is_probe(&self) -> bool {
        matches!(self, Reason::Probe | Reason::Probed { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Used { rtt, base } => {
                write!(f, "all used; replies take {}, {} without load", Ms(*rtt), Ms(*base))
            }
            Reason::Queue { waiting, rtt, base } => write!(
                f,
                "about {waiting:.0} wait in a queue; replies take {}, {} without load",
                Ms(*rtt),
                Ms(*base)
            ),
            Reason::Refused { refused, of } => write!(f, "{refused} of {of} were refused or lost"),
            Reason::Probe => f.write_str("halved for a moment, to time replies without load"),
            Reason::Probed { base } => write!(f, "replies take {} without load", Ms(*base)),
        }
    }
}

/// A time in ms to three digits.
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1e3;
        let digits = if ms < 1.0 { 2 } else { usize::from(ms < 100.0) };
        write!(f, "{ms:.digits$} ms")
    }
}
