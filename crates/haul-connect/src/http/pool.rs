//! Idle connections, by lane.
//!
//! A lane's connections never outnumber its permits: a request has a permit before it takes an idle
//! connection or opens one. Newest first, so that the ones too many grow old and are closed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use haul_core::lane::LaneId;
use haul_core::limits::CONNECTIONS_IDLE;
use tokio::time::Instant;

use super::conn::Conn;

/// How often connections that grew old on silent lanes are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Idle connections of all lanes.
pub(crate) struct Pool(Mutex<Idle>);

struct Idle {
    lanes: Vec<VecDeque<Conn>>,
    count: usize,
    swept: Instant,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Pool(Mutex::new(Idle { lanes: Vec::new(), count: 0, swept: Instant::now() }))
    }

    /// The newest idle connection of a lane that is still open; those found closed are dropped.
    pub(crate) fn take(&self, lane: LaneId, now: Instant) -> Option<Conn> {
        loop {
            let mut conn = {
                let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let conn = idle.lanes.get_mut(lane.0 as usize)?.pop_back()?;
                idle.count -= 1;
                conn
            };
            if !conn.is_old(now) && conn.is_open() {
                return Some(conn);
            }
        }
    }

    /// Puts a connection aside whose last exchange ended at `now`.
    pub(crate) fn put(&self, lane: LaneId, mut conn: Conn, now: Instant) {
        conn.rest();
        conn.idle_since = now;
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.count >= CONNECTIONS_IDLE || now.duration_since(idle.swept) >= SWEEP {
            idle.sweep(now);
            if idle.count >= CONNECTIONS_IDLE {
                return;
            }
        }
        let index = lane.0 as usize;
        if idle.lanes.len() <= index {
            idle.lanes.resize_with(index + 1, VecDeque::new);
        }
        idle.lanes[index].push_back(conn);
        idle.count += 1;
    }
}

impl Idle {
    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        let mut count = 0;
        for lane in &mut self.lanes {
            while lane.front().is_some_and(|conn| conn.is_old(now)) {
                lane.pop_front();
            }
            count += lane.len();
        }
        self.count = count;
    }
}
