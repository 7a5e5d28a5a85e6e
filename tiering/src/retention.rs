//! Retention of the tiered part: the manifest first, the objects after their grace.
//!
//! Retention acts on the union of both tiers, so the caller says what lies beyond the tiered end. Each commit moves the
//! log start and puts marks in the place of what expired; nothing is deleted here (`gc/marks`). A crash between two
//! commits leaves a smaller step done. When all that is tiered is gone, the local log's own expiry goes on by
//! DeleteRecords' path: durable locally, and the next commit carries it.

use stratalog_types::Offset;

use crate::manifest::error::ManifestError;
use crate::manifest::pages::Planned;
use crate::manifest::plan::{self, Refusal, RetentionPolicy};
use crate::manifest::session::{Committed, PartitionManifest};

/// Pages read for one step: memory stays bounded however much expires at once.
const PAGES_PER_STEP: usize = 32;

impl PartitionManifest {
    /// Moves the log start to where `policy` wants it, never past `committed_end` (the high watermark), as far as there is
    /// room for marks: after the next reap it goes on.
    pub async fn retention(&self, policy: &RetentionPolicy, committed_end: Offset) -> Result<Committed, ManifestError> {
        let inner = &self.0;
        let mut state = inner.state.lock().await;
        loop {
            let head = std::sync::Arc::clone(&state.active(inner)?.head);
            let planned =
                inner.pages.planned(|pages| plan::plan_retention(&head, policy, pages, PAGES_PER_STEP)).await?;
            let Planned::Next(target) = planned else { return Ok(inner.committed(&head)) };
            let target = target.min(committed_end);
            if target <= head.log_start_offset {
                return Ok(inner.committed(&head));
            }
            match inner.advance(&mut state, target).await {
                Ok(committed) if committed.log_start_offset < target => return Ok(committed),
                Ok(_) => {}
                Err(ManifestError::Refused(Refusal::MarksFull { .. })) => return Ok(inner.committed(&head)),
                Err(error) => return Err(error),
            }
        }
    }
}
