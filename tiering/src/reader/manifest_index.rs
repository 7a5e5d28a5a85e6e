//! The manifest as the reader sees it.

use std::sync::Arc;

use futures::future::BoxFuture;
use stratalog_types::Offset;

use super::{IndexError, SegmentIndex};
use crate::entry::Entry;
use crate::manifest::{Lookup, ManifestError, ManifestView};

/// No copy on disk and the bucket was not asked yet.
#[derive(Debug, thiserror::Error)]
#[error("nothing is known of the tier yet")]
struct NotKnown;

impl SegmentIndex for ManifestView {
    fn find(&self, offset: Offset) -> BoxFuture<'_, Result<Option<Entry>, IndexError>> {
        Box::pin(async move {
            let failed = |error: ManifestError| IndexError(Arc::new(error));
            match self.lookup(offset).await.map_err(failed)? {
                Lookup::Found(entry) => Ok(Some(entry)),
                Lookup::Beyond { .. } => Ok(None),
                Lookup::Unknown => Err(IndexError(Arc::new(NotKnown))),
                // Expired: what is left begins at the log start.
                Lookup::BelowLogStart { log_start_offset } => {
                    match self.lookup(log_start_offset).await.map_err(failed)? {
                        Lookup::Found(entry) => Ok(Some(entry)),
                        _ => Ok(None),
                    }
                }
            }
        })
    }
}
