//! The purge of a deleted topic: everything below its prefix goes, the marker last.
//!
//! Order of effects, after the claim: each head becomes a tombstone (no commit lands on it any more), segments and pages
//! go, then, when the longest time of a late PUT has passed since this process knew of the claim, the heads, and when
//! LIST shows nothing else, the marker. A crash leaves the marker at purging: `TopicLife::resume_purge` begins again and
//! waits again. A late PUT that lands after the last LIST would leak, never lose.

use std::collections::HashSet;
use std::time::Duration;

use stratalog_types::{PartitionIndex, TopicId};

use super::life::{TopicError, TopicLife};
use super::marker::Marker;
use crate::manifest::head::{Head, HeadState};
use crate::object_key::{self, ObjectKey, TierPartition};
use crate::planted::{Bug, planted};
use crate::store::{Purpose, StoreError};

pub struct Purge {
    life: TopicLife,
    topic_id: TopicId,
    partitions: i32,
    claimed_at: Duration,
    tombstoned: HashSet<PartitionIndex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeProgress {
    /// Call again: more is there, or a head changed meanwhile.
    More {
        deleted: u64,
    },
    /// Nothing is left but heads and marker; call again when this much time has passed.
    Waiting {
        deleted: u64,
        remaining: Duration,
    },
    Done {
        deleted: u64,
    },
}

impl Purge {
    pub(super) fn new(life: TopicLife, marker: &Marker) -> Purge {
        let claimed_at = (life.ambient.monotonic)();
        let (topic_id, partitions) = (marker.topic_id, marker.partitions);
        Purge { life, topic_id, partitions, claimed_at, tombstoned: HashSet::new() }
    }

    /// One round of at most about `deletes_max` deletions. Any error may be followed by another call.
    pub async fn step(&mut self, deletes_max: u64) -> Result<PurgeProgress, TopicError> {
        if self.life.read(self.topic_id).await?.is_none() {
            return Ok(PurgeProgress::Done { deleted: 0 });
        }
        for partition in (0..self.partitions).map(PartitionIndex) {
            if !self.tombstone(partition).await? {
                return Ok(PurgeProgress::More { deleted: 0 });
            }
        }
        let waited = (self.life.ambient.monotonic)().saturating_sub(self.claimed_at);
        let remaining = self.life.grace.late_put.saturating_sub(waited);
        let remaining = if planted(Bug::MarkerDroppedEarly) { Duration::ZERO } else { remaining };
        let round = self.delete_round(deletes_max, remaining.is_zero()).await?;
        let deleted = round.deleted;
        if !round.complete || deleted > 0 {
            return Ok(PurgeProgress::More { deleted });
        }
        if !remaining.is_zero() {
            return Ok(PurgeProgress::Waiting { deleted, remaining });
        }
        let prefix = object_key::topic_prefix(self.topic_id);
        self.life.store.abort_stale_uploads(&prefix, 0).await.map_err(|source| self.error(source))?;
        self.delete(&object_key::marker(self.topic_id)).await?;
        Ok(PurgeProgress::Done { deleted })
    }

    /// Whether the partition's head takes no commit any more.
    async fn tombstone(&mut self, partition: PartitionIndex) -> Result<bool, TopicError> {
        if self.tombstoned.contains(&partition) {
            return Ok(true);
        }
        let of = TierPartition { topic_id: self.topic_id, partition };
        let (key, store) = (of.head(), &self.life.store);
        let (bytes, etag) = match store.get(&key, Purpose::Admin).await {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => {
                self.tombstoned.insert(partition);
                return Ok(true);
            }
            Err(source) => return Err(self.error(source)),
        };
        let corrupt = |malformed| TopicError::Corrupt { topic_id: self.topic_id, malformed };
        let mut head = Head::decode(&bytes).map_err(corrupt)?;
        let (by, ours) = (head.token.owner_epoch, self.life.owner_epoch);
        if by > ours || head.identity.cluster_id != self.life.cluster_id {
            let cluster_id = head.identity.cluster_id;
            return Err(TopicError::Fenced { topic_id: self.topic_id, cluster_id, by, ours });
        }
        if head.state == HeadState::Live {
            head.state = HeadState::Tombstone;
            head.version = head.version.saturating_add(1);
            head.nonce = (self.life.ambient.uuid)();
            head.token.owner_epoch = ours;
            let bytes = head.encode().map_err(corrupt)?;
            match store.put_if_match(&key, bytes.into(), &etag, Purpose::Admin).await {
                Ok(_) => {}
                Err(source @ (StoreError::Refused { .. } | StoreError::Unavailable { .. })) => {
                    return Err(self.error(source));
                }
                // Lost or in doubt: the next round reads it again.
                Err(_) => return Ok(false),
            }
        }
        self.tombstoned.insert(partition);
        Ok(true)
    }

    async fn delete_round(&mut self, deletes_max: u64, heads_too: bool) -> Result<Round, TopicError> {
        let prefix = object_key::topic_prefix(self.topic_id);
        let mut round = Round { deleted: 0, complete: true };
        let mut after: Option<String> = None;
        loop {
            let listed = self.life.store.list(&prefix, after.as_deref(), Purpose::Admin).await;
            let listed = listed.map_err(|source| self.error(source))?;
            let Some(last) = listed.last() else { return Ok(round) };
            after = Some(last.key.clone());
            for info in &listed {
                let ours = match object_key::parse(&info.key) {
                    Some(ObjectKey::Segment { .. } | ObjectKey::Page { .. }) => true,
                    Some(ObjectKey::Head { of }) => {
                        round.complete &= self.tombstone(of.partition).await?;
                        heads_too && round.complete
                    }
                    Some(ObjectKey::Cluster | ObjectKey::Snapshot { .. } | ObjectKey::Marker { .. }) | None => false,
                };
                if !ours {
                    continue;
                }
                if round.deleted >= deletes_max {
                    return Ok(Round { complete: false, ..round });
                }
                self.delete(&info.key).await?;
                round.deleted += 1;
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<(), TopicError> {
        match self.life.store.delete(key, Purpose::Admin).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.error(source)),
        }
    }

    fn error(&self, source: StoreError) -> TopicError {
        TopicError::Store { topic_id: self.topic_id, source }
    }
}

struct Round {
    deleted: u64,
    complete: bool,
}
