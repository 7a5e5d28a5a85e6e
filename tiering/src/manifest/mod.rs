//! The manifest: per partition, in the bucket, the only truth of what is tiered.
//!
//! Owns the head and its pages, to the byte (`head`, `page`), what may follow a head (`plan`, pure), how it is committed
//! (`commit`, every answer of the store), the leader's handle (`session`), what readers see (`view`), and the copy on
//! local disk (`local_copy`). Does not own objects, retention's policy or the log: `gc/`, `retention` and `recovery` sit
//! on top. Never deletes an object here.

pub mod ambient;
mod commit;
pub mod error;
pub mod head;
pub mod local_copy;
pub mod page;
pub mod pages;
pub mod plan;
pub mod session;
pub mod view;
pub mod wire;

pub use ambient::Ambient;
pub use error::ManifestError;
pub use head::{Head, Identity, Token};
pub use local_copy::COPY_FILE;
pub use page::Totals;
pub use pages::{PageCache, PageReader};
pub use plan::{Limits, Refusal, RetentionPolicy};
pub use session::{Committed, Grace, ManifestConfig, PartitionLog, PartitionManifest, PendingUpload, Retry};
pub use view::{Lookup, ManifestView, read_manifest};

#[cfg(test)]
mod tests;
