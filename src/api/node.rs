//! What every handler may reach.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use stratalog_protocol::{ApiKey, ErrorCode};
use stratalog_types::TopicId;
use tokio::sync::watch;

use super::TABLE;
use super::error;
use super::fetch::Sessions;
use crate::clock::Clock;
use crate::config::{BrokerConfig, Settings};
use crate::coordinator::{Groups, group_config};
use crate::metadata::{self, Image, Metadata, ProducerIdBlock, Topic};
use crate::metrics::{ApiMetrics, Measured, Metrics};
use crate::net::RequestContext;
use crate::partition::{Partition, Partitions};

/// This broker, as the handlers see it.
pub struct Node {
    pub config: BrokerConfig,
    pub cluster_id: String,
    pub metadata: Arc<Metadata>,
    pub partitions: Arc<Partitions>,
    pub groups: Arc<Groups>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub fetch_sessions: Sessions,
    /// Turns true when the broker drains: waiting fetches answer at once.
    pub draining: watch::Receiver<bool>,
    /// In the order of the table of APIs.
    api_metrics: Vec<(ApiKey, ApiMetrics)>,
    settings: RwLock<Arc<Settings>>,
    producer_ids: Mutex<ProducerIdBlock>,
    changing: Mutex<()>,
}

impl Node {
    pub fn new(
        config: BrokerConfig,
        cluster_id: String,
        metadata: Arc<Metadata>,
        partitions: Arc<Partitions>,
        metrics: Arc<Metrics>,
        clock: Clock,
        draining: watch::Receiver<bool>,
    ) -> Node {
        let settings = RwLock::new(Arc::new(config.settings.clone()));
        let api_metrics =
            TABLE.iter().map(|api| (api.key, ApiMetrics::of(&metrics, api.key.name().unwrap_or("unknown")))).collect();
        let groups_config = group_config(&config.settings, &metadata.image().group_configs);
        let groups = Groups::new(
            metadata.clone(),
            partitions.clone(),
            metrics.clone(),
            clock.clone(),
            &config.settings,
            groups_config,
        );
        let fetch_sessions = Sessions::new(config.network.fetch_sessions_max);
        Node {
            config,
            cluster_id,
            metadata,
            partitions,
            groups,
            metrics,
            clock,
            fetch_sessions,
            draining,
            api_metrics,
            settings,
            producer_ids: Mutex::new(ProducerIdBlock { first: 0, end: 0 }),
            changing: Mutex::new(()),
        }
    }

    /// Counts a request of a served API.
    pub fn begin_request(&self, api: ApiKey, received_at: Instant) -> Option<Measured> {
        let (_, measured) = self.api_metrics.iter().find(|(key, _)| *key == api)?;
        Some(measured.begin(received_at))
    }

    pub fn node_id(&self) -> i32 {
        self.config.node_id
    }

    pub fn image(&self) -> Arc<Image> {
        self.metadata.image()
    }

    /// The configuration as it holds now, dynamic changes included.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.refresh_groups();
    }

    /// The coordinators of groups take over what the configuration says now.
    pub fn refresh_groups(&self) {
        self.groups.replace_config(group_config(&self.settings(), &self.image().group_configs));
    }

    /// One change of topics or configuration at a time: what the metadata says and what the partitions do move together.
    /// Held on the blocking pool only.
    pub fn lock_changes(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a client of this listener reaches this broker: what is advertised, else the address it connected to.
    pub fn advertised(&self, context: &RequestContext) -> (String, i32) {
        let advertised = self.config.advertised_listeners.iter().find(|l| l.name == context.listener.as_ref());
        match advertised {
            Some(listener) => (listener.host.clone(), i32::from(listener.port)),
            None => (context.local_address.ip().to_canonical().to_string(), i32::from(context.local_address.port())),
        }
    }

    /// A producer id that no producer ever had.
    pub fn next_producer_id(&self) -> Result<i64, metadata::Error> {
        let mut block = self.producer_ids.lock().unwrap_or_else(PoisonError::into_inner);
        if block.first >= block.end {
            *block = self.metadata.next_producer_id_block()?;
        }
        let id = block.first;
        block.first += 1;
        Ok(id)
    }

    /// The partition of a topic named by a request, or the code for its absence.
    pub fn partition(&self, image: &Image, topic: &str, partition: i32) -> Result<Arc<Partition>, ErrorCode> {
        let topic = image.topic(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        self.partitions.find(topic.id, partition).map_err(error::of_unserved)
    }

    /// Makes the directories of a topic just written to the metadata. Blocks.
    pub fn open_partitions(&self, topic: &Topic) -> Result<(), crate::partition::OpenError> {
        self.partitions.create_topic(&self.metadata, topic, &self.settings())
    }

    pub fn topic_name(&self, image: &Image, id: TopicId) -> Option<Arc<str>> {
        image.topic_by_id(id).map(|topic| topic.name.clone())
    }
}
