//! What a source or a step can reach: passed explicitly, first to last; there are no globals.

use async_trait::async_trait;
use bytes::Bytes;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::item::{Item, Seq, SliceId};
use crate::lane::Lanes;

/// The context of one attempt.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    /// Permits to send.
    pub lanes: &'a dyn Lanes,
    /// The clocks.
    pub clock: &'a dyn Clock,
    /// Bytes held on behalf of the run.
    pub budget: &'a Budget,
    /// Names the run in idempotency keys.
    pub run: &'a RunKey,
    /// Keeps what is done of an item that is not done.
    pub memo: &'a dyn Memo,
}

/// Partial work of a step on an item.
#[async_trait]
pub trait Memo: Send + Sync {
    /// Keeps a JSON value in place of what was kept before; it is durable when this returns. The next
    /// attempt, of this process or another, finds it attached to the record under the step's name.
    async fn keep(&self, value: Bytes);
}

/// Keeps nothing: for whatever is not an item in work.
#[derive(Clone, Copy, Debug)]
pub struct NoMemo;

#[async_trait]
impl Memo for NoMemo {
    async fn keep(&self, _: Bytes) {}
}

/// 16 bytes that name a run for ever: made once, stored in the ledger, part of every idempotency
/// key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunKey(pub [u8; 16]);

impl RunKey {
    /// The `Idempotency-Key` of one step of one item: H(run, slice, seq, step), SHA-256 cut to 128
    /// bits, as 32 hex digits. Stable over retries and restarts, different for every occurrence
    /// even of an equal record.
    pub fn idempotency(&self, item: &Item, step: &str) -> String {
        self.idempotency_at(item.slice, item.seq, step)
    }

    /// As [`RunKey::idempotency`], from the item's place alone.
    pub fn idempotency_at(&self, slice: SliceId, seq: Seq, step: &str) -> String {
        use sha2::{Digest, Sha256};
        let mut h = Sha256::new();
        h.update(self.0);
        h.update(slice.0.to_be_bytes());
        h.update(seq.0.to_be_bytes());
        h.update(step.as_bytes());
        hex(&h.finalize()[..16])
    }

    /// As 32 hex digits.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut s = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        s.push(char::from(HEX[usize::from(b >> 4)]));
        s.push(char::from(HEX[usize::from(b & 15)]));
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys_differ_by_place_and_step_only() {
        let run = RunKey([7; 16]);
        let at = |slice, seq, step| run.idempotency_at(SliceId(slice), Seq(seq), step);
        assert_eq!(at(0, 1, "index"), at(0, 1, "index"));
        assert_ne!(at(0, 1, "index"), at(0, 2, "index"));
        assert_ne!(at(0, 1, "index"), at(1, 1, "index"));
        assert_ne!(at(0, 1, "index"), at(0, 1, "other"));
        assert_eq!(at(0, 1, "index").len(), 32);
    }
}
