//! Produce: what becomes of a batch's codec and timestamps, which records a refusal names, and that nothing overtakes.

use std::collections::BTreeMap;

use bytes::Bytes;
use stratalog::partition::Isolation;
use stratalog_protocol::ErrorCode;
use stratalog_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use stratalog_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use stratalog_protocol::records::{Batch, BatchBuilder, BatchHeader, BatchIter, CodecId, NewRecord, TimestampType};
use stratalog_protocol::{Part, Records, decode_response, encode_request};
use stratalog_types::{Offset, TopicId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{BROKER, Fixture, TOPIC};

const TIME: i64 = 1_700_000_000_000;
const CODECS: [(&str, CodecId); 5] = [
    ("uncompressed", CodecId::NONE),
    ("gzip", CodecId::GZIP),
    ("snappy", CodecId::SNAPPY),
    ("lz4", CodecId::LZ4),
    ("zstd", CodecId::ZSTD),
];

fn batch(codec: CodecId, value_bytes: usize, timestamps: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(0).codec(codec);
    for (at, timestamp) in timestamps.iter().enumerate() {
        let key = at.to_string();
        let value = "some value ".repeat(value_bytes / 11);
        let headers = [("header", Some(&b"v"[..])), ("null", None)];
        let record = NewRecord {
            timestamp: *timestamp,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &headers,
        };
        builder.append(&record).unwrap();
    }
    builder.build().unwrap()
}

fn request(acks: i16, topic: &str, batches: &[(i32, Bytes)]) -> ProduceRequest {
    let data =
        |(index, batch): &(i32, Bytes)| PartitionProduceData { index: *index, records: Records::Bytes(batch.clone()) };
    let partition_data = batches.iter().map(data).collect();
    let topic = TopicProduceData { name: topic.to_owned(), partition_data, ..TopicProduceData::default() };
    ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() }
}

async fn send(fixture: &mut Fixture, topic: &str, batch: Bytes) -> PartitionProduceResponse {
    let answer = fixture.ask(&request(-1, topic, &[(0, batch)]), 12).await;
    answer.responses.into_iter().next().unwrap().partition_responses.remove(0)
}

/// The batches of partition 0 as they are stored.
fn stored(fixture: &Fixture, id: uuid::Uuid) -> Vec<Bytes> {
    let partition = fixture.running.node.partitions.get(TopicId(id), 0).unwrap();
    let end = partition.visible_end(Isolation::ReadUncommitted);
    let slice = partition.log().read(Offset::ZERO, u32::MAX, end, true).unwrap();
    let mut bytes = vec![0; slice.range.length as usize];
    stratalog::platform::disk::read_at(&slice.range.file, &mut bytes, slice.range.position).unwrap();
    let bytes = Bytes::from(bytes);
    BatchIter::new(&bytes).map(|batch| bytes.slice_ref(batch.unwrap().bytes)).collect()
}

type Row = (i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

fn rows(batch: &[u8]) -> Vec<Row> {
    let batch = Batch::at_start(batch).unwrap();
    assert!(batch.crc_matches());
    let records = batch.records(1 << 26).unwrap();
    let row = |record: stratalog_protocol::records::RecordRef<'_>| {
        (record.timestamp, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec), record.headers().count())
    };
    records.iter().map(|record| row(record.unwrap())).collect()
}

async fn set(fixture: &mut Fixture, resource_type: i8, name: &str, configs: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: 0,
        value: Some((*value).to_owned()),
    };
    let resource = AlterConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configs: configs.iter().map(config).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = fixture.ask(&request, 1).await.responses.remove(0);
    assert_eq!((answer.error_code, answer.error_message), (ErrorCode::NONE, None));
}

