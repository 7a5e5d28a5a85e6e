//! The footer: everything about the segment but its batches.

use bytes::{BufMut, Bytes, BytesMut};
use stratalog_types::{LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};

use super::chunk::Codec;
use super::digest::{SegmentDigest, Sha256};
use super::wire::Reader;
use super::{FOOTER_BYTES_MAX, FormatError};
use crate::object_key::TierPartition;

pub(super) const CHUNK_ROW_BYTES: usize = 56;
const ABORTED_BYTES: usize = 32;
const EPOCH_BYTES: usize = 12;
const DIGEST_SHA256: u8 = 1;
const FLAG_CRITICAL: u16 = 1;

const KIND_CHUNKS: u16 = 1;
const KIND_ABORTED: u16 = 2;
const KIND_EPOCHS: u16 = 3;
const KIND_PRODUCERS: u16 = 4;
const KIND_TOPIC: u16 = 5;
const KIND_DIGEST: u16 = 6;

/// One chunk, as the table describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRow {
    pub base_offset: Offset,
    /// Included.
    pub last_offset: Offset,
    /// -1 when no batch has a timestamp.
    pub min_timestamp: i64,
    pub max_timestamp: i64,
    pub position: u64,
    pub stored_bytes: u32,
    pub raw_bytes: u32,
    pub crc: u32,
    pub codec: Codec,
}

impl ChunkRow {
    /// One past its last stored byte.
    pub fn end_position(&self) -> u64 {
        self.position.saturating_add(u64::from(self.stored_bytes))
    }
}

/// Kafka's transaction index row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// Included: the abort marker's.
    pub last_offset: Offset,
    pub last_stable_offset: Offset,
}

/// Where a leader epoch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// Whose segment this is, for a bucket without its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSection {
    pub of: TierPartition,
    pub name: String,
    pub config: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// In order of offset and position, never empty.
    pub chunks: Vec<ChunkRow>,
    pub aborted: Vec<AbortedTransaction>,
    pub epochs: Vec<EpochStart>,
    /// Producer state as of the segment's end, in the log's own form.
    pub producer_snapshot: Bytes,
    pub topic: TopicSection,
    pub digest: SegmentDigest,
}

impl Footer {
    pub fn encode(&self) -> Result<Bytes, FormatError> {
        let mut out = BytesMut::new();
        section(&mut out, KIND_CHUNKS, FLAG_CRITICAL, &encode_chunks(&self.chunks)?)?;
        if !self.aborted.is_empty() {
            section(&mut out, KIND_ABORTED, FLAG_CRITICAL, &encode_aborted(&self.aborted)?)?;
        }
        section(&mut out, KIND_EPOCHS, 0, &encode_epochs(&self.epochs)?)?;
        if !self.producer_snapshot.is_empty() {
            section(&mut out, KIND_PRODUCERS, 0, &self.producer_snapshot)?;
        }
        section(&mut out, KIND_TOPIC, 0, &encode_topic(&self.topic)?)?;
        section(&mut out, KIND_DIGEST, 0, &encode_digest(&self.digest))?;
        if out.len() > FOOTER_BYTES_MAX {
            return Err(FormatError::Invalid { what: "footer", reason: "too large" });
        }
        Ok(out.freeze())
    }

    /// Decodes a footer whose bytes were checked against `crc` of the tail or manifest entry.
    pub fn decode(bytes: &Bytes, crc: u32, footer_position: u64) -> Result<Footer, FormatError> {
        if crc32c::crc32c(bytes) != crc {
            return Err(FormatError::Checksum { what: "footer" });
        }
        let mut reader = Reader::new(bytes.clone(), "footer");
        let (mut chunks, mut topic) = (None, None);
        let (mut aborted, mut epochs) = (Vec::new(), Vec::new());
        let (mut producer_snapshot, mut digest) = (Bytes::new(), SegmentDigest::default());
        while !reader.is_empty() {
            let (kind, flags, length) = (reader.u16()?, reader.u16()?, reader.u32()?);
            let body = reader.take(length)?;
            match kind {
                KIND_CHUNKS => chunks = Some(decode_chunks(body, footer_position)?),
                KIND_ABORTED => aborted = decode_aborted(body)?,
                KIND_EPOCHS => epochs = decode_epochs(body)?,
                // Copied, so that a cached snapshot is all that it keeps alive.
                KIND_PRODUCERS => producer_snapshot = Bytes::copy_from_slice(&body),
                KIND_TOPIC => topic = Some(decode_topic(body)?),
                KIND_DIGEST => digest = decode_digest(body)?,
                kind if flags & FLAG_CRITICAL != 0 => return Err(FormatError::UnknownSection { kind }),
                _ => {}
            }
        }
        let missing = |reason| FormatError::Invalid { what: "footer", reason };
        Ok(Footer {
            chunks: chunks.ok_or(missing("no chunk table"))?,
            aborted,
            epochs,
            producer_snapshot,
            topic: topic.ok_or(missing("no topic"))?,
            digest,
        })
    }

