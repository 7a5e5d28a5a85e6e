//! What is stored is what was given, and nothing unverified is returned.

use std::sync::Arc;

use futures::future::BoxFuture;
use stratalog_types::Offset;

use super::*;
use crate::fixtures::{RunList, joined, partition, pool, runs, segment, upload};
use crate::format::{Codec, FormatError, PRODUCERS_BYTES_MAX};
use crate::scrub::{self, Depth};
use crate::store::memory::{Fault, MemoryStore, Method};

fn memory() -> (MemoryStore, Arc<dyn Store>) {
    let store = MemoryStore::new();
    (store.clone(), Arc::new(store))
}

#[tokio::test]
async fn the_object_holds_the_batches_and_the_entry_describes_it() {
    let (memory, store) = memory();
    let given = runs(100, 40, 3000, true, 11);
    let uploaded = upload(&store, 100, 1, &given).await.expect("uploaded");
    let entry = &uploaded.entry;
    let key = partition().segment_of(entry);
    let body = memory.peek(&key).expect("stored");
    assert_eq!((entry.base_offset, entry.end_offset), (Offset(100), Offset(4100)));
    assert_eq!((entry.min_timestamp, entry.max_timestamp), (1100, 5099));
    assert_eq!((entry.object_bytes, entry.raw_bytes), (body.len() as u64, joined(&given).len() as u64));
    assert!(entry.object_bytes * 3 < entry.raw_bytes, "events pack");

    let (tail, footer) = scrub::open_unlisted(&*store, &key, entry.object_bytes).await.expect("opens by itself");
    assert_eq!((tail.footer_position, tail.footer_bytes), (entry.footer_position, entry.footer_bytes));
    assert_eq!(footer.topic, segment(100, 1).topic);
    assert_eq!((&footer.aborted, &footer.epochs), (&segment(100, 1).aborted, &segment(100, 1).epochs));
    assert_eq!(&footer.producer_snapshot[..], b"producers");
    let mut digest = crate::format::Digest::default();
    digest.update(&joined(&given));
    assert_eq!(footer.digest.segment, digest.finish());
    assert_eq!(footer.digest, uploaded.digest);
    assert!(footer.chunks.len() > 1);

    let mut raw = Vec::new();
    let mut decoder = crate::format::ChunkDecoder::new().expect("zstd");
    for row in &footer.chunks {
        assert_eq!(row.codec, Codec::ZSTD);
        let stored = body.slice(row.position as usize..row.end_position() as usize);
        raw.extend_from_slice(&decoder.decode(row, stored).expect("unpacks"));
    }
    assert_eq!(raw, joined(&given));
    scrub::verify(&*store, partition(), entry, &Depth::Unpacked(pool())).await.expect("sound");
}

/// Each client that comes once leaves a producer behind, for a day.
#[tokio::test]
async fn producers_that_no_footer_holds_stop_no_upload() {
    let (_, store) = memory();
    let given = runs(0, 2, 100, true, 13);
    for (bytes, kept) in [(PRODUCERS_BYTES_MAX, true), (PRODUCERS_BYTES_MAX + 1, false), (17 << 20, false)] {
        let producer_snapshot = bytes::Bytes::from(vec![7; bytes]);
        let writer = ObjectWriter::new(store.clone(), pool(), Arc::new(ByteBudget::unlimited()));
        let upload = SegmentUpload { producer_snapshot, ..segment(0, bytes as u128) };
        let entry = writer.upload(upload, &mut RunList::new(&given)).await.expect("uploaded").entry;
        let (_, footer) =
            scrub::open_unlisted(&*store, &partition().segment_of(&entry), entry.object_bytes).await.expect("opens");
        assert_eq!(footer.producer_snapshot.len(), if kept { bytes } else { 0 });
        assert_eq!(footer.epochs, segment(0, 1).epochs);
    }
}

#[tokio::test]
async fn what_does_not_pack_is_stored_raw() {
    let (_, store) = memory();
    let given = runs(0, 10, 20_000, false, 12);
    let entry = upload(&store, 0, 1, &given).await.expect("uploaded").entry;
    let (_, footer) =
        scrub::open_unlisted(&*store, &partition().segment_of(&entry), entry.object_bytes).await.expect("opens");
    assert!(footer.chunks.iter().all(|row| row.codec == Codec::RAW));
    scrub::verify(&*store, partition(), &entry, &Depth::Unpacked(pool())).await.expect("sound");
}

#[tokio::test]
async fn a_store_that_damages_bytes_is_found_out() {
    let (memory, store) = memory();
    // The first read-back GET lies.
    memory.set_rule(|call| (call.method == Method::GetRange).then_some(Fault::BitFlip));
    let error = upload(&store, 0, 1, &runs(0, 5, 3000, true, 13)).await.expect_err("damaged");
    assert!(matches!(error, UploadError::Verify(ScrubError::Chunk { chunk: 0, .. })), "{error:?}");
}

