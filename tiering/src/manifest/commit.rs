//! One commit to the head, through every answer that a store can give.
//!
//! Success is only ever "200" or "I read it". After anything else the head is read again: our own bytes mean committed; a
//! higher token or a foreign session means stop; an unchanged head means plan anew, with new bytes, because the request
//! in doubt may still land: it then loses the compare-and-swap, or the next read finds it.
//!
//! After a commit is known, in this order: marks are noted with the time they were seen, a moved log start is
//! checkpointed by the caller's hook, the view is exposed, the local copy is saved. A crash between leaves a bucket that
//! is ahead of the disk, which the next `start` reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::error::ManifestError;
use super::head::{Head, HeadState, Token};
use super::pages::Planned;
use super::plan::{PageSet, Stop};
use super::session::{Committed, Inner};
use super::view::ManifestView;
use crate::object_key::{self, ObjectName};
use crate::planted::{Bug, planted};
use crate::store::{Etag, Purpose, StoreError};

/// One leadership of one process: the only writer of the head while it lasts.
pub(crate) struct Active {
    pub(crate) token: Token,
    pub(crate) session: Uuid,
    pub(crate) head: Arc<Head>,
    etag: Etag,
    /// A request is in doubt: read before the next plan.
    uncertain: bool,
    /// When this session first saw each mark committed.
    pub(crate) observed: HashMap<ObjectName, Duration>,
    pub(crate) reconciled: bool,
}

impl Active {
    pub(crate) fn new(token: Token, session: Uuid, head: Arc<Head>, etag: Etag) -> Active {
        Active { token, session, head, etag, uncertain: false, observed: HashMap::new(), reconciled: true }
    }
}

pub(crate) enum State {
    Idle,
    Active(Box<Active>),
    Fenced { by: Token, mine: Token },
    Gone,
}

enum Reread {
    Ours,
    Unchanged,
    /// An earlier request of this session landed.
    Moved,
}

impl Inner {
    /// Plans, writes and adopts one head; `Ok` also when the head already says what was wished.
    pub(crate) async fn commit(
        &self,
        state: &mut State,
        plan: impl Fn(&Head, &PageSet) -> Result<Head, Stop>,
    ) -> Result<Committed, ManifestError> {
        let outcome = self.commit_active(state.active(self)?, &plan).await;
        if let Err(error) = &outcome {
            state.leave_on(error);
        }
        outcome
    }

    async fn commit_active(
        &self,
        active: &mut Active,
        plan: &impl Fn(&Head, &PageSet) -> Result<Head, Stop>,
    ) -> Result<Committed, ManifestError> {
        if active.uncertain {
            self.reread(active, None).await?;
        }
        if self.view().version() < active.head.version {
            // Committed before, but its log start could not be checkpointed then.
            let bytes = self.encode(&active.head)?;
            self.expose(&active.head, bytes).await?;
        }
        let attempts = self.config.retry.attempts_max;
        for attempt in 0..attempts {
            let base = Arc::clone(&active.head);
            let next = match self.pages.planned(|pages| plan(&base, pages)).await? {
                Planned::Nothing => return Ok(self.committed(&active.head)),
                Planned::Next(next) => self.seal(next, active.token, active.session),
            };
            let bytes = self.encode(&next)?;
            let key = self.config.of().head();
            let expected = if planted(Bug::PutWithoutIfMatch) {
                self.store.get(&key, Purpose::Commit).await.map_err(|error| self.store_error(error))?.1
            } else {
                active.etag.clone()
            };
            let answer = self.store.put_if_match(&key, bytes.clone().into(), &expected, Purpose::Commit).await;
            match answer {
                Ok(etag) => return self.adopt(active, next, etag, bytes).await,
                Err(StoreError::Refused { key, reason }) => {
                    return Err(self.store_error(StoreError::Refused { key, reason }));
                }
                Err(StoreError::Ambiguous { .. }) if planted(Bug::TrustLostAnswer) => {
                    let etag = active.etag.clone();
                    return self.adopt(active, next, etag, bytes).await;
                }
                Err(_) => active.uncertain = true,
            }
            if let Reread::Ours = self.reread(active, Some(&next)).await? {
                return Ok(self.committed(&active.head));
            }
            self.back_off(attempt).await;
        }
        Err(ManifestError::Contended { of: self.config.of(), attempts })
    }

