//! Room for objects on their way: a share of the run's memory.

use haul_core::Cx;
use haul_core::limits::COPY_SHARE;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::http::pull::PIECE;

/// What it is counted in.
const UNIT: u64 = 16 * 1024;
/// What an object on its way takes at most: a piece being read, one held back, one being written.
const HELD: u64 = 3 * PIECE as u64;

/// How much of it is left.
#[derive(Default)]
pub(super) struct Room(OnceCell<(Semaphore, u64)>);

impl Room {
    /// Waits for room for an object, or a part of one, of so many bytes that passes piece by piece.
    pub(super) async fn enter(&self, bytes: u64, cx: &Cx<'_>) -> Option<SemaphorePermit<'_>> {
        self.hold(bytes.min(HELD), cx).await
    }

    /// Waits for room for so many bytes at once; no more than all there is.
    pub(super) async fn hold(&self, bytes: u64, cx: &Cx<'_>) -> Option<SemaphorePermit<'_>> {
        let made = async || {
            let units = (cx.budget.limit() / COPY_SHARE / UNIT).max(HELD / UNIT);
            (Semaphore::new(usize::try_from(units).unwrap_or(Semaphore::MAX_PERMITS)), units)
        };
        let (room, all) = self.0.get_or_init(made).await;
        let units = bytes.div_ceil(UNIT).clamp(1, *all);
        room.acquire_many(u32::try_from(units).unwrap_or(u32::MAX)).await.ok()
    }
}
