//! The head: the one object per partition that says what is tiered, and the one place where history changes.
//!
//! ```text
//! "SLMH"  version u16  state u8 (0 live, 1 tombstone)
//! head_version u64  nonce 16  owner_epoch u64  leader_epoch i32  session 16
//! cluster_id text  topic_id 16  partition i32  topic_name text          (text: length u16, UTF-8)
//! log_start i64  next_offset i64
//! totals of what lies at or above log_start: segments u64, object_bytes u64, raw_bytes u64
//! count u32, page references (85 bytes, oldest first, levels falling)     see `page.rs`
//! count u32, entries (96 bytes, oldest first)                             see `page.rs`
//! count u32, marks: kind u8 (0 segment, 1 page with all below it), base i64, leader_epoch i32, uuid 16, deleted_at i64
//! crc32c u32 over all before it
//! ```
//! Big-endian. At most 64 KiB: `plan.rs` spills before that. A head's bytes are never equal twice, because every commit
//! raises `head_version` and draws a nonce: many stores' ETag is a content hash.
//!
//! Rules that `decode` checks: pages then entries are one contiguous range; the first of them ends above `log_start`;
//! `next_offset` = max(tiered end, log_start).

use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

use super::page::{PAGE_REF_BYTES, PageRef, Totals};
use super::wire::{ENTRY_BYTES, Malformed, Reader, Writer};
use crate::entry::Entry;
use crate::object_key::{ObjectName, TierPartition};
use crate::planted::{Bug, planted};

const MAGIC: &[u8; 4] = b"SLMH";
pub const HEAD_BYTES_MAX: usize = 64 << 10;
const MARK_BYTES: usize = 37;
const CLUSTER_ID_BYTES_MAX: usize = 128;
const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Who may commit: compared owner first, because a new owner's leader epochs may start low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token {
    pub owner_epoch: u64,
    pub leader_epoch: LeaderEpoch,
}

impl Token {
    /// Whether a head under this token may not be written under `other` any more.
    pub(crate) fn outranks(&self, other: &Token) -> bool {
        if planted(Bug::NoTokenCompare) {
            return false;
        }
        if planted(Bug::TokenWithoutOwner) {
            return self.leader_epoch > other.leader_epoch;
        }
        self > other
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "owner epoch {}, leader epoch {}", self.owner_epoch, self.leader_epoch)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadState {
    Live,
    /// The topic is being purged: no commit ever follows.
    Tombstone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkKind {
    Segment,
    /// A page and everything that it reaches.
    Page,
}

/// An object that no reader of this head may start with; it goes after the grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    pub kind: MarkKind,
    pub name: ObjectName,
    /// Milliseconds since the epoch, for people: nothing compares it.
    pub deleted_at: i64,
}

impl Mark {
    pub fn key(&self, of: TierPartition) -> String {
        match self.kind {
            MarkKind::Segment => of.segment(&self.name),
            MarkKind::Page => of.page(&self.name),
        }
    }
}

/// Whose head it is; the same in every version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cluster_id: String,
    pub of: TierPartition,
    pub topic_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub state: HeadState,
    pub version: u64,
    pub nonce: Uuid,
    pub token: Token,
    pub session: Uuid,
    pub identity: Identity,
    pub log_start_offset: Offset,
    /// Where the next segment must begin: max(tiered end, log start).
    pub next_offset: Offset,
    /// Of the segments that end above the log start.
    pub totals: Totals,
    pub pages: Vec<PageRef>,
    pub entries: Vec<Entry>,
    pub marks: Vec<Mark>,
}

