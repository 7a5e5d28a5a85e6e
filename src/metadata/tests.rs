use std::collections::BTreeMap;

use stratalog_types::{LeaderEpoch, PartitionIndex};

use super::*;

fn open(dir: &tempfile::TempDir) -> Metadata {
    Metadata::open(&dir.path().join("metadata.redb"), Broker { id: 1, rack: None }).unwrap()
}

fn new(name: &str, partitions: usize) -> NewTopic {
    let configs = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);
    NewTopic { name: name.to_owned(), assignment: vec![vec![1]; partitions], configs, created_at_ms: 7 }
}

/// Whatever rots, the store says so or what it says is right.
#[test]
fn a_flipped_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.redb");
    let (before, after) = {
        let metadata = open(&dir);
        for topic in 0..40 {
            metadata.create_topic(new(&format!("topic-{topic}"), 3)).unwrap();
        }
        let before = names(&metadata);
        metadata.create_topic(new("the-last", 1)).unwrap();
        (before, names(&metadata))
    };
    let bytes = std::fs::read(&path).unwrap();
    let (mut refused, mut right) = (0, 0);
    for at in (0..320).step_by(7).chain((320..bytes.len()).step_by(1999)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        match Metadata::open(&path, Broker { id: 1, rack: None }) {
            Err(error) => {
                assert!(error.to_string().contains("metadata"), "{error}");
                refused += 1;
            }
            Ok(metadata) => {
                let found = names(&metadata);
                assert!(found == after || found == before, "byte {at}: {} topics", found.len());
                right += 1;
            }
        }
    }
    assert!(refused > 0 && right > 0, "{refused} refused, {right} right");
}

fn names(metadata: &Metadata) -> Vec<(String, usize)> {
    let image = metadata.image();
    let mut topics: Vec<_> = image.topics().map(|topic| (topic.name.to_string(), topic.partitions.len())).collect();
    topics.sort();
    topics
}

#[test]
fn changes_survive_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = open(&dir);
    let kept = metadata.create_topic(new("kept", 2)).unwrap();
    let gone = metadata.create_topic(new("gone", 3)).unwrap();
    metadata.add_partitions(kept.id, 2, vec![vec![1]]).unwrap();
    metadata.raise_leader_epochs(&BTreeMap::from([(kept.id, vec![PartitionIndex(1)])])).unwrap();
    metadata.delete_topic(gone.id).unwrap();
    let block = metadata.next_producer_id_block().unwrap();
    metadata.set_node_configs(7, BTreeMap::from([("c".into(), "d".into())])).unwrap();
    metadata.set_broker_configs(BTreeMap::from([("a".into(), "b".into())])).unwrap();
    metadata.set_tier_owner_epoch(4).unwrap();
    let revision = metadata.image().revision;
    drop(metadata);

    let metadata = open(&dir);
    let image = metadata.image();
    assert_eq!(image.revision, revision);
    let topic = image.topic("kept").unwrap();
    assert_eq!((topic.id, topic.partitions.len(), topic.created_at_ms), (kept.id, 3, 7));
    let epochs: Vec<_> = topic.partitions.iter().map(|p| p.leader_epoch).collect();
    assert_eq!(epochs, [LeaderEpoch(0), LeaderEpoch(1), LeaderEpoch(0)]);
    assert_eq!(topic.configs["retention.ms"], "5");
    assert!(image.topic("gone").is_none() && image.topic_by_id(gone.id).is_none());
    assert_eq!(image.deleting[&gone.id], ("gone".into(), 3, false));
    assert_eq!(image.broker_configs["a"], "b");
    assert_eq!(image.node_configs[&7]["c"], "d");
    assert_eq!(image.tier_owner_epoch, Some(4));
    assert_eq!(metadata.next_producer_id_block().unwrap().first, block.end);
    metadata.finish_deletion(gone.id).unwrap();
    drop((metadata, image));
    assert!(open(&dir).image().deleting.is_empty());
}

#[test]
fn names_that_collide_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = open(&dir);
    let topic = metadata.create_topic(new("a.b", 1)).unwrap();
    assert!(matches!(metadata.create_topic(new("a.b", 1)), Err(Error::TopicExists(_))));
    assert!(matches!(metadata.create_topic(new("a_b", 1)), Err(Error::TopicCollides(_, other)) if other == "a.b"));
    metadata.delete_topic(topic.id).unwrap();
    metadata.create_topic(new("a_b", 1)).unwrap();
}

#[test]
fn illegal_names_are_told_apart() {
    use topic_name::{Illegal, validate};
    assert_eq!(validate(""), Err(Illegal::Empty));
    assert!(matches!(validate(".."), Err(Illegal::Dots(_))));
    assert!(matches!(validate(&"x".repeat(250)), Err(Illegal::TooLong(_))));
    assert!(matches!(validate("a/b"), Err(Illegal::Character(_))));
    assert!(matches!(validate("ä"), Err(Illegal::Character(_))));
    assert_eq!(validate(&"x".repeat(249)), Ok(()));
    assert_eq!(validate("a.b_c-D9"), Ok(()));
}
