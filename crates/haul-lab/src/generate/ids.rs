//! `{"id":…,"food_id":…}` lines, or plain ids, to be counted.

use std::io::Write;

use super::{GenerateError, Lines, Written};
use crate::mix::{Permutation, below, mix, unit};

/// What to write.
#[derive(Clone, Debug)]
pub struct Ids {
    /// Lines; `u64::MAX`: without end.
    pub count: u64,
    /// The ids to be counted are 1 to this; `None`: every line has its own.
    pub distinct: Option<u64>,
    /// The n-th id comes about 1/n as often as the first, instead of all alike. Needs `distinct`.
    pub zipf: bool,
    /// Only the id to be counted, without JSON.
    pub plain: bool,
    /// Decides the lines.
    pub seed: u64,
}

impl Default for Ids {
    fn default() -> Self {
        Ids { count: 1000, distinct: None, zipf: false, plain: false, seed: 1 }
    }
}

/// The first `id`; they rise with gaps, about 107 to 100 records.
const FIRST_ID: u64 = 658_330_693;

impl Ids {
    /// Writes them.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<Written, GenerateError> {
        let distinct = self.distinct.unwrap_or(0);
        if self.distinct == Some(0) {
            return Err(GenerateError::Spec("0 distinct ids cannot fill a line".to_owned()));
        }
        if self.zipf && distinct == 0 {
            return Err(GenerateError::Spec("--zipf needs --distinct: how many ids there are".to_owned()));
        }
        let own = Permutation::new(self.count, self.seed);
        let log = (distinct as f64 + 1.0).ln();
        let mut id = FIRST_ID;
        let mut lines = Lines::new(out);
        for n in 0..self.count {
            let bits = mix(self.seed ^ mix(n));
            let food = match (distinct, self.zipf) {
                (0, _) => own.apply(n) + 1,
                (m, false) => below(bits, m) + 1,
                // The inverse of the distribution with density 1/x on [1, m + 1).
                (m, true) => ((unit(bits) * log).exp() as u64).clamp(1, m),
            };
            if self.plain {
                lines.number(food);
            } else {
                lines.text(b"{\"id\":");
                lines.number(id);
                lines.text(b",\"food_id\":");
                lines.number(food);
                lines.text(b"}");
                id += 1 + u64::from(bits & 15 == 0);
            }
            lines.end()?;
        }
        lines.finish()
    }
}
