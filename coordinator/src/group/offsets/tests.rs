//! Packed offsets beside a plain map.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::{ByPartition, Committed};

/// Numbers around what a row can hold.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        0..1_000i64,
        Just(-1),
        Just((1 << 48) - 1),
        Just(1 << 48),
        Just(i64::MAX),
        Just(i64::MIN),
        1_600_000_000_000..1_900_000_000_000i64,
    ]
}

#[derive(Debug, Clone)]
enum Change {
    Put(i32, Box<(i64, i32, String, i64, i64, u128, i64)>),
    Remove(i32),
}

fn change() -> impl Strategy<Value = Change> {
    let partition = prop_oneof![0..12i32, Just(i32::MAX)];
    let metadata = prop_oneof![4 => Just(String::new()), 1 => "[a-z]{1,9}"];
    let expiry = prop_oneof![4 => Just(-1i64), 1 => number()];
    let put = (partition.clone(), (number(), -1..9i32, metadata, number(), expiry, 0..3u128, number()));
    prop_oneof![
        4 => put.prop_map(|(partition, value)| Change::Put(partition, Box::new(value))),
        1 => partition.prop_map(Change::Remove),
    ]
}

proptest! {
    #[test]
    fn packed_offsets_say_what_was_put(changes in vec(change(), 0..80)) {
        let mut packed = ByPartition::default();
        let mut model = BTreeMap::new();
        for change in &changes {
            match change {
                Change::Put(partition, value) => {
                    let (offset, leader_epoch, ref metadata, commit_timestamp_ms, expire_timestamp_ms, id, record_offset) =
                        **value;
                    let committed = Committed {
                        offset,
                        leader_epoch,
                        metadata,
                        commit_timestamp_ms,
                        expire_timestamp_ms,
                        topic_id: Uuid::from_u128(id),
                        record_offset,
                    };
                    prop_assert_eq!(packed.put(*partition, &committed), model.insert(*partition, committed).is_none());
                }
                Change::Remove(partition) => {
                    prop_assert_eq!(packed.remove(*partition), model.remove(partition).is_some());
                }
            }
            prop_assert_eq!(packed.is_empty(), model.is_empty());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), model.iter().map(|(p, c)| (*p, *c)).collect::<Vec<_>>());
        }
        for partition in (0..12).chain([i32::MAX, -1]) {
            prop_assert_eq!(packed.get(partition), model.get(&partition).copied());
        }
        let mut again = ByPartition::default();
        for (partition, committed) in model.iter().rev() {
            again.put(*partition, committed);
        }
        prop_assert!(again == packed, "what is equal does not depend on the order of commits");
    }
}