    /// Reads the head after a doubt and says what became of `pending`.
    async fn reread(&self, active: &mut Active, pending: Option<&Head>) -> Result<Reread, ManifestError> {
        let Some((head, etag, bytes)) = self.get_head().await? else { return Err(self.head_gone().await) };
        if head.state == HeadState::Tombstone {
            return Err(ManifestError::TopicDeleted { of: self.config.of() });
        }
        if head.token.outranks(&active.token) {
            return Err(ManifestError::Fenced { of: self.config.of(), by: head.token, mine: active.token });
        }
        if head.session != active.session && !planted(Bug::NoTokenCompare) {
            return Err(ManifestError::Inactive { of: self.config.of() });
        }
        if head.version < active.head.version {
            let (found, known) = (head.version, active.head.version);
            return Err(ManifestError::RolledBack { of: self.config.of(), found, known });
        }
        let outcome = match pending {
            Some(pending) if *pending == head => Reread::Ours,
            _ if *active.head == head => Reread::Unchanged,
            _ => Reread::Moved,
        };
        if let Reread::Unchanged = outcome {
            active.etag = etag;
            active.uncertain = false;
        } else {
            self.adopt(active, head, etag, bytes).await?;
        }
        Ok(outcome)
    }

    /// Takes a head that is known to be committed, with its effects in order.
    pub(crate) async fn adopt(
        &self,
        active: &mut Active,
        head: Head,
        etag: Etag,
        bytes: Vec<u8>,
    ) -> Result<Committed, ManifestError> {
        let now = (self.ambient.monotonic)();
        active.observed.retain(|name, _| head.marks.iter().any(|mark| mark.name == *name));
        for mark in &head.marks {
            active.observed.entry(mark.name).or_insert(now);
        }
        active.head = Arc::new(head);
        active.etag = etag;
        active.uncertain = false;
        self.expose(&active.head, bytes).await
    }

    /// Checkpoint, then expose, then the local copy.
    pub(crate) async fn expose(&self, head: &Arc<Head>, bytes: Vec<u8>) -> Result<Committed, ManifestError> {
        let log_start_offset = head.log_start_offset;
        let exposed = self.view().log_start_offset();
        if log_start_offset > exposed && !planted(Bug::NoLogStartCheckpoint) {
            let log = Arc::clone(&self.log);
            let checkpointed = blocking(move || log.checkpoint_log_start(log_start_offset)).await;
            checkpointed.map_err(|source| ManifestError::Checkpoint {
                of: self.config.of(),
                log_start_offset,
                source,
            })?;
        }
        self.set_view(ManifestView::new(Some(Arc::clone(head)), self.pages.clone()));
        let (log, copy) = (Arc::clone(&self.log), self.copy.clone());
        match blocking(move || log.in_directory(&mut || copy.save(&bytes))).await {
            Ok(()) => self.set_durable(head),
            // The commit stands; only local eviction waits for a copy that is durable.
            Err(source) => {
                let error = ManifestError::LocalCopy { path: self.copy.path(), source };
                tracing::error!(of = %self.config.of(), error = &error as &dyn std::error::Error, "local manifest copy not saved");
            }
        }
        Ok(self.committed(head))
    }

    pub(crate) fn committed(&self, head: &Head) -> Committed {
        Committed {
            version: head.version,
            log_start_offset: head.log_start_offset,
            next_offset: head.next_offset,
            durable_next_offset: self.durable_next_offset(),
        }
    }

