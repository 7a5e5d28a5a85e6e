//! DescribeCluster: cluster id, controller and brokers.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::node::Node;
use super::operations;
use crate::net::RequestContext;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: DescribeClusterRequest,
    _version: i16,
) -> DescribeClusterResponse {
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let problem =
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
            return refusal(ErrorCode::MISMATCHED_ENDPOINT_TYPE, problem.to_owned());
        }
        other => {
            return refusal(ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, format!("Unsupported endpoint type {other}"));
        }
    }
    let (host, port) = node.advertised(&context);
    let image = node.image();
    let brokers = image.brokers.iter().map(|broker| DescribeClusterBroker {
        broker_id: broker.id,
        host: host.clone(),
        port,
        rack: broker.rack.clone(),
        is_fenced: false,
    });
    let include_operations = request.include_cluster_authorized_operations;
    DescribeClusterResponse {
        cluster_id: node.cluster_id.clone(),
        controller_id: node.node_id(),
        brokers: brokers.collect(),
        cluster_authorized_operations: if include_operations { operations::CLUSTER } else { i32::MIN },
        ..DescribeClusterResponse::default()
    }
}

fn refusal(error_code: ErrorCode, message: String) -> DescribeClusterResponse {
    DescribeClusterResponse { error_code, error_message: Some(message), ..DescribeClusterResponse::default() }
}
