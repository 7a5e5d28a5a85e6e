//! IncrementalAlterConfigs: sets, deletes, appends to or subtracts from single configs (KIP-339).

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::incremental_alter_configs::{
    AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::alteration::{Alteration, Change};
use super::config_change::{self, Asked};
use super::node::Node;
use crate::net::RequestContext;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: IncrementalAlterConfigsRequest,
    _version: i16,
) -> IncrementalAlterConfigsResponse {
    let alteration = |config: AlterableConfig| Alteration {
        name: config.name,
        operation: config.config_operation,
        value: config.value,
    };
    let asked: Vec<Asked> = request
        .resources
        .into_iter()
        .map(|resource| Asked {
            resource_type: resource.resource_type,
            name: resource.resource_name,
            change: Change::Alter(resource.configs.into_iter().map(alteration).collect()),
        })
        .collect();
    let outcomes = config_change::make(&node, &asked, request.validate_only).await;
    let responses = asked.into_iter().zip(outcomes).map(|(asked, outcome)| AlterConfigsResourceResponse {
        error_code: outcome.as_ref().err().map_or(ErrorCode::NONE, |refusal| refusal.code),
        error_message: outcome.err().and_then(|refusal| refusal.message),
        resource_type: asked.resource_type,
        resource_name: asked.name,
    });
    IncrementalAlterConfigsResponse { responses: responses.collect(), ..IncrementalAlterConfigsResponse::default() }
}