    /// Bytes that were never written before: version and nonce.
    pub(crate) fn seal(&self, mut next: Head, token: Token, session: Uuid) -> Head {
        if !planted(Bug::SameBytes) {
            next.version = next.version.saturating_add(1);
            next.nonce = (self.ambient.uuid)();
        }
        next.token = token;
        next.session = session;
        next
    }

    pub(crate) fn encode(&self, head: &Head) -> Result<Vec<u8>, ManifestError> {
        head.encode().map_err(|malformed| ManifestError::Corrupt { key: self.config.of().head(), malformed })
    }

    /// The head in the bucket, checked to be ours; `None` when there is none.
    pub(crate) async fn get_head(&self) -> Result<Option<(Head, Etag, Vec<u8>)>, ManifestError> {
        let key = self.config.of().head();
        let (bytes, etag) = match self.store.get(&key, Purpose::ManifestRead).await {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.store_error(error)),
        };
        let head = Head::decode(&bytes).map_err(|malformed| ManifestError::Corrupt { key, malformed })?;
        self.check_identity(&head)?;
        Ok(Some((head, etag, bytes.to_vec())))
    }

    pub(crate) fn check_identity(&self, head: &Head) -> Result<(), ManifestError> {
        let (found, ours) = (&head.identity, &self.config.identity);
        if found.cluster_id == ours.cluster_id && found.of == ours.of {
            return Ok(());
        }
        let show = |identity: &super::head::Identity| format!("{} ({})", identity.cluster_id, identity.of);
        Err(ManifestError::Foreign { of: self.config.of(), found: show(found), ours: show(ours) })
    }

    /// Why the head is gone: the topic was purged, or the bucket is wrong. Never a reason to create one.
    pub(crate) async fn head_gone(&self) -> ManifestError {
        let of = self.config.of();
        match self.store.get(&object_key::marker(of.topic_id), Purpose::ManifestRead).await {
            Ok((bytes, _)) if crate::gc::topic::says_deleted(&bytes) => ManifestError::TopicDeleted { of },
            Ok(_) | Err(StoreError::NotFound { .. }) => ManifestError::HeadMissing { of },
            Err(error) => self.store_error(error),
        }
    }

    pub(crate) fn store_error(&self, source: StoreError) -> ManifestError {
        ManifestError::Store { of: self.config.of(), source }
    }

    pub(crate) async fn back_off(&self, attempt: u32) {
        super::session::back_off(&self.ambient, self.config.retry, attempt).await;
    }
}

impl State {
    pub(crate) fn active<'a>(&'a mut self, inner: &Inner) -> Result<&'a mut Active, ManifestError> {
        let of = inner.config.of();
        match self {
            State::Active(active) if active.reconciled => Ok(active),
            State::Active(_) => Err(ManifestError::NotReconciled { of }),
            State::Idle => Err(ManifestError::Inactive { of }),
            State::Fenced { by, mine } => Err(ManifestError::Fenced { of, by: *by, mine: *mine }),
            State::Gone => Err(ManifestError::TopicDeleted { of }),
        }
    }

    /// The errors after which this session never writes or deletes again.
    fn leave_on(&mut self, error: &ManifestError) {
        match error {
            ManifestError::Fenced { by, mine, .. } => *self = State::Fenced { by: *by, mine: *mine },
            ManifestError::TopicDeleted { .. } => *self = State::Gone,
            ManifestError::Inactive { .. }
            | ManifestError::HeadMissing { .. }
            | ManifestError::RolledBack { .. }
            | ManifestError::Foreign { .. } => *self = State::Idle,
            ManifestError::Store { .. }
            | ManifestError::Contended { .. }
            | ManifestError::NotReconciled { .. }
            | ManifestError::Corrupt { .. }
            | ManifestError::Refused(_)
            | ManifestError::Checkpoint { .. }
            | ManifestError::LocalCopy { .. } => {}
        }
    }
}

/// Runs file work off the worker.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
