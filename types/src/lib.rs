//! The nouns every floor shares: a type for each id and offset, so that one is never taken for another.
//!
//! Owns no behaviour beyond arithmetic, parsing and display. The wire crate keeps raw integers in its messages; handlers
//! convert at the border.

mod ids;
mod offset;

pub use ids::{LeaderEpoch, PartitionIndex, ProducerEpoch, ProducerId, TopicId, TopicPartition};
pub use offset::{Offset, Position};
