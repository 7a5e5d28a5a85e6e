//! Footers, loaded once and kept.

use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use uuid::Uuid;

use super::ReplayError;
use super::flight::{Flights, Joined};
use super::loads::ObjectRef;
use crate::entry::Entry;
use crate::format::{FOOTER_BYTES_MAX, Footer, FormatError};
use crate::store::{Purpose, Store, StoreError};

#[derive(Clone)]
pub(super) struct Footers {
    store: Arc<dyn Store>,
    cache: Cache<Uuid, Arc<Footer>>,
    flights: Flights<Uuid, Arc<Footer>>,
}

impl Footers {
    pub(super) fn new(store: Arc<dyn Store>, bytes_max: u64) -> Footers {
        let cache = Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_, footer: &Arc<Footer>| u32::try_from(footer.weight()).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Footers { store, cache, flights: Flights::default() }
    }

    pub(super) fn cached(&self, entry: &Entry) -> Option<Arc<Footer>> {
        self.cache.get(&entry.uuid)
    }

    pub(super) async fn get(&self, object: &ObjectRef, entry: &Entry) -> Result<Arc<Footer>, ReplayError> {
        let (landing, flight) = match self.flights.join(entry.uuid, || self.cached(entry)) {
            Joined::Here(footer) => return Ok(footer),
            Joined::Waits(flight) => return flight.wait().await,
            Joined::Ours(landing, flight) => (landing, flight),
        };
        let (this, object, entry) = (self.clone(), object.clone(), entry.clone());
        tokio::spawn(async move {
            let outcome = this.load(&object, &entry).await;
            if let Ok(footer) = &outcome {
                this.cache.insert(entry.uuid, footer.clone());
            }
            landing.land(outcome);
        });
        flight.wait().await
    }

    async fn load(&self, object: &ObjectRef, entry: &Entry) -> Result<Arc<Footer>, ReplayError> {
        let corrupt = |source| ReplayError::CorruptFooter { key: object.key.clone(), source };
        let end = entry.footer_position.saturating_add(u64::from(entry.footer_bytes));
        if entry.footer_bytes as usize > FOOTER_BYTES_MAX || end > entry.object_bytes {
            return Err(corrupt(FormatError::Invalid { what: "manifest entry", reason: "impossible footer" }));
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let bytes = self
                .store
                .get_range(&object.key, entry.footer_position..end, Purpose::Footer)
                .await
                .map_err(|error| object.explain(error))?;
            match Footer::decode(&bytes, entry.footer_crc, entry.footer_position) {
                Ok(footer) => return Ok(Arc::new(footer)),
                // Once more: a bit may have flipped on the way.
                Err(FormatError::Checksum { .. }) if attempts == 1 => {}
                Err(source) => return Err(corrupt(source)),
            }
        }
    }
}

impl ObjectRef {
    pub(super) fn explain(&self, error: StoreError) -> ReplayError {
        match error {
            StoreError::NotFound { .. } => ReplayError::ObjectMissing { key: self.key.clone() },
            other => ReplayError::Store(other),
        }
    }
}
