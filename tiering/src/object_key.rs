//! The names of objects in the bucket, below the store's prefix.
//!
//! ```text
//! v1/cluster                                                the cluster's claim
//! v1/snapshots/<n>                                          cluster snapshots, n of 20 digits
//! v1/<topicId>/marker                                       the topic's life: live, deleted, purging
//! v1/<topicId>/<partition>/head                             the manifest's head
//! v1/<topicId>/<partition>/<base>-<epoch>-<uuid>.seg        a segment; base of 20 digits, so that names sort
//! v1/<topicId>/<partition>/<base>-<epoch>-<uuid>.page       a page of the manifest
//! ```
//!
//! Owns the names alone: no I/O. A name that does not parse is nobody's: the sweeper leaves it.

use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

use crate::entry::Entry;

/// The version of the layout, the first element of each key.
const LAYOUT: &str = "v1";
const OFFSET_DIGITS: usize = 20;
const UUID_CHARS: usize = 36;

/// A partition as its objects name it: by topic id, so that a topic created anew under an old name shares nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TierPartition {
    pub topic_id: TopicId,
    pub partition: PartitionIndex,
}

/// What a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKey {
    Cluster,
    Snapshot { number: u64 },
    Marker { topic_id: TopicId },
    Head { of: TierPartition },
    Segment { of: TierPartition, name: ObjectName },
    Page { of: TierPartition, name: ObjectName },
}

/// The unique part of a segment's or page's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectName {
    pub base_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub uuid: Uuid,
}

impl ObjectName {
    pub fn of(entry: &Entry) -> ObjectName {
        ObjectName { base_offset: entry.base_offset, leader_epoch: entry.leader_epoch, uuid: entry.uuid }
    }

    fn text(&self) -> String {
        format!("{:020}-{}-{}", self.base_offset.get(), self.leader_epoch, self.uuid.hyphenated())
    }

    /// Only the form that `text` writes is accepted, so that each object has one name.
    fn parse(text: &str) -> Option<ObjectName> {
        let (base, rest) = (text.get(..OFFSET_DIGITS)?, text.get(OFFSET_DIGITS..)?);
        let rest = rest.strip_prefix('-')?;
        let epoch_chars = rest.len().checked_sub(UUID_CHARS + 1)?;
        let uuid = rest.get(epoch_chars..)?.strip_prefix('-')?;
        let name = ObjectName {
            base_offset: Offset(base.parse().ok()?),
            leader_epoch: LeaderEpoch(rest.get(..epoch_chars)?.parse().ok()?),
            uuid: Uuid::try_parse(uuid).ok()?,
        };
        (name.base_offset.get() >= 0 && name.text() == text).then_some(name)
    }
}

impl TierPartition {
    /// The prefix of all this partition's keys, with the closing slash.
    pub fn prefix(&self) -> String {
        format!("{LAYOUT}/{}/{}/", self.topic_id, self.partition)
    }

    pub fn head(&self) -> String {
        format!("{LAYOUT}/{}/{}/head", self.topic_id, self.partition)
    }

    pub fn segment(&self, name: &ObjectName) -> String {
        format!("{LAYOUT}/{}/{}/{}.seg", self.topic_id, self.partition, name.text())
    }

    pub fn page(&self, name: &ObjectName) -> String {
        format!("{LAYOUT}/{}/{}/{}.page", self.topic_id, self.partition, name.text())
    }

    /// The key of a manifest entry's object.
    pub fn segment_of(&self, entry: &Entry) -> String {
        self.segment(&ObjectName::of(entry))
    }
}

impl std::fmt::Display for TierPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}

pub fn cluster() -> String {
    format!("{LAYOUT}/cluster")
}

pub fn snapshot(number: u64) -> String {
    format!("{LAYOUT}/snapshots/{number:020}")
}

pub fn marker(topic_id: TopicId) -> String {
    format!("{LAYOUT}/{topic_id}/marker")
}

/// The prefix of all keys of a topic, with the closing slash.
pub fn topic_prefix(topic_id: TopicId) -> String {
    format!("{LAYOUT}/{topic_id}/")
}

