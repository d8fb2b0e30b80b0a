//! Which objects need not be asked for, because they cannot be there: of a place that was empty, all that this
//! process has not put.

use std::sync::{Mutex, PoisonError};

use haul_core::{Cx, Key};
use tokio::sync::OnceCell;
use xxhash_rust::xxh3::xxh3_64;

use super::filter::Filter;
use crate::stores::Place;

/// See the module. It never says of an object that is there that it is not, but for what others put while the run goes
/// on, which to ask before each put does not rule out either.
#[derive(Default)]
pub(super) struct Fresh {
    was_empty: OnceCell<bool>,
    put: Mutex<Filter>,
}

impl Fresh {
    /// Whether an object may be there, which is about to be put.
    pub(super) async fn may_be_there(&self, to: &Place, key: &Key, cx: &Cx<'_>) -> bool {
        let was_empty = *self.was_empty.get_or_init(|| is_empty(to, cx)).await;
        !was_empty || !self.put.lock().unwrap_or_else(PoisonError::into_inner).insert(xxh3_64(&key.0))
    }
}

/// Who may not list may still put.
async fn is_empty(to: &Place, cx: &Cx<'_>) -> bool {
    if !to.store.lists_at_once() {
        return false;
    }
    match to.store.list(&to.prefix, None, cx).await {
        Ok(mut listing) => matches!(listing.next(cx).await, Ok(None)),
        Err(_) => false,
    }
}
