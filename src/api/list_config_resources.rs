//! ListConfigResources: what can have configs (KIP-1142). Version 0 knows client metrics only, and there are none.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::config_resource;
use super::node::Node;
use crate::net::RequestContext;

/// In Kafka's order of answering.
const ALL: [i8; 5] = [
    config_resource::GROUP,
    config_resource::CLIENT_METRICS,
    config_resource::BROKER_LOGGER,
    config_resource::BROKER,
    config_resource::TOPIC,
];

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: ListConfigResourcesRequest,
    version: i16,
) -> ListConfigResourcesResponse {
    let asked = if version == 0 { vec![config_resource::CLIENT_METRICS] } else { request.resource_types };
    if !asked.iter().all(|resource_type| ALL.contains(resource_type)) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        return ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() };
    }
    let wanted = ALL.into_iter().filter(|resource_type| asked.is_empty() || asked.contains(resource_type));
    let config_resources = wanted.flat_map(|resource_type| {
        let of_type = move |resource_name| ConfigResource { resource_name, resource_type };
        names(&node, resource_type).into_iter().map(of_type)
    });
    ListConfigResourcesResponse {
        config_resources: config_resources.collect(),
        ..ListConfigResourcesResponse::default()
    }
}

fn names(node: &Node, resource_type: i8) -> Vec<String> {
    let image = node.image();
    match resource_type {
        config_resource::BROKER | config_resource::BROKER_LOGGER => {
            image.brokers.iter().map(|broker| broker.id.to_string()).collect()
        }
        config_resource::GROUP => image.group_configs.keys().cloned().collect(),
        config_resource::TOPIC => image.topics().map(|topic| topic.name.to_string()).collect(),
        _ => Vec::new(),
    }
}
