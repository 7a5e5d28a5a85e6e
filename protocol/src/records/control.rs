//! Control records: the markers that end transactions.
//!
//! ```text
//! key    version i16 = 0, type i16 (0 abort, 1 commit)
//! value  version i16 = 0, coordinator_epoch i32
//! ```

use bytes::Bytes;

use super::record::{NewRecord, RecordRef};
use super::{BatchBuilder, BuildError};

/// What a control record says; types that are not known are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlType(pub i16);

impl ControlType {
    pub const ABORT: ControlType = ControlType(0);
    pub const COMMIT: ControlType = ControlType(1);
    pub const LEADER_CHANGE: ControlType = ControlType(2);

    /// Reads the key of a control record.
    pub fn of_key(key: &[u8]) -> Option<ControlType> {
        let (version, rest) = key.split_first_chunk::<2>()?;
        let (kind, _) = rest.split_first_chunk::<2>()?;
        // A later version only adds fields.
        (i16::from_be_bytes(*version) >= 0).then_some(ControlType(i16::from_be_bytes(*kind)))
    }
}

/// The end of one transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTransactionMarker {
    pub committed: bool,
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    /// Reads a record of a control batch; `None` when it is another control record or malformed.
    pub fn of_record(record: &RecordRef<'_>) -> Option<EndTransactionMarker> {
        let committed = match ControlType::of_key(record.key?)? {
            ControlType::COMMIT => true,
            ControlType::ABORT => false,
            _ => return None,
        };
        let (version, rest) = record.value?.split_first_chunk::<2>()?;
        let (epoch, _) = rest.split_first_chunk::<4>()?;
        let coordinator_epoch = i32::from_be_bytes(*epoch);
        (i16::from_be_bytes(*version) >= 0).then_some(EndTransactionMarker { committed, coordinator_epoch })
    }

    /// The control batch that the partition leader appends: one record, transactional, without a sequence.
    pub fn batch(
        &self,
        base_offset: i64,
        timestamp: i64,
        producer_id: i64,
        producer_epoch: i16,
        leader_epoch: i32,
    ) -> Result<Bytes, BuildError> {
        let kind = if self.committed { ControlType::COMMIT } else { ControlType::ABORT };
        let kind = kind.0.to_be_bytes();
        let key = [0, 0, kind[0], kind[1]];
        let epoch = self.coordinator_epoch.to_be_bytes();
        let value = [0, 0, epoch[0], epoch[1], epoch[2], epoch[3]];
        let mut builder = BatchBuilder::new(base_offset)
            .producer(producer_id, producer_epoch, -1)
            .transactional()
            .control()
            .leader_epoch(leader_epoch);
        builder.append(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] })?;
        builder.build()
    }
}
