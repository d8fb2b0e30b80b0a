//! Job → live objects. This is the only exhaustive match over job specs: a new source, step or sink
//! is a variant in the spec, a file, and an arm here.

mod places;
mod steps;

use std::path::PathBuf;
use std::sync::Arc;

use haul_core::job::{
    self, Job, LimitsSpec, OutputSpec, PagesSpec, RowFormat, ServiceSpec, SourceSpec, StepKind, StepSpec,
};
use haul_core::lane::{LanePolicy, Origin};
use haul_core::rank::Ranks;
use haul_core::{Effect, Fault, Opener, Step};

use crate::expr::Expr;
use crate::http::{Client, ClientOptions, HttpLocation, Proxies, Roots, Url, Witness};
use crate::pages::PagesOpener;
use crate::priority::Priority;
use crate::rows::RowsOpener;
use crate::secrets::Credential;
use crate::sinks::{self, Opening};
use crate::steps::download::{Claiming, Depot, WantedFiles};
use crate::stores::{Place, Spill};
use steps::Steps;

/// What a job is assembled for.
#[derive(Clone)]
pub struct AssembleContext {
    /// Where relative paths start.
    pub base: PathBuf,
    /// Where what does not fit into memory goes, once there is a run.
    pub spill: Spill,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// Which proxies lead where; `None`: those of the environment.
    pub proxies: Option<Proxies>,
    /// What stands for standard input; `None`: the process's own.
    pub stdin: Option<Arc<dyn crate::rows::OpenBytes>>,
    /// Looks on; with it, POST and PUT are kept back (`haul try`).
    pub witness: Option<Arc<dyn Witness>>,
    /// How the output is opened; `None` leaves it alone (`haul try`, `haul plan`).
    pub output: Option<Opening>,
}

impl Default for AssembleContext {
    fn default() -> Self {
        AssembleContext {
            base: PathBuf::from("."),
            spill: Spill::default(),
            roots: Roots::System,
            proxies: None,
            stdin: None,
            witness: None,
            output: Some(Opening::Create),
        }
    }
}

