//! What a deleted topic leaves in the bucket and on disk goes, then the intent that the metadata keeps.
//!
//! Every step may be repeated after a crash. Where this broker has no tier, and the bucket may have something of the
//! topic, the intent stays for a start that has one: nothing else remembers those objects.

use std::collections::{HashMap, HashSet};

use stratalog_tiering::gc::topic::{Purge, PurgeProgress};
use stratalog_tiering::object_key;
use stratalog_tiering::store::Purpose;
use stratalog_types::TopicId;

use super::service::{DELETES_PER_ROUND, Service, chain};
use super::shared::Tier;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Deletions that a process is not done with.
#[derive(Default)]
pub struct Deletions {
    /// While they wait: the wait for late PUTs counts from the claim that this process made.
    purges: HashMap<TopicId, Purge>,
    /// Nothing is left of them here, and there is no tier to look at.
    kept: HashSet<TopicId>,
}

impl Service {
    /// A round over all topics that were deleted.
    pub async fn remove_all_deleted(&self) {
        let mut deletions = self.deletions.lock().await;
        let kept_before = deletions.kept.len();
        for (id, (name, partitions, tiered)) in self.metadata.image().deleting.clone() {
            let removed = match &self.tier {
                None if deletions.kept.contains(&id) => continue,
                None if tiered => self.remove_directories(id).await.map(|()| {
                    deletions.kept.insert(id);
                }),
                Some(tier) if tiered => self.purge(tier, &mut deletions, id, &name, partitions).await,
                None | Some(_) => self.finish_deletion(id).await,
            };
            if let Err(error) = removed {
                tracing::warn!(topic_id = %id, "deleted topic {name} is not purged yet: {}", chain(&*error));
            }
        }
        if deletions.kept.len() > kept_before {
            tracing::warn!(
                topics = deletions.kept.len(),
                "deleted topics may have objects in the tier, which is not configured: a start with it removes them"
            );
        }
    }

    /// A step towards an empty bucket; when it is, towards the end of the deletion.
    async fn purge(
        &self,
        tier: &Tier,
        deletions: &mut Deletions,
        id: TopicId,
        name: &str,
        partitions: i32,
    ) -> Result<(), Failure> {
        let mut purge = match deletions.purges.remove(&id) {
            Some(purge) => Some(purge),
            None => claim_purge(tier, id, name, partitions).await?,
        };
        while let Some(mut under_way) = purge.take() {
            match under_way.step(DELETES_PER_ROUND).await {
                Ok(PurgeProgress::More { .. }) => purge = Some(under_way),
                // Heads and marker stay for the longest time of a late PUT; a later round takes them.
                Ok(PurgeProgress::Waiting { .. }) => {
                    deletions.purges.insert(id, under_way);
                    return Ok(());
                }
                Ok(PurgeProgress::Done { .. }) => {}
                Err(error) => {
                    deletions.purges.insert(id, under_way);
                    return Err(error.into());
                }
            }
        }
        self.finish_deletion(id).await
    }

    async fn finish_deletion(&self, id: TopicId) -> Result<(), Failure> {
        self.remove_directories(id).await?;
        let metadata = self.metadata.clone();
        Ok(tokio::task::spawn_blocking(move || metadata.finish_deletion(id)).await??)
    }

    async fn remove_directories(&self, id: TopicId) -> Result<(), Failure> {
        let partitions = self.partitions.clone();
        Ok(tokio::task::spawn_blocking(move || partitions.remove_directories(id)).await??)
    }
}

/// `None`: nothing of the topic ever came to the bucket.
async fn claim_purge(tier: &Tier, id: TopicId, name: &str, partitions: i32) -> Result<Option<Purge>, Failure> {
    let life = tier.topic_life().await?;
    if let Some(purge) = life.resume_purge(id).await? {
        return Ok(Some(purge));
    }
    if tier.store.list(&object_key::topic_prefix(id), None, Purpose::Admin).await?.is_empty() {
        return Ok(None);
    }
    let deletion = life.delete(id, name, partitions).await?;
    Ok(Some(life.purge(&deletion).await?))
}
