//! Whether a producer's batch may be appended.
//!
//! Owns the rules of Kafka's produce path (one batch, magic 2, sizes, CRC, counts, producer fields, codec, timestamps,
//! keys) and the kind of refusal; with them, since it is one walk, the batch anew in the topic's codec
//! ([`accept_produce`]). Changes no byte of what was sent: what the broker sets, [`super::set_max_timestamp`] and the log
//! set.
//!
//! The header and the CRC are always checked, uncompressed records always walked. Compressed records are walked, with
//! an output cap, when something goes by them ([`needs_unpacking`]); otherwise the header's count and max timestamp are
//! trusted for them. A header whose max timestamp would be refused is not trusted either: the refusal names the records.
//!
//! Wrong keys and timestamps are told record by record, as Kafka does, up to [`FAULTS_MAX`]; what breaks the format ends
//! the walk.
//!
//! Stricter than Kafka, where Kafka would store what harms a consumer or drop bytes that it acknowledges: trailing bytes
//! after the batch, offset deltas that are not 0, 1, 2, ..., attribute bits without a meaning, lengths below -1.

use super::batch::{Batch, RecordsError};
use super::compression::CompressionError;
use super::rewrite::{BatchRewriter, Compression};
use super::{Attributes, BatchHeader, BuildError, CodecId, HeaderError, TimestampType};

const ATTRIBUTES_KNOWN: i16 =
    0x07 | Attributes::LOG_APPEND_TIME | Attributes::TRANSACTIONAL | Attributes::CONTROL_BATCH;
/// Records of one batch that a refusal names: Kafka names all, and clients tell the others of the same refusal.
pub const FAULTS_MAX: usize = 1000;
/// Of a record with nothing in it: its length, attributes, two deltas, two lengths and the count of headers.
const RECORD_BYTES_MIN: usize = 7;
/// A record without a timestamp.
const NO_TIMESTAMP: i64 = -1;

/// What the topic, the broker and the request's version ask of a batch.
#[derive(Debug, Clone, Copy)]
pub struct ValidationRules {
    /// `max.message.bytes`: the whole batch, as sent.
    pub batch_bytes_max: usize,
    /// Produce v7 and later.
    pub zstd_allowed: bool,
    /// The topic's `cleanup.policy` has `compact`: every record needs a key.
    pub compacted: bool,
    /// Walk compressed records too.
    pub full: bool,
    /// Bytes that the records of a compressed batch may take when they are walked.
    pub output_bytes_max: usize,
    /// The topic's `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`; `i64::MAX`: no bound.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// The broker's clock.
    pub now_ms: i64,
}

impl ValidationRules {
    /// Kafka's defaults for a topic, at `now_ms`.
    pub fn kafka_defaults(now_ms: i64) -> ValidationRules {
        ValidationRules {
            batch_bytes_max: 1024 * 1024 + 12,
            zstd_allowed: true,
            compacted: false,
            full: false,
            output_bytes_max: 64 * 1024 * 1024,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 60 * 60 * 1000,
            now_ms,
        }
    }
}

impl ValidationRules {
    /// Whether there is a bound in the past, which a batch's header cannot vouch for.
    fn has_earliest(&self) -> bool {
        self.timestamp_type == TimestampType::CreateTime && self.timestamp_before_max_ms < i64::MAX
    }

    /// A record without a timestamp passes, and where the broker's clock rules every one does, as in Kafka.
    fn check(&self, timestamp: i64) -> Result<(), FaultReason> {
        if self.timestamp_type == TimestampType::LogAppendTime || timestamp == NO_TIMESTAMP {
            return Ok(());
        }
        let earliest = self.now_ms.saturating_sub(self.timestamp_before_max_ms);
        let latest = self.now_ms.saturating_add(self.timestamp_after_max_ms);
        if (earliest..=latest).contains(&timestamp) {
            Ok(())
        } else {
            Err(FaultReason::TimestampOutOfRange { timestamp, earliest, latest })
        }
    }
}

/// A batch that may be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidatedBatch {
    /// The header as sent; the batch is the whole of the bytes given.
    pub header: BatchHeader,
    /// The largest timestamp of the records where they were walked, else the header's word for it.
    pub max_timestamp: i64,
    /// Whether every record was looked at.
    pub walked: bool,
}

