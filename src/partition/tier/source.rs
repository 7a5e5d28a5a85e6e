//! A closed segment as the uploader wants it: runs of whole, checked batches, read off the runtime's workers.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use stratalog_tiering::format::{AbortedTransaction, EpochStart, chunk_target_bytes};
use stratalog_tiering::upload::{Run, RunSource, SourceError};
use stratalog_types::{Offset, ProducerId};

use crate::log::SegmentReader;

/// What goes into the footer beside the batches.
pub struct Aside {
    pub epochs: Vec<EpochStart>,
    pub aborted: Vec<AbortedTransaction>,
    pub producer_snapshot: Bytes,
    pub may_have_holes: bool,
}

/// Splits an opened segment into its runs and what stands beside them.
pub fn open(segment: SegmentReader) -> (Runs, Aside) {
    let aside = Aside {
        epochs: segment
            .leader_epochs
            .iter()
            .map(|start| EpochStart { epoch: start.epoch, start_offset: start.start_offset })
            .collect(),
        aborted: segment
            .aborted_transactions
            .iter()
            .map(|aborted| AbortedTransaction {
                producer_id: ProducerId(aborted.producer_id),
                first_offset: Offset(aborted.first_offset),
                last_offset: Offset(aborted.last_offset),
                last_stable_offset: Offset(aborted.last_stable_offset),
            })
            .collect(),
        producer_snapshot: segment.producer_snapshot.clone().into(),
        may_have_holes: segment.may_have_holes,
    };
    let bytes_per_run = u32::try_from(chunk_target_bytes(segment.bytes)).unwrap_or(u32::MAX);
    (Runs { reader: Some(segment), bytes_per_run }, aside)
}

pub struct Runs {
    reader: Option<SegmentReader>,
    bytes_per_run: u32,
}

impl RunSource for Runs {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Run>, SourceError>> {
        async move {
            let Some(mut reader) = self.reader.take() else { return Ok(None) };
            let bytes_max = self.bytes_per_run;
            let read = tokio::task::spawn_blocking(move || {
                let run = reader.next_run(bytes_max);
                (reader, run)
            });
            let (reader, run) = read.await.map_err(|error| SourceError(Box::new(error)))?;
            self.reader = Some(reader);
            let run = run.map_err(|error| SourceError(Box::new(error)))?;
            Ok(run.map(|run| Run {
                bytes: run.bytes,
                base_offset: run.base_offset,
                last_offset: run.last_offset,
                min_timestamp: run.min_timestamp,
                max_timestamp: run.max_timestamp,
            }))
        }
        .boxed()
    }
}
