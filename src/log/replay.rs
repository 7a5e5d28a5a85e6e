//! Producer state at an offset: the newest snapshot that reads, and the batches behind it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::append::marker_of;
use super::error::ReadError;
use super::names;
use super::producers::{Producers, decode_snapshot};
use super::scan::{BatchAt, HeaderScan};
use super::segment::Segment;
use super::transactions::AbortedTransaction;
use super::unreadable::tells_of_bytes;
use crate::platform::disk::DiskFile;

/// A control batch holds one small record; more is not read.
const CONTROL_BATCH_BYTES_MAX: usize = 64 << 10;

/// What a replay found.
#[derive(Default)]
pub struct Replayed {
    pub producers: Producers,
    /// By segment, the aborted transactions whose markers were met.
    pub aborted: BTreeMap<i64, Vec<AbortedTransaction>>,
    /// Snapshots whose bytes are not what was written, and those that gave none.
    pub damaged_snapshots: Vec<i64>,
    pub unreadable_snapshots: Vec<(i64, io::Error)>,
}

/// The producers as of `until`. `snapshots` are the offsets of those on disk, in order; none past `snapshot_max` is
/// used.
pub fn replay(
    path: &Path,
    segments: &BTreeMap<i64, Arc<Segment>>,
    snapshots: &[i64],
    snapshot_max: i64,
    until: i64,
) -> Result<Replayed, ReadError> {
    let mut replayed = Replayed::default();
    let mut from = segments.keys().next().copied().unwrap_or(until);
    for offset in snapshots.iter().rev().copied().filter(|offset| *offset <= snapshot_max) {
        let file = names::offset_file(path, offset, names::SNAPSHOT_SUFFIX);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if tells_of_bytes(&error) => {
                tracing::warn!(path = %file.display(), %error, "producer snapshot does not read; using an older one");
                replayed.unreadable_snapshots.push((offset, error));
                continue;
            }
            Err(source) => return Err(ReadError::Io { path: file, source }),
        };
        match decode_snapshot(&bytes) {
            Ok(entries) => {
                replayed.producers = Producers::restore(entries);
                from = offset;
                break;
            }
            Err(e) => {
                tracing::warn!(path = %file.display(), error = %e, "producer snapshot is damaged; using an older one");
                replayed.damaged_snapshots.push(offset);
            }
        }
    }
    let first = segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
    for (base, segment) in segments.range(first..).filter(|(base, _)| **base < until) {
        let (size_bytes, next_offset) = segment.end();
        if next_offset > from {
            replay_segment(&mut replayed, *base, segment, size_bytes, from..until)?;
        }
    }
    Ok(replayed)
}

fn replay_segment(
    replayed: &mut Replayed,
    base: i64,
    segment: &Segment,
    size_bytes: u64,
    range: std::ops::Range<i64>,
) -> Result<(), ReadError> {
    let log = segment.file().map_err(|e| segment.read_error(e.into()))?;
    let mut scan = HeaderScan::new(log.file(), 0, size_bytes);
    while let Some(at) = scan.next().map_err(|e| segment.read_error(e))? {
        let header = &at.header;
        if !range.contains(&header.base_offset) || !header.has_producer_id() {
            continue;
        }
        if !header.attributes.is_control_batch() {
            replayed.producers.note(header);
            continue;
        }
        let bytes = control_batch(&log, &at).map_err(|e| segment.read_error(e.into()))?;
        let Some(marker) = marker_of(&bytes, header) else { continue };
        if let Some(aborted) = replayed.producers.aborted_by(header, marker) {
            replayed.aborted.entry(base).or_default().push(aborted);
        }
        replayed.producers.note_marker(header, marker);
    }
    Ok(())
}

fn control_batch(log: &DiskFile, at: &BatchAt) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; at.header.batch_bytes().min(CONTROL_BATCH_BYTES_MAX)];
    let read = log.read_at(&mut bytes, at.position)?;
    bytes.truncate(read);
    Ok(bytes)
}
