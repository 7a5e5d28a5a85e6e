//! Pages read on demand: one bounded cache for all partitions, each page fetched once however many ask.

use std::sync::Arc;

use moka::future::Cache;
use uuid::Uuid;

use super::error::ManifestError;
use super::page::{Page, PageRef};
use super::plan::{PageSet, Stop};
use crate::object_key::TierPartition;
use crate::store::{Purpose, Store, StoreError};

/// Decoded pages, bounded by their stored bytes. Cheap to clone.
#[derive(Clone)]
pub struct PageCache(Cache<Uuid, (u32, Arc<Page>)>);

impl PageCache {
    pub fn new(bytes_max: u64) -> PageCache {
        let weigh = |_: &Uuid, (bytes, _): &(u32, Arc<Page>)| *bytes;
        PageCache(Cache::builder().max_capacity(bytes_max).weigher(weigh).build())
    }
}

/// Reads the pages of one partition.
#[derive(Clone)]
pub struct PageReader {
    pub(super) store: Arc<dyn Store>,
    pub(super) cache: PageCache,
    pub(super) of: TierPartition,
}

#[derive(Debug, Clone, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Store(StoreError),
    #[error("malformed")]
    Malformed(super::wire::Malformed),
}

impl PageReader {
    pub fn new(store: Arc<dyn Store>, cache: PageCache, of: TierPartition) -> PageReader {
        PageReader { store, cache, of }
    }

    /// The page that `reference` names, checked against it.
    pub async fn load(&self, reference: &PageRef) -> Result<Arc<Page>, ManifestError> {
        let key = self.of.page(&reference.name());
        let fetch = async {
            let (bytes, _) = self.store.get(&key, Purpose::ManifestRead).await.map_err(LoadError::Store)?;
            let page = Page::decode_as(&bytes, self.of, reference).map_err(LoadError::Malformed)?;
            Ok((reference.bytes, Arc::new(page)))
        };
        let loaded: Result<_, Arc<LoadError>> = self.cache.0.try_get_with(reference.uuid, fetch).await;
        match loaded {
            Ok((_, page)) => Ok(page),
            Err(error) => Err(match error.as_ref() {
                LoadError::Store(source) => ManifestError::Store { of: self.of, source: source.clone() },
                LoadError::Malformed(malformed) => ManifestError::Corrupt { key, malformed: *malformed },
            }),
        }
    }

    /// Runs a plan, loading the pages that it asks for. A plan asks for a page once, so this ends.
    pub(crate) async fn planned<T>(
        &self,
        plan: impl Fn(&PageSet) -> Result<T, Stop>,
    ) -> Result<Planned<T>, ManifestError> {
        let mut pages = PageSet::new();
        loop {
            match plan(&pages) {
                Ok(value) => return Ok(Planned::Next(value)),
                Err(Stop::Nothing) => return Ok(Planned::Nothing),
                Err(Stop::Refused(refusal)) => return Err(refusal.into()),
                Err(Stop::Need(reference)) => {
                    let page = self.load(&reference).await?;
                    pages.insert(reference.uuid, page);
                }
            }
        }
    }
}

pub(crate) enum Planned<T> {
    Next(T),
    Nothing,
}
