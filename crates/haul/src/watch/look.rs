//! What the screen shows of a run: asked of its process while it lives, read from its ledger when it does
//! not. Each look costs the same however long the run.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use haul_core::ledger::{LaneNote, LedgerError, TickRow};
use haul_core::{Counts, UnixMs};
use haul_engine::ledger::Reader;
use haul_engine::ledger::read::Groups;
use haul_engine::rundir::RunDir;

use super::past::Past;
use crate::standing::Standing;

/// Rows of the past that are held: an hour by the second, and what is thinner before it.
const TICKS: usize = 3600 + 7 * 24 * 60;
/// Changes of lanes that are shown.
const NOTES: usize = 4;
/// Bytes of the log's end that are read.
const LOG_BYTES: u64 = 8 << 10;
/// Grouping failures takes at most this part of the time.
const GROUPS_SHARE: u32 = 100;

/// Looks at one run, again and again.
pub struct Looker {
    dir: RunDir,
    reader: Reader,
    ticks: VecDeque<TickRow>,
    groups: Groups,
    /// How much had failed when failures were grouped, and when that may be done again.
    grouped: (u64, Option<Instant>),
    /// What the ledger says of a run without a process, and the counts it was read at.
    past: Option<(Counts, Past)>,
}

/// One look.
pub struct Look<'a> {
    /// How the run stands.
    pub standing: Standing,
    /// The past, the newest row last.
    pub ticks: &'a VecDeque<TickRow>,
    /// How far it is and which values lead, when no process tells.
    pub past: Option<&'a Past>,
    /// The newest changes of limits and rates, with their reasons.
    pub notes: Vec<LaneNote>,
    /// The last lines of the run's log.
    pub log: Vec<String>,
}

impl Looker {
    /// Begins.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn new(dir: RunDir) -> Result<Self, LedgerError> {
        let reader = Reader::open(dir.path())?;
        Ok(Looker {
            dir,
            reader,
            ticks: VecDeque::new(),
            groups: Groups::default(),
            grouped: (0, None),
            past: None,
        })
    }

    /// The run's directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// Looks.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn look(&mut self) -> Result<Look<'_>, LedgerError> {
        let since = self.ticks.back().map_or(UnixMs(0), |t| UnixMs(t.at.0 + 1));
        self.ticks.extend(self.reader.ticks(since)?);
        let surplus = self.ticks.len().saturating_sub(TICKS);
        self.ticks.drain(..surplus);
        self.group()?;
        let notes = self.reader.lanes(NOTES)?;
        let standing = Standing::with(self.dir.clone(), &self.reader, self.groups.clone())?;
        if standing.live.is_some() {
            self.past = None;
        } else if self.past.as_ref().is_none_or(|(counts, _)| *counts != standing.counts) {
            self.past = Some((standing.counts, Past::of(&self.dir, &self.reader)?));
        }
        let past = self.past.as_ref().map(|(_, past)| past);
        Ok(Look { standing, ticks: &self.ticks, past, notes, log: tail(&self.dir) })
    }

    /// Groups failures when there are others than last time, but not all the time.
    fn group(&mut self) -> Result<(), LedgerError> {
        let Counts { failed, rejected, in_doubt, .. } = self.reader.counts()?;
        let open = failed + rejected + in_doubt;
        let (before, not_before) = self.grouped;
        let began = Instant::now();
        if open == before || not_before.is_some_and(|at| began < at) {
            return Ok(());
        }
        self.groups = self.reader.groups()?;
        let pause = (began.elapsed() * GROUPS_SHARE).max(Duration::from_secs(1));
        self.grouped = (open, Some(began + pause));
        Ok(())
    }
}

/// The last lines of the log; none where it cannot be read.
fn tail(dir: &RunDir) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(dir.log())?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(LOG_BYTES)))?;
        let mut end = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    String::from_utf8_lossy(&end).lines().map(str::to_owned).collect()
}
