//! Loads ahead of one sequential reader, over segment borders, until its window is full or the budget is spent.

use std::sync::Arc;

use super::loads::{GROUP_RAW_BYTES_MAX, ObjectRef};
use super::streams::{StreamId, Want};
use super::{Replay, ReplayError, SegmentIndex};
use crate::format::ChunkRow;
use crate::object_key::TierPartition;
use crate::store::Purpose;

/// Starts a filler; there is at most one for a stream.
pub(super) fn fill(replay: Replay, index: Arc<dyn SegmentIndex>, of: TierPartition, stream: StreamId) {
    tokio::spawn(async move {
        while let Some(want) = replay.streams.want(stream) {
            match step(&replay, &*index, of, stream, want).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    // The reader meets it itself when it gets there.
                    tracing::debug!(%error, partition = %of, offset = %want.from, "read-ahead stopped");
                    break;
                }
            }
        }
        replay.streams.stop(stream);
    });
}

/// Starts one group; false when there is nothing more to do for now.
async fn step(
    replay: &Replay,
    index: &dyn SegmentIndex,
    of: TierPartition,
    stream: StreamId,
    want: Want,
) -> Result<bool, ReplayError> {
    let Some(entry) = index.find(want.from).await? else { return Ok(false) };
    let object = ObjectRef::new(of, &entry);
    let footer = replay.footers.get(&object, &entry).await?;
    let Some(first) = footer.chunk_at(want.from) else {
        replay.streams.skip(stream, entry.end_offset.max(want.from.next()));
        return Ok(true);
    };
    let limit = want.bytes.min(GROUP_RAW_BYTES_MAX);
    let (mut rows, mut bytes): (Vec<(u32, ChunkRow)>, u64) = (Vec::new(), 0);
    for (chunk, row) in footer.chunks.iter().enumerate().skip(first) {
        let Ok(chunk) = u32::try_from(chunk) else { break };
        if !rows.is_empty() && bytes + u64::from(row.raw_bytes) > limit {
            break;
        }
        bytes += u64::from(row.raw_bytes);
        rows.push((chunk, *row));
    }
    let Some((_, last)) = rows.last() else { return Ok(false) };
    let end = if first + rows.len() == footer.chunks.len() { entry.end_offset } else { last.last_offset.next() };
    let Some(reserved) = replay.streams.reserve(bytes) else { return Ok(false) };
    // Reserved before the GET is sent. The flights are not awaited: they land in the cache.
    replay.loads.load(&object, &rows, Purpose::Prefetch);
    replay.streams.started(stream, end, bytes, reserved);
    Ok(true)
}
