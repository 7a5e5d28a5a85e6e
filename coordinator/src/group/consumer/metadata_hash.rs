//! The hash over a group's subscribed topics, as Apache Kafka 4.1 and later have it (KIP-1101): a group whose stored
//! hash differs from the one computed now has to be assigned anew.
//!
//! ```text
//! topic  xxh3_64( u8 0, topic id most and least significant u64, name, i32 partitions,
//!                 for each partition: i32 index, for each rack in order: i32 length, rack )
//! group  xxh3_64( topic hash of each existing subscribed topic, in name order ), 0 for none
//! ```
//! Integers are little-endian; a string is its UTF-16 code units, each little-endian, then their number as i32.

use twox_hash::XxHash3_64;

use crate::machine::{TopicInfo, Topics};

/// The hash of one topic.
pub fn topic_hash(topic: &TopicInfo, topics: &dyn Topics) -> u64 {
    let mut bytes = vec![0u8];
    let (high, low) = topic.id.as_u64_pair();
    bytes.extend_from_slice(&high.to_le_bytes());
    bytes.extend_from_slice(&low.to_le_bytes());
    put_string(&mut bytes, &topic.name);
    bytes.extend_from_slice(&topic.partitions.to_le_bytes());
    for partition in 0..topic.partitions {
        bytes.extend_from_slice(&partition.to_le_bytes());
        let mut racks = topics.racks(topic.id, partition);
        racks.sort_unstable();
        for rack in &racks {
            bytes.extend_from_slice(&utf16_length(rack).to_le_bytes());
            put_string(&mut bytes, rack);
        }
    }
    XxHash3_64::oneshot(&bytes)
}

/// The hash of a group, from the hashes of its topics in name order.
pub fn group_hash(topic_hashes: impl Iterator<Item = u64>) -> i64 {
    let bytes: Vec<u8> = topic_hashes.flat_map(u64::to_le_bytes).collect();
    if bytes.is_empty() { 0 } else { i64::from_le_bytes(XxHash3_64::oneshot(&bytes).to_le_bytes()) }
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    for unit in text.encode_utf16() {
        bytes.extend_from_slice(&unit.to_le_bytes());
    }
    bytes.extend_from_slice(&utf16_length(text).to_le_bytes());
}

fn utf16_length(text: &str) -> i32 {
    i32::try_from(text.encode_utf16().count()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
