//! What all connections of a lab share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::mix::mix;
use crate::script::Script;
use crate::services::pages::population::{PagesTruth, Population};
use crate::services::{Catalogue, Files, S3, Service, catalogues};
use crate::spec::LabSpec;
use crate::truth::{Record, lock};

/// Dropped by everyone who had to act, so that the waiting side's `recv` ends.
pub(crate) type Ack = std::sync::mpsc::Sender<()>;

/// Opens or closes the door of a service.
pub(crate) struct Gate {
    pub(crate) open: bool,
    /// Held until it has happened.
    pub(crate) ack: Option<Ack>,
}

/// One service at work.
pub(crate) struct Live {
    pub(crate) service: Service,
    pub(crate) address: SocketAddr,
    /// Of its faults.
    pub(crate) seed: u64,
    pub(crate) record: Record,
    pub(crate) gate: UnboundedSender<Gate>,
    script: Mutex<Arc<Script>>,
    version: AtomicU64,
}

impl Live {
    pub(crate) fn new(
        service: Service,
        address: SocketAddr,
        lab_seed: u64,
        script: Script,
        gate: UnboundedSender<Gate>,
    ) -> Self {
        Live {
            service,
            address,
            seed: mix(lab_seed ^ (u64::from(service.port_offset()) << 32)),
            record: Record::new(),
            gate,
            script: Mutex::new(Arc::new(script)),
            version: AtomicU64::new(0),
        }
    }

    /// Changes each time the script does; cheaper to ask than the script itself.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn script(&self) -> Arc<Script> {
        lock(&self.script).clone()
    }

    /// Requests that arrive from now on meet this script. The message names what is wrong with it.
    pub(crate) fn set(&self, script: Script) -> Result<(), String> {
        script.check()?;
        *lock(&self.script) = Arc::new(script);
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// All of it.
pub(crate) struct World {
    pub(crate) lives: Vec<Live>,
    pub(crate) users: Catalogue,
    pub(crate) videos: Catalogue,
    pub(crate) files: Files,
    pub(crate) population: Population,
    counted: OnceLock<PagesTruth>,
    slips: AtomicU64,
    inserted: AtomicU64,
    pub(crate) s3: S3,
    started: Instant,
}

impl World {
    pub(crate) fn new(spec: &LabSpec, lives: Vec<Live>) -> Self {
        let (users, videos) = catalogues(spec.seed);
        World {
            lives,
            users,
            videos,
            files: Files::new(spec.seed),
            population: Population::new(spec.pages.clone(), spec.seed),
            counted: OnceLock::new(),
            slips: AtomicU64::new(0),
            inserted: AtomicU64::new(0),
            s3: S3::default(),
            started: Instant::now(),
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A number that no page had before.
    pub(crate) fn slip(&self) -> u64 {
        self.slips.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts records in before the others of the list; how many were put in so far.
    pub(crate) fn inserted(&self, more: u64) -> u64 {
        self.inserted.fetch_add(more, Ordering::Relaxed) + more
    }

    /// The exact counts of what the pages service holds; counted when first asked for.
    pub(crate) fn counted(&self) -> &PagesTruth {
        self.counted.get_or_init(|| self.population.truth())
    }

    pub(crate) fn find(&self, service: Service) -> Option<&Live> {
        self.lives.iter().find(|live| live.service == service)
    }
}
