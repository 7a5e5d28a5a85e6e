//! ListOffsets: where a partition begins and ends, and which offset a time has.

use std::collections::BTreeMap;

use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::ListOffsetsRequest;
use stratalog_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use tokio::time::Instant;

use super::{Client, Error, RETRY_PAUSE};

/// What is asked of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    Earliest,
    /// One past the last record that a consumer may see.
    Latest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    EarliestLocal,
    LatestTiered,
    /// The first record at or after this time, in milliseconds.
    Timestamp(i64),
}

impl OffsetSpec {
    fn wire(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::EarliestLocal => -4,
            OffsetSpec::LatestTiered => -5,
            OffsetSpec::Timestamp(time) => time.max(0),
        }
    }
}

/// An answer; `offset` is -1 where nothing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: i64,
}

impl Client {
    /// One offset for each of `asked`, in its order.
    pub async fn list_offsets(&mut self, topic: &str, asked: &[(i32, OffsetSpec)]) -> Result<Vec<FoundOffset>, Error> {
        let deadline = Instant::now() + self.config.request_timeout;
        loop {
            match self.list_offsets_once(topic, asked).await {
                Err(Error::Broker { code, .. }) if code.is_retriable() && Instant::now() < deadline => {
                    self.forget_leaders(topic);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    async fn list_offsets_once(&mut self, topic: &str, asked: &[(i32, OffsetSpec)]) -> Result<Vec<FoundOffset>, Error> {
        let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (partition, spec) in asked {
            let leader = self.leader(topic, *partition).await?;
            by_leader.entry(leader).or_default().push(ListOffsetsPartition {
                partition_index: *partition,
                timestamp: spec.wire(),
                ..Default::default()
            });
        }
        let mut found = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let request = ListOffsetsRequest {
                replica_id: -1,
                topics: vec![ListOffsetsTopic { name: topic.to_owned(), partitions }],
                timeout_ms: i32::try_from(self.config.request_timeout.as_millis()).unwrap_or(i32::MAX),
                ..Default::default()
            };
            let response = self.call(leader, &request, i16::MAX).await?;
            for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
                if partition.error_code != ErrorCode::NONE {
                    let what = format!("offsets of {topic}-{}", partition.partition_index);
                    return Err(Error::broker(what, partition.error_code, None));
                }
                let (offset, timestamp) = (partition.offset, partition.timestamp);
                let answer = FoundOffset { partition: partition.partition_index, offset, timestamp };
                found.insert(partition.partition_index, answer);
            }
        }
        let answer = |(partition, _): &(i32, OffsetSpec)| {
            let missing = || Error::UnknownPartition { topic: topic.to_owned(), partition: *partition };
            found.get(partition).copied().ok_or_else(missing)
        };
        asked.iter().map(answer).collect()
    }
}
