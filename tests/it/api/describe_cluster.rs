//! DescribeCluster: one broker, which is its own controller; a controller's endpoint is somewhere else.

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::Fixture;

#[tokio::test]
async fn the_broker_is_told_where_it_was_reached() {
    let mut fixture = Fixture::start().await;
    let request = DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        endpoint_type: 1,
        include_fenced_brokers: true,
    };
    let response = fixture.ask(&request, 2).await;
    let broker = DescribeClusterBroker {
        broker_id: 1,
        host: "127.0.0.1".to_owned(),
        port: fixture.port(),
        rack: None,
        is_fenced: false,
    };
    assert_eq!(response.cluster_id.len(), 22);
    let expected = DescribeClusterResponse {
        cluster_id: response.cluster_id.clone(),
        controller_id: 1,
        brokers: vec![broker],
        cluster_authorized_operations: 8096,
        ..DescribeClusterResponse::default()
    };
    assert_eq!(response, expected);
    let quiet = fixture.ask(&DescribeClusterRequest::default(), 0).await;
    assert_eq!((quiet.cluster_id, quiet.cluster_authorized_operations), (response.cluster_id, i32::MIN));
    fixture.stop().await;
}

#[tokio::test]
async fn other_endpoints_are_refused() {
    let mut fixture = Fixture::start().await;
    let mismatched = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
    for (endpoint_type, error_code, message) in [
        (2, ErrorCode::MISMATCHED_ENDPOINT_TYPE, mismatched),
        (3, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type 3"),
        (0, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, "Unsupported endpoint type 0"),
    ] {
        let request = DescribeClusterRequest { endpoint_type, ..DescribeClusterRequest::default() };
        let expected = DescribeClusterResponse {
            error_code,
            error_message: Some(message.to_owned()),
            ..DescribeClusterResponse::default()
        };
        assert_eq!(fixture.ask(&request, 1).await, expected);
    }
    fixture.stop().await;
}