#[tokio::test]
async fn a_store_that_vouches_is_not_read_back() {
    let (memory, store) = memory();
    memory.set_confirms_checksums(true);
    upload(&store, 0, 1, &runs(0, 5, 3000, true, 14)).await.expect("uploaded");
    let methods: Vec<_> = memory.calls().iter().map(|call| call.method).collect();
    assert_eq!(methods, [Method::PutStream]);
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_a_lost_request_is_an_error() {
    let given = runs(0, 5, 3000, true, 15);
    let (memory, store) = memory();
    memory.fault_at(0, Fault::LostAnswer);
    upload(&store, 0, 1, &given).await.expect("it is there, and read back");
    assert!(memory.calls().iter().any(|call| call.method == Method::GetRange));

    memory.fault_at(memory.call_count(), Fault::LostRequest);
    let error = upload(&store, 0, 2, &given).await.expect_err("never arrived");
    assert!(matches!(error, UploadError::Store(StoreError::NotFound { .. })), "{error:?}");
    memory.fault_at(memory.call_count(), Fault::Unavailable);
    let error = upload(&store, 0, 3, &given).await.expect_err("503");
    assert!(matches!(error, UploadError::Store(StoreError::Unavailable { .. })), "{error:?}");
}

#[tokio::test]
async fn runs_that_are_not_whole_batches_in_order_are_refused() {
    let (memory, store) = memory();
    let good = runs(0, 3, 100, true, 16);
    let mut torn = good.clone();
    torn[1].bytes = torn[1].bytes.slice(..torn[1].bytes.len() - 1);
    let swapped = vec![good[1].clone(), good[0].clone()];
    let mut mislabeled = good.clone();
    mislabeled[2].last_offset = Offset(205);
    let gap = vec![good[0].clone(), good[2].clone()];
    let late = good[1..].to_vec();
    let far = vec![good[0].clone(), good[2].clone(), good[1].clone()];
    let holes = [(gap.clone(), true), (late.clone(), true), (far, false)];
    for (bad, at) in [(torn, 100), (swapped, 100), (mislabeled, 200), (gap, 200), (late, 100)] {
        let error = upload(&store, 0, 1, &bad).await.expect_err("refused");
        assert!(matches!(error, UploadError::InvalidRun { base_offset } if base_offset == Offset(at)), "{error:?}");
    }
    assert!(matches!(upload(&store, 0, 1, &[]).await, Err(UploadError::Empty)));
    assert!(memory.keys().is_empty());
    // Where offsets may be missing they still rise.
    for (number, (runs, is_good)) in holes.into_iter().enumerate() {
        let writer = ObjectWriter::new(store.clone(), pool(), Arc::new(ByteBudget::unlimited()));
        let upload = SegmentUpload { may_have_holes: true, ..segment(0, 2 + number as u128) };
        let uploaded = writer.upload(upload, &mut RunList::new(&runs)).await;
        assert_eq!(uploaded.is_ok(), is_good, "{uploaded:?}");
    }
}

#[tokio::test]
async fn a_log_that_fails_is_the_error_reported() {
    struct Failing(RunList);
    impl RunSource for Failing {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<Run>, SourceError>> {
            Box::pin(async {
                match self.0.next().await? {
                    Some(run) => Ok(Some(run)),
                    None => Err(SourceError(Box::new(FormatError::Magic))),
                }
            })
        }
    }
    let (memory, store) = memory();
    let writer = ObjectWriter::new(store, pool(), Arc::new(ByteBudget::unlimited()));
    let mut source = Failing(RunList::new(&runs(0, 3, 100, true, 17)));
    let error = writer.upload(segment(0, 1), &mut source).await.expect_err("the log failed");
    assert!(matches!(error, UploadError::Source(_)), "{error:?}");
    assert!(memory.keys().is_empty());
}

#[tokio::test]
async fn a_store_that_refuses_is_the_error_reported() {
    // The place for incoming files is gone: the store fails before it takes a byte.
    struct Refusing(MemoryStore);
    impl RunSource for Refusing {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<Run>, SourceError>> {
            panic!("asked for bytes though {} objects are stored", self.0.keys().len())
        }
    }
    let (memory, _) = memory();
    let root = tempfile::tempdir().expect("tempdir");
    let files = crate::store::files::FilesStore::open(root.path()).expect("opened");
    std::fs::remove_dir_all(root.path().join(".incoming")).expect("removed");
    let writer = ObjectWriter::new(Arc::new(files), pool(), Arc::new(ByteBudget::unlimited()));
    let error = writer.upload(segment(0, 1), &mut Refusing(memory)).await.expect_err("refused");
    assert!(matches!(error, UploadError::Store(StoreError::Unavailable { .. })), "{error:?}");
    assert!(!error.to_string().contains("stopped taking"), "{error}");
}
