//! Offsets that nobody needs any more, and groups that are nothing but their offsets (KIP-211).

use std::sync::Arc;

use super::classic::ExpireFrom;
use super::machine::{Group, GroupMachine};
use super::offsets::Committed;
use crate::machine::GroupConfig;
use crate::records::Record;

/// Tombstones of one pass; the next follows at once.
const TOMBSTONES_PER_PASS: usize = 5_000;

impl GroupMachine {
    /// Tombstones for what has expired. Answers also whether there may be more.
    pub(super) fn expire(&self, now_ms: i64, config: &GroupConfig) -> (Vec<Record>, bool) {
        let mut records = Vec::new();
        for (id, group) in &self.groups {
            if records.len() >= TOMBSTONES_PER_PASS {
                return (records, true);
            }
            if self.expire_offsets(id, group, now_ms, config, &mut records) && group.is_empty() {
                records.extend(group.tombstones(id));
            }
        }
        (records, false)
    }

    /// Whether nothing of the group's offsets is left.
    fn expire_offsets(
        &self,
        id: &Arc<str>,
        group: &Group,
        now_ms: i64,
        config: &GroupConfig,
        records: &mut Vec<Record>,
    ) -> bool {
        let mut all = !self.offsets.has_pending(id);
        let Some(topics) = self.offsets.of_group(id) else { return all };
        let from = group.offsets_expire();
        if from == ExpireFrom::Never {
            return false;
        }
        for (topic, partitions) in topics {
            if group.is_subscribed_to(topic) {
                all = false;
                continue;
            }
            for (partition, committed) in partitions.iter() {
                let expired = is_expired(committed, from, now_ms, config.offsets_retention_ms);
                if expired && !self.offsets.is_pending(id, topic, partition) {
                    records.push(tombstone(id, topic, partition));
                } else {
                    all = false;
                }
            }
        }
        all
    }
}

fn is_expired(committed: Committed<'_>, from: ExpireFrom, now_ms: i64, retention_ms: i64) -> bool {
    if committed.expire_timestamp_ms != -1 {
        return now_ms >= committed.expire_timestamp_ms;
    }
    let since_ms = match from {
        ExpireFrom::Commit => committed.commit_timestamp_ms,
        ExpireFrom::Empty { since_ms } => since_ms,
        ExpireFrom::Never => return false,
    };
    now_ms.saturating_sub(since_ms) >= retention_ms
}

/// An offset that is gone.
pub(super) fn tombstone(group: &str, topic: &str, partition: i32) -> Record {
    Record::OffsetCommit { group: group.to_owned(), topic: topic.to_owned(), partition, value: None }
}
