//! Tests of record batches: what the parts share is here.

mod build;
mod golden;
mod hostile;
mod iterate;
mod oracle;
mod rewrite;
mod validate;
mod varint;
mod verdicts;

use super::*;

pub(super) const NOW: i64 = 1_760_000_000_000;
pub(super) const CODECS: [CodecId; 5] = [CodecId::NONE, CodecId::GZIP, CodecId::SNAPPY, CodecId::LZ4, CodecId::ZSTD];
pub(super) const CAP: usize = 4 << 20;

/// A record with everything owned, to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnedRecord {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    pub fn of(record: &RecordRef<'_>) -> OwnedRecord {
        let headers = record.headers().map(|h| (h.key_text().into_owned(), h.value.map(<[u8]>::to_vec)));
        OwnedRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }

    pub fn append_to(&self, builder: &mut BatchBuilder) -> Result<(), BuildError> {
        let headers: Vec<_> = self.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let record = NewRecord {
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        };
        builder.append_at(self.offset, &record)
    }
}

/// All records of the batch that `bytes` starts with.
pub(super) fn read_all(bytes: &[u8]) -> Vec<OwnedRecord> {
    let batch = Batch::at_start(bytes).expect("a whole batch");
    assert!(batch.crc_matches());
    let records = batch.records(CAP).expect("decompresses");
    records.iter().map(|record| OwnedRecord::of(&record.expect("a record"))).collect()
}

/// A produced batch of one record per value, a millisecond apart from [`NOW`] on.
pub(super) fn batch_of(codec: CodecId, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0).codec(codec);
    for (at, value) in (0..).zip(values) {
        let record = NewRecord { timestamp: NOW + at, key: Some(b"k"), value: Some(value.as_bytes()), headers: &[] };
        builder.append(&record).expect("appends");
    }
    builder.build().expect("builds").to_vec()
}

/// Changes the header of a batch and gives it a right CRC again.
pub(super) fn with_header(mut bytes: Vec<u8>, change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::decode(&bytes).expect("a header");
    change(&mut header);
    header.seal(&mut bytes);
    bytes
}
