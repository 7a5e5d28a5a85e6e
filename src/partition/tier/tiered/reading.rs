//! Reads of tiered history, and its verification.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use stratalog_tiering::entry::Entry;
use stratalog_tiering::format::Footer;
use stratalog_tiering::manifest::{Lookup, ManifestError, PartitionManifest};
use stratalog_tiering::reader::{IndexError, ReadAnswer, ReadRequest, ReplayError, SegmentIndex};
use stratalog_tiering::scrub::{self, Depth};
use stratalog_types::Offset;
use tokio::time::Instant;

use super::{TierError, Tiered};

impl Tiered {
    /// Whole batches from the one that holds `from`, and the offset below which nothing is left to read.
    pub async fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<(Vec<Bytes>, Offset), TierError> {
        let request = ReadRequest { of: self.of, offset: from, bytes_max, deadline };
        match self.tier.replay.read(&self.index, request).await? {
            ReadAnswer::Data(read) => {
                Ok((read.slices.into_iter().map(|slice| slice.bytes).collect(), read.next_offset))
            }
            ReadAnswer::Pending => Err(TierError::NotInTime),
            ReadAnswer::End => Err(TierError::Hole { from, to: self.log.local_log_start_offset() }),
        }
    }

    /// The footer of the segment that holds `offset`, or else of the next one, and where that segment ends. `None`: there
    /// is none in the tier.
    pub async fn footer_at(
        &self,
        offset: Offset,
        deadline: Instant,
    ) -> Result<Option<(Offset, Arc<Footer>)>, TierError> {
        let found = tokio::time::timeout_at(deadline, self.index.find(offset)).await;
        let Some(entry) = found.map_err(|_| TierError::NotInTime)?.map_err(ReplayError::from)? else { return Ok(None) };
        let footer = self.tier.replay.footer(self.of, &entry, deadline).await?.ok_or(TierError::NotInTime)?;
        Ok(Some((entry.end_offset, footer)))
    }

    /// The first segment that holds `from` or what comes after it, and may hold a record at or after `timestamp`. A store
    /// that is not in time is [`TierError::NotInTime`], never `None`.
    pub async fn segment_at_timestamp(
        &self,
        timestamp: i64,
        from: Offset,
        deadline: Instant,
    ) -> Result<Option<Entry>, TierError> {
        let found = async { self.view().lookup_timestamp(timestamp, from).await };
        Ok(tokio::time::timeout_at(deadline, found).await.map_err(|_| TierError::NotInTime)??)
    }

    /// The first batches of the segment, from `from` on, that may hold a record at or after `timestamp`: one chunk, and
    /// the offset after it. `None`: its late records lie before `from`.
    pub async fn chunk_of(
        &self,
        entry: &Entry,
        timestamp: i64,
        from: Offset,
        deadline: Instant,
    ) -> Result<Option<(Bytes, Offset)>, TierError> {
        match self.tier.replay.chunk_at_timestamp(self.of, entry, timestamp, from, deadline).await? {
            ReadAnswer::Data(read) => {
                let next_offset = read.next_offset;
                Ok(read.slices.into_iter().next().map(|slice| (slice.bytes, next_offset)))
            }
            ReadAnswer::Pending => Err(TierError::NotInTime),
            ReadAnswer::End => Ok(None),
        }
    }

    /// Every entry of the manifest, in order.
    pub async fn entries(&self) -> Result<Vec<Entry>, TierError> {
        Ok(self.view().entries_from(Offset::ZERO, usize::MAX).await?)
    }

    /// Reads an object's real bytes and checks them all.
    pub async fn verify(&self, entry: &Entry) -> Result<scrub::Verified, TierError> {
        let depth = Depth::Unpacked(self.tier.codecs.clone());
        Ok(scrub::verify(&*self.tier.store, self.of, entry, &depth).await?)
    }

    /// The name of an entry's object.
    pub fn object_of(&self, entry: &Entry) -> String {
        self.of.segment_of(entry)
    }
}

/// The manifest as the cold reader asks it.
pub(super) struct Index(pub(super) PartitionManifest);

impl SegmentIndex for Index {
    fn find(&self, offset: Offset) -> BoxFuture<'_, Result<Option<Entry>, IndexError>> {
        let view = self.0.snapshot();
        async move {
            let failed = |error: ManifestError| IndexError(Arc::new(error));
            match view.lookup(offset).await.map_err(failed)? {
                Lookup::Found(entry) => Ok(Some(entry)),
                Lookup::BelowLogStart { log_start_offset } => {
                    match view.lookup(log_start_offset).await.map_err(failed)? {
                        Lookup::Found(entry) => Ok(Some(entry)),
                        Lookup::BelowLogStart { .. } | Lookup::Beyond { .. } | Lookup::Unknown => Ok(None),
                    }
                }
                Lookup::Beyond { .. } => Ok(None),
                Lookup::Unknown => {
                    let unasked = ManifestError::Inactive { of: self.0.partition() };
                    Err(IndexError(Arc::new(unasked)))
                }
            }
        }
        .boxed()
    }
}
