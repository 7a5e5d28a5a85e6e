//! DescribeQuorum: this node is its metadata's only voter. The log end is the metadata's revision.

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::describe_quorum::{
    self, DescribeQuorumRequest, DescribeQuorumResponse, Listener, ReplicaState, ResponsePartitionData,
    ResponseTopicData,
};

use super::node::Node;
use crate::net::RequestContext;

const METADATA_TOPIC: &str = "__cluster_metadata";
/// The first version that tells where the voters are (KIP-853).
const NODES_SINCE: i16 = 2;
/// Nobody else could ever have led.
const LEADER_EPOCH: i32 = 1;

pub async fn handle(
    node: Arc<Node>,
    context: RequestContext,
    request: DescribeQuorumRequest,
    version: i16,
) -> DescribeQuorumResponse {
    let mut found = false;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let known = topic.topic_name == METADATA_TOPIC && partition.partition_index == 0;
            found |= known;
            if known { quorum(&node) } else { unknown(partition.partition_index) }
        });
        ResponseTopicData { partitions: partitions.collect(), topic_name: topic.topic_name }
    });
    let topics = topics.collect();
    let (host, port) = node.advertised(&context);
    let listener = Listener { name: context.listener.to_string(), host, port: u16::try_from(port).unwrap_or(0) };
    let this = describe_quorum::Node { node_id: node.node_id(), listeners: vec![listener] };
    DescribeQuorumResponse {
        error_message: Some(String::new()),
        topics,
        nodes: if found && version >= NODES_SINCE { vec![this] } else { Vec::new() },
        ..DescribeQuorumResponse::default()
    }
}

fn quorum(node: &Node) -> ResponsePartitionData {
    let end = i64::try_from(node.image().revision).unwrap_or(i64::MAX);
    let now = node.clock.now_ms();
    let voter = ReplicaState {
        replica_id: node.node_id(),
        log_end_offset: end,
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
        ..ReplicaState::default()
    };
    ResponsePartitionData {
        partition_index: 0,
        error_message: Some(String::new()),
        leader_id: node.node_id(),
        leader_epoch: LEADER_EPOCH,
        high_watermark: end,
        current_voters: vec![voter],
        ..ResponsePartitionData::default()
    }
}

fn unknown(partition_index: i32) -> ResponsePartitionData {
    ResponsePartitionData {
        partition_index,
        error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        error_message: Some("This server does not host this topic-partition.".to_owned()),
        ..ResponsePartitionData::default()
    }
}
