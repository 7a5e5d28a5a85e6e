//! Round trips, golden files, and bytes that lie.

use proptest::prelude::*;
use stratalog_types::{LeaderEpoch, Offset};
use uuid::Uuid;

use super::{identity, partition};
use crate::cluster::Claim;
use crate::entry::Entry;
use crate::gc::topic::{Marker, MarkerState};
use crate::manifest::head::{HEAD_BYTES_MAX, Head, HeadState, Mark, MarkKind, Token};
use crate::manifest::page::{Items, Page, PageRef, Totals};
use crate::manifest::wire::Malformed;
use crate::object_key::ObjectName;

const HEAD: &[u8] = include_bytes!("../../../tests/golden/manifest-head-v1.bin");
const PAGE: &[u8] = include_bytes!("../../../tests/golden/manifest-page-v1.bin");
const PAGE_OF_PAGES: &[u8] = include_bytes!("../../../tests/golden/manifest-page-of-pages-v1.bin");
const MARKER: &[u8] = include_bytes!("../../../tests/golden/topic-marker-v1.bin");
const CLAIM: &[u8] = include_bytes!("../../../tests/golden/cluster-claim-v1.bin");

fn entry(number: i64) -> Entry {
    Entry {
        base_offset: Offset(number * 100),
        end_offset: Offset(number * 100 + 100),
        leader_epoch: LeaderEpoch(3),
        uuid: Uuid::from_u128(0xabcd_0000 + number as u128),
        object_bytes: 5_000_000_000 + number as u64,
        raw_bytes: 9_000_000_000,
        footer_position: 4_999_000_000,
        footer_bytes: 60_000,
        footer_crc: 0xdead_beef,
        min_timestamp: if number == 0 { -1 } else { number * 7 },
        max_timestamp: if number == 0 { -1 } else { number * 7 + 6 },
        committed_at: 1_700_000_000_000 + number,
        generation: number as u32,
    }
}

fn page() -> Page {
    let items = Items::Entries((0..3).map(entry).collect());
    Page { of: partition(), level: 0, uuid: Uuid::from_u128(1), items }
}

fn page_of_pages() -> Page {
    let (_, first) = page().seal(LeaderEpoch(4)).unwrap();
    let items = Items::Entries((3..5).map(entry).collect());
    let second = Page { of: partition(), level: 0, uuid: Uuid::from_u128(2), items };
    let (_, second) = second.seal(LeaderEpoch(5)).unwrap();
    Page { of: partition(), level: 1, uuid: Uuid::from_u128(3), items: Items::Pages(vec![first, second]) }
}

fn head() -> Head {
    let (_, reference) = page_of_pages().seal(LeaderEpoch(5)).unwrap();
    let name = |base, uuid| ObjectName {
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(2),
        uuid: Uuid::from_u128(uuid),
    };
    Head {
        state: HeadState::Live,
        version: 77,
        nonce: Uuid::from_u128(0x1111),
        token: Token { owner_epoch: 2, leader_epoch: LeaderEpoch(5) },
        session: Uuid::from_u128(0x2222),
        identity: identity(),
        log_start_offset: Offset(120),
        next_offset: Offset(700),
        totals: Totals { segments: 6, object_bytes: 30_000_000_021, raw_bytes: 54_000_000_000 },
        pages: vec![reference],
        entries: vec![entry(5), entry(6)],
        marks: vec![
            Mark { kind: MarkKind::Segment, name: name(0, 8), deleted_at: 1_700_000_000_009 },
            Mark { kind: MarkKind::Page, name: name(10, 9), deleted_at: 1_700_000_000_010 },
        ],
    }
}

fn marker() -> Marker {
    Marker {
        state: MarkerState::Deleted,
        version: 4,
        nonce: Uuid::from_u128(0x3333),
        owner_epoch: 2,
        cluster_id: "cluster-one".to_owned(),
        topic_id: partition().topic_id,
        topic_name: "orders".to_owned(),
        partitions: 12,
        deleted_at: 1_700_000_000_000,
    }
}

fn claim() -> Claim {
    Claim {
        version: 9,
        nonce: Uuid::from_u128(0x4444),
        cluster_id: "cluster-one".to_owned(),
        owner_epoch: 2,
        holder: "node 1 at broker-1.example".to_owned(),
    }
}

#[test]
#[ignore = "writes the golden files; only for a new version of a format, under new names"]
fn write_golden() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(format!("{directory}/{name}-v1.bin"), bytes).unwrap();
    write("manifest-head", head().encode().unwrap());
    write("manifest-page", page().seal(LeaderEpoch(4)).unwrap().0);
    write("manifest-page-of-pages", page_of_pages().seal(LeaderEpoch(5)).unwrap().0);
    write("topic-marker", marker().encode().unwrap());
    write("cluster-claim", claim().encode().unwrap());
}

