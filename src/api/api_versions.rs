//! ApiVersions: what the table says. Answers in any state of a connection, and in version 0 to a version it does not
//! know (KIP-511).

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::TABLE;
use super::node::Node;
use crate::net::{ClientInfo, RequestContext};

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: ApiVersionsRequest,
    version: i16,
) -> ApiVersionsResponse {
    if version >= 3 {
        let names = [&request.client_software_name, &request.client_software_version];
        if !names.iter().all(|name| is_software_name(name)) {
            return response(&node, ErrorCode::INVALID_REQUEST, version);
        }
        context.set_client_info(ClientInfo {
            software_name: request.client_software_name,
            software_version: request.client_software_version,
        });
    }
    response(&node, ErrorCode::NONE, version)
}

/// Of the features that the cluster agrees on: the `consumer` protocol of groups (KIP-848).
const GROUP_VERSION: &str = "group.version";
const GROUP_VERSION_MAX: i16 = 1;
/// The first version in which a feature may start at 0 (KIP-1022).
const LEVEL_ZERO_SINCE: i16 = 4;

/// The table, with an error beside it: a client that is refused still learns what it may send.
pub fn response(_node: &Node, error_code: ErrorCode, version: i16) -> ApiVersionsResponse {
    let row = |api: &super::Api| ApiVersion {
        api_key: api.key,
        min_version: *api.advertised.start(),
        max_version: *api.advertised.end(),
    };
    let api_keys = if error_code == ErrorCode::INVALID_REQUEST { Vec::new() } else { TABLE.iter().map(row).collect() };
    let supported = SupportedFeatureKey {
        name: GROUP_VERSION.to_owned(),
        min_version: if version >= LEVEL_ZERO_SINCE { 0 } else { 1 },
        max_version: GROUP_VERSION_MAX,
    };
    let finalized = FinalizedFeatureKey {
        name: GROUP_VERSION.to_owned(),
        max_version_level: GROUP_VERSION_MAX,
        min_version_level: GROUP_VERSION_MAX,
    };
    ApiVersionsResponse {
        error_code,
        api_keys,
        supported_features: vec![supported],
        finalized_features_epoch: 0,
        finalized_features: vec![finalized],
        ..ApiVersionsResponse::default()
    }
}

/// Letters and digits at both ends, `-` and `.` between (KIP-511).
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}
