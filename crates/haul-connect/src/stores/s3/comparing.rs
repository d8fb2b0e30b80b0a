//! Whether a service compares what arrives with the MD5 that goes along, before anything of it is visible.
//!
//! Where it does, and the source says the MD5 of an object, that is sent along and nothing is digested here: the two
//! services compare with each other. Nobody says whether a service does, so it is found out, and without risk: one
//! object, which was digested here and is right, is sent with an MD5 that is not its own. A service that
//! compares refuses it with `BadDigest`; one that does not has the right object.

use std::sync::atomic::{AtomicU32, Ordering};

/// Objects that are digested here before it is found out: for fewer it is not worth a request.
const AFTER: u32 = 64;
/// Being found out.
const ASKED: u32 = u32::MAX - 2;
const COMPARES: u32 = u32::MAX - 1;
const DOES_NOT: u32 = u32::MAX;

/// See the module.
#[derive(Default)]
pub(super) struct Comparing(AtomicU32);

impl Comparing {
    /// It is known to compare.
    pub(super) fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COMPARES
    }

    /// An object was digested here; true for the one by which it is to be found out.
    pub(super) fn is_due(&self) -> bool {
        let step = |n| match n {
            0..AFTER => Some(n + 1),
            AFTER => Some(ASKED),
            _ => None,
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) == Ok(AFTER)
    }

    /// What was found; `None`: nothing, and it will be asked again.
    pub(super) fn found(&self, compares: Option<bool>) {
        let state = match compares {
            Some(true) => COMPARES,
            Some(false) => DOES_NOT,
            None => 0,
        };
        self.0.store(state, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_out_once_and_not_for_a_few_objects() {
        let comparing = Comparing::default();
        assert!((0..AFTER).all(|_| !comparing.is_due()));
        assert!(comparing.is_due() && !comparing.is_due() && !comparing.is_known());
        comparing.found(None);
        assert!((0..AFTER).all(|_| !comparing.is_due()) && comparing.is_due());
        comparing.found(Some(true));
        assert!(comparing.is_known() && !comparing.is_due());
        comparing.found(Some(false));
        assert!(!comparing.is_known() && !comparing.is_due());
    }
}
