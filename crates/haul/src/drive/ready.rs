//! A job's live objects, on their way to the engine.

use std::path::Path;
use std::sync::Arc;

use haul_connect::assemble::{AssembleContext, AssembleError, Assembled, Output, assemble};
use haul_connect::expr::Expr;
use haul_connect::rows::OpenBytes;
use haul_connect::sinks::{self, Opening};
use haul_connect::steps::download::Depot;
use haul_connect::stores::Spill;
use haul_core::cx::RunKey;
use haul_core::job::Job;
use haul_engine::Orders;
use haul_engine::rundir::RunDir;
use tokio::runtime::Runtime;

use super::nothing::Nothing;
use super::problems::Problem;
use super::spool::Spool;
use crate::{copied, runs};

/// A job that can be run: everything it names exists, everything it says compiles. Nothing was
/// written yet.
pub struct Ready {
    live: Assembled,
    runtime: Runtime,
    /// Standard input is kept.
    spool: Option<Spool>,
    /// Standard input may be read.
    /// Where listings are sorted.
    scratch: Spill,
    fed: bool,
}

impl Ready {
    /// Assembles a job, but for its output, and reads its secrets once.
    pub fn of(job: &Job, spooled: bool) -> Result<Self, Problem> {
        let spool = spooled.then(Spool::default);
        let stdin = spool.clone().map(|spool| Arc::new(spool) as Arc<dyn OpenBytes>);
        let base = runs::working_directory();
        let scratch = Spill::default();
        let context = AssembleContext {
            base,
            output: None,
            stdin,
            spill: scratch.clone(),
            ..AssembleContext::default()
        };
        let live = assemble(job, &context)?;
        haul::aggregates(job, &context.base)?;
        // One thread for everything but the committer and the reader of files: requests are cheap,
        // and handing items between threads is not.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Problem::Start(format!("the asynchronous runtime does not start: {e}")))?;
        if !job.secrets.is_empty() {
            super::keep::secrets_safe();
        }
        crate::open_files::raise();
        runtime.block_on(live.check_secrets())?;
        Ok(Ready { live, runtime, spool, scratch, fed: false })
    }

    /// Standard input may be read.
    pub fn feeding(mut self) -> Self {
        self.fed = true;
        self
    }

    /// Whether standard input is kept.
    pub fn is_spooled(&self) -> bool {
        self.spool.is_some()
    }

    /// Begins to keep standard input, if that is wanted; `whole`: returns when all of it is kept. Gives
    /// what a person should know.
    pub fn begin_spool(&mut self, dir: &RunDir, whole: bool) -> Result<Option<String>, Problem> {
        let Some(spool) = &self.spool else { return Ok(None) };
        let note = spool.begin(dir, self.fed).map_err(|e| {
            Problem::Start(format!("standard input cannot be kept in {}: {e}", dir.spill().display()))
        })?;
        if whole {
            self.runtime.block_on(spool.finish())?;
        }
        Ok(note)
    }

    /// Reads no input.
    pub fn read_nothing(&mut self) {
        let name = self.live.opener.name().to_owned();
        self.live.opener = Arc::new(Nothing(name));
    }

    /// Opens the output of a frozen job, whose run begins or goes on.
    pub fn open_output(&mut self, job: &Job, begins: bool) -> Result<(), Problem> {
        let Some(spec) = &job.output else { return Ok(()) };
        let wrong = |key: &str, message: String| AssembleError {
            what: format!("output.{key}"),
            message,
            offset: None,
            hint: None,
        };
        let row = match &spec.row {
            Some(row) => Some(Expr::compile(row).map_err(|e| wrong("row", e.to_string()))?),
            None => None,
        };
        let opening = if begins { Opening::Create } else { Opening::Resume };
        let pair = sinks::open(spec, row, opening).map_err(|e| match e.code() {
            "disk_full" => Problem::from(e),
            _ => wrong(spec.format.as_str(), e.to_string()).into(),
        })?;
        self.live.output = Some(Output { name: spec.path.clone(), pair });
        Ok(())
    }

    /// Where downloads go.
    pub fn depot(&self) -> Option<Arc<Depot>> {
        self.live.downloads.as_ref().map(|d| d.depot.clone())
    }

    /// Hands everything over.
    /// The logs of aggregates go to `spill`.
    pub fn hand_over(self, job: &Job, run: RunKey, spill: &Path) -> Result<(Orders, Runtime), Problem> {
        self.scratch.set(spill);
        let mut orders = haul::orders(job, self.live, run);
        orders.aggregates = haul::aggregates(job, spill)?;
        if !orders.aggregates.is_empty() {
            std::fs::create_dir_all(spill)
                .map_err(|e| Problem::Start(format!("{}: {e}", spill.display())))?;
        }
        orders.aggregates.extend(copied::aggregate(job));
        Ok((orders, self.runtime))
    }
}
