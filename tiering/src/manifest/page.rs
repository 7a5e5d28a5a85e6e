//! Pages: immutable objects that hold the older part of a manifest, so that the head stays small.
//!
//! A page of level 0 holds entries, a page of level n holds references to pages of level n-1: a tree whose newest edge
//! is the head. One contiguous range of offsets each. A page is written once, verified, then named by a head commit; a
//! crash between leaves an orphan for the sweeper.
//!
//! ```text
//! "SLMP"  version u16  level u8  topic_id 16  partition i32  uuid 16  base i64  end i64
//! count u32  then count times entry (96 bytes, level 0) or page reference (85 bytes, level 1 and up)
//! crc32c u32 over all before it
//! ```
//! Entry: base i64, end i64, leader_epoch i32, uuid 16, object_bytes u64, raw_bytes u64, footer_position u64,
//! footer_bytes u32, footer_crc u32, min_timestamp i64, max_timestamp i64, committed_at i64, generation u32.
//! Page reference: level u8, base i64, end i64, leader_epoch i32, uuid 16, bytes u32, crc u32 (of the whole page object),
//! segments u64, object_bytes u64, raw_bytes u64, min_timestamp i64, max_timestamp i64. All big-endian.

use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

use super::wire::{ENTRY_BYTES, Malformed, Reader, Writer};
use crate::entry::Entry;
use crate::object_key::{ObjectName, TierPartition};

const MAGIC: &[u8; 4] = b"SLMP";
pub const PAGE_REF_BYTES: usize = 85;
/// More levels than 2^63 offsets can need.
pub const LEVEL_MAX: u8 = 12;
/// No page that we write comes near it; a larger object is not a page.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// What a range of segments amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub segments: u64,
    /// Bytes of the objects as stored.
    pub object_bytes: u64,
    /// Bytes of the record batches before compression.
    pub raw_bytes: u64,
}

impl Totals {
    pub fn of(entry: &Entry) -> Totals {
        Totals { segments: 1, object_bytes: entry.object_bytes, raw_bytes: entry.raw_bytes }
    }

    #[must_use]
    pub fn plus(self, other: Totals) -> Totals {
        Totals {
            segments: self.segments.saturating_add(other.segments),
            object_bytes: self.object_bytes.saturating_add(other.object_bytes),
            raw_bytes: self.raw_bytes.saturating_add(other.raw_bytes),
        }
    }

    #[must_use]
    pub fn minus(self, other: Totals) -> Totals {
        Totals {
            segments: self.segments.saturating_sub(other.segments),
            object_bytes: self.object_bytes.saturating_sub(other.object_bytes),
            raw_bytes: self.raw_bytes.saturating_sub(other.raw_bytes),
        }
    }
}

/// What a head, or a page of a higher level, says of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRef {
    pub level: u8,
    pub base_offset: Offset,
    pub end_offset: Offset,
    /// The epoch under which the page was written; part of its name.
    pub leader_epoch: LeaderEpoch,
    pub uuid: Uuid,
    pub bytes: u32,
    pub crc: u32,
    pub totals: Totals,
    /// Over all entries that have a timestamp; -1 when none has.
    pub min_timestamp: i64,
    pub max_timestamp: i64,
}

