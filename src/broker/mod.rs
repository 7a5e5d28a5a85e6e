//! The broker as a whole: what is built, in which order it starts and stops.
//!
//! Start: data directory (lock, identity), metadata, tier, logs (recovery), listeners, background tasks. Stop: listeners
//! drain, background tasks end, the data directory closes with its clean mark. What fails at start undoes what was built
//! by dropping it; a stop that is cut short leaves no clean mark, and the next start recovers.

mod health;
mod identity;
mod store;
mod tier_control;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stratalog_tiering::store::metered::Meter;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::admin::{self, AdminHandle, Readiness};
use crate::api::{self, Node};
use crate::clock::Clock;
use crate::config::{self, BrokerConfig, CleanerConfig, Listener, Mode, Settings};
use crate::log::{self, LogDirOptions, LogDirs};
use crate::metadata::{self, Metadata};
use crate::metrics::{DirectoryLabel, Metrics};
use crate::net;
use crate::partition::tier::{self, Service, ServiceHandle, Tier};
use crate::partition::{self, Cleaner, Partitions, Scrubber};
use crate::platform::disk::Disk;
use crate::platform::open_files;
use crate::platform::volume::space;

/// Between two looks at what no event tells.
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);
/// Between looks for room that partitions wait for.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);
const ROOM_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// How long a request may take to arrive while others wait for its memory.
const SLOW_REQUEST_AFTER: Duration = Duration::from_secs(10);
/// How long a peer may leave its answers unread while others wait for their memory, beside the time that its line takes.
const SLOW_READER_AFTER: Duration = Duration::from_secs(10);
/// Between two looks at whether any data directory is left.
const DIRECTORIES_INTERVAL: Duration = Duration::from_millis(500);
/// Fewer files that may be open than this are worth a warning.
const OPEN_FILES_LOW: u64 = 10_000;
const METADATA_FILE: &str = "stratalog-metadata.redb";
const HOLDER: &str = "stratalog broker";

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(
        "the metadata file is in {found}, and is wanted in {wanted}: set metadata.log.dir={found}, or name that directory \
         first in log.dirs"
    )]
    MetadataElsewhere { found: String, wanted: String },
    #[error(
        "the metadata file {path} is {state}, and {partitions} partition directories are there: without it they would be \
         nobody's. Put it back from a copy, or move those directories away to start anew"
    )]
    MetadataLost { path: String, state: &'static str, partitions: usize },
    #[error(
        "{path} is missing, and partitions are beside it. Their tier-manifest is of cluster {cluster_id}: set \
         stratalog.cluster.id={cluster_id}, or put the file back from a copy"
    )]
    IdentityLost { path: String, cluster_id: String },
    #[error(
        "the metadata file {path} is of {key} {found}, and not of {wanted}: mend {key} of the configuration or in \
         meta.properties, or put back the metadata file that belongs here"
    )]
    OtherIdentity { path: String, key: &'static str, found: String, wanted: String },
    #[error("directory {path} of the metadata file cannot be made: {source}")]
    MetadataDirectory { path: String, source: std::io::Error },
    #[error(transparent)]
    Metadata(#[from] metadata::Error),
    #[error(transparent)]
    Partitions(#[from] partition::OpenError),
    #[error(transparent)]
    Listen(#[from] net::Error),
    #[error("{listener} cannot be resolved: {problem}; give an address of this machine")]
    Resolve { listener: String, problem: String },
    #[error(transparent)]
    Tier(#[from] tier::OpenError),
    #[error(transparent)]
    Admin(#[from] admin::Error),
    #[error("start was cut off")]
    CutOff,
}

#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("the data directory did not close cleanly: {0}; the next start recovers it")]
    Log(#[from] log::Error),
    #[error("stop was cut off; the next start recovers the data directory")]
    CutOff,
}

/// A broker that serves.
pub struct Running {
    pub node: Arc<Node>,
    pub listening: Listening,
    /// Where metrics and health are served.
    pub admin: Option<SocketAddr>,
    /// Controls the tier as the admin HTTP does.
    pub control: AdminHandle,
    readiness: watch::Sender<Readiness>,
    stop: watch::Sender<bool>,
    controlling: JoinHandle<()>,
    serving: JoinSet<()>,
    background: JoinSet<()>,
}

/// Builds and starts everything; returns when clients are served.
pub async fn start(config: BrokerConfig) -> Result<Running, StartError> {
    start_with(config, Clock::System, Disk::default()).await
}

/// `start` with a clock and a disk of the caller's: a test's disk is full, fails, or loses power.
pub async fn start_with(config: BrokerConfig, clock: Clock, disk: Disk) -> Result<Running, StartError> {
    let (stop, stopped) = watch::channel(false);
    let meter = Meter::default();
    let opening = Opening { config, clock, disk, meter: meter.clone() };
    let node = tokio::task::spawn_blocking({
        let stopped = stopped.clone();
        move || opening.open(stopped)
    });
    let node = Arc::new(node.await.map_err(|_| StartError::CutOff)??);

    // Before the first client, so that none takes a group that is not loaded for one that is not there.
    let loading = node.groups.open();

    let (listening, serving) = listen(&node, &stopped).await?;
    let mut background = JoinSet::new();
    background.spawn(maintain(node.clone(), stopped.clone()));
    background.spawn(loading);
    background.spawn(open_waiting(node.clone(), stopped.clone()));
    background.spawn(node.groups.clone().run(stopped.clone()));
    let tier_tasks = ServiceHandle::default();
    background.spawn(tier_service(&node, &tier_tasks).run(stopped.clone()));
    background.spawn(cleaner(&node).run(stopped.clone()));
    background.spawn(scrubber(&node).run(stopped.clone()));
    background.spawn(store::meter(meter, node.metadata.clone(), node.metrics.clone(), stopped.clone()));

    let (handle, requests, readiness) = admin::channel();
    let controlling = tokio::spawn(tier_control::serve(node.clone(), tier_tasks, requests));
    let admin = match &node.config.admin_listener {
        Some(listener) => {
            let service = admin::Service::bind(listener, handle.clone(), node.metrics.clone()).await?;
            let address = service.address();
            background.spawn(serve_admin(service, stopped.clone()));
            Some(address)
        }
        None => None,
    };
    // With a tier, the first answer of its bucket says whether the broker is ready.
    let now = match node.partitions.tier() {
        Some(tier) => Readiness::Starting { what: format!("asking {}", tier.config.location) },
        None => Readiness::Ready,
    };
    let _ = readiness.send(now);
    background.spawn(health::watch(node.clone(), readiness.clone(), stopped.clone()));
    Ok(Running { node, listening, admin, control: handle, readiness, controlling, stop, serving, background })
}

/// Each listener's name and the address that it is bound to.
type Listening = Vec<(String, SocketAddr)>;

/// Binds every listener; their connections are the tasks of the set.
async fn listen(node: &Arc<Node>, stopped: &watch::Receiver<bool>) -> Result<(Listening, JoinSet<()>), StartError> {
    let network = &node.config.network;
    // The rest is the logs': clients must not keep them from opening files.
    let for_connections = usize::try_from(open_files::limit() / 2).unwrap_or(usize::MAX);
    let connections_max = network.connections_max.min(for_connections);
    let admission = net::Admission::new(connections_max, network.connections_per_ip_max, node.metrics.clone());
    let memory = net::RequestMemory::new(network.queued_request_bytes_max, SLOW_REQUEST_AFTER, node.metrics.clone());
    let answers = net::AnswerMemory::new(
        network.fetch_memory_bytes_max,
        network.fetch_bytes_max as usize,
        SLOW_READER_AFTER,
        node.metrics.clone(),
    );
    let (mut listening, mut serving) = (Vec::new(), JoinSet::new());
    for listener in &node.config.listeners {
        let server = bind(node, listener, &admission, &memory, &answers).await?;
        listening.push((listener.name.clone(), server.local_address()));
        serving.spawn(server.run(api::dispatch(node.clone()), stopped.clone()));
    }
    Ok((listening, serving))
}

fn tier_service(node: &Node, handle: &ServiceHandle) -> Service {
    let tier = node.config.tier.as_ref();
    Service {
        tier: node.partitions.tier().cloned(),
        partitions: node.partitions.clone(),
        metadata: node.metadata.clone(),
        metrics: node.metrics.clone(),
        clock: node.clock.clone(),
        handle: handle.clone(),
        interval: tier.map_or(Duration::from_secs(30), |tier| tier.task_interval),
        expire_concurrency: tier.map_or(1, |tier| tier.expire_concurrency),
        retention_interval: node.config.log.retention_check_interval,
        deletions: tokio::sync::Mutex::default(),
    }
}

/// The log cleaner; it looks at the configuration of the moment before each round.
fn cleaner(node: &Arc<Node>) -> Arc<Cleaner> {
    let settings = Arc::downgrade(node);
    let config = move || match settings.upgrade() {
        Some(node) => CleanerConfig::of(&node.settings()),
        None => CleanerConfig::of(&Settings::defaults(Mode::Kafka)),
    };
    Cleaner::new(node.partitions.clone(), node.metrics.clone(), Box::new(config))
}

/// The local scrub; it looks at its rate each second.
fn scrubber(node: &Arc<Node>) -> Arc<Scrubber> {
    let settings = Arc::downgrade(node);
    let rate = move || settings.upgrade().map_or(0, |node| config::scrub_bytes_per_second(&node.settings()));
    Scrubber::new(node.partitions.clone(), node.metrics.clone(), node.clock.clone(), Box::new(rate))
}

async fn serve_admin(service: admin::Service, mut stopped: watch::Receiver<bool>) {
    let served = service.run(async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    if let Err(error) = served.await {
        tracing::error!("admin HTTP ended: {error}");
    }
}

struct Opening {
    config: BrokerConfig,
    clock: Clock,
    disk: Disk,
    meter: Meter,
}

impl Opening {
    /// All that blocks: opens the directory, the metadata and every log.
    fn open(self, draining: watch::Receiver<bool>) -> Result<Node, StartError> {
        let Opening { mut config, clock, disk, meter } = self;
        let metrics = Arc::new(Metrics::new());
        let options = LogDirOptions {
            holder: HOLDER.to_owned(),
            node_id: config.node_id,
            cluster_id: identity::recall(&config)?,
            clock: clock.clone(),
            disk: disk.clone(),
            reserve_bytes: config.log.reserve_bytes,
            recovery_threads: config.log.recovery_threads,
            metrics: metrics.clone(),
            open_files_max: cached_files_max(config.data_dirs.len()),
            ..LogDirOptions::default()
        };
        let mut log_dirs = LogDirs::open(&config.data_dirs, &options).map_err(identity::name_cluster)?;
        find_metadata(&config, &log_dirs)?;
        let broker = metadata::Broker { id: config.node_id, rack: config.rack.clone() };
        let metadata = Arc::new(Metadata::open(&config.metadata_dir.join(METADATA_FILE), &disk, broker)?);
        identity::compare(&config, &metadata, log_dirs.cluster_id())?;
        let image = metadata.image();
        log_dirs.settle(&image.partition_names(), &config.metadata_dir)?;
        let own = image.node_configs.get(&config.node_id).cloned().unwrap_or_default();
        if let Err(error) = config.settings.set_dynamic(&own, &image.broker_configs) {
            tracing::error!("stored dynamic broker configuration does not hold and is not applied: {error}");
        }
        let tier = match &config.tier {
            Some(tier) => {
                let store = store::open(tier, meter).map_err(tier::OpenError::from)?;
                let cluster_id = log_dirs.cluster_id().to_owned();
                Some(Arc::new(Tier::open(tier.clone(), cluster_id, config.node_id, store, metadata.clone())?))
            }
            None => None,
        };
        let cluster_id = log_dirs.cluster_id().to_owned();
        let partitions = Arc::new(Partitions::new(log_dirs, clock.clone(), metrics.clone(), tier));
        partitions.open_all(&metadata, &config.settings, config.log.recovery_threads)?;
        Ok(Node::new(config, cluster_id, metadata, partitions, metrics, clock, draining))
    }
}

/// Files of closed segments that each of `directories` keeps open: at most a quarter of what may be open at all. Each
/// partition has one of its own besides.
fn cached_files_max(directories: usize) -> usize {
    let limit = open_files::raise_limit();
    if limit < OPEN_FILES_LOW {
        tracing::warn!(
            limit,
            "few files may be open: raise the hard limit (LimitNOFILE, ulimit -n). Half are kept from connections; each \
             partition needs one"
        );
    }
    let share = usize::try_from(limit / 4).unwrap_or(usize::MAX) / directories.max(1);
    share.min(LogDirOptions::default().open_files_max)
}

/// An empty metadata file beside partitions whose metadata lies in another directory would make strays of them all.
fn find_metadata(config: &BrokerConfig, log_dirs: &LogDirs) -> Result<(), StartError> {
    let wanted = &config.metadata_dir;
    let file = wanted.join(METADATA_FILE);
    let length = file.metadata().map(|metadata| metadata.len()).ok();
    if length.is_some_and(|length| length > 0) {
        return Ok(());
    }
    let elsewhere = |dir: &&PathBuf| *dir != wanted && dir.join(METADATA_FILE).exists();
    if let Some(found) = config.data_dirs.iter().find(elsewhere) {
        let (found, wanted) = (found.display().to_string(), wanted.display().to_string());
        return Err(StartError::MetadataElsewhere { found, wanted });
    }
    let found: Result<Vec<_>, _> = log_dirs.opened().map(|dir| dir.partitions_on_disk()).collect();
    let partitions = found?.iter().map(Vec::len).sum();
    if partitions > 0 {
        let state = if length.is_some() { "empty" } else { "missing" };
        return Err(StartError::MetadataLost { path: file.display().to_string(), state, partitions });
    }
    let failed = |source| StartError::MetadataDirectory { path: wanted.display().to_string(), source };
    std::fs::create_dir_all(wanted).map_err(failed)
}

async fn bind(
    node: &Node,
    listener: &Listener,
    admission: &Arc<net::Admission>,
    memory: &Arc<net::RequestMemory>,
    answers: &Arc<net::AnswerMemory>,
) -> Result<net::Server, StartError> {
    let unresolved = |problem: String| StartError::Resolve { listener: listener.to_string(), problem };
    let address = tokio::net::lookup_host(listener.bind_address())
        .await
        .map_err(|error| unresolved(error.to_string()))?
        .next()
        .ok_or_else(|| unresolved("no address".to_owned()))?;
    let network = &node.config.network;
    let config = net::Config {
        listener: listener.name.as_str().into(),
        address,
        frame_bytes_max: network.request_bytes_max,
        idle_max: network.connections_idle_max,
        backlog: network.backlog,
        receive_buffer_bytes: network.socket_receive_buffer_bytes,
        send_buffer_bytes: network.socket_send_buffer_bytes,
        admission: admission.clone(),
        memory: memory.clone(),
        answers: answers.clone(),
    };
    Ok(net::Server::bind(config).await?)
}

/// Checkpoints and measures, until the broker drains.
async fn maintain(node: Arc<Node>, mut stopped: watch::Receiver<bool>) {
    let log = node.config.log.clone();
    let mut checkpoint = tokio::time::interval(log.recovery_checkpoint_interval.max(Duration::from_millis(100)));
    let mut measuring = tokio::time::interval(MEASURE_INTERVAL);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = measuring.tick() => {
                let node = node.clone();
                let _ = tokio::task::spawn_blocking(move || measure(&node)).await;
            }
            _ = checkpoint.tick() => {
                let node = node.clone();
                let _ = tokio::task::spawn_blocking(move || {
                    if let Err(error) = node.partitions.log_dirs().checkpoint_recovery_points() {
                        tracing::error!("recovery points not written: {error}");
                    }
                }).await;
            }
        }
    }
}

/// Serves partitions that a full disk kept offline, and their groups, once it has room; until none waits, or the broker
/// drains. Only a start makes them wait.
async fn open_waiting(node: Arc<Node>, mut stopped: watch::Receiver<bool>) {
    let mut pause = ROOM_INTERVAL;
    while node.partitions.offline().iter().any(|partition| partition.waits_for_room) {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let (opening, draining) = (node.clone(), stopped.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let goes_on = || !*draining.borrow();
            let late = opening.partitions.open_waiting(&opening.metadata, &opening.settings(), goes_on);
            if late.topics.is_empty() {
                return late;
            }
            // What was changed meanwhile did not reach them.
            let _changes = opening.lock_changes();
            let (image, settings) = (opening.image(), opening.settings());
            let topics = late.topics.iter().filter_map(|id| image.topic_by_id(*id));
            topics.for_each(|topic| opening.partitions.update_config(topic, &settings));
            late
        });
        let longer = (pause * 2).min(ROOM_INTERVAL_MAX);
        let Ok(late) = opened.await else {
            pause = longer;
            continue;
        };
        if !late.topics.is_empty() && !*stopped.borrow() {
            tracing::info!(
                topics = late.topics.len(),
                "the disk has room again: partitions that were offline are served"
            );
            node.groups.open().await;
        }
        // Whoever fails again reads all of its log each time.
        pause = if late.failed > 0 && late.topics.is_empty() { longer } else { ROOM_INTERVAL };
    }
}

/// What only a look tells: the room on the disk, and the state of the directory.
fn measure(node: &Node) {
    let (metrics, dirs) = (&node.metrics, node.partitions.log_dirs());
    let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut used: HashMap<PathBuf, u64> = HashMap::new();
    for partition in node.partitions.all() {
        if let Some(directory) = partition.log().path().parent() {
            *used.entry(directory.to_owned()).or_default() += partition.log().size_bytes();
        }
    }
    for state in dirs.states() {
        let label = DirectoryLabel { directory: state.path.display().to_string() };
        metrics.log_directory_bytes.get_or_create(&label).set(gauge(used.remove(state.path).unwrap_or_default()));
        if let Ok(space) = space(state.path) {
            metrics.log_directory_free_bytes.get_or_create(&label).set(gauge(space.usable_bytes));
        }
    }
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.log_directories_offline.set(count(dirs.offline_count()));
    metrics.partitions_offline.set(count(node.partitions.offline_count()));
}

impl Running {
    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.listening.first().map(|(_, address)| *address).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Returns when none of several data directories takes writes any more, with the reason: Kafka stops then, and so does
    /// the command. With a single one what is durable can still be read; the broker is not ready and stays.
    pub async fn all_directories_failed(&self) -> String {
        if self.node.partitions.log_dirs().states().count() < 2 {
            return std::future::pending().await;
        }
        loop {
            if let Some(reason) = self.node.partitions.log_dirs().all_offline() {
                return reason.to_owned();
            }
            tokio::time::sleep(DIRECTORIES_INTERVAL).await;
        }
    }

    /// Drains: answers what was placed, ends the tasks, closes the data directory with its clean mark.
    pub async fn stop(mut self) -> Result<(), StopError> {
        let _ = self.readiness.send(Readiness::Stopping);
        let _ = self.stop.send(true);
        let limit = self.node.config.shutdown_timeout;
        let drained = timeout(limit, async {
            while self.serving.join_next().await.is_some() {}
            while self.background.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!("connections did not drain within {limit:?} and are cut off");
            self.serving.shutdown().await;
            self.background.shutdown().await;
        }
        self.controlling.abort();
        // It holds the node, and with it the directory's lock.
        let _ = self.controlling.await;
        let partitions = self.node.partitions.clone();
        tokio::task::spawn_blocking(move || partitions.close()).await.map_err(|_| StopError::CutOff)??;
        Ok(())
    }
}