/// Why a job cannot be assembled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {message}")]
pub struct AssembleError {
    /// Dotted path into the job, as diagnostics use it: `step.video.take`; empty for the job as a whole.
    pub what: String,
    /// What is wrong there.
    pub message: String,
    /// The byte of the expression or template at that path, where one is to blame.
    pub offset: Option<usize>,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// Steps that run side by side on one item.
pub type Stage = Vec<Arc<dyn Step>>;

/// An output that is open.
pub struct Output {
    /// Its name in the ledger.
    pub name: String,
    /// The file and what makes its rows.
    pub pair: sinks::Pair,
}

/// The live objects of a job.
pub struct Assembled {
    /// The source.
    pub opener: Arc<dyn Opener>,
    /// Steps in order; those of one stage run at once. A write stands alone, last.
    pub stages: Vec<Stage>,
    /// Where done items are written.
    pub output: Option<Output>,
    /// What is downloaded.
    pub downloads: Option<Downloads>,
    /// What is copied where to.
    pub copies: Option<Copies>,
    /// The pace of every origin that is known before the first item.
    pub lanes: Vec<(Origin, LanePolicy)>,
    /// The pace of any other.
    pub lane_default: LanePolicy,
    /// How urgent items are.
    pub ranks: Option<Arc<dyn Ranks>>,
    /// The connections of the run.
    pub client: Arc<Client>,
    credentials: Vec<Arc<Credential>>,
}

impl Assembled {
    /// Reads every secret once, so that one that is missing is known before the first item.
    ///
    /// # Errors
    /// Fatal, with the name of the secret and what to do.
    pub async fn check_secrets(&self) -> Result<(), Fault> {
        for credential in &self.credentials {
            credential.lines().await?;
        }
        Ok(())
    }
}

/// The files of a job that downloads.
pub struct Downloads {
    /// Which files records name.
    pub files: Arc<WantedFiles>,
    /// Where they go; opened before the run.
    pub depot: Arc<Depot>,
}

/// Both ends of a job that copies the keys of a store.
#[derive(Clone)]
pub struct Copies {
    /// Whose objects are copied.
    pub from: Place,
    /// Where to.
    pub to: Place,
}

/// Makes the live objects of a job. Nothing is sent; files are opened.
///
/// # Errors
/// The first thing that is wrong, with its place in the job.
pub fn assemble(job: &Job, context: &AssembleContext) -> Result<Assembled, AssembleError> {
    if let Some(problem) = job::check(job).into_iter().next() {
        let job::Problem { path, message, hint, .. } = problem;
        return Err(AssembleError { what: path, message, offset: None, hint });
    }
    let client = Arc::new(Client::new(ClientOptions {
        connect_timeout: job.limits.connect_timeout,
        read_timeout: job.limits.read_timeout,
        least_throughput: job.limits.min_throughput,
        bandwidth: job.limits.bandwidth.clone(),
        roots: context.roots.clone(),
        witness: context.witness.clone(),
        proxies: match &context.proxies {
            Some(proxies) => proxies.clone(),
            None => Proxies::from_environment().map_err(|e| wrong("", &e))?,
        },
    }));
    let mut steps = Steps::new(job, Arc::clone(&client), context.base.clone(), context.spill.clone())?;
    let mut made: Vec<Arc<dyn Step>> = Vec::new();
    for spec in &job.steps {
        made.push(steps.make(spec)?);
    }
    if let Some(row) = job.output.as_ref().and_then(|o| row(o).transpose()).transpose()? {
        steps.need(row.names().unwrap_or_default(), ("the row", "output.row"));
    }
    let ranks = ranks(job, &mut steps)?;
    let mut opener = source(job, context, &client, &mut steps)?;
    // What is only looked at claims no names.
    let downloads = steps.downloads.take().filter(|_| context.witness.is_none()).inspect(|d| {
        let filters = leading_filters(job);
        opener = Arc::new(Claiming::new(opener.clone(), d.files.clone(), d.depot.clone(), filters));
    });
    // Last: a job that cannot run leaves no empty file behind.
    let output = match (&job.output, context.output) {
        (Some(spec), Some(opening)) => Some(output(spec, opening, context)?),
        (Some(spec), None) => {
            row(spec)?;
            None
        }
        (None, _) => None,
    };
    Ok(Assembled {
        opener,
        stages: stages(made, job),
        output,
        downloads,
        copies: steps.copies,
        lanes: steps.lanes,
        lane_default: policy(None, &job.limits),
        ranks,
        client,
        credentials: steps.credentials.into_values().collect(),
    })
}

/// Those that see each record as it was read. Their steps have said what is wrong with them.
fn leading_filters(job: &Job) -> Vec<Expr> {
    let filters = job.steps.iter().map_while(|step| match &step.kind {
        StepKind::Filter { expr } => Some(expr),
        _ => None,
    });
    filters.filter_map(|text| Expr::compile(text).ok()).collect()
}

fn source(
    job: &Job,
    context: &AssembleContext,
    client: &Arc<Client>,
    steps: &mut Steps<'_>,
) -> Result<Arc<dyn Opener>, AssembleError> {
    if let Some(spec) = &job.source.pages {
        return pages(&job.source, spec, steps);
    }
    let at = format!("source.{}", job.source.format.as_str());
    let location = &job.source.location;
    if job.source.format == RowFormat::Keys {
        return steps.keys(&at);
    }
    let mut stream = context.stdin.clone().filter(|_| location == "-");
    if location.starts_with("http://") || location.starts_with("https://") {
        let url = Url::parse(location).map_err(|e| wrong(&at, &e))?;
        let place =
            HttpLocation::new(Arc::clone(client), url, job.limits.timeout).map_err(|e| wrong(&at, &e))?;
        steps.lane(place.origin(), None, None);
        stream = Some(Arc::new(place));
    }
    let opener = RowsOpener::new(&job.source, &context.base, stream).map_err(|fault| {
        let what = if fault.code() == "key" { "source.key".to_owned() } else { at };
        wrong(&what, &fault)
    })?;
    // What a step attaches is no column; a source need not have it.
    // And every item has a key.
    let given = |name: &str| name == "key" || job.steps.iter().any(|s| s.name == name);
    let mut needed = std::mem::take(&mut steps.needed);
    needed.retain(|n| !given(&n.name));
    let is_lookup = |step: &&StepSpec| matches!(step.kind, StepKind::Get { .. });
    let taken = job.steps.iter().filter(is_lookup).map(|step| step.name.as_str().into()).collect();
    Ok(Arc::new(opener.needing(needed).without(taken)))
}

fn pages(
    source: &SourceSpec,
    spec: &PagesSpec,
    steps: &mut Steps<'_>,
) -> Result<Arc<dyn Opener>, AssembleError> {
    let url = source.location.as_str();
    let get = StepSpec::new("source", StepKind::Get { url: url.to_owned(), take: None, cache: None });
    let endpoint = steps.endpoint(&get, url, "source.get")?;
    let opener = PagesOpener::new(source, spec, endpoint)
        .map_err(|e| AssembleError { offset: e.offset, ..wrong(&format!("source.{}", e.key), &e) })?;
    Ok(Arc::new(opener))
}

fn ranks(job: &Job, steps: &mut Steps<'_>) -> Result<Option<Arc<dyn Ranks>>, AssembleError> {
    let Some(text) = &job.limits.priority else { return Ok(None) };
    let expr = expr(text, "limits.priority")?;
    steps.need(expr.names().unwrap_or_default(), ("the priority", "limits.priority"));
    Ok(Some(Arc::new(Priority::new(expr))))
}

fn row(spec: &OutputSpec) -> Result<Option<Expr>, AssembleError> {
    spec.row.as_deref().map(|text| expr(text, "output.row")).transpose()
}

fn output(spec: &OutputSpec, opening: Opening, context: &AssembleContext) -> Result<Output, AssembleError> {
    let at = format!("output.{}", spec.format.as_str());
    let row = row(spec)?;
    let mut placed = spec.clone();
    if spec.path != "-" {
        placed.path = context.base.join(&spec.path).to_string_lossy().into_owned();
    }
    let pair = sinks::open(&placed, row, opening).map_err(|fault| wrong(&at, &fault))?;
    Ok(Output { name: spec.path.clone(), pair })
}

/// The pace of a service: its own, else the job's.
fn policy(service: Option<&ServiceSpec>, limits: &LimitsSpec) -> LanePolicy {
    LanePolicy {
        rate: service.and_then(|s| s.rate).or(limits.rate),
        concurrency: service.and_then(|s| s.concurrency).unwrap_or(limits.concurrency),
        replica_of: None,
    }
}

/// Groups steps: neighbours that only read, and do not name each other, run at once. A filter runs
/// alone, since what comes after it is for the items that pass; a write runs alone and last.
fn stages(steps: Vec<Arc<dyn Step>>, job: &Job) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut open = false;
    for (step, spec) in steps.into_iter().zip(&job.steps) {
        let alone = matches!(spec.kind, StepKind::Filter { .. }) || step.effect().is_write();
        match stages.last_mut() {
            Some(stage) if open && !alone && is_independent(&*step, stage) => stage.push(step),
            _ => stages.push(vec![step]),
        }
        open = !alone;
    }
    stages
}

/// True when a step reads nothing that the steps of a stage attach.
fn is_independent(step: &dyn Step, stage: &Stage) -> bool {
    debug_assert!(matches!(step.effect(), Effect::Read | Effect::Pure));
    step.reads().is_some_and(|names| stage.iter().all(|other| !names.contains(other.name())))
}

fn expr(text: &str, at: &str) -> Result<Expr, AssembleError> {
    Expr::compile(text).map_err(|e| AssembleError { offset: Some(e.offset), ..wrong(at, &e) })
}

fn wrong(at: &str, why: &dyn std::fmt::Display) -> AssembleError {
    AssembleError { what: at.to_owned(), message: why.to_string(), offset: None, hint: None }
}
