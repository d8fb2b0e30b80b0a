//! A running lab.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::accept::{Door, Order, listen, work};
use crate::script::Script;
use crate::services::pages::population::PagesTruth;
use crate::services::{FileKind, Service, StoredObject, file_kind, pair};
use crate::spec::{LabSpec, ServiceSpec};
use crate::truth::Truth;
use crate::world::{Gate, Live, World};

/// Why a lab cannot be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The spec or script is impossible; names what and why.
    #[error("{0}")]
    Spec(String),
    /// A port is not to be had.
    #[error(
        "{service}: cannot listen on {address} ({source}); choose another with --port, 0 for any free one"
    )]
    Bind {
        /// Which service.
        service: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No server thread.
    #[error("cannot start a server thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running lab, on threads of its own; it ends when dropped.
pub struct Lab {
    world: Arc<World>,
    threads: Vec<(UnboundedSender<Order>, Option<JoinHandle<()>>)>,
}

/// A service's door with its listener.
type Opening = (Door, std::net::TcpListener, ServiceSpec);

impl Lab {
    /// Starts a lab. When this returns, every service accepts connections.
    pub fn start(spec: &LabSpec) -> Result<Lab, LabError> {
        spec.check().map_err(LabError::Spec)?;
        let (threads, orders): (Vec<_>, Vec<_>) = (0..spec.threads).map(|_| unbounded_channel()).unzip();
        let mut lives = Vec::new();
        let mut openings = Vec::new();
        for (index, s) in spec.services.iter().enumerate() {
            let wanted = SocketAddr::new(spec.host, s.port);
            let bind = |source| LabError::Bind { service: s.service.as_str(), address: wanted, source };
            let listener = listen(wanted).map_err(bind)?;
            let address = listener.local_addr().map_err(bind)?;
            let (gate, gates) = unbounded_channel();
            lives.push(Live::new(s.service, address, spec.seed, s.script.clone(), gate));
            let door = Door { index, address, gates, threads: threads.clone() };
            openings.push((door, listener, s.clone()));
        }
        let world = Arc::new(World::new(spec, lives));
        let mut lab = Lab { world: world.clone(), threads: vec![] };
        let mut openings = Some(openings);
        for (sender, orders) in threads.into_iter().zip(orders) {
            let thread = spawn(world.clone(), orders, openings.take().unwrap_or_default())?;
            lab.threads.push((sender, Some(thread)));
        }
        Ok(lab)
    }

    /// `http://HOST:PORT` of a service; empty when this lab does not play it.
    pub fn url(&self, service: Service) -> String {
        self.world.find(service).map(|live| format!("http://{}", live.address)).unwrap_or_default()
    }

    /// The services it plays, in order.
    pub fn services(&self) -> Vec<Service> {
        self.world.lives.iter().map(|live| live.service).collect()
    }

    /// What a service saw so far.
    pub fn truth(&self, service: Service) -> Option<Truth> {
        self.world.find(service).map(|live| live.record.snapshot(service))
    }

    /// What every service saw so far.
    pub fn truths(&self) -> Vec<Truth> {
        self.world.lives.iter().map(|live| live.record.snapshot(live.service)).collect()
    }

    /// The exact counts of everything that the pages service holds.
    pub fn pages_truth(&self) -> &PagesTruth {
        self.world.counted()
    }

    /// Forgets what was seen, by all services.
    pub fn reset(&self) {
        self.world.lives.iter().for_each(|live| live.record.reset());
    }

    /// Changes a script; requests that arrive from now on meet it.
    pub fn set(&self, service: Service, change: impl FnOnce(&mut Script)) -> Result<(), LabError> {
        let live = self.find(service)?;
        let mut script = (*live.script()).clone();
        change(&mut script);
        live.set(script).map_err(LabError::Spec)
    }

    /// Closes a service: connections are cut, new ones refused. When this returns, it has happened.
    pub fn close(&self, service: Service) -> Result<(), LabError> {
        self.gate(service, false)
    }

    /// Opens it again at the same port. When this returns, it accepts connections.
    pub fn open(&self, service: Service) -> Result<(), LabError> {
        self.gate(service, true)
    }

    /// The value of `data` that a lookup of `id` gets, byte for byte; empty for a service without lookups.
    pub fn served(&self, service: Service, id: u64) -> Vec<u8> {
        match service {
            Service::Users => self.world.users.object(id),
            Service::Videos => self.world.videos.object(id),
            Service::Index | Service::Files | Service::Pages | Service::S3 => vec![],
        }
    }

    /// What there is under a file's id in the present script of [`Service::Files`].
    pub fn file_kind(&self, id: u64) -> FileKind {
        let live = self.world.find(Service::Files);
        live.map_or(FileKind::Missing(404), |live| file_kind(&live.script(), live.seed, id))
    }

    /// The bytes of `/files/ID-SIZE.EXT` (`None`: of `/files/ID.EXT`) when nothing is wrong with it.
    pub fn file(&self, id: u64, size: Option<u64>, ext: &str) -> Vec<u8> {
        let generation = self.world.find(Service::Files).map_or(0, |live| live.script().generation);
        self.world.files.bytes(&self.world.files.file(id, size, ext, generation))
    }

    /// What is under a key of [`Service::S3`].
    pub fn object(&self, bucket: &str, key: &str) -> Option<StoredObject> {
        self.world.s3.object(&self.world, bucket, key)
    }

    /// The keys that were put into a bucket of [`Service::S3`], in order.
    pub fn object_keys(&self, bucket: &str) -> Vec<String> {
        self.world.s3.keys(bucket)
    }

    /// Multipart uploads that were begun, and neither completed nor given up.
    pub fn open_uploads(&self) -> usize {
        self.world.s3.open_uploads()
    }

    /// Whether a lookup of `id` gets 404 under the present script.
    pub fn is_missing(&self, service: Service, id: u64) -> bool {
        self.world.find(service).is_some_and(|live| live.script().is_missing(live.seed, id))
    }

    /// Whether the index refuses a document of this user and video under the present script.
    pub fn is_refused(&self, user: u64, video: u64) -> bool {
        let index = self.world.find(Service::Index);
        index.is_some_and(|live| live.script().is_refused(live.seed, pair(user, video)))
    }

    /// The command to paste for the services that are there: `haul enrich`, or without a lookup
    /// `haul crawl`.
    pub fn line(&self, input: &str) -> Option<String> {
        self.enrich_line(input).or_else(|| self.crawl_line())
    }

    fn crawl_line(&self) -> Option<String> {
        self.world.find(Service::Pages)?;
        let (url, range) = (self.url(Service::Pages), &self.world.population.spec.range);
        Some(format!(
            "haul crawl {url}/foodstats --items .response --offset offset --next .meta.next_offset \
             --page-size limit=100 --range {}..{} --id .id --count .food_id:100 --count .food__category_id:10",
            range.start, range.end
        ))
    }

    fn enrich_line(&self, input: &str) -> Option<String> {
        let mut line = format!("haul enrich {input} --columns user_id:int,video_id:int");
        let mut found = false;
        for (service, flag) in [
            (Service::Users, "--lookup user={}/users/{user_id} --take user=.data"),
            (Service::Videos, "--lookup video={}/videos/{video_id} --take video=.data"),
            (Service::Index, "--post {}/index"),
        ] {
            if self.world.find(service).is_some() {
                line.push(' ');
                line.push_str(&flag.replacen("{}", &self.url(service), 1));
                found |= service != Service::Index;
            }
        }
        found.then_some(line)
    }

    /// Ends it: connections are cut, ports are free when this returns.
    pub fn stop(mut self) {
        self.end();
    }

    fn find(&self, service: Service) -> Result<&Live, LabError> {
        let missing = || LabError::Spec(format!("this lab does not play {}", service.as_str()));
        self.world.find(service).ok_or_else(missing)
    }

    fn gate(&self, service: Service, open: bool) -> Result<(), LabError> {
        let live = self.find(service)?;
        let (ack, done) = mpsc::channel();
        let _ = live.gate.send(Gate { open, ack: Some(ack) });
        // Nothing is ever sent: it ends when the last holder has acted.
        let _ = done.recv();
        Ok(())
    }

    fn end(&mut self) {
        for (orders, _) in &self.threads {
            let _ = orders.send(Order::Stop);
        }
        for (_, thread) in &mut self.threads {
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server thread; it listens at the doors it is given, and serves until it is told to stop.
fn spawn(
    world: Arc<World>,
    orders: UnboundedReceiver<Order>,
    openings: Vec<Opening>,
) -> Result<JoinHandle<()>, LabError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("haul-lab".to_owned()).spawn(move || {
        runtime.block_on(async move {
            for (door, listener, spec) in openings {
                let gate = world.lives.get(door.index).map(|live| live.gate.clone());
                for (from, until) in spec.down {
                    for (at, open) in [(from, false), (until, true)] {
                        tokio::spawn(later(at, open, gate.clone()));
                    }
                }
                tokio::spawn(door.run(listener));
            }
            work(world, orders).await;
        });
    })?;
    Ok(thread)
}

async fn later(at: Duration, open: bool, gate: Option<UnboundedSender<Gate>>) {
    tokio::time::sleep(at).await;
    if let Some(gate) = gate {
        let _ = gate.send(Gate { open, ack: None });
    }
}
