//! The partition's half of the tier: what all partitions share (`shared`), one partition's tiered history (`tiered`),
//! the log's segments as upload sources (`source`), the tasks that move them up and forget them
//! (`service`), and what goes of a deleted topic (`deletion`).
//!
//! Order of effects for one segment: object stored and verified, manifest committed, its copy durable on local disk, and
//! only then may local bytes go. A crash between two leaves an object that no manifest names, or local bytes that are
//! tiered too: both harmless.

mod deletion;
mod error;
mod service;
mod shared;
mod source;
mod tiered;

pub use deletion::Deletions;
pub use error::TierError;
pub use service::{Service, ServiceHandle, chain, count_upload};
pub use shared::{OpenError, OwnerRecord, Tier};
pub use tiered::{Standing, Tiered, TopicFacts, UploadedSegment};
