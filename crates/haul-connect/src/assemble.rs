//! Job → live objects. This is the only exhaustive match over job specs: a new source, step or sink
//! is a variant in the spec, a file, and an arm here.

mod places;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use haul_core::job::{
    self, Job, LimitsSpec, OutputSpec, PagesSpec, RowFormat, ServiceSpec, SourceSpec, StepKind, StepSpec,
};
use haul_core::lane::{LanePolicy, Origin};
use haul_core::rank::Ranks;
use haul_core::{Effect, Fault, Opener, Step};

use crate::expr::Expr;
use crate::http::{
    Client, ClientOptions, HeaderLines, HttpLocation, Proxies, Roots, StatusRules, Url, Witness,
};
use crate::pages::PagesOpener;
use crate::priority::Priority;
use crate::rows::{Needed, RowsOpener};
use crate::secrets::Credential;
use crate::sinks::{self, Opening};
use crate::steps::download::{self, Claiming, Depot, Download, Home, WantedFiles};
use crate::steps::{Batch, BatchSpec, Body, Copy, Endpoint, EndpointSpec, Filter, Get, Map, StepUrl, Write};
use crate::stores::S3;

/// What a job is assembled for.
#[derive(Clone)]
pub struct AssembleContext {
    /// Where relative paths start.
    pub base: PathBuf,
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
    let mut steps = Steps::new(job, Arc::clone(&client), context.base.clone())?;
    let mut made: Vec<Arc<dyn Step>> = Vec::new();
    for spec in &job.steps {
        made.push(steps.make(spec)?);
    }
    if let Some(row) = job.output.as_ref().and_then(|o| row(o).transpose()).transpose()? {
        steps.need(row.names().unwrap_or_default(), "the row");
    }
    let ranks = ranks(job, &mut steps)?;
    let mut opener = source(job, context, &client, &mut steps)?;
    // What is only looked at claims no names.
    let downloads = steps.downloads.take().filter(|_| context.witness.is_none()).inspect(|d| {
        opener = Arc::new(Claiming::new(opener.clone(), d.files.clone(), d.depot.clone()));
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
        lanes: steps.lanes,
        lane_default: policy(None, &job.limits),
        ranks,
        client,
        credentials: steps.credentials.into_values().collect(),
    })
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
    Ok(Arc::new(opener.needing(needed)))
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
    steps.need(expr.names().unwrap_or_default(), "the priority");
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

/// Makes steps, and collects what they have in common.
struct Steps<'j> {
    job: &'j Job,
    client: Arc<Client>,
    /// The base URLs of services: more than one of those with replicas.
    bases: BTreeMap<&'j str, Vec<Url>>,
    /// By service; the empty name is for steps without one.
    credentials: BTreeMap<&'j str, Arc<Credential>>,
    stores: BTreeMap<String, Arc<S3>>,
    lanes: Vec<(Origin, LanePolicy)>,
    lookups: Vec<Arc<str>>,
    base: PathBuf,
    downloads: Option<Downloads>,
    /// What URLs and expressions name, in order.
    needed: Vec<Needed>,
}

impl<'j> Steps<'j> {
    fn new(job: &'j Job, client: Arc<Client>, base: PathBuf) -> Result<Self, AssembleError> {
        let mut this = Steps {
            job,
            client,
            bases: BTreeMap::new(),
            credentials: BTreeMap::from([("", Arc::new(Credential::new(Vec::new())))]),
            stores: BTreeMap::new(),
            lanes: Vec::new(),
            lookups: Vec::new(),
            base,
            downloads: None,
            needed: Vec::new(),
        };
        for (name, service) in &job.services {
            let secrets = service
                .auth
                .iter()
                .filter_map(|secret| job.secrets.get(secret).map(|spec| (secret.clone(), spec.clone())));
            let credential = Arc::new(Credential::new(secrets.collect()));
            let (at, several) = (format!("service.{name}.url"), !service.replicas.is_empty());
            let group = u32::try_from(this.bases.len()).ok().filter(|_| several);
            let mut urls = Vec::new();
            for (i, url) in std::iter::once(&service.url).chain(&service.replicas).enumerate() {
                let at = if several { format!("{at}[{i}]") } else { at.clone() };
                let url = Url::parse(url).map_err(|e| wrong(&at, &e))?;
                this.lane(url.origin(credential.name()), Some(service), group);
                urls.push(url);
            }
            this.bases.insert(name, urls);
            this.credentials.insert(name, credential);
        }
        Ok(this)
    }

