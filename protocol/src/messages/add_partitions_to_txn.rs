//! AddPartitionsToTxn (24): partitions join a transaction. Since version 4 it is spoken between brokers, several
//! transactions at a time, to add or just to verify (KIP-890); clients stay at version 3.

use stratalog_protocol_derive::Message;

use crate::ErrorCode;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 3)]
pub struct AddPartitionsToTxnRequest {
    #[field(since = 4)]
    pub transactions: Vec<AddPartitionsToTxnTransaction>,
    #[field(until = 3)]
    pub v3_and_below_transactional_id: String,
    #[field(until = 3)]
    pub v3_and_below_producer_id: i64,
    #[field(until = 3)]
    pub v3_and_below_producer_epoch: i16,
    #[field(until = 3)]
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub verify_only: bool,
    pub topics: Vec<AddPartitionsToTxnTopic>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnTopic {
    pub name: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=5, flexible = 3)]
pub struct AddPartitionsToTxnResponse {
    pub throttle_time_ms: i32,
    #[field(since = 4, ignorable)]
    pub error_code: ErrorCode,
    #[field(since = 4)]
    pub results_by_transaction: Vec<AddPartitionsToTxnResult>,
    #[field(until = 3)]
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnResult {
    pub transactional_id: String,
    pub topic_results: Vec<AddPartitionsToTxnTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnTopicResult {
    pub name: String,
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct AddPartitionsToTxnPartitionResult {
    pub partition_index: i32,
    pub partition_error_code: ErrorCode,
}