/// Small batches are written anew at once, large ones aside: both in every codec.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_keeps_its_batches_in_its_codec() {
    let mut fixture = Fixture::start().await;
    for (name, codec) in CODECS {
        let id = fixture.create(name, 1, &[("compression.type", name)]).await;
        let mut sent = Vec::new();
        for (_, from) in CODECS {
            for value_bytes in [11, 50_000] {
                let batch = batch(from, value_bytes, &[TIME + 5, TIME, TIME + 9]);
                let row = send(&mut fixture, name, batch.clone()).await;
                assert_eq!((row.error_code, row.base_offset), (ErrorCode::NONE, 3 * sent.len() as i64));
                sent.push((from, batch));
            }
        }
        let stored = stored(&fixture, id);
        assert_eq!(stored.len(), sent.len());
        for ((from, sent), stored) in sent.iter().zip(&stored) {
            let header = BatchHeader::decode(stored).unwrap();
            assert_eq!((header.attributes.codec(), header.max_timestamp), (codec, TIME + 9));
            assert_eq!(rows(stored), rows(sent));
            // The codec alone decides: what has it already is stored as it came.
            assert_eq!(stored[21..] == sent[21..], *from == codec, "{from:?} to {codec:?}");
        }
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_codec_of_a_topic_changes_while_it_runs() {
    let mut fixture = Fixture::start().await;
    let id = fixture.create("t", 1, &[]).await;
    let large = || batch(CodecId::SNAPPY, 40_000, &[TIME]);
    let codec_of_last =
        |fixture: &Fixture| BatchHeader::decode(stored(fixture, id).last().unwrap()).unwrap().attributes.codec();
    send(&mut fixture, "t", large()).await;
    assert_eq!(codec_of_last(&fixture), CodecId::SNAPPY);
    set(&mut fixture, BROKER, "", &[("compression.type", "gzip"), ("compression.gzip.level", "1")]).await;
    send(&mut fixture, "t", large()).await;
    assert_eq!(codec_of_last(&fixture), CodecId::GZIP);
    set(&mut fixture, TOPIC, "t", &[("compression.type", "zstd")]).await;
    send(&mut fixture, "t", large()).await;
    assert_eq!(codec_of_last(&fixture), CodecId::ZSTD);
    // A level alone is read too: the thorough one is smaller.
    let mut sizes = BTreeMap::new();
    for level in ["-7", "19"] {
        set(&mut fixture, TOPIC, "t", &[("compression.zstd.level", level)]).await;
        send(&mut fixture, "t", batch(CodecId::NONE, 60_000, &[TIME, TIME, TIME])).await;
        sizes.insert(level, stored(&fixture, id).last().unwrap().len());
    }
    assert!(sizes["19"] < sizes["-7"], "{sizes:?}");
    fixture.stop().await;
}

/// One connection sends large, small and plain batches without waiting: they are in the log as they were sent, and
/// answered in that order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_a_batch_that_is_written_anew() {
    let mut fixture = Fixture::start().await;
    let id = fixture.create("t", 1, &[("compression.type", "gzip")]).await;
    let sizes = [200_000, 11, 3000, 100_000, 11, 60_000];
    let mut wire = Vec::new();
    let count = 60;
    for at in 0..count {
        let from = CODECS[at % CODECS.len()].1;
        let timestamp = TIME + at as i64;
        let mut builder = BatchBuilder::new(0).codec(from).producer(77, 0, at as i32);
        let value = vec![b'v'; sizes[at % sizes.len()]];
        builder.append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() }).unwrap();
        let produce = request(1, "t", &[(0, builder.build().unwrap())]);
        for part in encode_request(&produce, 12, at as i32, Some("it")).unwrap() {
            let Part::Bytes(bytes) = part else { panic!("requests are memory") };
            wire.extend_from_slice(&bytes);
        }
    }
    let (mut answers, mut requests) =
        tokio::net::TcpStream::connect(fixture.running.address()).await.unwrap().into_split();
    let writing = tokio::spawn(async move { requests.write_all(&wire).await.map(|()| requests) });
    for at in 0..count {
        let length = answers.read_i32().await.unwrap();
        let mut frame = bytes::BytesMut::zeroed(usize::try_from(length).unwrap());
        answers.read_exact(&mut frame).await.unwrap();
        let (correlation_id, answer) =
            decode_response::<stratalog_protocol::messages::produce::ProduceResponse>(frame.freeze(), 12).unwrap();
        let row = &answer.responses[0].partition_responses[0];
        assert_eq!((correlation_id, row.error_code, row.base_offset), (at as i32, ErrorCode::NONE, at as i64));
    }
    drop(writing.await.unwrap());
    let stored = stored(&fixture, id);
    let times: Vec<_> = stored.iter().map(|batch| BatchHeader::decode(batch).unwrap().max_timestamp).collect();
    assert_eq!(times, (0..count as i64).map(|at| TIME + at).collect::<Vec<_>>());
    fixture.stop().await;
}

