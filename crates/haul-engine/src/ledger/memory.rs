//! A ledger without a disk: the same semantics as [`super::SqliteLedger`], for tests and for runs that
//! nobody wants to resume. What it holds outlives the handle, as a file would: see
//! [`MemoryLedger::reopen`].

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_core::aggregate::Saved;
use haul_core::ledger::{
    Commit, Exception, IN_WORK, LaneNote, Ledger, LedgerError, Recovered, RecoveredSlice, SliceCommit,
    TickRow, Why,
};
use haul_core::limits;
use haul_core::watermark::{CHUNK_BITS, Chunk, Settled};
use haul_core::{Counts, KeyHash, Mark, Seq, SliceId, UnixMs};

use super::recover::{LEARNED_MS, LOST_CODE, LOST_MESSAGE};
use super::run::wall;
use super::{ticks, write};

/// What errors call it.
const NAME: &str = "the ledger in memory";

#[derive(Debug, Default)]
struct Store {
    fence: u64,
    slices: BTreeMap<SliceId, SliceRow>,
    items: BTreeMap<(SliceId, Seq), Exception>,
    parked: BTreeSet<(UnixMs, SliceId, Seq)>,
    marks: BTreeMap<String, Mark>,
    aggregates: BTreeMap<String, Saved>,
    ticks: Vec<TickRow>,
    lanes: VecDeque<LaneNote>,
    commits: u64,
    /// Commits that still succeed; the one after them fails.
    good_for: Option<u64>,
}

#[derive(Debug)]
struct SliceRow {
    last: SliceCommit,
    chunks: BTreeMap<u64, Chunk>,
    keys: VecDeque<KeyHash>,
    keys_from: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    store: Arc<Mutex<Store>>,
    taken: HashSet<(SliceId, Seq)>,
}

impl MemoryLedger {
    /// The ledger of a new run.
    pub fn new() -> Self {
        MemoryLedger::default()
    }

    /// Another handle on the same state, as the next process would open it: what the first one took
    /// is parked again once this one has recovered.
    pub fn reopen(&self) -> Self {
        MemoryLedger { store: Arc::clone(&self.store), taken: HashSet::new() }
    }

    /// Lets `commits` more commits succeed and every later one fail, as on a disk that broke.
    pub fn break_after(&self, commits: u64) {
        self.store().good_for = Some(commits);
    }

    /// Number of commits so far.
    pub fn commits(&self) -> u64 {
        self.store().commits
    }

