//! What a lab is to be.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::limits;
use crate::script::Script;
use crate::services::Service;
use crate::services::pages::population::PagesSpec;

/// A lab: its services and what they share.
#[derive(Clone, Debug)]
pub struct LabSpec {
    /// What to play, each service at most once.
    pub services: Vec<ServiceSpec>,
    /// Where to listen; loopback unless told.
    pub host: IpAddr,
    /// Decides contents and faults.
    pub seed: u64,
    /// Server threads.
    pub threads: usize,
    /// What the pages service holds.
    pub pages: PagesSpec,
}

/// One service of a lab.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Which.
    pub service: Service,
    /// Where; 0: any free port.
    pub port: u16,
    /// How it behaves.
    pub script: Script,
    /// When it refuses connections: from and until, counted from the start.
    pub down: Vec<(Duration, Duration)>,
}

impl LabSpec {
    /// These services on free ports, without faults.
    pub fn new(services: &[Service]) -> Self {
        let services = services
            .iter()
            .map(|service| ServiceSpec {
                service: *service,
                port: 0,
                script: Script::default(),
                down: vec![],
            })
            .collect();
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        LabSpec { services, host, seed: 1, threads: 1, pages: PagesSpec::default() }
    }

    /// The three services of the enrich workload.
    pub fn enrich() -> Self {
        LabSpec::new(&[Service::Users, Service::Videos, Service::Index])
    }

    /// The pages service, with this content.
    pub fn pages(pages: PagesSpec) -> Self {
        LabSpec { pages, ..LabSpec::new(&[Service::Pages]) }
    }

    /// Changes the script of every service.
    #[must_use]
    pub fn all(mut self, change: impl Fn(&mut Script)) -> Self {
        self.services.iter_mut().for_each(|s| change(&mut s.script));
        self
    }

    /// Changes the script of one service.
    #[must_use]
    pub fn only(mut self, service: Service, change: impl Fn(&mut Script)) -> Self {
        self.services.iter_mut().filter(|s| s.service == service).for_each(|s| change(&mut s.script));
        self
    }

    /// Ports from `base` on, each service at its own distance; 0: any free ports.
    #[must_use]
    pub fn ports_from(mut self, base: u16) -> Self {
        for s in &mut self.services {
            s.port = if base == 0 { 0 } else { base.saturating_add(s.service.port_offset()) };
        }
        self
    }

    /// With this seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With so many server threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// A service refuses connections in this window, counted from the start.
    #[must_use]
    pub fn down(mut self, service: Service, from: Duration, until: Duration) -> Self {
        self.services.iter_mut().filter(|s| s.service == service).for_each(|s| s.down.push((from, until)));
        self
    }

    /// Checks it; the message names the service and the member.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.services.is_empty() {
            return Err("a lab needs at least one service".to_owned());
        }
        if !(1..=limits::THREADS).contains(&self.threads) {
            return Err(format!("{} server threads: 1 to {} are possible", self.threads, limits::THREADS));
        }
        self.pages.check().map_err(|e| format!("pages: {e}"))?;
        for (n, s) in self.services.iter().enumerate() {
            let name = s.service.as_str();
            if self.services.iter().skip(n + 1).any(|other| other.service == s.service) {
                return Err(format!("{name} is named twice"));
            }
            s.script.check().map_err(|e| format!("{name}: {e}"))?;
            if let Some((from, until)) = s.down.iter().find(|(from, until)| from >= until) {
                return Err(format!("{name}: it cannot be down from {from:?} until {until:?}"));
            }
        }
        Ok(())
    }
}
