use std::collections::BTreeMap;

use bytes::Bytes;

use super::TopicPartitions;
use super::protocol::{
    Subscriber, assign_range, read_assignment, read_subscription, write_assignment, write_subscription,
};

fn subscriber(member_id: &str, instance_id: Option<&str>, topics: &[&str]) -> Subscriber {
    Subscriber {
        member_id: member_id.to_owned(),
        instance_id: instance_id.map(str::to_owned),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
    }
}

fn topics(all: &[(&str, &[i32])]) -> TopicPartitions {
    all.iter().map(|(topic, partitions)| ((*topic).to_owned(), partitions.to_vec())).collect()
}

#[test]
fn ranges_as_kafka_shares_them_out() {
    let partitions = topics(&[("a", &[0, 1, 2, 3, 4, 5, 6]), ("b", &[0, 1]), ("c", &[0])]);
    let members = [
        subscriber("m2", None, &["a", "b"]),
        subscriber("m1", None, &["a", "b", "gone"]),
        subscriber("m9", Some("i1"), &["a", "b", "c"]),
        subscriber("m0", None, &["gone"]),
    ];
    let expected: BTreeMap<String, TopicPartitions> = BTreeMap::from([
        ("m9".to_owned(), topics(&[("a", &[0, 1, 2]), ("b", &[0]), ("c", &[0])])),
        ("m1".to_owned(), topics(&[("a", &[3, 4]), ("b", &[1])])),
        ("m2".to_owned(), topics(&[("a", &[5, 6])])),
        ("m0".to_owned(), topics(&[])),
    ]);
    assert_eq!(assign_range(&members, &partitions), expected);
    assert_eq!(assign_range(&[], &partitions), BTreeMap::new());
}

#[test]
fn every_partition_has_one_owner_and_shares_differ_by_one() {
    for members in 1..12_usize {
        for count in 0..40_i32 {
            let all: Vec<Subscriber> = (0..members).map(|at| subscriber(&format!("m{at}"), None, &["t"])).collect();
            let partitions: Vec<i32> = (0..count).collect();
            let assigned = assign_range(&all, &topics(&[("t", &partitions)]));
            let shares: Vec<&[i32]> =
                assigned.values().map(|topics| topics.get("t").map_or(&[][..], Vec::as_slice)).collect();
            let mut owned: Vec<i32> = shares.concat();
            owned.sort_unstable();
            assert_eq!(owned, partitions, "{members} members");
            let (least, most) =
                (shares.iter().map(|share| share.len()).min(), shares.iter().map(|share| share.len()).max());
            assert!(most.unwrap_or(0) - least.unwrap_or(0) <= 1, "{members} members, {count} partitions: {shares:?}");
        }
    }
}

#[test]
fn members_bytes_are_kafkas() {
    let names = ["t".to_owned(), "u".to_owned()];
    let subscription = write_subscription(&names).expect("short");
    assert_eq!(&subscription[..], b"\0\0\0\0\0\x02\0\x01t\0\x01u\xff\xff\xff\xff");
    assert_eq!(read_subscription(subscription).expect("ours"), names);
    let assigned = topics(&[("t", &[0, 2])]);
    let bytes = write_assignment(&assigned).expect("short");
    assert_eq!(&bytes[..], b"\0\0\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x02\xff\xff\xff\xff");
    assert_eq!(read_assignment(bytes).expect("ours"), assigned);
    // A later version, with fields of its own behind.
    let later = Bytes::from_static(b"\0\x09\0\0\0\x01\0\x01t\xff\xff\xff\xff\x01\x02\x03");
    assert_eq!(read_subscription(later).expect("its first fields"), ["t"]);
    for broken in [&b""[..], b"\0", b"\0\0\x7f\xff\xff\xff", b"\0\0\0\0\0\x01\0\x09t"] {
        assert!(read_subscription(Bytes::from_static(broken)).is_err(), "{broken:?}");
        assert!(read_assignment(Bytes::from_static(broken)).is_err(), "{broken:?}");
    }
}