impl ValidatedBatch {
    /// The header's max timestamp is not that of the records: Kafka corrects it ([`super::set_max_timestamp`]), since
    /// retention and the time index go by it.
    pub fn needs_max_timestamp(&self) -> bool {
        self.max_timestamp != self.header.max_timestamp
    }
}

/// A batch that may be appended, with the bytes to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedBatch {
    /// Of the batch to append: of the new one where it was written anew.
    pub validated: ValidatedBatch,
    /// The batch in the topic's codec; `None`: as it was sent.
    pub rewritten: Option<Vec<u8>>,
}

/// What one record did wrong that is told record by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordFault {
    /// The record's place in the batch.
    pub index: u32,
    pub reason: FaultReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultReason {
    #[error("a compacted topic takes no record without a key")]
    NoKey,
    #[error("timestamp {timestamp} is not within [{earliest}, {latest}]")]
    TimestampOutOfRange { timestamp: i64, earliest: i64, latest: i64 },
}

/// The records that a batch is refused for: one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFaults(Vec<RecordFault>);

impl RecordFaults {
    pub fn iter(&self) -> impl Iterator<Item = &RecordFault> {
        self.0.iter()
    }

    /// One bad timestamp makes the whole refusal INVALID_TIMESTAMP, as in Kafka.
    pub fn has_timestamp(&self) -> bool {
        self.0.iter().any(|fault| matches!(fault.reason, FaultReason::TimestampOutOfRange { .. }))
    }
}

impl std::fmt::Display for RecordFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.0.len();
        let more = if count < FAULTS_MAX { "" } else { " or more" };
        write!(f, "{count}{more} of the batch's records are refused")?;
        match self.0.first() {
            Some(RecordFault { index, reason }) => write!(f, ", first record {index}: {reason}"),
            None => Ok(()),
        }
    }
}

/// Why a batch is refused: a variant for each answer to the producer, named after Kafka's error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// CORRUPT_MESSAGE, which producers retry: the bytes are not what the producer made.
    #[error("corrupt batch: {0}")]
    Corrupt(Corruption),
    /// INVALID_RECORD: the producer made it wrong. `index` is the record's place in the batch, where it is one record's.
    #[error("invalid record: {reason}")]
    InvalidRecord { index: Option<u32>, reason: InvalidReason },
    /// MESSAGE_TOO_LARGE, upon which producers split a batch.
    #[error("{what} of {bytes} bytes or more, above the maximum of {bytes_max}")]
    TooLarge { what: &'static str, bytes: usize, bytes_max: usize },
    /// UNSUPPORTED_COMPRESSION_TYPE.
    #[error("compression codec {} is not supported by this version of Produce", .0.0)]
    UnsupportedCompression(CodecId),
    /// INVALID_RECORD from Kafka 4, which has no older formats left.
    #[error("message format {0} is not supported: only magic 2 is; use a client of Kafka 0.11 or later")]
    UnsupportedFormat(i8),
    /// INVALID_TIMESTAMP: producers may not set the timestamp type to LogAppendTime.
    #[error("invalid timestamp: producers may not set the timestamp type to LogAppendTime")]
    LogAppendTime,
    /// INVALID_TIMESTAMP where one of the faults is a timestamp's, else INVALID_RECORD.
    #[error("{0}")]
    Records(RecordFaults),
}

/// What of the bytes is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    #[error("its length field says {0}")]
    ImpossibleLength(i32),
    #[error("magic {0}")]
    UnknownMagic(i8),
    #[error("stored crc {stored:#010x} is not the computed {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
}

/// What a producer did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    #[error("no whole batch in {have} bytes")]
    NoBatch { have: usize },
    #[error("{bytes} bytes after the batch; a partition takes exactly one batch per request")]
    MoreThanOneBatch { bytes: usize },
    #[error("base offset {0} in a produced batch instead of 0")]
    BaseOffset(i64),
    #[error("record count {record_count} with last offset delta {last_offset_delta}")]
    Count { record_count: i32, last_offset_delta: i32 },
    #[error("clients may not write control batches")]
    ControlBatch,
    #[error("attributes {0:#06x} have bits without a meaning for producers")]
    Attributes(i16),
    #[error("producer id {producer_id} with epoch {producer_epoch} and sequence {base_sequence}")]
    Producer { producer_id: i64, producer_epoch: i16, base_sequence: i32 },
    #[error("offset delta {found} instead of {expected}")]
    OffsetDelta { found: i64, expected: u32 },
    #[error(transparent)]
    Records(RecordsError),
}

