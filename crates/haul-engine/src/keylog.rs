//! Reading the key log back: to notice changed input, and to skip by key what was done.

use std::collections::{BTreeMap, HashMap};

use haul_core::ledger::{Ledger, LedgerError, RecoveredSlice};
use haul_core::{KeyHash, Seq, SliceId};

use crate::book::Book;
use crate::resume::parent_end;

/// Entries read from the ledger at once: 64 KiB.
const BLOCK: u64 = 4096;

/// The key log of all slices, in the order in which their items were read.
pub(crate) struct KeyLog<'a> {
    slices: &'a [RecoveredSlice],
    at: usize,
    seq: u64,
    block: std::vec::IntoIter<KeyHash>,
}

impl<'a> KeyLog<'a> {
    /// From the first item that was ever read.
    pub(crate) fn start(slices: &'a [RecoveredSlice]) -> Self {
        KeyLog { slices, at: 0, seq: 0, block: Vec::new().into_iter() }
    }

    /// From an item of the last slice.
    pub(crate) fn at(slices: &'a [RecoveredSlice], seq: Seq) -> Self {
        let at = slices.len().saturating_sub(1);
        KeyLog { slices, at, seq: seq.0, block: Vec::new().into_iter() }
    }

    /// The item that [`KeyLog::peek`] shows next.
    pub(crate) fn position(&self) -> Option<(SliceId, Seq)> {
        self.slices.get(self.at).map(|s| (s.slice.id, Seq(self.seq)))
    }

    /// The next entry, with no key where the log of an endless source was trimmed; `None` at the end.
    pub(crate) fn peek(
        &mut self,
        ledger: &mut dyn Ledger,
    ) -> Result<Option<(SliceId, Seq, Option<KeyHash>)>, LedgerError> {
        loop {
            let Some(slice) = self.slices.get(self.at) else { return Ok(None) };
            if self.seq < slice.keys_from.0.min(self.end_of(slice)) {
                return Ok(Some((slice.slice.id, Seq(self.seq), None)));
            }
            if let Some(key) = self.block.as_slice().first() {
                return Ok(Some((slice.slice.id, Seq(self.seq), Some(*key))));
            }
            let left = self.end_of(slice).saturating_sub(self.seq).min(BLOCK);
            let keys = match left {
                0 => Vec::new(),
                n => ledger.keys(slice.slice.id, Seq(self.seq), n as usize)?,
            };
            if keys.is_empty() {
                if self.at + 1 == self.slices.len() {
                    return Ok(None);
                }
                self.at += 1;
                self.seq = 0;
            }
            self.block = keys.into_iter();
        }
    }

    /// Goes on to the next entry.
    pub(crate) fn pass(&mut self) {
        let trimmed = self.slices.get(self.at).is_some_and(|s| self.seq < s.keys_from.0);
        if trimmed || self.block.next().is_some() {
            self.seq += 1;
        }
    }

    /// A slice whose input changed was followed by its child in the middle.
    fn end_of(&self, slice: &RecoveredSlice) -> u64 {
        let mut children = self.slices.iter().filter(|s| s.slice.parent == Some(slice.slice.id));
        let end = children.find_map(|child| parent_end(&child.slice));
        end.map_or(slice.keys, |end| end.0.min(slice.keys))
    }
}

/// Keys from a place on that are behind us, with how often each occurs. 16 bytes and a count each:
/// read only when the input changed.
pub(crate) fn done_keys(
    slices: &[RecoveredSlice],
    (id, from): (SliceId, Seq),
    books: &BTreeMap<SliceId, Book>,
    ledger: &mut dyn Ledger,
) -> Result<HashMap<KeyHash, u32>, LedgerError> {
    let mut done = HashMap::new();
    let (Some(slice), Some(book)) = (slices.iter().find(|s| s.slice.id == id), books.get(&id)) else {
        return Ok(done);
    };
    each_key(slice, from.0, slice.keys, ledger, |seq, key| {
        if book.is_behind(seq) {
            *done.entry(key).or_insert(0) += 1;
        }
    })?;
    Ok(done)
}

/// The keys of a slice from an item on, as far as they were logged.
pub(crate) fn logged_keys(
    slice: &RecoveredSlice,
    from: Seq,
    ledger: &mut dyn Ledger,
) -> Result<Vec<KeyHash>, LedgerError> {
    let mut keys = Vec::new();
    each_key(slice, from.0, slice.keys, ledger, |_, key| keys.push(key))?;
    Ok(keys)
}

/// Takes away what a slice has read and so used up.
pub(crate) fn used_keys(
    skip: &mut HashMap<KeyHash, u32>,
    slice: &RecoveredSlice,
    ledger: &mut dyn Ledger,
) -> Result<(), LedgerError> {
    each_key(slice, 0, slice.keys, ledger, |_, key| {
        if let Some(n) = skip.get_mut(&key) {
            *n = n.saturating_sub(1);
        }
    })
}

fn each_key(
    slice: &RecoveredSlice,
    from: u64,
    end: u64,
    ledger: &mut dyn Ledger,
    mut see: impl FnMut(Seq, KeyHash),
) -> Result<(), LedgerError> {
    let mut at = from.max(slice.keys_from.0);
    while at < end {
        let keys = ledger.keys(slice.slice.id, Seq(at), (end - at).min(BLOCK) as usize)?;
        if keys.is_empty() {
            break;
        }
        for key in keys {
            see(Seq(at), key);
            at += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use haul_core::ledger::{Commit, Resume, SliceCommit, SliceState};
    use haul_core::source::Slice;
    use haul_core::{Counts, Key};

    use super::*;
    use crate::ledger::MemoryLedger;

    fn hash(n: u64) -> KeyHash {
        Key::from(n.to_string()).hash()
    }

    #[test]
    fn a_trimmed_log_lets_pass_what_it_forgot_and_compares_the_rest() {
        let mut ledger = MemoryLedger::default();
        let slice = SliceCommit {
            slice: Slice::whole(),
            state: SliceState::Open,
            resume: Resume::default(),
            watermark: Seq(0),
            chunks: Vec::new(),
            keys_from: Seq(5),
            keys: (5..8).map(hash).collect(),
            counts: Counts::default(),
            bytes: 0,
        };
        ledger.commit(&Commit { slices: vec![slice], ..Commit::default() }).unwrap();
        let recovered = ledger.recover().unwrap();
        let mut log = KeyLog::start(&recovered.slices);
        let mut seen = Vec::new();
        while let Some((_, seq, key)) = log.peek(&mut ledger).unwrap() {
            seen.push((seq.0, key));
            log.pass();
        }
        let expected: Vec<_> = (0..8).map(|n| (n, (n >= 5).then(|| hash(n)))).collect();
        assert_eq!(seen, expected);
        let mut skip: HashMap<KeyHash, u32> = (4..8).map(|n| (hash(n), 1)).collect();
        used_keys(&mut skip, &recovered.slices[0], &mut ledger).unwrap();
        assert_eq!(skip.values().sum::<u32>(), 1, "only the forgotten one is still to be skipped");
    }
}
