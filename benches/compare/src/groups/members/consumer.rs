//! A member of a consumer group (KIP-848): it takes and gives up what it is told, and says so at once, as clients do.

use std::convert::Infallible;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use stratalog_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use uuid::Uuid;

use super::classic::REBALANCE_TIMEOUT_MS;
use super::{Plan, gone};
use crate::Outcome;
use crate::groups::board::Board;
use crate::groups::client::{Client, good};

pub async fn live(plan: &Plan, board: &Board, number: usize, mut client: Client) -> Outcome<Infallible> {
    let member_id = Uuid::new_v4().to_string();
    board.change(number, |seen| seen.member_id.clone_from(&member_id));
    let mut epoch = 0;
    let mut owned: Vec<i32> = Vec::new();
    let mut has_read = false;
    let mut to_tell = true;
    let mut next = tokio::time::Instant::now() + plan.first_heartbeat(number);
    loop {
        let request = if epoch == 0 {
            joining(&plan.group, &member_id, &plan.topic)
        } else {
            let owned = to_tell.then(|| vec![TopicPartitions { topic_id: plan.topic_id, partitions: owned.clone() }]);
            quiet(&plan.group, &member_id, epoch, owned)
        };
        let response = client.ask(&request, 1).await?;
        if gone(response.error_code) {
            (epoch, to_tell) = (0, true);
            owned.clear();
            continue;
        }
        good("ConsumerGroupHeartbeat", response.error_code)?;
        epoch = response.member_epoch;
        let assigned = assigned(&response);
        to_tell = assigned.as_ref().is_some_and(|assigned| *assigned != owned);
        owned = assigned.unwrap_or(owned);
        if !has_read && let Some(partition) = owned.first() {
            plan.fetch(&mut client, *partition).await?;
            has_read = true;
            board.change(number, |seen| seen.fetched_at = Some(std::time::Instant::now()));
        }
        board.change(number, |seen| (seen.epoch, seen.partitions_owned) = (epoch, owned.len()));
        if !to_tell {
            tokio::time::sleep_until(next).await;
            next = tokio::time::Instant::now() + plan.heartbeat;
        }
    }
}

fn assigned(response: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    let topics = &response.assignment.as_ref()?.topic_partitions;
    let mut partitions = topics.iter().flat_map(|topic| topic.partitions.iter().copied()).collect::<Vec<_>>();
    partitions.sort_unstable();
    Some(partitions)
}

pub fn joining(group: &str, member_id: &str, topic: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
        subscribed_topic_names: Some(vec![topic.to_owned()]),
        ..quiet(group, member_id, 0, Some(Vec::new()))
    }
}

/// A heartbeat that changes nothing, unless it says what the member owns now.
pub fn quiet(
    group: &str,
    member_id: &str,
    member_epoch: i32,
    topic_partitions: Option<Vec<TopicPartitions>>,
) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: member_id.to_owned(),
        member_epoch,
        topic_partitions,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

pub async fn leave(client: &mut Client, group: &str, member_id: &str) -> Outcome<()> {
    let response = client.ask(&quiet(group, member_id, -1, None), 1).await?;
    // One that was fenced meanwhile has left too.
    if response.error_code == ErrorCode::UNKNOWN_MEMBER_ID { Ok(()) } else { good("leaving", response.error_code) }
}