    /// Notes the pace of an origin; of services that share one the stricter counts.
    fn lane(&mut self, origin: Origin, service: Option<&ServiceSpec>, replica_of: Option<u32>) {
        let new = LanePolicy { replica_of, ..policy(service, &self.job.limits) };
        match self.lanes.iter_mut().find(|(known, _)| *known == origin) {
            None => self.lanes.push((origin, new)),
            Some((_, known)) => {
                known.concurrency = known.concurrency.stricter(new.concurrency);
                // One that also stands alone cannot be stood in for.
                known.replica_of = known.replica_of.filter(|_| known.replica_of == new.replica_of);
                known.rate = match (known.rate, new.rate) {
                    (Some(a), Some(b)) => Some(if a.interval() >= b.interval() { a } else { b }),
                    (a, b) => a.or(b),
                };
            }
        }
    }

    fn make(&mut self, spec: &StepSpec) -> Result<Arc<dyn Step>, AssembleError> {
        let name: Arc<str> = spec.name.as_str().into();
        let at = |key: &str| format!("step.{}.{key}", spec.name);
        Ok(match &spec.kind {
            StepKind::Get { url, take, cache } => {
                let take = take.as_deref().map(|text| expr(text, &at("take"))).transpose()?;
                let endpoint = self.endpoint(spec, url, &at("get"))?;
                self.lookups.push(Arc::clone(&name));
                Arc::new(Get::new(name, endpoint, take, *cache))
            }
            StepKind::Post { url, body, put, batch: None, gzip } => {
                let body = match body {
                    Some(text) => {
                        let body = expr(text, &at("body"))?;
                        self.need(body.names().unwrap_or_default(), "the body");
                        Body::Expr(body)
                    }
                    None => self.usual_body(),
                };
                let key = if *put { "put" } else { "post" };
                let endpoint = self.endpoint(spec, url, &at(key))?;
                Arc::new(
                    Write::new(name, endpoint, body, (*put, self.compresses(*gzip)))
                        .map_err(|e| wrong(&at(key), &e))?,
                )
            }
            StepKind::Post { url, body, put, batch: Some(batch), gzip } => {
                let by = batch.by.as_deref().map(member_or_expr);
                let by = by.map(|text| expr(&text, &at("batch.by"))).transpose()?;
                self.need(by.as_ref().and_then(Expr::names).unwrap_or_default(), "batch.by");
                let key = if *put { "put" } else { "post" };
                let batch = BatchSpec {
                    part: self.usual_body(),
                    body: body.as_deref().map(|text| expr(text, &at("body"))).transpose()?,
                    by,
                    outcomes: batch
                        .outcomes
                        .as_deref()
                        .map(|text| expr(text, &at("outcomes")))
                        .transpose()?,
                    max: batch.max,
                    linger: batch.linger,
                    format: batch.format,
                    put: *put,
                    gzip: self.compresses(*gzip),
                    endpoint: self.endpoint(spec, url, &at(key))?,
                };
                Arc::new(Batch::new(name, batch).map_err(|e| wrong(&at(key), &e))?)
            }
            StepKind::Download(download) => self.download(spec, download, name)?,
            StepKind::Copy { to, types } => {
                let from = self.place(&self.job.source.location, "source.keys")?;
                let copy = Copy::new(name, from, self.place(to, &at("copy"))?, types);
                Arc::new(copy.map_err(|e| wrong(&at("type"), &e))?)
            }
            StepKind::Map { expr: text } => {
                let map = expr(text, &at("map"))?;
                self.need(map.names().unwrap_or_default(), &format!("step {name}"));
                Arc::new(Map::new(name, map))
            }
            StepKind::Filter { expr: text } => {
                let filter = expr(text, &at("filter"))?;
                if filter.assigns() {
                    let message = "= assigns, which is always true: == compares";
                    return Err(wrong(&at("filter"), &message));
                }
                let by = if &*name == "where" { "where".to_owned() } else { format!("step {name}") };
                self.need(filter.names().unwrap_or_default(), &by);
                Arc::new(Filter::new(name, filter))
            }
        })
    }

    /// What is only shown is shown as it reads.
    fn compresses(&self, said: bool) -> bool {
        said && self.client.options.witness.is_none()
    }

    /// What is sent of an item when nothing is said.
    fn usual_body(&self) -> Body {
        if self.lookups.is_empty() { Body::Record } else { Body::Lookups(self.lookups.clone()) }
    }