/// Many partitions in one request, with acks 0 too, and one of them refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_takes_many_partitions() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 9, &[("compression.type", "lz4"), ("max.message.bytes", "100000")]).await;
    let batches: Vec<_> = (0..9)
        .map(|at| {
            // Sent small, and too large in the topic's codec? No: too large as sent.
            let bytes = if at == 4 { 200_000 } else { 20_000 };
            let codec = if at == 4 { CodecId::NONE } else { CODECS[at % 5].1 };
            (at as i32, batch(codec, bytes, &[TIME]))
        })
        .collect();
    let answer = fixture.ask(&request(-1, "t", &batches), 12).await;
    let codes: Vec<_> = answer.responses[0].partition_responses.iter().map(|row| (row.index, row.error_code)).collect();
    for (index, code) in codes {
        let wanted = if index == 4 { ErrorCode::MESSAGE_TOO_LARGE } else { ErrorCode::NONE };
        assert_eq!(code, wanted, "partition {index}");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_brokers_clock_stamps_what_it_writes_anew() {
    let mut fixture = Fixture::start().await;
    let configs = [("compression.type", "zstd"), ("message.timestamp.type", "LogAppendTime")];
    let id = fixture.create("t", 1, &configs).await;
    for value_bytes in [11, 50_000] {
        let row = send(&mut fixture, "t", batch(CodecId::GZIP, value_bytes, &[TIME, 5, -1])).await;
        assert!(row.error_code.is_none() && row.log_append_time_ms > TIME, "{row:?}");
        let stored = stored(&fixture, id);
        let header = BatchHeader::decode(stored.last().unwrap()).unwrap();
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(header.max_timestamp, row.log_append_time_ms);
        assert!(rows(stored.last().unwrap()).iter().all(|row| row.0 == header.max_timestamp));
    }
    fixture.stop().await;
}

/// A retry of a batch that was written anew is the same batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_known_in_another_codec() {
    let mut fixture = Fixture::start().await;
    let id = fixture.create("t", 1, &[("compression.type", "gzip")]).await;
    for value_bytes in [5, 60_000] {
        let mut builder = BatchBuilder::new(0).codec(CodecId::LZ4).producer(value_bytes, 0, 0);
        let value = vec![b'v'; value_bytes as usize];
        builder.append(&NewRecord { timestamp: TIME, value: Some(&value), ..NewRecord::default() }).unwrap();
        let batch = builder.build().unwrap();
        let first = send(&mut fixture, "t", batch.clone()).await;
        let again = send(&mut fixture, "t", batch).await;
        assert_eq!((first.error_code, again.error_code), (ErrorCode::NONE, ErrorCode::NONE));
        assert_eq!(first.base_offset, again.base_offset);
    }
    assert_eq!(stored(&fixture, id).len(), 2);
    fixture.stop().await;
}

