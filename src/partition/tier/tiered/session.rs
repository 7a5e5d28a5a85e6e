//! A leadership's session with the bucket: the head is fenced, the marker kept, and a log that disagrees with the tier goes
//! on at the tier's end.

use bytes::Bytes;
use stratalog_tiering::recovery::{EpochStart, Leadership, Reconcile, ReconcileCause, Started, lineage_agrees};
use stratalog_types::{LeaderEpoch, Offset};
use tokio::time::Instant;

use super::{FOOTER_WAIT, TierError, Tiered, Work};
use crate::log;

/// What is known of a log when its session begins.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// It was neither emptied, nor cut below what was synced.
    pub clean: bool,
    /// What the tier holds is to go.
    pub forgets_tier: bool,
}

impl Standing {
    pub(super) const KEEPING: Standing = Standing { clean: true, forgets_tier: false };
    pub(super) const FORGETTING: Standing = Standing { clean: true, forgets_tier: true };
}

impl Tiered {
    /// Fences the head under this leadership, once.
    ///
    /// A log that is not `clean` (emptied, or cut below what was synced) is judged against the fenced head, and restarts
    /// at the tier's end where it disagrees.
    pub(super) async fn ensure_session(
        &self,
        work: &mut Work,
        leader_epoch: LeaderEpoch,
        standing: Standing,
    ) -> Result<(), TierError> {
        self.keep_marker(work).await?;
        if work.session == Some(leader_epoch) {
            return Ok(());
        }
        let owner_epoch = self.tier.owner_epoch().await?;
        let leadership = Leadership {
            owner_epoch,
            leader_epoch,
            clean: standing.clean,
            log_end_offset: self.log.log_end_offset(),
            // Nothing was ever dropped locally for the tier's sake, so a missing head loses nothing.
            topic_is_new: self.log.local_log_start_offset() <= self.log.log_start_offset(),
        };
        match self.manifest.start(&leadership).await? {
            Started::Active { .. } => {
                work.session = Some(leader_epoch);
                Ok(())
            }
            Started::Fenced { .. } => Err(TierError::Fenced),
            Started::ReconcileNeeded(reconcile) => {
                self.reconcile(reconcile, standing).await?;
                self.manifest.reconciled().await?;
                work.session = Some(leader_epoch);
                Ok(())
            }
        }
    }

    /// Partition 0 keeps the topic's marker. Without it a bucket opened alone has the topic by its segments, so a marker
    /// that cannot be written now is tried again with the next call and stops nobody.
    async fn keep_marker(&self, work: &mut Work) -> Result<(), TierError> {
        let partitions = self.topic().partitions;
        if self.of.partition.0 != 0 || work.marked_partitions >= partitions {
            return Ok(());
        }
        let life = self.tier.topic_life().await?;
        match life.create(self.of.topic_id, &self.topic_name, partitions).await {
            Ok(_) => work.marked_partitions = partitions,
            Err(error) => tracing::debug!(of = %self.of, "topic marker not written: {error}"),
        }
        Ok(())
    }

    /// Begins this leadership's session, if it has not begun: for a log that is held until the tier was asked.
    pub async fn begin(&self, leader_epoch: LeaderEpoch, standing: Standing) -> Result<(), TierError> {
        let mut work = self.work.lock().await;
        self.ensure_session(&mut work, leader_epoch, standing).await
    }

    /// Compares the log with the tier and, where it ends too early or has other epochs, sets it aside and goes on at the
    /// tier's end with the epochs and producers of the newest footer. Not where the tier is to be forgotten: what the log
    /// held is in the tier alone then, and would go with it.
    async fn reconcile(&self, reconcile: Reconcile, standing: Standing) -> Result<(), TierError> {
        let Reconcile { cause, log_start_offset, next_offset, last_entry } = reconcile;
        // What was exposed once never goes back: DeleteRecords may have gone past what the head knows.
        let log_start_offset = log_start_offset.max(self.agreed_log_start());
        let next_offset = next_offset.max(log_start_offset);
        let Some(entry) = last_entry else {
            // Everything tiered has expired: only the offset is to be kept.
            return match cause {
                ReconcileCause::CompareEpochs => Ok(()),
                ReconcileCause::LogEndsBelowTier => {
                    self.restart_log(next_offset, log_start_offset, self.log.leader_epochs(), Bytes::new()).await
                }
            };
        };
        let deadline = Instant::now() + FOOTER_WAIT;
        let footer = self.tier.replay.footer(self.of, &entry, deadline).await?;
        let Some(footer) = footer else {
            return Err(TierError::NeedsReconcile { log_end_offset: self.log.log_end_offset(), next_offset });
        };
        let start_of = |epoch: LeaderEpoch, start_offset: Offset| EpochStart { leader_epoch: epoch, start_offset };
        let tiered: Vec<EpochStart> = footer.epochs.iter().map(|e| start_of(e.epoch, e.start_offset)).collect();
        let local: Vec<EpochStart> =
            self.log.leader_epochs().iter().map(|e| start_of(e.epoch, e.start_offset)).collect();
        let agrees = cause == ReconcileCause::CompareEpochs
            && lineage_agrees(&local, &tiered, entry.base_offset, entry.end_offset);
        if agrees {
            return Ok(());
        }
        if standing.forgets_tier {
            return Err(TierError::OnlyInTier { log_end_offset: self.log.log_end_offset(), next_offset });
        }
        let epochs: Vec<log::EpochStart> =
            footer.epochs.iter().map(|e| log::EpochStart { epoch: e.epoch, start_offset: e.start_offset }).collect();
        self.restart_log(next_offset, log_start_offset, epochs, footer.producer_snapshot.clone()).await
    }

    async fn restart_log(
        &self,
        next_offset: Offset,
        log_start_offset: Offset,
        epochs: Vec<log::EpochStart>,
        snapshot: Bytes,
    ) -> Result<(), TierError> {
        tracing::error!(
            of = %self.of, log_end_offset = %self.log.log_end_offset(), %next_offset,
            "the log lost synced records that the tier has: set aside as *.log.aside, it goes on at the tier's end"
        );
        let log = self.log.clone();
        let restarted = tokio::task::spawn_blocking(move || {
            log.restart_behind_tier(next_offset, log_start_offset, &epochs, &snapshot)
        });
        restarted.await.map_err(|_| TierError::CutOff)??;
        Ok(())
    }
}