#[test]
fn golden_files_of_version_1_read_and_write_the_same() {
    assert_eq!(Head::decode(HEAD), Ok(head()));
    assert_eq!(head().encode().unwrap(), HEAD);
    assert_eq!(Page::decode(PAGE), Ok(page()));
    assert_eq!(page().seal(LeaderEpoch(4)).unwrap().0, PAGE);
    assert_eq!(Page::decode(PAGE_OF_PAGES), Ok(page_of_pages()));
    assert_eq!(page_of_pages().seal(LeaderEpoch(5)).unwrap().0, PAGE_OF_PAGES);
    assert_eq!(Marker::decode(MARKER), Ok(marker()));
    assert_eq!(marker().encode().unwrap(), MARKER);
    assert_eq!(Claim::decode(CLAIM), Ok(claim()));
    assert_eq!(claim().encode().unwrap(), CLAIM);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    type Refuses = fn(&[u8]) -> bool;
    let decoders: [(&[u8], Refuses); 5] = [
        (HEAD, |bytes| Head::decode(bytes).is_err()),
        (PAGE, |bytes| Page::decode(bytes).is_err()),
        (PAGE_OF_PAGES, |bytes| Page::decode(bytes).is_err()),
        (MARKER, |bytes| Marker::decode(bytes).is_err()),
        (CLAIM, |bytes| Claim::decode(bytes).is_err()),
    ];
    for (golden, refused) in decoders {
        for bit in 0..golden.len() * 8 {
            let mut bytes = golden.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(refused(&bytes), "bit {bit}");
        }
        for length in 0..golden.len() {
            assert!(refused(&golden[..length]), "cut at {length}");
        }
        let mut longer = golden.to_vec();
        longer.push(0);
        assert!(refused(&longer));
    }
}

/// With a right checksum, so that the fields are what must be refused.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = HEAD.to_vec();
    bytes[5] = 2;
    assert_eq!(Head::decode(&resealed(bytes)), Err(Malformed::Version(2)));
}

#[test]
fn heads_that_break_a_rule_are_neither_read_nor_written() {
    let broken: [fn(&mut Head); 8] = [
        |head| head.entries[0].base_offset = Offset(499),
        |head| head.entries[1].base_offset = Offset(601),
        |head| head.log_start_offset = Offset(500),
        |head| head.next_offset = Offset(701),
        |head| head.pages[0].base_offset = Offset(121),
        |head| head.identity.topic_name = "x".repeat(250),
        |head| head.marks = vec![head.marks[0]; 2000],
        |head| {
            let newer = PageRef { level: 2, base_offset: Offset(500), end_offset: Offset(501), ..head.pages[0] };
            head.pages.push(newer);
            head.entries[0].base_offset = Offset(501);
        },
    ];
    for (number, break_it) in broken.into_iter().enumerate() {
        let mut head = head();
        break_it(&mut head);
        assert!(head.encode().is_err(), "rule {number}");
    }
    assert!(head().encode().unwrap().len() < HEAD_BYTES_MAX);
}

#[test]
fn another_page_than_the_one_named_is_refused() {
    let (bytes, reference) = page().seal(LeaderEpoch(4)).unwrap();
    assert_eq!(Page::decode_as(&bytes, partition(), &reference), Ok(page()));
    let mut other = partition();
    other.partition.0 += 1;
    assert!(Page::decode_as(&bytes, other, &reference).is_err());
    let twin = Page { uuid: Uuid::from_u128(77), ..page() };
    let (bytes, _) = twin.seal(LeaderEpoch(4)).unwrap();
    assert!(Page::decode_as(&bytes, partition(), &reference).is_err());
}

proptest! {
    /// Fields of a head overwritten at random under a right checksum: an error or a head that holds the rules.
    #[test]
    fn lying_bytes_never_panic(
        which in 0usize..5,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let golden = [HEAD, PAGE, PAGE_OF_PAGES, MARKER, CLAIM][which];
        let mut bytes = golden.to_vec();
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()).max(4));
        }
        let bytes = resealed(bytes);
        if let Ok(head) = Head::decode(&bytes) {
            prop_assert_eq!(head.encode().unwrap(), bytes.clone());
        }
        if let Ok(page) = Page::decode(&bytes) {
            prop_assert!(page.seal(LeaderEpoch(0)).is_some());
        }
        let _ = Marker::decode(&bytes);
        let _ = Claim::decode(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Head::decode(&bytes).is_err());
        prop_assert!(Page::decode(&bytes).is_err());
        prop_assert!(Marker::decode(&bytes).is_err());
        prop_assert!(Claim::decode(&bytes).is_err());
    }
}
