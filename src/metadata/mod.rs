//! What the cluster knows: topics, partitions, configs, id blocks.
//!
//! Owns the immutable `Image` that every request reads, and the changes to it. A change is durable in the store before
//! the image shows it; a crash between the two shows the change after the restart. Does not know logs or sockets.
//!
//! One node keeps it in an embedded store (`redb`); the store's operations are those etcd offers, so that a cluster's
//! back end can stand behind the same changes.

mod changes;
mod file;
mod image;
mod record;
mod store;
pub mod topic_name;

pub use changes::{Error, Metadata, NewTopic, ProducerIdBlock};
pub use image::{Broker, Image, Partition, Topic};
pub use store::{Identity, StoreError};

#[cfg(test)]
mod tests;
