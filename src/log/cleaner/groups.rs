//! Which segments are cleaned into one: as many neighbours as fit a segment's limits, oldest first.

use std::sync::Arc;

use crate::log::segment::Segment;

/// What one segment may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub segment_bytes: u64,
    pub index_bytes: u64,
}

/// A segment as grouping sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sized {
    pub base_offset: i64,
    pub log_bytes: u64,
    pub offset_index_bytes: u64,
    pub time_index_bytes: u64,
}

impl Sized {
    pub fn of(segment: &Segment) -> std::io::Result<Sized> {
        let (offsets, times) = segment.index_entries()?;
        Ok(Sized {
            base_offset: segment.base_offset,
            log_bytes: segment.size_bytes(),
            offset_index_bytes: offsets * 8,
            time_index_bytes: times * 12,
        })
    }
}

/// Lengths of the groups, in order. `end` is one past the last offset that `segments` may hold.
pub fn lengths(segments: &[Sized], limits: Limits, end: i64) -> Vec<usize> {
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some((first, mut after)) = rest.split_first() {
        let mut sum = *first;
        let mut length = 1;
        while let Some((next, behind)) = after.split_first() {
            let last_offset = behind.first().map_or(end, |segment| segment.base_offset).saturating_sub(1);
            // An empty one adds nothing, however far away it is.
            let in_range = next.log_bytes == 0 || last_offset.saturating_sub(first.base_offset) <= i64::from(i32::MAX);
            let joined = Sized {
                base_offset: first.base_offset,
                log_bytes: sum.log_bytes + next.log_bytes,
                offset_index_bytes: sum.offset_index_bytes + next.offset_index_bytes,
                time_index_bytes: sum.time_index_bytes + next.time_index_bytes,
            };
            let fits = joined.log_bytes <= limits.segment_bytes
                && joined.offset_index_bytes <= limits.index_bytes
                && joined.time_index_bytes <= limits.index_bytes;
            if !(in_range && fits) {
                break;
            }
            (sum, after) = (joined, behind);
            length += 1;
        }
        groups.push(length);
        rest = rest.get(length..).unwrap_or_default();
    }
    groups
}

/// The segments of each group.
pub fn split(segments: &[Arc<Segment>], limits: Limits, end: i64) -> std::io::Result<Vec<&[Arc<Segment>]>> {
    let sized = segments.iter().map(|segment| Sized::of(segment)).collect::<std::io::Result<Vec<Sized>>>()?;
    let mut rest = segments;
    let mut groups = Vec::new();
    for length in lengths(&sized, limits, end) {
        let (group, after) = rest.split_at(length.min(rest.len()));
        groups.push(group);
        rest = after;
    }
    Ok(groups)
}
