//! DescribeConfigs: the values that hold, where each comes from, and what else has a say.

use std::collections::BTreeMap;
use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC, can_change, check_broker_id};
use super::node::Node;
use super::refusal::Refusal;
use crate::config::describe::{self, DescribedConfig};
use crate::config::{Kind, Source, catalog};
use crate::metadata::topic_name;
use crate::net::RequestContext;

/// Kafka's sentence for a resource type that it does not know.
const MALFORMED: &str = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.";

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: DescribeConfigsRequest,
    _version: i16,
) -> DescribeConfigsResponse {
    let shown = Shown { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let results = request.resources.into_iter().map(|resource| match describe(&node, &resource) {
        Ok(configs) => result(resource, configs, shown),
        Err(refusal) => DescribeConfigsResult {
            error_code: refusal.code,
            // Empty where there is nothing to say, as Kafka.
            error_message: Some(refusal.message.unwrap_or_default()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs: Vec::new(),
        },
    });
    DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() }
}

#[derive(Debug, Clone, Copy)]
struct Shown {
    synonyms: bool,
    documentation: bool,
}

fn describe(node: &Node, resource: &DescribeConfigsResource) -> Result<Vec<DescribedConfig>, Refusal> {
    let name = resource.resource_name.as_str();
    let invalid = |problem: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, problem));
    match resource.resource_type {
        TOPIC => describe_topic(node, name),
        BROKER if name.is_empty() => Ok(describe::describe_broker_defaults(&node.settings())),
        BROKER => {
            let expected = format!("Unexpected broker id, expected {} or empty string, but", node.node_id());
            check_broker_id(name, node.node_id(), "Broker", &expected)?;
            Ok(describe_broker(node))
        }
        BROKER_LOGGER if name.is_empty() => invalid("Broker id must not be empty"),
        BROKER_LOGGER => {
            let expected = format!("Unexpected broker id, expected {} but", node.node_id());
            check_broker_id(name, node.node_id(), "Broker", &expected)?;
            // Loggers are set by one filter (`stratalog.log.filter`), not one by one.
            Ok(Vec::new())
        }
        CLIENT_METRICS if name.is_empty() => invalid("Client metrics subscription name must not be empty"),
        CLIENT_METRICS => Ok(client_metrics_defaults()),
        GROUP if name.is_empty() => invalid("Group name must not be empty"),
        GROUP => {
            let image = node.image();
            let none = BTreeMap::new();
            Ok(describe::describe_group(&node.settings(), image.group_configs.get(name).unwrap_or(&none)))
        }
        _ => invalid(MALFORMED),
    }
}

/// What a running broker does not take over is told as read-only, as the alterations refuse it.
fn describe_broker(node: &Node) -> Vec<DescribedConfig> {
    let mut configs = describe::describe_broker(&node.settings());
    for config in &mut configs {
        config.read_only |= !catalog::broker_key(config.name).is_some_and(can_change);
    }
    configs
}

fn describe_topic(node: &Node, name: &str) -> Result<Vec<DescribedConfig>, Refusal> {
    topic_name::validate(name)
        .map_err(|illegal| Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, illegal.to_string()))?;
    let image = node.image();
    let topic = image.topic(name).ok_or(Refusal::bare(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
    Ok(describe::describe_topic(&node.settings(), &topic.configs))
}

/// What Kafka tells of a subscription that nobody made.
fn client_metrics_defaults() -> Vec<DescribedConfig> {
    let default = |name, value: &str, kind, documentation| DescribedConfig {
        name,
        value: Some(value.to_owned()),
        kind,
        read_only: false,
        source: Source::Default,
        is_sensitive: false,
        synonyms: Vec::new(),
        documentation,
    };
    vec![
        default("interval.ms", "300000", Kind::Int, "Milliseconds between two pushes of a client"),
        default("match", "", Kind::List, "Which clients are asked"),
        default("metrics", "", Kind::List, "Prefixes of the metrics that clients push"),
    ]
}

fn result(resource: DescribeConfigsResource, configs: Vec<DescribedConfig>, shown: Shown) -> DescribeConfigsResult {
    // An empty list asks for all, as null does.
    let keys = resource.configuration_keys.filter(|keys| !keys.is_empty());
    let is_wanted =
        |config: &DescribedConfig| keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key == config.name));
    let rows = configs.into_iter().filter(is_wanted).map(|config| row(config, shown));
    DescribeConfigsResult {
        error_code: ErrorCode::NONE,
        error_message: Some(String::new()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs: rows.collect(),
    }
}

fn row(config: DescribedConfig, shown: Shown) -> DescribeConfigsResourceResult {
    let synonyms = config.synonyms.into_iter().filter(|_| shown.synonyms).map(|synonym| DescribeConfigsSynonym {
        name: synonym.name.to_owned(),
        value: synonym.value,
        source: synonym.source as i8,
    });
    DescribeConfigsResourceResult {
        name: config.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source as i8,
        is_sensitive: config.is_sensitive,
        synonyms: synonyms.collect(),
        config_type: config.kind as i8,
        documentation: shown.documentation.then(|| config.documentation.to_owned()),
    }
}
