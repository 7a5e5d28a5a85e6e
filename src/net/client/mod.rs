//! A Kafka client for our own use: the command line, the demonstration, tests.
//!
//! Owns version negotiation, one connection per broker, metadata, retries within a deadline, and the translation of
//! Kafka's error codes into [`Error`]. Speaks to any Kafka broker. One request is in flight per call; a call is given up
//! after its deadline, and its connection with it, so that no late answer is taken for the next one.

mod admin;
mod config;
mod connection;
mod error;
mod fetch;
mod group;
mod offsets;
mod partitioner;
mod produce;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use stratalog_protocol::messages::metadata::{MetadataRequestTopic, MetadataResponse, MetadataResponseTopic};
use stratalog_protocol::messages::{MetadataRequest, Request, Response};
use tokio::time::Instant;

use connection::Connection;

pub use admin::{ConfigEntry, ConfigOperation, NewTopic};
pub use config::{Address, ClientConfig, parse_bootstrap};
pub use error::Error;
pub use fetch::{FetchedPartition, FetchedRecord, IsolationLevel, visible_records};
pub use group::{
    CommittedOffset, DescribedGroup, DescribedMember, GroupMember, GroupState, GroupType, ListedGroup, MemberSettings,
    Membership, NewOffset, TopicPartitions,
};
pub use offsets::{FoundOffset, OffsetSpec};
pub use partitioner::{murmur2, partition_of_key};
pub use produce::{Acks, Compression, OutgoingRecord, ProduceSummary, Producer, ProducerSettings};

/// What the cluster said of itself and of the topics that were asked for.
#[derive(Debug, Clone, Default)]
pub struct ClusterView {
    pub cluster_id: Option<String>,
    pub controller_id: i32,
    pub brokers: BTreeMap<i32, Address>,
    pub topics: Vec<TopicView>,
}

#[derive(Debug, Clone, Default)]
pub struct TopicView {
    pub name: String,
    /// Kafka's text form; empty when the broker does not tell.
    pub topic_id: String,
    pub is_internal: bool,
    /// In the order of their numbers.
    pub partitions: Vec<PartitionView>,
}

#[derive(Debug, Clone, Default)]
pub struct PartitionView {
    pub partition: i32,
    /// -1: none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

/// A client of one cluster.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    /// By node id, -1 for whichever bootstrap address answered.
    connections: BTreeMap<i32, Connection>,
    brokers: BTreeMap<i32, Address>,
    /// Leaders of partitions by topic, as last seen.
    leaders: BTreeMap<String, Vec<PartitionView>>,
    /// Nodes that coordinate groups, by group.
    coordinators: BTreeMap<String, i32>,
}

/// The node id under which the bootstrap connection is kept.
const BOOTSTRAP: i32 = -1;

/// Pause before a retriable error is met by another try.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Metadata beyond version 12 and the topic ids in Produce and Fetch beyond version 12 are not needed here.
const METADATA_VERSION_MAX: i16 = 12;

impl Client {
    pub fn new(config: ClientConfig) -> Client {
        Client {
            config,
            connections: BTreeMap::new(),
            brokers: BTreeMap::new(),
            leaders: BTreeMap::new(),
            coordinators: BTreeMap::new(),
        }
    }

    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Asks for all topics, or for these. Errors of single topics are answered as errors of the call.
    pub async fn metadata(&mut self, topics: Option<&[String]>) -> Result<ClusterView, Error> {
        let response = self.metadata_response(topics, false).await?;
        let mut views = Vec::with_capacity(response.topics.len());
        for topic in &response.topics {
            let name = topic.name.clone().unwrap_or_default();
            if !topic.error_code.is_none() {
                return Err(Error::topic(topic.error_code, &name));
            }
            views.push(topic_view(topic));
        }
        views.sort_by(|a: &TopicView, b| a.name.cmp(&b.name));
        Ok(ClusterView {
            cluster_id: response.cluster_id,
            controller_id: response.controller_id,
            brokers: self.brokers.clone(),
            topics: views,
        })
    }

