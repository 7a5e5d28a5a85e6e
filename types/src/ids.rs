//! Ids: topics, partitions, producers, leaderships.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// Kafka's 128-bit topic id; shown as Kafka shows it: 22 characters of URL-safe base64 without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub Uuid);

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl TopicId {
    pub const ZERO: TopicId = TopicId(Uuid::nil());

    /// A random id that never starts with a dash, as Kafka's `Uuid.randomUuid` promises to command lines.
    pub fn random() -> TopicId {
        loop {
            let id = TopicId(Uuid::new_v4());
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    pub fn from_bytes(bytes: [u8; 16]) -> TopicId {
        TopicId(Uuid::from_bytes(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_nil()
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(*self.0.as_bytes());
        let mut text = [0u8; 22];
        for (i, slot) in text.iter_mut().enumerate() {
            let sextet = if i == 21 { (value << 4) & 0x3f } else { (value >> (122 - 6 * i)) & 0x3f };
            *slot = BASE64_URL[sextet as usize];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The text is not 22 characters of URL-safe base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTopicId;

impl fmt::Display for InvalidTopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a topic id: expected 22 characters of URL-safe base64")
    }
}

impl std::error::Error for InvalidTopicId {}

impl FromStr for TopicId {
    type Err = InvalidTopicId;

    fn from_str(text: &str) -> Result<TopicId, InvalidTopicId> {
        if text.len() != 22 {
            return Err(InvalidTopicId);
        }
        let mut value: u128 = 0;
        for (i, byte) in text.bytes().enumerate() {
            let sextet = BASE64_URL.iter().position(|c| *c == byte).ok_or(InvalidTopicId)? as u128;
            if i == 21 {
                if sextet & 0x0f != 0 {
                    return Err(InvalidTopicId);
                }
                value = (value << 2) | (sextet >> 4);
            } else {
                value = (value << 6) | sextet;
            }
        }
        Ok(TopicId::from_bytes(value.to_be_bytes()))
    }
}

/// A partition's number in its topic, 0 and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PartitionIndex(pub i32);

/// The number of a partition's leadership; -1 is Kafka's "unknown".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LeaderEpoch(pub i32);

impl LeaderEpoch {
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

/// An idempotent or transactional producer (KIP-98); -1 is "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProducerId(pub i64);

impl ProducerId {
    pub const NONE: ProducerId = ProducerId(-1);
}

/// The incarnation of a producer id; -1 is "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProducerEpoch(pub i16);

impl ProducerEpoch {
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
}

macro_rules! display_inner {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )* };
}
display_inner!(PartitionIndex, LeaderEpoch, ProducerId, ProducerEpoch);

/// A partition by topic name; displayed as `topic-partition`, the name of its directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: PartitionIndex,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition: PartitionIndex(partition) }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_id_text_is_kafkas() {
        // Kafka's Uuid.METADATA_TOPIC_ID is (0, 1) and prints as below.
        let id = TopicId::from_bytes(1u128.to_be_bytes());
        assert_eq!(id.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        for _ in 0..100 {
            let id = TopicId::random();
            assert_eq!(id.to_string().parse::<TopicId>(), Ok(id));
        }
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAR".parse::<TopicId>(), Err(InvalidTopicId));
    }
}