    /// Sum of the counts of all slices.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for s in self.store().slices.values() {
            sum.merge(&s.last.counts);
        }
        sum
    }

    /// All rows, by slice and seq.
    pub fn exceptions(&self) -> Vec<Exception> {
        self.store().items.values().cloned().collect()
    }

    /// Interval rows, oldest first.
    pub fn ticks(&self) -> Vec<TickRow> {
        self.store().ticks.clone()
    }

    /// Lane history, oldest first.
    pub fn lanes(&self) -> Vec<LaneNote> {
        self.store().lanes.iter().cloned().collect()
    }

    /// Every change is made by one call under the lock, so a panic elsewhere leaves nothing half done.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn put(&mut self, e: Exception) {
        self.remove(e.slice, e.seq);
        if e.why == Why::Parked {
            self.parked.insert((e.due, e.slice, e.seq));
        }
        self.items.insert((e.slice, e.seq), e);
    }

    fn remove(&mut self, slice: SliceId, seq: Seq) {
        if let Some(old) = self.items.remove(&(slice, seq)) {
            self.parked.remove(&(old.due, slice, seq));
        }
    }

    /// All that can refuse a commit, before anything is changed.
    fn admit(&self, c: &Commit) -> Result<(), LedgerError> {
        let io = |reason: String| LedgerError::Io { path: NAME.into(), reason };
        if self.good_for == Some(0) {
            return Err(io("it was told to fail".into()));
        }
        if self.fence > c.fence {
            return Err(LedgerError::Fenced(NAME.into(), self.fence, c.fence));
        }
        for s in c.slices.iter().filter(|s| !s.keys.is_empty()) {
            let (from, end) = self.keys_of(s.slice.id);
            if write::join_keys(from, end, s.keys_from.0, s.keys.len() as u64).is_none() {
                return Err(io(format!(
                    "the key log of slice {} ends at item {end}, the next keys are of item {}",
                    s.slice.id, s.keys_from
                )));
            }
        }
        Ok(())
    }

    fn keys_of(&self, slice: SliceId) -> (u64, u64) {
        self.slices.get(&slice).map_or((0, 0), |s| (s.keys_from, s.keys_from + s.keys.len() as u64))
    }

    fn slice(&mut self, s: &SliceCommit) {
        let (from, end) = self.keys_of(s.slice.id);
        let row = self.slices.entry(s.slice.id).or_insert_with(|| SliceRow {
            last: s.clone(),
            chunks: BTreeMap::new(),
            keys: VecDeque::new(),
            keys_from: 0,
        });
        row.last = SliceCommit { keys: Vec::new(), chunks: Vec::new(), ..s.clone() };
        let low = s.watermark.0 / CHUNK_BITS;
        row.chunks.extend(s.chunks.iter().map(|c| (c.index, c.clone())));
        row.chunks.retain(|index, _| *index >= low);
        if s.keys.is_empty() {
            return;
        }
        if let Some(span) = write::join_keys(from, end, s.keys_from.0, s.keys.len() as u64) {
            row.keys_from = span.from;
            row.keys.extend(&s.keys[span.skip..]);
        }
    }

    fn apply(&mut self, c: &Commit) {
        self.fence = c.fence;
        self.commits += 1;
        c.slices.iter().for_each(|s| self.slice(s));
        c.cleared.iter().for_each(|(slice, seq)| self.remove(*slice, *seq));
        c.exceptions.iter().for_each(|e| self.put(e.clone()));
        self.marks.extend(c.marks.iter().cloned());
        self.aggregates.extend(c.aggregates.iter().cloned());
        self.lanes.extend(c.lanes.iter().cloned());
        while self.lanes.len() as u64 > limits::LANE_ROWS {
            self.lanes.pop_front();
        }
        self.ticks.extend(c.ticks.iter().cloned());
        if let Some(newest) = c.ticks.last() {
            self.ticks = ticks::thin(&self.ticks, newest.at);
        }
    }

    /// What was in work is due: nobody works on it.
    fn in_work_to_due(&mut self) {
        let in_work: Vec<_> = self.parked.iter().filter(|p| p.0 >= IN_WORK).copied().collect();
        for place in in_work {
            self.parked.remove(&place);
            let Some(e) = self.items.get_mut(&(place.1, place.2)) else { continue };
            e.due = e.last;
            self.parked.insert((e.due, place.1, place.2));
        }
    }

    /// An intent without an outcome is in doubt: settled, as far as the watermark is concerned.
    fn intents_to_doubt(&mut self) {
        let mut touched = BTreeSet::new();
        for e in self.items.values_mut().filter(|e| e.why == Why::Intent) {
            e.why = Why::InDoubt;
            let f = &mut e.fault;
            f.signature = format!("{} {LOST_CODE} {LOST_MESSAGE}", format!("{} {}", f.step, f.origin).trim());
            f.code = LOST_CODE.into();
            f.status = None;
            f.message = LOST_MESSAGE.into();
            let Some(row) = self.slices.get_mut(&e.slice) else { continue };
            touched.insert(e.slice);
            row.last.counts.in_doubt += 1;
            let mut settled = Settled::restore(row.last.watermark, row.chunks.values().cloned());
            settled.insert(e.seq);
            row.last.watermark = settled.watermark();
            row.chunks.extend(settled.take_changed().into_iter().map(|c| (c.index, c)));
            row.chunks.retain(|index, _| *index >= settled.watermark().0 / CHUNK_BITS);
        }
        // Parked rows are counted anew: an intent may have taken the place of one.
        for (id, row) in self.slices.iter_mut().filter(|(id, _)| touched.contains(id)) {
            row.last.counts.waiting = self.parked.iter().filter(|p| p.1 == *id).count() as u64;
        }
    }

    /// The newest value of everything learned about every lane, unless it is too old.
    fn learned(&self, now: UnixMs) -> Vec<LaneNote> {
        let mut newest = BTreeMap::new();
        for n in &self.lanes {
            newest.insert((n.lane.clone(), n.what), n);
        }
        newest.into_values().filter(|n| n.at.0 >= now.0 - LEARNED_MS).cloned().collect()
    }

    fn recovered(&self) -> Recovered {
        Recovered {
            fence: self.fence,
            slices: self.slices.values().map(SliceRow::recovered).collect(),
            marks: self.marks.clone().into_iter().collect(),
            aggregates: self.aggregates.clone().into_iter().collect(),
            next_due: self.parked.first().map(|p| p.0),
            resumed: self.fence > 1,
            lanes: self.learned(wall()),
        }
    }
}