/// Whether accepting the batch that `header` opens means to decompress or to compress: what costs far more than its
/// bytes say.
pub fn needs_unpacking(header: &BatchHeader, rules: &ValidationRules, target: Option<Compression>) -> bool {
    let codec = header.attributes.codec();
    let goes_by_records =
        rules.compacted || rules.full || rules.has_earliest() || rules.check(header.max_timestamp).is_err();
    (codec != CodecId::NONE && goes_by_records) || target.is_some_and(|target| target.codec != codec)
}

/// Checks the bytes that a Produce request carries for one partition.
pub fn validate_produce(bytes: &[u8], rules: &ValidationRules) -> Result<ValidatedBatch, BatchError> {
    accept_produce(bytes, rules, None).map(|accepted| accepted.validated)
}

/// Checks the bytes that a Produce request carries for one partition, and writes them anew where their codec is not the
/// `target`'s. As in Kafka the level alone changes nothing, and what was written anew has to keep the maximum too.
pub fn accept_produce(
    bytes: &[u8],
    rules: &ValidationRules,
    target: Option<Compression>,
) -> Result<AcceptedBatch, BatchError> {
    let batch = Batch::at_start(bytes).map_err(|error| refuse_header(error, bytes.len()))?;
    let header = batch.header;
    check_codec(header.attributes.codec(), rules)?;
    if header.base_offset != 0 {
        return Err(invalid(InvalidReason::BaseOffset(header.base_offset)));
    }
    if batch.bytes.len() > rules.batch_bytes_max {
        let bytes = batch.bytes.len();
        return Err(BatchError::TooLarge { what: "a batch", bytes, bytes_max: rules.batch_bytes_max });
    }
    let computed = header.crc_of(batch.bytes).unwrap_or_default();
    if computed != header.crc {
        return Err(BatchError::Corrupt(Corruption::Crc { stored: header.crc, computed }));
    }
    // After the CRC: a damaged length field is no second batch.
    if batch.bytes.len() < bytes.len() {
        return Err(invalid(InvalidReason::MoreThanOneBatch { bytes: bytes.len() - batch.bytes.len() }));
    }
    check_header(&header, rules)?;

    let target = target.filter(|target| target.codec != header.attributes.codec());
    if header.attributes.codec() != CodecId::NONE && !needs_unpacking(&header, rules, target) {
        let validated = ValidatedBatch { header, max_timestamp: header.max_timestamp, walked: false };
        return Ok(AcceptedBatch { validated, rewritten: None });
    }
    let mut rewriter = target.map(|_| BatchRewriter::of(&header));
    let max_timestamp = walk_records(&batch, rules, rewriter.as_mut())?;
    let rewritten = match (rewriter, target) {
        (Some(rewriter), Some(target)) => Some(rebuild(rewriter, target, rules)?),
        _ => None,
    };
    let header = match &rewritten {
        Some(bytes) => BatchHeader::decode(bytes).map_err(|error| refuse_header(error, bytes.len()))?,
        None => header,
    };
    Ok(AcceptedBatch { validated: ValidatedBatch { header, max_timestamp, walked: true }, rewritten })
}

fn rebuild(rewriter: BatchRewriter, target: Compression, rules: &ValidationRules) -> Result<Vec<u8>, BatchError> {
    let bytes = rewriter.build(target).map_err(refuse_build)?;
    if bytes.len() > rules.batch_bytes_max {
        let what = "a batch in the topic's codec";
        return Err(BatchError::TooLarge { what, bytes: bytes.len(), bytes_max: rules.batch_bytes_max });
    }
    Ok(bytes)
}

fn refuse_build(error: BuildError) -> BatchError {
    match error {
        BuildError::TooLarge => {
            let bytes_max = i32::MAX as usize;
            BatchError::TooLarge { what: "a batch in the topic's codec", bytes: bytes_max, bytes_max }
        }
        BuildError::Compression(error) => refuse_records(RecordsError::Compression(error)),
        // The walk has seen offsets 0, 1, 2, ... of one record at least.
        BuildError::Empty | BuildError::OffsetOrder { .. } => {
            invalid(InvalidReason::Count { record_count: 0, last_offset_delta: 0 })
        }
    }
}

fn invalid(reason: InvalidReason) -> BatchError {
    BatchError::InvalidRecord { index: None, reason }
}

