//! What readers see: one version of the manifest, immutable, cheap to share.
//!
//! A view never waits for a head in flight. Lookups in the head are in memory; older segments cost one page per level,
//! cached. A view may be used for `Grace::head_use` after it was taken; an object that is then missing means: refresh.

use std::sync::Arc;

use stratalog_types::Offset;

use super::error::ManifestError;
use super::head::{Head, Token};
use super::page::Totals;
use super::pages::{PageReader, Planned};
use super::plan;
use super::wire::Malformed;
use crate::entry::Entry;
use crate::store::{Purpose, StoreError};

#[derive(Clone)]
pub struct ManifestView {
    head: Option<Arc<Head>>,
    pages: PageReader,
}

/// Where an offset is, as far as the tier knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    Found(Entry),
    /// Expired: below the log start.
    BelowLogStart {
        log_start_offset: Offset,
    },
    /// Not tiered (yet): at or past the tiered end.
    Beyond {
        next_offset: Offset,
    },
    /// No copy on disk and the bucket was not asked yet: retriable, never "out of range".
    Unknown,
}

impl std::fmt::Debug for ManifestView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManifestView").field("head", &self.head).finish_non_exhaustive()
    }
}

impl ManifestView {
    pub(crate) fn new(head: Option<Arc<Head>>, pages: PageReader) -> ManifestView {
        ManifestView { head, pages }
    }

    pub fn head(&self) -> Option<&Head> {
        self.head.as_deref()
    }

    /// False until a local copy or the bucket has said anything.
    pub fn is_known(&self) -> bool {
        self.head.is_some()
    }

    pub fn version(&self) -> u64 {
        self.head().map_or(0, |head| head.version)
    }

    pub fn token(&self) -> Token {
        self.head().map(|head| head.token).unwrap_or_default()
    }

    pub fn log_start_offset(&self) -> Offset {
        self.head().map_or(Offset::ZERO, |head| head.log_start_offset)
    }

    /// Where the next upload begins: max(tiered end, log start).
    pub fn next_offset(&self) -> Offset {
        self.head().map_or(Offset::ZERO, |head| head.next_offset)
    }

    /// One past the last tiered offset; `None` when nothing is tiered.
    pub fn tiered_end_offset(&self) -> Option<Offset> {
        self.head().and_then(Head::tiered_end)
    }

    /// Of all segments that end above the log start.
    pub fn totals(&self) -> Totals {
        self.head().map(|head| head.totals).unwrap_or_default()
    }

    /// Deleted objects that wait for their grace.
    pub fn marks(&self) -> usize {
        self.head().map_or(0, |head| head.marks.len())
    }

    pub async fn lookup(&self, offset: Offset) -> Result<Lookup, ManifestError> {
        let Some(head) = self.head() else { return Ok(Lookup::Unknown) };
        if offset < head.log_start_offset {
            return Ok(Lookup::BelowLogStart { log_start_offset: head.log_start_offset });
        }
        if offset >= head.next_offset {
            return Ok(Lookup::Beyond { next_offset: head.next_offset });
        }
        let planned = self.pages.planned(|pages| plan::find(head, offset, pages)?.ok_or(plan::Stop::Nothing)).await?;
        Ok(match planned {
            Planned::Next(entry) => Lookup::Found(entry),
            Planned::Nothing => Lookup::Beyond { next_offset: head.next_offset },
        })
    }

    /// The first segment at or after `from` that may hold a record at or after `timestamp`.
    pub async fn lookup_timestamp(&self, timestamp: i64, from: Offset) -> Result<Option<Entry>, ManifestError> {
        let Some(head) = self.head() else { return Ok(None) };
        let plan =
            |pages: &plan::PageSet| plan::find_timestamp(head, timestamp, from, pages)?.ok_or(plan::Stop::Nothing);
        Ok(match self.pages.planned(plan).await? {
            Planned::Next(entry) => Some(entry),
            Planned::Nothing => None,
        })
    }

    /// The largest timestamp among the segments that hold an offset of `from .. below`, by what the head says of them:
    /// no page is read. A page or a segment that a bound cuts counts whole, so that this may be more than what is there,
    /// never less. `None` when no record there has a timestamp.
    pub fn max_timestamp(&self, from: Offset, below: Offset) -> Option<i64> {
        self.newest_where(from, |from, base, end| base < below && end > from)
    }

    /// The same of those pages and segments that no bound cuts: never more than what is there, maybe less.
    pub fn max_timestamp_within(&self, from: Offset, below: Offset) -> Option<i64> {
        self.newest_where(from, |from, base, end| base >= from && end <= below)
    }

    fn newest_where(&self, from: Offset, counts: impl Fn(Offset, Offset, Offset) -> bool) -> Option<i64> {
        let head = self.head()?;
        let from = from.max(head.log_start_offset);
        let pages = head.pages.iter().map(|page| (page.base_offset, page.end_offset, page.max_timestamp));
        let entries = head.entries.iter().map(|entry| (entry.base_offset, entry.end_offset, entry.max_timestamp));
        let counted = pages.chain(entries).filter(|(base, end, _)| counts(from, *base, *end));
        counted.map(|(.., timestamp)| timestamp).max().filter(|timestamp| *timestamp >= 0)
    }

    /// Up to `count_max` entries from the one that holds `from` on, in order.
    pub async fn entries_from(&self, from: Offset, count_max: usize) -> Result<Vec<Entry>, ManifestError> {
        let mut entries = Vec::new();
        let mut at = from.max(self.log_start_offset());
        while entries.len() < count_max {
            match self.lookup(at).await? {
                Lookup::Found(entry) => {
                    at = entry.end_offset;
                    entries.push(entry);
                }
                Lookup::BelowLogStart { .. } | Lookup::Beyond { .. } | Lookup::Unknown => break,
            }
        }
        Ok(entries)
    }

    /// The newest tiered segment; `None` when nothing is tiered.
    pub async fn last_entry(&self) -> Result<Option<Entry>, ManifestError> {
        let Some(end) = self.tiered_end_offset() else { return Ok(None) };
        if let Some(entry) = self.head().and_then(|head| head.entries.last()) {
            return Ok(Some(entry.clone()));
        }
        Ok(match self.lookup(Offset(end.get().saturating_sub(1))).await? {
            Lookup::Found(entry) => Some(entry),
            Lookup::BelowLogStart { .. } | Lookup::Beyond { .. } | Lookup::Unknown => None,
        })
    }
}

/// The manifest as the bucket has it now, for whoever reads without leading: tools, read-only serving, followers.
/// `None` when the partition has no head. Nothing is written, no log start is checkpointed.
pub async fn read_manifest(pages: &PageReader) -> Result<Option<ManifestView>, ManifestError> {
    let key = pages.of.head();
    let bytes = match pages.store.get(&key, Purpose::ManifestRead).await {
        Ok((bytes, _)) => bytes,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(ManifestError::Store { of: pages.of, source }),
    };
    let corrupt = |malformed| ManifestError::Corrupt { key: key.clone(), malformed };
    let head = Head::decode(&bytes).map_err(corrupt)?;
    if head.identity.of != pages.of {
        return Err(corrupt(Malformed::Rule("the head of another partition")));
    }
    Ok(Some(ManifestView::new(Some(Arc::new(head)), pages.clone())))
}