/// Kafka names every record that is refused, in every codec, and the rest of the batch goes with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_the_records() {
    let mut fixture = Fixture::start().await;
    fixture.create("recent", 1, &[("message.timestamp.before.max.ms", "1000")]).await;
    fixture.create("gzip", 1, &[("message.timestamp.before.max.ms", "1000"), ("compression.type", "gzip")]).await;
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for topic in ["recent", "gzip"] {
        for (_, codec) in CODECS {
            for value_bytes in [11, 30_000] {
                let late = now + 3_600_000 + 600_000;
                let times = [now + 60_000, TIME, now + 60_000, late, -1];
                let row = send(&mut fixture, topic, batch(codec, value_bytes, &times)).await;
                assert_eq!(row.error_code, ErrorCode::INVALID_TIMESTAMP, "{codec:?}");
                let errors: Vec<_> = row.record_errors.iter().map(|error| error.batch_index).collect();
                assert_eq!(errors, [1, 3]);
                assert!(row.record_errors[0].batch_index_error_message.as_ref().unwrap().contains(&TIME.to_string()));
                assert!(row.error_message.is_some() && row.base_offset == -1);
            }
        }
    }
    fixture.create("compact", 1, &[("cleanup.policy", "compact")]).await;
    for (_, codec) in CODECS {
        let mut builder = BatchBuilder::new(0).codec(codec);
        for key in [None, Some(&b"k"[..]), None] {
            builder.append(&NewRecord { timestamp: TIME, key, ..NewRecord::default() }).unwrap();
        }
        let row = send(&mut fixture, "compact", builder.build().unwrap()).await;
        assert_eq!(row.error_code, ErrorCode::INVALID_RECORD);
        assert_eq!(row.record_errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [0, 2]);
    }
    fixture.stop().await;
}

/// Half way between twice the reserve and the reserve: clients are told to pause for about half of the longest pause, and
/// old ones, which would not, are made to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_with_little_room_slows_producers_down() {
    let dir = tempfile::tempdir().unwrap();
    let free = stratalog::platform::volume::space(dir.path()).unwrap().usable_bytes;
    let reserve = (free / 3 * 2).to_string();
    let mut fixture = Fixture::start_with(&[("stratalog.log.dir.reserve.bytes", &reserve)]).await;
    fixture.create("t", 1, &[]).await;
    let sent = request(-1, "t", &[(0, batch(CodecId::NONE, 20, &[TIME]))]);
    let answer = fixture.ask(&sent, 12).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
    assert!((200..=800).contains(&answer.throttle_time_ms), "{} ms", answer.throttle_time_ms);
    let began = std::time::Instant::now();
    let answer = fixture.ask(&sent, 5).await;
    assert!(answer.throttle_time_ms >= 200 && began.elapsed().as_millis() >= 200);
}

/// Nobody could end the transaction, and nothing behind it would ever be stable, nor compacted. Kafka has the same code
/// for a request without a transactional id; for one with an id that no coordinator knows it has one that is retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transactional_batch_is_refused() {
    let mut fixture = Fixture::start().await;
    fixture.create("t", 1, &[]).await;
    let mut builder = BatchBuilder::new(0).producer(1, 0, 0).transactional();
    builder.append(&NewRecord { timestamp: TIME, ..NewRecord::default() }).unwrap();
    let batch = builder.build().unwrap();
    let anonymous = request(-1, "t", &[(0, batch)]);
    let named = ProduceRequest { transactional_id: Some("tx".to_owned()), ..anonymous.clone() };
    for (request, code) in
        [(anonymous, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED), (named, ErrorCode::INVALID_TXN_STATE)]
    {
        let row = fixture.ask(&request, 12).await.responses.remove(0).partition_responses.remove(0);
        assert_eq!((row.error_code, row.base_offset), (code, -1));
    }
    let row = send(&mut fixture, "t", self::batch(CodecId::NONE, 11, &[TIME])).await;
    assert_eq!((row.error_code, row.base_offset), (ErrorCode::NONE, 0));
    fixture.stop().await;
}
