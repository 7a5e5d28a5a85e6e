//! Each API over loopback, message by message. What Apache Kafka 4.3.1 answered to the same requests is what is checked;
//! where we differ on purpose the test says so.

mod alter_configs;
mod alter_partition_reassignments;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod fetch;
mod incremental_alter_configs;
mod list_config_resources;
mod list_offsets;
mod no_authorizer;
mod offline_partitions;
mod offset_for_leader_epoch;
mod produce;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use stratalog::api::Node;
use stratalog::broker::{self, Running};
use stratalog::config::{self, Sources};
use stratalog::metrics::Metrics;
use stratalog::net::client::{self, Client, ClientConfig, OutgoingRecord, Producer, ProducerSettings, parse_bootstrap};
use stratalog_protocol::messages::Request;
use stratalog_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use stratalog_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use stratalog_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use stratalog_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use stratalog_protocol::{ErrorCode, Part, Records, Response, decode_response, encode_request};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The kinds of resources of the config APIs.
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const BROKER_LOGGER: i8 = 8;
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;

/// A broker of its own for one test, and one connection to it.
pub struct Fixture {
    running: Running,
    stream: TcpStream,
    correlation_id: i32,
    dir: TempDir,
}

impl Fixture {
    pub async fn start() -> Fixture {
        Fixture::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&str, &str)]) -> Fixture {
        Fixture::start_in(tempfile::tempdir().unwrap(), settings).await
    }

    /// A connection to a broker that was started elsewhere.
    pub async fn on(running: Running) -> Fixture {
        let stream = TcpStream::connect(running.address()).await.unwrap();
        Fixture { running, stream, correlation_id: 0, dir: tempfile::tempdir().unwrap() }
    }

    /// Stops, does something to the directory, and starts again.
    pub async fn restart_after(self, between: impl FnOnce()) -> Fixture {
        self.restart_after_with(&[], between).await
    }

    pub async fn restart_after_with(self, settings: &[(&str, &str)], between: impl FnOnce()) -> Fixture {
        drop(self.stream);
        self.running.stop().await.unwrap();
        between();
        Fixture::start_in(self.dir, settings).await
    }

    async fn start_in(dir: TempDir, settings: &[(&str, &str)]) -> Fixture {
        let mut flags = vec![
            ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
            ("log.dirs".to_owned(), dir.path().display().to_string()),
            ("stratalog.admin.listener".to_owned(), String::new()),
            // Topics as Kafka makes them: tiered only where they say so.
            ("stratalog.tier.default.enable".to_owned(), "false".to_owned()),
        ];
        flags.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let loaded = config::load(&Sources { flags, ..Sources::default() }).unwrap();
        let running = broker::start(loaded.config).await.unwrap();
        let stream = TcpStream::connect(running.address()).await.unwrap();
        Fixture { running, stream, correlation_id: 0, dir }
    }

    pub fn node(&self) -> Arc<Node> {
        self.running.node.clone()
    }

    pub async fn restart(self) -> Fixture {
        self.restart_with(&[]).await
    }

    pub async fn restart_with(self, settings: &[(&str, &str)]) -> Fixture {
        drop(self.stream);
        self.running.stop().await.unwrap();
        Fixture::start_in(self.dir, settings).await
    }

    pub async fn stop(self) {
        drop(self.stream);
        self.running.stop().await.unwrap();
    }

    pub fn port(&self) -> i32 {
        i32::from(self.running.address().port())
    }

    pub fn data_dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub async fn ask<Q>(&mut self, request: &Q, version: i16) -> Q::Response
    where
        Q: Request<Response: Response<Request = Q>>,
    {
        self.correlation_id += 1;
        for part in encode_request(request, version, self.correlation_id, Some("it")).unwrap() {
            let Part::Bytes(bytes) = part else { panic!("requests are memory") };
            self.stream.write_all(&bytes).await.unwrap();
        }
        let length = self.stream.read_i32().await.unwrap();
        let mut frame = BytesMut::zeroed(usize::try_from(length).unwrap());
        self.stream.read_exact(&mut frame).await.unwrap();
        let (correlation_id, response) = decode_response::<Q::Response>(frame.freeze(), version).unwrap();
        assert_eq!(correlation_id, self.correlation_id);
        response
    }

    /// Creates a topic and answers its id.
    pub async fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.iter().map(config).collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        let created = self.ask(&request, 7).await.topics.remove(0);
        assert_eq!((created.error_code, created.error_message), (ErrorCode::NONE, None), "{name}");
        created.topic_id
    }

    pub async fn delete(&mut self, name: &str) {
        let topics = vec![DeleteTopicState { name: Some(name.to_owned()), ..DeleteTopicState::default() }];
        let request = DeleteTopicsRequest { topics, timeout_ms: 10_000, ..DeleteTopicsRequest::default() };
        assert_eq!(self.ask(&request, 6).await.responses[0].error_code, ErrorCode::NONE);
    }

    /// Produces `count` records to partition 0 and waits for their acknowledgement.
    pub async fn produce(&mut self, topic: &str, count: usize, idempotent: bool) {
        self.try_produce(topic, count, idempotent).await.unwrap();
    }

    /// Whether the broker finds one record too large.
    pub async fn produce_refused(&mut self, topic: &str) -> bool {
        matches!(self.try_produce(topic, 1, false).await, Err(client::Error::TooLarge { .. }))
    }

    async fn try_produce(&mut self, topic: &str, count: usize, idempotent: bool) -> Result<(), client::Error> {
        let bootstrap = parse_bootstrap(&self.running.address().to_string()).unwrap();
        let mut client = Client::new(ClientConfig::new(bootstrap));
        let settings = ProducerSettings { create_topic: false, idempotent, ..ProducerSettings::default() };
        let mut producer = Producer::open(&mut client, topic, settings).await?;
        for number in 0..count {
            let value = format!("value {number}");
            let record = OutgoingRecord {
                partition: Some(0),
                key: None,
                value: Some(value.as_bytes()),
                headers: &[],
                timestamp_ms: 1_700_000_000_000,
            };
            producer.send(&mut client, record).await?;
        }
        producer.flush(&mut client).await
    }

    /// Produces one batch of one record; the answer's code where it is an error.
    pub async fn produce_batch(
        &mut self,
        topic: &str,
        index: i32,
        value: &[u8],
        timeout_ms: i32,
    ) -> Result<i64, ErrorCode> {
        let partition_data = vec![PartitionProduceData { index, records: Records::Bytes(fetch::batch(value)) }];
        let topic = TopicProduceData { name: topic.to_owned(), partition_data, ..TopicProduceData::default() };
        let request = ProduceRequest { acks: -1, timeout_ms, topic_data: vec![topic], ..ProduceRequest::default() };
        let row = self.ask(&request, 12).await.responses.remove(0).partition_responses.remove(0);
        if row.error_code.is_none() { Ok(row.base_offset) } else { Err(row.error_code) }
    }

    /// Sends `request` on a connection of its own; the task ends with its answer.
    pub async fn another<Q>(&self, request: &Q, version: i16) -> JoinHandle<Q::Response>
    where
        Q: Request<Response: Response<Request = Q> + Send + 'static>,
    {
        let mut stream = TcpStream::connect(self.running.address()).await.unwrap();
        for part in encode_request(request, version, 1, Some("it")).unwrap() {
            let Part::Bytes(bytes) = part else { panic!("requests are memory") };
            stream.write_all(&bytes).await.unwrap();
        }
        tokio::spawn(async move {
            let length = stream.read_i32().await.unwrap();
            let mut frame = BytesMut::zeroed(usize::try_from(length).unwrap());
            stream.read_exact(&mut frame).await.unwrap();
            decode_response::<Q::Response>(frame.freeze(), version).unwrap().1
        })
    }

    /// Returns when the broker's metrics say so; a state that never comes fails the test.
    pub async fn until(&self, reached: impl Fn(&Metrics) -> bool) {
        let metrics = self.running.node.metrics.clone();
        let waiting = async {
            while !reached(&metrics) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the awaited state did not come");
    }

    /// The configs of a resource whose source is one of `sources`: name, value, source.
    pub async fn configs(&mut self, resource_type: i8, name: &str, sources: &[i8]) -> Vec<(String, String, i8)> {
        let resource =
            DescribeConfigsResource { resource_type, resource_name: name.to_owned(), configuration_keys: None };
        let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
        let result = self.ask(&request, 4).await.results.remove(0);
        assert_eq!(result.error_code, ErrorCode::NONE, "{name}");
        let of_sources = result.configs.into_iter().filter(|config| sources.contains(&config.config_source));
        of_sources.map(|config| (config.name, config.value.unwrap_or_default(), config.config_source)).collect()
    }
}

/// `(code, message)` as an answer carries them.
pub type Told = (ErrorCode, Option<String>);

pub fn told(code: ErrorCode, message: &str) -> Told {
    (code, Some(message.to_owned()))
}

pub const OK: Told = (ErrorCode::NONE, None);
