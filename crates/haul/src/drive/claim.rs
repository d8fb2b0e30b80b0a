//! Finds or makes the run of a job, and takes the right to drive it.

use std::path::Path;

use haul_core::Counts;
use haul_core::job::{
    Given, Identity, IfExists, Job, OutputSpec, StepKind, StepSpec, parse, what_differs, write_frozen,
};
use haul_core::ledger::{LedgerError, SliceState};
use haul_engine::ledger::run::wall;
use haul_engine::ledger::{Amend, Filter, Reader, RunState};
use haul_engine::rundir::{Claimed, Intended, RunDir, RunDirError, RunLock, RunName};

use super::{VERSION, Wanted, after, spool};
use crate::apart::{self, Named};
use crate::flags::RunFlags;
use crate::{exit, format, output, runs};

/// A run that this process may drive.
pub struct Run {
    /// Its directory.
    pub dir: RunDir,
    /// The right to drive it.
    pub lock: RunLock,
    /// True when the run was made now.
    pub is_new: bool,
    /// What an old run of that name is called now.
    pub kept_as: Option<String>,
    /// Where it stands.
    pub counts: Counts,
    /// Failed items that are tried again.
    pub reopened: u64,
    /// It was finished, and looks at everything again.
    pub renewed: bool,
}

/// What is wanted.
pub struct Claim<'a> {
    /// Frozen.
    pub job: &'a Job,
    /// Its identity.
    pub identity: Identity,
    /// Name, state directory, `--fresh`.
    pub flags: &'a RunFlags,
}

