//! What goes from the tier: by retention, because the tier was turned off, or because no manifest names it.

use std::sync::PoisonError;
use std::time::Duration;

use stratalog_tiering::manifest::RetentionPolicy;
use stratalog_types::{LeaderEpoch, Offset};
use tokio::time::Instant;

use super::session::Standing;
use super::{TierError, Tiered};
use crate::partition::tier::service::DELETES_PER_ROUND;

/// Between two sweeps of a partition.
const SWEEP_INTERVAL: Duration = Duration::from_secs(24 * 3600);

impl Tiered {
    /// Moves the log start by total retention, then deletes what has waited out its grace.
    pub async fn retain(
        &self,
        leader_epoch: LeaderEpoch,
        policy: &RetentionPolicy,
        committed_end: Offset,
    ) -> Result<(), TierError> {
        let mut work = self.work.lock().await;
        self.ensure_session(&mut work, leader_epoch, Standing::KEEPING).await?;
        let log_start_offset = self.agreed_log_start();
        if log_start_offset > self.view().log_start_offset() {
            self.manifest.advance_log_start(log_start_offset).await?;
        }
        self.manifest.retention(policy, committed_end).await?;
        // Uploads need not wait for deletions.
        drop(work);
        self.clean_up().await
    }

    /// Deletes what has waited out its grace, and at times what no manifest names.
    async fn clean_up(&self) -> Result<(), TierError> {
        self.manifest.reap(DELETES_PER_ROUND).await?;
        self.sweep_if_due().await
    }

    /// A round for a topic that is not to forget anything: only what is marked already goes.
    pub async fn tidy(&self, leader_epoch: LeaderEpoch) -> Result<(), TierError> {
        {
            let mut work = self.work.lock().await;
            self.ensure_session(&mut work, leader_epoch, Standing::KEEPING).await?;
        }
        self.clean_up().await
    }

    /// The tier was turned off with `remote.log.delete.on.disable`: the log starts where the local copies start, and what
    /// lies below goes from the bucket.
    pub async fn forget(&self, leader_epoch: LeaderEpoch) -> Result<(), TierError> {
        let mut work = self.work.lock().await;
        let local_start = self.log.local_log_start_offset();
        if self.log.log_start_offset() < local_start {
            let log = self.log.clone();
            let moved = tokio::task::spawn_blocking(move || log.set_log_start_offset(local_start));
            moved.await.map_err(|_| TierError::CutOff)??;
        }
        if self.view().log_start_offset() < local_start {
            self.ensure_session(&mut work, leader_epoch, Standing::FORGETTING).await?;
            self.manifest.advance_log_start(local_start).await?;
        }
        if self.view().marks() > 0 {
            self.ensure_session(&mut work, leader_epoch, Standing::FORGETTING).await?;
            self.manifest.reap(DELETES_PER_ROUND).await?;
        }
        Ok(())
    }

    /// Removes what no manifest names, when the last sweep was long ago. A crash leaves orphans; nothing waits for them.
    pub async fn sweep_if_due(&self) -> Result<(), TierError> {
        {
            let mut swept_at = self.swept_at.lock().unwrap_or_else(PoisonError::into_inner);
            if swept_at.elapsed() < SWEEP_INTERVAL {
                return Ok(());
            }
            *swept_at = Instant::now();
        }
        let swept = self.manifest.sweep(false).await?;
        tracing::info!(of = %self.of, ?swept, "swept");
        Ok(())
    }
}