    /// The partitions of `topic`, waiting for leaders within the deadline. With `create` the broker may create it.
    pub async fn partitions(&mut self, topic: &str, create: bool) -> Result<Vec<PartitionView>, Error> {
        let deadline = Instant::now() + self.config.request_timeout;
        let names = [topic.to_owned()];
        loop {
            let response = self.metadata_response(Some(&names), create).await?;
            let Some(found) = response.topics.first() else {
                return Err(Error::UnknownTopic { topic: topic.to_owned() });
            };
            let view = topic_view(found);
            let led = !view.partitions.is_empty() && view.partitions.iter().all(|partition| partition.leader >= 0);
            // A topic that is being created is unknown for a moment.
            let may_wait = found.error_code.is_retriable() && (create || !Error::is_unknown_topic(found.error_code));
            match found.error_code.is_none() {
                true if led => {
                    self.leaders.insert(topic.to_owned(), view.partitions.clone());
                    return Ok(view.partitions);
                }
                false if !may_wait => return Err(Error::topic(found.error_code, topic)),
                _ => {}
            }
            if Instant::now() + RETRY_PAUSE >= deadline {
                return Err(if found.error_code.is_none() {
                    Error::NoLeader { topic: topic.to_owned() }
                } else {
                    Error::topic(found.error_code, topic)
                });
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// The leader of a partition, from memory or from the broker.
    async fn leader(&mut self, topic: &str, partition: i32) -> Result<i32, Error> {
        if !self.leaders.contains_key(topic) {
            self.partitions(topic, false).await?;
        }
        let known = self.leaders.get(topic).and_then(|all| all.iter().find(|view| view.partition == partition));
        match known {
            Some(view) => Ok(view.leader),
            None => Err(Error::UnknownPartition { topic: topic.to_owned(), partition }),
        }
    }

    /// Forgets who leads `topic`: the next call asks again.
    fn forget_leaders(&mut self, topic: &str) {
        self.leaders.remove(topic);
    }

    async fn metadata_response(&mut self, topics: Option<&[String]>, create: bool) -> Result<MetadataResponse, Error> {
        let request = MetadataRequest {
            topics: topics.map(|names| {
                names
                    .iter()
                    .map(|name| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() })
                    .collect()
            }),
            allow_auto_topic_creation: create,
            ..Default::default()
        };
        let response = self.call_any(&request, METADATA_VERSION_MAX).await?;
        self.brokers = response
            .brokers
            .iter()
            .filter_map(|broker| {
                let port = u16::try_from(broker.port).ok()?;
                Some((broker.node_id, Address { host: broker.host.clone(), port }))
            })
            .collect();
        Ok(response)
    }

    /// Sends to a broker that is connected, or to the first bootstrap address that answers.
    async fn call_any<R: Request<Response: Response>>(
        &mut self,
        request: &R,
        version_max: i16,
    ) -> Result<R::Response, Error> {
        let node = self.connections.keys().next().copied().unwrap_or(BOOTSTRAP);
        match self.call(node, request, version_max).await {
            // The broker may have closed an idle connection: once more on a new one.
            Err(error) if error.is_connection_lost() && node != BOOTSTRAP => {
                self.call(BOOTSTRAP, request, version_max).await
            }
            answered => answered,
        }
    }

    /// Sends to one broker. Any failure of the connection closes it.
    async fn call<R: Request<Response: Response>>(
        &mut self,
        node: i32,
        request: &R,
        version_max: i16,
    ) -> Result<R::Response, Error> {
        self.call_within(node, request, version_max, self.config.request_timeout).await
    }

    async fn call_within<R: Request<Response: Response>>(
        &mut self,
        node: i32,
        request: &R,
        version_max: i16,
        timeout: Duration,
    ) -> Result<R::Response, Error> {
        let connection = self.connection(node).await?;
        let answered = tokio::time::timeout(timeout, connection.call(request, version_max)).await;
        let result = answered.unwrap_or_else(|_| Err(Error::Timeout { what: R::NAME.to_owned(), after: timeout }));
        if matches!(&result, Err(error) if error.breaks_connection()) {
            self.connections.remove(&node);
        }
        result
    }

    /// Sends without waiting: Produce with acks 0.
    async fn send_only<R: Request>(&mut self, node: i32, request: &R, version_max: i16) -> Result<(), Error> {
        let connection = self.connection(node).await?;
        let result = connection.send_only(request, version_max).await;
        if result.is_err() {
            self.connections.remove(&node);
        }
        result
    }

    async fn connection(&mut self, node: i32) -> Result<&mut Connection, Error> {
        if !self.connections.contains_key(&node) {
            let connection = self.connect(node).await?;
            self.connections.insert(node, connection);
        }
        self.connections.get_mut(&node).ok_or(Error::ConnectionLost { address: String::new() })
    }

    async fn connect(&self, node: i32) -> Result<Connection, Error> {
        let addresses: Vec<Address> = match self.brokers.get(&node) {
            Some(address) => vec![address.clone()],
            None => self.config.bootstrap.clone(),
        };
        let mut last = None;
        for address in addresses {
            let opened = Connection::open(&address, &self.config.client_id);
            match tokio::time::timeout(self.config.connect_timeout, opened).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => last = Some(error),
                Err(_) => {
                    let what = format!("connecting to {address}");
                    last = Some(Error::Timeout { what, after: self.config.connect_timeout });
                }
            }
        }
        Err(last.unwrap_or(Error::NoBootstrap))
    }
}

fn topic_view(topic: &MetadataResponseTopic) -> TopicView {
    let id = stratalog_types::TopicId(topic.topic_id);
    let mut partitions: Vec<PartitionView> = topic
        .partitions
        .iter()
        .map(|partition| PartitionView {
            partition: partition.partition_index,
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes.clone(),
            isr: partition.isr_nodes.clone(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicView {
        name: topic.name.clone().unwrap_or_default(),
        topic_id: if id.is_zero() { String::new() } else { id.to_string() },
        is_internal: topic.is_internal,
        partitions,
    }
}
