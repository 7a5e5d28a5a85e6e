//! Moves of the marker, each one compare-and-swap through every answer of the store.

use std::sync::Arc;

use stratalog_types::TopicId;
use uuid::Uuid;

use super::marker::{Marker, MarkerState};
use super::purge::Purge;
use crate::manifest::ambient::Ambient;
use crate::manifest::session::{Grace, Retry};
use crate::manifest::wire::Malformed;
use crate::object_key;
use crate::planted::{Bug, planted};
use crate::store::{Etag, Purpose, Store, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error("the store gave no usable answer for the marker of topic {topic_id}")]
    Store { topic_id: TopicId, source: StoreError },
    #[error("the marker of topic {topic_id} is damaged: {malformed}")]
    Corrupt { topic_id: TopicId, malformed: Malformed },
    #[error("the marker of topic {topic_id} could not be changed in {attempts} attempts")]
    Contended { topic_id: TopicId, attempts: u32 },
    /// Stop all work: another owner has the bucket.
    #[error("topic {topic_id} belongs to owner epoch {by} of cluster {cluster_id}, ours is {ours}")]
    Fenced { topic_id: TopicId, cluster_id: String, by: u64, ours: u64 },
    #[error("topic {topic_id} is being purged: it cannot be brought back")]
    Purging { topic_id: TopicId },
    /// The deletion that was named is not the current one: it was undone.
    #[error("topic {topic_id} is not in the deletion that was named")]
    OtherDeletion { topic_id: TopicId },
    #[error("topic {topic_id} has no marker")]
    Missing { topic_id: TopicId },
}

/// One deletion of a topic: undone or purged by this name, so that an old decision never meets a new deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    pub topic_id: TopicId,
    pub version: u64,
    pub nonce: Uuid,
}

/// The markers of the topics that this cluster owns. Cheap to clone.
#[derive(Clone)]
pub struct TopicLife {
    pub(super) store: Arc<dyn Store>,
    pub(super) ambient: Arc<Ambient>,
    pub(super) cluster_id: String,
    pub(super) owner_epoch: u64,
    pub(super) grace: Grace,
    pub(super) retry: Retry,
}

/// What a move makes of the marker that it found.
pub(super) enum Move {
    Write(Marker),
    Already,
}

impl TopicLife {
    pub fn new(
        store: Arc<dyn Store>,
        ambient: Arc<Ambient>,
        cluster_id: String,
        owner_epoch: u64,
        grace: Grace,
        retry: Retry,
    ) -> TopicLife {
        TopicLife { store, ambient, cluster_id, owner_epoch, grace, retry }
    }

    pub async fn read(&self, topic_id: TopicId) -> Result<Option<Marker>, TopicError> {
        Ok(self.get(topic_id).await?.map(|(marker, _)| marker))
    }

    /// Writes the marker of a new topic. Repeating it is harmless.
    pub async fn create(&self, topic_id: TopicId, topic_name: &str, partitions: i32) -> Result<Marker, TopicError> {
        self.transit(topic_id, |found| match found {
            None => Ok(Move::Write(self.fresh(topic_id, topic_name, partitions))),
            Some(marker) if marker.state == MarkerState::Purging => Err(TopicError::Purging { topic_id }),
            Some(marker) if marker.state == MarkerState::Deleted => Err(TopicError::OtherDeletion { topic_id }),
            Some(marker) if marker.partitions < partitions => Ok(Move::Write(Marker { partitions, ..marker.clone() })),
            Some(_) => Ok(Move::Already),
        })
        .await
    }

    /// Live to deleted. Repeating it names the same deletion.
    pub async fn delete(&self, topic_id: TopicId, topic_name: &str, partitions: i32) -> Result<Deletion, TopicError> {
        let deleted_at = (self.ambient.wall_ms)();
        let marker = self
            .transit(topic_id, |found| {
                let marker = match found {
                    None => self.fresh(topic_id, topic_name, partitions),
                    Some(marker) if marker.state != MarkerState::Live => return Ok(Move::Already),
                    Some(marker) => marker.clone(),
                };
                let partitions = marker.partitions.max(partitions);
                Ok(Move::Write(Marker { state: MarkerState::Deleted, deleted_at, partitions, ..marker }))
            })
            .await?;
        Ok(Deletion { topic_id, version: marker.version, nonce: marker.nonce })
    }

    /// Deleted to live, until the purge has claimed it.
    pub async fn undelete(&self, deletion: &Deletion) -> Result<Marker, TopicError> {
        let topic_id = deletion.topic_id;
        self.transit(topic_id, |found| match found {
            None => Err(TopicError::Missing { topic_id }),
            Some(marker) => match marker.state {
                MarkerState::Live => Ok(Move::Already),
                MarkerState::Purging => Err(TopicError::Purging { topic_id }),
                MarkerState::Deleted if !deletion.is(marker) => Err(TopicError::OtherDeletion { topic_id }),
                MarkerState::Deleted => {
                    Ok(Move::Write(Marker { state: MarkerState::Live, deleted_at: -1, ..marker.clone() }))
                }
            },
        })
        .await
    }

