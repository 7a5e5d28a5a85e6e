//! AlterConfigs: replaces all configs of a resource. Old clients; newer ones ask IncrementalAlterConfigs.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::alteration::Change;
use super::config_change::{self, Asked};
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: AlterConfigsRequest,
    _version: i16,
) -> AlterConfigsResponse {
    let asked: Vec<Asked> = request
        .resources
        .into_iter()
        .map(|resource| Asked {
            resource_type: resource.resource_type,
            name: resource.resource_name,
            change: Change::Replace(resource.configs.into_iter().map(|config| (config.name, config.value)).collect()),
        })
        .collect();
    let outcomes = config_change::make(&node, &asked, request.validate_only).await;
    let responses = asked.into_iter().zip(outcomes).map(|(asked, outcome)| AlterConfigsResourceResponse {
        error_code: outcome.as_ref().err().map_or(ErrorCode::NONE, |refusal| refusal.code),
        error_message: outcome.err().and_then(|refusal| refusal.message),
        resource_type: asked.resource_type,
        resource_name: asked.name,
    });
    AlterConfigsResponse { responses: responses.collect(), ..AlterConfigsResponse::default() }
}
