//! Where a step sends its requests: URL template, service, headers, credential, status rules.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use haul_core::lane::{LaneId, Origin, Permit};
use haul_core::{Cx, Fault, Item};

use super::granted::Granted;
use super::replica::Replica;
use crate::expr::ExprError;
use crate::http::reply::origin_of;
use crate::http::{BodyUse, Call, Client, HeaderLines, Method, Reply, RequestHeaders, StatusRules, Url};
use crate::secrets::{Credential, Renewing};
use crate::template::Template;

static NO_LINES: HeaderLines = HeaderLines::new();

/// A URL template and, where it does not depend on the item, the origin of what it gives.
pub struct StepUrl {
    template: Template,
    /// Scheme, host and port that every item has in common.
    fixed: Option<Url>,
}

/// Why a URL template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StepUrlError {
    /// It does not compile; the byte is that of the template.
    #[error("{0}")]
    Template(#[from] ExprError),
    /// Its text is no URL.
    #[error("{0}")]
    Url(#[from] crate::http::url::UrlError),
    /// A field stands within the host of a service, where it could lead anywhere.
    #[error("a field follows right after the host of the service: put a / between them")]
    HostOpen,
}

impl StepUrlError {
    /// The byte of the template that is to blame.
    pub fn offset(&self) -> Option<usize> {
        match self {
            StepUrlError::Template(e) => Some(e.offset),
            StepUrlError::Url(_) | StepUrlError::HostOpen => None,
        }
    }
}

impl StepUrl {
    /// Compiles a template; `service` is the base URL that stands for its first field.
    ///
    /// # Errors
    /// Says what is wrong with the template, or with the text before its first field.
    pub fn compile(template: &str, service: Option<&str>) -> Result<StepUrl, StepUrlError> {
        let base = service.unwrap_or_default().trim_end_matches('/');
        let template = Template::compile_after(base, template)?;
        let text = template.leading_text();
        let path = text.find("://").map(|at| at + 3).and_then(|at| text[at..].find(['/', '?', '#']));
        let fixed = if path.is_some() || template.is_constant() { Some(Url::parse(text)?) } else { None };
        if fixed.is_none() && service.is_some() {
            return Err(StepUrlError::HostOpen);
        }
        Ok(StepUrl { template, fixed })
    }

    fn of(&self, item: &Item) -> Result<Url, Fault> {
        let text = self.template.url(item).map_err(|e| Fault::permanent("url", format!("the URL: {e}")))?;
        let parsed = match &self.fixed {
            Some(fixed) => fixed.sibling(text),
            None => Url::parse(&text),
        };
        parsed.map_err(|e| Fault::permanent("url", e.to_string()))
    }

    /// Names of record members it reads.
    pub fn names(&self) -> &[Arc<str>] {
        self.template.names()
    }

    /// The origin that all items have in common.
    pub fn fixed(&self) -> Option<&Url> {
        self.fixed.as_ref()
    }
}

/// What an [`Endpoint`] is made of.
pub struct EndpointSpec {
    /// The connections of the run.
    pub client: Arc<Client>,
    /// Where requests go.
    pub url: StepUrl,
    /// Headers that were configured for the service and the step.
    pub configured: HeaderLines,
    /// Secrets that go along; only ever to the fixed origin.
    pub credential: Arc<Credential>,
    /// What statuses mean.
    pub rules: StatusRules,
    /// Time for one attempt.
    pub timeout: Duration,
}

/// Where a step sends its requests.
pub struct Endpoint {
    spec: EndpointSpec,
    lane: OnceLock<LaneId>,
    replicas: Vec<Replica>,
    none: Arc<str>,
}

/// Where the request of an item goes.
pub(crate) struct Aim {
    pub(crate) url: Url,
    lane: LaneId,
    /// Where it may go as well.
    others: Vec<(Url, LaneId)>,
    /// The origin that all items have in common: credentials go along.
    at_home: bool,
}

impl Aim {
    /// Waits for a permit of whichever lane leads there.
    pub(crate) async fn enter(&self, cx: &Cx<'_>) -> Permit {
        if self.others.is_empty() {
            return cx.lanes.enter(self.lane).await;
        }
        let lanes: Vec<LaneId> = std::iter::once(self.lane).chain(self.others.iter().map(|o| o.1)).collect();
        cx.lanes.enter_any(&lanes).await
    }

    /// The URL that a lane leads to.
    fn url_of(&self, lane: LaneId) -> &Url {
        self.others.iter().find(|other| other.1 == lane).map_or(&self.url, |other| &other.0)
    }
}

/// A request that is made of an item.
pub(crate) struct Asked<'a> {
    pub(crate) method: Method,
    /// Lines of the step itself.
    pub(crate) own: &'a HeaderLines,
    pub(crate) idempotency: Option<&'a str>,
    pub(crate) body: Option<&'a Bytes>,
    pub(crate) body_use: BodyUse,
}

impl Endpoint {
    /// An endpoint; its lane is found at the first request.
    pub fn new(spec: EndpointSpec) -> Self {
        Endpoint { spec, lane: OnceLock::new(), replicas: Vec::new(), none: "".into() }
    }

    /// The same with replicas of its service: what is asked of one may be asked of any.
    #[must_use]
    pub fn with_replicas(mut self, urls: Vec<StepUrl>) -> Self {
        self.replicas = urls.into_iter().map(Replica::new).collect();
        self
    }

    /// Headers configured by the user, which come before those of a step.
    pub fn configured(&self) -> &HeaderLines {
        &self.spec.configured
    }

    /// Names of record members its URL reads.
    pub fn names(&self) -> &[Arc<str>] {
        self.spec.url.names()
    }

