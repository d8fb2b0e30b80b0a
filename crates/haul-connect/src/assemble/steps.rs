//! Makes the steps of a job, and what they have in common: services, credentials, lanes, names that are
//! needed of the source.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use haul_core::Step;
use haul_core::job::{self, Job, RowFormat, ServiceSpec, StepKind, StepSpec};
use haul_core::lane::{LanePolicy, Origin};

use super::{AssembleError, Copies, Downloads, expr, policy, wrong};
use crate::expr::Expr;
use crate::http::{Client, HeaderLines, StatusRules, Url};
use crate::rows::Needed;
use crate::secrets::Credential;
use crate::steps::download::{self, Deliver, DeliverSpec, Depot, Download, Home, WantedFiles};
use crate::steps::{Batch, BatchSpec, Body, Copy, Endpoint, EndpointSpec, Filter, Get, Map, StepUrl, Write};
use crate::stores::{S3, Spill};

/// Makes steps, and collects what they have in common.
pub(super) struct Steps<'j> {
    pub(super) job: &'j Job,
    pub(super) client: Arc<Client>,
    /// The base URLs of services: more than one of those with replicas.
    pub(super) bases: BTreeMap<&'j str, Vec<Url>>,
    /// By service; the empty name is for steps without one.
    pub(super) credentials: BTreeMap<&'j str, Arc<Credential>>,
    pub(super) stores: BTreeMap<String, Arc<S3>>,
    pub(super) lanes: Vec<(Origin, LanePolicy)>,
    pub(super) lookups: Vec<Arc<str>>,
    pub(super) base: PathBuf,
    #[cfg_attr(not(feature = "stores"), expect(dead_code, reason = "other stores sort their listings"))]
    pub(super) spill: Spill,
    pub(super) downloads: Option<Downloads>,
    pub(super) copies: Option<Copies>,
    /// What URLs and expressions name, in order.
    pub(super) needed: Vec<Needed>,
}

impl<'j> Steps<'j> {
    pub(super) fn new(
        job: &'j Job,
        client: Arc<Client>,
        base: PathBuf,
        spill: Spill,
    ) -> Result<Self, AssembleError> {
        let mut this = Steps {
            job,
            client,
            bases: BTreeMap::new(),
            credentials: BTreeMap::from([("", Arc::new(Credential::new(Vec::new())))]),
            stores: BTreeMap::new(),
            lanes: Vec::new(),
            lookups: Vec::new(),
            base,
            spill,
            downloads: None,
            copies: None,
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
    pub(super) fn lane(&mut self, origin: Origin, service: Option<&ServiceSpec>, replica_of: Option<u32>) {
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

    pub(super) fn make(&mut self, spec: &StepSpec) -> Result<Arc<dyn Step>, AssembleError> {
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
                        self.need(body.names().unwrap_or_default(), ("the body", &at("body")));
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
                self.need(
                    by.as_ref().and_then(Expr::names).unwrap_or_default(),
                    ("batch.by", &at("batch.by")),
                );
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
                let copy = Copy::new(name, from.clone(), self.place(to, &at("copy"))?.facing(&from), types);
                Arc::new(copy.map_err(|e| wrong(&at("type"), &e))?)
            }
            StepKind::Map { expr: text } => {
                let map = expr(text, &at("map"))?;
                self.need(map.names().unwrap_or_default(), (&format!("step {name}"), &at("map")));
                Arc::new(Map::new(name, map))
            }
            StepKind::Filter { expr: text } => {
                let filter = expr(text, &at("filter"))?;
                if filter.assigns() {
                    let message = "= assigns, which is always true: == compares";
                    return Err(wrong(&at("filter"), &message));
                }
                let by = if &*name == "where" { "where".to_owned() } else { format!("step {name}") };
                self.need(filter.names().unwrap_or_default(), (&by, &at("filter")));
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
        self.need(files.names(), ("a download", &format!("step.{}.download", spec.name)));
        let files = Arc::new(files);
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
        let rules = StatusRules { on: spec.on.clone(), expect: spec.expect.clone() };
        let headers = self.headers(spec, "")?;
        let timeout = spec.timeout.unwrap_or(self.job.limits.timeout);
        let (client, overwrite) = (Arc::clone(&self.client), download.overwrite);
        // What is only tried saves nothing, wherever that would be.
        if download.directory().is_none() && client.options.witness.is_none() {
            let to = self.place(&download.to, &format!("step.{}.to", spec.name))?.directory();
            let spec = DeliverSpec { name, files, to, client, homes, rules, headers, timeout, overwrite };
            return Ok(Arc::new(Deliver::new(spec)));
        }
        let depot = Arc::new(Depot::new(self.base.join(&download.to)));
        self.downloads = Some(Downloads { files: Arc::clone(&files), depot: Arc::clone(&depot) });
        let keep_free = self.job.limits.keep_free;
        Ok(Arc::new(Download::new(download::DownloadSpec {
            name,
            files,
            depot,
            client,
            homes,
            rules,
            headers,
            timeout,
            overwrite,
            keep_free,
        })))
    }

    pub(super) fn endpoint(
        &mut self,
        spec: &StepSpec,
        url: &str,
        at: &str,
    ) -> Result<Endpoint, AssembleError> {
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
        self.need(endpoint.names(), ("a URL", at));
        if let Some(origin) = endpoint.origin().filter(|_| service.is_empty()) {
            self.lane(origin, None, None);
        }
        Ok(endpoint)
    }

    /// Notes names that must be columns where the source has columns.
    /// Notes what a row must have, who names it, and where that stands in the job.
    pub(super) fn need(&mut self, names: &[Arc<str>], (by, at): (&str, &str)) {
        for name in names {
            if !self.needed.iter().any(|n| n.name == *name) {
                self.needed.push(Needed { name: Arc::clone(name), by: by.to_owned(), at: at.to_owned() });
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

/// `user_id` stands for `.user_id`.
fn member_or_expr(text: &str) -> String {
    let word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if word { format!(".{text}") } else { text.to_owned() }
}