    /// The first chunk that holds `offset` or offsets after it.
    pub fn chunk_at(&self, offset: Offset) -> Option<usize> {
        let index = self.chunks.partition_point(|row| row.last_offset < offset);
        (index < self.chunks.len()).then_some(index)
    }

    /// The first chunk with a timestamp of at least `timestamp` and an offset of at least `from`. Times need not be in
    /// order, so this is a scan.
    pub fn chunk_at_timestamp(&self, timestamp: i64, from: Offset) -> Option<usize> {
        self.chunks.iter().position(|row| row.max_timestamp >= timestamp && row.last_offset >= from)
    }

    /// Bytes that a cached footer takes, roughly.
    pub fn weight(&self) -> usize {
        self.chunks.len() * size_of::<ChunkRow>()
            + self.aborted.len() * size_of::<AbortedTransaction>()
            + self.epochs.len() * size_of::<EpochStart>()
            + self.producer_snapshot.len()
            + self.topic.config.iter().map(|(key, value)| key.len() + value.len() + 48).sum::<usize>()
            + size_of::<Footer>()
    }
}

fn section(out: &mut BytesMut, kind: u16, flags: u16, body: &[u8]) -> Result<(), FormatError> {
    let length = length_u32(body.len())?;
    out.put_u16(kind);
    out.put_u16(flags);
    out.put_u32(length);
    out.put_slice(body);
    Ok(())
}

fn length_u32(length: usize) -> Result<u32, FormatError> {
    u32::try_from(length).map_err(|_| FormatError::Invalid { what: "footer", reason: "too large" })
}

fn put_string(out: &mut BytesMut, text: &str) -> Result<(), FormatError> {
    let length =
        u16::try_from(text.len()).map_err(|_| FormatError::Invalid { what: "topic section", reason: "too long" })?;
    out.put_u16(length);
    out.put_slice(text.as_bytes());
    Ok(())
}

fn encode_chunks(chunks: &[ChunkRow]) -> Result<BytesMut, FormatError> {
    let mut out = BytesMut::with_capacity(4 + chunks.len() * CHUNK_ROW_BYTES);
    out.put_u32(length_u32(chunks.len())?);
    for row in chunks {
        out.put_i64(row.base_offset.get());
        out.put_i64(row.last_offset.get());
        out.put_i64(row.min_timestamp);
        out.put_i64(row.max_timestamp);
        out.put_u64(row.position);
        out.put_u32(row.stored_bytes);
        out.put_u32(row.raw_bytes);
        out.put_u32(row.crc);
        out.put_u8(row.codec.0);
        out.put_slice(&[0; 3]);
    }
    Ok(out)
}

/// Checks all that readers rely on: chunks are ordered, apart, inside the object, and of sane size.
fn decode_chunks(body: Bytes, footer_position: u64) -> Result<Vec<ChunkRow>, FormatError> {
    let what = "chunk table";
    let mut reader = Reader::new(body, what);
    let count = reader.count(CHUNK_ROW_BYTES)?;
    let mut chunks: Vec<ChunkRow> = Vec::with_capacity(count);
    for _ in 0..count {
        let row = ChunkRow {
            base_offset: Offset(reader.i64()?),
            last_offset: Offset(reader.i64()?),
            min_timestamp: reader.i64()?,
            max_timestamp: reader.i64()?,
            position: reader.u64()?,
            stored_bytes: reader.u32()?,
            raw_bytes: reader.u32()?,
            crc: reader.u32()?,
            codec: Codec(reader.u8()?),
        };
        let _reserved: [u8; 3] = reader.array()?;
        let invalid = |reason| Err(FormatError::Invalid { what, reason });
        if row.base_offset.get() < 0 || row.last_offset < row.base_offset {
            return invalid("an interval is empty or negative");
        }
        if row.stored_bytes == 0 || row.raw_bytes == 0 {
            return invalid("a chunk is empty");
        }
        if row.raw_bytes as usize > super::CHUNK_RAW_BYTES_MAX {
            return Err(FormatError::ChunkTooLarge { bytes: row.raw_bytes as usize });
        }
        if row.codec == Codec::RAW && row.raw_bytes != row.stored_bytes {
            return invalid("a raw chunk has two lengths");
        }
        if row.end_position() > footer_position {
            return invalid("a chunk reaches into the footer");
        }
        if let Some(before) = chunks.last()
            && (row.base_offset <= before.last_offset || row.position < before.end_position())
        {
            return invalid("chunks overlap or are out of order");
        }
        chunks.push(row);
    }
    reader.end()?;
    if chunks.is_empty() {
        return Err(FormatError::Invalid { what, reason: "no chunks" });
    }
    Ok(chunks)
}