impl Head {
    /// The head that stands for "nothing was ever tiered"; version 0 is never written.
    pub fn empty(identity: Identity) -> Head {
        Head {
            state: HeadState::Live,
            version: 0,
            nonce: Uuid::nil(),
            token: Token::default(),
            session: Uuid::nil(),
            identity,
            log_start_offset: Offset::ZERO,
            next_offset: Offset::ZERO,
            totals: Totals::default(),
            pages: Vec::new(),
            entries: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// One past the last tiered offset; `None` when nothing is tiered.
    pub fn tiered_end(&self) -> Option<Offset> {
        let page = self.pages.last().map(|page| page.end_offset);
        self.entries.last().map(|entry| entry.end_offset).or(page)
    }

    /// The first offset that an object holds; at or below the log start.
    pub fn tiered_base(&self) -> Option<Offset> {
        let entry = self.entries.first().map(|entry| entry.base_offset);
        self.pages.first().map(|page| page.base_offset).or(entry)
    }

    pub fn encoded_bytes(&self) -> usize {
        let fixed = 4 + 2 + 1 + 8 + 16 + 8 + 4 + 16 + 16 + 4 + 8 + 8 + 24 + 4;
        let texts = 4 + self.identity.cluster_id.len() + self.identity.topic_name.len();
        let lists =
            12 + self.pages.len() * PAGE_REF_BYTES + self.entries.len() * ENTRY_BYTES + self.marks.len() * MARK_BYTES;
        fixed + texts + lists
    }

    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        self.check()?;
        let mut out = Writer::new(MAGIC);
        out.u8(match self.state {
            HeadState::Live => 0,
            HeadState::Tombstone => 1,
        });
        out.u64(self.version);
        out.uuid(&self.nonce);
        out.u64(self.token.owner_epoch);
        out.i32(self.token.leader_epoch.0);
        out.uuid(&self.session);
        out.text(&self.identity.cluster_id);
        out.uuid(&self.identity.of.topic_id.0);
        out.i32(self.identity.of.partition.0);
        out.text(&self.identity.topic_name);
        out.offset(self.log_start_offset);
        out.offset(self.next_offset);
        out.u64(self.totals.segments);
        out.u64(self.totals.object_bytes);
        out.u64(self.totals.raw_bytes);
        out.u32(count(self.pages.len())?);
        for page in &self.pages {
            page.write(&mut out);
        }
        out.u32(count(self.entries.len())?);
        for entry in &self.entries {
            out.entry(entry);
        }
        out.u32(count(self.marks.len())?);
        for mark in &self.marks {
            out.u8(match mark.kind {
                MarkKind::Segment => 0,
                MarkKind::Page => 1,
            });
            out.offset(mark.name.base_offset);
            out.i32(mark.name.leader_epoch.0);
            out.uuid(&mark.name.uuid);
            out.i64(mark.deleted_at);
        }
        let bytes = out.finish();
        debug_assert_eq!(bytes.len(), self.encoded_bytes());
        Ok(bytes)
    }

    pub fn decode(bytes: &[u8]) -> Result<Head, Malformed> {
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Malformed::Rule("larger than a head can be"));
        }
        let mut reader = Reader::open(bytes, MAGIC)?;
        let state = match reader.u8()? {
            0 => HeadState::Live,
            1 => HeadState::Tombstone,
            _ => return Err(Malformed::Rule("an unknown state")),
        };
        let version = reader.u64()?;
        let nonce = reader.uuid()?;
        let token = Token { owner_epoch: reader.u64()?, leader_epoch: LeaderEpoch(reader.i32()?) };
        let session = reader.uuid()?;
        let cluster_id = reader.text(CLUSTER_ID_BYTES_MAX)?;
        let of = TierPartition { topic_id: TopicId(reader.uuid()?), partition: PartitionIndex(reader.i32()?) };
        let topic_name = reader.text(TOPIC_NAME_BYTES_MAX)?;
        let log_start_offset = reader.offset()?;
        let next_offset = reader.offset()?;
        let totals = Totals { segments: reader.u64()?, object_bytes: reader.u64()?, raw_bytes: reader.u64()? };
        let pages = reader.count(PAGE_REF_BYTES)?;
        let pages = (0..pages).map(|_| PageRef::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        let entries = reader.count(ENTRY_BYTES)?;
        let entries = (0..entries).map(|_| reader.entry()).collect::<Result<Vec<_>, _>>()?;
        let marks = reader.count(MARK_BYTES)?;
        let marks = (0..marks).map(|_| read_mark(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        let identity = Identity { cluster_id, of, topic_name };
        let head = Head {
            state,
            version,
            nonce,
            token,
            session,
            identity,
            log_start_offset,
            next_offset,
            totals,
            pages,
            entries,
            marks,
        };
        head.check()?;
        Ok(head)
    }

    /// The rules of a head, for what we read and what we are about to write.
    fn check(&self) -> Result<(), Malformed> {
        if self.encoded_bytes() > HEAD_BYTES_MAX {
            return Err(Malformed::Rule("a head would be larger than 64 KiB"));
        }
        if self.identity.cluster_id.len() > CLUSTER_ID_BYTES_MAX
            || self.identity.topic_name.len() > TOPIC_NAME_BYTES_MAX
        {
            return Err(Malformed::Rule("a name is too long"));
        }
        let ranges = || {
            let pages = self.pages.iter().map(|page| (page.base_offset, page.end_offset));
            pages.chain(self.entries.iter().map(|entry| (entry.base_offset, entry.end_offset)))
        };
        if ranges().zip(ranges().skip(1)).any(|(one, next)| one.1 != next.0) {
            return Err(Malformed::Rule("the entries are not one range"));
        }
        if self.pages.array_windows().any(|[older, newer]| older.level < newer.level) {
            return Err(Malformed::Rule("an older page is flatter than a newer one"));
        }
        if let Some((base, end)) = ranges().next()
            && (end <= self.log_start_offset || base > self.log_start_offset)
        {
            return Err(Malformed::Rule("the first entry does not hold the log start"));
        }
        let end = self.tiered_end().unwrap_or(Offset::ZERO);
        if self.next_offset != end.max(self.log_start_offset) {
            return Err(Malformed::Rule("the next offset is neither the tiered end nor the log start"));
        }
        Ok(())
    }
}

fn count(length: usize) -> Result<u32, Malformed> {
    u32::try_from(length).map_err(|_| Malformed::Rule("too many elements"))
}

fn read_mark(reader: &mut Reader<'_>) -> Result<Mark, Malformed> {
    let kind = match reader.u8()? {
        0 => MarkKind::Segment,
        1 => MarkKind::Page,
        _ => return Err(Malformed::Rule("an unknown kind of mark")),
    };
    let name =
        ObjectName { base_offset: reader.offset()?, leader_epoch: LeaderEpoch(reader.i32()?), uuid: reader.uuid()? };
    Ok(Mark { kind, name, deleted_at: reader.i64()? })
}
