//! OffsetForLeaderEpoch: where a leader epoch ended, so that a consumer notices a log that was cut (KIP-320).

use std::sync::Arc;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use stratalog_types::LeaderEpoch;

use super::node::Node;
use crate::net::RequestContext;
use crate::partition::Partition;

pub async fn handle(
    node: Arc<Node>,
    _context: RequestContext,
    request: OffsetForLeaderEpochRequest,
    _version: i16,
) -> OffsetForLeaderEpochResponse {
    let image = node.image();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let partition = node.partition(&image, &topic.topic, asked.partition);
            partition.map_or_else(|code| refusal(asked.partition, code), |partition| answer(&partition, asked))
        });
        OffsetForLeaderTopicResult { partitions: partitions.collect(), topic: topic.topic }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..OffsetForLeaderEpochResponse::default() }
}

fn refusal(partition: i32, error_code: ErrorCode) -> EpochEndOffset {
    EpochEndOffset { partition, error_code, ..EpochEndOffset::default() }
}

fn answer(partition: &Partition, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let epoch = partition.leader_epoch().0;
    match asked.current_leader_epoch {
        -1 => {}
        claimed if claimed < epoch => return refusal(asked.partition, ErrorCode::FENCED_LEADER_EPOCH),
        claimed if claimed > epoch => return refusal(asked.partition, ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => {}
    }
    // An epoch that is not known is no error: -1 says that nothing can be told.
    let known = partition.end_offset_for_epoch(LeaderEpoch(asked.leader_epoch));
    EpochEndOffset {
        error_code: ErrorCode::NONE,
        partition: asked.partition,
        leader_epoch: known.map_or(-1, |(epoch, _)| epoch.0),
        end_offset: known.map_or(-1, |(_, end)| end.0),
    }
}