impl PageRef {
    pub fn name(&self) -> ObjectName {
        ObjectName { base_offset: self.base_offset, leader_epoch: self.leader_epoch, uuid: self.uuid }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u8(self.level);
        out.offset(self.base_offset);
        out.offset(self.end_offset);
        out.i32(self.leader_epoch.0);
        out.uuid(&self.uuid);
        out.u32(self.bytes);
        out.u32(self.crc);
        out.u64(self.totals.segments);
        out.u64(self.totals.object_bytes);
        out.u64(self.totals.raw_bytes);
        out.i64(self.min_timestamp);
        out.i64(self.max_timestamp);
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<PageRef, Malformed> {
        let page = PageRef {
            level: bytes.u8()?,
            base_offset: bytes.offset()?,
            end_offset: bytes.offset()?,
            leader_epoch: LeaderEpoch(bytes.i32()?),
            uuid: bytes.uuid()?,
            bytes: bytes.u32()?,
            crc: bytes.u32()?,
            totals: Totals { segments: bytes.u64()?, object_bytes: bytes.u64()?, raw_bytes: bytes.u64()? },
            min_timestamp: bytes.i64()?,
            max_timestamp: bytes.i64()?,
        };
        if page.level > LEVEL_MAX {
            return Err(Malformed::Rule("a page reference is too deep"));
        }
        if page.end_offset <= page.base_offset {
            return Err(Malformed::Rule("a page reference holds no offset"));
        }
        Ok(page)
    }
}

/// A page's elements, oldest first, contiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Items {
    Entries(Vec<Entry>),
    Pages(Vec<PageRef>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub of: TierPartition,
    pub level: u8,
    pub uuid: Uuid,
    pub items: Items,
}

impl Page {
    /// The page's object and the reference that names it; `None` when there is nothing to hold.
    pub fn seal(&self, leader_epoch: LeaderEpoch) -> Option<(Vec<u8>, PageRef)> {
        let (base_offset, end_offset) = self.range()?;
        let mut out = Writer::new(MAGIC);
        out.u8(self.level);
        out.uuid(&self.of.topic_id.0);
        out.i32(self.of.partition.0);
        out.uuid(&self.uuid);
        out.offset(base_offset);
        out.offset(end_offset);
        let mut totals = Totals::default();
        let mut times = Times::default();
        match &self.items {
            Items::Entries(entries) => {
                out.u32(u32::try_from(entries.len()).ok()?);
                for entry in entries {
                    out.entry(entry);
                    totals = totals.plus(Totals::of(entry));
                    times.add(entry.min_timestamp, entry.max_timestamp);
                }
            }
            Items::Pages(pages) => {
                out.u32(u32::try_from(pages.len()).ok()?);
                for page in pages {
                    page.write(&mut out);
                    totals = totals.plus(page.totals);
                    times.add(page.min_timestamp, page.max_timestamp);
                }
            }
        }
        let bytes = out.finish();
        let reference = PageRef {
            level: self.level,
            base_offset,
            end_offset,
            leader_epoch,
            uuid: self.uuid,
            bytes: u32::try_from(bytes.len()).ok()?,
            crc: crc32c::crc32c(&bytes),
            totals,
            min_timestamp: times.min,
            max_timestamp: times.max,
        };
        Some((bytes, reference))
    }

    fn range(&self) -> Option<(Offset, Offset)> {
        Some(match &self.items {
            Items::Entries(entries) => (entries.first()?.base_offset, entries.last()?.end_offset),
            Items::Pages(pages) => (pages.first()?.base_offset, pages.last()?.end_offset),
        })
    }

    pub fn decode(bytes: &[u8]) -> Result<Page, Malformed> {
        if bytes.len() > PAGE_BYTES_MAX {
            return Err(Malformed::Rule("larger than a page can be"));
        }
        let mut reader = Reader::open(bytes, MAGIC)?;
        let level = reader.u8()?;
        let of = TierPartition { topic_id: TopicId(reader.uuid()?), partition: PartitionIndex(reader.i32()?) };
        let uuid = reader.uuid()?;
        let (base, end) = (reader.offset()?, reader.offset()?);
        if level > LEVEL_MAX {
            return Err(Malformed::Rule("a page is too deep"));
        }
        let items = if level == 0 {
            let count = reader.count(ENTRY_BYTES)?;
            Items::Entries((0..count).map(|_| reader.entry()).collect::<Result<_, _>>()?)
        } else {
            let count = reader.count(PAGE_REF_BYTES)?;
            Items::Pages((0..count).map(|_| PageRef::read(&mut reader)).collect::<Result<_, _>>()?)
        };
        reader.finish()?;
        let page = Page { of, level, uuid, items };
        page.check(base, end)?;
        Ok(page)
    }

    /// What the reference promised: the one that a head named and no other.
    pub fn decode_as(bytes: &[u8], of: TierPartition, expected: &PageRef) -> Result<Page, Malformed> {
        if u32::try_from(bytes.len()) != Ok(expected.bytes) || crc32c::crc32c(bytes) != expected.crc {
            return Err(Malformed::Checksum);
        }
        let page = Page::decode(bytes)?;
        let range = (expected.base_offset, expected.end_offset);
        if page.of != of || page.uuid != expected.uuid || page.level != expected.level || page.range() != Some(range) {
            return Err(Malformed::Rule("another page than the one named"));
        }
        Ok(page)
    }

    fn check(&self, base: Offset, end: Offset) -> Result<(), Malformed> {
        if self.range() != Some((base, end)) {
            return Err(Malformed::Rule("a page's range is not that of its elements"));
        }
        let contiguous = match &self.items {
            Items::Entries(entries) => entries.array_windows().all(|[a, b]| a.end_offset == b.base_offset),
            Items::Pages(pages) => {
                pages.iter().all(|page| page.level + 1 == self.level)
                    && pages.array_windows().all(|[a, b]| a.end_offset == b.base_offset)
            }
        };
        if contiguous { Ok(()) } else { Err(Malformed::Rule("a page's elements are not one range")) }
    }
}

struct Times {
    min: i64,
    max: i64,
}

impl Default for Times {
    fn default() -> Times {
        Times { min: -1, max: -1 }
    }
}

impl Times {
    fn add(&mut self, min: i64, max: i64) {
        if min >= 0 && (self.min < 0 || min < self.min) {
            self.min = min;
        }
        self.max = self.max.max(max);
    }
}
