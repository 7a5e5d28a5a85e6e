//! Topics and configs.

use std::collections::BTreeMap;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::create_partitions::CreatePartitionsTopic;
use stratalog_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use stratalog_protocol::messages::describe_configs::DescribeConfigsResource;
use stratalog_protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use stratalog_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest,
};

use super::{Client, Error};

/// Kafka's resource type of a topic.
const TOPIC: i8 = 2;

/// DeleteTopics by name only.
const DELETE_TOPICS_VERSION_MAX: i16 = 5;

#[derive(Debug, Clone, Default)]
pub struct NewTopic {
    pub name: String,
    /// `None`: the broker's default.
    pub partitions: Option<i32>,
    pub replication_factor: Option<i16>,
    pub configs: BTreeMap<String, String>,
}

/// A config of a topic as the broker told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for null and for secrets.
    pub value: Option<String>,
    /// `topic`, `dynamic-broker`, `static-broker`, `default`, …
    pub source: &'static str,
    pub read_only: bool,
    pub is_sensitive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOperation {
    Set(String),
    Delete,
    Append(String),
    Subtract(String),
}

impl Client {
    pub async fn create_topic(&mut self, topic: &NewTopic, validate_only: bool) -> Result<(), Error> {
        let configs = topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name.clone(),
                num_partitions: topic.partitions.unwrap_or(-1),
                replication_factor: topic.replication_factor.unwrap_or(-1),
                configs: configs.collect(),
                ..Default::default()
            }],
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let response = self.call_any(&request, i16::MAX).await?;
        for result in response.topics {
            match result.error_code {
                ErrorCode::NONE => {}
                ErrorCode::TOPIC_ALREADY_EXISTS => return Err(Error::TopicExists { topic: topic.name.clone() }),
                code => return Err(Error::broker(format!("creating {}", topic.name), code, result.error_message)),
            }
        }
        Ok(())
    }

    pub async fn delete_topic(&mut self, topic: &str) -> Result<(), Error> {
        let request = DeleteTopicsRequest {
            topic_names: vec![topic.to_owned()],
            timeout_ms: self.timeout_ms(),
            ..Default::default()
        };
        let response = self.call_any(&request, DELETE_TOPICS_VERSION_MAX).await?;
        self.forget_leaders(topic);
        for result in response.responses {
            match result.error_code {
                ErrorCode::NONE => {}
                code if Error::is_unknown_topic(code) => return Err(Error::topic(code, topic)),
                code => return Err(Error::broker(format!("deleting {topic}"), code, result.error_message)),
            }
        }
        Ok(())
    }

    /// Raises the number of partitions of `topic` to `count`.
    pub async fn create_partitions(&mut self, topic: &str, count: i32) -> Result<(), Error> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: topic.to_owned(), count, assignments: None }],
            timeout_ms: self.timeout_ms(),
            validate_only: false,
        };
        let response = self.call_any(&request, i16::MAX).await?;
        self.forget_leaders(topic);
        for result in response.results {
            if result.error_code != ErrorCode::NONE {
                let what = format!("adding partitions to {topic}");
                return Err(Error::broker(what, result.error_code, result.error_message));
            }
        }
        Ok(())
    }

    /// Every config of `topic`, in the order of names.
    pub async fn topic_configs(&mut self, topic: &str) -> Result<Vec<ConfigEntry>, Error> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: TOPIC,
                resource_name: topic.to_owned(),
                configuration_keys: None,
            }],
            ..Default::default()
        };
        let response = self.call_any(&request, i16::MAX).await?;
        let mut entries = Vec::new();
        for result in response.results {
            if result.error_code != ErrorCode::NONE {
                return Err(match Error::topic(result.error_code, topic) {
                    Error::Broker { what, code, .. } => Error::broker(what, code, result.error_message),
                    unknown => unknown,
                });
            }
            entries.extend(result.configs.into_iter().map(|config| ConfigEntry {
                name: config.name,
                value: config.value,
                source: source_name(config.config_source),
                read_only: config.read_only,
                is_sensitive: config.is_sensitive,
            }));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub async fn alter_topic_configs(
        &mut self,
        topic: &str,
        operations: &[(String, ConfigOperation)],
        validate_only: bool,
    ) -> Result<(), Error> {
        let configs = operations.iter().map(|(name, operation)| {
            let (config_operation, value) = match operation {
                ConfigOperation::Set(value) => (0, Some(value.clone())),
                ConfigOperation::Delete => (1, None),
                ConfigOperation::Append(value) => (2, Some(value.clone())),
                ConfigOperation::Subtract(value) => (3, Some(value.clone())),
            };
            AlterableConfig { name: name.clone(), config_operation, value }
        });
        let resource =
            AlterConfigsResource { resource_type: TOPIC, resource_name: topic.to_owned(), configs: configs.collect() };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
        let response = self.call_any(&request, i16::MAX).await?;
        for result in response.responses {
            match result.error_code {
                ErrorCode::NONE => {}
                code if Error::is_unknown_topic(code) => return Err(Error::topic(code, topic)),
                code => return Err(Error::broker(format!("altering {topic}"), code, result.error_message)),
            }
        }
        Ok(())
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.config.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

fn source_name(source: i8) -> &'static str {
    match source {
        1 => "topic",
        2 => "dynamic-broker",
        3 => "dynamic-default-broker",
        4 => "static-broker",
        5 => "default",
        _ => "other",
    }
}
