//! The marker: one object per topic that says whether it lives. Written by compare-and-swap only.
//!
//! ```text
//! "SLMK"  version u16  state u8 (0 live, 1 deleted, 2 purging)
//! marker_version u64  nonce 16  owner_epoch u64
//! cluster_id text  topic_id 16  topic_name text  partitions i32  deleted_at i64   (text: length u16, UTF-8)
//! crc32c u32 over all before it
//! ```
//! Its bytes are never equal twice, so a purge that was decided for one deletion cannot claim a later one.

use stratalog_types::TopicId;
use uuid::Uuid;

use crate::manifest::wire::{Malformed, Reader, Writer};

const MAGIC: &[u8; 4] = b"SLMK";
const CLUSTER_ID_BYTES_MAX: usize = 128;
const TOPIC_NAME_BYTES_MAX: usize = 249;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerState {
    Live,
    /// Can be undone.
    Deleted,
    /// The point of no return: objects are going.
    Purging,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub state: MarkerState,
    pub version: u64,
    pub nonce: Uuid,
    pub owner_epoch: u64,
    pub cluster_id: String,
    pub topic_id: TopicId,
    pub topic_name: String,
    pub partitions: i32,
    /// Milliseconds since the epoch, for people; -1 while live.
    pub deleted_at: i64,
}

impl Marker {
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        if self.cluster_id.len() > CLUSTER_ID_BYTES_MAX || self.topic_name.len() > TOPIC_NAME_BYTES_MAX {
            return Err(Malformed::Rule("a name is too long"));
        }
        let mut out = Writer::new(MAGIC);
        out.u8(match self.state {
            MarkerState::Live => 0,
            MarkerState::Deleted => 1,
            MarkerState::Purging => 2,
        });
        out.u64(self.version);
        out.uuid(&self.nonce);
        out.u64(self.owner_epoch);
        out.text(&self.cluster_id);
        out.uuid(&self.topic_id.0);
        out.text(&self.topic_name);
        out.i32(self.partitions);
        out.i64(self.deleted_at);
        Ok(out.finish())
    }

    pub fn decode(bytes: &[u8]) -> Result<Marker, Malformed> {
        let mut reader = Reader::open(bytes, MAGIC)?;
        let state = match reader.u8()? {
            0 => MarkerState::Live,
            1 => MarkerState::Deleted,
            2 => MarkerState::Purging,
            _ => return Err(Malformed::Rule("an unknown state")),
        };
        let marker = Marker {
            state,
            version: reader.u64()?,
            nonce: reader.uuid()?,
            owner_epoch: reader.u64()?,
            cluster_id: reader.text(CLUSTER_ID_BYTES_MAX)?,
            topic_id: TopicId(reader.uuid()?),
            topic_name: reader.text(TOPIC_NAME_BYTES_MAX)?,
            partitions: reader.i32()?,
            deleted_at: reader.i64()?,
        };
        reader.finish()?;
        Ok(marker)
    }
}