impl SliceRow {
    fn recovered(&self) -> RecoveredSlice {
        let s = &self.last;
        RecoveredSlice {
            slice: s.slice.clone(),
            resume: s.resume.clone(),
            watermark: s.watermark,
            chunks: self.chunks.values().cloned().collect(),
            counts: s.counts,
            keys: self.keys_from + self.keys.len() as u64,
            keys_from: Seq(self.keys_from),
            state: s.state,
            bytes: s.bytes,
        }
    }
}

impl Ledger for MemoryLedger {
    fn recover(&mut self) -> Result<Recovered, LedgerError> {
        self.taken.clear();
        let mut store = self.store();
        store.fence += 1;
        store.intents_to_doubt();
        store.in_work_to_due();
        Ok(store.recovered())
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), LedgerError> {
        let mut store = self.store();
        store.admit(commit)?;
        store.apply(commit);
        if let Some(n) = &mut store.good_for {
            *n -= 1;
        }
        drop(store);
        let written = commit.exceptions.iter().map(|e| (e.slice, e.seq));
        for place in commit.cleared.iter().copied().chain(written) {
            self.taken.remove(&place);
        }
        Ok(())
    }

    fn take_due(&mut self, now: UnixMs, limit: usize) -> Result<Vec<Exception>, LedgerError> {
        let store = self.store();
        let due = store.parked.iter().take_while(|p| p.0 <= now).map(|p| (p.1, p.2));
        let places = due.filter(|p| !self.taken.contains(p)).take(limit);
        let items: Vec<Exception> = places.filter_map(|p| store.items.get(&p).cloned()).collect();
        drop(store);
        self.taken.extend(items.iter().map(|e| (e.slice, e.seq)));
        Ok(items)
    }

    fn next_due(&mut self) -> Result<Option<UnixMs>, LedgerError> {
        Ok(self
            .store()
            .parked
            .iter()
            .find(|p| p.0 < IN_WORK && !self.taken.contains(&(p.1, p.2)))
            .map(|p| p.0))
    }

    fn keys(&mut self, slice: SliceId, from: Seq, limit: usize) -> Result<Vec<KeyHash>, LedgerError> {
        let store = self.store();
        let Some(row) = store.slices.get(&slice) else { return Ok(Vec::new()) };
        let skip = usize::try_from(from.0.saturating_sub(row.keys_from)).unwrap_or(usize::MAX);
        Ok(row.keys.iter().skip(skip).take(limit).copied().collect())
    }

    fn rows(&mut self, slice: SliceId, from: Seq, limit: usize) -> Result<Vec<Seq>, LedgerError> {
        let store = self.store();
        let rows = store.items.range((slice, from)..=(slice, Seq(u64::MAX)));
        Ok(rows.map(|((_, seq), _)| *seq).take(limit).collect())
    }
}