/// The prefix of everything, with the closing slash.
pub fn root_prefix() -> String {
    format!("{LAYOUT}/")
}

/// What a key names; `None` for a key that this version does not write.
pub fn parse(key: &str) -> Option<ObjectKey> {
    let mut parts = key.split('/');
    let (layout, second, third, fourth) = (parts.next()?, parts.next()?, parts.next(), parts.next());
    if layout != LAYOUT || parts.next().is_some() {
        return None;
    }
    match (second, third, fourth) {
        ("cluster", None, None) => Some(ObjectKey::Cluster),
        ("snapshots", Some(number), None) => {
            let parsed = number.parse().ok()?;
            (snapshot(parsed) == key).then_some(ObjectKey::Snapshot { number: parsed })
        }
        (topic, Some("marker"), None) => Some(ObjectKey::Marker { topic_id: topic.parse().ok()? }),
        (topic, Some(partition), Some(file)) => {
            let of =
                TierPartition { topic_id: topic.parse().ok()?, partition: PartitionIndex(partition.parse().ok()?) };
            if of.partition.0 < 0 || of.partition.to_string() != partition {
                return None;
            }
            if file == "head" {
                return Some(ObjectKey::Head { of });
            }
            if let Some(name) = file.strip_suffix(".seg") {
                return Some(ObjectKey::Segment { of, name: ObjectName::parse(name)? });
            }
            let name = file.strip_suffix(".page")?;
            Some(ObjectKey::Page { of, name: ObjectName::parse(name)? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn partition() -> TierPartition {
        TierPartition { topic_id: TopicId::from_bytes([7; 16]), partition: PartitionIndex(3) }
    }

    #[test]
    fn names_are_the_documented_ones_and_parse_back() {
        let name = ObjectName {
            base_offset: Offset(4711),
            leader_epoch: LeaderEpoch(12),
            uuid: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        };
        let key = partition().segment(&name);
        assert_eq!(key, "v1/BwcHBwcHBwcHBwcHBwcHBw/3/00000000000000004711-12-01234567-89ab-cdef-0123-456789abcdef.seg");
        assert_eq!(parse(&key), Some(ObjectKey::Segment { of: partition(), name }));
        assert_eq!(parse(&partition().page(&name)), Some(ObjectKey::Page { of: partition(), name }));
        assert_eq!(parse(&partition().head()), Some(ObjectKey::Head { of: partition() }));
        assert_eq!(parse(&cluster()), Some(ObjectKey::Cluster));
        assert_eq!(parse(&snapshot(9)), Some(ObjectKey::Snapshot { number: 9 }));
        let topic_id = partition().topic_id;
        assert_eq!(parse(&marker(topic_id)), Some(ObjectKey::Marker { topic_id }));
    }

    #[test]
    fn foreign_names_do_not_parse() {
        let good = "v1/BwcHBwcHBwcHBwcHBwcHBw/3/00000000000000004711-12-01234567-89ab-cdef-0123-456789abcdef.seg";
        assert!(parse(good).is_some());
        for bad in [
            "",
            "v2/cluster",
            "v1/cluster/x",
            "v1/snapshots/9",
            "v1/short/3/head",
            "v1/BwcHBwcHBwcHBwcHBwcHBw/03/head",
            "v1/BwcHBwcHBwcHBwcHBwcHBw/-3/head",
            &good.replace("4711", "471١"),
            &good.replace("-12-", "-+12-"),
            &good.replace("-12-", "--"),
            &good.replace("cdef.seg", "CDEF.seg"),
            &good.replace(".seg", ".tmp"),
            &good.replace("/3/", "/3/3/"),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(v1/)?\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_name_round_trips(base in 0i64.., epoch in any::<i32>(), id in any::<u128>()) {
            let name = ObjectName { base_offset: Offset(base), leader_epoch: LeaderEpoch(epoch), uuid: Uuid::from_u128(id) };
            prop_assert_eq!(parse(&partition().segment(&name)), Some(ObjectKey::Segment { of: partition(), name }));
        }
    }
}