fn encode_aborted(aborted: &[AbortedTransaction]) -> Result<BytesMut, FormatError> {
    let mut out = BytesMut::with_capacity(4 + aborted.len() * ABORTED_BYTES);
    out.put_u32(length_u32(aborted.len())?);
    for row in aborted {
        out.put_i64(row.producer_id.0);
        out.put_i64(row.first_offset.get());
        out.put_i64(row.last_offset.get());
        out.put_i64(row.last_stable_offset.get());
    }
    Ok(out)
}

fn decode_aborted(body: Bytes) -> Result<Vec<AbortedTransaction>, FormatError> {
    let mut reader = Reader::new(body, "transaction section");
    let count = reader.count(ABORTED_BYTES)?;
    let mut aborted = Vec::with_capacity(count);
    for _ in 0..count {
        aborted.push(AbortedTransaction {
            producer_id: ProducerId(reader.i64()?),
            first_offset: Offset(reader.i64()?),
            last_offset: Offset(reader.i64()?),
            last_stable_offset: Offset(reader.i64()?),
        });
    }
    reader.end()?;
    Ok(aborted)
}

fn encode_epochs(epochs: &[EpochStart]) -> Result<BytesMut, FormatError> {
    let mut out = BytesMut::with_capacity(4 + epochs.len() * EPOCH_BYTES);
    out.put_u32(length_u32(epochs.len())?);
    for row in epochs {
        out.put_i32(row.epoch.0);
        out.put_i64(row.start_offset.get());
    }
    Ok(out)
}

fn decode_epochs(body: Bytes) -> Result<Vec<EpochStart>, FormatError> {
    let mut reader = Reader::new(body, "epoch section");
    let count = reader.count(EPOCH_BYTES)?;
    let mut epochs = Vec::with_capacity(count);
    for _ in 0..count {
        epochs.push(EpochStart { epoch: LeaderEpoch(reader.i32()?), start_offset: Offset(reader.i64()?) });
    }
    reader.end()?;
    Ok(epochs)
}

fn encode_topic(topic: &TopicSection) -> Result<BytesMut, FormatError> {
    let mut out = BytesMut::new();
    out.put_slice(topic.of.topic_id.as_bytes());
    out.put_i32(topic.of.partition.0);
    put_string(&mut out, &topic.name)?;
    out.put_u32(length_u32(topic.config.len())?);
    for (key, value) in &topic.config {
        put_string(&mut out, key)?;
        put_string(&mut out, value)?;
    }
    Ok(out)
}

fn decode_topic(body: Bytes) -> Result<TopicSection, FormatError> {
    let mut reader = Reader::new(body, "topic section");
    let of = TierPartition { topic_id: TopicId::from_bytes(reader.array()?), partition: PartitionIndex(reader.i32()?) };
    let name = reader.string()?;
    let count = reader.count(4)?;
    let mut config = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        config.push((reader.string()?, reader.string()?));
    }
    reader.end()?;
    Ok(TopicSection { of, name, config })
}

fn encode_digest(digest: &SegmentDigest) -> BytesMut {
    let mut out = BytesMut::with_capacity(65);
    out.put_u8(DIGEST_SHA256);
    out.put_slice(&digest.segment.0);
    out.put_slice(&digest.previous.0);
    out
}

fn decode_digest(body: Bytes) -> Result<SegmentDigest, FormatError> {
    let what = "digest section";
    let mut reader = Reader::new(body, what);
    if reader.u8()? != DIGEST_SHA256 {
        return Err(FormatError::Invalid { what, reason: "unknown algorithm" });
    }
    let digest = SegmentDigest { segment: Sha256(reader.array()?), previous: Sha256(reader.array()?) };
    reader.end()?;
    Ok(digest)
}