/// Kafka looks for whole batches before anything else: a truncated one is "no batch", not a corrupt one.
fn refuse_header(error: HeaderError, have: usize) -> BatchError {
    match error {
        HeaderError::Truncated { .. } => invalid(InvalidReason::NoBatch { have }),
        HeaderError::UnsupportedMagic(magic @ (0 | 1)) => BatchError::UnsupportedFormat(magic),
        HeaderError::UnsupportedMagic(magic) => BatchError::Corrupt(Corruption::UnknownMagic(magic)),
        HeaderError::ImpossibleLength(length) => BatchError::Corrupt(Corruption::ImpossibleLength(length)),
    }
}

fn check_codec(codec: CodecId, rules: &ValidationRules) -> Result<(), BatchError> {
    let supported = match codec {
        CodecId::NONE | CodecId::GZIP | CodecId::SNAPPY | CodecId::LZ4 => true,
        CodecId::ZSTD => rules.zstd_allowed,
        _ => false,
    };
    if supported { Ok(()) } else { Err(BatchError::UnsupportedCompression(codec)) }
}

/// The fields that the CRC covers.
fn check_header(header: &BatchHeader, rules: &ValidationRules) -> Result<(), BatchError> {
    let &BatchHeader { record_count, last_offset_delta, producer_id, producer_epoch, base_sequence, .. } = header;
    if record_count < 1 || last_offset_delta != record_count - 1 {
        return Err(invalid(InvalidReason::Count { record_count, last_offset_delta }));
    }
    // More records than may be unpacked: taken at its word, a few bytes would use up a segment's offsets.
    let bytes_min = usize::try_from(record_count).unwrap_or(0).saturating_mul(RECORD_BYTES_MIN);
    if header.attributes.codec() != CodecId::NONE && bytes_min > rules.output_bytes_max {
        return Err(BatchError::TooLarge { what: "records", bytes: bytes_min, bytes_max: rules.output_bytes_max });
    }
    if header.attributes.is_control_batch() {
        return Err(invalid(InvalidReason::ControlBatch));
    }
    if header.attributes.0 & !ATTRIBUTES_KNOWN != 0 {
        return Err(invalid(InvalidReason::Attributes(header.attributes.0)));
    }
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::LogAppendTime);
    }
    let identified = header.has_producer_id() && producer_epoch >= 0 && base_sequence >= 0;
    let anonymous = !header.has_producer_id() && !header.attributes.is_transactional();
    if !identified && !anonymous {
        return Err(invalid(InvalidReason::Producer { producer_id, producer_epoch, base_sequence }));
    }
    Ok(())
}

/// Every record of the batch, into `rewriter` too; returns their largest timestamp.
fn walk_records(
    batch: &Batch<'_>,
    rules: &ValidationRules,
    mut rewriter: Option<&mut BatchRewriter>,
) -> Result<i64, BatchError> {
    let records = batch.records(rules.output_bytes_max).map_err(refuse_records)?;
    let mut max_timestamp = NO_TIMESTAMP;
    let mut faults = Vec::new();
    for (index, record) in (0u32..).zip(&records) {
        let record = record.map_err(refuse_records)?;
        // The base offset is 0, so a record's offset is its delta.
        if record.offset != i64::from(index) {
            let reason = InvalidReason::OffsetDelta { found: record.offset, expected: index };
            return Err(BatchError::InvalidRecord { index: Some(index), reason });
        }
        let checked = if rules.compacted && record.key.is_none() {
            Err(FaultReason::NoKey)
        } else {
            rules.check(record.timestamp)
        };
        match (checked, &mut rewriter) {
            (Err(reason), _) if faults.len() < FAULTS_MAX => faults.push(RecordFault { index, reason }),
            (Ok(()), Some(rewriter)) if faults.is_empty() => rewriter.push(&record).map_err(refuse_build)?,
            _ => {}
        }
        max_timestamp = max_timestamp.max(record.timestamp);
    }
    if faults.is_empty() { Ok(max_timestamp) } else { Err(BatchError::Records(RecordFaults(faults))) }
}

fn refuse_records(error: RecordsError) -> BatchError {
    match error {
        RecordsError::Compression(CompressionError::TooLarge { output_bytes_max }) => {
            BatchError::TooLarge { what: "records", bytes: output_bytes_max, bytes_max: output_bytes_max }
        }
        RecordsError::Record { index, .. } => {
            BatchError::InvalidRecord { index: Some(index), reason: InvalidReason::Records(error) }
        }
        other => invalid(InvalidReason::Records(other)),
    }
}