    /// What statuses mean.
    pub fn rules(&self) -> &StatusRules {
        &self.spec.rules
    }

    /// The origin of its lane, where it does not depend on the item.
    pub fn origin(&self) -> Option<Origin> {
        self.spec.url.fixed.as_ref().map(|url| url.origin(self.spec.credential.name()))
    }

    /// The URL of an item and the lane that leads there.
    ///
    /// # Errors
    /// `url`: the template has no value for this item, or what it gives is no URL.
    pub(crate) fn aim(&self, item: &Item, cx: &Cx<'_>) -> Result<Aim, Fault> {
        let spec = &self.spec;
        let url = spec.url.of(item)?;
        let others = self.replicas.iter().map(|replica| {
            let url = replica.url.of(item)?;
            let lane = self.lane_of(replica, &url, cx);
            Ok((url, lane))
        });
        let others = others.collect::<Result<_, Fault>>()?;
        Ok(Aim { others, ..self.aim_alone(url, cx) })
    }

    /// The lanes that lead to a URL that a service named. Headers and secrets go along to the endpoint's
    /// own hosts only.
    pub(crate) fn aim_at(&self, url: Url, cx: &Cx<'_>) -> Aim {
        let Some(fixed) = self.spec.url.fixed.as_ref().filter(|_| !self.replicas.is_empty()) else {
            return self.aim_alone(url, cx);
        };
        // A replica names itself when it says what follows.
        let home = self.replicas.iter().find_map(|replica| replica.home_of(&url, fixed));
        let url = home.unwrap_or(url);
        let others = self.replicas.iter().filter_map(|replica| {
            let url = replica.has(&url, fixed)?;
            let lane = self.lane_of(replica, &url, cx);
            Some((url, lane))
        });
        let others = others.collect();
        Aim { others, ..self.aim_alone(url, cx) }
    }

    fn lane_of(&self, replica: &Replica, url: &Url, cx: &Cx<'_>) -> LaneId {
        let home = replica.url.fixed.as_ref().unwrap_or(url);
        *replica.lane.get_or_init(|| cx.lanes.lane(&home.origin(self.spec.credential.name())))
    }

    fn aim_alone(&self, url: Url, cx: &Cx<'_>) -> Aim {
        let spec = &self.spec;
        let at_home = spec.url.fixed.as_ref().is_some_and(|fixed| fixed.same_origin(&url));
        let lane = if at_home {
            *self.lane.get_or_init(|| cx.lanes.lane(&url.origin(spec.credential.name())))
        } else {
            cx.lanes.lane(&url.origin(&self.none))
        };
        Aim { url, lane, others: Default::default(), at_home }
    }

    /// The URL that all requests have in common, up to the first field.
    pub(crate) fn home(&self) -> Option<&Url> {
        self.spec.url.fixed.as_ref()
    }

    /// Sends one request for an item and hands the reply, with the call it answers, to `judge`.
    pub(crate) async fn request<T>(
        &self,
        item: &Item,
        asked: Asked<'_>,
        cx: &Cx<'_>,
        judge: impl FnOnce(Reply, &Call<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let aim = self.aim(item, cx)?;
        self.ask(&aim, asked, cx, judge).await
    }

    /// As [`Endpoint::request`], when it is known where it goes.
    pub(crate) async fn ask<T>(
        &self,
        aim: &Aim,
        asked: Asked<'_>,
        cx: &Cx<'_>,
        judge: impl FnOnce(Reply, &Call<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let spec = &self.spec;
        let at_home = aim.at_home;
        loop {
            let secret = match at_home {
                true => match spec.credential.known() {
                    Some(lines) => lines,
                    None => Box::pin(spec.credential.lines()).await?,
                },
                false => Arc::default(),
            };
            let granted;
            let (lane, url, cx) = if aim.others.is_empty() {
                (aim.lane, &aim.url, *cx)
            } else {
                granted = Granted::new(cx.lanes, aim.enter(cx).await);
                (granted.lane(), aim.url_of(granted.lane()), Cx { lanes: &granted, ..*cx })
            };
            let call = Call {
                method: asked.method,
                url,
                headers: RequestHeaders {
                    own: asked.own,
                    idempotency: asked.idempotency,
                    configured: if at_home || spec.url.fixed.is_none() {
                        &spec.configured
                    } else {
                        &NO_LINES
                    },
                    secret: &secret,
                },
                body: asked.body,
                body_use: asked.body_use,
                timeout: spec.timeout,
            };
            let Some(sent) = self.send(&call, lane, &secret, &cx).await else { continue };
            let reply = sent?;
            if matches!(reply.status, 401 | 403) && at_home {
                spec.credential.refused();
            }
            return judge(reply, &call).map_err(|fault| match fault.origin() {
                Some(_) => fault,
                None => fault.with_origin(origin_of(url)),
            });
        }
    }

    /// Sends it; `None` when its credential was renewed while it waited, and nothing was sent.
    async fn send(
        &self,
        call: &Call<'_>,
        lane: LaneId,
        secret: &Arc<HeaderLines>,
        cx: &Cx<'_>,
    ) -> Option<Result<Reply, Fault>> {
        let Endpoint { spec, .. } = self;
        if secret.is_empty() {
            return Some(spec.client.send(call, lane, &spec.rules, cx).await);
        }
        let renewing = Renewing::new(cx.lanes, &spec.credential, secret);
        let cx = Cx { lanes: &renewing, ..*cx };
        let sending = Box::pin(spec.client.send(call, lane, &spec.rules, &cx));
        tokio::select! {
            biased;
            reply = sending => Some(reply),
            () = renewing.renewed() => None,
        }
    }
}
