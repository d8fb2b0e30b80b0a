//! Services that the job names: what is configured for them goes along to their files, and to no other
//! host.

use std::sync::{Arc, Mutex};

use haul_core::lane::LaneId;
use haul_core::{Cx, Fault};

use super::depot::lock;
use crate::http::{HeaderLines, Url};
use crate::secrets::Credential;

static NO_LINES: HeaderLines = HeaderLines::new();

/// One of them.
pub struct Home {
    /// Its base URL.
    pub url: Url,
    /// Headers of the service.
    pub headers: HeaderLines,
    /// Its secrets.
    pub credential: Arc<Credential>,
}

/// All of them.
pub(super) struct Homes {
    homes: Vec<(Home, HeaderLines)>,
    /// What every request carries elsewhere.
    standard: HeaderLines,
    headers: HeaderLines,
    none: Arc<str>,
    no_lines: Arc<HeaderLines>,
    lately: Mutex<Option<Lately>>,
}

/// Where the last request went: most go where the one before has gone.
struct Lately {
    base: Box<str>,
    credential: Arc<str>,
    lane: LaneId,
}

/// Where a URL belongs.
#[derive(Clone, Copy)]
pub(super) struct AtHome<'a> {
    homes: &'a Homes,
    home: Option<&'a (Home, HeaderLines)>,
}

impl Homes {
    pub(super) fn new(homes: Vec<Home>, headers: &HeaderLines) -> Self {
        let plain = |configured: &HeaderLines| HeaderLines::plain("*/*", configured);
        let homes = homes.into_iter().map(|home| {
            let standard = plain(&home.headers);
            (home, standard)
        });
        Homes {
            homes: homes.collect(),
            standard: plain(headers),
            headers: headers.clone(),
            none: "".into(),
            no_lines: Arc::default(),
            lately: Mutex::default(),
        }
    }

    pub(super) fn of(&self, url: &Url) -> AtHome<'_> {
        AtHome { homes: self, home: self.homes.iter().find(|(home, _)| home.url.same_origin(url)) }
    }
}

impl<'a> AtHome<'a> {
    pub(super) fn standard(&self) -> &'a HeaderLines {
        self.home.map_or(&self.homes.standard, |(_, standard)| standard)
    }

    /// Headers of the service, or of the step where there is no service.
    pub(super) fn configured(&self) -> &'a HeaderLines {
        match self.home {
            Some((home, _)) => &home.headers,
            None if self.homes.homes.is_empty() => &self.homes.headers,
            None => &NO_LINES,
        }
    }

    fn credential(&self) -> &'a Arc<str> {
        self.home.map_or(&self.homes.none, |(home, _)| home.credential.name())
    }

    /// The lane of a URL. That of an origin never changes.
    pub(super) fn lane(&self, url: &Url, cx: &Cx<'_>) -> LaneId {
        let (base, credential) = (url.base(), self.credential());
        let mut lately = lock(&self.homes.lately);
        if let Some(lately) = lately.as_ref().filter(|l| *l.base == *base && l.credential == *credential) {
            return lately.lane;
        }
        let lane = cx.lanes.lane(&url.origin(credential));
        *lately = Some(Lately { base: base.into(), credential: credential.clone(), lane });
        lane
    }

    pub(super) async fn lines(&self) -> Result<Arc<HeaderLines>, Fault> {
        match self.home {
            Some((home, _)) => home.credential.lines().await,
            None => Ok(self.homes.no_lines.clone()),
        }
    }

    pub(super) fn refused(&self) {
        if let Some((home, _)) = self.home {
            home.credential.refused();
        }
    }
}
