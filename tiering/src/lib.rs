//! The tier: a partition's history in object storage.
//!
//! Owns objects, the manifest, the stores and the cold read path. Never parses a record and knows no socket: the log
//! hands it whole, checked batches with their offsets and times. The manifest protocol is written down in
//! `docs/FORMATS.md` and `docs/decisions/`.

pub mod batches;
pub mod cache;
pub mod cluster;
pub mod codec_pool;
pub mod entry;
#[cfg(test)]
mod fixtures;
pub mod format;
pub mod gc;
pub mod manifest;
pub mod object_key;
mod planted;
pub mod reader;
pub mod recovery;
pub mod retention;
pub mod scrub;
pub mod store;
#[cfg(test)]
mod testing;
pub mod upload;
