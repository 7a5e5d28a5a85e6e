//! The sweeper: removes objects of a partition that no manifest names and none can come to name.
//!
//! Steps, for a batch of keys: LIST (stale is fine); **then** commit a new head version, so that every commit still in
//! flight loses; then orphans = listed - everything that head reaches - its marks with all below them - names this
//! session is uploading; then DELETE. A missing head or a page that cannot be read ends the sweep: it never means that
//! everything is an orphan. Only keys of this partition, which this session leads, are looked at; names that do not parse
//! are left alone. A crash anywhere leaves fewer orphans.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use stratalog_types::Offset;
use uuid::Uuid;

use crate::manifest::error::ManifestError;
use crate::manifest::head::{Head, MarkKind};
use crate::manifest::page::{Items, Page, PageRef};
use crate::manifest::session::{Inner, PartitionManifest, lock};
use crate::object_key::{self, ObjectKey, ObjectName};
use crate::planted::{Bug, planted};
use crate::store::{ObjectInfo, Purpose, StoreError};

/// Keys per fence: bounds memory, and is one commit per so many objects.
const BATCH_MAX: usize = 4000;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    pub listed: u64,
    pub orphans: u64,
    pub orphan_bytes: u64,
    /// Orphans younger than the age grace, left for the next time.
    pub young: u64,
    pub deleted: u64,
    pub uploads_aborted: u64,
}

struct Candidate {
    name: ObjectName,
    info: ObjectInfo,
}

impl PartitionManifest {
    /// Sweeps the partition's prefix. A dry run deletes nothing and commits nothing, so it may count what is in flight.
    pub async fn sweep(&self, dry_run: bool) -> Result<Swept, ManifestError> {
        let inner = &self.0;
        let mut swept = Swept::default();
        let mut after = None;
        loop {
            let (candidates, last) = inner.list_candidates(after.as_deref(), &mut swept).await?;
            if !candidates.is_empty() {
                inner.sweep_batch(&candidates, dry_run, &mut swept).await?;
            }
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        if !dry_run {
            let older_than_ms = i64::try_from(inner.config.grace.late_put.as_millis()).unwrap_or(i64::MAX);
            let prefix = inner.config.of().prefix();
            swept.uploads_aborted = inner
                .store
                .abort_stale_uploads(&prefix, older_than_ms)
                .await
                .map_err(|error| inner.store_error(error))?;
        }
        Ok(swept)
    }
}

impl Inner {
    /// The next segments and pages in key order, and the key to go on after; `None` at the end.
    async fn list_candidates(
        &self,
        after: Option<&str>,
        swept: &mut Swept,
    ) -> Result<(Vec<Candidate>, Option<String>), ManifestError> {
        let prefix = self.config.of().prefix();
        let mut candidates = Vec::new();
        let mut last = after.map(str::to_owned);
        while candidates.len() < BATCH_MAX {
            let listed = self.store.list(&prefix, last.as_deref(), Purpose::Sweep).await;
            let listed = listed.map_err(|error| self.store_error(error))?;
            let Some(newest) = listed.last() else { return Ok((candidates, None)) };
            last = Some(newest.key.clone());
            for info in listed {
                let name = match object_key::parse(&info.key) {
                    Some(ObjectKey::Segment { of, name } | ObjectKey::Page { of, name }) if of == self.config.of() => {
                        name
                    }
                    _ => continue,
                };
                swept.listed += 1;
                candidates.push(Candidate { name, info });
            }
        }
        Ok((candidates, last))
    }

    async fn sweep_batch(
        &self,
        candidates: &[Candidate],
        dry_run: bool,
        swept: &mut Swept,
    ) -> Result<(), ManifestError> {
        let (head, pending) = self.fence(dry_run).await?;
        let bases = || candidates.iter().map(|candidate| candidate.name.base_offset);
        let (low, high) = (bases().min().unwrap_or(Offset::ZERO), bases().max().unwrap_or(Offset::MAX));
        let mut reached = Reached { low, high, uuids: pending, log_start_offset: head.log_start_offset };
        self.reach(&head, &mut reached).await?;
        let store_now = match self.store.head(&self.config.of().head(), Purpose::Sweep).await {
            Ok(info) => info.modified_at,
            Err(StoreError::NotFound { .. }) => return Err(self.head_gone().await),
            Err(error) => return Err(self.store_error(error)),
        };
        let grace_ms = i64::try_from(self.config.grace.sweep_age.as_millis()).unwrap_or(i64::MAX);
        for candidate in candidates.iter().filter(|candidate| !reached.uuids.contains(&candidate.name.uuid)) {
            swept.orphans += 1;
            swept.orphan_bytes = swept.orphan_bytes.saturating_add(candidate.info.bytes);
            if store_now.saturating_sub(candidate.info.modified_at) < grace_ms {
                swept.young += 1;
                continue;
            }
            if dry_run {
                continue;
            }
            match self.store.delete(&candidate.info.key, Purpose::Sweep).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => swept.deleted += 1,
                Err(error) => return Err(self.store_error(error)),
            }
        }
        Ok(())
    }

    /// A head version committed after the LIST, and the names that this session may still commit.
    async fn fence(&self, dry_run: bool) -> Result<(Arc<Head>, HashSet<Uuid>), ManifestError> {
        let mut state = self.state.lock().await;
        if !dry_run && !planted(Bug::SweepWithoutFence) {
            self.commit(&mut state, |head, _| Ok(head.clone())).await?;
        }
        let head = Arc::clone(&state.active(self)?.head);
        let pending = if planted(Bug::SweeperIgnoresPending) { HashSet::new() } else { lock(&self.pending).clone() };
        Ok((head, pending))
    }

    async fn reach(&self, head: &Head, reached: &mut Reached) -> Result<(), ManifestError> {
        reached.uuids.extend(head.entries.iter().map(|entry| entry.uuid));
        if !planted(Bug::SweeperIgnoresPages) {
            for page in &head.pages {
                self.reach_page(page, reached).await?;
            }
        }
        for mark in &head.marks {
            reached.uuids.insert(mark.name.uuid);
            // Gone: it went after everything below it.
            if mark.kind == MarkKind::Page
                && let Some(page) = self.page_by_name(mark.name).await?
            {
                self.reach_items(&page, reached).await?;
            }
        }
        Ok(())
    }

    fn reach_page<'a>(
        &'a self,
        page: &'a PageRef,
        reached: &'a mut Reached,
    ) -> BoxFuture<'a, Result<(), ManifestError>> {
        Box::pin(async move {
            if page.base_offset > reached.high || page.end_offset <= reached.low {
                return Ok(());
            }
            reached.uuids.insert(page.uuid);
            match self.pages.load(page).await {
                Ok(loaded) => self.reach_items(&loaded, reached).await,
                // Expired inside a page that stays: its own mark was reaped.
                Err(ManifestError::Store { source: StoreError::NotFound { .. }, .. })
                    if page.end_offset <= reached.log_start_offset =>
                {
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })
    }

    async fn reach_items(&self, page: &Page, reached: &mut Reached) -> Result<(), ManifestError> {
        match &page.items {
            Items::Entries(entries) => {
                reached.uuids.extend(entries.iter().map(|entry| entry.uuid));
                Ok(())
            }
            Items::Pages(children) => {
                for child in children {
                    self.reach_page(child, reached).await?;
                }
                Ok(())
            }
        }
    }
}

/// The names that must stay, of those whose base lies in `low..=high`.
struct Reached {
    low: Offset,
    high: Offset,
    log_start_offset: Offset,
    uuids: HashSet<Uuid>,
}
