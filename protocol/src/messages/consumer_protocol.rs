//! What members of classic consumer groups exchange through JoinGroup and SyncGroup. Each is preceded on the wire by
//! its version as an i16; a reader that knows fewer versions reads what it knows and ignores the rest.

use bytes::Bytes;
use stratalog_protocol_derive::Message;

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=3)]
pub struct ConsumerProtocolSubscription {
    pub topics: Vec<String>,
    #[field(default = None)]
    pub user_data: Option<Bytes>,
    #[field(since = 1, ignorable)]
    pub owned_partitions: Vec<TopicPartition>,
    #[field(since = 2, default = -1, ignorable)]
    pub generation_id: i32,
    #[field(since = 3, default = None, ignorable)]
    pub rack_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Message)]
pub struct TopicPartition {
    pub topic: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[message(versions = 0..=3)]
pub struct ConsumerProtocolAssignment {
    pub assigned_partitions: Vec<TopicPartition>,
    #[field(default = None)]
    pub user_data: Option<Bytes>,
}
