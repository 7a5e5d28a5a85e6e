//! The JSON answers, shared with the command line that reads them.

use serde::{Deserialize, Serialize};

/// `GET /v1/tier/ls`: what lies where.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TierListing {
    /// Where the tier is, for example `s3://bucket/prefix`.
    pub tier: String,
    pub partitions: Vec<TierPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TierPartition {
    pub topic: String,
    pub topic_id: String,
    pub partition: i32,
    pub log_start_offset: i64,
    pub local_log_start_offset: i64,
    /// One past the last tiered record; `log_start_offset` when nothing is tiered.
    pub tiered_end_offset: i64,
    pub log_end_offset: i64,
    pub local_bytes: u64,
    /// Oldest first.
    pub segments: Vec<TierSegment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TierSegment {
    pub base_offset: i64,
    /// Included.
    pub last_offset: i64,
    pub leader_epoch: i32,
    /// Bytes of the segment as the log had it.
    pub raw_bytes: u64,
    /// Bytes of the object.
    pub stored_bytes: u64,
    pub first_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub object: String,
    /// Whether the local copy is still there.
    pub local: bool,
}

/// `POST /v1/tier/flush`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlushReport {
    pub topic: String,
    /// Whether all that was in the log when the flush began is tiered; false when the caller did not wait.
    pub complete: bool,
    pub partitions: Vec<FlushedPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlushedPartition {
    pub partition: i32,
    pub segments_uploaded: u64,
    pub raw_bytes: u64,
    pub stored_bytes: u64,
    pub tiered_end_offset: i64,
    pub log_end_offset: i64,
}

/// `POST /v1/tier/evict`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvictReport {
    pub topic: String,
    pub partitions: Vec<EvictedPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvictedPartition {
    pub partition: i32,
    pub segments: u64,
    pub bytes: u64,
    pub local_log_start_offset: i64,
}

/// `POST /v1/tier/verify`: real bytes were read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerifyReport {
    pub topic: String,
    pub partitions: Vec<VerifiedPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerifiedPartition {
    pub partition: i32,
    pub objects: u64,
    pub chunks: u64,
    pub stored_bytes: u64,
    /// One sentence each, naming the object; empty when all is well.
    pub problems: Vec<String>,
}

impl VerifyReport {
    pub fn is_sound(&self) -> bool {
        self.partitions.iter().all(|partition| partition.problems.is_empty())
    }
}
