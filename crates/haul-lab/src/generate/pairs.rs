//! `user_id,video_id` lines for the enrich workload, no pair twice.

use std::io::Write;

use super::{GenerateError, Lines, Written};
use crate::mix::{Permutation, mix, unit};

/// Lines that are not two integers, each in its own way.
const BAD: [&str; 6] = ["abc,17", "17", "17,18,19", "1.5,2", ",", "\"17,18"];

/// What to write.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Lines; `u64::MAX`: without end.
    pub count: u64,
    /// Whether a header line comes first.
    pub header: bool,
    /// Share of lines that are invalid.
    pub bad_rate: f64,
    /// Decides the pairs.
    pub seed: u64,
    /// User ids are 1 to this.
    pub users: u64,
    /// Video ids are 1 to this.
    pub videos: u64,
}

impl Default for Pairs {
    fn default() -> Self {
        Pairs { count: 1000, header: false, bad_rate: 0.0, seed: 1, users: 1_000_000, videos: 5_000_000 }
    }
}

impl Pairs {
    /// Writes them: the n-th line is the n-th place of a permutation of all pairs there are.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<Written, GenerateError> {
        if !(0.0..=1.0).contains(&self.bad_rate) {
            return Err(GenerateError::Spec(format!(
                "a bad rate of {} is not a share from 0 to 1",
                self.bad_rate
            )));
        }
        let all = self.users.checked_mul(self.videos).filter(|n| (1..=1 << 62).contains(n));
        let Some(all) = all else {
            let (users, videos) = (self.users, self.videos);
            return Err(GenerateError::Spec(format!(
                "{users} users × {videos} videos: 1 to 2^62 pairs are possible"
            )));
        };
        if self.count != u64::MAX && self.count > all {
            return Err(GenerateError::Spec(format!(
                "{} different pairs are asked for, but {} users × {} videos make only {all}",
                self.count, self.users, self.videos
            )));
        }
        let places = Permutation::new(all, self.seed);
        let mut lines = Lines::new(out);
        if self.header {
            lines.text(b"user_id,video_id\n");
        }
        for n in 0..self.count.min(all) {
            let luck = if self.bad_rate > 0.0 { mix(self.seed ^ mix(!n)) } else { 0 };
            if self.bad_rate > 0.0 && unit(luck) < self.bad_rate {
                lines.text(BAD.get(luck as usize % BAD.len()).map_or(b"".as_slice(), |bad| bad.as_bytes()));
                lines.written.bad += 1;
            } else {
                let place = places.apply(n);
                lines.number(place / self.videos + 1);
                lines.text(b",");
                lines.number(place % self.videos + 1);
            }
            lines.end()?;
        }
        lines.finish()
    }
}