    fn download(
        &mut self,
        spec: &StepSpec,
        download: &job::DownloadSpec,
        name: Arc<str>,
    ) -> Result<Arc<dyn Step>, AssembleError> {
        let by_url = self.job.source.format == RowFormat::Urls;
        let files = WantedFiles::compile(&download.files, download.name.as_deref(), by_url);
        let files = files.map_err(|e| {
            let at = format!("step.{}.{}", spec.name, e.key);
            AssembleError { offset: Some(e.error.offset), ..wrong(&at, &e.error) }
        })?;
        self.need(files.names(), "a download");
        let (files, depot) = (Arc::new(files), Arc::new(Depot::new(self.base.join(&download.to))));
        self.downloads = Some(Downloads { files: Arc::clone(&files), depot: Arc::clone(&depot) });
        let mut homes = Vec::new();
        for (service, urls) in &self.bases {
            for url in urls {
                homes.push(Home {
                    url: url.clone(),
                    headers: self.headers(spec, service)?,
                    credential: Arc::clone(&self.credentials[service]),
                });
            }
        }
        Ok(Arc::new(Download::new(download::DownloadSpec {
            name,
            files,
            depot,
            client: Arc::clone(&self.client),
            homes,
            rules: StatusRules { on: spec.on.clone(), expect: spec.expect.clone() },
            headers: self.headers(spec, "")?,
            timeout: spec.timeout.unwrap_or(self.job.limits.timeout),
            overwrite: download.overwrite,
            keep_free: self.job.limits.keep_free,
        })))
    }

    fn endpoint(&mut self, spec: &StepSpec, url: &str, at: &str) -> Result<Endpoint, AssembleError> {
        let service = spec.service().filter(|name| self.bases.contains_key(name));
        let bases = service.map_or(&[][..], |name| &self.bases[name]);
        let prefix = service.map_or(0, |name| name.len() + 2);
        let compile = |base: Option<&Url>| {
            StepUrl::compile(&url[prefix..], base.map(Url::as_str))
                .map_err(|e| AssembleError { offset: e.offset().map(|byte| prefix + byte), ..wrong(at, &e) })
        };
        let step_url = compile(bases.first())?;
        let replicas = bases.iter().skip(1).map(|base| compile(Some(base))).collect::<Result<_, _>>()?;
        let service = service.unwrap_or_default();
        let configured = self.headers(spec, service)?;
        let endpoint = Endpoint::new(EndpointSpec {
            client: Arc::clone(&self.client),
            url: step_url,
            configured,
            credential: Arc::clone(&self.credentials[service]),
            rules: StatusRules { on: spec.on.clone(), expect: spec.expect.clone() },
            timeout: spec.timeout.unwrap_or(self.job.limits.timeout),
        })
        .with_replicas(replicas);
        self.need(endpoint.names(), "a URL");
        if let Some(origin) = endpoint.origin().filter(|_| service.is_empty()) {
            self.lane(origin, None, None);
        }
        Ok(endpoint)
    }

    /// Notes names that must be columns where the source has columns.
    fn need(&mut self, names: &[Arc<str>], by: &str) {
        for name in names {
            if !self.needed.iter().any(|n| n.name == *name) {
                self.needed.push(Needed { name: Arc::clone(name), by: by.to_owned() });
            }
        }
    }

    /// Headers of the service, then of the step; the step's win.
    fn headers(&self, spec: &StepSpec, service: &str) -> Result<HeaderLines, AssembleError> {
        let mut lines = HeaderLines::new();
        let of_service = self.job.services.get(service).map(|s| &s.headers).into_iter().flatten();
        for (name, value) in of_service {
            if !spec.headers.keys().any(|own| own.eq_ignore_ascii_case(name)) {
                lines
                    .push(name, value)
                    .map_err(|e| wrong(&format!("service.{service}.headers.{name}"), &e))?;
            }
        }
        for (name, value) in &spec.headers {
            lines.push(name, value).map_err(|e| wrong(&format!("step.{}.headers.{name}", spec.name), &e))?;
        }
        Ok(lines)
    }
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

/// `user_id` stands for `.user_id`.
fn member_or_expr(text: &str) -> String {
    let word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if word { format!(".{text}") } else { text.to_owned() }
}

fn expr(text: &str, at: &str) -> Result<Expr, AssembleError> {
    Expr::compile(text).map_err(|e| AssembleError { offset: Some(e.offset), ..wrong(at, &e) })
}

fn wrong(at: &str, why: &dyn std::fmt::Display) -> AssembleError {
    AssembleError { what: at.to_owned(), message: why.to_string(), offset: None, hint: None }
}
