//! Which objects need not be asked for, because they cannot be there: of a place that was empty, all that this
//! process has not put.

use std::sync::{Mutex, PoisonError};

use haul_core::{Cx, Key};
use tokio::sync::OnceCell;
use xxhash_rust::xxh3::xxh3_128;

use crate::stores::Place;

/// Bits of the filter: 2 MiB, with which of two million keys one in fifty is asked for in vain.
const BITS: u64 = 1 << 24;
/// Bits of a key.
const HASHES: u64 = 5;

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
        !was_empty || !self.put.lock().unwrap_or_else(PoisonError::into_inner).insert(key)
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

/// A set that may say of a few that they are in it which are not (B. H. Bloom, "Space/time trade-offs in hash coding with
/// allowable errors", 1970), its bits chosen by two hashes (Kirsch and Mitzenmacher, "Less hashing, same performance", 2006).
#[derive(Default)]
struct Filter(Vec<u64>);

impl Filter {
    /// False when it may have been in it.
    fn insert(&mut self, key: &Key) -> bool {
        if self.0.is_empty() {
            self.0 = vec![0; (BITS / 64) as usize];
        }
        let hash = xxh3_128(&key.0);
        let (a, b) = (hash as u64, (hash >> 64) as u64 | 1);
        let mut is_new = false;
        for i in 0..HASHES {
            let bit = a.wrapping_add(b.wrapping_mul(i)) % BITS;
            let word = &mut self.0[(bit / 64) as usize];
            is_new |= *word >> (bit % 64) & 1 == 0;
            *word |= 1 << (bit % 64);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_always_known_and_little_else() {
        let key = |n: u32| Key::from(format!("content/{n}.mp4"));
        let mut filter = Filter::default();
        let in_vain = (0..500_000).filter(|n| !filter.insert(&key(*n))).count();
        assert!(in_vain < 500, "{in_vain}");
        assert!((0..500_000).all(|n| !filter.insert(&key(n))));
        let foreign = (500_000..510_000).filter(|n| !filter.insert(&key(*n))).count();
        assert!(foreign < 100, "{foreign}");
    }
}