impl Claim<'_> {
    fn name(&self) -> Result<RunName, RunDirError> {
        match &self.flags.run {
            Some(name) => RunName::parse(name),
            None => {
                let identity = self.identity.to_string();
                Ok(RunName::derive(&self.job.verb, &self.job.source.location, &identity))
            }
        }
    }

    /// The run of this job, if it is there.
    pub fn find(&self) -> Option<RunDir> {
        let dir = runs::state_dir(self.flags.state.as_deref()).get(self.name().ok()?.as_str())?;
        let known = Reader::open(dir.path()).and_then(|r| r.run()).ok()?;
        (known.identity == self.identity.to_string()).then_some(dir)
    }

    /// Whether the run is there and keeps its input.
    pub fn is_spooled(&self) -> bool {
        let dir =
            self.name().ok().and_then(|name| runs::state_dir(self.flags.state.as_deref()).get(name.as_str()));
        !self.flags.fresh && dir.is_some_and(|dir| spool::is_kept(&dir))
    }

    /// Sees to it that nothing that is read, or that another wrote, is overwritten.
    ///
    /// # Errors
    /// Which file would be lost.
    pub fn keeps_files_apart(&self, wanted: &Wanted<'_>) -> Result<(), String> {
        let failed_to = self.flags.end.failed_to.as_deref();
        let named = |what, path| Named { what, path };
        let mut read = vec![named("the input", Path::new(&wanted.job.source.location))];
        read.extend(wanted.file.map(|file| named("the job file", Path::new(file.name))));
        let mut written = Vec::new();
        written.extend(wanted.job.output.as_ref().map(|o| named("--to", Path::new(&o.path))));
        written.extend(failed_to.map(|path| named("--failed-to", path)));
        written.retain(|file| file.path != Path::new("-"));
        if let Some(problem) = apart::clash(&read, &written) {
            return Err(problem);
        }
        let there = || {
            let state = runs::state_dir(self.flags.state.as_deref());
            self.name().is_ok_and(|name| state.get(name.as_str()).is_some())
        };
        match failed_to {
            Some(path) if path.metadata().is_ok_and(|m| m.is_file() && m.len() > 0) && !there() => {
                Err(format!(
                    "--failed-to {} exists, and this run did not write it: move it away, or name another file",
                    path.display()
                ))
            }
            Some(path) => after::can_write_failed(path),
            None => Ok(()),
        }
    }

    /// Takes it; a problem has been told, and the exit status is given.
    pub fn take(&self) -> Result<Run, u8> {
        let told = |e: RunDirError| {
            output::complain(&e.to_string());
            runs::status_of(&e)
        };
        let identity = self.identity.to_string();
        let name = self.name().map_err(told)?;
        let state = runs::state_dir(self.flags.state.as_deref());
        let to_stdout = self.job.output.as_ref().is_some_and(|o| o.path == "-");
        let there = state.get(name.as_str());
        if to_stdout && there.is_some() && !self.flags.fresh && !self.flags.show.quiet {
            output::complain("rows on standard output cannot be taken back: the run starts over");
        }
        let intended = Intended {
            name: &name,
            identity: &identity,
            job: &write_frozen(self.job),
            version: VERSION,
            fresh: self.flags.fresh || to_stdout || there.as_ref().is_some_and(|dir| self.is_over(dir)),
        };
        let claimed = state.claim(&intended).map_err(|e| match (&e, &there) {
            (RunDirError::OtherIdentity { .. }, Some(dir)) => self.tell_difference(dir),
            _ => told(e),
        })?;
        if let Some(index) = runs::index()
            && let Err(e) = index.add(&claimed.dir)
            && self.flags.show.verbose
        {
            output::complain(&format!("the run cannot be found from other directories: {e}"));
        }
        self.stand(claimed, &intended).map_err(|e| {
            output::complain(&e.to_string());
            if e.is_disk_full() { exit::STOPPED } else { exit::NO_START }
        })
    }

    /// A crawl that is through: the same command means to do it again. A part that was asked for by
    /// `--limit` is not all there is.
    fn is_over(&self, dir: &RunDir) -> bool {
        let over = || {
            let reader = Reader::glance(dir.path())?;
            let (info, slices) = (reader.run()?, reader.slices()?);
            let read = slices.iter().all(|s| s.state == SliceState::Read);
            let same = info.identity == self.identity.to_string();
            Ok::<_, LedgerError>(
                same && info.state == RunState::Finished && read && !reader.counts()?.has_open(),
            )
        };
        self.job.source.pages.is_some() && over().unwrap_or(false)
    }

    /// Where the run stands; one that finished with failures tries those again.
    fn stand(&self, claimed: Claimed, intended: &Intended<'_>) -> Result<Run, RunDirError> {
        let Claimed { dir, lock, is_new, kept_as } = claimed;
        let mut run =
            Run { dir, lock, is_new, kept_as, counts: Counts::default(), reopened: 0, renewed: false };
        if !is_new {
            let reader = Reader::open(run.dir.path())?;
            let info = reader.run()?;
            run.counts = reader.counts()?;
            drop(reader);
            let again = |s: &StepSpec| matches!(s.kind, StepKind::Download(_) | StepKind::Copy { .. });
            let saves = self.job.steps.iter().any(again);
            if saves && info.state == RunState::Finished {
                run.dir.renew(&run.lock, intended)?;
                (run.counts, run.renewed) = (Counts::default(), true);
            } else if info.state == RunState::Finished && run.counts.failed > 0 {
                run.reopened = Amend::open(&run.lock)?.reopen(&Filter::default(), wall())?.items;
            }
        }
        Ok(run)
    }

    /// The name belongs to a run of another job: says how it differs.
    fn tell_difference(&self, dir: &RunDir) -> u8 {
        let name = dir.name();
        output::complain(&format!("run {name} is of another job"));
        let before = dir.job_text().ok().and_then(|text| {
            parse(&Given { text: &text, name: &self.job.verb, profile: None, set: &[] }).ok()
        });
        match before {
            Some(before) => {
                for line in what_differs(&before.job, self.job) {
                    output::tell(&format!("  {}", format::plain(&line, 400)));
                }
            }
            None => output::tell(&format!("  its job is in {}", dir.job().display())),
        }
        output::tell("  hint: choose another --run NAME, or start over with --fresh (the old run is kept)");
        exit::USAGE
    }
}

impl Run {
    /// A run that could not begin leaves nothing behind: neither its directory nor the empty file
    /// that it `made` for its rows, which would be in the way of the next try. Once a write may have
    /// been sent it stays, for the sake of the keys that go with it.
    pub fn forget_if_unused(self, job: &Job, made: Option<&OutputSpec>) {
        let writes = job.steps.iter().any(|s| matches!(s.kind, StepKind::Post { .. }));
        let unused = |c: Counts| c.read() == 0 || c.settled() == 0 && !writes;
        if !self.is_new || !Reader::open(self.dir.path()).and_then(|r| r.counts()).is_ok_and(unused) {
            return;
        }
        if let Some(output) = made.filter(|o| o.exists == IfExists::Refuse && o.path != "-")
            && std::fs::metadata(&output.path).is_ok_and(|m| m.is_file() && m.len() == 0)
        {
            // It stays when it cannot be removed; the next try then says so.
            let _ = std::fs::remove_file(&output.path);
        }
        if let Err(e) = self.lock.delete() {
            output::complain(&e.to_string());
        }
    }
}
