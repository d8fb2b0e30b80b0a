//! How soon items are settled after they were read, against the goal that the job states.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use haul_core::job::Goal;

use crate::meter::Latency;
use crate::view::GoalView;

/// See the module.
pub(crate) struct Reach {
    goal: Goal,
    settled: Mutex<(Latency, u64)>,
}

impl Reach {
    pub(crate) fn new(goal: Goal) -> Self {
        Reach { goal, settled: Mutex::new((Latency::new(), 0)) }
    }

    /// An item was settled, so long after it was read.
    pub(crate) fn settled(&self, after: Duration) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.0.record(after);
        settled.1 += 1;
    }

    pub(crate) fn view(&self) -> GoalView {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let reached_us = settled.0.quantile(self.goal.quantile());
        GoalView {
            goal: self.goal.to_string(),
            met: u128::from(reached_us) < self.goal.within.as_micros(),
            reached_us,
            items: settled.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_by_the_share_it_names() {
        let reach = Reach::new(Goal::parse("p90 < 1s").unwrap());
        assert!(reach.view().met, "nothing was too late");
        (0..90).for_each(|_| reach.settled(Duration::from_millis(500)));
        (0..9).for_each(|_| reach.settled(Duration::from_secs(60)));
        let view = reach.view();
        assert!(view.met && (495_000..505_000).contains(&view.reached_us), "{view:?}");
        (0..9).for_each(|_| reach.settled(Duration::from_secs(60)));
        let view = reach.view();
        assert_eq!((view.met, view.items, view.goal.as_str()), (false, 108, "p90 < 1s"));
    }
}
