//! One closed segment after the other moves to the tier.

use std::sync::PoisonError;

use stratalog_tiering::entry::Entry;
use stratalog_tiering::format::{Sha256, TopicSection};
use stratalog_tiering::manifest::{Committed, ManifestError};
use stratalog_tiering::reader::ReplayError;
use stratalog_tiering::upload::SegmentUpload;
use stratalog_types::{LeaderEpoch, Offset};
use tokio::time::Instant;

use super::session::Standing;
use super::{FOOTER_WAIT, TierError, Tiered};
use crate::log::SegmentReader;
use crate::partition::tier::source;

/// A segment that was moved up.
#[derive(Debug, Clone)]
pub struct UploadedSegment {
    pub entry: Entry,
    pub committed: Committed,
}

impl Tiered {
    /// Moves the next closed segment up, if one is ready: below `committed_end` (high watermark and last stable offset).
    pub async fn upload_next(
        &self,
        leader_epoch: LeaderEpoch,
        committed_end: Offset,
    ) -> Result<Option<UploadedSegment>, TierError> {
        let mut work = self.work.lock().await;
        self.ensure_session(&mut work, leader_epoch, Standing::KEEPING).await?;
        let log_start_offset = self.agreed_log_start();
        let view = self.view();
        if log_start_offset > view.next_offset() {
            // DeleteRecords or local retention went past the tiered end: the next offset follows.
            self.manifest.advance_log_start(log_start_offset).await?;
        }
        let from = self.view().next_offset().max(log_start_offset);
        let local_start = self.log.local_log_start_offset();
        if local_start > from {
            return Err(TierError::Hole { from, to: local_start });
        }
        match self.log.closed_segment_beyond(from) {
            Some((end_offset, _)) if end_offset <= committed_end => {}
            Some(_) | None => return Ok(None),
        }
        // Where cleaning left that one without a batch from there on it is a later one.
        let log = self.log.clone();
        let opened = tokio::task::spawn_blocking(move || log.segment_for_upload(from)).await;
        let Some(segment) = opened.map_err(|_| TierError::CutOff)?? else { return Ok(None) };
        if segment.end_offset > committed_end {
            return Ok(None);
        }
        let result = self.upload(from, segment).await;
        if let Err(TierError::Manifest(ManifestError::Inactive { .. } | ManifestError::Fenced { .. })) = &result {
            work.session = None;
        }
        result.map(Some)
    }

    async fn upload(&self, from: Offset, segment: SegmentReader) -> Result<UploadedSegment, TierError> {
        let pending = self.manifest.begin_upload(from).await?;
        let (end, bytes_hint) = (segment.end_offset, segment.bytes);
        let (mut runs, aside) = source::open(segment);
        let previous_digest = self.chain_before(from).await?;
        let upload = SegmentUpload {
            topic: TopicSection {
                of: self.of,
                name: self.topic_name.to_string(),
                config: self.topic().configs.clone(),
            },
            name: pending.name(),
            end_offset: Some(end),
            raw_bytes_hint: bytes_hint,
            epochs: aside.epochs,
            aborted: aside.aborted,
            producer_snapshot: aside.producer_snapshot,
            may_have_holes: aside.may_have_holes,
            previous_digest,
            now_ms: (self.tier.ambient.wall_ms)(),
        };
        let uploaded = self.tier.writer.upload(upload, &mut runs).await?;
        let committed = self.manifest.commit_segment(&pending, uploaded.entry.clone(), self.agreed_log_start()).await?;
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = Some((end, uploaded.digest.chain()));
        Ok(UploadedSegment { entry: uploaded.entry, committed })
    }

    /// The chain digest of the segment that ends at `from`: after a restart its footer says it. Zeros where there is none.
    async fn chain_before(&self, from: Offset) -> Result<Sha256, TierError> {
        let known = *self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chain)) = known.filter(|(end, _)| *end == from) {
            return Ok(chain);
        }
        let last = self.view().last_entry().await?;
        let Some(entry) = last.filter(|entry| entry.end_offset == from) else { return Ok(Sha256([0; 32])) };
        match self.tier.replay.footer(self.of, &entry, Instant::now() + FOOTER_WAIT).await {
            Ok(Some(footer)) => Ok(footer.digest.chain()),
            Ok(None) => Err(TierError::NotInTime),
            Err(ReplayError::CorruptFooter { .. } | ReplayError::ObjectMissing { .. }) => {
                tracing::error!(of = %self.of, base_offset = %entry.base_offset, "damaged in the bucket: the chain of digests begins anew behind it");
                Ok(Sha256([0; 32]))
            }
            Err(error) => Err(error.into()),
        }
    }
}
