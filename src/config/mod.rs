//! Configuration: floor 0.
//!
//! Owns the declaration of every key (`catalog`), reading it from a file, the environment and flags (`load`), the layers
//! that decide which value holds (`settings`), the typed views that the broker works with (`BrokerConfig`,
//! `TopicConfig`, `TierConfig`), and what DescribeConfigs tells (`describe`). Stores nothing and starts nothing: what is
//! set while running is kept by the metadata store and handed in.

mod broker;
pub mod catalog;
mod cleaner;
pub mod describe;
pub mod environment;
mod error;
mod group;
mod key;
mod listener;
mod load;
mod properties;
mod settings;
mod suggest;
#[cfg(test)]
mod tests;
mod tier;
mod topic;
mod value;

pub use broker::{BrokerConfig, LogConfig, LoggingConfig, NetworkConfig, TopicCreation};
pub use cleaner::{CLEANER_KEYS, CleanerConfig, SCRUB_KEY, scrub_bytes_per_second};
pub use error::{ConfigError, ConfigErrors};
pub use group::check_group_configs;
pub use key::{Key, Kind, Stance, Valid};
pub use listener::{Listener, join, split_address};
pub use load::{Loaded, Notice, Sources, load};
pub use properties::{Property, parse as parse_properties};
pub use settings::{Mode, Origin, Settings, Source};
pub use suggest::distance;
pub use tier::{S3Config, S3Credentials, TierConfig, TierLocation};
pub use topic::{
    Alteration, CompressionType, MessageTimestampType, TopicConfig, TopicOverrides, alter, without_effect,
};
pub use value::Value;
