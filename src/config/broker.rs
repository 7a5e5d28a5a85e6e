//! The broker's configuration, parsed: what start-up, network, log and tier need, by type. Keys that only one feature
//! reads stay in `settings`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::listener::{self, Listener};
use super::load::Notice;
use super::settings::{Mode, Settings};
use super::tier::TierConfig;
use crate::platform::memory::memory_bytes;

/// A configuration that holds.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    pub settings: Settings,
    pub node_id: i32,
    /// For a new data directory; `None` makes one.
    pub cluster_id: Option<String>,
    pub rack: Option<String>,
    /// What is served; never empty.
    pub listeners: Vec<Listener>,
    /// What clients are told; a listener without an entry tells the address that the client connected to.
    pub advertised_listeners: Vec<Listener>,
    /// Never empty.
    pub data_dirs: Vec<PathBuf>,
    /// Where the metadata file is: `metadata.log.dir`, or the first data directory.
    pub metadata_dir: PathBuf,
    pub tier: Option<TierConfig>,
    /// `host:port` of HTTP; `None` turns it off.
    pub admin_listener: Option<String>,
    pub network: NetworkConfig,
    pub log: LogConfig,
    pub topics: TopicCreation,
    pub logging: LoggingConfig,
    pub shutdown_timeout: Duration,
}

/// Bounds of connections and requests.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    pub request_bytes_max: usize,
    /// Over all connections.
    pub queued_request_bytes_max: usize,
    pub connections_max: usize,
    pub connections_per_ip_max: usize,
    pub connections_idle_max: Duration,
    pub fetch_bytes_max: u32,
    /// Of answers in memory, over all connections.
    pub fetch_memory_bytes_max: usize,
    pub fetch_sessions_max: usize,
    pub describe_partitions_max: usize,
    pub backlog: u32,
    /// `None` leaves the buffer to the system.
    pub socket_receive_buffer_bytes: Option<u32>,
    pub socket_send_buffer_bytes: Option<u32>,
}

/// What all logs share; what a topic may set is in `TopicConfig`.
#[derive(Debug, Clone)]
pub struct LogConfig {
    pub retention_check_interval: Duration,
    pub recovery_checkpoint_interval: Duration,
    pub recovery_threads: usize,
    /// Free bytes of the disk below which produce is refused.
    pub reserve_bytes: u64,
}

/// How topics come to be.
#[derive(Debug, Clone, Copy)]
pub struct TopicCreation {
    pub auto_create: bool,
    pub delete_enable: bool,
    pub partitions: i32,
    pub replication_factor: i16,
}

#[derive(Debug, Clone)]
pub struct LoggingConfig {
    pub json: bool,
    pub filter: String,
}

/// Connections that may wait to be accepted where nobody says: Kafka's 50 make clients that come together wait a second.
const BACKLOG: u32 = 1024;

impl BrokerConfig {
    /// The defaults of the bare mode.
    pub fn bare() -> BrokerConfig {
        let config = BrokerConfig::resolve(Settings::defaults(Mode::Bare), &mut Vec::new());
        config.unwrap_or_else(|errors| unreachable!("the bare defaults are valid: {errors:?}"))
    }

    /// Types and checks what holds together; tells what looks unwise.
    pub(super) fn resolve(settings: Settings, notices: &mut Vec<Notice>) -> Result<BrokerConfig, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let node_id = keep(&mut errors, node_id(&settings)).unwrap_or(1);
        keep(&mut errors, check_roles(&settings));
        let listeners = keep(&mut errors, listeners(&settings, notices)).unwrap_or_default();
        let advertised_listeners = keep(&mut errors, advertised(&settings, &listeners)).unwrap_or_default();
        let data_dirs = data_dirs(&settings);
        let first = data_dirs.first().map_or(Path::new("."), PathBuf::as_path);
        let tier = keep(&mut errors, TierConfig::resolve(&settings, first)).flatten();
        let admin_listener = keep(&mut errors, admin_listener(&settings)).flatten();
        keep(&mut errors, super::topic::check_broker_defaults(&settings));
        keep(&mut errors, check_queued_bytes(&settings));
        if !errors.is_empty() {
            return Err(errors);
        }
        warn(&settings, &listeners, notices);
        Ok(BrokerConfig {
            node_id,
            cluster_id: settings.string("stratalog.cluster.id"),
            rack: settings.string("broker.rack"),
            listeners,
            advertised_listeners,
            metadata_dir: settings.string("metadata.log.dir").map_or_else(|| first.to_owned(), PathBuf::from),
            data_dirs,
            tier,
            admin_listener,
            network: NetworkConfig::of(&settings),
            log: LogConfig::of(&settings),
            topics: TopicCreation::of(&settings),
            logging: LoggingConfig {
                json: settings.string("stratalog.log.format").as_deref() == Some("json"),
                filter: settings.string("stratalog.log.filter").unwrap_or_else(|| "info".to_owned()),
            },
            shutdown_timeout: millis(&settings, "stratalog.shutdown.timeout.ms"),
            settings,
        })
    }

    pub fn data_dir(&self) -> &Path {
        self.data_dirs.first().map_or(Path::new("."), PathBuf::as_path)
    }
}

