//! Marked objects go once this session has seen their mark committed for the grace, then the mark goes.
//!
//! Order of effects: DELETE, then a commit that drops the mark. A crash between leaves the mark; the next session waits a
//! whole grace of its own and deletes again, which is harmless because no name is ever used twice. A page's mark stands
//! for everything below the page: segments first, then the page, so a page that is gone has nothing left below it.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::manifest::error::ManifestError;
use crate::manifest::head::{Mark, MarkKind};
use crate::manifest::page::{Items, Page};
use crate::manifest::plan;
use crate::manifest::session::{Inner, PartitionManifest};
use crate::object_key::ObjectName;
use crate::planted::{Bug, planted};
use crate::store::{Purpose, StoreError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// DELETE requests answered.
    pub deletes: u64,
    pub marks_dropped: usize,
    pub marks_left: usize,
}

impl PartitionManifest {
    /// Deletes what has waited long enough, with at most about `deletes_max` requests. Commits go on meanwhile.
    pub async fn reap(&self, deletes_max: u64) -> Result<Reaped, ManifestError> {
        let inner = &self.0;
        let (due, session) = {
            let mut state = inner.state.lock().await;
            let active = state.active(inner)?;
            let now = (inner.ambient.monotonic)();
            let due = |mark: &&Mark| inner.is_due(mark, active.observed.get(&mark.name).copied(), now);
            (active.head.marks.iter().filter(due).copied().collect::<Vec<_>>(), active.session)
        };
        let mut budget = deletes_max;
        let mut gone = Vec::new();
        let mut failed = None;
        for mark in &due {
            if budget == 0 {
                break;
            }
            match inner.delete_marked(mark, &mut budget).await {
                Ok(true) => gone.push(mark.name),
                Ok(false) => break,
                // One object's trouble does not keep the others; the mark stays and the next reap tries again.
                Err(error) => failed = Some(error),
            }
        }
        let mut state = inner.state.lock().await;
        let active = state.active(inner)?;
        let deletes = deletes_max.saturating_sub(budget);
        if active.session != session {
            return Ok(Reaped { deletes, marks_dropped: 0, marks_left: active.head.marks.len() });
        }
        if !gone.is_empty() {
            inner.commit(&mut state, |head, _| plan::plan_reap(head, &gone)).await?;
        }
        let marks_left = state.active(inner)?.head.marks.len();
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(Reaped { deletes, marks_dropped: gone.len(), marks_left })
    }
}

impl Inner {
    fn is_due(&self, mark: &Mark, observed: Option<Duration>, now: Duration) -> bool {
        if planted(Bug::NoGrace) {
            return true;
        }
        if planted(Bug::GraceFromDeletedAt) {
            let waited = (self.ambient.wall_ms)().saturating_sub(mark.deleted_at);
            return u128::try_from(waited).is_ok_and(|waited| waited >= self.config.grace.mark.as_millis());
        }
        observed.is_some_and(|observed| now.saturating_sub(observed) >= self.config.grace.mark)
    }

    /// Whether all of it is gone; `false` when the budget ran out on the way.
    async fn delete_marked(&self, mark: &Mark, budget: &mut u64) -> Result<bool, ManifestError> {
        match mark.kind {
            MarkKind::Segment => self.delete(&mark.key(self.config.of()), budget).await.map(|()| true),
            MarkKind::Page => self.delete_tree(mark.name, budget).await,
        }
    }

    fn delete_tree<'a>(&'a self, name: ObjectName, budget: &'a mut u64) -> BoxFuture<'a, Result<bool, ManifestError>> {
        Box::pin(async move {
            let Some(page) = self.page_by_name(name).await? else { return Ok(true) };
            match &page.items {
                Items::Entries(entries) => {
                    for entry in entries {
                        if *budget == 0 {
                            return Ok(false);
                        }
                        self.delete(&self.config.of().segment_of(entry), budget).await?;
                    }
                }
                Items::Pages(pages) => {
                    for child in pages {
                        if *budget == 0 || !self.delete_tree(child.name(), budget).await? {
                            return Ok(false);
                        }
                    }
                }
            }
            self.delete(&self.config.of().page(&name), budget).await?;
            Ok(true)
        })
    }

    /// A page known by name alone; `None` when it is gone.
    pub(super) async fn page_by_name(&self, name: ObjectName) -> Result<Option<Page>, ManifestError> {
        let key = self.config.of().page(&name);
        let bytes = match self.store.get(&key, Purpose::Retention).await {
            Ok((bytes, _)) => bytes,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.store_error(error)),
        };
        let corrupt = |malformed| ManifestError::Corrupt { key: key.clone(), malformed };
        let page = Page::decode(&bytes).map_err(corrupt)?;
        if page.of != self.config.of() || page.uuid != name.uuid {
            return Err(corrupt(crate::manifest::wire::Malformed::Rule("another page than the one named")));
        }
        Ok(Some(page))
    }

    async fn delete(&self, key: &str, budget: &mut u64) -> Result<(), ManifestError> {
        *budget = budget.saturating_sub(1);
        match self.store.delete(key, Purpose::Retention).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.store_error(error)),
        }
    }
}
