//! Against values of Apache Kafka 4.3.1's hash library.

use uuid::Uuid;

use super::{group_hash, topic_hash};
use crate::machine::{TopicInfo, Topics};

struct Racks(Vec<Vec<&'static str>>);

impl Topics for Racks {
    fn by_name(&self, _: &str) -> Option<TopicInfo> {
        None
    }

    fn by_id(&self, _: Uuid) -> Option<TopicInfo> {
        None
    }

    fn all(&self) -> Vec<TopicInfo> {
        Vec::new()
    }

    fn revision(&self) -> u64 {
        0
    }

    fn racks(&self, _: Uuid, partition: i32) -> Vec<String> {
        let racks = usize::try_from(partition).ok().and_then(|partition| self.0.get(partition));
        racks.into_iter().flatten().map(|rack| (*rack).to_owned()).collect()
    }
}

fn hash(high: i64, low: i64, name: &str, racks: Vec<Vec<&'static str>>) -> i64 {
    let topic = TopicInfo {
        name: name.into(),
        id: Uuid::from_u64_pair(high.cast_unsigned(), low.cast_unsigned()),
        partitions: i32::try_from(racks.len()).expect("few"),
    };
    topic_hash(&topic, &Racks(racks)).cast_signed()
}

#[test]
fn hashes_are_kafkas() {
    let racked = hash(1, 2, "foo", vec![vec!["b", "a"], vec![]]);
    let wide = hash(-3, 4, "zo\u{eb}.topic", vec![vec!["r\u{e4}ck"], vec!["x", "y"], vec!["z"]]);
    let plain = hash(5, 6, "plain", vec![Vec::new(); 120]);
    assert_eq!(
        [racked, wide, plain],
        [6_040_479_105_103_705_879, -123_578_988_775_667_332, -8_809_428_683_033_403_219]
    );
    let group = group_hash([racked, plain, wide].into_iter().map(i64::cast_unsigned));
    assert_eq!(group, 2_140_339_003_681_717_301);
    assert_eq!(group_hash(std::iter::empty()), 0);
}