fn keep<T>(errors: &mut Vec<ConfigError>, result: Result<T, ConfigError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

fn millis(settings: &Settings, name: &str) -> Duration {
    Duration::from_millis(settings.unsigned(name).unwrap_or(0))
}

fn count(settings: &Settings, name: &str) -> usize {
    settings.unsigned(name).map_or(usize::MAX, |number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// The send buffer where nobody said one. The system's own grows to 4 MiB a connection: ten such buffers push a replay
/// out of the processor's caches (10 MiB fetches over loopback: 1.0-1.5 s for 3.1 GB against 2.4-3.3 s).
const SEND_BUFFER_BYTES: u32 = 256 << 10;

fn unset_send_buffer(settings: &Settings) -> Option<u32> {
    (!settings.is_set("socket.send.buffer.bytes")).then_some(SEND_BUFFER_BYTES)
}

/// What requests may take of the memory where nobody says.
const REQUEST_MEMORY_SHARE: u64 = 4;

fn queued_request_bytes(settings: &Settings) -> usize {
    let said = settings.integer(QUEUED_BYTES).filter(|said| *said > 0).and_then(|said| usize::try_from(said).ok());
    let share = || usize::try_from(memory_bytes() / REQUEST_MEMORY_SHARE).unwrap_or(usize::MAX);
    said.unwrap_or_else(share).max(count(settings, "socket.request.max.bytes"))
}

/// What answers may take of the memory where nobody says.
const ANSWER_MEMORY_SHARE: u64 = 8;

/// An answer that is larger has it alone.
fn fetch_memory_bytes(settings: &Settings) -> usize {
    let said = settings.integer("stratalog.fetch.memory.bytes").filter(|said| *said > 0);
    let said = said.and_then(|said| usize::try_from(said).ok());
    said.unwrap_or_else(|| usize::try_from(memory_bytes() / ANSWER_MEMORY_SHARE).unwrap_or(usize::MAX))
}

const QUEUED_BYTES: &str = "queued.max.request.bytes";

/// As Kafka: one request of the largest size must fit.
fn check_queued_bytes(settings: &Settings) -> Result<(), ConfigError> {
    let request = settings.integer("socket.request.max.bytes").unwrap_or(0);
    match settings.integer(QUEUED_BYTES) {
        Some(queued) if queued > 0 && queued < request => {
            let problem = format!("it must be at least socket.request.max.bytes={request}");
            Err(ConfigError::invalid(QUEUED_BYTES, &queued.to_string(), problem))
        }
        _ => Ok(()),
    }
}

impl NetworkConfig {
    fn of(settings: &Settings) -> NetworkConfig {
        let number = |name: &str| settings.unsigned(name).and_then(|number| u32::try_from(number).ok());
        let said = |name: &str| number(name).filter(|_| settings.is_set(name));
        NetworkConfig {
            request_bytes_max: count(settings, "socket.request.max.bytes"),
            queued_request_bytes_max: queued_request_bytes(settings),
            connections_max: count(settings, "max.connections"),
            connections_per_ip_max: count(settings, "max.connections.per.ip"),
            connections_idle_max: settings
                .unsigned("connections.max.idle.ms")
                .map_or(Duration::MAX, Duration::from_millis),
            fetch_bytes_max: number("fetch.max.bytes").unwrap_or(u32::MAX),
            fetch_memory_bytes_max: fetch_memory_bytes(settings),
            fetch_sessions_max: count(settings, "max.incremental.fetch.session.cache.slots"),
            describe_partitions_max: count(settings, "max.request.partition.size.limit"),
            // Kafka's defaults of these would turn off the system's own sizing, so they hold only where they are said.
            backlog: said("socket.listen.backlog.size").unwrap_or(BACKLOG),
            socket_receive_buffer_bytes: said("socket.receive.buffer.bytes"),
            socket_send_buffer_bytes: said("socket.send.buffer.bytes").or(unset_send_buffer(settings)),
        }
    }
}

impl LogConfig {
    fn of(settings: &Settings) -> LogConfig {
        LogConfig {
            retention_check_interval: millis(settings, "log.retention.check.interval.ms"),
            recovery_checkpoint_interval: millis(settings, "log.flush.offset.checkpoint.interval.ms"),
            recovery_threads: count(settings, "num.recovery.threads.per.data.dir"),
            reserve_bytes: settings.unsigned("stratalog.log.dir.reserve.bytes").unwrap_or(0),
        }
    }
}

impl TopicCreation {
    fn of(settings: &Settings) -> TopicCreation {
        let number = |name: &str| settings.integer(name).unwrap_or(1);
        TopicCreation {
            auto_create: settings.boolean("auto.create.topics.enable").unwrap_or(true),
            delete_enable: settings.boolean("delete.topic.enable").unwrap_or(true),
            partitions: i32::try_from(number("num.partitions")).unwrap_or(1),
            replication_factor: i16::try_from(number("default.replication.factor")).unwrap_or(1),
        }
    }
}

/// `node.id`, or its older name; 1 where neither is given.
fn node_id(settings: &Settings) -> Result<i32, ConfigError> {
    let node = settings.integer("node.id");
    let broker = settings.integer("broker.id").filter(|id| *id >= 0);
    if let (Some(node), Some(broker)) = (node, broker)
        && node != broker
    {
        return Err(ConfigError::conflict(format!(
            "node.id={node} and broker.id={broker} name one broker twice: give node.id alone"
        )));
    }
    let id = node.or(broker).unwrap_or(1);
    i32::try_from(id).map_err(|_| ConfigError::invalid("node.id", &id.to_string(), "give a number from 0"))
}

/// KRaft's roles and voters: one process that is the whole cluster is what runs here.
fn check_roles(settings: &Settings) -> Result<(), ConfigError> {
    let roles = settings.list("process.roles");
    if !roles.is_empty() && !roles.iter().any(|role| role == "broker") {
        let problem = "a node that is only a controller would serve nothing: give broker, or broker,controller";
        return Err(ConfigError::invalid("process.roles", &roles.join(","), problem));
    }
    let voters = settings.list("controller.quorum.voters");
    if voters.len() > 1 {
        return Err(ConfigError::Refused {
            key: "controller.quorum.voters".to_owned(),
            value: voters.join(","),
            why: "a cluster of several nodes is not served yet, and each would lose the others' records".to_owned(),
        });
    }
    Ok(())
}

fn listeners(settings: &Settings, notices: &mut Vec<Notice>) -> Result<Vec<Listener>, ConfigError> {
    const KEY: &str = "listeners";
    let all = listener::parse(KEY, &settings.list(KEY))?;
    let controllers: Vec<String> =
        settings.list("controller.listener.names").iter().map(|name| name.to_uppercase()).collect();
    let mut served = Vec::new();
    for listener in all {
        if controllers.contains(&listener.name) {
            notices.push(Notice::Info(format!("{listener} is a KRaft controller's listener and is not opened")));
            continue;
        }
        check_protocol(settings, &listener)?;
        served.push(listener);
    }
    if served.is_empty() {
        let given = settings.list(KEY).join(",");
        let problem = "no listener is left for clients: give one as PLAINTEXT://127.0.0.1:9092";
        return Err(ConfigError::invalid(KEY, &given, problem));
    }
    if let Some(name) = settings.string("inter.broker.listener.name")
        && !served.iter().any(|listener| listener.name == name.to_uppercase())
    {
        let problem = "it is not among the listeners";
        return Err(ConfigError::invalid("inter.broker.listener.name", &name, problem));
    }
    for (at, one) in served.iter().enumerate() {
        let same = |other: &&Listener| other.port == one.port && other.host == one.host && one.port != 0;
        if let Some(other) = served.iter().skip(at + 1).find(same) {
            let problem = format!("{} and {} have the same address: give each its own port", one.name, other.name);
            return Err(ConfigError::invalid(KEY, &settings.list(KEY).join(","), problem));
        }
    }
    Ok(served)
}

/// Only PLAINTEXT is served: a listener that promises more must not open without it.
fn check_protocol(settings: &Settings, listener: &Listener) -> Result<(), ConfigError> {
    const MAP: &str = "listener.security.protocol.map";
    let map = settings.string(MAP).unwrap_or_default();
    let mut protocol = None;
    for pair in map.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once(':') else {
            return Err(ConfigError::invalid(MAP, &map, "write NAME:PROTOCOL pairs, for example PLAINTEXT:PLAINTEXT"));
        };
        if name.trim().to_uppercase() == listener.name {
            protocol = Some(value.trim().to_uppercase());
        }
    }
    match protocol.as_deref() {
        Some("PLAINTEXT") => Ok(()),
        Some(protocol @ ("SSL" | "SASL_PLAINTEXT" | "SASL_SSL")) => Err(ConfigError::Refused {
            key: "listeners".to_owned(),
            value: listener.to_string(),
            why: format!("security protocol {protocol} is not served yet; only PLAINTEXT is"),
        }),
        Some(other) => {
            let problem = format!("{other} is no security protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL");
            Err(ConfigError::invalid(MAP, &map, problem))
        }
        None => {
            let problem = format!("the map has no entry for it: add {}:PLAINTEXT to {MAP}", listener.name);
            Err(ConfigError::invalid("listeners", &listener.to_string(), problem))
        }
    }
}

fn advertised(settings: &Settings, served: &[Listener]) -> Result<Vec<Listener>, ConfigError> {
    const KEY: &str = "advertised.listeners";
    let mut advertised = listener::parse(KEY, &settings.list(KEY))?;
    let controllers: Vec<String> =
        settings.list("controller.listener.names").iter().map(|name| name.to_uppercase()).collect();
    advertised.retain(|listener| !controllers.contains(&listener.name));
    for listener in &advertised {
        let problem = if listener.host == "0.0.0.0" || listener.host == "::" || listener.host.is_empty() {
            "clients cannot connect to it: give the host name or address that they reach this machine by"
        } else if listener.port == 0 {
            "clients cannot connect to port 0: give the port, or leave the key out to tell each client its own"
        } else if !served.is_empty() && !served.iter().any(|one| one.name == listener.name) {
            "it is not among the listeners; use the same name in both"
        } else {
            continue;
        };
        return Err(ConfigError::invalid(KEY, &listener.to_string(), problem));
    }
    Ok(advertised)
}

fn data_dirs(settings: &Settings) -> Vec<PathBuf> {
    // A bare start has a default for log.dirs; an explicit log.dir is stronger than that.
    let from = if settings.is_set("log.dir") && !settings.is_set("log.dirs") { "log.dir" } else { "log.dirs" };
    let mut dirs = settings.list(from);
    if dirs.is_empty() {
        dirs = settings.list("log.dir");
    }
    dirs.iter().filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
}

fn admin_listener(settings: &Settings) -> Result<Option<String>, ConfigError> {
    const KEY: &str = "stratalog.admin.listener";
    let Some(text) = settings.string(KEY) else { return Ok(None) };
    let valid = listener::split_address(&text).is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if valid { Ok(Some(text)) } else { Err(ConfigError::invalid(KEY, &text, "write host:port, or nothing for none")) }
}

fn warn(settings: &Settings, listeners: &[Listener], notices: &mut Vec<Notice>) {
    for listener in listeners.iter().filter(|listener| !listener.is_loopback()) {
        notices.push(Notice::Warning(format!(
            "{listener} serves plain text beyond this machine: anyone who reaches the port reads and writes everything"
        )));
    }
    let compacts = settings.list("log.cleanup.policy").iter().any(|policy| policy == "compact");
    let cleaner = super::CleanerConfig::of(settings);
    if compacts && !cleaner.enable {
        let why = "log.cleaner.enable=false: nothing is compacted, and compacted topics grow without end";
        notices.push(Notice::Warning(why.to_owned()));
    }
    let integer = |name: &str| settings.integer(name).unwrap_or(0);
    if integer("message.max.bytes") > integer("socket.request.max.bytes") {
        notices.push(Notice::Warning(
            "message.max.bytes is above socket.request.max.bytes: batches of that size never arrive".to_owned(),
        ));
    }
    if integer("log.flush.interval.messages") > 1 {
        notices.push(Notice::Warning(
            "log.flush.interval.messages is above 1: acknowledged records may be lost with the machine's power"
                .to_owned(),
        ));
    }
}
