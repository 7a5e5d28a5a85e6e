//! Stratalog: a Kafka-compatible broker whose log settles into strata. The map of the house is `docs/ARCHITECTURE.md`.

pub mod admin;
pub mod api;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod coordinator;
pub mod log;
pub mod metadata;
pub mod metrics;
pub mod net;
pub mod partition;
pub mod platform;
pub mod security;
pub mod watermark;