    /// Claims a deletion for good. Call it when the topic's metadata is gone and its leaders have stopped.
    pub async fn purge(&self, deletion: &Deletion) -> Result<Purge, TopicError> {
        let topic_id = deletion.topic_id;
        if planted(Bug::PurgeWithoutCas) {
            let marker = self.read(topic_id).await?.ok_or(TopicError::Missing { topic_id })?;
            return Ok(Purge::new(self.clone(), &marker));
        }
        let marker = self
            .transit(topic_id, |found| match found {
                None => Err(TopicError::Missing { topic_id }),
                Some(marker) => match marker.state {
                    MarkerState::Purging => Ok(Move::Already),
                    MarkerState::Deleted if deletion.is(marker) => {
                        Ok(Move::Write(Marker { state: MarkerState::Purging, ..marker.clone() }))
                    }
                    MarkerState::Deleted | MarkerState::Live => Err(TopicError::OtherDeletion { topic_id }),
                },
            })
            .await?;
        Ok(Purge::new(self.clone(), &marker))
    }

    /// Goes on with a purge that a crash interrupted; `None` when the topic is not being purged.
    pub async fn resume_purge(&self, topic_id: TopicId) -> Result<Option<Purge>, TopicError> {
        let marker = self.read(topic_id).await?;
        let purging = marker.filter(|marker| marker.state == MarkerState::Purging);
        Ok(purging.map(|marker| Purge::new(self.clone(), &marker)))
    }

    fn fresh(&self, topic_id: TopicId, topic_name: &str, partitions: i32) -> Marker {
        Marker {
            state: MarkerState::Live,
            version: 0,
            nonce: Uuid::nil(),
            owner_epoch: self.owner_epoch,
            cluster_id: self.cluster_id.clone(),
            topic_id,
            topic_name: topic_name.to_owned(),
            partitions,
            deleted_at: -1,
        }
    }

    async fn get(&self, topic_id: TopicId) -> Result<Option<(Marker, Etag)>, TopicError> {
        let (bytes, etag) = match self.store.get(&object_key::marker(topic_id), Purpose::ManifestRead).await {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(TopicError::Store { topic_id, source }),
        };
        let marker = Marker::decode(&bytes).map_err(|malformed| TopicError::Corrupt { topic_id, malformed })?;
        if marker.owner_epoch > self.owner_epoch || marker.cluster_id != self.cluster_id {
            let (by, ours) = (marker.owner_epoch, self.owner_epoch);
            return Err(TopicError::Fenced { topic_id, cluster_id: marker.cluster_id, by, ours });
        }
        Ok(Some((marker, etag)))
    }

    /// Reads, moves, writes; after any doubt reads again. The answer is the marker as committed.
    async fn transit(
        &self,
        topic_id: TopicId,
        step: impl Fn(Option<&Marker>) -> Result<Move, TopicError>,
    ) -> Result<Marker, TopicError> {
        let key = object_key::marker(topic_id);
        let mut sent: Option<Uuid> = None;
        for attempt in 0..self.retry.attempts_max {
            let found = self.get(topic_id).await?;
            if let Some((marker, _)) = &found
                && Some(marker.nonce) == sent
            {
                return Ok(marker.clone());
            }
            let mut next = match (step(found.as_ref().map(|(marker, _)| marker))?, &found) {
                (Move::Write(next), _) => next,
                (Move::Already, Some((marker, _))) => return Ok(marker.clone()),
                (Move::Already, None) => return Err(TopicError::Missing { topic_id }),
            };
            if !planted(Bug::MarkerWithoutNonce) {
                next.version = next.version.saturating_add(1);
                next.nonce = (self.ambient.uuid)();
                sent = Some(next.nonce);
            }
            next.owner_epoch = self.owner_epoch;
            let bytes = next.encode().map_err(|malformed| TopicError::Corrupt { topic_id, malformed })?;
            let answer = match &found {
                Some((_, etag)) => self.store.put_if_match(&key, bytes.into(), etag, Purpose::Admin).await,
                None => self.store.put_create(&key, bytes.into(), Purpose::Admin).await,
            };
            match answer {
                Ok(_) => return Ok(next),
                Err(source @ StoreError::Refused { .. }) => return Err(TopicError::Store { topic_id, source }),
                Err(_) => crate::manifest::session::back_off(&self.ambient, self.retry, attempt).await,
            }
        }
        Err(TopicError::Contended { topic_id, attempts: self.retry.attempts_max })
    }
}

impl Deletion {
    fn is(&self, marker: &Marker) -> bool {
        marker.version == self.version && marker.nonce == self.nonce
    }
}
