//! The bytes of a producer snapshot, Kafka's version 1. Big-endian.
//!
//! ```text
//! version i16 = 1
//! crc     u32   CRC-32C of what follows
//! count   i32
//! count times, 46 bytes:
//!   producer_id i64  producer_epoch i16  last_sequence i32  last_offset i64  offset_delta i32
//!   timestamp i64  coordinator_epoch i32  current_txn_first_offset i64 (-1: none)
//! ```
//!
//! Only the last batch of a producer is kept; recovery learns later ones from the log behind the snapshot.

use std::collections::VecDeque;

use super::{BatchNote, NO_SEQUENCE, ProducerState, Producers};

const VERSION: i16 = 1;
const ENTRY_BYTES: usize = 46;

/// Why bytes are no producer snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("version {0} is not known")]
    UnknownVersion(i16),
    #[error("the checksum does not match")]
    WrongCrc,
    #[error("the length does not match")]
    WrongLength,
}

pub fn encode_snapshot(producers: &Producers) -> Vec<u8> {
    let mut entries: Vec<&ProducerState> = producers.entries().collect();
    entries.sort_by_key(|entry| entry.producer_id);
    let mut body = Vec::with_capacity(4 + entries.len() * ENTRY_BYTES);
    body.extend_from_slice(&i32::try_from(entries.len()).unwrap_or(i32::MAX).to_be_bytes());
    for entry in entries {
        let none = BatchNote { last_sequence: NO_SEQUENCE, last_offset: -1, offset_delta: 0, timestamp: -1 };
        let last = entry.batches.back().unwrap_or(&none);
        body.extend_from_slice(&entry.producer_id.to_be_bytes());
        body.extend_from_slice(&entry.producer_epoch.to_be_bytes());
        body.extend_from_slice(&last.last_sequence.to_be_bytes());
        body.extend_from_slice(&last.last_offset.to_be_bytes());
        body.extend_from_slice(&last.offset_delta.to_be_bytes());
        body.extend_from_slice(&entry.last_timestamp.to_be_bytes());
        body.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        body.extend_from_slice(&entry.current_txn_first_offset.unwrap_or(-1).to_be_bytes());
    }
    let mut out = Vec::with_capacity(6 + body.len());
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    out.extend_from_slice(&body);
    out
}

pub fn decode_snapshot(bytes: &[u8]) -> Result<Vec<ProducerState>, SnapshotError> {
    entries_of(bytes)?.chunks_exact(ENTRY_BYTES).map(decode_entry).collect()
}

/// The first offset of the oldest transaction that is open in a snapshot.
pub fn first_undecided_offset(bytes: &[u8]) -> Result<Option<i64>, SnapshotError> {
    let entries = entries_of(bytes)?.chunks_exact(ENTRY_BYTES);
    let first_offsets = entries.filter_map(|entry| entry.last_chunk()).map(|bytes| i64::from_be_bytes(*bytes));
    Ok(first_offsets.filter(|first| *first >= 0).min())
}

fn entries_of(bytes: &[u8]) -> Result<&[u8], SnapshotError> {
    let (version, rest) = take::<2>(bytes)?;
    let version = i16::from_be_bytes(version);
    if version != VERSION {
        return Err(SnapshotError::UnknownVersion(version));
    }
    let (crc, body) = take::<4>(rest)?;
    if crc32c::crc32c(body) != u32::from_be_bytes(crc) {
        return Err(SnapshotError::WrongCrc);
    }
    let (count, entries) = take::<4>(body)?;
    let count = usize::try_from(i32::from_be_bytes(count)).map_err(|_| SnapshotError::WrongLength)?;
    if entries.len() == count.saturating_mul(ENTRY_BYTES) { Ok(entries) } else { Err(SnapshotError::WrongLength) }
}

fn decode_entry(bytes: &[u8]) -> Result<ProducerState, SnapshotError> {
    let (producer_id, rest) = take::<8>(bytes)?;
    let (producer_epoch, rest) = take::<2>(rest)?;
    let (last_sequence, rest) = take::<4>(rest)?;
    let (last_offset, rest) = take::<8>(rest)?;
    let (offset_delta, rest) = take::<4>(rest)?;
    let (timestamp, rest) = take::<8>(rest)?;
    let (coordinator_epoch, rest) = take::<4>(rest)?;
    let (txn_first_offset, _) = take::<8>(rest)?;
    let timestamp = i64::from_be_bytes(timestamp);
    let last_offset = i64::from_be_bytes(last_offset);
    let txn_first_offset = i64::from_be_bytes(txn_first_offset);
    let mut batches = VecDeque::new();
    if last_offset >= 0 {
        batches.push_back(BatchNote {
            last_sequence: i32::from_be_bytes(last_sequence),
            last_offset,
            offset_delta: i32::from_be_bytes(offset_delta),
            timestamp,
        });
    }
    Ok(ProducerState {
        producer_id: i64::from_be_bytes(producer_id),
        producer_epoch: i16::from_be_bytes(producer_epoch),
        coordinator_epoch: i32::from_be_bytes(coordinator_epoch),
        last_timestamp: timestamp,
        current_txn_first_offset: (txn_first_offset >= 0).then_some(txn_first_offset),
        batches,
    })
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), SnapshotError> {
    bytes.split_first_chunk().map(|(head, rest)| (*head, rest)).ok_or(SnapshotError::WrongLength)
}
